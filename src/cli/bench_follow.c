/*
 * Following: there and back between two processes, each appending to a log that the other follows,
 * next to a cache line that goes there and back. One way is half of it.
 *
 * Both sides poll. Each run has a child of its own, forked before any log is opened; it ends with the
 * run, with us, or when nothing comes for some seconds.
 */
#include "bench.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <seglog/reader.h>

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN_MAX     1024
#define SAMPLES_MAX ((size_t)200000)
#define WARM_TRIPS  1000
#define PATIENCE_NS UINT64_C(5000000000)
#define LINE_BYTES  128 /* two lines: the prefetcher takes them in pairs */

enum contender { LOG, FLOOR, CONTENDERS };

/* One side of a run: what it tells the other by, and hears the other by. */
struct side {
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    _Atomic uint64_t *mine, *theirs;
    uint8_t payload[LEN_MAX];
    size_t len;
};

static int side_open(const struct bench *bench, const char *mine, const char *theirs, size_t len,
                     struct side *s)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options how = {.mode = SEGLOG_EXCLUSIVE};
    const struct seglog_reader_options polling = {.wait = SEGLOG_WAIT_SPIN};
    char path[PATH_MAX];
    int rc;

    s->len = len;
    bench_path(bench, mine, path);
    rc = seglog_log_open(path, &options, &s->log);
    if (rc == 0)
        rc = seglog_appender_open(s->log, &how, &s->appender);
    bench_path(bench, theirs, path);
    return rc < 0 ? rc : seglog_reader_open(path, &polling, &s->reader);
}

static void side_close(struct side *s)
{
    seglog_reader_close(s->reader);
    seglog_appender_close(s->appender);
    seglog_log_close(s->log);
}

/* Tell the other that trip n has come; 0 ends the run. */
static int side_tell(struct side *s, uint64_t n)
{
    if (s->mine) {
        atomic_store_explicit(s->mine, n, memory_order_release);
        return 0;
    }
    memcpy(s->payload, &n, sizeof(n));
    return seglog_appender_append_record(
        s->appender, &(struct seglog_record){.data = s->payload, .len = s->len, .time_ns = 1},
        NULL);
}

/* Wait for another trip than the last. returns 0, -ETIMEDOUT or another status */
static int side_hear(struct side *s, uint64_t last, uint64_t *n)
{
    struct seglog_view view;
    int rc;

    if (s->theirs) {
        for (uint64_t spins = 1; spins < UINT64_C(1) << 32; spins++) {
            *n = atomic_load_explicit(s->theirs, memory_order_acquire);
            if (*n != last)
                return 0;
            if (spins % (1 << 16) == 0) {
                sched_yield(); /* the other may have no processor but ours */
                if (signals_stopped())
                    return -EINTR;
            }
        }
        return -ETIMEDOUT;
    }
    while ((rc = seglog_reader_next(s->reader, &view)) == -EAGAIN) {
        rc = seglog_reader_wait(s->reader, PATIENCE_NS);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        memcpy(n, view.data, sizeof(*n));
    seglog_reader_release(s->reader);
    return rc;
}

/* The child: everything back that comes. */
static _Noreturn void echo(struct side *s)
{
    uint64_t n = UINT64_MAX;
    int rc;

    do {
        rc = side_hear(s, n, &n);
        if (rc == 0 && n != 0)
            rc = side_tell(s, n);
    } while (rc == 0 && n != 0);
    side_close(s);
    _exit(rc < 0);
}

/* The parent: trips until the slice is over. returns 0 or a negative status */
static int trips(const struct bench *bench, struct side *s, struct bench_samples *samples)
{
    const uint64_t most = BENCH_RUN_BYTES / bench_span(LEN_MAX);
    uint64_t begin = 0, before, now = 0;

    for (uint64_t i = 1; i <= most && now - begin <= bench->slice_ns && !signals_stopped(); i++) {
        uint64_t n = i - 1;
        int rc;

        before = bench_now();
        rc = side_tell(s, i);
        if (rc == 0)
            rc = side_hear(s, i - 1, &n);
        if (rc < 0)
            return rc;
        if (n != i)
            return SEGLOG_ECORRUPT;
        now = bench_now();
        if (i <= WARM_TRIPS)
            begin = now;
        else
            bench_sample(samples, now - before);
    }
    return 0;
}

/* Start the other side. It must not outlive us. returns its pid or a negative status */
static pid_t start_echo(const struct bench *bench, enum contender which, size_t len,
                        struct side *theirs)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid > 0)
        return pid;
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || (which == LOG && side_open(bench, "back", "there", len, theirs) < 0))
        _exit(1);
    echo(theirs);
}

static int run(const struct bench *bench, enum contender which, size_t len,
               struct bench_samples *samples)
{
    struct side ours = {0}, theirs = {0};
    uint8_t *lines = MAP_FAILED;
    pid_t pid;
    int rc = 0;

    if (which == LOG) {
        rc = bench_log_create(bench, "there");
        if (rc == 0)
            rc = bench_log_create(bench, "back");
    } else {
        lines = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (lines == MAP_FAILED)
            return -errno;
        ours.mine = theirs.theirs = (_Atomic uint64_t *)(void *)lines;
        ours.theirs = theirs.mine = (_Atomic uint64_t *)(void *)(lines + LINE_BYTES);
        atomic_store(ours.mine, UINT64_MAX); /* nothing told yet */
    }
    pid = rc < 0 ? rc : start_echo(bench, which, len, &theirs);
    if (pid > 0) {
        if (which == LOG)
            rc = side_open(bench, "there", "back", len, &ours);
        if (rc == 0)
            rc = trips(bench, &ours, samples);
        if (rc < 0 || side_tell(&ours, 0) < 0)
            kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        side_close(&ours);
    }
    if (lines != MAP_FAILED)
        munmap(lines, 4096);
    return pid < 0 ? pid : rc;
}

static const struct bench_column columns[] = {
    {"bytes", "bytes", 6, 0},
    {"p50_ns", "p50", 8, 0},
    {"p99_ns", "p99", 8, 0},
    {"p999_ns", "p99.9", 8, 0},
    {"max_ns", "max", 10, 0},
    {"floor_p50_ns", "line p50", 9, 0},
    {"floor_p99_ns", "line p99", 9, 0},
    {"floor_p999_ns", "line p99.9", 10, 0},
    {"per_floor", "p50/line", 9, 2},
    {0},
};
static const struct bench_table table = {
    .section = "follow",
    .title =
        "ns there and back between two processes that poll; floor: a cache line there and back",
    .columns = columns,
};

static int measure(struct bench *bench, size_t len)
{
    struct bench_samples samples[CONTENDERS] = {0};
    json_t *row;
    int rc = 0;

    for (int which = 0; which < CONTENDERS && rc == 0; which++)
        rc = bench_samples_open(&samples[which], SAMPLES_MAX);
    for (int i = 0; i < BENCH_ROUNDS * CONTENDERS && rc == 0; i++) {
        rc = run(bench, (enum contender)(i % CONTENDERS), len, &samples[i % CONTENDERS]);
        if (signals_stopped())
            rc = -EINTR;
    }
    if (rc == 0) {
        row = json_object();
        report_number(row, "bytes", len);
        bench_percentiles(row, "", &samples[LOG]);
        bench_percentiles(row, "floor_", &samples[FLOOR]);
        bench_put(row, "per_floor",
                  json_number_value(json_object_get(row, "p50_ns")) /
                      json_number_value(json_object_get(row, "floor_p50_ns")));
        bench_row(bench, &table, row);
    }
    for (int which = 0; which < CONTENDERS; which++)
        bench_samples_close(&samples[which]);
    return rc;
}

int bench_follow(struct bench *bench)
{
    static const size_t lens[] = {64, 256, LEN_MAX};
    int rc = 0;

    bench_begin(bench, &table);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        bench_remark(bench, "not measured: two processes that poll need two processors");
        return 0;
    }
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) && rc == 0; i++)
        rc = measure(bench, lens[i]);
    return rc < 0 && rc != -EINTR ? fail_status(bench->cli, bench->scratch, rc) : 0;
}
