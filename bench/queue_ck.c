/*
 * Concurrency Kit's rings (libck-dev), for ring.c, with the payload by value in the slots.
 */
#include "queue.h"

#include <ck_ring.h>

#define TYPE(L)           \
    struct m##L {         \
        uint8_t bytes[L]; \
    };                    \
    CK_RING_PROTOTYPE(m##L, m##L)
TYPE(8)
TYPE(64)
TYPE(256)
TYPE(1024)

struct ck {
    BENCH_LINE ck_ring_t ring;
    BENCH_LINE uint8_t slots[QUEUE_SLOTS * QUEUE_PAYLOAD_MAX];
};

static void *make(const struct queue_run *run)
{
    struct ck *q = bench_shared(sizeof(*q));

    (void)run;
    ck_ring_init(&q->ring, QUEUE_SLOTS);
    return q;
}

static void unmake(void *self)
{
    bench_unmap(self, sizeof(struct ck));
}

#define CALL(KIND, VERB, L, MSG) \
    ck_ring_##VERB##_##KIND##_m##L(&q->ring, (struct m##L *)(void *)q->slots, (struct m##L *)(MSG))
#define CALLS(KIND)                                                                 \
    QUEUE_INLINE bool KIND##_put(void *self, const void *msg, size_t len)           \
    {                                                                               \
        struct ck *q = self;                                                        \
        void *m = (void *)(uintptr_t)msg;                                           \
                                                                                    \
        return len == 8     ? CALL(KIND, enqueue, 8, m)                             \
               : len == 64  ? CALL(KIND, enqueue, 64, m)                            \
               : len == 256 ? CALL(KIND, enqueue, 256, m)                           \
                            : CALL(KIND, enqueue, 1024, m);                         \
    }                                                                               \
    QUEUE_INLINE bool KIND##_get(void *self, void *msg, size_t len)                 \
    {                                                                               \
        struct ck *q = self;                                                        \
                                                                                    \
        return len == 8     ? CALL(KIND, dequeue, 8, msg)                           \
               : len == 64  ? CALL(KIND, dequeue, 64, msg)                          \
               : len == 256 ? CALL(KIND, dequeue, 256, msg)                         \
                            : CALL(KIND, dequeue, 1024, msg);                       \
    }                                                                               \
    QUEUE_STREAM(KIND, queue_send_each, KIND##_put, queue_receive_each, KIND##_get) \
    QUEUE_TRIP(KIND, KIND##_put, KIND##_get)

CALLS(spsc)
CALLS(mpsc)
CALLS(mpmc)

#define CK(KIND, USE)                                                            \
    {                                                                            \
        .name = "ck_ring " #KIND, .use = USE, .make = make, .send = KIND##_send, \
        .receive = KIND##_receive, .trip = KIND##_trip, .unmake = unmake         \
    }
const struct queue queues_ck[] = {
    CK(spsc, QUEUE_ONE), CK(mpsc, QUEUE_MANY), CK(mpmc, QUEUE_MANY), {.name = NULL}};
