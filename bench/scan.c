/*
 * Reading a whole log that lies in memory, next to reading the same bytes without a log.
 *
 * Every contender sums every payload byte; the floor sums them packed one behind the other in private
 * memory. The log is sealed and read through once before, so that its pages are in memory and in the
 * reader's page tables. A pass is timed in pieces of a MiB, and the median piece counts.
 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT     ((uint64_t)64 << 20)
#define VIEWS       32
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

enum kind { BATCH, NEXT, PLAIN };

struct contender {
    const char *name;
    enum kind kind;
    uint32_t flags;
    double target; /* part of the floor's rate; NaN: none */
};

static const struct contender contenders[] = {
    {"verified, batch()", BATCH, 0, 0.30},
    {"unverified, batch()", BATCH, SEGLOG_READER_NO_VERIFY, 0.70},
    {"verified, next()", NEXT, 0, NAN},
    {"unverified, next()", NEXT, SEGLOG_READER_NO_VERIFY, NAN},
    {"floor: the payloads packed in memory", PLAIN, 0, NAN},
};
#define CONTENDERS COUNT_OF(contenders)
#define FLOOR_AT   (CONTENDERS - 1)

struct corpus {
    struct bench_log log;
    uint64_t n;
    size_t payload;
    uint64_t sum;
    uint8_t *packed;
};

static void corpus_make(struct corpus *c, size_t payload)
{
    struct seglog_log *handle;
    struct seglog_appender *appender;

    /* Two whole segments' worth. */
    *c = (struct corpus){.payload = payload, .n = 2 * bench_records(SEGMENT, payload)};
    c->sum = bench_sum_expected(c->n, payload);
    bench_log_make(&c->log, SEGMENT, SEGLOG_SYNC_NONE);
    handle = bench_attach(&c->log, 0);
    appender = bench_appender(handle, SEGLOG_EXCLUSIVE);
    for (uint64_t i = 0; i < c->n; i++) {
        const struct seglog_record record = {
            .data = bench_payload(i), .len = payload, .time_ns = i + 1};

        bench_ok(seglog_appender_append_record(appender, &record, NULL), "append");
    }
    seglog_appender_close(appender);
    bench_ok(seglog_log_seal(handle, UINT64_MAX), "seal");
    bench_ok(seglog_log_close(handle), "close");
    bench_verify(&c->log, 1, c->n, payload, 0);

    c->packed = bench_private(c->n * payload, true);
    for (uint64_t i = 0; i < c->n; i++)
        memcpy(c->packed + i * payload, bench_payload(i), payload);
}

static void corpus_free(struct corpus *c)
{
    bench_unmap(c->packed, c->n * c->payload);
    bench_log_remove(&c->log);
}

/* The pass under way: how long its pieces took, in ns a record. */
struct pass {
    struct bench_series pieces;
    uint64_t each; /* records a piece */
    uint64_t n, due;
    uint64_t since;
    uint64_t sum;
};

static inline void pass_count(struct pass *pass, uint64_t n)
{
    pass->n += n;
    if (pass->n >= pass->due) {
        const uint64_t now = bench_now();

        bench_add(&pass->pieces,
                  (double)(now - pass->since) / (double)(pass->n - pass->due + pass->each));
        pass->since = now;
        pass->due = pass->n + pass->each;
    }
}

static int pass_batch(struct pass *pass, struct seglog_reader *reader)
{
    struct seglog_view views[VIEWS];
    int got;

    while ((got = seglog_reader_batch(reader, views, VIEWS)) > 0) {
        for (int i = 0; i < got; i++)
            pass->sum += bench_sum(views[i].data, views[i].len);
        pass_count(pass, (uint64_t)got);
    }
    return got;
}

static int pass_next(struct pass *pass, struct seglog_reader *reader)
{
    struct seglog_view view;
    int rc;

    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        pass->sum += bench_sum(view.data, view.len);
        pass_count(pass, 1);
    }
    return rc;
}

static int pass_plain(struct pass *pass, const struct corpus *c)
{
    for (uint64_t i = 0; i < c->n; i += pass->each) {
        const uint64_t some = c->n - i < pass->each ? c->n - i : pass->each;

        pass->sum += bench_sum(c->packed + i * c->payload, some * c->payload);
        pass_count(pass, some);
    }
    return -EAGAIN;
}

/* Payload GB/s, with all pages mapped: the second of two passes. */
static double scan_measure(const struct corpus *c, const struct contender *how)
{
    static const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct seglog_reader *reader = NULL;
    struct pass pass;

    if (how->kind != PLAIN)
        reader = bench_reader(&c->log, SEGLOG_WAIT_AUTO, how->flags);
    for (int i = 0; i < 2; i++) {
        int rc;

        if (reader)
            bench_ok(seglog_reader_seek(reader, &first), "seek");
        pass = (struct pass){.each = ((uint64_t)1 << 20) / c->payload};
        pass.due = pass.each;
        pass.since = bench_now();
        rc = how->kind == BATCH  ? pass_batch(&pass, reader)
             : how->kind == NEXT ? pass_next(&pass, reader)
                                 : pass_plain(&pass, c);
        if (rc != -EAGAIN)
            bench_ok(rc, "reading");
        if (pass.n != c->n || pass.sum != c->sum)
            bench_die("%llu records of %llu, or a wrong sum", (unsigned long long)pass.n,
                      (unsigned long long)c->n);
    }
    seglog_reader_close(reader);
    return (double)c->payload / bench_median(&pass.pieces);
}

static void scan(size_t payload)
{
    struct bench_series series[CONTENDERS] = {0};
    struct corpus corpus;

    corpus_make(&corpus, payload);
    for (int round = 0; round < bench.rounds; round++) {
        for (size_t i = 0; i < CONTENDERS; i++)
            bench_add(&series[i], scan_measure(&corpus, &contenders[i]));
    }
    for (size_t i = 0; i < CONTENDERS; i++) {
        const double rate = bench_median(&series[i]);

        bench_text("contender", "%s", contenders[i].name);
        bench_number("payload", 0, (double)payload);
        bench_number("GB/s", 2, rate);
        bench_number("least", 2, bench_least(&series[i]));
        bench_number("most", 2, bench_most(&series[i]));
        bench_number("ns", 1, (double)payload / rate);
        bench_number("/floor", 2, i == FLOOR_AT ? NAN : bench_ratio(&series[i], &series[FLOOR_AT]));
        bench_number("target", 2, contenders[i].target);
        bench_end_row();
    }
    corpus_free(&corpus);
}

int main(int argc, char **argv)
{
    static const size_t payloads[] = {64, 256, 1024, 4096};

    bench_start(argc, argv, "scan");
    bench_pin(0);
    bench_table("scan",
                "a sealed log of two segments of 64 MiB, warm; payload bytes a second, every one "
                "summed, %d rounds",
                bench.rounds);
    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        if (bench_wants_payload(payloads[i]))
            scan(payloads[i]);
    }
    return 0;
}
