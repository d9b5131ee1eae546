/*
 * Info and verify while the log moves: appenders append, segments fill and are sealed, producers are
 * killed. Never a false alarm, never a picture that does not hold together.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inspect/collect.h"
#include "log/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#include <seglog/seglog.h>

#define PRODUCERS 2
#define LOOK_S    UINT64_C(4)

static struct seglog_log *log_at(const char *dir)
{
    const struct seglog_log_options options = {.segment_size = 1u << 18,
                                               .flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log = NULL;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    return log;
}

/* Append records of all sizes until killed; now and then abort, batch, or sync. */
static void produce(const char *dir, unsigned seed)
{
    struct seglog_log *log = log_at(dir);
    struct seglog_appender *appender;
    char bytes[1000];

    memset(bytes, 'a' + (int)seed, sizeof(bytes));
    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    for (unsigned i = 0;; i++) {
        const struct seglog_record batch[3] = {
            {.data = bytes, .len = i % 50}, {.data = bytes, .len = 9}, {.data = bytes}};
        struct seglog_claim claim;
        int rc = seglog_appender_append(appender, bytes, i * 7919 % sizeof(bytes), NULL);

        if (rc == 0 && i % 5 == 0)
            rc = seglog_appender_append_batch(appender, batch, 3, NULL);
        if (rc == 0 && i % 11 == 0 && (rc = seglog_appender_claim(appender, i % 300, &claim)) == 0)
            rc = i % 2 ? seglog_appender_abort(appender)
                       : seglog_appender_commit(appender, &claim, i % 300 / 2);
        if (i % 400 == 399)
            (void)seglog_log_sync(log, NULL);
        if (rc < 0) {
            fprintf(stderr, "appending: %s\n", seglog_strerror(rc));
            _exit(1);
        }
        /* Some megabytes a second at first; then so slowly that looking, which takes the longer the
         * larger the log has become, keeps up on a busy machine and with sanitizers, too. */
        if (i % 16 == 0)
            clock_sleep_ns(i < 2000 ? 1000000 : 20000000);
    }
}

/* A process that does this to the log until it is killed, at the latest together with us. */
static pid_t start_one(void (*work)(const char *dir, unsigned seed), const char *dir, unsigned seed)
{
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(dir, seed);
    }
    return pid;
}

static void start(const char *dir, pid_t pids[PRODUCERS])
{
    for (unsigned i = 0; i < PRODUCERS; i++)
        pids[i] = start_one(produce, dir, i);
}

static void stop(pid_t pids[PRODUCERS])
{
    for (unsigned i = 0; i < PRODUCERS; i++) {
        int status;

        cr_assert_eq(kill(pids[i], SIGKILL), 0);
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_assert(WIFSIGNALED(status), "a producer gave up");
    }
}

static void expect_no_alarm(const char *dir)
{
    const struct collected c = collect(dir, 0);

    cr_assert(c.rc == 0, "rc %d, segment %llu offset %llu lost %llu..%llu: %s", c.rc,
              (unsigned long long)c.damage[0].segment, (unsigned long long)c.damage[0].offset,
              (unsigned long long)c.damage[0].first_seq, (unsigned long long)c.damage[0].last_seq,
              c.damage[0].cause);
}

static void expect_whole(const char *dir, struct seglog_info *info)
{
    uint64_t next;

    cr_assert_ok(seglog_info_read(dir, info));
    next = info->first_seq;
    cr_assert_leq(info->durable_seq, info->next_seq);
    for (size_t i = 0; i < info->segment_count; i++) {
        const struct seglog_segment_info *s = &info->segments[i];

        cr_assert_eq(
            s->first_seq, next,
            "segment %llu (state %u) begins at %llu, behind %llu (state %u) that ends at %llu",
            (unsigned long long)s->number, s->state, (unsigned long long)s->first_seq,
            (unsigned long long)(s - (i > 0))->number, (s - (i > 0))->state,
            (unsigned long long)next);
        cr_assert_leq(s->records + s->void_count, s->next_seq - s->first_seq);
        cr_assert_geq(s->records + s->void_count + 3 * PRODUCERS, s->next_seq - s->first_seq);
        next = s->next_seq;
    }
    cr_assert_eq(next, info->next_seq);
}

Test(moving, no_false_alarm_while_two_processes_append, .timeout = 120)
{
    char *dir = tmpdir_make();
    uint64_t until;
    uint64_t last = 0, durable = 0;
    unsigned looks = 0;
    bool has_grown = false;
    pid_t pids[PRODUCERS];
    struct seglog_info info;

    cr_assert_ok(seglog_log_close(log_at(dir)));
    start(dir, pids);
    until = clock_monotonic_ns() + LOOK_S * 1000000000;
    /* For so long, and until there is something to see: a disk may keep the producers waiting. */
    while (clock_monotonic_ns() < until || looks < 4 || !has_grown) {
        expect_no_alarm(dir);
        expect_whole(dir, &info);
        cr_assert_geq(info.next_seq, last);
        cr_assert_geq(info.durable_seq, durable);
        last = info.next_seq;
        durable = info.durable_seq;
        has_grown = info.appenders == PRODUCERS && info.segment_count > 3 && last > 1000;
        seglog_info_free(&info);
        looks++;
    }
    stop(pids);

    /* Killed in the middle of things: still sound, and nobody is there. */
    expect_no_alarm(dir);
    expect_whole(dir, &info);
    cr_assert_eq(info.appenders, 0);
    last = info.records;
    seglog_info_free(&info);
    cr_assert_eq(collect(dir, 0).report.records, last);

    /* And after the next one has recovered it. */
    cr_assert_ok(seglog_log_close(log_at(dir)));
    expect_no_alarm(dir);
    expect_whole(dir, &info);
    cr_assert_eq(info.records, last);
    cr_assert_eq(info.has_waiting_claim, 0);
    seglog_info_free(&info);
    tmpdir_remove(dir);
}

Test(moving, producers_that_die_and_come_again, .timeout = 120)
{
    char *dir = tmpdir_make();
    pid_t pids[PRODUCERS];
    struct seglog_info info;

    cr_assert_ok(seglog_log_close(log_at(dir)));
    for (unsigned round = 0; round < 12; round++) {
        start(dir, pids);
        for (unsigned i = 0; i < 3; i++) {
            clock_sleep_ns(10000000);
            expect_no_alarm(dir);
            expect_whole(dir, &info);
            seglog_info_free(&info);
        }
        stop(pids);
        expect_no_alarm(dir);
    }
    tmpdir_remove(dir);
}

/* Take segments away from the front, so that few are left, until killed. */
static void remove_oldest(const char *dir, unsigned seed)
{
    struct seglog_log *log = log_at(dir);

    (void)seed;
    for (;;) {
        struct seglog_info info;

        cr_assert_ok(seglog_info_read(dir, &info));
        if (info.segment_count > 8)
            (void)log_drop_oldest(log);
        else
            clock_sleep_ns(1000000);
        seglog_info_free(&info);
    }
}

/* Names come and go while the directory is read: a gap in what readdir() gives is none. */
Test(moving, segments_that_are_removed_while_we_look, .timeout = 120)
{
    char *dir = tmpdir_make();
    uint64_t until, first;
    pid_t pids[PRODUCERS], remover;
    struct seglog_info info;
    int status;

    cr_assert_ok(seglog_log_close(log_at(dir)));
    start(dir, pids);
    remover = start_one(remove_oldest, dir, 0);
    until = clock_monotonic_ns() + LOOK_S * 1000000000;
    do {
        expect_no_alarm(dir);
        expect_whole(dir, &info);
        first = info.first_seq;
        seglog_info_free(&info);
    } while (clock_monotonic_ns() < until || first == 0); /* until some were removed, at least */
    stop(pids);
    cr_assert_eq(kill(remover, SIGKILL), 0);
    cr_assert_eq(waitpid(remover, &status, 0), remover);
    expect_no_alarm(dir);
    tmpdir_remove(dir);
}

Test(moving, a_log_sealed_and_closed, .timeout = 60)
{
    char *dir = tmpdir_make();
    struct seglog_log *log = log_at(dir);
    struct seglog_appender *appender;
    struct seglog_info info;

    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_ok(seglog_appender_append(appender, "a record", 8, NULL));
    expect_whole(dir, &info);
    cr_assert_eq(info.appenders, 1);
    cr_assert_eq(info.exclusive, 0);
    cr_assert_eq(info.records, 1000);
    cr_assert_eq(info.bytes, 8000);
    seglog_info_free(&info);
    cr_assert_ok(seglog_appender_close(appender));
    cr_assert_ok(seglog_log_seal(log, UINT64_MAX));
    expect_whole(dir, &info);
    cr_assert_eq(info.segments[0].state, SEGLOG_SEGMENT_SEALED);
    cr_assert_eq(info.durable_seq, 1000);
    cr_assert_eq(info.appenders, 0);
    seglog_info_free(&info);
    cr_assert_ok(seglog_log_close(log));
    expect_sound(dir, 1000);
    tmpdir_remove(dir);
}
