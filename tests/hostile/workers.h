/*
 * A long row of cases, shared out among processes that may crash.
 *
 * Each worker goes through the whole row and takes every so-manieth case; what it is at it writes into
 * `now`, which outlives it. None outlives the test.
 */
#ifndef TEST_HOSTILE_WORKERS_H
#define TEST_HOSTILE_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#define WORKER_NOW 160u

struct worker {
    unsigned number;
    unsigned count; /* of workers */
    char *now;      /* WORKER_NOW bytes: what it is at */
};

typedef void worker_main(const struct worker *worker, void *context);

/* Run `work` in each of some processes until all have ended. false: one ended badly, and stderr says at
 * what. each_core: how many of them there are for a processor */
bool workers_run(unsigned each_core, worker_main *work, void *context);

/* Bits that have nothing to do with those of x. */
uint64_t workers_mix(uint64_t x);

#endif
