/*
 * The ways of running a chain. See ways.h.
 */
#include "io/ways.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *way_name(enum way way)
{
    static const char *const names[WAYS] = {"io_uring", "threads", "here"};

    return names[way];
}

bool uring_is_there(void)
{
    struct io_facts facts;

    io_probe(&facts);
    return facts.status == 0;
}

bool bench_open(struct bench *b, enum way way)
{
    const struct io_options options = {.choice = way == WAY_URING ? IO_URING : IO_THREADS};

    if (way == WAY_URING && !uring_is_there()) {
        fprintf(stderr, "this machine forbids io_uring: left out\n");
        return false;
    }
    *b = (struct bench){.way = way};
    cr_assert_ok(io_engine_open(&options, &b->engine));
    b->dir = tmpdir_make();
    b->dirfd = dir_open(b->dir);
    cr_assert_ok(b->dirfd);
    b->fd = file_create(b->dirfd, "data", 0600);
    cr_assert_ok(b->fd);
    return true;
}

void bench_close(struct bench *b)
{
    io_engine_close(b->engine);
    file_close(b->fd);
    file_close(b->dirfd);
    tmpdir_remove(b->dir);
}

int bench_run(struct bench *b, struct io_chain *chain)
{
    return b->way == WAY_HERE ? io_run_here(b->engine, chain) : io_run(b->engine, chain);
}

void each_way(void (*body)(struct bench *b))
{
    for (enum way way = WAY_URING; way < WAYS; way++) {
        struct bench b;

        if (!bench_open(&b, way))
            continue;
        body(&b);
        bench_close(&b);
    }
}

static int count_ring(void *context, const char *name)
{
    char path[64], target[64] = {0};

    snprintf(path, sizeof(path), "/proc/self/fd/%s", name);
    if (readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "io_uring"))
        ++*(unsigned *)context;
    return 0;
}

unsigned rings_open(void)
{
    const int fd = dir_open("/proc/self/fd");
    unsigned count = 0;

    cr_assert_ok(fd);
    cr_assert_ok(dir_each(fd, count_ring, &count));
    file_close(fd);
    return count;
}
