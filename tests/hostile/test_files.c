/*
 * Files that are not what their names say: too short, of another kind, from elsewhere, from the
 * future, or not to be read. Each answer is a defined status and comes at once; what is good beside
 * them is still served.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "log/view.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"

TestSuite(hostile, .timeout = 120);

struct place {
    struct image *truth; /* as it was made */
    struct image *image; /* to be spoiled */
    char *dir;
};

static struct place place_make(enum image_boot boot)
{
    struct place p = {.truth = image_make(), .dir = tmpdir_make()};

    p.image = image_copy(p.truth);
    image_settle(p.image, p.dir, boot);
    return p;
}

static void place_remove(struct place *p)
{
    image_free(p->truth);
    image_free(p->image);
    tmpdir_remove(p->dir);
}

static char *path_in(const struct place *p, const char *name)
{
    return tmpdir_path(p->dir, name);
}

/* ---- no log --------------------------------------------------------------------------------- */

static void expect_all(const char *dir, int want)
{
    struct seglog_verify_report report;
    struct seglog_reader *reader;
    struct seglog_info info;
    struct seglog_log *log;

    cr_assert_status(seglog_log_open(dir, NULL, &log), want);
    cr_assert_status(seglog_reader_open(dir, NULL, &reader), want);
    cr_assert_status(seglog_info_read(dir, &info), want);
    cr_assert_status(seglog_verify(dir, NULL, &report), want);
}

static void write_bytes(const char *path, const void *bytes, size_t n)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

Test(hostile, what_is_no_log_is_said_to_be_none)
{
    char *dir = tmpdir_make();
    char *file = tmpdir_path(dir, "file");
    char *missing = tmpdir_path(dir, "missing/deeper");

    expect_all(dir, -ENOENT);
    expect_all(missing, -ENOENT);
    write_bytes(file, "text\n", 5);
    expect_all(dir, SEGLOG_ENOTLOG);
    expect_all(file, -ENOTDIR);
    expect_all("/dev/null", -ENOTDIR);
    expect_all("", -ENOENT);
    free(file);
    free(missing);
    tmpdir_remove(dir);
}

/* ---- settings ------------------------------------------------------------------------------- */

static void settings_reseal(struct image_file *file)
{
    le32_put((le32 *)(void *)(file->bytes + 4092), ~crc32c(~0u, file->bytes, 4092));
}

Test(hostile, settings_of_every_wrong_kind_have_their_status)
{
    struct place p = place_make(IMAGE_COPIED);
    struct image_file *settings = image_find(p.image, NAME_SETTINGS);
    uint8_t good[PAGE_BYTES];

    memcpy(good, settings->bytes, sizeof(good));
    settings->bytes[12] = 2; /* major */
    settings_reseal(settings);
    image_write(p.image, p.dir);
    expect_all(p.dir, SEGLOG_EVERSION);

    memcpy(settings->bytes, good, sizeof(good));
    settings->bytes[16] = 1; /* incompat */
    settings_reseal(settings);
    image_write(p.image, p.dir);
    expect_all(p.dir, SEGLOG_EVERSION);

    memcpy(settings->bytes, good, sizeof(good));
    memcpy(settings->bytes + 8, (const uint8_t[]){1, 2, 3, 4}, 4);
    image_write(p.image, p.dir);
    expect_all(p.dir, SEGLOG_EENDIAN);

    memcpy(settings->bytes, good, sizeof(good));
    settings->bytes[2000] ^= 1;
    image_write(p.image, p.dir);
    expect_all(p.dir, SEGLOG_ECORRUPT);

    memcpy(settings->bytes, "#!/bin/sh\n", 10);
    image_write(p.image, p.dir);
    expect_all(p.dir, SEGLOG_ENOTLOG);

    memcpy(settings->bytes, good, sizeof(good));
    for (size_t size = 0; size < PAGE_BYTES; size += 1365) {
        settings->size = size;
        image_write(p.image, p.dir);
        expect_all(p.dir, SEGLOG_ECORRUPT);
    }
    place_remove(&p);
}

Test(hostile, a_feature_that_allows_reading_only_keeps_writers_out)
{
    struct place p = place_make(IMAGE_COPIED);
    struct image_file *settings = image_find(p.image, NAME_SETTINGS);
    struct seen seen;

    settings->bytes[24] = 1; /* ro_compat */
    settings_reseal(settings);
    image_write(p.image, p.dir);
    seen = drive(p.dir, p.truth, DRIVE_ATTACH);
    cr_assert_status(seen.opened, SEGLOG_EREADONLY);
    cr_assert_eq(seen.forward, p.truth->records);
    place_remove(&p);
}

Test(hostile, with_the_settings_of_another_log_no_segment_is_believed)
{
    struct place p = place_make(IMAGE_SAME_BOOT);
    struct image_file *settings = image_find(p.image, NAME_SETTINGS);
    struct seen seen;

    settings->bytes[40] ^= 0xff; /* uuid */
    settings_reseal(settings);
    image_write(p.image, p.dir);
    seen = drive(p.dir, p.truth, 0);
    cr_assert_eq(seen.forward, 0);
    cr_assert_eq(seen.verify, 1);
    place_remove(&p);
}

/* ---- names that are no files ---------------------------------------------------------------- */

enum kind {
    KIND_DIRECTORY,
    KIND_FIFO,
    KIND_NULL,   /* a symbolic link to /dev/null */
    KIND_ZERO,   /* ... to /dev/zero */
    KIND_LOOP,   /* ... to itself */
    KIND_LOST,   /* ... to nothing */
    KIND_SOCKET, /* made by mknod() */
    KIND_EMPTY,
    KIND_HUGE, /* 1 TiB of nothing */
    KIND_NOISE,
    KIND_DENIED, /* for user 65534 */
    KINDS,
};

static const char *const kind_names[] = {"directory", "FIFO",  "/dev/null", "/dev/zero",
                                         "loop",      "lost",  "socket",    "empty",
                                         "huge",      "noise", "denied"};

static void put_kind(const char *path, enum kind kind)
{
    uint8_t noise[65536];
    uint64_t x = 88172645463325252u;

    if (kind != KIND_DENIED)
        (void)remove(path);
    else if (access(path, F_OK) != 0)
        write_bytes(path, "", 0);
    switch (kind) {
    case KIND_DIRECTORY:
        cr_assert_eq(mkdir(path, 0700), 0);
        break;
    case KIND_FIFO:
        cr_assert_eq(mkfifo(path, 0600), 0);
        break;
    case KIND_NULL:
        cr_assert_eq(symlink("/dev/null", path), 0);
        break;
    case KIND_ZERO:
        cr_assert_eq(symlink("/dev/zero", path), 0);
        break;
    case KIND_LOOP:
        cr_assert_eq(symlink(path, path), 0);
        break;
    case KIND_LOST:
        cr_assert_eq(symlink("/nonexistent/file", path), 0);
        break;
    case KIND_SOCKET:
        cr_assert_eq(mknod(path, S_IFSOCK | 0600, 0), 0);
        break;
    case KIND_EMPTY:
        write_bytes(path, "", 0);
        break;
    case KIND_HUGE:
        write_bytes(path, "", 0);
        cr_assert_eq(truncate(path, INT64_C(1) << 40), 0);
        break;
    case KIND_NOISE:
        for (size_t i = 0; i < sizeof(noise); i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            noise[i] = (uint8_t)(x >> 56);
        }
        write_bytes(path, noise, sizeof(noise));
        break;
    case KIND_DENIED:
        cr_assert_eq(chmod(path, 0), 0);
        break;
    case KINDS:
        break;
    }
}

struct errand {
    const char *dir;
    const struct image *truth;
    struct seen *seen;
    bool as_nobody;
};

static int run_errand(struct child *parent, void *arg)
{
    const struct errand *errand = arg;

    (void)parent;
    alarm(60);
    if (errand->as_nobody)
        child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    *errand->seen = drive(errand->dir, errand->truth, DRIVE_ATTACH);
    return 0;
}

/* In a child, because it must not hang, and may have to be somebody else. */
static struct seen drive_apart(const struct place *p, enum kind kind, const char *name)
{
    struct seen *seen = child_shared(sizeof(*seen));
    struct errand errand = {
        .dir = p->dir, .truth = p->truth, .seen = seen, .as_nobody = kind == KIND_DENIED};
    struct child child;
    int status;

    child_start(&child, run_errand, &errand);
    status = child_status(&child);
    cr_assert(status == 0, "%s as %s: status %d", name, kind_names[kind], status);
    return *seen;
}

static void every_kind_as(const char *name, void (*expect)(const struct seen *, const char *))
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct place p;
        struct seen seen;
        char *path;

        if (kind == KIND_DENIED && getuid() != 0)
            continue;
        p = place_make(IMAGE_COPIED);
        path = path_in(&p, name);
        put_kind(path, (enum kind)kind);
        if (kind == KIND_DENIED)
            cr_assert_eq(chmod(p.dir, 0777), 0);
        seen = drive_apart(&p, (enum kind)kind, name);
        expect(&seen, kind_names[kind]);
        free(path);
        place_remove(&p);
    }
}

static void expect_refused(const struct seen *seen, const char *kind)
{
    cr_assert(seen->reader < 0 && seen->info < 0 && seen->verify < 0 && seen->opened < 0, "%s",
              kind);
}

Test(hostile, settings_that_are_no_file_are_refused)
{
    every_kind_as(NAME_SETTINGS, expect_refused);
}

/* A sealed segment in the middle: what is before and behind it is served. */
static void expect_four_fifths(const struct seen *seen, const char *kind)
{
    if (strcmp(kind, "denied") == 0) /* everything else is denied to nobody, too */
        return;
    cr_assert(seen->reader == 0 && seen->info == 0, "%s", kind);
    cr_assert(seen->verify == 1, "%s: verify gave %d", kind, seen->verify);
    cr_assert(seen->forward > 600 && seen->forward == seen->backward, "%s: %llu and %llu", kind,
              (unsigned long long)seen->forward, (unsigned long long)seen->backward);
    cr_assert(seen->reports >= 1, "%s", kind);
}

Test(hostile, a_sealed_segment_that_is_no_file_costs_itself_alone)
{
    every_kind_as("0000000000000001.seg", expect_four_fifths);
}

static void expect_anything(const struct seen *seen, const char *kind)
{
    (void)seen;
    (void)kind;
}

Test(hostile, a_full_or_active_segment_that_is_no_file_harms_nobody)
{
    every_kind_as("0000000000000003.seg", expect_anything);
    every_kind_as("0000000000000005.seg", expect_anything);
}

/* The files of one boot carry no record: readers go without. */
static void expect_every_record(const struct seen *seen, const char *kind)
{
    if (strcmp(kind, "denied") == 0)
        return;
    cr_assert(seen->reader == 0 && seen->info == 0 && seen->verify == 0, "%s", kind);
    cr_assert(seen->forward > 700 && seen->reports == 0, "%s: %llu", kind,
              (unsigned long long)seen->forward);
}

Test(hostile, live_and_owners_that_are_no_files_hide_no_record)
{
    every_kind_as(NAME_LIVE, expect_every_record);
    every_kind_as(NAME_OWNERS, expect_every_record);
}

Test(hostile, a_floor_that_is_no_file_harms_nobody)
{
    every_kind_as(NAME_FLOOR, expect_anything);
}

/* ---- segments from elsewhere ---------------------------------------------------------------- */

static void expect_defined(struct place *p, const char *what)
{
    for (int boot = IMAGE_COPIED; boot < IMAGE_BOOTS; boot++) {
        struct image *image = image_copy(p->image);
        struct seen seen;

        image_settle(image, p->dir, (enum image_boot)boot);
        seen = drive(p->dir, p->truth, DRIVE_ATTACH);
        cr_assert(seen.reader == 0, "%s", what);
        image_free(image);
    }
}

Test(hostile, segments_cut_short_swapped_or_doubled)
{
    for (uint64_t number = 0; number < 6; number++) {
        struct place p = place_make(IMAGE_COPIED);
        struct image_file *file = image_segment(p.image, number);
        struct image_file *other = image_segment(p.image, (number + 1) % 6);
        const size_t size = file->size;
        char name[sizeof(file->name)];

        for (size_t cut = 1; cut <= size; cut *= 8) {
            file->size = size - cut;
            expect_defined(&p, "cut short");
        }
        file->size = 0;
        expect_defined(&p, "empty");
        file->size = 2 * size;
        expect_defined(&p, "too long");
        file->size = size;
        memcpy(name, file->name, sizeof(name));
        memcpy(file->name, other->name, sizeof(name));
        memcpy(other->name, name, sizeof(name));
        expect_defined(&p, "swapped");
        memcpy(other->bytes, file->bytes, size);
        expect_defined(&p, "doubled");
        snprintf(other->name, sizeof(other->name), "0000000000000006.seg");
        expect_defined(&p, "doubled behind the end");
        place_remove(&p);
    }
}

Test(hostile, segments_of_the_future_or_of_another_byte_order)
{
    for (uint64_t number = 0; number < 6; number++) {
        struct place p = place_make(IMAGE_COPIED);
        struct image_file *file = image_segment(p.image, number);
        struct segment_header *page = (struct segment_header *)(void *)file->bytes;

        le16_put(&page->head.major, 2);
        settings_reseal(file);
        expect_defined(&p, "major 2");
        le16_put(&page->head.major, 1);
        le64_put(&page->head.incompat, 8);
        settings_reseal(file);
        expect_defined(&p, "incompat");
        le64_put(&page->head.incompat, 0);
        le64_put(&page->head.ro_compat, 8);
        settings_reseal(file);
        expect_defined(&p, "ro_compat");
        le32_put(&page->head.endian, 0x04030201);
        expect_defined(&p, "the other byte order");
        place_remove(&p);
    }
}

/* A header that names a number as large as there is, with everything that belongs to it. */
Test(hostile, numbers_at_the_end_of_counting)
{
    static const uint64_t numbers[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63};

    for (size_t n = 0; n < 3; n++) {
        for (uint64_t from = 0; from < 6; from++) {
            struct place p = place_make(IMAGE_COPIED);
            struct image_file *file = image_segment(p.image, from);
            struct segment_header *page = (struct segment_header *)(void *)file->bytes;
            struct segment_footer *footer =
                (struct segment_footer *)(void *)(file->bytes + file->size - PAGE_BYTES);
            struct segment_facts seg;
            struct footer_facts facts;

            cr_assert_ok(segment_header_decode(page, &seg, NULL));
            if (footer_decode(footer, &seg, &facts, NULL) == 0) {
                facts.number = numbers[n];
                footer_encode(footer, seg.generation, &facts);
            }
            le64_put(&page->number, numbers[n]);
            settings_reseal(file);
            segment_name(numbers[n], file->name);
            expect_defined(&p, file->name);
            place_remove(&p);
        }
    }
}

Test(hostile, record_numbers_at_the_end_of_counting)
{
    static const uint64_t bases[] = {UINT64_MAX, UINT64_MAX - 10, UINT64_MAX - 65536,
                                     UINT64_C(1) << 63};

    for (size_t b = 0; b < 4; b++) {
        for (uint64_t number = 0; number < 6; number++) {
            struct place p = place_make(IMAGE_COPIED);
            struct image_file *file = image_segment(p.image, number);
            struct activation_block *block =
                (struct activation_block *)(void *)(file->bytes + OFF_ACTIVATION);
            struct activation_facts act;
            struct segment_facts seg;
            struct seglog_reader *reader;
            struct seglog_info info;
            struct seglog_log *log;
            struct seglog_verify_report report;

            cr_assert_ok(segment_header_decode((void *)file->bytes, &seg, NULL));
            cr_assert_ok(activation_load(block, seg.generation, &act));
            act.base_seq = bases[b];
            activation_store(block, seg.generation, &act);
            image_settle(p.image, p.dir, IMAGE_REBOOTED);
            /* Whatever this forged block makes of the numbers, it must come to an end. */
            cr_assert_ok(seglog_reader_open(p.dir, NULL, &reader));
            for (int back = 0; back < 2; back++) {
                for (uint64_t calls = 0;; calls++) {
                    struct seglog_view view;
                    const int rc = back ? seglog_reader_prev(reader, &view)
                                        : seglog_reader_next(reader, &view);

                    cr_assert_lt(calls, 20000);
                    if (rc < 0 && rc != SEGLOG_ECORRUPT && rc != SEGLOG_EMISSING)
                        break;
                }
            }
            seglog_reader_close(reader);
            if (seglog_info_read(p.dir, &info) == 0)
                seglog_info_free(&info);
            (void)seglog_verify(p.dir, NULL, &report);
            if (seglog_log_open(p.dir, NULL, &log) == 0)
                cr_assert_ok(seglog_log_close(log));
            place_remove(&p);
        }
    }
}

/* ---- single things that once went wrong, or nearly ------------------------------------------ */

/* Seen by test_mutate.c: the one's numbers were counted back from behind the other. */
Test(hostile, going_backward_over_two_spoiled_neighbours)
{
    struct place p = place_make(IMAGE_COPIED);
    struct seen seen;

    memset(image_segment(p.image, 3)->bytes + OFF_ACTIVATION, 0, PAGE_BYTES);
    image_segment(p.image, 4)->bytes[100] ^= 1;
    for (int boot = IMAGE_COPIED; boot < IMAGE_BOOTS; boot++) {
        struct image *image = image_copy(p.image);

        image_settle(image, p.dir, (enum image_boot)boot);
        seen = drive(p.dir, p.truth, DRIVE_ATTACH);
        cr_assert_eq(seen.reader, 0);
        image_free(image);
    }
    place_remove(&p);
}

/*
 * Bit 1 of an ABORTED word makes a CLAIMED of it, which carries no check. Below the durable mark no
 * claim was open, so it is damage there, and never a reason to lose what lies behind it.
 */
Test(hostile, an_aborted_word_that_turned_into_a_claim_is_damage_and_not_the_end)
{
    for (int boot = IMAGE_COPIED; boot < IMAGE_BOOTS; boot++) {
        for (uint64_t number = 3; number < 6; number++) {
            struct place p = place_make(IMAGE_COPIED);
            struct image_file *file = image_segment(p.image, number);
            struct segment_facts seg;
            struct seen seen;
            uint64_t at = OFF_FRAMES, word = 0;
            struct word_facts facts = {.state = WORD_DATA};

            cr_assert_ok(segment_header_decode((void *)file->bytes, &seg, NULL));
            for (; facts.state != WORD_ABORTED; at += facts.span) {
                memcpy(&word, file->bytes + at, 8);
                cr_assert_ok(word_decode(&seg.space, at, word, &facts));
                cr_assert_neq(facts.state, WORD_ROLL);
                if (facts.state == WORD_ABORTED)
                    file->bytes[at] ^= 2;
            }
            image_settle(p.image, p.dir, (enum image_boot)boot);
            seen = drive(p.dir, p.truth, DRIVE_ATTACH);
            cr_assert_status(seen.opened, 0);
            cr_assert(seen.forward == p.truth->records && seen.backward == p.truth->records,
                      "boot %d segment %llu: %llu and %llu", boot, (unsigned long long)number,
                      (unsigned long long)seen.forward, (unsigned long long)seen.backward);
            cr_assert_eq(seen.after, p.truth->records + 3,
                         "boot %d segment %llu: %llu of %llu, %llu reports", boot,
                         (unsigned long long)number, (unsigned long long)seen.after - 3,
                         (unsigned long long)p.truth->records, (unsigned long long)seen.reports);
            place_remove(&p);
        }
    }
}
