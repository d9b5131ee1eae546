/*
 * The three ways of running a chain, and a file to run it on. What is said of chains must hold in
 * each of them.
 */
#ifndef TEST_IO_WAYS_H
#define TEST_IO_WAYS_H

#include "io/io.h"

#include <errno.h>

#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/file.h"

enum way { WAY_URING, WAY_THREADS, WAY_HERE, WAYS };

/* An engine that goes one way, in a directory of its own. */
struct bench {
    enum way way;
    struct io_engine *engine;
    char *dir;
    int dirfd;
    int fd; /* a file "data", empty */
};

/* false: this machine forbids that way, and it is left out. */
bool bench_open(struct bench *b, enum way way);
void bench_close(struct bench *b);
int bench_run(struct bench *b, struct io_chain *chain);

/* Run `body` each way; a message tells of what is left out. */
void each_way(void (*body)(struct bench *b));
const char *way_name(enum way way);

bool uring_is_there(void);

/* How many io_uring descriptors this process has. */
unsigned rings_open(void);

#endif
