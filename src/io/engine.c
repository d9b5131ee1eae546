/*
 * The engine: choosing a back end, and what both have in common.
 *
 * The hard part is that many threads wait at once, each for its own chain, while chains come to an
 * end in any of them. One lock and one condition do it: a chain is settled under the lock, everybody
 * is told, and whoever finds his own chain not done sleeps again, or takes his turn at the ring.
 */
#include "io/engine.h"

#include <seglog/status.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/map.h"

/* ---- opening and closing ---------------------------------------------------------------------- */

/* Which way it will be. 0, or why what was demanded is not to be had. */
static int choose(struct io_engine *engine, enum io_choice wanted)
{
    struct io_facts facts = {0};

    if (wanted == IO_AUTO) {
        const int choice = io_choice_of_environment();

        if (choice < 0)
            return choice;
        wanted = (enum io_choice)choice;
    }
    engine->choice = IO_THREADS;
    engine->may_change = wanted == IO_AUTO;
    if (wanted == IO_THREADS)
        return 0;
    io_probe(&facts);
    if (facts.status == 0) {
        engine->choice = IO_URING;
        return 0;
    }
    snprintf(engine->reason, sizeof(engine->reason), "%s", facts.reason);
    return wanted == IO_URING ? facts.status : 0;
}

int io_engine_open(const struct io_options *options, struct io_engine **out)
{
    struct io_engine *engine = calloc(1, sizeof(*engine));
    pthread_condattr_t attr;
    int rc;

    if (!engine)
        return -ENOMEM;
    rc = choose(engine, options ? options->choice : IO_AUTO);
    if (rc == 0) {
        engine->guard = fork_guard_new();
        rc = engine->guard ? 0 : -ENOMEM;
    }
    if (rc < 0) {
        free(engine);
        return rc;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = engine;
    return 0;
}

static bool is_forked(const struct io_engine *engine)
{
    return *engine->guard != 1;
}

void io_engine_close(struct io_engine *engine)
{
    bool forked;

    if (!engine)
        return;
    forked = is_forked(engine);
    if (!forked)
        io_drain(engine);
    if (engine->backend)
        engine->backend->stop(engine, forked);
    fork_guard_free(engine->guard);
    free(engine);
}

enum io_choice io_engine_choice(struct io_engine *engine)
{
    enum io_choice choice;

    pthread_mutex_lock(&engine->lock);
    choice = engine->choice;
    pthread_mutex_unlock(&engine->lock);
    return choice;
}

const char *io_engine_reason(const struct io_engine *engine)
{
    return engine->reason;
}

/* Bring the back end up, at the first submission. Under the lock. */
static int start(struct io_engine *engine)
{
    const struct io_backend *backend =
        engine->choice == IO_URING ? &io_backend_uring : &io_backend_threads;
    int rc;

    if (engine->backend)
        return 0;
    rc = backend->start(engine);
    if (rc < 0 && engine->choice == IO_URING && engine->may_change) {
        /* It was there when we looked: a limit was reached since, or a sandbox closed. */
        snprintf(engine->reason, sizeof(engine->reason), "the ring could not be set up: %s",
                 strerrorname_np(-rc));
        engine->choice = IO_THREADS;
        backend = &io_backend_threads;
        rc = backend->start(engine);
    }
    if (rc < 0)
        return rc;
    engine->backend = backend;
    pthread_cond_broadcast(&engine->changed);
    return 0;
}

/* ---- chains ----------------------------------------------------------------------------------- */

static void chain_reset(struct io_chain *chain)
{
    chain->status = 0;
    chain->next = NULL;
    chain->at = 0;
    chain->flying = 0;
    chain->is_done = false;
    for (uint32_t i = 0; i < chain->count; i++)
        op_reset(&chain->ops[i], chain);
}

static int status_of(const struct io_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->ops[i].result < 0)
            return (int)chain->ops[i].result;
    }
    return 0;
}

void engine_settle(struct io_engine *engine, struct io_chain *chain)
{
    chain->status = status_of(chain);
    chain->is_done = true;
    chain->next = NULL;
    engine->chains--;
    if (chain->reapable) {
        if (engine->done_head)
            engine->done_last->next = chain;
        else
            engine->done_head = chain;
        engine->done_last = chain;
    }
    pthread_cond_broadcast(&engine->changed);
}

static int submit_locked(struct io_engine *engine, struct io_chain *chain)
{
    const int rc = start(engine);

    if (rc < 0)
        return rc;
    chain_reset(chain);
    engine->chains++;
    if (chain->count == 0)
        engine_settle(engine, chain);
    else
        engine->backend->submit(engine, chain);
    return 0;
}

int io_submit(struct io_engine *engine, struct io_chain *chain)
{
    int rc;

    if (is_forked(engine))
        return SEGLOG_EFORKED;
    pthread_mutex_lock(&engine->lock);
    rc = submit_locked(engine, chain);
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

void engine_sleep(struct io_engine *engine, uint64_t deadline_ns)
{
    struct timespec until;

    if (deadline_ns == DEADLINE_NEVER) {
        pthread_cond_wait(&engine->changed, &engine->lock);
        return;
    }
    until.tv_sec = (time_t)(deadline_ns / 1000000000u);
    until.tv_nsec = (long)(deadline_ns % 1000000000u);
    pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
}

static uint64_t deadline_after(uint64_t timeout_ns)
{
    const uint64_t now = clock_monotonic_ns();

    return timeout_ns < DEADLINE_NEVER - now ? now + timeout_ns : DEADLINE_NEVER;
}

/* Wait for what may come to an end, in the back end's way. */
static void turn(struct io_engine *engine, uint64_t deadline_ns)
{
    if (engine->backend)
        engine->backend->turn(engine, deadline_ns);
    else
        engine_sleep(engine, deadline_ns); /* nothing was ever submitted */
}

int io_wait_for(struct io_engine *engine, struct io_chain *chain, uint64_t timeout_ns)
{
    uint64_t deadline;
    bool looked = false;
    int rc;

    if (is_forked(engine))
        return SEGLOG_EFORKED;
    deadline = deadline_after(timeout_ns);
    pthread_mutex_lock(&engine->lock);
    while (!chain->is_done && (!looked || clock_monotonic_ns() < deadline)) {
        turn(engine, deadline);
        looked = true;
    }
    rc = chain->is_done ? 1 : 0;
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

int io_wait(struct io_engine *engine, struct io_chain *chain)
{
    const int rc = io_wait_for(engine, chain, UINT64_MAX);

    return rc < 0 ? rc : chain->status;
}

int io_reap(struct io_engine *engine, struct io_chain **out, uint64_t timeout_ns)
{
    uint64_t deadline;
    bool looked = false;
    int rc = -ETIMEDOUT;

    if (is_forked(engine))
        return SEGLOG_EFORKED;
    deadline = deadline_after(timeout_ns);
    pthread_mutex_lock(&engine->lock);
    while (!engine->done_head && (!looked || clock_monotonic_ns() < deadline)) {
        turn(engine, deadline);
        looked = true;
    }
    if (engine->done_head) {
        *out = engine->done_head;
        engine->done_head = (*out)->next;
        (*out)->next = NULL;
        rc = 0;
    }
    pthread_mutex_unlock(&engine->lock);
    return rc;
}

void io_drain(struct io_engine *engine)
{
    if (is_forked(engine))
        return;
    pthread_mutex_lock(&engine->lock);
    while (engine->chains > 0)
        turn(engine, DEADLINE_NEVER);
    pthread_mutex_unlock(&engine->lock);
}

int io_run(struct io_engine *engine, struct io_chain *chain)
{
    const int rc = io_submit(engine, chain);

    return rc < 0 ? rc : io_wait(engine, chain);
}

int io_run_here(struct io_engine *engine, struct io_chain *chain)
{
    if (engine && is_forked(engine))
        return SEGLOG_EFORKED;
    chain_reset(chain);
    if (engine)
        pthread_mutex_lock(&engine->lock);
    op_finish_all(engine, chain);
    if (engine)
        pthread_mutex_unlock(&engine->lock);
    chain->status = status_of(chain);
    chain->is_done = true;
    return chain->status;
}

/* ---- for tests -------------------------------------------------------------------------------- */

void io_inject(struct io_engine *engine, const struct io_fault *fault)
{
    pthread_mutex_lock(&engine->lock);
    engine->fault = *fault;
    if (engine->fault.times == 0)
        engine->fault.times = 1;
    pthread_mutex_unlock(&engine->lock);
}

uint64_t io_performed(struct io_engine *engine, enum io_kind kind)
{
    uint64_t performed;

    pthread_mutex_lock(&engine->lock);
    performed = engine->performed[kind];
    pthread_mutex_unlock(&engine->lock);
    return performed;
}
