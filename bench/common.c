/*
 * Options, failing, time, memory: see common.h.
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct bench_options bench = {.dir = "/dev/shm", .rounds = 9, .segments = 100, .near_ns = 170};
uint8_t *bench_pool;

/* ---- options ---------------------------------------------------------------------------------- */

static _Noreturn void usage(const char *program, const char *sections, int status)
{
    fprintf(status ? stderr : stdout,
            "usage: %s [options] [section]\n"
            "  -d, --dir DIR       where scratch logs go (/dev/shm)\n"
            "  -r, --rounds N      of each comparison (9)\n"
            "  -s, --segments N    that a run goes through, where it rolls (100)\n"
            "  -n, --near NS       a line bounced in less means near processors (170)\n"
            "  -p, --payload N     this payload only\n"
            "  -q, --queue TEXT    of ring: floors, and contenders whose names contain this\n"
            "  -c, --command FILE  the seglog command\n"
            "  -f, --file FILE     whose lines are the records, for archive; else made up\n"
            "  -j, --json          an object a line instead of tables\n"
            "sections: %s\n",
            program, sections);
    exit(status);
}

static void pool_fill(void)
{
    uint64_t x = 88172645463325252u;

    bench_pool = bench_shared(BENCH_POOL + BENCH_PAYLOAD_MAX);
    for (size_t i = 0; i < (BENCH_POOL + BENCH_PAYLOAD_MAX) / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bench_pool + 8 * i, &x, 8);
    }
}

void bench_start(int argc, char **argv, const char *sections)
{
    static const struct option longs[] = {
        {"dir", required_argument, NULL, 'd'},
        {"rounds", required_argument, NULL, 'r'},
        {"near", required_argument, NULL, 'n'},
        {"command", required_argument, NULL, 'c'},
        {"payload", required_argument, NULL, 'p'},
        {"queue", required_argument, NULL, 'q'},
        {"file", required_argument, NULL, 'f'},
        {"segments", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "d:r:s:n:p:q:c:f:jh", longs, NULL)) != -1) {
        switch (option) {
        case 'd':
            bench.dir = optarg;
            break;
        case 'r':
            bench.rounds = atoi(optarg);
            break;
        case 's':
            bench.segments = (unsigned)atoi(optarg);
            break;
        case 'n':
            bench.near_ns = atof(optarg);
            break;
        case 'p':
            bench.payload = (size_t)atol(optarg);
            break;
        case 'q':
            bench.queue = optarg;
            break;
        case 'c':
            bench.command = optarg;
            break;
        case 'f':
            bench.file = optarg;
            break;
        case 'j':
            bench.json = true;
            break;
        default:
            usage(argv[0], sections, option == 'h' ? 0 : 2);
        }
    }
    if (bench.rounds < 1 || bench.segments < 1 || bench.rounds > BENCH_ROUNDS_MAX ||
        optind + 1 < argc)
        usage(argv[0], sections, 2);
    bench.only = argv[optind];
    bench_cpus();
    setvbuf(stdout, NULL, _IOLBF, 0);
    pool_fill();
    bench_tick_ns();
}

bool bench_wants(const char *section)
{
    return !bench.only || strstr(section, bench.only);
}

bool bench_wants_payload(size_t payload)
{
    return bench.payload == 0 || bench.payload == payload;
}

/* ---- failing ---------------------------------------------------------------------------------- */

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int bench_ok(int rc, const char *what)
{
    if (rc < 0)
        bench_die("%s: %s (%s)", what, seglog_strerror(rc), seglog_status_name(rc));
    return rc;
}

long bench_sys(long rc, const char *what)
{
    if (rc < 0)
        bench_die("%s: %s", what, strerror(errno));
    return rc;
}

/* ---- time ------------------------------------------------------------------------------------- */

uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_sleep(uint64_t ns)
{
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
                               .tv_nsec = (long)(ns % 1000000000u)};

    nanosleep(&t, NULL);
}

double bench_tick_ns(void)
{
    static double length;

    if (length == 0) {
        const uint64_t t0 = bench_now(), c0 = bench_tick();
        uint64_t t1;

        while ((t1 = bench_now()) - t0 < 50000000u)
            continue;
        length = (double)(t1 - t0) / (double)(bench_tick() - c0);
    }
    return length;
}

/* ---- memory and files ------------------------------------------------------------------------- */

static void *map_or_die(size_t size, int flags, int fd)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (base == MAP_FAILED)
        bench_die("mmap of %zu bytes: %s", size, strerror(errno));
    return base;
}

void *bench_shared(size_t size)
{
    return map_or_die(size, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1);
}

uint8_t *bench_private(size_t size, bool in_place)
{
    uint8_t *base = map_or_die(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (in_place)
        bench_sys(madvise(base, size, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    return base;
}

void bench_unmap(void *base, size_t size)
{
    bench_sys(munmap(base, size), "munmap");
}

uint8_t *bench_file(size_t size, bool in_place, int *fd_out)
{
    char path[256];
    uint8_t *base;
    int fd;

    snprintf(path, sizeof(path), "%s/seglog-bench-file-XXXXXX", bench.dir);
    fd = (int)bench_sys(mkstemp(path), path);
    bench_sys(unlink(path), "unlink");
    errno = posix_fallocate(fd, 0, (off_t)size);
    bench_sys(errno ? -1 : 0, "posix_fallocate");
    base = map_or_die(size, MAP_SHARED, fd);
    if (in_place)
        bench_sys(madvise(base, size, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    if (fd_out)
        *fd_out = fd;
    else
        close(fd);
    return base;
}

void bench_cool(void)
{
    static const size_t size = (size_t)64 << 20;
    static uint64_t *memory;
    static volatile uint64_t sink;

    if (!memory) {
        memory = (uint64_t *)(void *)bench_private(size, true);
        memset(memory, 1, size);
    }
    sink = sink + bench_sum(memory, size);
}
