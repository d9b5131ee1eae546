/*
 * Following producers in other processes, some of which are killed: every producer's records come
 * complete and in its order, up to the one that it did not live to append.
 */
#include "reading.h"

#include <seglog/log.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/tmpdir.h"
#include "sys/clock.h"

#define PRODUCERS 3u
#define RECORDS   20000u

struct load {
    uint32_t producer;
    uint32_t count;
    uint8_t fill[50];
};

/* In the child: append all, or until killed. */
static void produce(const char *dir, uint32_t producer)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct load load = {.producer = producer};

    if (seglog_log_open(dir, &options, &log) < 0 || seglog_appender_open(log, NULL, &appender) < 0)
        _exit(1);
    for (load.count = 0; load.count < RECORDS; load.count++)
        if (seglog_appender_append(appender, &load, sizeof(load) - load.count % 50, NULL) < 0)
            _exit(2);
    _exit(seglog_appender_close(appender) < 0 || seglog_log_close(log) < 0 ? 3 : 0);
}

/* Have they all ended, by themselves or killed? */
static bool all_ended(const pid_t pids[PRODUCERS])
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        siginfo_t info = {.si_pid = 0};

        if (pids[i] == 0)
            continue;
        cr_assert_eq(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT), 0);
        if (info.si_pid == 0)
            return false;
    }
    return true;
}

static void follow_producers(uint32_t flags, bool kills)
{
    const struct seglog_log_options options = {.segment_size = 1 << 18, .flags = SEGLOG_LOG_CREATE};
    const struct seglog_reader_options reading = {.flags = flags};
    char *dir = tmpdir_make();
    uint32_t counts[PRODUCERS] = {0};
    uint64_t next = 0, quiet = 0;
    pid_t pids[PRODUCERS];
    struct seglog_log *log;
    struct seglog_reader *reader;
    struct seglog_view views[64];

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_reader_open(dir, &reading, &reader));
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        pids[i] = fork();
        cr_assert(pids[i] >= 0);
        if (pids[i] == 0)
            produce(dir, i);
    }
    /* It is quiet for good when nobody is left; before that a disk may keep all of them waiting. */
    while (quiet < 3) {
        const bool ended = all_ended(pids);
        const int n = seglog_reader_batch(reader, views, 64);

        if (n == -EAGAIN) {
            const int rc = seglog_reader_wait(reader, 200000000);

            quiet = rc == -ETIMEDOUT && ended ? quiet + 1 : 0;
            continue;
        }
        cr_assert_ok(n);
        for (int i = 0; i < n; i++) {
            struct load load;

            memcpy(&load, views[i].data, 8);
            cr_assert_geq(views[i].seq, next);
            next = views[i].seq + 1;
            cr_assert_lt(load.producer, PRODUCERS);
            cr_assert_eq(load.count, counts[load.producer]++);
            cr_assert_eq(views[i].len, sizeof(load) - load.count % 50);
        }
        if (kills && counts[0] > RECORDS / 4 && pids[0] > 0) {
            cr_assert_eq(kill(pids[0], SIGKILL), 0);
            cr_assert_eq(waitpid(pids[0], NULL, 0), pids[0]);
            pids[0] = 0;
        }
        seglog_reader_release(reader);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        int status = 0;

        if (pids[i] == 0)
            continue;
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_assert_eq(status, 0);
        cr_assert_eq(counts[i], RECORDS);
    }
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(follow, all_records_of_many_producers_come_in_order)
{
    follow_producers(0, false);
    follow_producers(SEGLOG_READER_COPY, false);
}

Test(follow, a_producer_that_is_killed_takes_nothing_of_the_others_with_it)
{
    for (int i = 0; i < 3; i++)
        follow_producers(0, true);
}
