/*
 * What an append costs, next to what the memory under it costs.
 *
 * The hard part is to say which pages are meant. The first touch of a page costs more than thirty
 * small appends, so every figure is either "in place" (all pages of the segment faulted in before the
 * clock starts) or "fresh" (none is). All contenders of a row stream through as many records of new
 * memory, from a cold cache, in turn in each round; the floors are
 *
 *   packed    memcpy of the same payloads, one behind the other, into private memory
 *   strided   memcpy of the same payloads into a mapped file of the same kind, where frames put them
 *   write     one write(2) of the payload for each record
 *
 * Ratios are medians of the ratios of the rounds. Every log is read back and compared byte by byte.
 */
#include "common.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEGMENT     ((uint64_t)64 << 20)
#define BATCH       32u
#define NOINLINE    __attribute__((noinline))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const size_t payloads[] = {8, 64, 256, 1024, 4096};

/* ---- the loops that are timed ----------------------------------------------------------------- */

/* Records get times from 1 on, as bench_verify() expects; the caller's time saves the clock. */
NOINLINE static void append_single(struct seglog_appender *appender, uint64_t from, uint64_t to,
                                   size_t payload, uint32_t tag)
{
    struct seglog_record record = {.len = payload, .tag = tag};

    for (uint64_t i = from; i < to; i++) {
        record.data = bench_payload(i);
        record.time_ns = i + 1;
        bench_ok(seglog_appender_append_record(appender, &record, NULL), "append");
    }
}

NOINLINE static void append_batches(struct seglog_appender *appender, uint64_t from, uint64_t to,
                                    size_t payload, uint32_t tag)
{
    struct seglog_record records[BATCH];

    for (uint64_t i = from; i < to; i += BATCH) {
        const unsigned some = to - i < BATCH ? (unsigned)(to - i) : BATCH;

        for (unsigned k = 0; k < some; k++)
            records[k] = (struct seglog_record){
                .data = bench_payload(i + k), .len = payload, .time_ns = i + k + 1, .tag = tag};
        bench_ok(seglog_appender_append_batch(appender, records, some, NULL), "append_batch");
    }
}

NOINLINE static void copy_strided(uint8_t *base, uint64_t from, uint64_t to, size_t payload,
                                  size_t stride)
{
    for (uint64_t i = from; i < to; i++)
        memcpy(base + i * stride, bench_payload(i), payload);
}

NOINLINE static void write_each(int fd, uint64_t from, uint64_t to, size_t payload)
{
    for (uint64_t i = from; i < to; i++) {
        if (write(fd, bench_payload(i), payload) != (ssize_t)payload)
            bench_die("write: a short one");
    }
}

/* ---- one producer, one segment ---------------------------------------------------------------- */

enum kind { APPEND, PACKED, STRIDED, WRITE };

struct contender {
    const char *name;
    enum kind kind;
    uint32_t mode;
    bool batches;
};

static const struct contender contenders[] = {
    {"exclusive", APPEND, SEGLOG_EXCLUSIVE, false},
    {"exclusive, batches of 32", APPEND, SEGLOG_EXCLUSIVE, true},
    {"shared, alone", APPEND, SEGLOG_SHARED, false},
    {"shared, alone, batches of 32", APPEND, SEGLOG_SHARED, true},
    {"floor: memcpy, packed", PACKED, 0, false},
    {"floor: memcpy, strided in a mapped file", STRIDED, 0, false},
    {"floor: write(2)", WRITE, 0, false},
};
#define CONTENDERS COUNT_OF(contenders)
enum { EXCLUSIVE_AT = 0, PACKED_AT = 4, STRIDED_AT = 5 };

/*
 * Time records 0 to n in pieces, and give the median piece in ns a record: a piece takes about 0.2 ms,
 * so what takes the processor away now and then hits few of them. call() uses from and to.
 */
#define PIECES 64u
#define TYPICAL(n, call, ns_out)                                               \
    do {                                                                       \
        struct bench_series pieces_ = {0};                                     \
        uint64_t from, to = 0, then_, now_ = bench_now();                      \
        for (uint64_t piece_ = 1; piece_ <= PIECES; piece_++) {                \
            from = to;                                                         \
            to = (n)*piece_ / PIECES;                                          \
            then_ = now_;                                                      \
            call;                                                              \
            now_ = bench_now();                                                \
            bench_add(&pieces_, (double)(now_ - then_) / (double)(to - from)); \
        }                                                                      \
        (ns_out) = bench_median(&pieces_);                                     \
    } while (0)

static double run_log(const struct contender *c, uint64_t n, size_t payload, bool in_place)
{
    static const struct seglog_record first = {.data = "", .len = 0, .time_ns = 1};
    struct bench_log log;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    double ns;

    bench_log_make(&log, SEGMENT, SEGLOG_SYNC_NONE);
    handle = bench_attach(&log, SEGLOG_LOG_NO_HELPER);
    appender = bench_appender(handle, c->mode);
    bench_ok(seglog_appender_append_record(appender, &first, NULL), "append");
    if (in_place)
        bench_in_place(&log);
    bench_cool();
    if (c->batches)
        TYPICAL(n, append_batches(appender, from, to, payload, 0), ns);
    else
        TYPICAL(n, append_single(appender, from, to, payload, 0), ns);
    seglog_appender_close(appender);
    bench_ok(seglog_log_close(handle), "close");
    bench_verify(&log, 1, n, payload, 1);
    bench_log_remove(&log);
    return ns;
}

static double run_copy(const struct contender *c, uint64_t n, size_t payload, bool in_place)
{
    const size_t stride = c->kind == PACKED ? payload : bench_frame(payload);
    const size_t size = (n * stride + 4095) / 4096 * 4096;
    uint8_t *const memory =
        c->kind == PACKED ? bench_private(size, in_place) : bench_file(size + 64, in_place, NULL);
    uint8_t *const base = c->kind == PACKED ? memory : memory + 32;
    double ns;

    bench_cool();
    TYPICAL(n, copy_strided(base, from, to, payload, stride), ns);
    bench_unmap(memory, c->kind == PACKED ? size : size + 64);
    return ns;
}

/* In place: into a file that has all its blocks. Fresh: a file that grows. */
static double run_write(uint64_t n, size_t payload, bool in_place)
{
    const size_t size = in_place ? n * payload : 4096;
    uint8_t *base;
    double ns;
    int fd;

    base = bench_file(size, in_place, &fd);
    if (!in_place)
        bench_sys(ftruncate(fd, 0), "ftruncate");
    bench_cool();
    TYPICAL(n, write_each(fd, from, to, payload), ns);
    bench_unmap(base, size);
    close(fd);
    return ns;
}

static double run_contender(const struct contender *c, uint64_t n, size_t payload, bool in_place)
{
    switch (c->kind) {
    case APPEND:
        return run_log(c, n, payload, in_place);
    case WRITE: /* a tenth will do: it is that much slower */
        return run_write(n / 10 + 1, payload, in_place);
    default:
        return run_copy(c, n, payload, in_place);
    }
}

static void one_producer(size_t payload, bool in_place)
{
    const uint64_t n = bench_records(SEGMENT, payload);
    struct bench_series series[CONTENDERS] = {0};

    for (int round = 0; round < bench.rounds; round++) {
        for (size_t i = 0; i < CONTENDERS; i++)
            bench_add(&series[i], run_contender(&contenders[i], n, payload, in_place));
    }
    for (size_t i = 0; i < CONTENDERS; i++) {
        const bool is_log = contenders[i].kind == APPEND;

        bench_text("contender", "%s", contenders[i].name);
        bench_text("pages", in_place ? "in place" : "fresh");
        bench_number("payload", 0, (double)payload);
        bench_number("ns", 1, bench_median(&series[i]));
        bench_number("least", 1, bench_least(&series[i]));
        bench_number("most", 1, bench_most(&series[i]));
        bench_number("/packed", 2, is_log ? bench_ratio(&series[i], &series[PACKED_AT]) : NAN);
        bench_number("/strided", 2, is_log ? bench_ratio(&series[i], &series[STRIDED_AT]) : NAN);
        bench_number("/excl", 2, is_log ? bench_ratio(&series[i], &series[EXCLUSIVE_AT]) : NAN);
        bench_end_row();
    }
}

static void alone(const char *section, bool in_place)
{
    bench_table(section, "one producer, a segment of 64 MiB, pages %s, ns a record, %d rounds",
                in_place ? "in place" : "fresh", bench.rounds);
    bench_pin(0);
    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        if (bench_wants_payload(payloads[i]))
            one_producer(payloads[i], in_place);
    }
    bench_unpin();
}

/* ---- several producers, one segment ----------------------------------------------------------- */

struct crowd {
    struct bench_log log;
    struct seglog_log *handle; /* threads share it */
    struct seglog_appender *appender[16];
    uint64_t each;
    size_t payload;
    bool batches;
    bool processes;
};

static void crowd_prepare(void *context, int id)
{
    struct crowd *crowd = context;

    if (crowd->processes)
        crowd->handle = bench_attach(&crowd->log, SEGLOG_LOG_NO_HELPER);
    crowd->appender[id] = bench_appender(crowd->handle, SEGLOG_SHARED);
    if (crowd->processes)
        bench_in_place(&crowd->log);
}

static void crowd_run(void *context, int id)
{
    struct crowd *crowd = context;

    (crowd->batches ? append_batches : append_single)(crowd->appender[id], 0, crowd->each,
                                                      crowd->payload, (uint32_t)id);
}

static void crowd_finish(void *context, int id)
{
    struct crowd *crowd = context;

    seglog_appender_close(crowd->appender[id]);
    if (crowd->processes)
        bench_ok(seglog_log_close(crowd->handle), "close");
}

struct crowd_case {
    int producers;
    bool processes;
    bool batches;
    size_t payload;
};

static double run_crowd(void *context)
{
    const struct crowd_case *c = context;
    const int producers = c->producers;
    struct bench_role roles[16];
    struct crowd crowd = {
        .each = bench_records(SEGMENT, c->payload) / (uint64_t)producers,
        .payload = c->payload,
        .batches = c->batches,
        .processes = c->processes,
    };
    uint64_t ns;

    bench_log_make(&crowd.log, SEGMENT, SEGLOG_SYNC_NONE);
    if (!c->processes) {
        crowd.handle = bench_attach(&crowd.log, SEGLOG_LOG_NO_HELPER);
        bench_in_place(&crowd.log);
    }
    for (int i = 0; i < producers; i++)
        roles[i] = (struct bench_role){.prepare = crowd_prepare,
                                       .run = crowd_run,
                                       .finish = crowd_finish,
                                       .context = &crowd,
                                       .id = i,
                                       .cpu = i};
    bench_cool();
    ns = bench_together(roles, producers, c->processes);
    if (!c->processes)
        bench_ok(seglog_log_close(crowd.handle), "close");
    bench_verify(&crowd.log, (unsigned)producers, crowd.each, c->payload, 0);
    bench_log_remove(&crowd.log);
    return (double)(crowd.each * (uint64_t)producers) * 1e3 / (double)ns;
}

static void many(const char *section)
{
    struct crowd_case crowds[] = {
        {1, false, false, 0}, {2, false, false, 0}, {4, false, false, 0}, {1, true, false, 0},
        {2, true, false, 0},  {4, true, false, 0},  {1, false, true, 0},  {2, false, true, 0},
        {4, false, true, 0},  {1, true, true, 0},   {2, true, true, 0},   {4, true, true, 0},
    };

    bench_table(section,
                "shared producers in turn on %d processors, pages in place, million records/s in "
                "all, %d rounds",
                bench_cpus(), bench.rounds);
    for (size_t p = 0; p < COUNT_OF(payloads); p++) {
        struct bench_series series[COUNT_OF(crowds)] = {0};

        if (!bench_wants_payload(payloads[p]))
            continue;
        for (int round = 0; round < bench.rounds; round++) {
            for (size_t i = 0; i < COUNT_OF(crowds); i++) {
                crowds[i].payload = payloads[p];
                bench_add(&series[i], bench_gated(run_crowd, &crowds[i]));
            }
        }
        for (size_t i = 0; i < COUNT_OF(crowds); i++) {
            const size_t alone_at = i / 3 * 3; /* one producer of the same kind */

            bench_text("producers", "%d %s, %s", crowds[i].producers,
                       crowds[i].processes ? "processes" : "threads",
                       crowds[i].batches ? "batches of 32" : "single");
            bench_number("payload", 0, (double)payloads[p]);
            bench_number("M/s", 2, bench_median(&series[i]));
            bench_number("least", 2, bench_least(&series[i]));
            bench_number("most", 2, bench_most(&series[i]));
            bench_number("/alone", 2, bench_ratio(&series[i], &series[alone_at]));
            bench_end_row();
        }
    }
    bench_note("%s", bench_gate_report());
}

/* ---- across rolls ----------------------------------------------------------------------------- */

#define ROLLS 6u

static double run_rolls(size_t payload, bool helper, uint32_t sync)
{
    const uint64_t n = bench_records(SEGMENT, payload) * ROLLS;
    struct bench_log log;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    uint64_t start, end;

    bench_log_make(&log, SEGMENT, sync);
    handle = bench_attach(&log, helper ? 0 : SEGLOG_LOG_NO_HELPER);
    appender = bench_appender(handle, SEGLOG_EXCLUSIVE);
    start = bench_now();
    append_single(appender, 0, n, payload, 0);
    end = bench_now();
    seglog_appender_close(appender);
    bench_ok(seglog_log_close(handle), "close");
    bench_verify(&log, 1, n, payload, 0);
    bench_log_remove(&log);
    return (double)(end - start) / (double)n;
}

/* The same bytes through freshly mapped files, one for each segment. */
static double run_rolls_floor(size_t payload)
{
    const uint64_t n = bench_records(SEGMENT, payload);
    double ns = 0;

    for (unsigned i = 0; i < ROLLS; i++) {
        const uint64_t start = bench_now();
        uint8_t *to = bench_file(SEGMENT, false, NULL);

        copy_strided(to + 32, 0, n, payload, bench_frame(payload));
        ns += (double)(bench_now() - start);
        bench_unmap(to, SEGMENT);
    }
    return ns / (double)(n * ROLLS);
}

static void rolls(const char *section)
{
    static const char *const names[] = {
        "exclusive, preparing thread",
        "exclusive, no thread: the appender prepares",
        "exclusive, preparing and sealing thread",
        "floor: memcpy, strided in new mapped files",
    };

    bench_table(section,
                "one producer as fast as it goes through %u segments of 64 MiB, ns a record, %d "
                "rounds",
                ROLLS, (bench.rounds + 1) / 2);
    for (size_t p = 0; p < COUNT_OF(payloads); p++) {
        struct bench_series series[COUNT_OF(names)] = {0};

        if ((payloads[p] != 64 && payloads[p] != 1024) || !bench_wants_payload(payloads[p]))
            continue;
        for (int round = 0; round < (bench.rounds + 1) / 2; round++) {
            bench_add(&series[0], run_rolls(payloads[p], true, SEGLOG_SYNC_NONE));
            bench_add(&series[1], run_rolls(payloads[p], false, SEGLOG_SYNC_NONE));
            bench_add(&series[2], run_rolls(payloads[p], true, SEGLOG_SYNC_SEALED));
            bench_add(&series[3], run_rolls_floor(payloads[p]));
        }
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            bench_text("contender", "%s", names[i]);
            bench_number("payload", 0, (double)payloads[p]);
            bench_number("ns", 1, bench_median(&series[i]));
            bench_number("least", 1, bench_least(&series[i]));
            bench_number("most", 1, bench_most(&series[i]));
            bench_number("/floor", 2, bench_ratio(&series[i], &series[3]));
            bench_end_row();
        }
    }
}

/* ---- latency of single appends ---------------------------------------------------------------- */

#define PACE_NS      2000u
#define PACE_RECORDS 250000u /* half a second a round */
#define PACE_PAYLOAD 256u
#define PACE_SEGMENT ((uint64_t)16 << 20)

enum paced { PACED_APPEND, PACED_COPY, PACED_WRITE };

struct paced_contender {
    const char *name;
    enum paced kind;
    uint32_t mode;
    uint32_t flags;
};

/* Call one(i) every PACE_NS and note how long each call took. */
#define PACED(hist, one)                                                                \
    do {                                                                                \
        const double tick_ns_ = bench_tick_ns();                                        \
        const uint64_t step_ = (uint64_t)(PACE_NS / tick_ns_);                          \
        uint64_t due_ = bench_tick() + step_;                                           \
        for (uint64_t i = 0; i < PACE_RECORDS; i++, due_ += step_) {                    \
            uint64_t t_;                                                                \
            while ((t_ = bench_tick()) < due_)                                          \
                bench_pause();                                                          \
            one;                                                                        \
            bench_hist_add((hist), (uint64_t)((double)(bench_tick() - t_) * tick_ns_)); \
        }                                                                               \
    } while (0)

NOINLINE static void paced_append(struct bench_hist *hist, struct seglog_appender *appender)
{
    struct seglog_record record = {.len = PACE_PAYLOAD};

    PACED(hist, (record.data = bench_payload(i), record.time_ns = i + 1,
                 bench_ok(seglog_appender_append_record(appender, &record, NULL), "append")));
}

static void run_paced(struct bench_hist *hist, const struct paced_contender *c)
{
    const size_t frame = bench_frame(PACE_PAYLOAD), size = frame * PACE_RECORDS;

    if (c->kind == PACED_APPEND) {
        struct bench_log log;
        struct seglog_log *handle;
        struct seglog_appender *appender;

        bench_log_make(&log, PACE_SEGMENT, SEGLOG_SYNC_NONE);
        handle = bench_attach(&log, c->flags);
        appender = bench_appender(handle, c->mode);
        paced_append(hist, appender);
        seglog_appender_close(appender);
        bench_ok(seglog_log_close(handle), "close");
        bench_verify(&log, 1, PACE_RECORDS, PACE_PAYLOAD, 0);
        bench_log_remove(&log);
    } else if (c->kind == PACED_COPY) {
        uint8_t *to = bench_private(size, true);

        PACED(hist, memcpy(to + i * frame, bench_payload(i), PACE_PAYLOAD));
        bench_unmap(to, size);
    } else {
        uint8_t *base;
        int fd;

        base = bench_file(4096, false, &fd);
        bench_sys(ftruncate(fd, 0), "ftruncate");
        PACED(hist, write_each(fd, 0, 1, PACE_PAYLOAD));
        bench_unmap(base, 4096);
        close(fd);
    }
}

static void latency(const char *section)
{
    static const struct paced_contender paced[] = {
        {"exclusive, preparing thread", PACED_APPEND, SEGLOG_EXCLUSIVE, 0},
        {"shared, preparing thread", PACED_APPEND, SEGLOG_SHARED, 0},
        {"exclusive, no thread", PACED_APPEND, SEGLOG_EXCLUSIVE, SEGLOG_LOG_NO_HELPER},
        {"floor: memcpy, in place", PACED_COPY, 0, 0},
        {"floor: write(2), growing file", PACED_WRITE, 0, 0},
    };
    static struct bench_hist hist[COUNT_OF(paced)];
    const int rounds = (bench.rounds + 1) / 2;

    bench_table(
        section,
        "each of %u appends a second timed (256 bytes, segments of 16 MiB, %u rolls), ns, "
        "%d rounds together; the timing itself is in all of them",
        1000000000u / PACE_NS,
        (unsigned)((unsigned)rounds * PACE_RECORDS * bench_frame(PACE_PAYLOAD) / PACE_SEGMENT),
        rounds);
    memset(hist, 0, sizeof(hist));
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT_OF(paced); i++)
            run_paced(&hist[i], &paced[i]);
    }
    for (size_t i = 0; i < COUNT_OF(paced); i++) {
        bench_text("contender", "%s", paced[i].name);
        bench_number("p50", 0, bench_hist_at(&hist[i], 0.5));
        bench_number("p99", 0, bench_hist_at(&hist[i], 0.99));
        bench_number("p99.9", 0, bench_hist_at(&hist[i], 0.999));
        bench_number("p99.99", 0, bench_hist_at(&hist[i], 0.9999));
        bench_number("max", 0, (double)hist[i].most);
        bench_end_row();
    }
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "place fresh many roll latency");
    if (bench_wants("place"))
        alone("place", true);
    if (bench_wants("fresh"))
        alone("fresh", false);
    if (bench_wants("many"))
        many("many");
    if (bench_wants("roll"))
        rolls("roll");
    if (bench_wants("latency"))
        latency("latency");
    return 0;
}
