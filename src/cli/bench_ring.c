/*
 * Rings: messages from one process to another, one and 32 a call, and as arrays and runs, next to
 * copying the same bytes to as much memory by one process; then there and back, next to a cache line (bench_follow.c).
 *
 * The ring is in memory, whatever the directory. Each run has a child of its own that takes messages
 * out, looks at every word of them, and says when it had the last; it ends with the run or with us.
 */
#include "bench.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <seglog/ring.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN_MAX     1024
#define BATCH       32
#define RING_BYTES  ((uint64_t)1 << 20)
#define PATIENCE_NS UINT64_C(5000000000)

enum contender { SINGLE, BATCHED, ARRAY, MEMCPY, CONTENDERS };

/* What both processes see. */
struct meeting {
    _Atomic uint32_t ready; /* the child has the ring */
    uint64_t got;           /* messages, once it has ended well */
    uint64_t end_ns;        /* when it had the last */
};

/* ---- the child: taking out -------------------------------------------------------------------- */

/* Every word of a message is its number. returns false if not */
static bool is_sound(const struct seglog_view *view, uint64_t number)
{
    const uint64_t *words = view->data;
    uint64_t differs = 0;

    for (size_t i = 0; i < view->len / sizeof(*words); i++)
        differs |= words[i] ^ number;
    return differs == 0;
}

/* returns how many messages, or a negative status */
static int take_some(struct seglog_consumer *consumer, enum contender how,
                     struct seglog_view views[BATCH])
{
    struct seglog_run run;
    int rc;

    switch (how) {
    case SINGLE:
        rc = seglog_consumer_next(consumer, views);
        return rc == 0 ? 1 : rc;
    case BATCHED:
        return seglog_consumer_batch(consumer, views, BATCH);
    default:
        break;
    }
    rc = seglog_consumer_run(consumer, &run, BATCH);
    for (int i = 0; i < rc; i++) {
        views[i] = run.first;
        views[i].data = (const uint8_t *)run.first.data + (size_t)i * run.stride;
    }
    return rc;
}

/* Up to the message without bytes. returns 0 or a negative status */
static int take_all(struct seglog_consumer *consumer, enum contender how, struct meeting *meeting)
{
    struct seglog_view views[BATCH];
    bool ended = false;
    int rc = 0;

    while (!ended && rc >= 0) {
        rc = take_some(consumer, how, views);
        if (rc == -EAGAIN) {
            rc = seglog_consumer_wait(consumer, PATIENCE_NS);
            continue;
        }
        for (int i = 0; i < rc && !ended; i++) {
            ended = views[i].len == 0;
            if (!ended && !is_sound(&views[i], meeting->got++))
                return SEGLOG_ECORRUPT;
        }
        seglog_consumer_release(consumer);
    }
    meeting->end_ns = bench_now();
    return rc < 0 ? rc : 0;
}

static _Noreturn void take(int fd, enum contender how, struct meeting *meeting)
{
    struct seglog_consumer *consumer = NULL;
    struct seglog_ring *ring = NULL;
    int rc = seglog_ring_open_fd(fd, 0, &ring);

    if (rc == 0)
        rc = seglog_consumer_open(ring, NULL, &consumer);
    if (rc == 0) {
        atomic_store(&meeting->ready, 1);
        rc = take_all(consumer, how, meeting);
    }
    seglog_consumer_close(consumer);
    seglog_ring_close(ring);
    _exit(rc < 0);
}

/* Returns its pid once it has the ring, or a negative status. It must not outlive us. */
static pid_t start_taker(int fd, enum contender how, struct meeting *meeting)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        signal(SIGINT, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        take(fd, how, meeting);
    }
    while (!atomic_load(&meeting->ready)) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return SEGLOG_ECORRUPT;
        sched_yield();
    }
    return pid;
}

/* ---- the parent: putting in ------------------------------------------------------------------- */

/* How many go in one call. */
static int batch_of(enum contender how)
{
    return how == SINGLE ? 1 : BATCH;
}

static int put_some(struct seglog_producer *producer, enum contender how, size_t len,
                    uint64_t number)
{
    static uint64_t words[BATCH * LEN_MAX / sizeof(uint64_t)];
    const size_t each = len / sizeof(uint64_t);
    struct seglog_record records[BATCH];

    for (size_t k = 0; k < (size_t)batch_of(how); k++) {
        for (size_t i = 0; i < each; i++)
            words[k * each + i] = number + k;
        if (how == BATCHED)
            records[k] = (struct seglog_record){.data = words + k * each, .len = len};
    }
    switch (how) {
    case SINGLE:
        return seglog_producer_put(producer, words, len, PATIENCE_NS);
    case BATCHED:
        return seglog_producer_put_batch(producer, records, BATCH, PATIENCE_NS);
    default:
        return seglog_producer_put_array(producer, words, len, BATCH, PATIENCE_NS);
    }
}

/* Put messages in until the slice is over. returns how many, or a negative status */
static int64_t put_all(const struct bench *bench, int fd, enum contender how, size_t len)
{
    struct seglog_producer *producer = NULL;
    struct seglog_ring *ring = NULL;
    uint64_t n = 0;
    int rc = seglog_ring_open_fd(fd, 0, &ring);

    if (rc == 0)
        rc = seglog_producer_open(ring, NULL, &producer);
    for (const uint64_t begin = bench_now();
         rc == 0 && bench_now() - begin < bench->slice_ns && !signals_stopped();) {
        for (int i = 0; i < BATCH && rc == 0; i += batch_of(how)) {
            rc = put_some(producer, how, len, n);
            n += (uint64_t)batch_of(how);
        }
    }
    if (rc == 0)
        rc = seglog_producer_put(producer, NULL, 0, PATIENCE_NS);
    seglog_producer_close(producer);
    seglog_ring_close(ring);
    return rc < 0 ? rc : (int64_t)n;
}

/* ns a message, or a negative status */
static double run_ring(const struct bench *bench, enum contender how, size_t len,
                       struct meeting *meeting)
{
    const struct seglog_ring_options options = {.size = RING_BYTES};
    const int fd = seglog_ring_create_memfd(&options);
    uint64_t begin;
    int64_t put;
    int status;
    pid_t pid;

    memset(meeting, 0, sizeof(*meeting));
    pid = fd < 0 ? fd : start_taker(fd, how, meeting);
    if (pid < 0) {
        if (fd >= 0)
            close(fd);
        return pid;
    }
    begin = bench_now();
    put = put_all(bench, fd, how, len);
    close(fd);
    if (put < 0)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (put < 0)
        return (double)put;
    if (status != 0 || meeting->got != (uint64_t)put)
        return SEGLOG_ECORRUPT;
    return (double)(meeting->end_ns - begin) / (double)put;
}

/* ns for writing a message and copying it, round and round in as many bytes as the ring has */
static double run_memcpy(const struct bench *bench, size_t len)
{
    uint8_t *to = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    uint64_t words[LEN_MAX / sizeof(uint64_t)];
    uint64_t n = 0, begin = bench_now(), now = begin;

    if (to == MAP_FAILED)
        return -errno;
    while (now - begin < bench->slice_ns) {
        for (int k = 0; k < BATCH; k++) {
            for (size_t i = 0; i < len / sizeof(uint64_t); i++)
                words[i] = n;
            memcpy(to + n * len % RING_BYTES, words, len);
            __asm__ volatile("" ::: "memory");
            n++;
        }
        now = bench_now();
    }
    munmap(to, RING_BYTES);
    return (double)(now - begin) / (double)n;
}

/* ---- the tables ------------------------------------------------------------------------------- */

static const struct bench_column stream_columns[] = {
    {"how", "how", -9, 0},
    {"bytes", "bytes", 6, 0},
    {"ns", "ns", 8, 1},
    {"million_per_s", "M/s", 8, 2},
    {"gb_per_s", "GB/s", 7, 2},
    {"memcpy_ns", "memcpy", 8, 1},
    {"per_memcpy", "/memcpy", 8, 2},
    {0},
};
static const struct bench_table stream_table = {
    .section = "ring",
    .title = "ns a message from one process to another, one and 32 a call; floor: memcpy by one",
    .columns = stream_columns,
};

static void stream_rows(struct bench *bench, size_t len, const struct bench_rounds *ns)
{
    static const char *const names[] = {"single", "batched", "array"};

    for (int how = SINGLE; how <= ARRAY; how++) {
        json_t *row = json_object();
        const double median = bench_median(&ns[how]);

        report_text(row, "how", names[how]);
        report_number(row, "bytes", len);
        bench_put(row, "ns", median);
        bench_put(row, "million_per_s", 1e3 / median);
        bench_put(row, "gb_per_s", (double)len / median);
        bench_put(row, "memcpy_ns", bench_median(&ns[MEMCPY]));
        bench_put(row, "per_memcpy", bench_ratio(&ns[how], &ns[MEMCPY]));
        bench_row(bench, &stream_table, row);
    }
}

/* returns 0, -EINTR or another status */
static int measure(struct bench *bench, size_t len, struct meeting *meeting)
{
    struct bench_rounds ns[CONTENDERS];

    for (int round = 0; round < BENCH_ROUNDS; round++) {
        for (enum contender which = 0; which < CONTENDERS; which++) {
            const double one =
                which == MEMCPY ? run_memcpy(bench, len) : run_ring(bench, which, len, meeting);

            if (signals_stopped())
                return -EINTR;
            if (one < 0)
                return (int)one;
            ns[which].v[round] = one;
        }
    }
    stream_rows(bench, len, ns);
    return 0;
}

int bench_ring(struct bench *bench)
{
    static const struct bench_table trip_table = {
        .section = "ring_trip",
        .title = "ns there and back through two rings; floor: a cache line there and back",
        .columns = bench_trip_columns,
    };
    static const size_t lens[] = {8, 64, 256, LEN_MAX};
    struct meeting *meeting;
    int rc = 0;

    bench_begin(bench, &stream_table);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        bench_remark(bench, "not measured: two processes that poll need two processors");
        return 0;
    }
    meeting = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meeting == MAP_FAILED)
        return fail_status(bench->cli, NULL, -errno);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) && rc == 0; i++)
        rc = measure(bench, lens[i], meeting);
    munmap(meeting, 4096);
    if (rc < 0)
        return rc == -EINTR ? 0 : fail_status(bench->cli, NULL, rc);
    return bench_trips(bench, &trip_table, BENCH_TRIP_RING);
}
