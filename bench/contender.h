/*
 * One way to make records durable, for durable.c to compare: seglog, the bare disk, other engines.
 */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#include "common.h"

#include <stdio.h>

struct durable_cell {
    size_t payload;
    unsigned batch; /* records in a commit */
};

struct durable_contender {
    const char *name;
    void *(*open)(const struct durable_cell *cell);
    /* Make records from..from + batch durable. */
    void (*commit)(void *self, const struct durable_cell *cell, uint64_t from);
    void (*close)(void *self, const struct durable_cell *cell);
};

/* Other engines whose libraries were there at configuration; the last one has no name. engines.c */
const struct durable_contender *bench_engines(void);

#endif
