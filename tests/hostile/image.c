/*
 * Logs as images in memory. See image.h.
 */
#include "image.h"

#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/handle.h"
#include "support/dir_empty.h"
#include "sys/clock.h"

#define SIZE SEGMENT_SIZE_MIN

/* In each segment of a small log: each kind of frame, and room to spare. */
#define SMALL_RECORDS 40

_Noreturn void image_die(const char *file, int line, const char *fact, int rc)
{
    fprintf(stderr, "%s:%d: not so: %s (%d %s)\n", file, line, fact, rc,
            rc < 0 ? seglog_status_name(rc) : strerror(errno));
    fflush(stderr);
    abort();
}

size_t image_text(uint64_t seq, char out[IMAGE_TEXT_MAX])
{
    const size_t len = seq * 37 % 400;
    char one[32];
    const size_t n = (size_t)snprintf(one, sizeof(one), "%" PRIu64 ",", seq);

    for (size_t i = 0; i < len; i++)
        out[i] = one[i % n];
    return len;
}

/* ---- files ---------------------------------------------------------------------------------- */

struct image_file *image_find(struct image *image, const char *name)
{
    for (size_t i = 0; i < image->count; i++)
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    return NULL;
}

struct image_file *image_segment(struct image *image, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(number, name);
    return image_find(image, name);
}

static struct image_file *image_add(struct image *image, const char *name, size_t size)
{
    struct image_file *file = &image->files[image->count++];

    must(image->count <= IMAGE_FILES && strlen(name) < sizeof(file->name));
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->size = size;
    file->room = align_up(size > 0 ? size : 1, SIZE) * 2;
    file->bytes = calloc(1, file->room);
    must(file->bytes != NULL);
    return file;
}

static int take_file(void *context, const char *name)
{
    struct image *image = ((void **)context)[0];
    const int dirfd = *(int *)((void **)context)[1];
    const int fd = file_open(dirfd, name, O_RDONLY, 0);
    struct file_facts facts;
    struct image_file *file;

    must(fd >= 0 && file_facts(fd, &facts) == 0);
    file = image_add(image, name, facts.size);
    must(file_pread(fd, file->bytes, file->size, 0) == 0);
    file_close(fd);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct image_file *)a)->name, ((const struct image_file *)b)->name);
}

static void take_directory(struct image *image, const char *dir)
{
    int dirfd = dir_open(dir);
    void *context[2] = {image, &dirfd};

    must(dirfd >= 0 && dir_each(dirfd, take_file, context) == 0);
    file_close(dirfd);
    /* The order of names in a directory is the file system's; a seed must mean the same everywhere. */
    qsort(image->files, image->count, sizeof(image->files[0]), by_name);
}

struct image *image_take(const char *dir)
{
    struct image *image = calloc(1, sizeof(*image));

    must(image != NULL);
    take_directory(image, dir);
    return image;
}

struct image *image_copy(const struct image *image)
{
    struct image *copy = malloc(sizeof(*copy));

    must(copy != NULL);
    *copy = *image;
    for (size_t i = 0; i < copy->count; i++) {
        copy->files[i].bytes = malloc(copy->files[i].room);
        must(copy->files[i].bytes != NULL);
        memcpy(copy->files[i].bytes, image->files[i].bytes, copy->files[i].room);
    }
    return copy;
}

void image_free(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    free(image);
}

/* ---- the log -------------------------------------------------------------------------------- */

static void append_one(struct image *image, struct seglog_appender *appender)
{
    char text[IMAGE_TEXT_MAX];
    struct seglog_claim claim;
    const uint64_t seq = image->next_seq;
    const struct seglog_record record = {.data = text,
                                         .len = image_text(seq, text),
                                         .time_ns = 1000 + seq,
                                         .tag = (uint32_t)(seq % 10)};

    switch (seq % 23) {
    case 11: /* void */
        must(seglog_appender_claim(appender, 100, &claim) == 0);
        must(seglog_appender_abort(appender) == 0);
        break;
    case 17: /* trimmed, with a PAD behind it */
        must(seglog_appender_claim(appender, record.len + 200, &claim) == 0);
        memcpy(claim.data, text, record.len);
        claim.time_ns = record.time_ns;
        claim.tag = record.tag;
        must(seglog_appender_commit(appender, &claim, record.len) == 0);
        image->records++;
        break;
    default:
        must(seglog_appender_append_record(appender, &record, NULL) == 0);
        image->records++;
    }
    image->next_seq++;
}

/* Has the log come to this segment yet? */
static bool has_come_to(const char *dir, uint64_t number)
{
    const int dirfd = dir_open(dir);
    char name[SEGMENT_NAME_BYTES];
    uint64_t magic = 0;
    int fd;

    segment_name(number, name);
    fd = file_open(dirfd, name, O_RDONLY, 0);
    if (fd >= 0)
        must(file_pread(fd, &magic, sizeof(magic),
                        OFF_ACTIVATION + offsetof(struct activation_block, magic)) == 0);
    file_close(fd);
    file_close(dirfd);
    return magic != 0;
}

struct image *image_make(void)
{
    const struct seglog_log_options options = {.segment_size = SIZE,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    char dir[] = "/tmp/seglog-test-image-XXXXXX";
    struct image *image = calloc(1, sizeof(*image));
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_claim claim;

    must(image != NULL && mkdtemp(dir) != NULL);
    must(seglog_log_open(dir, &options, &log) == 0);
    must(seglog_appender_open(log, NULL, &appender) == 0);
    while (!has_come_to(dir, 3))
        append_one(image, appender);
    for (int i = 0; i < 3; i++) { /* so that segment 3 is the active one */
        append_one(image, appender);
        must(seglog_log_tend(log) == 0);
    }
    while (!has_come_to(dir, 5))
        append_one(image, appender);
    for (int i = 0; i < 40; i++)
        append_one(image, appender);
    must(seglog_log_sync(log, NULL) != SEGLOG_EPOISONED);
    for (int i = 0; i < 40; i++)
        append_one(image, appender);
    must(seglog_appender_claim(appender, 64, &claim) == 0);
    take_directory(image, dir);
    must(seglog_appender_close(appender) == 0 && seglog_log_close(log) == 0);
    dir_empty(dir);
    must(rmdir(dir) == 0);
    return image;
}

struct image *image_make_small(void)
{
    const struct seglog_log_options options = {.segment_size = SIZE,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    char dir[] = "/tmp/seglog-test-image-XXXXXX";
    struct image *image = calloc(1, sizeof(*image));
    struct seglog_appender *appender;
    struct seglog_log *log;

    must(image != NULL && mkdtemp(dir) != NULL);
    must(seglog_log_open(dir, &options, &log) == 0);
    must(seglog_appender_open(log, NULL, &appender) == 0);
    for (int segment = 0; segment < 3; segment++) {
        for (int i = 0; i < SMALL_RECORDS; i++)
            append_one(image, appender);
        if (segment < 2)
            must(seglog_log_seal(log, 0) == 1);
    }
    must(seglog_log_sync(log, NULL) != SEGLOG_EPOISONED);
    image->durable_seq = image->next_seq;
    for (int i = 0; i < SMALL_RECORDS / 2; i++)
        append_one(image, appender);
    must(log_drop_oldest(log) == 0);
    must(seglog_appender_close(appender) == 0 && seglog_log_close(log) == 0);
    take_directory(image, dir);
    dir_empty(dir);
    must(rmdir(dir) == 0);
    return image;
}

void image_trim(struct image *image)
{
    struct image_file *first = image_segment(image, 0);
    struct image_file *second = image_segment(image, 1);
    struct settings_facts settings;
    struct segment_facts seg;
    struct activation_facts act;
    struct floor_facts floor = {.counter = 1, .number = 1};
    struct image_file *file = image_add(image, NAME_FLOOR, 2 * sizeof(struct floor_slot));

    must(settings_decode((void *)image_find(image, NAME_SETTINGS)->bytes, &settings, NULL) == 0);
    must(segment_header_decode((void *)second->bytes, &seg, NULL) == 0);
    must(activation_load((void *)(second->bytes + OFF_ACTIVATION), seg.generation, &act) == 0);
    floor.first_seq = act.base_seq;
    floor_encode((void *)(file->bytes + sizeof(struct floor_slot)), settings.uuid, &floor);
    first->name[0] = 0;
}

/* ---- laying it out -------------------------------------------------------------------------- */

static int drop_unknown(void *context, const char *name)
{
    const struct image *image = ((void **)context)[0];

    for (size_t i = 0; i < image->count; i++)
        if (strcmp(image->files[i].name, name) == 0)
            return 0;
    return file_unlink(*(int *)((void **)context)[1], name);
}

void image_write(const struct image *image, const char *dir)
{
    int dirfd = dir_open(dir);
    void *context[2] = {(void *)(uintptr_t)image, &dirfd};

    must(dirfd >= 0 && dir_each(dirfd, drop_unknown, context) == 0);
    for (size_t i = 0; i < image->count; i++) {
        const struct image_file *file = &image->files[i];
        int fd;

        if (!file->name[0])
            continue;
        fd = file_open(dirfd, file->name, O_RDWR | O_CREAT, 0640);
        must(fd >= 0);
        must(file_pwrite(fd, file->bytes, file->size, 0) == 0);
        must(ftruncate(fd, (off_t)file->size) == 0);
        file_close(fd);
    }
    file_close(dirfd);
}

static void settle_mark(struct image_file *file, int dirfd, size_t at, enum image_boot boot)
{
    struct boot_facts now = {.known = true};
    struct file_facts facts;
    const int fd = file_open(dirfd, file->name, O_RDONLY, 0);

    must(fd >= 0 && file_facts(fd, &facts) == 0);
    file_close(fd);
    must(boot_id_read(now.boot_id) == 0);
    now.dev = facts.dev;
    now.ino = facts.ino;
    if (boot == IMAGE_REBOOTED)
        now.boot_id[0] ^= 0xff;
    boot_mark_encode((void *)(file->bytes + at), &now);
}

void image_settle(struct image *image, const char *dir, enum image_boot boot)
{
    int dirfd;

    dir_empty(dir);
    image_write(image, dir);
    if (boot == IMAGE_COPIED)
        return;
    dirfd = dir_open(dir);
    for (size_t i = 0; i < image->count; i++) {
        struct image_file *file = &image->files[i];
        uint64_t number;

        if (strcmp(file->name, NAME_LIVE) == 0)
            settle_mark(file, dirfd, offsetof(struct live_file, boot), boot);
        else if (file->name[0] && segment_name_parse(file->name, &number))
            settle_mark(file, dirfd, OFF_TAIL + offsetof(struct tail_page, boot), boot);
    }
    file_close(dirfd);
    image_write(image, dir);
}

/* ---- looking at it -------------------------------------------------------------------------- */

static void must_be_defined(int rc)
{
    must_status(rc, rc >= 0 || strcmp(seglog_status_name(rc), "?") != 0);
}

/* A record is the one that was appended under its number, or one of those appended later. */
void image_check_record(const struct seglog_view *view, const struct image *truth)
{
    char text[IMAGE_TEXT_MAX];
    const size_t len = image_text(view->seq, text);

    if (view->len == strlen(IMAGE_AFTER) && memcmp(view->data, IMAGE_AFTER, view->len) == 0)
        return;
    must(view->seq < truth->next_seq && view->seq % 23 != 11);
    must(view->len == len && memcmp(view->data, text, len) == 0);
    must(view->time_ns == 1000 + view->seq && view->tag == view->seq % 10);
}

/* Something to go on after: the reader is behind it. */
static bool is_report(int rc)
{
    return rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING;
}

static uint64_t read_one_way(struct seglog_reader *reader, const struct image *truth, bool back,
                             uint64_t *reports)
{
    const uint64_t calls_max = 8 * truth->next_seq + 10000;
    uint64_t count = 0, last = 0;

    for (uint64_t calls = 0;; calls++) {
        struct seglog_view view;
        const int rc = back ? seglog_reader_prev(reader, &view) : seglog_reader_next(reader, &view);

        must(calls < calls_max); /* it must come to an end */
        must_be_defined(rc);
        must_status(rc, rc <= 0);
        if (is_report(rc)) {
            struct seglog_damage damage;

            must(seglog_reader_damage(reader, &damage) == 0);
            must(damage.cause[0] != 0 && memchr(damage.cause, 0, sizeof(damage.cause)));
            if (reports)
                (*reports)++;
            continue;
        }
        if (rc < 0)
            return count;
        image_check_record(&view, truth);
        must(count == 0 || (back ? view.seq < last : view.seq > last));
        last = view.seq;
        count++;
        if (count % 64 == 0)
            seglog_reader_release(reader);
    }
}

static void seek_about(struct seglog_reader *reader, const struct image *truth)
{
    for (uint32_t kind = SEGLOG_PLACE_FIRST; kind <= SEGLOG_PLACE_TIME; kind++) {
        const uint64_t values[] = {0, truth->next_seq / 2, truth->next_seq, 1000 + truth->next_seq,
                                   UINT64_MAX};

        for (size_t i = 0; i < 5; i++) {
            const struct seglog_place place = {.kind = kind, .value = values[i]};
            struct seglog_view view;
            int rc = seglog_reader_seek(reader, &place);

            must_be_defined(rc);
            rc = seglog_reader_next(reader, &view);
            must_be_defined(rc);
            if (rc == 0)
                image_check_record(&view, truth);
            rc = seglog_reader_prev(reader, &view);
            must_be_defined(rc);
            if (rc == 0)
                image_check_record(&view, truth);
        }
    }
}

static int drive_reader(const char *dir, const struct image *truth, uint32_t flags,
                        struct seen *seen)
{
    const struct seglog_reader_options options = {.flags =
                                                      flags & DRIVE_COPY ? SEGLOG_READER_COPY : 0};
    struct seglog_reader *reader;
    uint64_t first, end;
    int rc = seglog_reader_open(dir, &options, &reader);

    must_be_defined(rc);
    if (rc < 0)
        return rc;
    seen->reports = 0;
    seen->forward = read_one_way(reader, truth, false, &seen->reports);
    seen->backward = read_one_way(reader, truth, true, NULL);
    rc = seglog_reader_bounds(reader, &first, &end);
    must_be_defined(rc);
    seek_about(reader, truth);
    must_be_defined(seglog_reader_wait(reader, 0));
    seglog_reader_close(reader);
    return 0;
}

static int drive_append(const char *dir, const struct image *truth)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .open_timeout_ns = 200000000};
    struct seglog_appender *appender;
    struct seglog_log *log;
    int rc = seglog_log_open(dir, &options, &log);

    (void)truth;
    must_be_defined(rc);
    if (rc < 0)
        return rc;
    rc = seglog_appender_open(log, NULL, &appender);
    must_be_defined(rc);
    if (rc == 0) {
        for (int i = 0; i < 3 && rc == 0; i++)
            rc = seglog_appender_append(appender, IMAGE_AFTER, strlen(IMAGE_AFTER), NULL);
        must_be_defined(rc);
        must(seglog_appender_close(appender) == 0);
    }
    must_be_defined(seglog_log_tend(log));
    must_be_defined(seglog_log_seal(log, 0));
    must(seglog_log_close(log) == 0);
    return rc;
}

struct seen drive(const char *dir, const struct image *truth, uint32_t flags)
{
    const struct seglog_verify_options fast = {.flags = SEGLOG_VERIFY_FAST};
    struct seglog_verify_report report;
    struct seglog_info info;
    struct seen seen = {0}, again;

    seen.reader = drive_reader(dir, truth, flags, &seen);
    seen.info = seglog_info_read(dir, &info);
    must_be_defined(seen.info);
    if (seen.info == 0)
        seglog_info_free(&info);
    seen.verify = seglog_verify(dir, NULL, &report);
    must_be_defined(seen.verify);
    must_be_defined(seglog_verify(dir, &fast, &report));
    if (!(flags & DRIVE_ATTACH))
        return seen;
    seen.opened = drive_append(dir, truth);
    again = seen;
    must_be_defined(drive_reader(dir, truth, flags, &again));
    seen.after = again.forward;
    must_be_defined(seglog_verify(dir, NULL, &report));
    return seen;
}
