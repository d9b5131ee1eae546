/*
 * How soon and how fast another process sees what was appended.
 *
 * Latency is measured there and back, through two logs, so that one clock reads both ends: half of it
 * is one way. The raw line bounce of the same gated run is the yardstick. All pages are in place, of
 * appenders and of followers, but where a row says otherwise; every record's content is checked.
 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH       32u
#define VIEWS       64
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- there and back --------------------------------------------------------------------------- */

#define TRIPS      40000u
#define TRIPS_WARM 4000u

enum trip_kind { TRIP_TIGHT, TRIP_PAUSE, TRIP_LOG };

struct trip_contender {
    const char *name;
    enum trip_kind kind;
    uint32_t mode;
    size_t payload;
    bool waits; /* in seglog_reader_wait() */
};

static const struct trip_contender trips[] = {
    {"raw line, tight loop", TRIP_TIGHT, 0, 0, false},
    {"raw line, pause instruction", TRIP_PAUSE, 0, 0, false},
    {"log, exclusive, 8 bytes", TRIP_LOG, SEGLOG_EXCLUSIVE, 8, false},
    {"log, exclusive, 64 bytes", TRIP_LOG, SEGLOG_EXCLUSIVE, 64, false},
    {"log, exclusive, 256 bytes", TRIP_LOG, SEGLOG_EXCLUSIVE, 256, false},
    {"log, shared, 64 bytes", TRIP_LOG, SEGLOG_SHARED, 64, false},
    {"log, exclusive, 64 bytes, reader_wait", TRIP_LOG, SEGLOG_EXCLUSIVE, 64, true},
};
#define TRIP_KINDS COUNT_OF(trips)

struct trip_shared {
    BENCH_LINE _Atomic uint64_t there;
    BENCH_LINE _Atomic uint64_t back;
    struct bench_hist hist;
    double mean;
};

struct trip {
    const struct trip_contender *c;
    struct trip_shared *shared;
    struct bench_log log[2]; /* there, back */
    struct seglog_log *handle;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
};

static void trip_prepare(void *context, int id)
{
    struct trip *t = context;

    if (t->c->kind != TRIP_LOG)
        return;
    t->appender = bench_producer(&t->log[id], t->c->mode, SEGLOG_LOG_NO_HELPER, true, &t->handle);
    t->reader = bench_follower(&t->log[!id], SEGLOG_WAIT_SPIN, true);
}

static void trip_finish(void *context, int id)
{
    struct trip *t = context;

    (void)id;
    if (t->c->kind != TRIP_LOG)
        return;
    bench_producer_close(t->handle, t->appender);
    seglog_reader_close(t->reader);
}

static void trip_send(const struct trip *t, uint64_t i)
{
    const struct seglog_record record = {
        .data = bench_payload(i), .len = t->c->payload, .time_ns = i + 1};

    bench_ok(seglog_appender_append_record(t->appender, &record, NULL), "append");
}

static void trip_receive(const struct trip *t, uint64_t i)
{
    struct seglog_view view;
    int rc;

    while ((rc = seglog_reader_next(t->reader, &view)) == -EAGAIN) {
        if (t->c->waits)
            seglog_reader_wait(t->reader, UINT64_MAX);
        else
            bench_pause();
    }
    bench_ok(rc, "next");
    if (view.time_ns != i + 1 || view.len != t->c->payload ||
        memcmp(view.data, bench_payload(i), view.len) != 0)
        bench_die("record %llu is not what was sent", (unsigned long long)i);
}

static void line_await(const _Atomic uint64_t *line, uint64_t value, bool pauses)
{
    while (atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)line, memory_order_acquire) !=
           value) {
        if (pauses)
            bench_pause();
    }
}

static void trip_once(const struct trip *t, int id, uint64_t i)
{
    struct trip_shared *s = t->shared;
    const bool pauses = t->c->kind == TRIP_PAUSE;

    if (t->c->kind == TRIP_LOG) {
        if (id == 0)
            trip_send(t, i);
        trip_receive(t, i);
        if (id == 1)
            trip_send(t, i);
        return;
    }
    if (id == 0)
        atomic_store_explicit(&s->there, i + 1, memory_order_release);
    line_await(id == 0 ? &s->back : &s->there, i + 1, pauses);
    if (id == 1)
        atomic_store_explicit(&s->back, i + 1, memory_order_release);
}

static void trip_run(void *context, int id)
{
    const struct trip *t = context;
    const double tick_ns = bench_tick_ns();
    uint64_t start = 0;

    for (uint64_t i = 0; i < TRIPS_WARM + TRIPS; i++) {
        const uint64_t before = bench_tick();

        if (i == TRIPS_WARM)
            start = before;
        trip_once(t, id, i);
        if (id == 0 && i >= TRIPS_WARM)
            bench_hist_add(&t->shared->hist, (uint64_t)((double)(bench_tick() - before) * tick_ns));
    }
    if (id == 0)
        t->shared->mean = (double)(bench_tick() - start) * tick_ns / TRIPS;
}

struct trip_job {
    const struct trip_contender *c;
    struct trip_shared *shared;
};

/* The median, ns; the rest is in job->shared. */
static double trip_measure(void *context)
{
    const struct trip_job *job = context;
    const struct trip_contender *c = job->c;
    struct trip_shared *shared = job->shared;
    struct trip t = {.c = c, .shared = shared};
    struct bench_role roles[2];

    memset(shared, 0, sizeof(*shared));
    for (int i = 0; i < 2; i++) {
        roles[i] = (struct bench_role){.prepare = trip_prepare,
                                       .run = trip_run,
                                       .finish = trip_finish,
                                       .context = &t,
                                       .id = i,
                                       .cpu = i};
        if (c->kind == TRIP_LOG)
            bench_log_begin(&t.log[i], (uint64_t)32 << 20);
    }
    bench_together(roles, 2, true);
    for (int i = 0; i < 2 && c->kind == TRIP_LOG; i++)
        bench_log_remove(&t.log[i]);
    return bench_hist_at(&shared->hist, 0.5);
}

static void there_and_back(const char *section)
{
    struct trip_shared *shared = bench_shared(sizeof(*shared));
    struct bench_series mean[TRIP_KINDS] = {0}, p50[TRIP_KINDS] = {0}, p99[TRIP_KINDS] = {0},
                        p999[TRIP_KINDS] = {0};

    bench_table(section,
                "there and back between two processes, ns, medians of %d gated rounds; one way is "
                "half of it",
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
            bench_add(&mean[i], shared->mean);
        }
    }
    for (size_t i = 0; i < TRIP_KINDS; i++) {
        const bool is_log = trips[i].kind == TRIP_LOG;

        bench_text("contender", "%s", trips[i].name);
        bench_number("p50", 0, bench_median(&p50[i]));
        bench_number("p99", 0, bench_median(&p99[i]));
        bench_number("p99.9", 0, bench_median(&p999[i]));
        bench_number("mean", 0, bench_median(&mean[i]));
        bench_number("one way", 0, bench_median(&p50[i]) / 2);
        bench_number("one way/tight", 2, is_log ? bench_ratio(&p50[i], &p50[0]) / 2 : NAN);
        bench_number("one way/pause", 2, is_log ? bench_ratio(&p50[i], &p50[1]) / 2 : NAN);
        bench_end_row();
    }
    bench_note("%s", bench_gate_report());
    bench_unmap(shared, sizeof(*shared));
}

/* ---- a stream --------------------------------------------------------------------------------- */

/* Pauses of a follower that has caught up: every look takes the line that the producer writes next. */
#define PATIENCE       32u
#define STREAM_SEGMENT ((uint64_t)128 << 20)

struct stream_case {
    const char *name;
    int producers; /* all on processor 0 */
    uint32_t mode;
    bool batches;
    bool rolls; /* segments of 16 MiB, nothing in place, the preparing thread at work */
    bool eager; /* the follower looks again at once when it has caught up, not after some pauses */
    size_t payload;
};

struct stream {
    const struct stream_case *c;
    struct bench_log log;
    size_t payload;
    uint64_t each;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
};

/*
 * Buffers in turn, each stamped half a turn ahead: a wide copy close behind a narrow store
 * waits for the store, which would be our cost and not the log's.
 */
#define BUFFERS 64u
struct stamped {
    BENCH_LINE uint8_t bytes[BUFFERS][BENCH_PAYLOAD_MAX];
};

static void stamp(struct stamped *s, uint64_t i)
{
    memcpy(s->bytes[i % BUFFERS], &i, 8);
}

static void stamped_fill(struct stamped *s, size_t payload)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        memcpy(s->bytes[i], bench_pool, payload);
        stamp(s, i);
    }
}

static void stream_send(const struct stream *s, struct stamped *from, uint32_t tag)
{
    struct seglog_record records[BATCH];

    for (uint64_t i = 0; i < s->each;) {
        const unsigned some = !s->c->batches        ? 1
                              : s->each - i < BATCH ? (unsigned)(s->each - i)
                                                    : BATCH;

        for (unsigned k = 0; k < some; k++, i++) {
            records[k] = (struct seglog_record){
                .data = from->bytes[i % BUFFERS], .len = s->payload, .time_ns = i + 1, .tag = tag};
            stamp(from, i + BUFFERS / 2);
        }
        if (s->c->batches)
            bench_ok(seglog_appender_append_batch(s->appender, records, some, NULL), "append");
        else
            bench_ok(seglog_appender_append_record(s->appender, records, NULL), "append");
    }
}

static void stream_receive(const struct stream *s)
{
    const uint64_t n = s->each * (uint64_t)s->c->producers;
    const uint64_t rest = bench_sum(bench_pool + 8, s->payload - 8);
    struct seglog_view views[VIEWS];
    uint64_t next[4] = {0}, sum = 0;

    for (uint64_t i = 0; i < n;) {
        const int got = seglog_reader_batch(s->reader, views, VIEWS);

        if (got == -EAGAIN) {
            for (unsigned k = 0; k < (s->c->eager ? 1 : PATIENCE); k++)
                bench_pause();
            continue;
        }
        bench_ok(got, "batch");
        for (int k = 0; k < got; k++) {
            const struct seglog_view *v = &views[k];
            uint64_t stamped;

            memcpy(&stamped, v->data, 8);
            if (v->tag > 3 || v->len != s->payload || stamped != next[v->tag]++)
                bench_die("record %llu is not what was sent", (unsigned long long)v->seq);
            sum += bench_sum((const uint8_t *)v->data + 8, s->payload - 8);
        }
        i += (uint64_t)got;
        seglog_reader_release(s->reader);
    }
    if (sum != n * rest)
        bench_die("the payloads' sum is wrong");
}

static struct stamped *buffers;

static void stream_prepare(void *context, int id)
{
    struct stream *s = context;

    if (id < s->c->producers) {
        stamped_fill(&buffers[id], s->payload);
        s->appender = bench_producer(&s->log, s->c->mode, s->c->rolls ? 0 : SEGLOG_LOG_NO_HELPER,
                                     !s->c->rolls, &s->handle);
    } else {
        s->reader = bench_follower(&s->log, SEGLOG_WAIT_SPIN, !s->c->rolls);
    }
}

static void stream_run(void *context, int id)
{
    const struct stream *s = context;

    if (id < s->c->producers)
        stream_send(s, &buffers[id], (uint32_t)id);
    else
        stream_receive(s);
}

static void stream_finish(void *context, int id)
{
    struct stream *s = context;

    if (id < s->c->producers)
        bench_producer_close(s->handle, s->appender);
    else
        seglog_reader_close(s->reader);
}

/* Million records a second, from the common start to the follower's last. */
static double stream_measure(void *context)
{
    const struct stream_case *c = context;
    struct stream s = {.c = c, .payload = c->payload};
    struct bench_role roles[4];
    uint64_t ns;

    s.each = bench_records(STREAM_SEGMENT, c->payload) / (uint64_t)c->producers;
    bench_log_begin(&s.log, c->rolls ? (uint64_t)16 << 20 : STREAM_SEGMENT);
    for (int i = 0; i <= c->producers; i++)
        roles[i] = (struct bench_role){.prepare = stream_prepare,
                                       .run = stream_run,
                                       .finish = stream_finish,
                                       .context = &s,
                                       .id = i,
                                       .cpu = i < c->producers ? 0 : 1};
    ns = bench_together(roles, c->producers + 1, true);
    bench_log_remove(&s.log);
    return (double)(s.each * (uint64_t)c->producers) * 1e3 / (double)ns;
}

static void stream(const char *section)
{
    struct stream_case cases[] = {
        {"one exclusive, single", 1, SEGLOG_EXCLUSIVE, false, false, false, 0},
        {"one exclusive, batches of 32", 1, SEGLOG_EXCLUSIVE, true, false, false, 0},
        {"one shared, single", 1, SEGLOG_SHARED, false, false, false, 0},
        {"one shared, batches of 32", 1, SEGLOG_SHARED, true, false, false, 0},
        {"two shared, single", 2, SEGLOG_SHARED, false, false, false, 0},
        {"two shared, batches of 32", 2, SEGLOG_SHARED, true, false, false, 0},
        {"one exclusive, single, eager follower", 1, SEGLOG_EXCLUSIVE, false, false, true, 0},
        {"one exclusive, single, rolling, fresh", 1, SEGLOG_EXCLUSIVE, false, true, false, 0},
    };
    static const size_t payloads[] = {8, 64, 256, 1024};

    buffers = bench_shared(4 * sizeof(*buffers));
    bench_table(
        section,
        "producers on processor 0, one follower on processor 1, every word checked; million "
        "records/s, %d gated rounds",
        bench.rounds);
    for (size_t p = 0; p < COUNT_OF(payloads); p++) {
        struct bench_series series[COUNT_OF(cases)] = {0};

        if (!bench_wants_payload(payloads[p]))
            continue;
        for (int round = 0; round < bench.rounds; round++) {
            for (size_t i = 0; i < COUNT_OF(cases); i++) {
                cases[i].payload = payloads[p];
                bench_add(&series[i], bench_gated(stream_measure, &cases[i]));
            }
        }
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            bench_text("producers", "%s", cases[i].name);
            bench_number("payload", 0, (double)payloads[p]);
            bench_number("M/s", 2, bench_median(&series[i]));
            bench_number("least", 2, bench_least(&series[i]));
            bench_number("most", 2, bench_most(&series[i]));
            bench_number("GB/s", 2, bench_median(&series[i]) * (double)payloads[p] / 1e3);
            bench_number("/one", 2,
                         cases[i].producers == 2 ? bench_ratio(&series[i], &series[i - 2]) : NAN);
            bench_end_row();
        }
    }
    bench_note("%s", bench_gate_report());
    bench_unmap(buffers, 4 * sizeof(*buffers));
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
