/*
 * What the tests of the log share. See logs.h.
 */
#include "log/logs.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- walking ---------------------------------------------------------------------------------- */

static void tally_record(struct tally *t, const struct scan_frame *frame, uint64_t seq, bool any)
{
    char text[32];

    t->records++;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)seq);
    cr_assert(any || (frame->facts.len == strlen(text) &&
                      memcmp(frame->payload, text, frame->facts.len) == 0),
              "record %s says \"%.*s\"", text, (int)frame->facts.len, (const char *)frame->payload);
}

static void tally_frames(struct tally *t, const struct segment *seg, uint64_t end, bool any)
{
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    int rc;

    source_init(&src, seg);
    scan_begin(&scan, &src, true);
    scan.end = end;
    while ((rc = scan_next(&scan, &frame)) != 0) {
        uint64_t lost;

        if (rc == SEGLOG_ECORRUPT) {
            rc = scan_resync(&scan, &lost);
            t->next_seq += lost;
            t->lost += lost;
            if (rc == 0)
                break;
            cr_assert_ok(rc);
            continue;
        }
        cr_assert_ok(rc);
        if (frame.facts.state == WORD_DATA)
            tally_record(t, &frame, t->next_seq, any);
        if (frame.facts.state == WORD_ABORTED)
            t->voids += frame.facts.count;
        if (frame.facts.state == WORD_CLAIMED)
            t->claims++;
        t->next_seq += frame.facts.count;
    }
    source_free(&src);
}

static void tally_segment(struct tally *t, const struct segment *seg, bool any)
{
    struct activation_facts act;
    struct footer_facts footer;
    const int sealed = segment_footer(seg, &footer, NULL);
    const int rc = segment_activation(seg, &act);

    if (rc == -EAGAIN) {
        t->spares++;
        return;
    }
    cr_assert_ok(rc);
    cr_assert_eq(t->spares, 0, "an active segment behind a spare");
    if (t->segments == 0)
        t->first_seq = t->next_seq = act.base_seq;
    cr_assert_eq(act.base_seq, t->next_seq, "segment %llu begins with %llu, not %llu",
                 (unsigned long long)seg->facts.number, (unsigned long long)act.base_seq,
                 (unsigned long long)t->next_seq);
    cr_assert_geq(act.epoch, t->epoch);
    t->epoch = act.epoch;
    t->segments++;
    tally_frames(t, seg, sealed == 0 ? footer.frames_end : seg->facts.space.frames_end, any);
    if (sealed != 0) {
        cr_assert_status(sealed, -EAGAIN);
        return;
    }
    t->sealed++;
    t->torn += (footer.flags & FOOTER_TORN) != 0;
    t->damaged += (footer.flags & FOOTER_DAMAGED) != 0;
    cr_assert_eq(footer.base_seq, act.base_seq);
    cr_assert_geq(footer.next_seq, t->next_seq);
    t->lost += footer.next_seq - t->next_seq;
    t->next_seq = footer.next_seq;
}

static int tally_name(void *context, const char *name)
{
    struct tally *t = context;
    const size_t n = strlen(name);

    t->asides += strstr(name, ".aside-") != NULL;
    t->temps += n > 4 && strcmp(name + n - 4, ".tmp") == 0;
    return 0;
}

struct tally tally_dir(const char *dir, bool any_text)
{
    struct log_view view;
    struct segment_list list;
    struct tally t = {0};

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(segment_list_read(view.dirfd, &list));
    cr_assert_ok(dir_each(view.dirfd, tally_name, &t));
    for (size_t i = 0; i < list.count; i++) {
        struct segment *seg;

        cr_assert_ok(segment_open(view.dirfd, list.numbers[i], view.settings.uuid, SEGMENT_PREAD,
                                  &seg, NULL));
        tally_segment(&t, seg, any_text);
        segment_close(seg);
    }
    segment_list_free(&list);
    log_view_close(&view);
    return t;
}

/* ---- handles ---------------------------------------------------------------------------------- */

char *log_dir_make(uint32_t sync)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = sync};
    char *dir = tmpdir_make();

    cr_assert_ok(seglog_log_create(dir, &options));
    return dir;
}

struct seglog_log *log_attach(const char *dir)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    return log;
}

struct seglog_log *log_attach_recovered(const char *dir, struct seglog_recovery *out)
{
    struct seglog_log *log = log_attach(dir);

    cr_assert_ok(seglog_log_recovery(log, out));
    cr_assert_eq(out->ran, 1);
    return log;
}

struct seglog_appender *log_appender(struct seglog_log *log, uint32_t mode)
{
    const struct seglog_appender_options options = {.mode = mode};
    struct seglog_appender *ap;

    cr_assert_ok(seglog_appender_open(log, &options, &ap));
    return ap;
}

void log_append(struct seglog_appender *ap, unsigned n)
{
    uint64_t next;

    for (unsigned i = 0; i < n; i++) {
        uint64_t seq;
        char text[32];

        cr_assert_ok(seglog_log_progress(ap->log, NULL, &next));
        snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
        cr_assert_ok(seglog_appender_append(ap, text, strlen(text), &seq));
        cr_assert_eq(seq, next);
    }
}

void log_append_alone(const char *dir, unsigned n)
{
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, n);
    log_detach(log, ap);
}

void log_detach(struct seglog_log *log, struct seglog_appender *ap)
{
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
}

/* ---- files ------------------------------------------------------------------------------------ */

static void reboot_mark(int dirfd, const char *name, uint64_t offset)
{
    const int fd = file_open(dirfd, name, O_RDWR, 0);
    struct boot_facts boot = {.known = true};
    struct file_facts file;
    struct boot_mark mark;

    cr_assert_ok(fd);
    cr_assert_ok(file_facts(fd, &file));
    cr_assert_ok(file_pread(fd, &mark, sizeof(mark), offset));
    memcpy(boot.boot_id, mark.boot_id, 16);
    boot.boot_id[0] ^= 0xff;
    boot.boot_id[1] |= 1;
    boot.dev = file.dev;
    boot.ino = file.ino;
    boot_mark_encode(&mark, &boot);
    cr_assert_ok(file_pwrite(fd, &mark, sizeof(mark), offset));
    file_close(fd);
}

void log_reboot(const char *dir)
{
    const int dirfd = dir_open(dir);
    struct segment_list list;

    cr_assert_ok(dirfd);
    cr_assert_ok(segment_list_read(dirfd, &list));
    for (size_t i = 0; i < list.count; i++) {
        char name[SEGMENT_NAME_BYTES];

        segment_name(list.numbers[i], name);
        reboot_mark(dirfd, name, OFF_TAIL + offsetof(struct tail_page, boot));
    }
    segment_list_free(&list);
    if (faccessat(dirfd, NAME_LIVE, F_OK, 0) == 0)
        reboot_mark(dirfd, NAME_LIVE, offsetof(struct live_file, boot));
    file_close(dirfd);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char *from = tmpdir_path(from_dir, name), *to = tmpdir_path(to_dir, name);
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    static char bytes[1 << 16];
    ssize_t n;

    cr_assert(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof(bytes))) > 0)
        cr_assert_eq(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
    free(from);
    free(to);
}

void log_copy_over(const char *from, const char *to)
{
    DIR *d = opendir(to);
    struct dirent *e;

    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    d = opendir(from);
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            copy_file(from, to, e->d_name);
    closedir(d);
}

char *log_copy(const char *dir)
{
    char *to = tmpdir_make();

    log_copy_over(dir, to);
    return to;
}

struct segment *log_segment_open(const char *dir, uint64_t number)
{
    struct log_view view;
    struct segment *seg;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(segment_open(view.dirfd, number, view.settings.uuid, SEGMENT_WRITE, &seg, NULL));
    log_view_close(&view);
    return seg;
}

void log_segment_zero(const char *dir, uint64_t number, uint64_t from, uint64_t to)
{
    struct segment *seg = log_segment_open(dir, number);

    memset(seg->base + from, 0, to - from);
    segment_close(seg);
}

bool log_has_file(const char *dir, const char *name)
{
    char *path = tmpdir_path(dir, name);
    const bool found = access(path, F_OK) == 0;

    free(path);
    return found;
}
