/*
 * Engines: which way is chosen, many threads, fork, and closing with work under way.
 */
#include "io/ways.h"

#include "io/forbid.h"

#include <pthread.h>
#include <seglog/status.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

static struct io_op sync_of(const struct bench *b)
{
    return (struct io_op){.kind = IO_DATASYNC, .fd = b->fd};
}

/* ---- the choice -------------------------------------------------------------------------------- */

static enum io_choice choice_of(enum io_choice wanted)
{
    const struct io_options options = {.choice = wanted};
    struct io_engine *engine;
    enum io_choice choice;

    cr_assert_ok(io_engine_open(&options, &engine));
    choice = io_engine_choice(engine);
    cr_assert_eq(*io_engine_reason(engine) == 0, choice == IO_URING || wanted == IO_THREADS ||
                                                     io_choice_of_environment() == IO_THREADS);
    io_engine_close(engine);
    return choice;
}

Test(engine, takes_io_uring_where_it_may)
{
    unsetenv("SEGLOG_IO");
    if (!uring_is_there()) {
        cr_assert_eq(choice_of(IO_AUTO), IO_THREADS);
        cr_skip("this machine forbids io_uring\n");
    }
    cr_assert_eq(choice_of(IO_AUTO), IO_URING);
}

Test(engine, has_a_ring_only_once_there_is_work)
{
    struct bench b;
    struct io_op op;
    struct io_chain chain = {.ops = &op, .count = 1};

    if (!bench_open(&b, WAY_URING))
        cr_skip("this machine forbids io_uring\n");
    op = sync_of(&b);
    cr_assert_eq(rings_open(), 0);
    cr_assert_eq(io_run_here(b.engine, &chain), 0);
    cr_assert_eq(rings_open(), 0);
    cr_assert_eq(io_run(b.engine, &chain), 0);
    cr_assert_eq(rings_open(), 1);
    cr_assert_eq(io_run(b.engine, &chain), 0);
    cr_assert_eq(rings_open(), 1);
    bench_close(&b);
    cr_assert_eq(rings_open(), 0);
}

Test(engine, of_threads_has_no_ring)
{
    struct bench b;
    struct io_op op;
    struct io_chain chain = {.ops = &op, .count = 1};

    cr_assert(bench_open(&b, WAY_THREADS));
    op = sync_of(&b);
    cr_assert_eq(io_run(b.engine, &chain), 0);
    cr_assert_eq(rings_open(), 0);
    bench_close(&b);
}

Test(engine, does_what_the_environment_says_unless_told)
{
    const struct io_options options = {.choice = IO_AUTO};
    struct io_engine *engine = NULL;

    setenv("SEGLOG_IO", "threads", 1);
    cr_assert_eq(choice_of(IO_AUTO), IO_THREADS);
    if (uring_is_there()) {
        cr_assert_eq(choice_of(IO_URING), IO_URING);
        setenv("SEGLOG_IO", "uring", 1);
        cr_assert_eq(choice_of(IO_AUTO), IO_URING);
        setenv("SEGLOG_IO", "auto", 1);
        cr_assert_eq(choice_of(IO_AUTO), IO_URING);
        setenv("SEGLOG_IO", "", 1);
        cr_assert_eq(choice_of(IO_AUTO), IO_URING);
    }
    setenv("SEGLOG_IO", "uring", 1);
    cr_assert_eq(choice_of(IO_THREADS), IO_THREADS);
    setenv("SEGLOG_IO", "Threads", 1);
    cr_assert_status(io_engine_open(&options, &engine), -EINVAL);
    cr_assert_null(engine);
    cr_assert_eq(choice_of(IO_THREADS), IO_THREADS);
}

static int forbidden_main(struct child *parent, void *arg)
{
    struct io_options options = {.choice = IO_AUTO};
    struct io_engine *engine;
    struct io_facts facts;

    (void)parent;
    (void)arg;
    unsetenv("SEGLOG_IO");
    child_must(forbid_io_uring());
    io_probe(&facts);
    child_must_be(facts.status, -EPERM);
    child_assert(strstr(facts.reason, facts.disabled > 0 ? "io_uring_disabled" : "filter"));
    child_must(io_engine_open(&options, &engine));
    child_must_be(io_engine_choice(engine), IO_THREADS);
    child_assert(strcmp(io_engine_reason(engine), facts.reason) == 0);
    io_engine_close(engine);
    options.choice = IO_URING;
    child_must_be(io_engine_open(&options, &engine), -EPERM);
    setenv("SEGLOG_IO", "uring", 1);
    options.choice = IO_AUTO;
    child_must_be(io_engine_open(&options, &engine), -EPERM);
    return 0;
}

Test(engine, goes_on_with_threads_where_a_filter_forbids_io_uring)
{
    struct child child;

    child_start(&child, forbidden_main, NULL);
    child_end(&child);
}

/* A process that closes its sandbox behind an engine that runs. */
static int locked_in_main(struct child *parent, void *arg)
{
    struct bench *b = arg;
    const struct io_options options = {.choice = IO_URING};
    struct io_engine *engine, *late;
    char back[6] = {0};
    struct io_op ops[3] = {
        {.kind = IO_WRITE, .fd = b->fd, .from = "inside", .len = 6},
        {.kind = IO_DATASYNC, .fd = b->fd},
        {.kind = IO_READ, .fd = b->fd, .data = back, .len = 6},
    };
    struct io_chain chain = {.ops = ops, .count = 3, .linked = true};

    (void)parent;
    child_must(io_engine_open(&options, &engine));
    child_must(io_engine_open(&options, &late));
    child_must(io_run(engine, &chain));
    child_must(forbid_io_uring());
    for (int i = 0; i < 3; i++) {
        memset(back, 0, sizeof(back));
        child_must(io_run(engine, &chain));
        child_assert(memcmp(back, "inside", 6) == 0);
    }
    child_must_be(io_submit(late, &chain), -EPERM);
    io_engine_close(late);
    io_engine_close(engine);
    return 0;
}

Test(engine, goes_on_when_the_ring_is_forbidden_later)
{
    struct bench b;
    struct child child;

    if (!bench_open(&b, WAY_URING))
        cr_skip("this machine forbids io_uring\n");
    child_start(&child, locked_in_main, &b);
    child_end(&child);
    bench_close(&b);
}

/* ---- reaping ----------------------------------------------------------------------------------- */

#define REAPED 20u

static void reaping(struct bench *b)
{
    struct io_op ops[REAPED];
    struct io_chain chains[REAPED], *got;
    unsigned seen = 0;

    if (b->way == WAY_HERE)
        return;
    cr_assert_status(io_reap(b->engine, &got, 0), -ETIMEDOUT);
    cr_assert_status(io_reap(b->engine, &got, 2 * MS), -ETIMEDOUT);
    for (unsigned i = 0; i < REAPED; i++) {
        ops[i] = sync_of(b);
        if (i % 5 == 0)
            ops[i].fd = -1;
        chains[i] = (struct io_chain){
            .ops = &ops[i], .count = 1, .reapable = i % 2 == 0, .user = &chains[i]};
        cr_assert_ok(io_submit(b->engine, &chains[i]));
    }
    for (unsigned n = 0; n < REAPED / 2; n++) {
        cr_assert_ok(io_reap(b->engine, &got, UINT64_MAX));
        cr_assert_eq(got->user, got);
        cr_assert_eq((got - chains) % 2, 0);
        cr_assert_status(got->status, (got - chains) % 5 == 0 ? -EBADF : 0);
        seen |= 1u << (got - chains);
    }
    cr_assert_eq(seen, 0x55555u);
    cr_assert_status(io_reap(b->engine, &got, 0), -ETIMEDOUT);
    for (unsigned i = 1; i < REAPED; i += 2)
        cr_assert_status(io_wait(b->engine, &chains[i]), i % 5 == 0 ? -EBADF : 0);
    cr_assert_status(io_reap(b->engine, &got, 2 * MS), -ETIMEDOUT);
    io_drain(b->engine);
}

Test(engine, hands_out_what_is_done_once)
{
    each_way(reaping);
}

static void waiting_shortly(struct bench *b)
{
    struct io_op op = sync_of(b);
    struct io_chain chain = {.ops = &op, .count = 1};
    int rc;

    if (b->way == WAY_HERE)
        return;
    cr_assert_ok(io_submit(b->engine, &chain));
    do {
        rc = io_wait_for(b->engine, &chain, 0);
        cr_assert_ok(rc);
    } while (rc == 0);
    cr_assert_eq(rc, 1);
    cr_assert_eq(chain.status, 0);
    cr_assert_eq(io_wait_for(b->engine, &chain, 0), 1);
    op.fd = -1;
    cr_assert_ok(io_submit(b->engine, &chain));
    cr_assert_eq(io_wait_for(b->engine, &chain, UINT64_MAX), 1);
    cr_assert_status(chain.status, -EBADF);
}

Test(engine, can_be_asked_without_waiting)
{
    each_way(waiting_shortly);
}

/* ---- many threads ------------------------------------------------------------------------------ */

#define THREADS 8u

struct worker {
    struct bench *b;
    unsigned number, rounds;
    pthread_t thread;
    _Atomic unsigned done;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < w->rounds; i++) {
        uint64_t out = (uint64_t)w->number << 32 | i, back = 0;
        struct io_op ops[3] = {
            {.kind = IO_WRITE, .fd = w->b->fd, .from = &out, .len = 8, .offset = 8 * w->number},
            {.kind = IO_DATASYNC, .fd = i % 10 == 9 ? -1 : w->b->fd},
            {.kind = IO_READ, .fd = w->b->fd, .data = &back, .len = 8, .offset = 8 * w->number},
        };
        struct io_chain chain = {.ops = ops, .count = 3, .linked = true};
        const int rc = i % 4 == 3 ? io_run_here(w->b->engine, &chain) : bench_run(w->b, &chain);

        if (i % 10 == 9 ? rc != -EBADF || back != 0 : rc != 0 || back != out)
            return NULL;
        atomic_fetch_add(&w->done, 1);
    }
    return NULL;
}

static void crowd(struct bench *b)
{
    struct worker workers[THREADS];
    const unsigned rounds = getenv("SEGLOG_TEST_QUICK") ? 20 : 100;

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.b = b, .number = i, .rounds = rounds};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(workers[i].thread, NULL), 0);
        cr_assert_eq(atomic_load(&workers[i].done), rounds, "%s: thread %u", way_name(b->way), i);
    }
}

Test(engine, many_threads_run_chains_at_once)
{
    each_way(crowd);
}

struct passing {
    struct bench *b;
    struct io_chain *chains;
    unsigned count;
};

static void *submit_and_leave(void *arg)
{
    struct passing *p = arg;

    for (unsigned i = 0; i < p->count; i++) {
        if (io_submit(p->b->engine, &p->chains[i]) < 0)
            return p;
    }
    return NULL;
}

/* The kernel cancels what a thread that ends has under way. It is done nevertheless. */
static void orphans(struct bench *b)
{
    struct io_op ops[30][3];
    struct io_chain chains[30];
    struct passing p = {.b = b, .chains = chains, .count = 30};
    char bytes[30], back[30];
    pthread_t thread;
    void *failed;

    if (b->way == WAY_HERE)
        return;
    for (unsigned i = 0; i < 30; i++) {
        bytes[i] = (char)('a' + i);
        ops[i][0] = sync_of(b);
        ops[i][1] =
            (struct io_op){.kind = IO_WRITE, .fd = b->fd, .from = &bytes[i], .len = 1, .offset = i};
        ops[i][2] = sync_of(b);
        chains[i] = (struct io_chain){.ops = ops[i], .count = 3, .linked = true};
    }
    cr_assert_eq(pthread_create(&thread, NULL, submit_and_leave, &p), 0);
    cr_assert_eq(pthread_join(thread, &failed), 0);
    cr_assert_null(failed);
    for (unsigned i = 0; i < 30; i++)
        cr_assert_status(io_wait(b->engine, &chains[i]), 0);
    cr_assert_ok(file_pread(b->fd, back, 30, 0));
    cr_assert_arr_eq(back, bytes, 30);
}

Test(engine, chains_outlive_the_thread_that_submitted_them)
{
    each_way(orphans);
}

/* ---- fork and close ---------------------------------------------------------------------------- */

static int forked_main(struct child *parent, void *arg)
{
    struct bench *b = arg;
    struct io_op op = sync_of(b);
    struct io_chain chain = {.ops = &op, .count = 1}, *got;

    (void)parent;
    child_must_be(io_submit(b->engine, &chain), SEGLOG_EFORKED);
    child_must_be(io_run(b->engine, &chain), SEGLOG_EFORKED);
    child_must_be(io_run_here(b->engine, &chain), SEGLOG_EFORKED);
    child_must_be(io_wait(b->engine, &chain), SEGLOG_EFORKED);
    child_must_be(io_reap(b->engine, &got, 0), SEGLOG_EFORKED);
    io_drain(b->engine);
    io_engine_close(b->engine);
    return 0;
}

static void forking(struct bench *b)
{
    struct io_op ops[20];
    struct io_chain before = {.ops = ops, .count = 20, .linked = true};
    struct io_chain after = before;
    struct child child;

    for (int i = 0; i < 20; i++)
        ops[i] = sync_of(b);
    cr_assert_status(bench_run(b, &before), 0);
    if (b->way != WAY_HERE)
        cr_assert_ok(io_submit(b->engine, &before));
    child_start(&child, forked_main, b);
    child_end(&child);
    if (b->way != WAY_HERE)
        cr_assert_status(io_wait(b->engine, &before), 0);
    cr_assert_status(bench_run(b, &after), 0);
}

Test(engine, a_forked_child_can_close_it_and_nothing_else)
{
    each_way(forking);
}

static int unused_main(struct child *parent, void *arg)
{
    (void)parent;
    io_engine_close(((struct bench *)arg)->engine);
    return 0;
}

static void forking_unused(struct bench *b)
{
    struct child child;

    child_start(&child, unused_main, b);
    child_end(&child);
}

Test(engine, that_was_never_used_can_be_closed_in_a_child)
{
    each_way(forking_unused);
    io_engine_close(NULL);
}

static void closing(struct bench *b)
{
    struct io_op ops[40][2];
    struct io_chain chains[40];
    char bytes[40], back[40];

    if (b->way == WAY_HERE)
        return;
    for (unsigned i = 0; i < 40; i++) {
        bytes[i] = (char)('A' + i);
        ops[i][0] = sync_of(b);
        ops[i][1] =
            (struct io_op){.kind = IO_WRITE, .fd = b->fd, .from = &bytes[i], .len = 1, .offset = i};
        chains[i] = (struct io_chain){.ops = ops[i], .count = 2, .linked = true};
        cr_assert_ok(io_submit(b->engine, &chains[i]));
    }
    io_engine_close(b->engine);
    b->engine = NULL;
    for (unsigned i = 0; i < 40; i++) {
        cr_assert(chains[i].is_done);
        cr_assert_eq(chains[i].status, 0);
    }
    cr_assert_ok(file_pread(b->fd, back, 40, 0));
    cr_assert_arr_eq(back, bytes, 40);
}

Test(engine, that_is_closed_finishes_what_is_under_way)
{
    each_way(closing);
}
