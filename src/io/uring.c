/*
 * The io_uring back end.
 *
 * The hard parts:
 * - An order that holds. The kernel severs a link when an operation fails or transfers less than it
 *   was asked to; what stood behind comes back as ECANCELED and is judged only once all of the run is
 *   back. A run is what is linked in one submission; where the kernel could not tell that something is
 *   amiss (we asked for less than all), the run ends.
 * - Many threads. The submission queue is touched under the engine's lock only, the completion queue
 *   by one thread at a time, the leader, who sleeps in the kernel without the lock. A leader that
 *   leaves tells the others, one of which goes on.
 * - Everything here blocks, so all of it goes to the kernel's workers at once (IOSQE_ASYNC): a
 *   submission does not write into the page cache on the way, and files opened O_NONBLOCK do not get
 *   EAGAIN on old kernels.
 */
#include "io/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/clock.h"

/* Operations under way at once; completions have room for twice as many. */
#define DEPTH       64u
#define WORKERS_MAX 4u

/* A leader looks up this often, should its chain be ended by somebody who needs no completion. */
#define SLICE_NS UINT64_C(50000000)

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1u << 0)
#endif

struct uring {
    struct io_uring ring;
    bool has_leader;
    unsigned flying;
    struct io_chain *head; /* with operations to be submitted */
    struct io_chain *last;
};

/* ---- submitting ------------------------------------------------------------------------------- */

/* A range that the kernel's 32 bits cannot say is the whole file. */
static void prep_sync_range(struct io_uring_sqe *sqe, const struct io_op *op)
{
    io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
    if (op->len <= UINT32_MAX) {
        sqe->off = op->offset;
        sqe->len = (uint32_t)op->len;
    }
}

static void prep(struct io_uring_sqe *sqe, const struct io_op *op)
{
    const uint64_t at = op->offset + op->done;
    const unsigned span = (unsigned)op_span(op);

    switch (op->fault < 0 ? IO_KINDS : op->kind) {
    case IO_DATASYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    case IO_SYNC_RANGE:
        prep_sync_range(sqe, op);
        break;
    case IO_WRITE:
        io_uring_prep_write(sqe, op->fd, (const uint8_t *)op->from + op->done, span, at);
        break;
    case IO_READ:
        io_uring_prep_read(sqe, op->fd, (uint8_t *)op->data + op->done, span, at);
        break;
    case IO_ALLOCATE:
        io_uring_prep_fallocate(sqe, op->fd, 0, (off_t)op->offset, (off_t)op->len);
        break;
    case IO_MADVISE:
        io_uring_prep_madvise(sqe, op->data, (off_t)op->len, op->advice);
        break;
    case IO_FADVISE:
        io_uring_prep_fadvise(sqe, op->fd, op->offset, (off_t)op->len, op->advice);
        break;
    case IO_RENAME_NEW:
        io_uring_prep_renameat(sqe, op->fd, op->name, op->fd, op->to, RENAME_NOREPLACE);
        break;
    case IO_UNLINK:
        io_uring_prep_unlinkat(sqe, op->fd, op->name, 0);
        break;
    case IO_KINDS:
        io_uring_prep_fsync(sqe, -1, 0); /* an injected fault: fails, and severs the link */
        break;
    }
}

/* What the submission entry has no room for, or the ring has refused before. */
static bool must_be_plain(const struct io_op *op)
{
    return op->plain ||
           (op->len > UINT32_MAX && (op->kind == IO_MADVISE || op->kind == IO_FADVISE));
}

/* Will the kernel notice when less than all of it is done? */
static bool ends_run(const struct io_op *op)
{
    const bool transfers = op->kind == IO_WRITE || op->kind == IO_READ;

    return transfers && op_span(op) < op->len - op->done;
}

/* Put the operations of a chain that can go now into the submission queue: run[0..n). */
static unsigned fill_run(struct io_engine *engine, struct io_chain *chain, struct io_op **run)
{
    struct uring *u = engine->state;
    struct io_uring_sqe *sqe = NULL;
    unsigned n = 0;
    bool more = true;

    for (uint32_t i = 0; i < chain->count && more; i++) {
        struct io_op *op = &chain->ops[i];

        if (op->state != OP_TODO)
            continue;
        if (must_be_plain(op) || u->flying + n >= DEPTH) {
            if (chain->linked)
                break;
            continue;
        }
        op_begin(engine, op);
        if (sqe && chain->linked)
            sqe->flags |= IOSQE_IO_LINK;
        sqe = io_uring_get_sqe(&u->ring);
        if (!sqe)
            break;
        prep(sqe, op);
        io_uring_sqe_set_data(sqe, op);
        sqe->flags |= IOSQE_ASYNC;
        run[n++] = op;
        more = !chain->linked || !ends_run(op);
    }
    return n;
}

/*
 * Hand the queue to the kernel. What it does not take, it takes out of the queue again (nobody but
 * us looks at it between two calls): a run torn in two would have lost its order.
 * Gives how many were taken.
 */
static unsigned hand_over(struct uring *u, unsigned n)
{
    unsigned taken = 0;
    int rc;

    do
        rc = io_uring_submit(&u->ring);
    while (rc == -EINTR);
    if (rc > 0)
        taken = (unsigned)rc < n ? (unsigned)rc : n;
    if (taken < n) {
        const unsigned head = io_uring_smp_load_acquire(u->ring.sq.khead);

        u->ring.sq.sqe_head = u->ring.sq.sqe_tail = head;
        io_uring_smp_store_release(u->ring.sq.ktail, head);
    }
    return taken;
}

/* The next operation of a chain that is not for the ring; NULL: none now. */
static struct io_op *next_plain(struct io_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        struct io_op *op = &chain->ops[i];

        if (op->state == OP_TODO && must_be_plain(op))
            return op;
        if (op->state != OP_DONE && chain->linked)
            break;
    }
    return NULL;
}

static void queue_push(struct uring *u, struct io_chain *chain)
{
    chain->next = NULL;
    if (u->head)
        u->last->next = chain;
    else
        u->head = chain;
    u->last = chain;
}

static bool has_todo(const struct io_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->ops[i].state == OP_TODO)
            return true;
    }
    return false;
}

/* Judge what came back. Only once nothing of the chain is flying. */
static void judge_chain(struct io_engine *engine, struct io_chain *chain)
{
    bool again = false, failed = false;

    for (uint32_t i = 0; i < chain->count; i++) {
        struct io_op *op = &chain->ops[i];

        if (op->state == OP_LANDED)
            op->state = (uint8_t)(again ? OP_TODO : failed ? OP_LANDED : op_judge(engine, op));
        if (!chain->linked)
            continue;
        if (failed)
            op_cancel(op);
        again = again || op->state == OP_TODO;
        failed = failed || (op->state == OP_DONE && op->result < 0);
    }
}

/* Go on with a chain of which nothing is flying: to its end, or to its next run. */
static void advance(struct io_engine *engine, struct io_chain *chain)
{
    struct uring *u = engine->state;

    judge_chain(engine, chain);
    if (has_todo(chain))
        queue_push(u, chain);
    else
        engine_settle(engine, chain);
}

/* Submit a run of the chain, which is in no queue. false: there is nothing that could be submitted. */
static bool submit_run(struct io_engine *engine, struct io_chain *chain)
{
    struct uring *u = engine->state;
    struct io_op *run[DEPTH];
    const unsigned n = fill_run(engine, chain, run);
    unsigned taken;

    if (n == 0)
        return false;
    taken = hand_over(u, n);
    for (unsigned i = 0; i < n; i++) {
        if (i < taken)
            run[i]->state = OP_FLYING;
        else
            run[i]->plain = true; /* no memory, no permission any more: not by this way */
    }
    u->flying += taken;
    chain->flying = taken;
    return taken > 0;
}

/* Submit what waits, as far as there is room. */
static void pump(struct io_engine *engine)
{
    struct uring *u = engine->state;

    while (u->head && u->flying < DEPTH) {
        struct io_chain *chain = u->head;
        struct io_op *op;

        u->head = chain->next;
        if (submit_run(engine, chain))
            continue;
        op = next_plain(chain);
        if (op)
            op_finish(engine, op); /* gives up the lock; the chain is ours alone */
        advance(engine, chain);
    }
}

static void uring_submit(struct io_engine *engine, struct io_chain *chain)
{
    queue_push(engine->state, chain);
    pump(engine);
}

/* ---- completing ------------------------------------------------------------------------------- */

/* Take what has come back. Under the lock, by the leader. */
static void land_all(struct io_engine *engine)
{
    struct uring *u = engine->state;
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct io_op *op = io_uring_cqe_get_data(cqe);

        op->raw = op->fault < 0 && cqe->res != -ECANCELED ? op->fault : cqe->res;
        op->state = OP_LANDED;
        io_uring_cqe_seen(&u->ring, cqe);
        u->flying--;
        if (--op->chain->flying == 0)
            advance(engine, op->chain);
    }
}

/* Sleep in the kernel until something comes back. */
static void leader_sleep(struct uring *u, uint64_t deadline_ns)
{
    const uint64_t now = clock_monotonic_ns();
    uint64_t ns = SLICE_NS;
    struct __kernel_timespec wait;
    struct io_uring_cqe *cqe;
    int rc;

    if (deadline_ns <= now)
        ns = 0;
    else if (deadline_ns - now < ns)
        ns = deadline_ns - now;
    wait = (struct __kernel_timespec){.tv_nsec = (long long)ns};
    rc = io_uring_wait_cqe_timeout(&u->ring, &cqe, &wait);
    /* The way into the kernel was closed meanwhile; completions come nevertheless. */
    if (rc < 0 && rc != -ETIME && rc != -EINTR && ns > 0)
        clock_sleep_ns(ns < 1000000 ? ns : 1000000);
}

static void uring_turn(struct io_engine *engine, uint64_t deadline_ns)
{
    struct uring *u = engine->state;

    if (u->has_leader) {
        engine_sleep(engine, deadline_ns);
        return;
    }
    u->has_leader = true;
    pthread_mutex_unlock(&engine->lock);
    leader_sleep(u, deadline_ns);
    pthread_mutex_lock(&engine->lock);
    land_all(engine);
    u->has_leader = false;
    pump(engine);
    pthread_cond_broadcast(&engine->changed);
}

/* ---- starting and stopping -------------------------------------------------------------------- */

static int uring_start(struct io_engine *engine)
{
    struct uring *u = calloc(1, sizeof(*u));
    unsigned workers[2] = {WORKERS_MAX, WORKERS_MAX};
    int rc;

    if (!u)
        return -ENOMEM;
    rc = io_uring_queue_init(DEPTH, &u->ring, 0);
    if (rc < 0) {
        free(u);
        return rc;
    }
    /* A child must find nothing of it in its memory: its kernel half would be the parent's. */
    (void)io_uring_ring_dontfork(&u->ring);
    (void)io_uring_register_iowq_max_workers(&u->ring, workers); /* since Linux 5.15 */
    engine->state = u;
    return 0;
}

static void uring_stop(struct io_engine *engine, bool forked)
{
    struct uring *u = engine->state;

    if (forked)
        (void)close(u->ring.ring_fd); /* the memory is not mapped here: see uring_start() */
    else
        io_uring_queue_exit(&u->ring);
    free(u);
}

const struct io_backend io_backend_uring = {
    .start = uring_start,
    .submit = uring_submit,
    .turn = uring_turn,
    .stop = uring_stop,
};
