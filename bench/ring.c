/*
 * What the rings cost between processes: there and back, and in a stream, for every kind.
 *
 * The producers are on processor 0, the consumers on processor 1, in processes of their own; every
 * message is written whole, and every word of it is checked on the other side. Each figure is the
 * median of gated rounds (common.h) in which all contenders ran in turn. Beside them are the floors: a
 * line bounced between the processors, and the same bytes copied by one of them.
 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH       32u
#define VIEWS       64
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define SLOTS       1024u /* messages' worth of payload in a ring */
#define SENDERS_MAX 2

struct end {
    struct seglog_ring *ring;
    struct seglog_producer *producer;
    struct seglog_consumer *consumer;
};

static void ring_make(char path[64], uint32_t kind, uint32_t overload, uint64_t size)
{
    static int number;
    const struct seglog_ring_options o = {.size = size, .kind = kind, .overload = overload};

    snprintf(path, 64, "/dev/shm/seglog-bench-%d-%d", (int)getpid(), number++);
    bench_ok(seglog_ring_create(path, &o), path);
}

static void end_open(struct end *end, const char *path, bool produces, bool consumes)
{
    bench_ok(seglog_ring_open(path, 0, &end->ring), path);
    if (produces)
        bench_ok(seglog_producer_open(end->ring, NULL, &end->producer), "producer");
    if (consumes)
        bench_ok(seglog_consumer_open(end->ring, NULL, &end->consumer), "consumer");
}

static void end_close(struct end *end)
{
    seglog_producer_close(end->producer);
    seglog_consumer_close(end->consumer);
    seglog_ring_close(end->ring);
}

/* ---- there and back --------------------------------------------------------------------------- */

#define TRIPS      40000u
#define TRIPS_WARM 4000u

struct trip_contender {
    const char *name;
    int kind; /* -1: a bare line; -2: with the pause instruction */
    size_t payload;
    bool waits;
};

static const struct trip_contender trips[] = {
    {"raw line, tight loop", -1, 0, false},
    {"raw line, pause instruction", -2, 0, false},
    {"spsc, 8 bytes", SEGLOG_RING_SPSC, 8, false},
    {"spsc, 64 bytes", SEGLOG_RING_SPSC, 64, false},
    {"spsc, 256 bytes", SEGLOG_RING_SPSC, 256, false},
    {"spsc, 4096 bytes", SEGLOG_RING_SPSC, 4096, false},
    {"spsc, 64 bytes, consumer_wait", SEGLOG_RING_SPSC, 64, true},
    {"mpsc, 64 bytes", SEGLOG_RING_MPSC, 64, false},
    {"broadcast, 64 bytes", SEGLOG_RING_BROADCAST, 64, false},
    {"work, 64 bytes", SEGLOG_RING_WORK, 64, false},
};
#define TRIP_KINDS COUNT_OF(trips)

struct trip_shared {
    BENCH_LINE _Atomic uint64_t there;
    BENCH_LINE _Atomic uint64_t back;
    struct bench_hist hist;
};

struct trip {
    const struct trip_contender *c;
    struct trip_shared *shared;
    char path[2][64]; /* there, back */
    struct end out;
    struct end in;
};

static void trip_prepare(void *context, int id)
{
    struct trip *t = context;

    if (t->c->kind < 0)
        return;
    end_open(&t->out, t->path[id], true, false);
    end_open(&t->in, t->path[!id], false, true);
}

static void trip_finish(void *context, int id)
{
    struct trip *t = context;

    (void)id;
    if (t->c->kind < 0)
        return;
    end_close(&t->out);
    end_close(&t->in);
}

static void trip_send(const struct trip *t, uint64_t i)
{
    bench_ok(seglog_producer_put(t->out.producer, bench_payload(i), t->c->payload, 0), "put");
}

static void trip_receive(const struct trip *t, uint64_t i)
{
    struct seglog_view v;
    int rc;

    while ((rc = seglog_consumer_next(t->in.consumer, &v)) == -EAGAIN) {
        if (t->c->waits)
            seglog_consumer_wait(t->in.consumer, UINT64_MAX);
        else
            bench_pause();
    }
    bench_ok(rc, "next");
    if (v.len != t->c->payload || memcmp(v.data, bench_payload(i), v.len) != 0)
        bench_die("message %llu is not what was sent", (unsigned long long)i);
    seglog_consumer_release(t->in.consumer);
}

static void line_await(_Atomic uint64_t *line, uint64_t value, bool pauses)
{
    while (atomic_load_explicit(line, memory_order_acquire) != value) {
        if (pauses)
            bench_pause();
    }
}

static void trip_once(const struct trip *t, int id, uint64_t i)
{
    struct trip_shared *s = t->shared;

    if (t->c->kind >= 0) {
        if (id == 0)
            trip_send(t, i);
        trip_receive(t, i);
        if (id == 1)
            trip_send(t, i);
        return;
    }
    if (id == 0)
        atomic_store_explicit(&s->there, i + 1, memory_order_release);
    line_await(id == 0 ? &s->back : &s->there, i + 1, t->c->kind == -2);
    if (id == 1)
        atomic_store_explicit(&s->back, i + 1, memory_order_release);
}

static void trip_run(void *context, int id)
{
    const struct trip *t = context;
    const double tick_ns = bench_tick_ns();

    for (uint64_t i = 0; i < TRIPS_WARM + TRIPS; i++) {
        const uint64_t before = bench_tick();

        trip_once(t, id, i);
        if (id == 0 && i >= TRIPS_WARM)
            bench_hist_add(&t->shared->hist, (uint64_t)((double)(bench_tick() - before) * tick_ns));
    }
}

struct trip_job {
    const struct trip_contender *c;
    struct trip_shared *shared;
};

static double trip_measure(void *context)
{
    const struct trip_job *job = context;
    struct trip t = {.c = job->c, .shared = job->shared};
    struct bench_role roles[2];

    memset(job->shared, 0, sizeof(*job->shared));
    for (int i = 0; i < 2; i++) {
        roles[i] = (struct bench_role){.prepare = trip_prepare,
                                       .run = trip_run,
                                       .finish = trip_finish,
                                       .context = &t,
                                       .id = i,
                                       .cpu = i};
        if (job->c->kind >= 0)
            ring_make(t.path[i], (uint32_t)job->c->kind, SEGLOG_OVERLOAD_WAIT, 64 * 1024);
    }
    bench_together(roles, 2, true);
    for (int i = 0; i < 2 && job->c->kind >= 0; i++)
        bench_ok(seglog_ring_remove(t.path[i], 0), "remove");
    return bench_hist_at(&job->shared->hist, 0.5);
}

static void there_and_back(const char *section)
{
    struct trip_shared *shared = bench_shared(sizeof(*shared));
    struct bench_series p50[TRIP_KINDS] = {0}, p99[TRIP_KINDS] = {0}, p999[TRIP_KINDS] = {0};

    bench_table(section, "there and back between two processes, ns, medians of %d gated rounds",
                bench.rounds);
    for (int round = 0; round < bench.rounds; round++) {
        for (size_t i = 0; i < TRIP_KINDS; i++) {
            struct trip_job job = {.c = &trips[i], .shared = shared};
            const double figure = bench_gated(trip_measure, &job);

            bench_add(&p50[i], figure);
            if (isnan(figure))
                continue;
            bench_add(&p99[i], bench_hist_at(&shared->hist, 0.99));
            bench_add(&p999[i], bench_hist_at(&shared->hist, 0.999));
        }
    }
    for (size_t i = 0; i < TRIP_KINDS; i++) {
        bench_text("contender", "%s", trips[i].name);
        bench_number("p50", 0, bench_median(&p50[i]));
        bench_number("p99", 0, bench_median(&p99[i]));
        bench_number("p99.9", 0, bench_median(&p999[i]));
        bench_number("/tight", 2, i > 1 ? bench_ratio(&p50[i], &p50[0]) : NAN);
        bench_number("/pause", 2, i > 1 ? bench_ratio(&p50[i], &p50[1]) : NAN);
        bench_end_row();
    }
    bench_note("%s", bench_gate_report());
    bench_unmap(shared, sizeof(*shared));
}

/* ---- a stream --------------------------------------------------------------------------------- */

enum stream_how { HOW_COPY, HOW_SINGLE, HOW_BATCH };

struct stream_case {
    const char *name;
    enum stream_how how; /* HOW_COPY: memcpy in one processor's caches, the floor */
    uint32_t kind;
    uint32_t overload;
    int senders;   /* on processor 0 */
    int receivers; /* on processor 1 */
    size_t payload;
};

struct stream_shared {
    _Atomic uint64_t cpu_ns; /* of the receivers */
    _Atomic uint64_t lost;
};

struct stream {
    const struct stream_case *c;
    struct stream_shared *shared;
    char path[64];
    uint64_t each;
    struct end end;
};

/* Buffers in turn, each stamped half a turn ahead of its use: a wide copy close behind a narrow store
 * waits for the store, which would be our cost and not the ring's. */
#define BUFFERS 64u
static struct {
    BENCH_LINE uint8_t bytes[BUFFERS][BENCH_PAYLOAD_MAX];
} buffers;

static void stamp(uint64_t id, uint64_t i)
{
    const uint64_t word = id << 56 | i;

    memcpy(buffers.bytes[i % BUFFERS], &word, sizeof(word));
}

/* Two on one processor: give it up when there is no room. */
static void no_room(const struct stream *s)
{
    if (s->c->senders + s->c->receivers > 2)
        sched_yield();
    else
        bench_pause();
}

static void stream_send(const struct stream *s, uint64_t id)
{
    struct seglog_record records[BATCH];
    int rc;

    for (uint64_t i = 0; i < s->each;) {
        const unsigned some = s->c->how == HOW_SINGLE ? 1
                              : s->each - i < BATCH   ? (unsigned)(s->each - i)
                                                      : BATCH;

        for (unsigned k = 0; k < some; k++, i++) {
            records[k] =
                (struct seglog_record){.data = buffers.bytes[i % BUFFERS], .len = s->c->payload};
            stamp(id, i + BUFFERS / 2);
        }
        do {
            rc = s->c->how == HOW_SINGLE
                     ? seglog_producer_put(s->end.producer, records[0].data, s->c->payload, 0)
                     : seglog_producer_put_batch(s->end.producer, records, some, 0);
            if (rc == -EAGAIN)
                no_room(s);
        } while (rc == -EAGAIN);
        bench_ok(rc, "put");
    }
}

static uint64_t cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void stream_receive(const struct stream *s)
{
    const uint64_t share = s->c->kind == SEGLOG_RING_WORK ? (uint64_t)s->c->receivers : 1;
    const uint64_t n = s->each * (uint64_t)s->c->senders / share;
    const uint64_t rest = bench_sum(bench_pool + 8, s->c->payload - 8);
    const int max = s->c->how == HOW_SINGLE ? 1 : VIEWS;
    const uint64_t start = cpu_now();
    struct seglog_view views[VIEWS];
    uint64_t next[SENDERS_MAX] = {0}, sum = 0, got = 0;

    while (got < n) {
        int some = max == 1 ? seglog_consumer_next(s->end.consumer, views)
                            : seglog_consumer_batch(s->end.consumer, views, max);

        if (some == -EAGAIN) {
            if (s->c->receivers > 1)
                sched_yield();
            else
                bench_pause();
            continue;
        }
        bench_ok(some, "next");
        some += max == 1;
        for (int k = 0; k < some; k++) {
            const struct seglog_view *v = &views[k];
            uint64_t word;

            memcpy(&word, v->data, 8);
            if (v->len != s->c->payload || word >> 56 >= SENDERS_MAX ||
                (word & (UINT64_MAX >> 8)) < next[word >> 56])
                bench_die("message %llu is not what was sent", (unsigned long long)v->seq);
            next[word >> 56] = (word & (UINT64_MAX >> 8)) + 1;
            sum += bench_sum((const uint8_t *)v->data + 8, s->c->payload - 8);
        }
        got += (uint64_t)some;
        seglog_consumer_release(s->end.consumer);
    }
    if (sum != got * rest)
        bench_die("the payloads' sum is wrong");
    atomic_fetch_add(&s->shared->cpu_ns, cpu_now() - start);
}

static void stream_prepare(void *context, int id)
{
    struct stream *s = context;

    if (s->c->how == HOW_COPY)
        return;
    for (unsigned i = 0; i < BUFFERS; i++) {
        memcpy(buffers.bytes[i], bench_pool, s->c->payload);
        stamp((uint64_t)id, i);
    }
    end_open(&s->end, s->path, id < s->c->senders, id >= s->c->senders);
}

static void stream_copy(const struct stream *s)
{
    static BENCH_LINE uint8_t to[SLOTS * 1024];
    const uint64_t mask = sizeof(to) / BENCH_PAYLOAD_MAX - 1;

    for (uint64_t i = 0; i < s->each; i++) {
        memcpy(to + (i & mask) * BENCH_PAYLOAD_MAX, buffers.bytes[i % BUFFERS], s->c->payload);
        __asm__ volatile("" ::: "memory");
    }
}

static void stream_run(void *context, int id)
{
    const struct stream *s = context;

    if (s->c->how == HOW_COPY)
        stream_copy(s);
    else if (id < s->c->senders)
        stream_send(s, (uint64_t)id);
    else
        stream_receive(s);
}

static void stream_finish(void *context, int id)
{
    struct stream *s = context;

    (void)id;
    if (s->c->how != HOW_COPY)
        end_close(&s->end);
}

struct stream_job {
    const struct stream_case *c;
    struct stream_shared *shared;
    uint64_t messages;
};

/* Million messages a second, from the common start to the last consumer's last. */
static double stream_measure(void *context)
{
    struct stream_job *job = context;
    const struct stream_case *c = job->c;
    const int n = c->how == HOW_COPY ? 1 : c->senders + c->receivers;
    struct stream s = {.c = c, .shared = job->shared};
    struct bench_role roles[4];
    uint64_t ns;

    memset(job->shared, 0, sizeof(*job->shared));
    s.each = (c->payload <= 64     ? 2000000
              : c->payload <= 1024 ? 600000
                                   : 150000) /
             (uint64_t)c->senders;
    s.each -= s.each % BATCH;
    if (c->how != HOW_COPY)
        ring_make(s.path, c->kind, c->overload, SLOTS * c->payload);
    for (int i = 0; i < n; i++)
        roles[i] = (struct bench_role){.prepare = stream_prepare,
                                       .run = stream_run,
                                       .finish = stream_finish,
                                       .context = &s,
                                       .id = i,
                                       .cpu = i < c->senders ? 0 : 1};
    ns = bench_together(roles, n, true);
    if (c->how != HOW_COPY)
        bench_ok(seglog_ring_remove(s.path, 0), "remove");
    job->messages = s.each * (uint64_t)c->senders;
    return (double)job->messages * 1e3 / (double)ns;
}

static void stream(const char *section)
{
    struct stream_case cases[] = {
        {"memcpy, one processor", HOW_COPY, 0, 0, 1, 0, 0},
        {"spsc, single", HOW_SINGLE, SEGLOG_RING_SPSC, 0, 1, 1, 0},
        {"spsc, batches of 32", HOW_BATCH, SEGLOG_RING_SPSC, 0, 1, 1, 0},
        {"mpsc, single, 1 producer", HOW_SINGLE, SEGLOG_RING_MPSC, 0, 1, 1, 0},
        {"mpsc, single, 2 producers", HOW_SINGLE, SEGLOG_RING_MPSC, 0, 2, 1, 0},
        {"mpsc, batches, 2 producers", HOW_BATCH, SEGLOG_RING_MPSC, 0, 2, 1, 0},
        {"broadcast, batches, 1 consumer", HOW_BATCH, SEGLOG_RING_BROADCAST, 0, 1, 1, 0},
        {"broadcast, batches, 2 consumers", HOW_BATCH, SEGLOG_RING_BROADCAST, 0, 1, 2, 0},
        {"work, single, 1 consumer", HOW_SINGLE, SEGLOG_RING_WORK, 0, 1, 1, 0},
        {"work, batches, 1 consumer", HOW_BATCH, SEGLOG_RING_WORK, 0, 1, 1, 0},
    };
    static const size_t payloads[] = {8, 64, 256, 1024, 4096};
    struct stream_shared *shared = bench_shared(sizeof(*shared));

    bench_table(
        section,
        "producers on processor 0, consumers on processor 1, every word checked; ring of %u "
        "payloads; million messages/s, %d gated rounds; cpu: of the consumers, ns a message",
        SLOTS, bench.rounds);
    for (size_t p = 0; p < COUNT_OF(payloads); p++) {
        struct bench_series series[COUNT_OF(cases)] = {0}, cpu[COUNT_OF(cases)] = {0};

        if (!bench_wants_payload(payloads[p]))
            continue;
        for (int round = 0; round < bench.rounds; round++) {
            for (size_t i = 0; i < COUNT_OF(cases); i++) {
                struct stream_job job = {.c = &cases[i], .shared = shared};
                double figure;

                cases[i].payload = payloads[p];
                figure = bench_gated(stream_measure, &job);
                bench_add(&series[i], figure);
                if (!isnan(figure))
                    bench_add(&cpu[i], (double)shared->cpu_ns / (double)job.messages);
            }
        }
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            bench_text("contender", "%s", cases[i].name);
            bench_number("payload", 0, (double)payloads[p]);
            bench_number("M/s", 2, bench_median(&series[i]));
            bench_number("least", 2, bench_least(&series[i]));
            bench_number("most", 2, bench_most(&series[i]));
            bench_number("GB/s", 2, bench_median(&series[i]) * (double)payloads[p] / 1e3);
            bench_number("cpu", 1, cases[i].how == HOW_COPY ? NAN : bench_median(&cpu[i]));
            bench_end_row();
        }
    }
    bench_note("%s", bench_gate_report());
    bench_unmap(shared, sizeof(*shared));
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "trip stream");
    if (bench_cpus() < 2)
        bench_die("two processors are needed");
    if (bench_wants("trip"))
        there_and_back("trip");
    if (bench_wants("stream"))
        stream("stream");
    return 0;
}
