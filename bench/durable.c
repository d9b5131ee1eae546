/*
 * What durable appends cost, next to what the disk under them costs.
 *
 * Every contender makes the same records durable, `batch` of them for each commit, on the same file
 * system, in turn in each round. The floors put the same number of bytes, frame headers included,
 * into blocks that were written before, so that no journal commit is needed:
 *
 *   pwrite    pwrite(2) and fdatasync(2)
 *   direct    pwrite(2) through O_DIRECT|O_DSYNC, whole blocks, the last one written again
 *
 * seglog runs twice: in a segment that lasts, and in segments of 64 MiB that fill, are sealed and need
 * successors, whose zeros and seals the log's own thread brings to the same disk meanwhile.
 */
#include "contender.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES  ((uint64_t)64 << 20)
#define LASTING     ((uint64_t)512 << 20) /* a segment that outlasts a cell */
#define CELL_NS     UINT64_C(250000000)
#define BLOCK       4096u
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const size_t payloads[] = {64, 256, 1024, 4096};
static const struct {
    unsigned count;
    const char *section; /* one of all that "batch" asks for */
} batches[] = {{1, "batch-one"}, {100, "batch-hundred"}, {1000, "batch-thousand"}};

/* ---- the floors ------------------------------------------------------------------------------- */

struct floor_file {
    int fd;
    uint64_t at;
    uint8_t *bytes; /* one commit's, aligned for O_DIRECT */
    size_t room;
};

/* A file of written blocks. */
static int written_file(uint64_t size, int flags)
{
    char path[300];
    uint8_t *zeros = bench_private((size_t)1 << 20, true);
    int fd;

    snprintf(path, sizeof(path), "%s/seglog-bench-floor-XXXXXX", bench.dir);
    fd = (int)bench_sys(mkstemp(path), path);
    for (uint64_t at = 0; at < size; at += 1 << 20)
        bench_sys(pwrite(fd, zeros, 1 << 20, (off_t)at), "pwrite");
    bench_sys(fdatasync(fd), "fdatasync");
    bench_unmap(zeros, (size_t)1 << 20);
    if (flags) {
        close(fd);
        fd = (int)bench_sys(open(path, O_RDWR | flags), path);
    }
    unlink(path);
    return fd;
}

static void *floor_open(const struct durable_cell *cell, int flags)
{
    struct floor_file *f = calloc(1, sizeof(*f));
    const size_t bytes = bench_frame(cell->payload) * cell->batch;

    f->room = (bytes + 2 * BLOCK) / BLOCK * BLOCK;
    f->bytes = aligned_alloc(BLOCK, f->room);
    for (size_t at = 0; at < f->room; at += 4096)
        memcpy(f->bytes + at, bench_payload(at / 4096), 4096);
    f->fd = written_file(FILE_BYTES, flags);
    return f;
}

static void *pwrite_open(const struct durable_cell *cell)
{
    return floor_open(cell, 0);
}

static void pwrite_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct floor_file *f = self;
    const size_t bytes = bench_frame(cell->payload) * cell->batch;

    (void)from;
    if (f->at + bytes > FILE_BYTES)
        f->at = 0;
    bench_sys(pwrite(f->fd, f->bytes, bytes, (off_t)f->at), "pwrite");
    bench_sys(fdatasync(f->fd), "fdatasync");
    f->at += bytes;
}

static void *direct_open(const struct durable_cell *cell)
{
    return floor_open(cell, O_DIRECT | O_DSYNC);
}

static void direct_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct floor_file *f = self;
    const size_t bytes = bench_frame(cell->payload) * cell->batch;
    uint64_t first = f->at / BLOCK * BLOCK, end = (f->at + bytes + BLOCK - 1) / BLOCK * BLOCK;

    (void)from;
    if (end > FILE_BYTES) {
        f->at = first = 0;
        end = (bytes + BLOCK - 1) / BLOCK * BLOCK;
    }
    bench_sys(pwrite(f->fd, f->bytes, end - first, (off_t)first), "pwrite");
    f->at += bytes;
}

static void floor_close(void *self, const struct durable_cell *cell)
{
    struct floor_file *f = self;

    (void)cell;
    close(f->fd);
    free(f->bytes);
    free(f);
}

/* ---- seglog ----------------------------------------------------------------------------------- */

struct log_side {
    struct bench_log log;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    struct seglog_record *records;
    uint64_t count;
};

static void *log_open(const struct durable_cell *cell, uint64_t segment_size)
{
    struct log_side *s = calloc(1, sizeof(*s));

    bench_log_make(&s->log, segment_size, SEGLOG_SYNC_RECORD);
    s->handle = bench_attach(&s->log, segment_size == LASTING ? SEGLOG_LOG_NO_HELPER : 0);
    s->appender = bench_appender(s->handle, SEGLOG_SHARED);
    s->records = calloc(cell->batch, sizeof(*s->records));
    return s;
}

static void *lasting_open(const struct durable_cell *cell)
{
    return log_open(cell, LASTING);
}

static void *rolling_open(const struct durable_cell *cell)
{
    return log_open(cell, FILE_BYTES);
}

static void log_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct log_side *s = self;

    for (unsigned k = 0; k < cell->batch; k++)
        s->records[k] = (struct seglog_record){
            .data = bench_payload(from + k), .len = cell->payload, .time_ns = from + k + 1};
    bench_ok(seglog_appender_append_batch(s->appender, s->records, cell->batch, NULL), "append");
    s->count += cell->batch;
}

static void log_close(void *self, const struct durable_cell *cell)
{
    struct log_side *s = self;
    uint64_t durable;

    bench_ok(seglog_log_progress(s->handle, &durable, NULL), "progress");
    if (durable != s->count)
        bench_die("appended %llu, durable %llu", (unsigned long long)s->count,
                  (unsigned long long)durable);
    seglog_appender_close(s->appender);
    bench_ok(seglog_log_close(s->handle), "close");
    bench_verify(&s->log, 1, s->count, cell->payload, 0);
    bench_log_remove(&s->log);
    free(s->records);
    free(s);
}

/* ---- batches ---------------------------------------------------------------------------------- */

static const struct durable_contender own[] = {
    {"floor: pwrite, fdatasync", pwrite_open, pwrite_commit, floor_close},
    {"floor: O_DIRECT|O_DSYNC", direct_open, direct_commit, floor_close},
    {"seglog, record", lasting_open, log_commit, log_close},
    {"seglog, record, rolling", rolling_open, log_commit, log_close},
};

/* Thousand records a second. */
static double cell_run(const struct durable_contender *c, const struct durable_cell *cell)
{
    void *self = c->open(cell);
    uint64_t n = 0, start, now;

    for (int warm = 0; warm < 3; warm++, n += cell->batch)
        c->commit(self, cell, n);
    start = bench_now();
    do {
        c->commit(self, cell, n);
        n += cell->batch;
        now = bench_now();
    } while (now - start < CELL_NS);
    c->close(self, cell);
    return (double)(n - 3 * cell->batch) * 1e6 / (double)(now - start);
}

static void batches_run(void)
{
    static struct bench_series series[16];
    const struct durable_contender *all[16];
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(own); i++)
        all[count++] = &own[i];
    for (const struct durable_contender *engine = bench_engines(); engine->name; engine++)
        all[count++] = engine;
    bench_table("batch",
                "durable records, thousands a second, one commit for each batch; "
                "%d rounds of %u ms",
                bench.rounds, (unsigned)(CELL_NS / 1000000));
    for (size_t p = 0; p < COUNT_OF(payloads); p++) {
        for (size_t b = 0; b < COUNT_OF(batches); b++) {
            const struct durable_cell cell = {.payload = payloads[p], .batch = batches[b].count};

            if (!bench_wants_payload(cell.payload) || !bench_wants(batches[b].section))
                continue;
            memset(series, 0, sizeof(series));
            for (int round = 0; round < bench.rounds; round++)
                for (size_t i = 0; i < count; i++)
                    bench_add(&series[i], cell_run(all[i], &cell));
            for (size_t i = 0; i < count; i++) {
                bench_text("contender", "%s", all[i]->name);
                bench_number("payload", 0, (double)cell.payload);
                bench_number("batch", 0, (double)cell.batch);
                bench_number("k/s", 1, bench_median(&series[i]));
                bench_number("least", 1, bench_least(&series[i]));
                bench_number("most", 1, bench_most(&series[i]));
                bench_number("to pwrite", 2, bench_ratio(&series[i], &series[0]));
                bench_number("to direct", 2, bench_ratio(&series[i], &series[1]));
                bench_end_row();
            }
        }
    }
}

/* ---- many appenders, each waiting for its own record ------------------------------------------ */

struct crowd {
    struct seglog_log *handle;
    size_t payload;
    _Atomic bool *stop;
    uint64_t done;
};

static void *crowd_main(void *arg)
{
    struct crowd *c = arg;
    struct seglog_appender *appender = bench_appender(c->handle, SEGLOG_SHARED);

    for (uint64_t i = 0; !*c->stop; i++) {
        const struct seglog_record record = {
            .data = bench_payload(i), .len = c->payload, .time_ns = i + 1};

        bench_ok(seglog_appender_append_record(appender, &record, NULL), "append");
        c->done++;
    }
    seglog_appender_close(appender);
    return NULL;
}

static double crowd_run(unsigned n, size_t payload)
{
    struct bench_log log;
    struct crowd crowd[64];
    pthread_t threads[64];
    _Atomic bool stop = false;
    uint64_t done = 0, start;

    bench_log_make(&log, 0, SEGLOG_SYNC_RECORD);
    for (unsigned i = 0; i < n; i++) {
        crowd[i] = (struct crowd){.payload = payload, .stop = &stop};
        if (i == 0 || i % 16 == 0)
            crowd[i].handle = bench_attach(&log, 0); /* several handles: as processes would */
        else
            crowd[i].handle = crowd[i - 1].handle;
    }
    start = bench_now();
    for (unsigned i = 0; i < n; i++)
        bench_sys(-pthread_create(&threads[i], NULL, crowd_main, &crowd[i]), "thread");
    bench_sleep(2 * CELL_NS);
    stop = true;
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        done += crowd[i].done;
    }
    start = bench_now() - start;
    for (unsigned i = 0; i < n; i += 16)
        bench_ok(seglog_log_close(crowd[i].handle), "close");
    bench_log_remove(&log);
    return (double)done * 1e6 / (double)start;
}

static void crowds(const char *section)
{
    static const unsigned sizes[] = {1, 8, 64};
    struct bench_series series[3];

    bench_table(section,
                "appenders that each wait for their own record, thousands a second together "
                "(threads, a handle for each 16)");
    for (size_t p = 0; p < 2; p++) {
        if (!bench_wants_payload(payloads[p]))
            continue;
        memset(series, 0, sizeof(series));
        for (int round = 0; round < bench.rounds; round++)
            for (size_t i = 0; i < COUNT_OF(sizes); i++)
                bench_add(&series[i], crowd_run(sizes[i], payloads[p]));
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            bench_number("payload", 0, (double)payloads[p]);
            bench_number("appenders", 0, (double)sizes[i]);
            bench_number("k/s", 1, bench_median(&series[i]));
            bench_number("least", 1, bench_least(&series[i]));
            bench_number("most", 1, bench_most(&series[i]));
            bench_number("to one", 1, bench_ratio(&series[i], &series[0]));
            bench_end_row();
        }
    }
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "batch (batch-one batch-hundred batch-thousand) crowd");
    if (bench_wants("batch-one batch-hundred batch-thousand"))
        batches_run();
    if (bench_wants("crowd"))
        crowds("crowd");
    return 0;
}
