/*
 * Appending: how long one record takes, next to copying the same bytes to the same places of a mapped
 * file whose pages are all there, and to writing them with write(2).
 *
 * The log's pages are in place too, as the helper thread sees to it in a log in use, and the caller
 * gives the time, which otherwise costs some 20 ns more.
 */
#include "bench.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEN_MAX     4096
#define LOOK_EVERY  64 /* records between looks at the clock */
#define SAMPLES_MAX ((size_t)400000)

enum contender { EXCLUSIVE, SHARED, MAPPED, WRITTEN, CONTENDERS };

/* One contender at work: a log, or a file. */
struct target {
    struct seglog_log *log;
    struct seglog_appender *appender;
    int fd;
    uint8_t *base;
    uint64_t at;
};

static const uint8_t payload[LEN_MAX];

static void target_close(struct target *t)
{
    seglog_appender_close(t->appender);
    seglog_log_close(t->log);
    if (t->base)
        munmap(t->base, BENCH_SEGMENT);
    if (t->fd >= 0)
        close(t->fd);
}

/*
 * Into a segment that was prepared ahead, whose pages are in place: fill the first one, and do the
 * preparing half way.
 */
static int fill_first(struct target *t)
{
    const size_t len = ((size_t)256 << 10) - 32;
    const uint64_t n = BENCH_SEGMENT / bench_span(len) + 1;
    void *data = calloc(1, len);
    int rc = data ? 0 : -ENOMEM;

    for (uint64_t i = 0; i < n && rc == 0; i++) {
        if (i == n / 2)
            rc = seglog_log_tend(t->log);
        if (rc == 0)
            rc = seglog_appender_append(t->appender, data, len, NULL);
    }
    free(data);
    return rc;
}

static int target_open_log(const struct bench *bench, enum contender which, struct target *t)
{
    /* Without a helper: nobody prepares a segment beside us that we will not need. */
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options how = {
        .mode = which == EXCLUSIVE ? SEGLOG_EXCLUSIVE : SEGLOG_SHARED,
    };
    char path[PATH_MAX];
    int rc = bench_log_create(bench, "append");

    bench_path(bench, "append", path);
    if (rc == 0)
        rc = seglog_log_open(path, &options, &t->log);
    if (rc == 0)
        rc = seglog_appender_open(t->log, &how, &t->appender);
    return rc < 0 ? rc : fill_first(t);
}

static int target_open_file(const struct bench *bench, enum contender which, struct target *t)
{
    void *base;

    t->fd = bench_file(bench, "floor", which == MAPPED ? BENCH_SEGMENT : 0);
    if (t->fd < 0)
        return t->fd;
    if (which == WRITTEN)
        return 0;
    base = mmap(NULL, BENCH_SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    t->base = base;
    memset(t->base, 1, BENCH_SEGMENT);
    return 0;
}

static int target_open(const struct bench *bench, enum contender which, struct target *t)
{
    *t = (struct target){.fd = -1};
    return which <= SHARED ? target_open_log(bench, which, t) : target_open_file(bench, which, t);
}

static inline int target_put(struct target *t, size_t len)
{
    if (t->appender) {
        const struct seglog_record record = {.data = payload, .len = len, .time_ns = 1};

        return seglog_appender_append_record(t->appender, &record, NULL);
    }
    if (t->base) {
        memcpy(t->base + t->at, payload, len);
        t->at += bench_span(len);
        return 0;
    }
    return write(t->fd, payload, len) == (ssize_t)len ? 0 : errno ? -errno : -EIO;
}

/* ---- how long on average ---------------------------------------------------------------------- */

/* One run: ns a record, or a negative status. */
static double run_mean(const struct bench *bench, enum contender which, size_t len)
{
    const uint64_t most = BENCH_RUN_BYTES / bench_span(len);
    struct target t;
    uint64_t begin, now, n = 0;
    int rc = target_open(bench, which, &t);

    begin = now = bench_now();
    while (rc == 0 && n + LOOK_EVERY <= most && now - begin < bench->slice_ns) {
        for (int i = 0; i < LOOK_EVERY && rc == 0; i++)
            rc = target_put(&t, len);
        n += LOOK_EVERY;
        now = bench_now();
    }
    target_close(&t);
    return rc < 0 ? rc : (double)(now - begin) / (double)n;
}

static const struct bench_column append_columns[] = {
    {"mode", "mode", -9, 0},         {"bytes", "bytes", 6, 0},      {"ns", "ns", 8, 1},
    {"gb_per_s", "GB/s", 7, 2},      {"memcpy_ns", "memcpy", 8, 1}, {"write_ns", "write", 8, 1},
    {"per_memcpy", "/memcpy", 8, 2}, {"per_write", "/write", 7, 3}, {0},
};
static const struct bench_table append_table = {
    .section = "append",
    .title = "ns for one record, pages in place; floors: memcpy into a mapped file, write(2)",
    .columns = append_columns,
};

static void append_rows(struct bench *bench, size_t len, const struct bench_rounds *ns)
{
    static const char *const names[] = {"exclusive", "shared"};

    for (int mode = EXCLUSIVE; mode <= SHARED; mode++) {
        json_t *row = json_object();
        const double median = bench_median(&ns[mode]);

        report_text(row, "mode", names[mode]);
        report_number(row, "bytes", len);
        bench_put(row, "ns", median);
        bench_put(row, "gb_per_s", (double)len / median);
        bench_put(row, "memcpy_ns", bench_median(&ns[MAPPED]));
        bench_put(row, "write_ns", bench_median(&ns[WRITTEN]));
        bench_put(row, "per_memcpy", bench_ratio(&ns[mode], &ns[MAPPED]));
        bench_put(row, "per_write", bench_ratio(&ns[mode], &ns[WRITTEN]));
        bench_row(bench, &append_table, row);
    }
}

int bench_append(struct bench *bench)
{
    static const size_t lens[] = {64, 256, 1024, LEN_MAX};

    bench_begin(bench, &append_table);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct bench_rounds ns[CONTENDERS];

        for (int round = 0; round < BENCH_ROUNDS; round++) {
            for (int which = 0; which < CONTENDERS; which++) {
                const double one = run_mean(bench, (enum contender)which, lens[i]);

                if (one < 0)
                    return fail_status(bench->cli, bench->scratch, (int)one);
                if (signals_stopped())
                    return 0;
                ns[which].v[round] = one;
            }
        }
        append_rows(bench, lens[i], ns);
    }
    return 0;
}

/* ---- how long each ---------------------------------------------------------------------------- */

/* One run, every record timed; the clock's own time is in it. returns 0 or a negative status */
static int run_each(const struct bench *bench, enum contender which, size_t len,
                    struct bench_samples *samples)
{
    const uint64_t most = BENCH_RUN_BYTES / bench_span(len);
    struct target t;
    uint64_t begin, before, now;
    int rc = target_open(bench, which, &t);

    begin = before = now = bench_now();
    for (uint64_t n = 0; rc == 0 && n < most && now - begin < bench->slice_ns; n++) {
        rc = target_put(&t, len);
        now = bench_now();
        bench_sample(samples, now - before);
        before = now;
    }
    target_close(&t);
    return rc;
}

static const struct bench_column latency_columns[] = {
    {"what", "what", -20, 0},
    {"bytes", "bytes", 6, 0},
    {"p50_ns", "p50", 8, 0},
    {"p99_ns", "p99", 8, 0},
    {"p999_ns", "p99.9", 8, 0},
    {"max_ns", "max", 10, 0},
    {0},
};
static const struct bench_table latency_table = {
    .section = "latency",
    .title = "ns for each single record, reading the clock included; floors last",
    .columns = latency_columns,
};

int bench_latency(struct bench *bench)
{
    static const char *const names[] = {"append exclusive", "append shared", "floor: memcpy",
                                        "floor: write"};
    const size_t len = 64;
    struct bench_samples samples[CONTENDERS] = {0};
    int rc = 0;

    bench_begin(bench, &latency_table);
    for (int which = 0; which < CONTENDERS && rc == 0; which++)
        rc = bench_samples_open(&samples[which], SAMPLES_MAX);
    for (int i = 0; i < BENCH_ROUNDS * CONTENDERS && rc == 0 && !signals_stopped(); i++)
        rc = run_each(bench, (enum contender)(i % CONTENDERS), len, &samples[i % CONTENDERS]);
    for (int which = 0; which < CONTENDERS; which++) {
        if (rc == 0 && !signals_stopped()) {
            json_t *row = json_object();

            report_text(row, "what", names[which]);
            report_number(row, "bytes", len);
            bench_percentiles(row, "", &samples[which]);
            bench_row(bench, &latency_table, row);
        }
        bench_samples_close(&samples[which]);
    }
    return rc < 0 ? fail_status(bench->cli, bench->scratch, rc) : 0;
}
