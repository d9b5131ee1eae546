/*
 * What an engine is inside, and the calls between the files of this folder.
 *
 *   engine.c   the calls of io.h, settling   op.c        one operation: attempt, verdict, faults
 *   uring.c    the io_uring back end         threads.c   the other one
 *   probe.c    what the kernel offers
 */
#ifndef IO_ENGINE_H
#define IO_ENGINE_H

#include "io/io.h"

#include <pthread.h>

/* All but start and stop are called under engine->lock. */
struct io_backend {
    int (*start)(struct io_engine *engine);
    /* Begin a chain. Cannot fail: what the kernel refuses is done some other way. */
    void (*submit)(struct io_engine *engine, struct io_chain *chain);
    /* Sleep until something may have come to an end, or until the deadline. Gives the lock up. */
    void (*turn)(struct io_engine *engine, uint64_t deadline_ns);
    /* Nothing is under way. forked: this is a child, nothing of the parent's may be touched. */
    void (*stop)(struct io_engine *engine, bool forked);
};
extern const struct io_backend io_backend_uring, io_backend_threads;

struct io_engine {
    const uint64_t *guard; /* reads 0 in a forked child */
    bool may_change;       /* AUTO: threads, should the ring not come up after all */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    enum io_choice choice;
    char reason[IO_REASON_BYTES];
    const struct io_backend *backend;
    void *state;                /* the back end's; NULL until the first submission */
    uint64_t chains;            /* under way */
    struct io_chain *done_head; /* reapable, in the order in which they ended */
    struct io_chain *done_last;

    struct io_fault fault; /* times == 0: none */
    uint64_t performed[IO_KINDS];
};

#define DEADLINE_NEVER UINT64_MAX

/* ---- engine.c ---------------------------------------------------------------------------------- */

/* All operations have their results: work out the status, tell everybody. */
void engine_settle(struct io_engine *engine, struct io_chain *chain);
/* Wait on engine->changed. */
void engine_sleep(struct io_engine *engine, uint64_t deadline_ns);

/* ---- op.c -------------------------------------------------------------------------------------- */

enum op_state {
    OP_TODO,
    OP_FLYING,
    OP_LANDED, /* op->raw is there, not judged yet */
    OP_DONE,   /* op->result is there */
};

#define OP_SHORT 1 /* op->fault: transfer half of the bytes */

/* How many bytes to transfer in this attempt. */
uint64_t op_span(const struct io_op *op);
/* An attempt begins: is a fault to be injected? */
void op_begin(struct io_engine *engine, struct io_op *op);
/* The attempt by plain system calls: op->raw. */
void op_perform(struct io_op *op);
/* Judge op->raw: OP_DONE, or OP_TODO when it must be attempted again. */
enum op_state op_judge(struct io_engine *engine, struct io_op *op);
/* Make it ready for its first attempt. */
void op_reset(struct io_op *op, struct io_chain *chain);
/* Attempt it by plain system calls until it has a result. Gives up the lock meanwhile; engine may be
 * NULL. */
void op_finish(struct io_engine *engine, struct io_op *op);
/* The same with all of a chain, in order; in a linked one the first failure cancels the rest. */
void op_finish_all(struct io_engine *engine, struct io_chain *chain);
/* The one before it failed. */
void op_cancel(struct io_op *op);

#endif
