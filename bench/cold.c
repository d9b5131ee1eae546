/*
 * Reading a log whose pages are not in memory: what the ways to get them there are worth.
 *
 * Before each run the page cache is asked to forget the segments, and a run counts only from pages
 * that are really gone. The readers of the library come first; below them stand the ways that the
 * library could have chosen, each over the bare files: every byte is summed, so that the page has to
 * be there, and nothing else is done with it.
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEGMENT     ((uint64_t)64 << 20)
#define SEGMENTS    8
#define FRAMES      UINT64_C(20480)     /* where a segment's frames begin */
#define WINDOW      ((uint64_t)4 << 20) /* asked for at a time */
#define AHEAD       ((uint64_t)16 << 20)
#define BLOCK       ((uint64_t)1 << 20)
#define DEPTH       8
#define VIEWS       32
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct corpus {
    struct bench_log log;
    size_t payload;
    uint64_t n;
    uint64_t sum;
    int fd[SEGMENTS];
    void *sink; /* a block for whoever copies */
};

typedef uint64_t (*way)(const struct corpus *c); /* bytes gone through */

struct contender {
    const char *name;
    uint32_t flags; /* of the library's reader; else */
    way way;
};

/* ---- the corpus ------------------------------------------------------------------------------- */

static void corpus_make(struct corpus *c, size_t payload)
{
    struct seglog_log *handle;
    struct seglog_appender *appender;

    *c = (struct corpus){.payload = payload,
                         .n = SEGMENTS * bench_records(SEGMENT, payload),
                         .sink = bench_private(DEPTH * BLOCK, true)};
    c->sum = bench_sum_expected(c->n, payload);
    bench_log_make(&c->log, SEGMENT, SEGLOG_SYNC_SEALED);
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
    for (int i = 0; i < SEGMENTS; i++) {
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/%016x.seg", c->log.dir, (unsigned)i);
        c->fd[i] = (int)bench_sys(open(path, O_RDONLY | O_CLOEXEC), path);
    }
}

static void corpus_free(struct corpus *c)
{
    for (int i = 0; i < SEGMENTS; i++)
        close(c->fd[i]);
    bench_unmap(c->sink, DEPTH * BLOCK);
    bench_log_remove(&c->log);
}

static void *segment_map(const struct corpus *c, int i)
{
    void *base = mmap(NULL, SEGMENT, PROT_READ, MAP_SHARED, c->fd[i], 0);

    bench_sys(base == MAP_FAILED ? -1 : 0, "mmap");
    return base;
}

/* Part of the pages that are in memory. */
static double residency(const struct corpus *c)
{
    static unsigned char there[SEGMENT / 4096];
    uint64_t n = 0, all = 0;

    for (int i = 0; i < SEGMENTS; i++) {
        void *base = segment_map(c, i);

        bench_sys(mincore(base, SEGMENT, there), "mincore");
        for (size_t k = 0; k < COUNT_OF(there); k++)
            n += there[k] & 1;
        all += COUNT_OF(there);
        munmap(base, SEGMENT);
    }
    return (double)n / (double)all;
}

static void forget(const struct corpus *c)
{
    for (int i = 0; i < SEGMENTS; i++) {
        bench_sys(fsync(c->fd[i]), "fsync");
        errno = posix_fadvise(c->fd[i], 0, 0, POSIX_FADV_DONTNEED);
        bench_sys(errno ? -1 : 0, "posix_fadvise");
    }
    if (residency(c) > 0.01)
        bench_die("the page cache keeps the segments: nothing here is cold");
}

/* ---- the ways --------------------------------------------------------------------------------- */

static volatile uint64_t swallowed;

static void swallow(const void *data, uint64_t len)
{
    swallowed += bench_sum(data, len);
}

static uint64_t by_read(const struct corpus *c)
{
    uint64_t total = 0;

    for (int i = 0; i < SEGMENTS; i++) {
        for (uint64_t at = 0; at < SEGMENT; at += BLOCK) {
            bench_sys(pread(c->fd[i], c->sink, BLOCK, (off_t)at), "pread");
            swallow(c->sink, BLOCK);
            total += BLOCK;
        }
    }
    return total;
}

static uint64_t by_uring(const struct corpus *c)
{
    const uint64_t blocks = SEGMENTS * (SEGMENT / BLOCK), each = SEGMENT / BLOCK;
    bool done[DEPTH] = {false};
    struct io_uring ring;
    uint64_t asked = 0, total = 0;

    bench_ok(io_uring_queue_init(DEPTH, &ring, 0), "io_uring");
    while (total < blocks * BLOCK) {
        const uint64_t turn = total / BLOCK;

        for (; asked < blocks && asked < turn + DEPTH; asked++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

            io_uring_prep_read(sqe, c->fd[asked / each], (uint8_t *)c->sink + asked % DEPTH * BLOCK,
                               BLOCK, asked % each * BLOCK);
            io_uring_sqe_set_data(sqe, (void *)(uintptr_t)(asked % DEPTH));
        }
        bench_ok(io_uring_submit(&ring), "submit");
        while (!done[turn % DEPTH]) {
            struct io_uring_cqe *cqe;

            bench_ok(io_uring_wait_cqe(&ring, &cqe), "wait");
            if (cqe->res != (int)BLOCK)
                bench_die("io_uring read: %d", cqe->res);
            done[(uintptr_t)io_uring_cqe_get_data(cqe)] = true;
            io_uring_cqe_seen(&ring, cqe);
        }
        done[turn % DEPTH] = false;
        swallow((uint8_t *)c->sink + turn % DEPTH * BLOCK, BLOCK);
        total += BLOCK;
    }
    io_uring_queue_exit(&ring);
    return total;
}

/* A mapping, with advice for all of it (0: none). */
static uint64_t mapped(const struct corpus *c, int advice, uint64_t from, bool whole, bool window)
{
    uint64_t total = 0;

    for (int i = 0; i < SEGMENTS; i++) {
        uint8_t *base = segment_map(c, i);

        if (advice)
            bench_sys(madvise(base, SEGMENT, advice), "madvise");
        if (whole)
            bench_sys(madvise(base, SEGMENT, MADV_WILLNEED), "madvise");
        for (uint64_t at = 0; at < SEGMENT; at += BLOCK) {
            const uint64_t skip = at == 0 ? from : 0;

            if (window && at % WINDOW == 0 && at + AHEAD < SEGMENT)
                bench_sys(madvise(base + at + AHEAD, WINDOW, MADV_WILLNEED), "madvise");
            swallow(base + at + skip, BLOCK - skip);
            total += BLOCK - skip;
        }
        munmap(base, SEGMENT);
    }
    return total;
}

static uint64_t by_map(const struct corpus *c)
{
    return mapped(c, 0, FRAMES, false, false);
}

static uint64_t by_sequential(const struct corpus *c)
{
    return mapped(c, MADV_SEQUENTIAL, FRAMES, false, false);
}

static uint64_t by_sequential_all(const struct corpus *c)
{
    return mapped(c, MADV_SEQUENTIAL, 0, false, false);
}

static uint64_t by_whole(const struct corpus *c)
{
    return mapped(c, 0, FRAMES, true, false);
}

static uint64_t by_window(const struct corpus *c)
{
    return mapped(c, 0, FRAMES, false, true);
}

/* Somebody who walks ahead of us and makes the pages be there. */
struct walker {
    const struct corpus *c;
    uint8_t *base[SEGMENTS];
    int advice;
    _Atomic uint64_t at; /* where the reader is */
};

static void *walk_ahead(void *arg)
{
    struct walker *w = arg;

    for (uint64_t at = 0; at < SEGMENTS * SEGMENT; at += WINDOW) {
        while (at > atomic_load(&w->at) + AHEAD)
            usleep(50);
        if (w->advice == MADV_POPULATE_READ)
            bench_sys(madvise(w->base[at / SEGMENT] + at % SEGMENT, WINDOW, w->advice), "populate");
        else
            bench_sys(readahead(w->c->fd[at / SEGMENT], (off64_t)(at % SEGMENT), WINDOW),
                      "readahead");
    }
    return NULL;
}

static uint64_t by_walker(const struct corpus *c, int advice)
{
    struct walker w = {.c = c, .advice = advice};
    pthread_t thread;
    uint64_t total = 0;

    for (int i = 0; i < SEGMENTS; i++) {
        w.base[i] = segment_map(c, i);
    }
    errno = pthread_create(&thread, NULL, walk_ahead, &w);
    bench_sys(errno ? -1 : 0, "pthread_create");
    for (; total < SEGMENTS * SEGMENT; total += BLOCK) {
        atomic_store(&w.at, total);
        swallow(w.base[total / SEGMENT] + total % SEGMENT, BLOCK);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < SEGMENTS; i++)
        munmap(w.base[i], SEGMENT);
    return total;
}

static uint64_t by_populate(const struct corpus *c)
{
    return by_walker(c, MADV_POPULATE_READ);
}

static uint64_t by_readahead(const struct corpus *c)
{
    return by_walker(c, 0);
}

/* ---- the library ------------------------------------------------------------------------------ */

static uint64_t by_reader(const struct corpus *c, uint32_t flags)
{
    struct seglog_reader *reader = bench_reader(&c->log, SEGLOG_WAIT_AUTO, flags);
    struct seglog_view views[VIEWS];
    uint64_t n = 0, sum = 0;
    int got;

    while ((got = seglog_reader_batch(reader, views, VIEWS)) > 0) {
        for (int i = 0; i < got; i++)
            sum += bench_sum(views[i].data, views[i].len);
        n += (uint64_t)got;
        seglog_reader_release(reader);
    }
    if (got != -EAGAIN)
        bench_ok(got, "reading");
    if (n != c->n || sum != c->sum)
        bench_die("%llu records of %llu, or a wrong sum", (unsigned long long)n,
                  (unsigned long long)c->n);
    seglog_reader_close(reader);
    return n * bench_frame(c->payload);
}

static const struct contender contenders[] = {
    {"reader, batch()", 0, NULL},
    {"reader, unverified", SEGLOG_READER_NO_VERIFY, NULL},
    {"reader, dropping behind", SEGLOG_READER_DROP_BEHIND, NULL},
    {"mapping, no advice", 0, by_map},
    {"mapping, SEQUENTIAL", 0, by_sequential},
    {"mapping, SEQUENTIAL, from byte 0", 0, by_sequential_all},
    {"mapping, WILLNEED of each segment", 0, by_whole},
    {"mapping, WILLNEED of a window ahead", 0, by_window},
    {"mapping, readahead(2) by a thread", 0, by_readahead},
    {"mapping, POPULATE_READ by a thread", 0, by_populate},
    {"pread(2), a MiB at a time", 0, by_read},
    {"io_uring, 8 reads of a MiB under way", 0, by_uring},
};
#define CONTENDERS COUNT_OF(contenders)
#define FLOOR_AT   3 /* the mapping without advice */

static double measure(const struct corpus *c, const struct contender *how)
{
    uint64_t start, bytes;

    forget(c);
    start = bench_now();
    bytes = how->way ? how->way(c) : by_reader(c, how->flags);
    return (double)bytes / (double)(bench_now() - start);
}

static void cold(size_t payload)
{
    struct bench_series series[CONTENDERS] = {0}, left[CONTENDERS] = {0};
    struct corpus corpus;

    corpus_make(&corpus, payload);
    for (int round = 0; round < bench.rounds; round++) {
        for (size_t k = 0; k < CONTENDERS; k++) {
            const size_t i = (k + (size_t)round) % CONTENDERS; /* nobody is always the first */

            bench_add(&series[i], measure(&corpus, &contenders[i]));
            bench_add(&left[i], residency(&corpus));
        }
    }
    for (size_t i = 0; i < CONTENDERS; i++) {
        bench_text("contender", "%s", contenders[i].name);
        bench_number("payload", 0, (double)payload);
        bench_number("GB/s", 2, bench_median(&series[i]));
        bench_number("least", 2, bench_least(&series[i]));
        bench_number("most", 2, bench_most(&series[i]));
        bench_number("/no advice", 2,
                     i == FLOOR_AT ? NAN : bench_ratio(&series[i], &series[FLOOR_AT]));
        bench_number("left", 2, bench_median(&left[i]));
        bench_end_row();
    }
    corpus_free(&corpus);
}

int main(int argc, char **argv)
{
    static const size_t payloads[] = {64, 1024};

    bench_start(argc, argv, "cold");
    bench_table("cold",
                "a sealed log of %d segments of 64 MiB, none of it in memory; bytes of frames a "
                "second, and the part that stays in memory; %d rounds",
                SEGMENTS, bench.rounds);
    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        if (bench_wants_payload(payloads[i]))
            cold(payloads[i]);
    }
    return 0;
}
