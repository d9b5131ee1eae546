/*
 * There and back between two processes: each appends to a log that the other follows, or puts into a
 * ring that the other takes out of, next to a cache line that goes there and back. One way is half of
 * it.
 *
 * Both sides poll. Each run has a child of its own, forked before any log is opened; it ends with the
 * run, with us, or when nothing comes for some seconds.
 */
#include "bench.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <seglog/reader.h>
#include <seglog/ring.h>

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

/* One side of a run: what it tells the other by, and hears the other by. */
struct side {
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    struct seglog_ring *rings[2];
    struct seglog_producer *producer;
    struct seglog_consumer *consumer;
    _Atomic uint64_t *mine, *theirs;
    uint8_t payload[LEN_MAX];
    size_t len;
};

static int side_open_logs(const struct bench *bench, const char *mine, const char *theirs,
                          struct side *s)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options how = {.mode = SEGLOG_EXCLUSIVE};
    const struct seglog_reader_options polling = {.wait = SEGLOG_WAIT_SPIN};
    char path[PATH_MAX];
    int rc;

    bench_path(bench, mine, path);
    rc = seglog_log_open(path, &options, &s->log);
    if (rc == 0)
        rc = seglog_appender_open(s->log, &how, &s->appender);
    bench_path(bench, theirs, path);
    return rc < 0 ? rc : seglog_reader_open(path, &polling, &s->reader);
}

static int side_open_rings(int mine, int theirs, struct side *s)
{
    const struct seglog_consumer_options polling = {.wait = SEGLOG_WAIT_SPIN};
    int rc = seglog_ring_open_fd(mine, 0, &s->rings[0]);

    if (rc == 0)
        rc = seglog_producer_open(s->rings[0], NULL, &s->producer);
    if (rc == 0)
        rc = seglog_ring_open_fd(theirs, 0, &s->rings[1]);
    return rc < 0 ? rc : seglog_consumer_open(s->rings[1], &polling, &s->consumer);
}

/* side 0 begins. rings: there and back */
static int side_open(const struct bench *bench, enum bench_trip which, int side, const int *rings,
                     struct side *s)
{
    static const char *const names[] = {"there", "back"};

    switch (which) {
    case BENCH_TRIP_LOG:
        return side_open_logs(bench, names[side], names[!side], s);
    case BENCH_TRIP_RING:
        return side_open_rings(rings[side], rings[!side], s);
    default:
        return 0;
    }
}

static void side_close(struct side *s)
{
    seglog_reader_close(s->reader);
    seglog_appender_close(s->appender);
    seglog_log_close(s->log);
    seglog_consumer_close(s->consumer);
    seglog_producer_close(s->producer);
    seglog_ring_close(s->rings[0]);
    seglog_ring_close(s->rings[1]);
}

/* Tell the other that trip n has come; 0 ends the run. */
static int side_tell(struct side *s, uint64_t n)
{
    if (s->mine) {
        atomic_store_explicit(s->mine, n, memory_order_release);
        return 0;
    }
    memcpy(s->payload, &n, sizeof(n));
    if (s->producer)
        return seglog_producer_put(s->producer, s->payload, s->len, PATIENCE_NS);
    return seglog_appender_append_record(
        s->appender, &(struct seglog_record){.data = s->payload, .len = s->len, .time_ns = 1},
        NULL);
}

static int line_hear(const struct side *s, uint64_t last, uint64_t *n)
{
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

static int ring_hear(struct side *s, uint64_t *n)
{
    struct seglog_view view;
    int rc;

    while ((rc = seglog_consumer_next(s->consumer, &view)) == -EAGAIN) {
        rc = seglog_consumer_wait(s->consumer, PATIENCE_NS);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        memcpy(n, view.data, sizeof(*n));
    seglog_consumer_release(s->consumer);
    return rc;
}

static int log_hear(struct side *s, uint64_t *n)
{
    struct seglog_view view;
    int rc;

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

/* Wait for another trip than the last. returns 0, -ETIMEDOUT or another status */
static int side_hear(struct side *s, uint64_t last, uint64_t *n)
{
    return s->theirs ? line_hear(s, last, n) : s->consumer ? ring_hear(s, n) : log_hear(s, n);
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
    const uint64_t most = BENCH_RUN_BYTES / bench_span(LEN_MAX), start = bench_now();
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
        /* Where both sides find one processor only, a trip takes milliseconds: then it is warm
         * enough after a slice. The first trip waits for the other side to begin. */
        if (i == 1 || (i <= WARM_TRIPS && now - start < bench->slice_ns))
            begin = now;
        else
            bench_sample(samples, now - before);
    }
    return 0;
}

/* Start the other side. It must not outlive us. returns its pid or a negative status */
static pid_t start_echo(const struct bench *bench, enum bench_trip which, const int *rings,
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
    if (getppid() != parent || side_open(bench, which, 1, rings, theirs) < 0)
        _exit(1);
    echo(theirs);
}

/* What both sides share, before there are two. returns 0 or a negative status */
static int share(const struct bench *bench, enum bench_trip which, int *rings, struct side *ours,
                 struct side *theirs)
{
    uint8_t *lines;
    int rc;

    switch (which) {
    case BENCH_TRIP_LOG:
        rc = bench_log_create(bench, "there");
        return rc < 0 ? rc : bench_log_create(bench, "back");
    case BENCH_TRIP_RING:
        for (int i = 0; i < 2; i++) {
            rings[i] = seglog_ring_create_memfd(NULL);
            if (rings[i] < 0)
                return rings[i];
        }
        return 0;
    default:
        lines = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (lines == MAP_FAILED)
            return -errno;
        ours->mine = theirs->theirs = (_Atomic uint64_t *)(void *)lines;
        ours->theirs = theirs->mine = (_Atomic uint64_t *)(void *)(lines + LINE_BYTES);
        atomic_store(ours->mine, UINT64_MAX); /* nothing told yet */
        return 0;
    }
}

static int run(const struct bench *bench, enum bench_trip which, size_t len,
               struct bench_samples *samples)
{
    struct side ours = {.len = len}, theirs = {.len = len};
    int rings[2] = {-1, -1};
    int rc = share(bench, which, rings, &ours, &theirs);
    const pid_t pid = rc < 0 ? rc : start_echo(bench, which, rings, &theirs);

    if (pid > 0) {
        rc = side_open(bench, which, 0, rings, &ours);
        if (rc == 0)
            rc = trips(bench, &ours, samples);
        if (rc < 0 || side_tell(&ours, 0) < 0)
            kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        side_close(&ours);
    }
    if (ours.mine)
        munmap((void *)(uintptr_t)ours.mine, 4096);
    for (int i = 0; i < 2; i++) {
        if (rings[i] >= 0)
            close(rings[i]);
    }
    return pid < 0 ? pid : rc;
}

const struct bench_column bench_trip_columns[] = {
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

/* A row: trips of this size and those of the floor, in turn. returns 0 or a negative status */
static int measure(struct bench *bench, const struct bench_table *table, enum bench_trip which,
                   size_t len)
{
    struct bench_samples samples[2] = {0};
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++)
        rc = bench_samples_open(&samples[i], SAMPLES_MAX);
    for (int i = 0; i < BENCH_ROUNDS * 2 && rc == 0; i++) {
        rc = run(bench, i % 2 == 0 ? which : BENCH_TRIP_LINE, len, &samples[i % 2]);
        if (signals_stopped())
            rc = -EINTR;
    }
    if (rc == 0) {
        json_t *row = json_object();

        report_number(row, "bytes", len);
        bench_percentiles(row, "", &samples[0]);
        bench_percentiles(row, "floor_", &samples[1]);
        bench_put(row, "per_floor",
                  json_number_value(json_object_get(row, "p50_ns")) /
                      json_number_value(json_object_get(row, "floor_p50_ns")));
        bench_row(bench, table, row);
    }
    for (int i = 0; i < 2; i++)
        bench_samples_close(&samples[i]);
    return rc;
}

int bench_trips(struct bench *bench, const struct bench_table *table, enum bench_trip which)
{
    static const size_t lens[] = {64, 256, LEN_MAX};
    int rc = 0;

    bench_begin(bench, table);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        bench_remark(bench, "not measured: two processes that poll need two processors");
        return 0;
    }
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) && rc == 0; i++)
        rc = measure(bench, table, which, lens[i]);
    return rc < 0 && rc != -EINTR ? fail_status(bench->cli, bench->scratch, rc) : 0;
}

int bench_follow(struct bench *bench)
{
    static const struct bench_table table = {
        .section = "follow",
        .title = "ns there and back between two processes that poll; floor: a cache line there and "
                 "back",
        .columns = bench_trip_columns,
    };

    return bench_trips(bench, &table, BENCH_TRIP_LOG);
}
