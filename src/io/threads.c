/*
 * The back end without io_uring: a few threads that perform chains by plain system calls.
 *
 * Threads are started when there is work and nobody idle to do it, and then stay, asleep. A linked
 * chain is done by one of them, in order; the operations of another chain by as many as are free.
 */
#include "io/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/thread.h"

#define WORKERS_MAX 4u

struct pool {
    pthread_cond_t work;
    struct io_chain *head; /* with operations that nobody has taken */
    struct io_chain *last;
    pthread_t workers[WORKERS_MAX];
    unsigned count;
    unsigned idle;
    bool stops;
};

static void queue_pop(struct pool *pool)
{
    struct io_chain *chain = pool->head;

    pool->head = chain->next;
    chain->next = NULL;
}

/* Take something from the queue and do it. */
static void run_next(struct io_engine *engine, struct pool *pool)
{
    struct io_chain *chain = pool->head;
    struct io_op *op;

    if (chain->linked) {
        queue_pop(pool);
        op_finish_all(engine, chain);
        engine_settle(engine, chain);
        return;
    }
    op = &chain->ops[chain->at++];
    chain->flying++;
    if (chain->at == chain->count)
        queue_pop(pool);
    op_finish(engine, op);
    if (--chain->flying == 0 && chain->at == chain->count)
        engine_settle(engine, chain);
}

static void *worker_main(void *arg)
{
    struct io_engine *engine = arg;
    struct pool *pool;

    pthread_mutex_lock(&engine->lock);
    pool = engine->state;
    while (pool->head || !pool->stops) {
        if (pool->head) {
            run_next(engine, pool);
            continue;
        }
        pool->idle++;
        pthread_cond_wait(&pool->work, &engine->lock);
        pool->idle--;
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void add_worker(struct io_engine *engine, struct pool *pool)
{
    if (pool->count < WORKERS_MAX &&
        thread_begin(&pool->workers[pool->count], worker_main, engine) == 0)
        pool->count++;
}

static int threads_start(struct io_engine *engine)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return -ENOMEM;
    pthread_cond_init(&pool->work, NULL);
    engine->state = pool;
    return 0;
}

static void threads_submit(struct io_engine *engine, struct io_chain *chain)
{
    struct pool *pool = engine->state;

    if (pool->head)
        pool->last->next = chain;
    else
        pool->head = chain;
    pool->last = chain;
    if (pool->idle == 0)
        add_worker(engine, pool);
    while (pool->count == 0 && pool->head)
        run_next(engine, pool); /* no thread can be had: do it here */
    pthread_cond_broadcast(&pool->work);
}

static void threads_turn(struct io_engine *engine, uint64_t deadline_ns)
{
    engine_sleep(engine, deadline_ns);
}

static void threads_stop(struct io_engine *engine, bool forked)
{
    struct pool *pool = engine->state;

    if (!forked) {
        pthread_mutex_lock(&engine->lock);
        pool->stops = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&engine->lock);
        for (unsigned i = 0; i < pool->count; i++)
            pthread_join(pool->workers[i], NULL);
    }
    free(pool);
}

const struct io_backend io_backend_threads = {
    .start = threads_start,
    .submit = threads_submit,
    .turn = threads_turn,
    .stop = threads_stop,
};
