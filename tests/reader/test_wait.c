/*
 * Waiting: woken by an append, in time for the dead, and at no cost while nothing happens.
 */
#include "reading.h"

#include <seglog/log.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/handle.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

struct writer {
    struct seglog_log *log;
    struct seglog_appender *appender;
    char *dir;
    uint64_t delay_ns;
    unsigned count;
};

static void writer_open(struct writer *w)
{
    const struct seglog_log_options options = {.segment_size = 65536, .flags = SEGLOG_LOG_CREATE};

    *w = (struct writer){.dir = tmpdir_make()};
    cr_assert_ok(seglog_log_open(w->dir, &options, &w->log));
    cr_assert_ok(seglog_appender_open(w->log, NULL, &w->appender));
}

static void writer_close(struct writer *w)
{
    cr_assert_ok(seglog_appender_close(w->appender));
    cr_assert_ok(seglog_log_close(w->log));
    tmpdir_remove(w->dir);
}

static void *writer_run(void *context)
{
    struct writer *w = context;

    for (unsigned i = 0; i < w->count; i++) {
        clock_sleep_ns(w->delay_ns);
        if (seglog_appender_append(w->appender, &i, sizeof(i), NULL) < 0)
            return w;
    }
    return NULL;
}

static struct seglog_reader *waiter_open(const char *dir, uint32_t wait, uint32_t flags)
{
    const struct seglog_reader_options options = {.wait = wait, .flags = flags};
    struct seglog_reader *reader;

    cr_assert_ok(seglog_reader_open(dir, &options, &reader));
    return reader;
}

struct sleeper {
    struct seglog_reader *reader;
    int rc;
};

static void *wait_long(void *context)
{
    struct sleeper *r = context;

    r->rc = seglog_reader_wait(r->reader, PATIENCE_NS);
    return NULL;
}

static void follow(uint32_t wait, uint32_t flags, unsigned count, uint64_t delay_ns)
{
    struct writer w;
    struct seglog_reader *reader;
    struct seglog_view view;
    pthread_t thread;
    void *failed;

    writer_open(&w);
    w.count = count;
    w.delay_ns = delay_ns;
    reader = waiter_open(w.dir, wait, flags);
    cr_assert_eq(pthread_create(&thread, NULL, writer_run, &w), 0);
    for (unsigned i = 0; i < count; i++) {
        while (seglog_reader_next(reader, &view) == -EAGAIN)
            cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
        cr_assert_eq(view.seq, i);
        if (i % 100 == 0)
            seglog_reader_release(reader);
    }
    cr_assert_eq(pthread_join(thread, &failed), 0);
    cr_assert_null(failed);
    seglog_reader_close(reader);
    writer_close(&w);
}

Test(wait, a_follower_sees_all_whatever_its_policy)
{
    for (uint32_t wait = SEGLOG_WAIT_AUTO; wait <= SEGLOG_WAIT_SLEEP; wait++) {
        follow(wait, 0, 5000, 0);
        follow(wait, 0, 50, 200000);
    }
    follow(SEGLOG_WAIT_AUTO, SEGLOG_READER_COPY, 3000, 0);
    follow(SEGLOG_WAIT_SLEEP, SEGLOG_READER_COPY, 50, 200000);
}

Test(wait, a_timeout_is_kept)
{
    struct writer w;

    writer_open(&w);
    for (uint32_t wait = SEGLOG_WAIT_AUTO; wait <= SEGLOG_WAIT_SLEEP; wait++) {
        struct seglog_reader *reader = waiter_open(w.dir, wait, 0);
        const uint64_t start = clock_monotonic_ns();

        cr_assert_status(seglog_reader_wait(reader, 0), -ETIMEDOUT);
        cr_assert_status(seglog_reader_wait(reader, 20000000), -ETIMEDOUT);
        cr_assert_geq(clock_monotonic_ns() - start, 20000000);
        seglog_reader_close(reader);
    }
    writer_close(&w);
}

/* Who sleeps looks up by itself after a time, so that a wake-up left out would only make it late:
 * asked is whether the append itself has rung. */
Test(wait, an_append_wakes_who_sleeps)
{
    struct writer w;
    struct sleeper sleeper;
    struct live_file *live;
    pthread_t thread;
    uint32_t rung;

    writer_open(&w);
    live = w.log->view.live;
    sleeper.reader = waiter_open(w.dir, SEGLOG_WAIT_SLEEP, 0);
    cr_assert_eq(pthread_create(&thread, NULL, wait_long, &sleeper), 0);
    while (atomic_load(&live->waiters) == atomic_load(&live->served))
        clock_sleep_ns(1000000);
    rung = atomic_load(&live->wake);
    cr_assert_ok(seglog_appender_append(w.appender, "a", 1, NULL));
    cr_assert_neq(atomic_load(&live->wake), rung);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_ok(sleeper.rc);
    seglog_reader_close(sleeper.reader);
    writer_close(&w);
}

Test(wait, what_is_there_is_not_waited_for)
{
    struct writer w;
    struct seglog_reader *reader;

    writer_open(&w);
    reader = waiter_open(w.dir, SEGLOG_WAIT_SLEEP, 0);
    cr_assert_ok(seglog_appender_append(w.appender, "a", 1, NULL));
    cr_assert_ok(seglog_reader_wait(reader, 0));
    cr_assert_ok(seglog_reader_wait(reader, UINT64_MAX));
    seglog_reader_close(reader);
    writer_close(&w);
}

/* How often it said that it goes to sleep; whatever the machine does meanwhile. */
static uint32_t times_asleep(const struct writer *w, struct seglog_reader *reader)
{
    struct live_file *live = w->log->view.live;
    const uint32_t before = atomic_load(&live->waiters);

    cr_assert_status(seglog_reader_wait(reader, 300000000), -ETIMEDOUT);
    return atomic_load(&live->waiters) - before;
}

Test(wait, an_idle_follower_uses_no_processor)
{
    struct writer w;
    struct seglog_reader *reader;
    struct rusage before, after;

    writer_open(&w);
    reader = waiter_open(w.dir, SEGLOG_WAIT_AUTO, 0);
    cr_assert_eq(getrusage(RUSAGE_THREAD, &before), 0);
    cr_assert_leq(times_asleep(&w, reader), 3, "it woke up to look");
    cr_assert_eq(getrusage(RUSAGE_THREAD, &after), 0);
    cr_assert_lt((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                     after.ru_utime.tv_usec - before.ru_utime.tv_usec,
                 20000);
    seglog_reader_close(reader);
    writer_close(&w);
}

Test(wait, a_sleeping_reader_asks_the_system_once)
{
    struct writer w;
    struct seglog_reader *reader;

    writer_open(&w);
    reader = waiter_open(w.dir, SEGLOG_WAIT_SLEEP, 0);
    cr_assert_eq(times_asleep(&w, reader), 1);
    seglog_reader_close(reader);
    writer_close(&w);
}

Test(wait, a_tag_that_does_not_come_is_waited_for)
{
    struct writer w;
    const struct seglog_reader_options options = {
        .wait = SEGLOG_WAIT_SLEEP, .flags = SEGLOG_READER_TAG, .tag = 5};
    struct seglog_record record = {.data = "x", .len = 1, .tag = 4};
    struct seglog_reader *reader;
    struct seglog_view view;

    writer_open(&w);
    cr_assert_ok(seglog_reader_open(w.dir, &options, &reader));
    cr_assert_ok(seglog_appender_append_record(w.appender, &record, NULL));
    cr_assert_status(seglog_reader_wait(reader, 10000000), -ETIMEDOUT);
    record.tag = 5;
    cr_assert_ok(seglog_appender_append_record(w.appender, &record, NULL));
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_eq(view.seq, 1);
    seglog_reader_close(reader);
    writer_close(&w);
}

Test(wait, damage_is_something_to_say)
{
    struct build_log log;
    struct build_segment segs[2];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 2, 1, 10);
    build_damage(&segs[0], OFF_FRAMES);
    reader = reader_on(&log, 0);
    cr_assert_ok(seglog_reader_wait(reader, 0));
    cr_assert_ok(seglog_reader_wait(reader, 0));
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 0, 0);
    cr_assert_ok(seglog_reader_wait(reader, 0));
    expect_all(reader, 1, 20);
    seglog_reader_close(reader);
    close_many(segs, 2);
    build_log_remove(&log);
}

static void on_alarm(int signal)
{
    (void)signal;
}

static void interrupted(const char *dir)
{
    struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval soon = {.it_value = {.tv_usec = 30000},
                                   .it_interval = {.tv_usec = 30000}}; /* one may come too early */
    const struct itimerval never = {.it_value = {0}};
    struct seglog_reader *reader = waiter_open(dir, SEGLOG_WAIT_SLEEP, 0);

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    cr_assert_status(seglog_reader_wait(reader, UINT64_MAX), -EINTR);
    cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    seglog_reader_close(reader);
}

Test(wait, a_signal_handler_ends_it)
{
    struct writer w;
    struct build_log log;
    struct build_segment seg;

    writer_open(&w);
    interrupted(w.dir);
    writer_close(&w);
    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    interrupted(log.dir); /* with nobody to be woken by */
    build_close(&seg);
    build_log_remove(&log);
}

Test(wait, without_live_words_records_are_still_noticed)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    pid_t pid;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    reader = waiter_open(log.dir, SEGLOG_WAIT_SLEEP, 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        clock_sleep_ns(50000000);
        build_records(&seg, 1);
        _exit(0);
    }
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    expect_next(reader, 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

/* The first writer comes while a reader already waits: its words must be found and believed. */
Test(wait, a_writer_that_comes_later_wakes_us)
{
    struct writer w;
    struct seglog_reader *reader;
    struct seglog_view view;
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = 65536};
    pthread_t thread;
    void *failed;

    cr_assert_ok(seglog_log_create(dir, &options));
    reader = waiter_open(dir, SEGLOG_WAIT_SLEEP, 0);
    cr_assert_status(seglog_reader_wait(reader, 30000000), -ETIMEDOUT);
    w = (struct writer){.dir = dir, .count = 20, .delay_ns = 3000000};
    cr_assert_ok(seglog_log_open(dir, &options, &w.log));
    cr_assert_ok(seglog_appender_open(w.log, NULL, &w.appender));
    cr_assert_eq(pthread_create(&thread, NULL, writer_run, &w), 0);
    for (unsigned i = 0; i < 20; i++) {
        while (seglog_reader_next(reader, &view) == -EAGAIN)
            cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
        cr_assert_eq(view.seq, i);
    }
    cr_assert_eq(pthread_join(thread, &failed), 0);
    cr_assert_null(failed);
    seglog_reader_close(reader);
    writer_close(&w);
}

Test(wait, a_producer_killed_with_a_claim_open_is_passed_in_time)
{
    struct writer w;
    struct seglog_reader *reader;
    struct seglog_view view;
    _Atomic int *claimed = child_shared(sizeof(*claimed));
    pid_t pid;

    writer_open(&w);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        const struct seglog_log_options options = {0};
        struct seglog_log *log;
        struct seglog_appender *appender;
        struct seglog_claim claim;

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion below does not hold */
        if (seglog_log_open(w.dir, &options, &log) == 0 &&
            seglog_appender_open(log, NULL, &appender) == 0 &&
            seglog_appender_claim(appender, 5, &claim) == 0) {
            atomic_store(claimed, 1);
            for (;;)
                pause();
        }
        _exit(1);
    }
    reader = waiter_open(w.dir, SEGLOG_WAIT_SLEEP, 0);
    while (!atomic_load(claimed) && waitpid(pid, NULL, WNOHANG) == 0)
        clock_sleep_ns(1000000);
    cr_assert(atomic_load(claimed), "the producer ended");
    cr_assert_ok(seglog_appender_append(w.appender, "behind", 6, NULL));
    cr_assert_status(seglog_reader_wait(reader, 50000000), -ETIMEDOUT);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    /* Nobody wakes it. How long it takes is measured in bench/, where nothing else runs. */
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_eq(view.len, 6);
    seglog_reader_close(reader);
    writer_close(&w);
}

/* Somebody put another `live` in its place while we slept: whoever attaches now wakes the others. */
Test(wait, a_sleeper_on_a_live_that_was_replaced_notices)
{
    struct writer w;
    struct sleeper r;
    pthread_t thread;
    const uint64_t start = clock_monotonic_ns();

    writer_open(&w);
    r.reader = waiter_open(w.dir, SEGLOG_WAIT_SLEEP, 0);
    cr_assert(pthread_create(&thread, NULL, wait_long, &r) == 0);
    clock_sleep_ns(50000000); /* it sleeps by now; if not, nothing is tried */
    cr_assert_ok(seglog_appender_close(w.appender));
    cr_assert_ok(seglog_log_close(w.log));
    {
        char *live = tmpdir_path(w.dir, "live");

        cr_assert(unlink(live) == 0);
        free(live);
    }
    cr_assert_ok(seglog_log_open(w.dir, NULL, &w.log));
    cr_assert_ok(seglog_appender_open(w.log, NULL, &w.appender));
    cr_assert_ok(seglog_appender_append(w.appender, "x", 1, NULL));
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_assert_ok(r.rc);
    cr_assert_lt(clock_monotonic_ns() - start, UINT64_C(50000000000), "only its time-out woke it");
    seglog_reader_close(r.reader);
    writer_close(&w);
}
