/*
 * DPDK's rings (libdpdk-dev), for ring.c, in shared memory, with the payload by value in the slots:
 * one at a time and in bursts. They hold one message less than they have slots.
 */
#include "queue.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>

struct dpdk {
    struct rte_ring *ring;
    size_t size;
};

static void *make(const struct queue_run *run, unsigned flags)
{
    const ssize_t ring = rte_ring_get_memsize_elem((unsigned)run->payload, QUEUE_SLOTS);
    const size_t size = 4096 + (size_t)ring;
    struct dpdk *q = bench_shared(size);

    q->size = size;
    q->ring = (struct rte_ring *)((char *)q + 4096);
    if (ring < 0 || rte_ring_init(q->ring, "bench", QUEUE_SLOTS, flags) < 0)
        bench_die("rte_ring_init");
    return q;
}

static void *make_sp(const struct queue_run *run)
{
    return make(run, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static void *make_mp(const struct queue_run *run)
{
    return make(run, RING_F_SC_DEQ);
}

static void *make_hts(const struct queue_run *run)
{
    return make(run, RING_F_MP_HTS_ENQ | RING_F_SC_DEQ);
}

static void *make_rts(const struct queue_run *run)
{
    return make(run, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
}

static void unmake(void *self)
{
    bench_unmap(self, ((struct dpdk *)self)->size);
}

#define CALLS(KIND, PUT, BURST)                                                                    \
    QUEUE_INLINE bool KIND##_put(void *self, const void *msg, size_t len)                          \
    {                                                                                              \
        return PUT(((struct dpdk *)self)->ring, (void *)(uintptr_t)msg, (unsigned)len) == 0;       \
    }                                                                                              \
    QUEUE_INLINE unsigned KIND##_put_some(void *self, const uint8_t *msgs, unsigned n, size_t len) \
    {                                                                                              \
        return BURST(((struct dpdk *)self)->ring, msgs, (unsigned)len, n, NULL);                   \
    }
CALLS(sp, rte_ring_sp_enqueue_elem, rte_ring_sp_enqueue_burst_elem)
CALLS(mp, rte_ring_mp_enqueue_elem, rte_ring_mp_enqueue_burst_elem)
CALLS(set, rte_ring_enqueue_elem, rte_ring_enqueue_burst_elem)

QUEUE_INLINE bool get(void *self, void *msg, size_t len)
{
    return rte_ring_sc_dequeue_elem(((struct dpdk *)self)->ring, msg, (unsigned)len) == 0;
}

QUEUE_INLINE unsigned drain(void *self, struct queue_check *c, size_t len)
{
    __attribute__((aligned(64))) uint8_t msgs[QUEUE_BATCH * QUEUE_PAYLOAD_MAX];
    const unsigned n = rte_ring_sc_dequeue_burst_elem(((struct dpdk *)self)->ring, msgs,
                                                      (unsigned)len, QUEUE_BATCH, NULL);

    for (unsigned k = 0; k < n; k++)
        queue_take(c, msgs + k * len, len);
    return n;
}

QUEUE_STREAM(sp, queue_send_each, sp_put, queue_receive_each, get)
QUEUE_STREAM(mp, queue_send_each, mp_put, queue_receive_each, get)
QUEUE_STREAM(set, queue_send_each, set_put, queue_receive_each, get)
QUEUE_STREAM(sp_burst, queue_send_some, sp_put_some, queue_receive_some, drain)
QUEUE_STREAM(mp_burst, queue_send_some, mp_put_some, queue_receive_some, drain)
QUEUE_STREAM(set_burst, queue_send_some, set_put_some, queue_receive_some, drain)
QUEUE_TRIP(sp, sp_put, get)

#define DPDK(NAME, USE, BATCHED, MAKE, CALLS, TRIP)                                      \
    {                                                                                    \
        .name = "rte_ring " NAME, .use = USE, .batched = BATCHED, .make = MAKE,          \
        .send = CALLS##_send, .receive = CALLS##_receive, .trip = TRIP, .unmake = unmake \
    }
const struct queue queues_dpdk[] = {
    DPDK("sp/sc", QUEUE_ONE, false, make_sp, sp, sp_trip),
    DPDK("sp/sc, burst of 32", QUEUE_ONE, true, make_sp, sp_burst, NULL),
    DPDK("mp/sc", QUEUE_MANY, false, make_mp, mp, NULL),
    DPDK("mp-hts/sc", QUEUE_MANY, false, make_hts, set, NULL),
    DPDK("mp-rts/sc", QUEUE_MANY, false, make_rts, set, NULL),
    DPDK("mp/sc, burst of 32", QUEUE_MANY, true, make_mp, mp_burst, NULL),
    DPDK("mp-hts/sc, burst of 32", QUEUE_MANY, true, make_hts, set_burst, NULL),
    {.name = NULL},
};
