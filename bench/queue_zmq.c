/*
 * ZeroMQ over ipc (libzmq3-dev), for ring.c: PUSH and PULL in a stream, PAIR there and back.
 */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

struct zmq {
    void *context;
    void *socket;
    char address[64];
    uint64_t *done; /* shared: the receiver has all */
};

static void *make(const struct queue_run *run)
{
    static int number;
    struct zmq *q = calloc(1, sizeof(*q));

    (void)run;
    if (!q)
        bench_die("out of memory");
    q->done = bench_shared(sizeof(*q->done));
    snprintf(q->address, sizeof(q->address), "ipc://@seglog-bench-%d-%d", (int)getpid(), number++);
    return q;
}

static void join(void *self, const struct queue_run *run, bool sends, int id)
{
    const int room = QUEUE_SLOTS;
    struct zmq *q = self;
    char hello = 0;

    (void)id;
    q->context = zmq_ctx_new();
    q->socket = zmq_socket(q->context, run->each == 0 ? ZMQ_PAIR : sends ? ZMQ_PUSH : ZMQ_PULL);
    zmq_setsockopt(q->socket, ZMQ_SNDHWM, &room, sizeof(room));
    zmq_setsockopt(q->socket, ZMQ_RCVHWM, &room, sizeof(room));
    if (sends) {
        bench_sys(zmq_connect(q->socket, q->address), "zmq_connect");
        bench_sys(zmq_send(q->socket, &hello, 1, 0), "zmq_send");
        return;
    }
    bench_sys(zmq_bind(q->socket, q->address), "zmq_bind");
    for (int i = 0; i < run->senders; i++)
        bench_sys(zmq_recv(q->socket, &hello, 1, 0), "zmq_recv");
}

/* A sender that ends takes with it what is still on its way. */
static void leave(void *self, bool sends)
{
    const int linger = 0;
    struct zmq *q = self;

    if (!sends)
        __atomic_store_n(q->done, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(q->done, __ATOMIC_ACQUIRE) == 0)
        bench_sleep(100000);
    zmq_setsockopt(q->socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_close(q->socket);
    zmq_ctx_term(q->context);
}

static void unmake(void *self)
{
    struct zmq *q = self;

    bench_unmap(q->done, sizeof(*q->done));
    free(q);
}

QUEUE_INLINE bool put(void *self, const void *msg, size_t len)
{
    bench_sys(zmq_send(((struct zmq *)self)->socket, msg, len, 0), "zmq_send");
    return true;
}

QUEUE_INLINE bool get(void *self, void *msg, size_t len)
{
    bench_sys(zmq_recv(((struct zmq *)self)->socket, msg, len, 0), "zmq_recv");
    return true;
}

QUEUE_STREAM(ipc, queue_send_each, put, queue_receive_each, get)
QUEUE_TRIP(ipc, put, get)

const struct queue queues_zmq[] = {
    {.name = "ZeroMQ ipc",
     .use = QUEUE_MANY,
     .blocks = true,
     .make = make,
     .join = join,
     .send = ipc_send,
     .receive = ipc_receive,
     .trip = ipc_trip,
     .leave = leave,
     .unmake = unmake},
    {.name = NULL},
};
