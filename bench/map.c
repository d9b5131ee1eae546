/*
 * A mapped file next to read(2): all of it in order, and pieces of it at random, warm and cold.
 *
 * Every contender sums every byte that it is after, and all sums are compared, so nobody is measured at
 * touching one byte of a page. "warm": the file is in the page cache, and the mapping, where one is kept,
 * has its pages. "fresh": mapped and unmapped within the time. "cold": the page cache was told to forget
 * the file before; not every file system does (tmpfs has nothing to forget, and is refused).
 */
#include "common.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#define FILE_SIZE   (UINT64_C(256) << 20)
#define TMPFS_MAGIC 0x01021994
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static char path[300];
static uint64_t sum_of_all;

static void make_file(void)
{
    uint64_t *block = malloc(1 << 20), state = 88172645463325252u;
    int fd;

    snprintf(path, sizeof(path), "%s/bench-map.%ld", bench.dir, (long)getpid());
    fd = (int)bench_sys(open(path, O_RDWR | O_CREAT | O_EXCL, 0600), path);
    for (uint64_t at = 0; at < FILE_SIZE; at += 1 << 20) {
        for (unsigned i = 0; i < (1 << 20) / 8; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block[i] = state;
        }
        sum_of_all += bench_sum(block, 1 << 20);
        if (write(fd, block, 1 << 20) != 1 << 20)
            bench_die("%s: short write", path);
    }
    bench_sys(fsync(fd), "fsync");
    close(fd);
    free(block);
}

/* And see that it is forgotten. */
static void forget(void)
{
    const int fd = (int)bench_sys(open(path, O_RDONLY), path);
    static unsigned char resident[FILE_SIZE / 4096];
    uint64_t left = 0;
    void *map;

    if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        bench_die("posix_fadvise");
    map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        bench_die("mmap");
    bench_sys(mincore(map, FILE_SIZE, resident), "mincore");
    for (size_t i = 0; i < sizeof(resident); i++)
        left += resident[i] & 1;
    munmap(map, FILE_SIZE);
    close(fd);
    if (left > sizeof(resident) / 100)
        bench_die("%s: the page cache does not forget it", path);
}

static struct seglog_map *map_open(uint32_t prefetch)
{
    const struct seglog_map_options o = {.mode = SEGLOG_MAP_READ, .prefetch = prefetch};
    struct seglog_map *map = NULL;

    bench_ok(seglog_map_open(path, &o, &map), "seglog_map_open");
    return map;
}

static const uint8_t *view(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    const void *at;

    bench_ok(seglog_map_view(map, offset, len, &at), "seglog_map_view");
    return at;
}

/* ---- in order -------------------------------------------------------------------------------- */

/* MiB/s, every byte summed. */
static double rate(uint64_t begin, uint64_t sum)
{
    const double ns = (double)(bench_now() - begin);

    if (sum != sum_of_all)
        bench_die("other bytes were read than were written");
    return (double)FILE_SIZE / (1 << 20) * 1e9 / ns;
}

static double by_read(size_t piece)
{
    const int fd = (int)bench_sys(open(path, O_RDONLY), path);
    uint8_t *buf = bench_private(piece, true);
    const uint64_t begin = bench_now();
    uint64_t sum = 0;
    double result;

    for (uint64_t at = 0; at < FILE_SIZE; at += piece) {
        if (read(fd, buf, piece) != (ssize_t)piece)
            bench_die("short read");
        sum += bench_sum(buf, piece);
    }
    result = rate(begin, sum);
    bench_unmap(buf, piece);
    close(fd);
    return result;
}

static uint64_t sum_map(struct seglog_map *map)
{
    uint64_t sum = 0;

    for (uint64_t at = 0; at < FILE_SIZE; at += 1 << 20)
        sum += bench_sum(view(map, at, 1 << 20), 1 << 20);
    return sum;
}

/* A mapping that has its pages. */
static struct seglog_map *kept;

static void keep(bool wanted)
{
    seglog_map_close(kept);
    kept = wanted ? map_open(SEGLOG_PREFETCH_ALL) : NULL;
}

static double by_kept_map(void)
{
    const uint64_t begin = bench_now();

    return rate(begin, sum_map(kept));
}

static double by_fresh_map(uint32_t prefetch)
{
    const uint64_t begin = bench_now();
    struct seglog_map *map = map_open(prefetch);
    const uint64_t sum = sum_map(map);

    seglog_map_close(map);
    return rate(begin, sum);
}

enum order { READ_4K, READ_1M, KEPT, FRESH, FRESH_SEQUENTIAL, FRESH_ALL, ORDERS };
static const char *const order_names[] = {
    "read(2), 4 KiB", "read(2), 1 MiB",         "map, kept",
    "map, fresh",     "map, fresh, SEQUENTIAL", "map, fresh, all prefetched"};

static double in_order(enum order order)
{
    switch (order) {
    case READ_4K:
        return by_read(4096);
    case READ_1M:
        return by_read(1 << 20);
    case KEPT:
        return by_kept_map();
    case FRESH:
        return by_fresh_map(SEGLOG_PREFETCH_NONE);
    case FRESH_SEQUENTIAL:
        return by_fresh_map(SEGLOG_PREFETCH_SEQUENTIAL);
    default:
        return by_fresh_map(SEGLOG_PREFETCH_ALL);
    }
}

static void order_section(bool cold)
{
    struct bench_series series[ORDERS] = {0};

    keep(!cold);
    for (int round = 0; round < bench.rounds; round++) {
        for (int i = 0; i < ORDERS; i++) {
            if (cold && i == KEPT)
                continue;
            if (cold)
                forget();
            bench_add(&series[i], in_order((enum order)i));
        }
    }
    bench_table(cold ? "cold" : "warm", "%d MiB in order, %s, every byte summed, MiB/s, %d rounds",
                (int)(FILE_SIZE >> 20), cold ? "cold" : "warm", bench.rounds);
    for (int i = 0; i < ORDERS; i++) {
        if (series[i].n == 0)
            continue;
        bench_text("contender", "%s", order_names[i]);
        bench_number("MiB/s", 0, bench_median(&series[i]));
        bench_number("least", 0, bench_least(&series[i]));
        bench_number("most", 0, bench_most(&series[i]));
        bench_number("to read 4K", 2, bench_ratio(&series[i], &series[READ_4K]));
        bench_number("to read 1M", 2, bench_ratio(&series[i], &series[READ_1M]));
        bench_end_row();
    }
}

/* ---- at random ------------------------------------------------------------------------------- */

static uint64_t next_place(uint64_t *state, size_t piece)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % (FILE_SIZE / piece) * piece;
}

/* ns a piece; *sum what was read. */
static double random_read(size_t piece, unsigned n, uint64_t *sum)
{
    const int fd = (int)bench_sys(open(path, O_RDONLY), path);
    uint64_t state = 7919, begin = bench_now();
    uint8_t buf[4096];

    for (unsigned i = 0; i < n; i++) {
        if (pread(fd, buf, piece, (off_t)next_place(&state, piece)) != (ssize_t)piece)
            bench_die("short read");
        *sum += bench_sum(buf, piece);
    }
    close(fd);
    return (double)(bench_now() - begin) / n;
}

static double random_map(size_t piece, unsigned n, uint64_t *sum, bool copies)
{
    uint64_t state = 7919, begin = bench_now();
    uint8_t buf[4096];

    for (unsigned i = 0; i < n; i++) {
        const uint64_t at = next_place(&state, piece);
        size_t got = piece;

        if (copies && (seglog_map_read(kept, at, buf, piece, &got) < 0 || got != piece))
            bench_die("seglog_map_read");
        *sum += bench_sum(copies ? buf : view(kept, at, piece), piece);
    }
    return (double)(bench_now() - begin) / n;
}

static void random_section(size_t piece)
{
    static const char *const names[] = {"pread(2)", "map, a view", "map, copied out"};
    struct bench_series series[3] = {0};
    const unsigned n = piece > 1000 ? 100000 : 1000000;

    keep(true);
    for (int round = 0; round < bench.rounds; round++) {
        uint64_t sums[3] = {0};

        bench_add(&series[0], random_read(piece, n, &sums[0]));
        bench_add(&series[1], random_map(piece, n, &sums[1], false));
        bench_add(&series[2], random_map(piece, n, &sums[2], true));
        if (sums[0] != sums[1] || sums[0] != sums[2])
            bench_die("other bytes were read");
    }
    bench_table("random",
                "%u pieces of %zu bytes at random, warm, every byte summed, ns each, %d rounds", n,
                piece, bench.rounds);
    for (int i = 0; i < 3; i++) {
        bench_text("contender", "%s", names[i]);
        bench_number("ns", 1, bench_median(&series[i]));
        bench_number("least", 1, bench_least(&series[i]));
        bench_number("most", 1, bench_most(&series[i]));
        bench_number("pread/this", 2, bench_ratio(&series[0], &series[i]));
        bench_end_row();
    }
}

int main(int argc, char **argv)
{
    struct statfs fs;

    bench_start(argc, argv, "warm cold random");
    make_file();
    bench_sys(statfs(path, &fs), "statfs");
    if (bench_wants("warm"))
        order_section(false);
    if (bench_wants("cold") && fs.f_type == TMPFS_MAGIC)
        bench_note("cold: left out, %s is in memory", bench.dir);
    else if (bench_wants("cold"))
        order_section(true);
    if (bench_wants("random")) {
        random_section(64);
        random_section(4096);
    }
    keep(false);
    unlink(path);
    return 0;
}
