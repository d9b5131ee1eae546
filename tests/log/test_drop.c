/*
 * Removing the oldest segments while others are attached, some of them far behind.
 */
#include "log/logs.h"
#include "log/steps.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Append, roll and seal until so many segments are behind us; all but two are removed. */
static void move_on(struct seglog_log *log, struct seglog_appender *ap, unsigned segments)
{
    int rc;

    for (unsigned i = 0; i < segments; i++) {
        log_append(ap, 10);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    }
    do {
        rc = log_drop_oldest(log);
    } while (rc == 0);
    cr_assert_status(rc, -EBUSY);
}

static void expect_numbers(const char *dir, uint64_t first_number)
{
    struct log_view view;
    struct segment_list list;
    struct floor_facts floor;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(log_view_floor(&view, &floor));
    cr_assert_eq(floor.number, first_number);
    cr_assert_ok(segment_list_read(view.dirfd, &list));
    for (size_t i = 0; i < list.count; i++)
        cr_assert_eq(list.numbers[i], first_number + i, "segment %llu is there",
                     (unsigned long long)list.numbers[i]);
    segment_list_free(&list);
    log_view_close(&view);
}

Test(drop, the_newest_sealed_segment_stays)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    cr_assert_status(log_drop_oldest(log), -EBUSY);
    move_on(log, ap, 1);
    expect_numbers(dir, 0);
    move_on(log, ap, 4);
    expect_numbers(dir, 4);
    log_append(ap, 10);
    cr_assert_eq(tally_dir(dir, false).first_seq, 40);
    log_detach(log, ap);
    log_append_alone(dir, 10);
    cr_assert_eq(tally_dir(dir, false).next_seq, 70);
    tmpdir_remove(dir);
}

/* An appender that slept while all that it knew was removed appends at the end, and makes no segment
 * where there was one. */
static void wake_up(unsigned filled_before, size_t len)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *idle_log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED),
                           *idle = log_appender(idle_log, SEGLOG_SHARED);
    static const char bytes[16352];
    uint64_t seq, next;

    log_append(idle, filled_before);
    move_on(log, ap, 6);
    cr_assert_ok(seglog_log_progress(log, NULL, &next));
    cr_assert_ok(seglog_appender_append(idle, bytes, len, &seq));
    cr_assert_eq(seq, next, "number %llu, not %llu", (unsigned long long)seq,
                 (unsigned long long)next);
    cr_assert_ok(seglog_log_progress(idle_log, NULL, &next));
    cr_assert_eq(next, seq + 1);
    expect_numbers(dir, 5);
    cr_assert_eq(tally_dir(dir, true).next_seq, seq + 1);
    log_detach(idle_log, idle);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(drop, a_sleeper_appends_at_the_end)
{
    wake_up(5, 10);
}

Test(drop, a_sleeper_in_a_segment_almost_full_appends_at_the_end)
{
    wake_up(560, 16352);
}

/* It asked for a spare before it fell asleep; that one is gone by now, and is not made, again and again. */
Test(drop, a_sleeper_prepares_nothing_that_was_removed, .timeout = 60)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *idle_log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED),
                           *idle = log_appender(idle_log, SEGLOG_SHARED);

    log_append(idle, 560);
    cr_assert(idle_log->wanted);
    move_on(log, ap, 6);
    cr_assert_ok(seglog_log_tend(idle_log));
    expect_numbers(dir, 5);
    log_append(idle, 560);
    cr_assert_ok(seglog_log_tend(idle_log));
    cr_assert_eq(tally_dir(dir, true).next_seq, 560 + 60 + 560);
    log_detach(idle_log, idle);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(drop, a_handle_without_appenders_finds_the_end)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *idle = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED), *late;
    uint64_t next;

    log_append(ap, 5);
    move_on(log, ap, 6);
    log_append(ap, 5);
    cr_assert_ok(seglog_log_progress(idle, NULL, &next));
    cr_assert_eq(next, 70);
    cr_assert_ok(seglog_log_tend(idle));
    late = log_appender(idle, SEGLOG_SHARED);
    log_append(late, 5);
    cr_assert_eq(seglog_log_seal(idle, PATIENCE), 1);
    expect_numbers(dir, 5);
    log_detach(idle, late);
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).next_seq, 75);
    tmpdir_remove(dir);
}

Test(drop, one_that_was_killed_before_the_file_went_is_finished_by_the_next_recovery)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE), *kept;
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct seglog_recovery r;

    for (unsigned i = 0; i < 3; i++) {
        log_append(ap, 10);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    }
    kept = log_copy(dir);
    cr_assert_ok(log_drop_oldest(log));
    log_detach(log, ap);
    {
        char *from = tmpdir_path(kept, "0000000000000000.seg");
        char *to = tmpdir_path(dir, "0000000000000000.seg");

        cr_assert(rename(from, to) == 0);
        free(from);
        free(to);
    }
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.next_seq, 30);
    cr_assert_ok(seglog_log_close(log));
    expect_numbers(dir, 1);
    tmpdir_remove(kept);
    tmpdir_remove(dir);
}

/* ---- killed on the way ------------------------------------------------------------------------ */

struct dropper {
    const char *dir;
    uint64_t die_at;
};

static int drop_twice(struct child *parent, void *arg)
{
    const struct dropper *d = arg;
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    (void)parent;
    child_must(seglog_log_open(d->dir, &options, &log));
    steps_reset();
    atomic_store(&steps.die_at, d->die_at);
    child_must(log_drop_oldest(log));
    child_must(log_drop_oldest(log));
    return 0;
}

Test(drop, killed_before_any_step_leaves_a_log_without_a_hole)
{
    char *from = log_dir_make(SEGLOG_SYNC_NONE), *dir = tmpdir_make();
    struct seglog_log *log = log_attach(from);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    int status = 1;

    for (unsigned i = 0; i < 5; i++) {
        log_append(ap, 10);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    }
    log_detach(log, ap);
    for (uint64_t die_at = 1; status != 0; die_at++) {
        struct dropper d = {.dir = dir, .die_at = die_at};
        struct child child;
        struct tally t;

        log_copy_over(from, dir);
        child_start(&child, drop_twice, &d);
        status = child_status(&child);
        cr_assert(status == 0 || status == 256 + SIGKILL);
        log_append_alone(dir, 1);
        t = tally_dir(dir, false);
        cr_assert_eq(t.next_seq, 51);
        cr_assert_eq(t.first_seq % 10, 0);
        cr_assert_eq(t.records, 51 - t.first_seq);
        cr_assert_eq(t.temps, 0);
        cr_assert(status != 0 || t.first_seq == 20);
        log = log_attach(dir);
        cr_assert_ok(log_drop_oldest(log));
        cr_assert_ok(seglog_log_close(log));
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

/* ---- a floor that moves while it is read ------------------------------------------------------ */

/* What happens while somebody sleeps before looking again. */
static struct {
    int fd; /* 0: nothing */
    struct floor_slot slots[2];
    unsigned sleeps;
} meanwhile;

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    /* Other tests sleep in many threads: nothing is counted for them. */
    if (meanwhile.fd > 0 && ++meanwhile.sleeps == 2)
        cr_assert_ok(file_pwrite(meanwhile.fd, meanwhile.slots, sizeof(meanwhile.slots), 0));
    return syscall(SYS_clock_nanosleep, clock, flags, time, left) < 0 ? errno : 0;
}

Test(drop, a_floor_met_half_written_is_looked_at_again)
{
    struct floor_slot torn[2];
    struct floor_facts floor;
    struct build_log log;
    struct log_view view;

    build_log_make(&log);
    build_log_floor(&log, 7, 70);
    cr_assert_ok(log_view_open(log.dir, false, &view));
    meanwhile.fd = file_open(log.dirfd, NAME_FLOOR, O_RDWR, 0);
    cr_assert_ok(meanwhile.fd);
    cr_assert_ok(file_pread(meanwhile.fd, meanwhile.slots, sizeof(meanwhile.slots), 0));
    memset(torn, 0x5a, sizeof(torn));
    cr_assert_ok(file_pwrite(meanwhile.fd, torn, sizeof(torn), 0));
    meanwhile.sleeps = 0;
    cr_assert_ok(log_view_floor(&view, &floor));
    cr_assert_eq(floor.number, 7);
    /* One that stays so is damaged. */
    cr_assert_ok(file_pwrite(meanwhile.fd, torn, sizeof(torn), 0));
    cr_assert_status(log_view_floor(&view, &floor), SEGLOG_ECORRUPT);
    file_close(meanwhile.fd);
    meanwhile.fd = 0;
    log_view_close(&view);
    build_log_remove(&log);
}
