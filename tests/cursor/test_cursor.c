/*
 * Cursors: what is stored, who holds them, what becomes of them when places go.
 */
#include <seglog/cursor.h>
#include <seglog/log.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log/stored.h"
#include "reader/reading.h"
#include "support/child.h"
#include "support/tmpdir.h"

#define EACH 50u

/* A log of `segments` sealed segments of EACH records, and EACH more; record n is the text "n". */
static void append_more(const char *dir, unsigned segments)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t next;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_log_progress(log, NULL, &next));
    for (unsigned i = 0; i <= segments; i++) {
        for (unsigned k = 0; k < EACH; k++, next++) {
            char text[32];
            const struct seglog_record record = {
                .data = text,
                .len = (uint64_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)next),
                .time_ns = next + 1,
                .tag = (uint32_t)(next % 10),
            };

            cr_assert_ok(seglog_appender_append_record(ap, &record, NULL));
        }
        if (i < segments)
            cr_assert_ok(seglog_log_seal(log, UINT64_MAX));
    }
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
}

static char *make_log(unsigned segments)
{
    char *dir = tmpdir_make();

    append_more(dir, segments);
    return dir;
}

static const struct seglog_cursor_options make_it = {.flags = SEGLOG_CURSOR_CREATE};

static struct seglog_cursor *take(const char *dir, const char *name, uint32_t flags)
{
    const struct seglog_cursor_options options = {.flags = flags};
    struct seglog_cursor *cursor = NULL;

    cr_assert_ok(seglog_cursor_open(dir, name, &options, &cursor));
    return cursor;
}

static void expect_records(struct seglog_cursor *cursor, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq++) {
        struct seglog_view view;

        cr_assert_ok(seglog_cursor_next(cursor, &view));
        cr_assert_eq(view.seq, seq);
    }
    seglog_reader_release(seglog_cursor_reader(cursor));
}

static struct seglog_cursor_info look(const char *dir, const char *name)
{
    struct seglog_cursor_info info;

    cr_assert_ok(seglog_cursor_info_read(dir, name, &info));
    return info;
}

static uint64_t stored_seq(const char *dir, const char *name)
{
    return look(dir, name).seq;
}

Test(cursor, goes_on_where_the_last_commit_was)
{
    char *dir = make_log(3);
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE);

    expect_records(cursor, 0, 70);
    cr_assert_ok(seglog_cursor_commit(cursor, 60));
    expect_records(cursor, 70, 90);
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "c"), 60);

    cursor = take(dir, "c", SEGLOG_CURSOR_DURABLE);
    expect_records(cursor, 60, 3 * EACH);
    cr_assert_ok(seglog_cursor_commit(cursor, UINT64_MAX));
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "c"), 3 * EACH);
    tmpdir_remove(dir);
}

Test(cursor, never_stores_more_than_was_handed_out)
{
    char *dir = make_log(1);
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE);
    struct seglog_view views[16];

    cr_assert_status(seglog_cursor_commit(cursor, 1), -ERANGE);
    expect_records(cursor, 0, 10);
    cr_assert_status(seglog_cursor_commit(cursor, 11), -ERANGE);
    cr_assert_eq(stored_seq(dir, "c"), 0);
    cr_assert_ok(seglog_cursor_commit(cursor, 10));
    /* Batches by the cursor's reader count, and so does what prev() goes back over. */
    cr_assert_eq(seglog_reader_batch(seglog_cursor_reader(cursor), views, 16), 16);
    cr_assert_status(seglog_cursor_commit(cursor, 27), -ERANGE);
    cr_assert_ok(seglog_cursor_commit(cursor, 26));
    cr_assert_ok(seglog_reader_prev(seglog_cursor_reader(cursor), views));
    cr_assert_ok(seglog_cursor_commit(cursor, UINT64_MAX));
    cr_assert_eq(stored_seq(dir, "c"), 26);
    cr_assert_ok(seglog_cursor_commit(cursor, 5));
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "c"), 5, "going back on purpose is allowed");
    tmpdir_remove(dir);
}

Test(cursor, automatic_commits_lag_by_what_was_just_handed_out)
{
    char *dir = make_log(0);
    const struct seglog_cursor_options options = {
        .flags = SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_AUTO, .auto_ns = 1};
    struct seglog_cursor *cursor;
    struct seglog_view view;

    cr_assert_ok(seglog_cursor_open(dir, "c", &options, &cursor));
    expect_records(cursor, 0, 10);
    cr_assert_eq(stored_seq(dir, "c"), 9, "the tenth may not be done yet");
    expect_records(cursor, 10, EACH);
    cr_assert_status(seglog_cursor_next(cursor, &view), -EAGAIN);
    cr_assert_eq(stored_seq(dir, "c"), EACH, "who asks again has done them all");
    cr_assert_ok(seglog_cursor_close(cursor));

    /* Not due: nothing is written until there is time, or an end. */
    cursor = NULL;
    cr_assert_ok(seglog_cursor_open(
        dir, "slow",
        &(struct seglog_cursor_options){.flags = SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_AUTO,
                                        .auto_ns = UINT64_C(3600000000000)},
        &cursor));
    expect_records(cursor, 0, 10);
    cr_assert_eq(stored_seq(dir, "slow"), 0);
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "slow"), 10);
    tmpdir_remove(dir);
}

Test(cursor, a_new_one_begins_where_it_is_told)
{
    char *dir = make_log(2);
    const struct seglog_cursor_options options = {
        .flags = SEGLOG_CURSOR_CREATE,
        .reader.from = {.kind = SEGLOG_PLACE_BACK, .value = 7},
    };
    struct seglog_cursor *cursor;

    cr_assert_ok(seglog_cursor_open(dir, "c", &options, &cursor));
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "c"), 3 * EACH - 7);
    /* And is not moved by that once it is there. */
    cr_assert_ok(seglog_cursor_open(dir, "c", &make_it, &cursor));
    expect_records(cursor, 3 * EACH - 7, 3 * EACH);
    cr_assert_ok(seglog_cursor_close(cursor));
    tmpdir_remove(dir);
}

Test(cursor, what_is_no_name_is_refused_and_what_is_not_there_is_told)
{
    static const char *const bad[] = {
        "",      ".",   "..",
        "-x",    "a/b", "a b",
        "x.tmp", "ü",   "01234567890123456789012345678901234567890123456789012345678901234"};
    char *dir = make_log(0);
    struct seglog_cursor *cursor = NULL;
    struct seglog_cursor_info info;
    const struct seglog_place first = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_status(seglog_cursor_open(dir, bad[i], &make_it, &cursor), -EINVAL);
        cr_assert_status(seglog_cursor_info_read(dir, bad[i], &info), -EINVAL);
        cr_assert_status(seglog_cursor_set(dir, bad[i], &first, 0, NULL), -EINVAL);
        cr_assert_status(seglog_cursor_remove(dir, bad[i]), -EINVAL);
    }
    cr_assert_status(seglog_cursor_open(dir, "none", NULL, &cursor), -ENODATA);
    cr_assert_status(seglog_cursor_info_read(dir, "none", &info), -ENODATA);
    cr_assert_status(seglog_cursor_remove(dir, "none"), -ENODATA);
    cr_assert_status(seglog_cursor_set(dir, "c", &first, 99, NULL), -EINVAL);
    cr_assert_status(seglog_cursor_open("/nonexistent/dir", "c", NULL, &cursor), -ENOENT);
    cr_assert_null(cursor);
    tmpdir_remove(dir);
}

/* ---- whose it is ---------------------------------------------------------------------------- */

static int hold_and_wait(struct child *parent, void *arg)
{
    struct seglog_cursor *cursor;
    struct seglog_view view;

    child_must(seglog_cursor_open(arg, "c", &make_it, &cursor));
    for (int i = 0; i < 20; i++)
        child_must(seglog_cursor_next(cursor, &view));
    child_must(seglog_cursor_commit(cursor, 15));
    child_say(parent, 'h');
    child_hear(parent);
    return 1;
}

Test(cursor, has_one_living_holder_and_the_next_takes_over_when_that_one_is_killed)
{
    char *dir = make_log(0);
    struct seglog_cursor *cursor = NULL;
    struct seglog_cursor_info info;
    const struct seglog_place first = {0};
    struct child child;

    child_start(&child, hold_and_wait, dir);
    cr_assert_eq(child_hear(&child), 'h');
    cr_assert_status(seglog_cursor_open(dir, "c", NULL, &cursor), -EBUSY);
    cr_assert_status(seglog_cursor_set(dir, "c", &first, 0, NULL), -EBUSY);
    cr_assert_status(seglog_cursor_remove(dir, "c"), -EBUSY);
    info = look(dir, "c");
    cr_assert_eq(info.held, 1);
    cr_assert_eq(info.pid, (uint32_t)child.pid);
    cr_assert_eq(info.seq, 15);
    /* A stopped one lives. */
    child_stop(&child);
    cr_assert_status(seglog_cursor_open(dir, "c", NULL, &cursor), -EBUSY);
    child_kill(&child);
    cursor = take(dir, "c", 0);
    expect_records(cursor, 15, 25);
    cr_assert_eq(look(dir, "c").held, 1);
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(look(dir, "c").held, 0);
    tmpdir_remove(dir);
}

Test(cursor, two_of_one_process_are_told_apart_too)
{
    char *dir = make_log(0);
    struct seglog_cursor *one = take(dir, "c", SEGLOG_CURSOR_CREATE), *two = NULL;

    cr_assert_status(seglog_cursor_open(dir, "c", NULL, &two), -EBUSY);
    two = take(dir, "d", SEGLOG_CURSOR_CREATE);
    cr_assert_ok(seglog_cursor_close(two));
    cr_assert_ok(seglog_cursor_close(one));
    two = take(dir, "c", 0);
    cr_assert_ok(seglog_cursor_close(two));
    cr_assert_ok(seglog_cursor_close(NULL));
    tmpdir_remove(dir);
}

static int use_the_parents(struct child *parent, void *arg)
{
    struct seglog_view view;

    (void)parent;
    child_must_be(seglog_cursor_commit(arg, 1), SEGLOG_EFORKED);
    child_must_be(seglog_cursor_next(arg, &view), SEGLOG_EFORKED);
    child_must(seglog_cursor_close(arg));
    return 0;
}

Test(cursor, one_made_before_fork_is_of_no_use_in_the_child_and_stays_held)
{
    char *dir = make_log(0);
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_AUTO);
    struct child child;

    expect_records(cursor, 0, 5);
    child_start(&child, use_the_parents, cursor);
    child_end(&child);
    cr_assert_eq(look(dir, "c").held, 1);
    cr_assert_eq(stored_seq(dir, "c"), 0);
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_eq(stored_seq(dir, "c"), 5);
    tmpdir_remove(dir);
}

/* ---- killed --------------------------------------------------------------------------------- */

static int commit_for_ever(struct child *parent, void *arg)
{
    struct seglog_cursor *cursor;
    struct seglog_view view;
    _Atomic uint64_t *handed = ((void **)arg)[1];

    child_must(seglog_cursor_open(((void **)arg)[0], "c", &make_it, &cursor));
    child_say(parent, 's');
    for (;;) {
        const int rc = seglog_cursor_next(cursor, &view);

        if (rc == -EAGAIN)
            break;
        child_must(rc);
        atomic_store(handed, view.seq + 1);
        child_must(seglog_cursor_commit(cursor, UINT64_MAX));
    }
    child_say(parent, 'e');
    child_hear(parent);
    return 0;
}

Test(cursor, a_holder_killed_at_any_moment_leaves_a_place_at_or_before_what_it_was_handed)
{
    char *dir = make_log(40);
    _Atomic uint64_t *handed = child_shared(sizeof(*handed));
    void *arg[2] = {dir, handed};
    uint64_t last = 0;

    for (int i = 0; i < 40; i++) {
        struct child child;
        struct seglog_cursor_info info;

        child_start(&child, commit_for_ever, arg);
        cr_assert_eq(child_hear(&child), 's');
        usleep((useconds_t)(i * 37 % 400));
        child_kill(&child);
        info = look(dir, "c");
        cr_assert_eq(info.status, 0);
        cr_assert(info.seq >= last && info.seq <= atomic_load(handed));
        cr_assert(info.seq + 1 >= atomic_load(handed) || atomic_load(handed) <= last,
                  "at most the one being committed is lost");
        last = info.seq;
    }
    tmpdir_remove(dir);
}

/* ---- hostile files -------------------------------------------------------------------------- */

static void write_at(const char *dir, off_t offset, const void *bytes, size_t n)
{
    char *path = tmpdir_path(dir, "cursor-c");
    const int fd = open(path, O_WRONLY);

    cr_assert(fd >= 0);
    cr_assert_eq(pwrite(fd, bytes, n, offset), (ssize_t)n);
    close(fd);
    free(path);
}

Test(cursor, a_torn_slot_leaves_the_commit_before)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        char *dir = make_log(0);
        struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_DURABLE);
        uint64_t better, other;

        expect_records(cursor, 0, 30);
        for (uint64_t seq = 1; seq <= 20 + slot; seq++)
            cr_assert_ok(seglog_cursor_commit(cursor, seq));
        cr_assert_ok(seglog_cursor_close(cursor));
        better = stored_seq(dir, "c");
        cr_assert_eq(better, 20 + slot);
        /* One of the two is the newest: spoiled in turn, the other speaks. */
        write_at(dir, 40, "\xff", 1);
        other = stored_seq(dir, "c");
        cr_assert(other == better || other == better - 1);
        write_at(dir, 4096 + 40, "\xff", 1);
        cr_assert_status(look(dir, "c").status, SEGLOG_ECORRUPT);
        tmpdir_remove(dir);
    }
}

/* What the cursor says with its newer slot torn, as a power cut may leave what was not synced. */
static uint64_t seq_if_torn(const char *dir)
{
    char *path = tmpdir_path(dir, "cursor-c");
    const int fd = open(path, O_RDONLY);
    struct cursor_slot slots[2];
    uint64_t seq, at;
    uint8_t bad;

    cr_assert(fd >= 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pread(fd, &slots[i], sizeof(slots[i]), i * 4096), (ssize_t)sizeof(slots[i]));
    close(fd);
    free(path);
    at = le64_get(&slots[1].counter) > le64_get(&slots[0].counter) ? 1 : 0;
    bad = (uint8_t)~slots[at].seq.b[0];
    write_at(dir, (off_t)(at * 4096 + offsetof(struct cursor_slot, seq)), &bad, 1);
    seq = stored_seq(dir, "c");
    write_at(dir, (off_t)(at * 4096), &slots[at], sizeof(slots[at]));
    return seq;
}

Test(cursor, commits_that_are_not_durable_leave_the_last_durable_one_alone)
{
    char *dir = make_log(0);
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_DURABLE);

    expect_records(cursor, 0, 30);
    cr_assert_ok(seglog_cursor_commit(cursor, 5));
    cr_assert_ok(seglog_cursor_close(cursor));
    cursor = take(dir, "c", 0);
    expect_records(cursor, 5, 30);
    for (uint64_t seq = 6; seq < 12; seq++) {
        cr_assert_ok(seglog_cursor_commit(cursor, seq));
        cr_assert_eq(stored_seq(dir, "c"), seq);
        cr_assert_eq(seq_if_torn(dir), 5);
    }
    cr_assert_ok(seglog_cursor_close(cursor));
    /* The next holder does not know what of it was synced. */
    cursor = take(dir, "c", 0);
    expect_records(cursor, 11, 30);
    cr_assert_ok(seglog_cursor_commit(cursor, 20));
    cr_assert_ok(seglog_cursor_commit(cursor, 21));
    cr_assert_eq(seq_if_torn(dir), 11);
    cr_assert_ok(seglog_cursor_close(cursor));
    tmpdir_remove(dir);
}

static _Atomic unsigned syncs;

int fdatasync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

Test(cursor, a_durable_commit_of_the_place_that_is_stored_is_synced_once)
{
    char *dir = make_log(0);
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE);
    unsigned before;

    expect_records(cursor, 0, 30);
    cr_assert_ok(seglog_cursor_commit(cursor, 10));
    cr_assert_ok(seglog_cursor_close(cursor));
    cursor = take(dir, "c", SEGLOG_CURSOR_DURABLE);
    before = atomic_load(&syncs);
    cr_assert_ok(seglog_cursor_commit(cursor, 10));
    cr_assert_eq(atomic_load(&syncs), before + 1);
    cr_assert_ok(seglog_cursor_commit(cursor, 10));
    cr_assert_eq(atomic_load(&syncs), before + 1);
    cr_assert_ok(seglog_cursor_close(cursor));
    tmpdir_remove(dir);
}

Test(cursor, every_flipped_bit_is_seen)
{
    char *dir = make_log(0), *path = tmpdir_path(dir, "cursor-c");
    struct seglog_cursor *cursor = take(dir, "c", SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_DURABLE);
    unsigned char file[2][64];
    int fd;

    expect_records(cursor, 0, 30);
    cr_assert_ok(seglog_cursor_commit(cursor, 10));
    cr_assert_ok(seglog_cursor_commit(cursor, 20));
    cr_assert_ok(seglog_cursor_close(cursor));
    fd = open(path, O_RDONLY);
    cr_assert_eq(pread(fd, file[0], 64, 0), 64);
    cr_assert_eq(pread(fd, file[1], 64, 4096), 64);
    close(fd);
    for (unsigned bit = 0; bit < 2 * 512; bit++) {
        unsigned char *byte = &file[bit / 512][bit % 512 / 8];
        const off_t at = bit / 512 * 4096 + bit % 512 / 8;
        uint64_t seq;

        *byte ^= (unsigned char)(1 << bit % 8);
        write_at(dir, at, byte, 1);
        seq = stored_seq(dir, "c");
        cr_assert(seq == 10 || seq == 20);
        *byte ^= (unsigned char)(1 << bit % 8);
        write_at(dir, at, byte, 1);
    }
    free(path);
    tmpdir_remove(dir);
}

Test(cursor, what_is_no_cursor_file_is_told_and_set_anew)
{
    char *dir = make_log(0), *path = tmpdir_path(dir, "cursor-c");
    const struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ, .value = 7};
    struct seglog_cursor *cursor = NULL;
    struct seglog_cursor_info *all;

    close(open(path, O_CREAT | O_WRONLY, 0600)); /* empty */
    cr_assert_status(seglog_cursor_open(dir, "c", &make_it, &cursor), SEGLOG_ECORRUPT);
    cr_assert_eq(seglog_cursor_list(dir, &all), 1);
    cr_assert_status(all[0].status, SEGLOG_ECORRUPT);
    free(all);
    cr_assert_ok(seglog_cursor_set(dir, "c", &place, 0, NULL));
    cr_assert_eq(stored_seq(dir, "c"), 7);
    /* Both slots are good again. */
    write_at(dir, 30, "\xff", 1);
    cr_assert_eq(stored_seq(dir, "c"), 7);

    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_status(look(dir, "c").status, SEGLOG_ECORRUPT);
    cr_assert_status(seglog_cursor_open(dir, "c", &make_it, &cursor), SEGLOG_ECORRUPT);
    cr_assert_ok(seglog_cursor_remove(dir, "c"));
    cr_assert_eq(symlink("/dev/zero", path), 0);
    cr_assert_status(look(dir, "c").status, SEGLOG_ECORRUPT);
    cr_assert_status(seglog_cursor_open(dir, "c", &make_it, &cursor), SEGLOG_ECORRUPT);
    free(path);
    tmpdir_remove(dir);
}

Test(cursor, of_another_log_is_not_believed)
{
    char *dir = make_log(0), *other = make_log(0), *from = tmpdir_path(dir, "cursor-c"),
         *to = tmpdir_path(other, "cursor-c");

    cr_assert_ok(seglog_cursor_close(take(dir, "c", SEGLOG_CURSOR_CREATE)));
    cr_assert_eq(rename(from, to), 0);
    cr_assert_status(look(other, "c").status, SEGLOG_ECORRUPT);
    free(from);
    free(to);
    tmpdir_remove(dir);
    tmpdir_remove(other);
}

/* ---- lag ------------------------------------------------------------------------------------ */

Test(cursor, tells_how_far_it_is_behind)
{
    char *dir = make_log(3);
    struct seglog_cursor_info info, *all;
    uint64_t bytes = 0;

    for (uint64_t seq = 60; seq < 4 * EACH; seq++)
        bytes += (uint64_t)snprintf(NULL, 0, "%llu", (unsigned long long)seq);
    cr_assert_ok(seglog_cursor_set(
        dir, "b", &(struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = 60}, 0, &info));
    cr_assert_eq(info.lag_records, 4 * EACH - 60);
    cr_assert_eq(info.lag_bytes, bytes);
    cr_assert(info.lag_ns > UINT64_C(1000000000000000000), "the records are of 1970");
    cr_assert_ok(
        seglog_cursor_set(dir, "a", &(struct seglog_place){.kind = SEGLOG_PLACE_END}, 0, NULL));
    cr_assert_ok(
        seglog_cursor_set(dir, "never", &(struct seglog_place){0}, SEGLOG_CURSOR_DRY_RUN, &info));
    cr_assert_eq(info.lag_records, 4 * EACH);
    cr_assert_eq(seglog_cursor_list(dir, &all), 2);
    cr_assert_str_eq(all[0].name, "a");
    cr_assert_eq(all[0].lag_records, 0);
    cr_assert_eq(all[0].lag_bytes, 0);
    cr_assert_eq(all[0].lag_ns, 0);
    cr_assert_str_eq(all[1].name, "b");
    free(all);
    append_more(dir, 0);
    cr_assert_eq(look(dir, "a").lag_records, EACH);
    cr_assert_ok(seglog_cursor_remove(dir, "a"));
    cr_assert_eq(seglog_cursor_list(dir, &all), 1);
    free(all);
    tmpdir_remove(dir);
}

/* ---- places that went ------------------------------------------------------------------------ */

static void floor_to(const char *dir, uint64_t number, uint64_t first_seq)
{
    struct build_log log = {.dir = (char *)(uintptr_t)dir};
    struct log_view view;

    cr_assert_ok(log_view_open(dir, false, &view));
    log.dirfd = view.dirfd;
    log.settings = view.settings;
    build_log_floor(&log, number, first_seq);
    log_view_close(&view);
}

Test(cursor, whose_records_were_trimmed_says_so_and_may_skip)
{
    char *dir = make_log(3);
    struct seglog_cursor *cursor = NULL;
    struct seglog_cursor_info info;

    cr_assert_ok(seglog_cursor_close(take(dir, "c", SEGLOG_CURSOR_CREATE)));
    floor_to(dir, 2, 2 * EACH);
    cr_assert_status(seglog_cursor_open(dir, "c", NULL, &cursor), SEGLOG_ETRIMMED);
    info = look(dir, "c");
    cr_assert_status(info.status, SEGLOG_ETRIMMED);
    cr_assert_eq(info.seq, 0);
    cr_assert_eq(info.resume_seq, 2 * EACH);
    cr_assert_eq(info.lag_records, 2 * EACH);
    cursor = take(dir, "c", SEGLOG_CURSOR_SKIP);
    expect_records(cursor, 2 * EACH, 2 * EACH + 3);
    cr_assert_ok(seglog_cursor_commit(cursor, UINT64_MAX));
    cr_assert_ok(seglog_cursor_close(cursor));
    cr_assert_status(look(dir, "c").status, 0);
    tmpdir_remove(dir);
}

Test(cursor, beyond_a_recoverys_cut_says_so_and_may_go_on_at_the_cut)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_cursor *cursor = NULL;
    struct seglog_cursor_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &segs[0]);
    build_records(&segs[0], 100);
    cr_assert_ok(seglog_cursor_set(
        log.dir, "in", &(struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = 40}, 0, NULL));
    cr_assert_ok(seglog_cursor_set(
        log.dir, "beyond", &(struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = 90}, 0, NULL));
    /* The machine went down, and 60 records were left. */
    segs[0].at = OFF_FRAMES;
    segs[0].seq_rel = 0;
    memset(segs[0].seg->base + OFF_FRAMES, 0, 8192);
    build_records(&segs[0], 60);
    build_cut(&segs[0], NULL);
    build_begin(&log, &segs[0], &segs[1]);
    build_records(&segs[1], 200);

    cr_assert_status(look(log.dir, "in").status, 0);
    info = look(log.dir, "beyond");
    cr_assert_status(info.status, SEGLOG_EREWOUND);
    cr_assert_eq(info.seq, 90);
    cr_assert_eq(info.resume_seq, 60);
    cr_assert_status(seglog_cursor_open(log.dir, "beyond", NULL, &cursor), SEGLOG_EREWOUND);
    cursor = take(log.dir, "beyond", SEGLOG_CURSOR_SKIP);
    expect_records(cursor, 60, 70);
    cr_assert_ok(seglog_cursor_commit(cursor, UINT64_MAX));
    cr_assert_ok(seglog_cursor_close(cursor));
    info = look(log.dir, "beyond");
    cr_assert_status(info.status, 0);
    cr_assert_eq(info.seq, 70);
    cr_assert_eq(info.epoch, 1);
    build_close(&segs[0]);
    build_close(&segs[1]);
    build_log_remove(&log);
}

Test(cursor, a_segment_that_was_cut_at_its_beginning_has_nothing_to_read)
{
    struct build_log log;
    struct build_segment segs[3];

    build_log_make(&log);
    build_begin(&log, NULL, &segs[0]);
    build_records(&segs[0], 100);
    build_roll(&segs[0]);
    build_seal(&segs[0], NULL);
    build_begin(&log, &segs[0], &segs[1]);
    build_cut(&segs[1], &segs[0]);
    build_begin(&log, &segs[1], &segs[2]);
    build_records(&segs[2], 10);
    cr_assert_ok(seglog_cursor_set(
        log.dir, "c", &(struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = 40}, 0, NULL));
    cr_assert_eq(look(log.dir, "c").lag_records, 70);
    for (int i = 0; i < 3; i++)
        build_close(&segs[i]);
    build_log_remove(&log);
}
