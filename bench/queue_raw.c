/*
 * Plain rings of fixed-size slots between two processes, as anybody would write them: what is to be
 * had at all, for ring.c.
 *
 * "index": head and tail apart, each side keeping a copy of the other's. "sequence": a number in each
 * slot, beside the payload. Nobody can wait in them, die in them, or send another size.
 */
#include "queue.h"

#include <stdlib.h>

#define MASK        (QUEUE_SLOTS - 1)
#define PUBLISH     16u /* messages */
#define LOAD(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

struct raw {
    BENCH_LINE uint64_t head; /* the receiver's */
    uint64_t tail_seen;
    BENCH_LINE uint64_t tail; /* the sender's */
    uint64_t head_seen;
    uint64_t held; /* put in, and not told */
    BENCH_LINE uint8_t slots[];
};

/* A slot with a number takes whole lines. */
QUEUE_INLINE size_t stride(size_t len)
{
    return (len + 8 + 63) / 64 * 64;
}

static size_t raw_size(void)
{
    return sizeof(struct raw) + QUEUE_SLOTS * stride(QUEUE_PAYLOAD_MAX);
}

static void *make(const struct queue_run *run)
{
    (void)run;
    return bench_shared(raw_size());
}

static void unmake(void *self)
{
    bench_unmap(self, raw_size());
}

/* ---- index ------------------------------------------------------------------------------------ */

QUEUE_INLINE bool index_put(void *self, const void *msg, size_t len)
{
    struct raw *r = self;
    const uint64_t tail = r->tail;

    if (tail - r->head_seen >= QUEUE_SLOTS && tail - (r->head_seen = LOAD(&r->head)) >= QUEUE_SLOTS)
        return false;
    memcpy(r->slots + (tail & MASK) * len, msg, len);
    STORE(&r->tail, tail + 1);
    return true;
}

QUEUE_INLINE bool index_get(void *self, void *msg, size_t len)
{
    struct raw *r = self;
    const uint64_t head = r->head;

    if (head == r->tail_seen && head == (r->tail_seen = LOAD(&r->tail)))
        return false;
    memcpy(msg, r->slots + (head & MASK) * len, len);
    STORE(&r->head, head + 1);
    return true;
}

QUEUE_INLINE unsigned index_put_some(void *self, const uint8_t *msgs, unsigned n, size_t len)
{
    struct raw *r = self;
    const uint64_t tail = r->tail;

    if (tail + n - r->head_seen > QUEUE_SLOTS &&
        tail + n - (r->head_seen = LOAD(&r->head)) > QUEUE_SLOTS)
        return 0;
    for (unsigned k = 0; k < n; k++)
        memcpy(r->slots + ((tail + k) & MASK) * len, msgs + k * len, len);
    STORE(&r->tail, tail + n);
    return n;
}

QUEUE_INLINE unsigned index_drain(void *self, struct queue_check *c, size_t len)
{
    struct raw *r = self;
    const uint64_t head = r->head, there = LOAD(&r->tail) - head;
    const unsigned n = there > 64 ? 64 : (unsigned)there;

    for (unsigned k = 0; k < n; k++)
        queue_take(c, r->slots + ((head + k) & MASK) * len, len);
    if (n > 0)
        STORE(&r->head, head + n);
    return n;
}

/* ---- sequence --------------------------------------------------------------------------------- */

QUEUE_INLINE bool sequence_put(void *self, const void *msg, size_t len)
{
    struct raw *r = self;
    const uint64_t tail = r->tail;
    uint8_t *slot = r->slots + (tail & MASK) * stride(len);

    if (tail - r->head_seen >= QUEUE_SLOTS && tail - (r->head_seen = LOAD(&r->head)) >= QUEUE_SLOTS)
        return false;
    memcpy(slot + 8, msg, len);
    r->tail = tail + 1;
    STORE((uint64_t *)(void *)slot, tail + 1);
    return true;
}

QUEUE_INLINE bool sequence_get(void *self, void *msg, size_t len)
{
    struct raw *r = self;
    const uint64_t head = r->tail_seen;
    const uint8_t *slot = r->slots + (head & MASK) * stride(len);

    if (LOAD((const uint64_t *)(const void *)slot) != head + 1)
        return false;
    memcpy(msg, slot + 8, len);
    r->tail_seen = head + 1;
    if ((head + 1) % PUBLISH == 0)
        STORE(&r->head, head + 1);
    return true;
}

QUEUE_STREAM(index, queue_send_each, index_put, queue_receive_each, index_get)
QUEUE_STREAM(batch, queue_send_some, index_put_some, queue_receive_some, index_drain)
QUEUE_STREAM(sequence, queue_send_each, sequence_put, queue_receive_each, sequence_get)
QUEUE_TRIP(index, index_put, index_get)
QUEUE_TRIP(sequence, sequence_put, sequence_get)

const struct queue queues_raw[] = {
    {.name = "floor: plain ring, index",
     .is_floor = true,
     .make = make,
     .send = index_send,
     .receive = index_receive,
     .trip = index_trip,
     .unmake = unmake},
    {.name = "floor: plain ring, sequence",
     .is_floor = true,
     .make = make,
     .send = sequence_send,
     .receive = sequence_receive,
     .trip = sequence_trip,
     .unmake = unmake},
    {.name = "floor: plain ring, index, 32 a call",
     .is_floor = true,
     .batched = true,
     .make = make,
     .send = batch_send,
     .receive = batch_receive,
     .unmake = unmake},
    {.name = NULL},
};
