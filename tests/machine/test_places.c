/*
 * What a log is where this process cannot write, and where the kernel does not say which boot it is.
 *
 * A process that is root may write everything, but for what is mounted read-only; so these tests
 * mount, in a name space of their own, and are skipped where that is not allowed.
 */
#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "support/build_log.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define PATIENCE UINT64_C(60000000000)

/* A view of the mounts that is ours alone. */
static bool mounts_alone(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void remount_read_only(const char *dir)
{
    cr_assert(mount(dir, dir, NULL, MS_BIND, NULL) == 0);
    cr_assert(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
}

static void unmount(const char *dir)
{
    cr_assert(umount2(dir, MNT_DETACH) == 0);
}

static struct seglog_reader *reader_open(const char *dir)
{
    struct seglog_reader *reader;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    return reader;
}

static void expect_record(struct seglog_reader *reader, uint64_t seq)
{
    struct seglog_view view;

    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_eq(view.seq, seq);
}

/* ---- read-only -------------------------------------------------------------------------------- */

Test(read_only, a_claim_of_the_dead_is_stepped_over_and_left_as_it_is)
{
    struct seglog_verify_report report;
    struct seglog_reader *reader;
    struct seglog_log *attached;
    struct build_segment seg;
    struct seglog_info info;
    struct build_log log;
    uint64_t claim;

    if (!mounts_alone())
        cr_skip("needs root to mount a directory read-only\n");
    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 3, 7);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 5);
    claim = build_claim(&seg, 3, 7, 1, 64);
    build_records(&seg, 5);
    remount_read_only(log.dir);

    reader = reader_open(log.dir);
    for (uint64_t seq = 0; seq < 11; seq++) {
        if (seq != 5)
            expect_record(reader, seq);
    }
    cr_assert_status(seglog_reader_wait(reader, 20000000), -ETIMEDOUT);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_info_read(log.dir, &info));
    cr_assert(info.records == 10 && info.void_count == 1 && info.waiting_dead);
    seglog_info_free(&info);
    cr_assert_ok(seglog_verify(log.dir, NULL, &report));
    cr_assert_eq(report.records, 10);
    cr_assert_eq(word_load(&segment_frame(seg.seg, claim)->word, memory_order_relaxed),
                 word_claimed(3, 7, 1, 64), "somebody wrote");

    cr_assert_status(seglog_log_open(log.dir, NULL, &attached), -EROFS);
    unmount(log.dir);
    build_close(&seg);
    build_log_remove(&log);
}

static int append_later(struct child *parent, void *arg)
{
    struct seglog_appender *ap;
    struct seglog_log *log;

    child_must(seglog_log_open(arg, NULL, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_say(parent, 'r');
    (void)child_hear(parent);
    clock_sleep_ns(20000000);
    child_must(seglog_appender_append(ap, "x", 1, NULL));
    (void)child_hear(parent);
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

/* It cannot say that it sleeps, so nobody will wake it; it wakes up by itself. */
Test(read_only, a_reader_waits_for_those_who_may_write)
{
    char *dir = tmpdir_make();
    struct seglog_reader *reader;
    struct child writer;

    cr_assert_ok(seglog_log_create(dir, NULL));
    child_start(&writer, append_later, dir); /* which goes on seeing the mounts of before */
    cr_assert_eq(child_hear(&writer), 'r');
    if (!mounts_alone()) {
        child_kill(&writer);
        tmpdir_remove(dir);
        cr_skip("needs root to mount a directory read-only\n");
    }
    remount_read_only(dir);
    reader = reader_open(dir);
    cr_assert_status(seglog_reader_wait(reader, 0), -ETIMEDOUT);
    child_say(&writer, 'g');
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE));
    expect_record(reader, 0);
    child_say(&writer, 'e');
    child_end(&writer);
    seglog_reader_close(reader);
    unmount(dir);
    tmpdir_remove(dir);
}

/* ---- without /proc ---------------------------------------------------------------------------- */

static bool proc_hide(void)
{
    return mounts_alone() && mount("none", "/proc", "tmpfs", 0, "size=4k") == 0;
}

static void proc_show(void)
{
    unmount("/proc");
}

static struct seglog_log *attach(const char *dir, struct seglog_recovery *recovery)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_log_recovery(log, recovery));
    return log;
}

/* Records, a claim that nobody finishes, a bad record if asked, records; all of this boot. */
static void build_unfinished(struct build_log *log, bool is_bad)
{
    struct build_segment seg;
    uint64_t bad;

    build_log_make(log);
    build_log_live(log);
    build_log_slot(log, 3, 7);
    build_begin(log, NULL, &seg);
    build_records(&seg, 5);
    build_claim(&seg, 3, 7, 1, 64);
    build_records(&seg, 3);
    bad = build_record(&seg, "bad", 9, 9);
    build_records(&seg, 3);
    if (is_bad)
        build_damage(&seg, bad + FRAME_HEADER);
    build_close(&seg);
}

/* The neighbour: with /proc, the same is of this boot, and nothing is dropped. */
Test(without_proc, what_a_known_boot_would_keep)
{
    struct seglog_recovery recovery;
    struct build_log log;

    build_unfinished(&log, true);
    cr_assert_ok(seglog_log_close(attach(log.dir, &recovery)));
    cr_assert_eq(recovery.boot, BOOT_SAME);
    cr_assert(recovery.claims_aborted == 1 && recovery.next_seq == 13 && recovery.epoch == 0);
    build_log_remove(&log);
}

Test(without_proc, the_boot_is_unknown_and_the_dead_are_stepped_over)
{
    struct seglog_recovery recovery;
    struct seglog_reader *reader;
    struct seglog_log *attached;
    struct build_log log;

    build_unfinished(&log, false);
    if (!proc_hide())
        cr_skip("needs root to hide /proc\n");
    attached = attach(log.dir, &recovery);
    cr_assert_eq(recovery.boot, BOOT_UNKNOWN);
    cr_assert(recovery.claims_aborted == 1 && recovery.next_seq == 13 && recovery.epoch == 0);
    reader = reader_open(log.dir);
    for (uint64_t seq = 0; seq < 13; seq++) {
        if (seq != 5)
            expect_record(reader, seq);
    }
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(attached));
    /* Nor does the next one know, or find anything left to do. */
    attached = attach(log.dir, &recovery);
    cr_assert_eq(recovery.boot, BOOT_UNKNOWN);
    cr_assert(recovery.claims_aborted == 0 && recovery.next_seq == 13 && recovery.epoch == 0);
    cr_assert_ok(seglog_log_close(attached));
    proc_show();
    build_log_remove(&log);
}

Test(without_proc, the_log_ends_at_the_first_bad_frame_and_keeps_the_rest_aside)
{
    struct seglog_recovery recovery;
    struct build_log log;

    build_unfinished(&log, true);
    if (!proc_hide())
        cr_skip("needs root to hide /proc\n");
    cr_assert_ok(seglog_log_close(attach(log.dir, &recovery)));
    cr_assert_eq(recovery.boot, BOOT_UNKNOWN);
    cr_assert(recovery.next_seq == 9 && recovery.epoch == 1 && recovery.frames_dropped == 3);
    proc_show();
    build_log_remove(&log);
}

static int claim_and_wait(struct child *parent, void *arg)
{
    struct seglog_appender *ap;
    struct seglog_claim claim;
    struct seglog_log *log;

    child_assert(proc_hide());
    child_must(seglog_log_open(arg, NULL, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_append(ap, "0", 1, NULL));
    child_must(seglog_appender_claim(ap, 1, &claim));
    child_say(parent, 'c');
    (void)child_hear(parent);
    return 1;
}

/* Attached writers vouch for the boot: the living are waited for, the dead are not. */
Test(without_proc, a_living_producer_is_waited_for)
{
    char *dir = tmpdir_make();
    struct seglog_reader *reader;
    struct seglog_appender *ap;
    struct seglog_log *attached;
    struct seglog_recovery recovery;
    struct seglog_view view;
    struct child producer;

    if (!proc_hide()) {
        tmpdir_remove(dir);
        cr_skip("needs root to hide /proc\n");
    }
    cr_assert_ok(seglog_log_create(dir, NULL));
    child_start(&producer, claim_and_wait, dir);
    cr_assert_eq(child_hear(&producer), 'c');
    reader = reader_open(dir);
    expect_record(reader, 0);
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    attached = attach(dir, &recovery);
    cr_assert_eq(recovery.ran, 0, "somebody is attached");
    cr_assert_ok(seglog_appender_open(attached, NULL, &ap));
    cr_assert_ok(seglog_appender_append(ap, "2", 1, NULL));
    cr_assert_status(seglog_reader_wait(reader, 50000000), -ETIMEDOUT);
    child_kill(&producer);
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE));
    expect_record(reader, 2);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(attached));
    proc_show();
    tmpdir_remove(dir);
}
