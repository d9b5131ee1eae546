/*
 * Durable appends: a batch of records, and the wait until it survives a power cut, next to writing as
 * many bytes as the batch takes in a segment into blocks that were written before, and fdatasync.
 */
#include "bench.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define LEN_MAX     4096
#define BATCH_MAX   1000
#define FILE_BYTES  BENCH_SEGMENT
#define SAMPLES_MAX ((size_t)50000)

enum contender { LOG, FLOOR, CONTENDERS };

struct durable {
    struct seglog_log *log;
    struct seglog_appender *appender;
    int fd;
    uint64_t at; /* in the file; goes round */
    uint8_t *block;
    struct seglog_record *records;
};

static int durable_open(const struct bench *bench, struct durable *d)
{
    const struct seglog_appender_options how = {
        .mode = SEGLOG_EXCLUSIVE,
        .sync = SEGLOG_SYNC_RECORD,
    };
    char path[PATH_MAX];
    int rc;

    *d = (struct durable){.fd = -1};
    d->block = calloc(BATCH_MAX, bench_span(LEN_MAX));
    d->records = calloc(BATCH_MAX, sizeof(*d->records));
    if (!d->block || !d->records)
        return -ENOMEM;
    d->fd = bench_file(bench, "floor", FILE_BYTES);
    if (d->fd < 0 || fsync(d->fd) < 0)
        return d->fd < 0 ? d->fd : -errno;
    bench_path(bench, "durable", path);
    rc = bench_log_create(bench, "durable");
    if (rc == 0)
        rc = seglog_log_open(path, NULL, &d->log);
    return rc < 0 ? rc : seglog_appender_open(d->log, &how, &d->appender);
}

static void durable_close(struct durable *d)
{
    seglog_appender_close(d->appender);
    seglog_log_close(d->log);
    if (d->fd >= 0)
        close(d->fd);
    free(d->records);
    free(d->block);
}

static int commit_floor(struct durable *d, size_t bytes)
{
    if (d->at + bytes > FILE_BYTES)
        d->at = 0;
    if (pwrite(d->fd, d->block, bytes, (off_t)d->at) != (ssize_t)bytes || fdatasync(d->fd) < 0)
        return errno ? -errno : -EIO;
    d->at += bytes;
    return 0;
}

static int commit(struct durable *d, enum contender which, size_t batch, size_t len)
{
    if (which == FLOOR)
        return commit_floor(d, batch * bench_span(len));
    for (size_t i = 0; i < batch; i++)
        d->records[i] = (struct seglog_record){.data = d->block, .len = len, .time_ns = 1};
    return seglog_appender_append_batch(d->appender, d->records, batch, NULL);
}

/* One run: commits a second, or a negative status. At least one commit, at most a few MiB. */
static double run(const struct bench *bench, struct durable *d, enum contender which, size_t batch,
                  size_t len, struct bench_samples *samples)
{
    const uint64_t most = BENCH_RUN_BYTES / 4 / (batch * bench_span(len)) + 1;
    const uint64_t begin = bench_now();
    uint64_t now = begin, n = 0;

    while (n < most && (n == 0 || (now - begin < bench->slice_ns && !signals_stopped()))) {
        const uint64_t before = now;
        const int rc = commit(d, which, batch, len);

        if (rc < 0)
            return rc;
        now = bench_now();
        bench_sample(samples, now - before);
        n++;
    }
    return (double)n * 1e9 / (double)(now - begin);
}

static const struct bench_column columns[] = {
    {"batch", "batch", 6, 0},
    {"bytes", "bytes", 6, 0},
    {"records_per_s", "records/s", 11, 0},
    {"floor_records_per_s", "floor", 11, 0},
    {"of_floor", "/floor", 7, 2},
    {"p50_ns", "p50 ns", 10, 0},
    {"p99_ns", "p99 ns", 10, 0},
    {"max_ns", "max ns", 11, 0},
    {"floor_p50_ns", "floor p50", 10, 0},
    {"floor_p99_ns", "floor p99", 11, 0},
    {0},
};
static const struct bench_table table = {
    .section = "durable",
    .title = "batches appended and waited for; floor: pwrite and fdatasync of as many bytes into "
             "blocks written before",
    .columns = columns,
};

/* All rounds of one batch and size. returns 0 or a negative status */
static int measure(struct bench *bench, struct durable *d, size_t batch, size_t len)
{
    struct bench_samples samples[CONTENDERS] = {0};
    struct bench_rounds rate[CONTENDERS];
    json_t *row;
    int rc = 0;

    for (int which = 0; which < CONTENDERS && rc == 0; which++)
        rc = bench_samples_open(&samples[which], SAMPLES_MAX);
    for (int i = 0; i < BENCH_ROUNDS * CONTENDERS && rc == 0; i++) {
        const int which = i % CONTENDERS;
        const double one = run(bench, d, (enum contender)which, batch, len, &samples[which]);

        rate[which].v[i / CONTENDERS] = one * (double)batch;
        rc = one < 0 ? (int)one : signals_stopped() ? -EINTR : 0;
    }
    if (rc == 0) {
        row = json_object();
        report_number(row, "batch", batch);
        report_number(row, "bytes", len);
        bench_put(row, "records_per_s", bench_median(&rate[LOG]));
        bench_put(row, "floor_records_per_s", bench_median(&rate[FLOOR]));
        bench_put(row, "of_floor", bench_ratio(&rate[LOG], &rate[FLOOR]));
        bench_percentiles(row, "", &samples[LOG]);
        bench_percentiles(row, "floor_", &samples[FLOOR]);
        bench_row(bench, &table, row);
    }
    for (int which = 0; which < CONTENDERS; which++)
        bench_samples_close(&samples[which]);
    return rc;
}

int bench_durable(struct bench *bench)
{
    static const size_t batches[] = {1, 100, BATCH_MAX}, lens[] = {64, 256, 1024, LEN_MAX};
    const size_t count = sizeof(lens) / sizeof(lens[0]);
    struct durable d;
    int rc;

    bench_begin(bench, &table);
    if (bench->volatile_fs) {
        bench_remark(bench, "not measured: this file system keeps nothing across a power cut");
        return 0;
    }
    rc = durable_open(bench, &d);
    if (rc == 0)
        rc = commit(&d, LOG, 1, 1); /* the first is of the whole file */
    for (size_t i = 0; i < count * sizeof(batches) / sizeof(batches[0]) && rc == 0; i++)
        rc = measure(bench, &d, batches[i / count], lens[i % count]);
    durable_close(&d);
    return rc < 0 && rc != -EINTR ? fail_status(bench->cli, bench->scratch, rc) : 0;
}
