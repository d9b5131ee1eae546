/*
 * seglog's rings, of every kind, for ring.c: a message a call, in batches, and as arrays and runs.
 */
#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VIEWS 64

struct rings {
    char path[64];
    struct seglog_ring *ring;
    struct seglog_producer *producer;
    struct seglog_consumer *consumer;
};

static void *make(const struct queue_run *run, uint32_t kind)
{
    static int number;
    const uint64_t size = QUEUE_SLOTS * run->payload;
    const struct seglog_ring_options o = {
        .size = size < SEGLOG_RING_SIZE_MIN ? SEGLOG_RING_SIZE_MIN : size, .kind = kind};
    struct rings *r = calloc(1, sizeof(*r));

    if (!r)
        bench_die("out of memory");
    snprintf(r->path, sizeof(r->path), "/dev/shm/seglog-bench-%d-%d", (int)getpid(), number++);
    bench_ok(seglog_ring_create(r->path, &o), r->path);
    return r;
}

static void *make_spsc(const struct queue_run *run)
{
    return make(run, SEGLOG_RING_SPSC);
}

static void *make_mpsc(const struct queue_run *run)
{
    return make(run, SEGLOG_RING_MPSC);
}

static void *make_broadcast(const struct queue_run *run)
{
    return make(run, SEGLOG_RING_BROADCAST);
}

static void *make_work(const struct queue_run *run)
{
    return make(run, SEGLOG_RING_WORK);
}

static void join(void *self, const struct queue_run *run, bool sends, int id)
{
    struct rings *r = self;

    (void)run;
    (void)id;
    bench_ok(seglog_ring_open(r->path, 0, &r->ring), r->path);
    if (sends)
        bench_ok(seglog_producer_open(r->ring, NULL, &r->producer), "producer");
    else
        bench_ok(seglog_consumer_open(r->ring, NULL, &r->consumer), "consumer");
}

static void leave(void *self, bool sends)
{
    struct rings *r = self;

    (void)sends;
    seglog_producer_close(r->producer);
    seglog_consumer_close(r->consumer);
    seglog_ring_close(r->ring);
}

static void unmake(void *self)
{
    struct rings *r = self;

    bench_ok(seglog_ring_remove(r->path, 0), "remove");
    free(r);
}

/* ---- a message a call ------------------------------------------------------------------------- */

QUEUE_INLINE bool put(void *self, const void *msg, size_t len)
{
    const struct rings *r = self;
    const int rc = seglog_producer_put(r->producer, msg, len, 0);

    if (rc < 0 && rc != -EAGAIN)
        bench_ok(rc, "put");
    return rc == 0;
}

QUEUE_INLINE unsigned take_one(void *self, struct queue_check *c, size_t len)
{
    const struct rings *r = self;
    struct seglog_view v;
    const int rc = seglog_consumer_next(r->consumer, &v);

    if (rc == -EAGAIN)
        return 0;
    bench_ok(rc, "next");
    if (v.len != len)
        bench_die("a message of %llu bytes", (unsigned long long)v.len);
    queue_take(c, v.data, len);
    seglog_consumer_release(r->consumer);
    return 1;
}

QUEUE_INLINE bool get(void *self, void *msg, size_t len)
{
    const struct rings *r = self;
    struct seglog_view v;
    const int rc = seglog_consumer_next(r->consumer, &v);

    if (rc == -EAGAIN)
        return false;
    bench_ok(rc, "next");
    if (v.len != len)
        bench_die("a message of %llu bytes", (unsigned long long)v.len);
    memcpy(msg, v.data, len);
    seglog_consumer_release(r->consumer);
    return true;
}

QUEUE_STREAM(each, queue_send_each, put, queue_receive_some, take_one)
QUEUE_TRIP(each, put, get)

/* ---- batches ---------------------------------------------------------------------------------- */

QUEUE_INLINE unsigned put_some(void *self, const uint8_t *msgs, unsigned n, size_t len)
{
    const struct rings *r = self;
    struct seglog_record records[QUEUE_BATCH];
    int rc;

    for (unsigned k = 0; k < n; k++)
        records[k] = (struct seglog_record){.data = msgs + k * len, .len = len};
    rc = seglog_producer_put_batch(r->producer, records, n, 0);
    if (rc < 0 && rc != -EAGAIN)
        bench_ok(rc, "put_batch");
    return rc == 0 ? n : 0;
}

QUEUE_INLINE unsigned drain(void *self, struct queue_check *c, size_t len)
{
    const struct rings *r = self;
    struct seglog_view views[VIEWS];
    const int n = seglog_consumer_batch(r->consumer, views, VIEWS);

    if (n == -EAGAIN)
        return 0;
    bench_ok(n, "batch");
    for (int k = 0; k < n; k++) {
        if (views[k].len != len)
            bench_die("a message of %llu bytes", (unsigned long long)views[k].len);
        queue_take(c, views[k].data, len);
    }
    seglog_consumer_release(r->consumer);
    return (unsigned)n;
}

QUEUE_STREAM(some, queue_send_some, put_some, queue_receive_some, drain)

/* ---- arrays and runs -------------------------------------------------------------------------- */

QUEUE_INLINE unsigned put_array(void *self, const uint8_t *msgs, unsigned n, size_t len)
{
    const struct rings *r = self;
    const int rc = seglog_producer_put_array(r->producer, msgs, len, n, 0);

    if (rc < 0 && rc != -EAGAIN)
        bench_ok(rc, "put_array");
    return rc == 0 ? n : 0;
}

QUEUE_INLINE unsigned drain_run(void *self, struct queue_check *c, size_t len)
{
    const struct rings *r = self;
    struct seglog_run run;
    const int n = seglog_consumer_run(r->consumer, &run, VIEWS);
    const uint8_t *at;

    if (n == -EAGAIN)
        return 0;
    bench_ok(n, "run");
    if (run.first.len != len)
        bench_die("messages of %llu bytes", (unsigned long long)run.first.len);
    at = run.first.data;
    for (int k = 0; k < n; k++)
        queue_take(c, at + (size_t)k * run.stride, len);
    seglog_consumer_release(r->consumer);
    return (unsigned)n;
}

QUEUE_STREAM(array, queue_send_some, put_array, queue_receive_some, drain_run)

#define EACH(NAME, USE, MAKE)                                                                     \
    {                                                                                             \
        .name = NAME, .use = USE, .is_ours = true, .make = MAKE, .join = join, .send = each_send, \
        .receive = each_receive, .trip = each_trip, .leave = leave, .unmake = unmake              \
    }
#define MANY(NAME, USE, MAKE, CALLS)                                                            \
    {                                                                                           \
        .name = NAME, .use = USE, .batched = true, .is_ours = true, .make = MAKE, .join = join, \
        .send = CALLS##_send, .receive = CALLS##_receive, .leave = leave, .unmake = unmake      \
    }
#define SOME(KIND, USE, MAKE)                            \
    MANY("seglog " KIND ", 32 a call", USE, MAKE, some), \
        MANY("seglog " KIND ", arrays of 32", USE, MAKE, array)

const struct queue queues_seglog[] = {
    EACH("seglog spsc", QUEUE_ONE, make_spsc),
    SOME("spsc", QUEUE_ONE, make_spsc),
    EACH("seglog mpsc", QUEUE_MANY, make_mpsc),
    SOME("mpsc", QUEUE_MANY, make_mpsc),
    EACH("seglog broadcast", QUEUE_FAN, make_broadcast),
    SOME("broadcast", QUEUE_FAN, make_broadcast),
    EACH("seglog work", QUEUE_WORK, make_work),
    SOME("work", QUEUE_WORK, make_work),
    {.name = NULL},
};
