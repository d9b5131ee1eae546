/*
 * The kernel's own queues, for ring.c: POSIX message queues, pipes and unix sockets, a message a
 * system call, and for byte streams 64 KiB a call.
 */
#include "queue.h"

#include <errno.h>
#include <mqueue.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL_BYTES (64u * 1024u)

struct ends {
    int from;
    int to;
    mqd_t mq;
    size_t have; /* of `bytes`: read, and not taken */
    __attribute__((aligned(64))) uint8_t bytes[CALL_BYTES + QUEUE_PAYLOAD_MAX];
};

static struct ends *ends_new(void)
{
    struct ends *e = aligned_alloc(64, sizeof(*e));

    if (!e)
        bench_die("out of memory");
    memset(e, 0, sizeof(*e));
    e->mq = (mqd_t)-1;
    e->from = e->to = -1;
    return e;
}

static void *make_pipe(const struct queue_run *run)
{
    struct ends *e = ends_new();
    int fd[2];

    (void)run;
    bench_sys(pipe(fd), "pipe");
    (void)fcntl(fd[1], F_SETPIPE_SZ, 1 << 20); /* the most that the kernel gives, if it does */
    e->from = fd[0];
    e->to = fd[1];
    return e;
}

static void *make_socket(int type)
{
    struct ends *e = ends_new();
    const int room = 1 << 20;
    int fd[2];

    bench_sys(socketpair(AF_UNIX, type, 0, fd), "socketpair");
    (void)setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    e->from = fd[0];
    e->to = fd[1];
    return e;
}

static void *make_stream(const struct queue_run *run)
{
    (void)run;
    return make_socket(SOCK_STREAM);
}

static void *make_packets(const struct queue_run *run)
{
    (void)run;
    return make_socket(SOCK_SEQPACKET);
}

static void *make_mq(const struct queue_run *run)
{
    static int number;
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    struct mq_attr attr = {.mq_maxmsg = QUEUE_SLOTS, .mq_msgsize = (long)run->payload};
    struct ends *e = ends_new();
    char name[64];

    (void)setrlimit(RLIMIT_MSGQUEUE, &all);
    snprintf(name, sizeof(name), "/seglog-bench-%d-%d", (int)getpid(), number++);
    e->mq = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (e->mq == (mqd_t)-1) {
        attr.mq_maxmsg = 10; /* what users without privileges get */
        e->mq = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    }
    bench_sys(e->mq == (mqd_t)-1 ? -1 : 0, "mq_open");
    mq_unlink(name);
    return e;
}

static void unmake(void *self)
{
    struct ends *e = self;

    if (e->mq != (mqd_t)-1)
        mq_close(e->mq);
    if (e->from >= 0)
        close(e->from);
    if (e->to >= 0)
        close(e->to);
    free(e);
}

QUEUE_INLINE bool mq_put(void *self, const void *msg, size_t len)
{
    bench_sys(mq_send(((struct ends *)self)->mq, msg, len, 0), "mq_send");
    return true;
}

QUEUE_INLINE bool mq_get(void *self, void *msg, size_t len)
{
    bench_sys(mq_receive(((struct ends *)self)->mq, msg, len, NULL), "mq_receive");
    return true;
}

static void all_out(int fd, const uint8_t *bytes, size_t len)
{
    for (size_t done = 0; done < len;)
        done += (size_t)bench_sys(write(fd, bytes + done, len - done), "write");
}

static void all_in(int fd, uint8_t *bytes, size_t len)
{
    for (size_t done = 0; done < len;)
        done += (size_t)bench_sys(read(fd, bytes + done, len - done), "read");
}

QUEUE_INLINE bool fd_put(void *self, const void *msg, size_t len)
{
    all_out(((struct ends *)self)->to, msg, len);
    return true;
}

QUEUE_INLINE bool fd_get(void *self, void *msg, size_t len)
{
    all_in(((struct ends *)self)->from, msg, len);
    return true;
}

/* ---- 64 KiB a call ---------------------------------------------------------------------------- */

static void big_send(void *self, const struct queue_run *run, int id)
{
    struct ends *e = self;
    const size_t len = run->payload, batch = QUEUE_BUFFERS * len;
    size_t have = 0;

    for (uint64_t i = 0; i < run->each; i += QUEUE_BUFFERS) {
        for (unsigned k = 0; k < QUEUE_BUFFERS; k++)
            queue_stamp(id, i + k, len);
        memcpy(e->bytes + have, queue_buffers, batch);
        have += batch;
        if (have + batch > CALL_BYTES || i + QUEUE_BUFFERS >= run->each) {
            all_out(e->to, e->bytes, have);
            have = 0;
        }
    }
}

QUEUE_INLINE unsigned big_drain(void *self, struct queue_check *c, size_t len)
{
    struct ends *e = self;
    size_t at = 0;

    e->have += (size_t)bench_sys(read(e->from, e->bytes + e->have, CALL_BYTES), "read");
    for (; at + len <= e->have; at += len)
        queue_take(c, e->bytes + at, len);
    memmove(e->bytes, e->bytes + at, e->have - at);
    e->have -= at;
    return (unsigned)(at / len);
}

QUEUE_STREAM(posix, queue_send_each, mq_put, queue_receive_each, mq_get)
QUEUE_TRIP(posix, mq_put, mq_get)
QUEUE_STREAM(fd, queue_send_each, fd_put, queue_receive_each, fd_get)
QUEUE_TRIP(fd, fd_put, fd_get)

static uint64_t big_receive(void *self, const struct queue_run *run)
{
    return queue_receive_some(self, run, run->payload, big_drain);
}

#define KERNEL(NAME, USE, MAKE, CALLS)                                                \
    {                                                                                 \
        .name = NAME, .use = USE, .blocks = true, .make = MAKE, .send = CALLS##_send, \
        .receive = CALLS##_receive, .trip = CALLS##_trip, .unmake = unmake            \
    }
#define BIG(NAME, MAKE)                                                                \
    {                                                                                  \
        .name = NAME, .batched = true, .blocks = true, .make = MAKE, .send = big_send, \
        .receive = big_receive, .unmake = unmake                                       \
    }

const struct queue queues_kernel[] = {
    KERNEL("POSIX mq", QUEUE_MANY, make_mq, posix),
    KERNEL("pipe", QUEUE_MANY, make_pipe, fd),
    KERNEL("unix socket, packets", QUEUE_MANY, make_packets, fd),
    KERNEL("unix socket, stream", QUEUE_ONE, make_stream, fd),
    BIG("pipe, 64 KiB a call", make_pipe),
    BIG("unix socket, 64 KiB a call", make_stream),
    {.name = NULL},
};
