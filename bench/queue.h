/*
 * What ring.c compares: queues between processes, seglog's and those that a user would pick instead.
 *
 * Each has a file of its own, and its loops are made there from those below, with the payload's size
 * a constant: so a queue that is compiled into its user keeps what it gains by that. What is sent
 * differs from message to message, and every word of it is checked by whoever receives it.
 *
 * Read by C and by C++.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "common.h"

#include <sched.h>
#include <string.h>

#define QUEUE_INLINE      static inline __attribute__((always_inline, unused))
#define QUEUE_SLOTS       1024u /* messages that a queue holds, or as many bytes */
#define QUEUE_BATCH       32u
#define QUEUE_BUFFERS     64u /* two batches */
#define QUEUE_PAYLOAD_MAX 1024u
#define QUEUE_SENDERS_MAX 2

/* ---- a run ------------------------------------------------------------------------------------ */

struct queue_run {
    size_t payload;
    int senders;
    int receivers;
    uint64_t each;  /* messages of each sender: a multiple of QUEUE_BUFFERS; 0: trips */
    uint64_t trips; /* there and back, after a tenth as many that do not count */
    uint64_t
        share; /* of the messages, that one receiver gets; 0: what there is, until all are done */
    uint32_t *stop;  /* not 0: it has taken too long */
    uint64_t *taken; /* by all receivers that share */
};

enum queue_use {
    QUEUE_ONE,  /* one sender, one receiver */
    QUEUE_MANY, /* also several senders */
    QUEUE_FAN,  /* every receiver gets everything */
    QUEUE_WORK, /* every message goes to one of several receivers */
};

struct queue {
    const char *name;
    enum queue_use use;
    bool batched;
    bool unordered; /* several senders: there is no order that all receivers would see */
    bool blocks;    /* in its calls: it cannot be stopped in the middle */
    bool is_floor;  /* no queue for users */
    bool is_ours;
    /* Before the processes are forked. */
    void *(*make)(const struct queue_run *run);
    /* In each of them, untimed; may be NULL. */
    void (*join)(void *self, const struct queue_run *run, bool sends, int id);
    void (*send)(void *self, const struct queue_run *run, int id);
    /* How many messages came. */
    uint64_t (*receive)(void *self, const struct queue_run *run);
    /* There and back, or NULL; id 0 begins. */
    void (*trip)(void *out, void *in, const struct queue_run *run, int id, struct bench_hist *hist);
    void (*leave)(void *self, bool sends);
    void (*unmake)(void *self);
};

/* The contenders of each file, ended by one without a name. */
extern const struct queue queues_seglog[], queues_raw[], queues_kernel[];
extern const struct queue queues_ck[], queues_dpdk[], queues_zmq[], queues_boost[], queues_moody[];

/* ---- what is sent ----------------------------------------------------------------------------- */

/*
 * Messages in turn, each stamped half a turn ahead of its use: a wide copy close behind a narrow
 * store waits for the store, which would be our cost and not the queue's.
 */
extern uint8_t queue_buffers[QUEUE_BUFFERS * QUEUE_PAYLOAD_MAX];
extern uint64_t queue_sums[QUEUE_BUFFERS]; /* of all words but the first */
void queue_buffers_fill(size_t payload, int id);

QUEUE_INLINE void queue_stamp(int id, uint64_t i, size_t len)
{
    const uint64_t word = (uint64_t)id << 56 | i;

    memcpy(queue_buffers + i % QUEUE_BUFFERS * len, &word, sizeof(word));
}

QUEUE_INLINE bool queue_stopped(const struct queue_run *run)
{
    return __atomic_load_n(run->stop, __ATOMIC_RELAXED) != 0;
}

/* Nothing to be done for a moment: processes that share a processor give it up. false: go away. */
QUEUE_INLINE bool queue_relax(const struct queue_run *run, unsigned *tries)
{
    bench_pause();
    if (++*tries % 64 != 0)
        return true;
    if (run->senders + run->receivers > 2)
        sched_yield();
    return !queue_stopped(run);
}

/* ---- what comes ------------------------------------------------------------------------------- */

struct queue_check {
    uint64_t next[QUEUE_SENDERS_MAX];
    uint64_t gap; /* that may be between one message and the next of a sender */
    uint64_t bad;
};

QUEUE_INLINE void queue_take(struct queue_check *c, const void *msg, size_t len)
{
    const uint8_t *at = (const uint8_t *)msg;
    uint64_t word, i, sum = 0;
    unsigned id;

    memcpy(&word, at, sizeof(word));
    i = word & (UINT64_MAX >> 8);
    id = (unsigned)(word >> 56) % QUEUE_SENDERS_MAX;
    for (size_t k = 8; k < len; k += 8) {
        memcpy(&word, at + k, sizeof(word));
        sum += word;
    }
    c->bad |= (uint64_t)(i - c->next[id] > c->gap) | (sum ^ queue_sums[i % QUEUE_BUFFERS]);
    c->next[id] = i + 1;
}

/* ---- loops ------------------------------------------------------------------------------------ */

typedef bool (*queue_put)(void *self, const void *msg, size_t len);
typedef bool (*queue_get)(void *self, void *msg, size_t len);
/* Up to n messages in a row; how many went. */
typedef unsigned (*queue_put_some)(void *self, const uint8_t *msgs, unsigned n, size_t len);
/* Take what is there; how many came. */
typedef unsigned (*queue_drain)(void *self, struct queue_check *c, size_t len);

QUEUE_INLINE void queue_send_each(void *self, const struct queue_run *run, int id, size_t len,
                                  queue_put put)
{
    const uint64_t n = run->each;
    unsigned tries = 0;

    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *msg = queue_buffers + i % QUEUE_BUFFERS * len;

        queue_stamp(id, i + QUEUE_BUFFERS / 2, len);
        while (!put(self, msg, len)) {
            if (!queue_relax(run, &tries))
                return;
        }
        if (i % QUEUE_BUFFERS == 0 && queue_stopped(run))
            return;
    }
}

QUEUE_INLINE void queue_send_some(void *self, const struct queue_run *run, int id, size_t len,
                                  queue_put_some put)
{
    const uint64_t n = run->each;
    unsigned tries = 0;

    for (uint64_t i = 0; i < n; i += QUEUE_BATCH) {
        const uint8_t *msgs = queue_buffers + i % QUEUE_BUFFERS * len;
        unsigned done = 0;

        for (unsigned k = 0; k < QUEUE_BATCH; k++)
            queue_stamp(id, i + QUEUE_BATCH + k, len);
        while ((done += put(self, msgs + done * len, QUEUE_BATCH - done, len)) < QUEUE_BATCH) {
            if (!queue_relax(run, &tries))
                return;
        }
        if (queue_stopped(run))
            return;
    }
}

/* Have all messages come? `got` here, `fresh` of them since the last question. */
QUEUE_INLINE bool queue_done(const struct queue_run *run, uint64_t got, uint64_t fresh)
{
    if (run->share != 0)
        return got >= run->share;
    return __atomic_add_fetch(run->taken, fresh, __ATOMIC_RELAXED) >=
           run->each * (uint64_t)run->senders;
}

QUEUE_INLINE struct queue_check queue_check_begin(const struct queue_run *run)
{
    struct queue_check c = {{0, 0}, run->share == 0 ? UINT64_MAX >> 1 : 0, 0};

    return c;
}

QUEUE_INLINE void queue_check_end(const struct queue_check *c)
{
    if (c->bad != 0)
        bench_die("a message is not what was sent");
}

QUEUE_INLINE uint64_t queue_receive_each(void *self, const struct queue_run *run, size_t len,
                                         queue_get get)
{
    __attribute__((aligned(64))) uint8_t msg[QUEUE_PAYLOAD_MAX];
    struct queue_check c = queue_check_begin(run);
    const uint64_t n = run->share;
    uint64_t got = 0;
    unsigned tries = 0;

    while (got < n) {
        if (get(self, msg, len)) {
            queue_take(&c, msg, len);
            got++;
        } else if (!queue_relax(run, &tries)) {
            break;
        }
    }
    queue_check_end(&c);
    return got;
}

QUEUE_INLINE uint64_t queue_receive_some(void *self, const struct queue_run *run, size_t len,
                                         queue_drain drain)
{
    struct queue_check c = queue_check_begin(run);
    uint64_t got = 0;
    unsigned tries = 0, fresh;

    do {
        fresh = drain(self, &c, len);
        got += fresh;
        if (fresh == 0 && !queue_relax(run, &tries))
            break;
    } while (!queue_done(run, got, fresh));
    queue_check_end(&c);
    return got;
}

/* One message under way; the time of each trip into hist. */
QUEUE_INLINE void queue_trips(void *out, void *in, const struct queue_run *run, int id,
                              struct bench_hist *hist, size_t len, queue_put put, queue_get get)
{
    __attribute__((aligned(64))) uint8_t msg[QUEUE_PAYLOAD_MAX];
    const uint64_t warm = run->trips / 10;
    const double tick_ns = bench_tick_ns();
    uint64_t bad = 0;

    memcpy(msg, bench_pool, len);
    for (uint64_t i = 0; i < warm + run->trips; i++) {
        const uint64_t before = bench_tick();
        uint64_t word;

        if (id == 0) {
            memcpy(msg, &i, sizeof(i));
            while (!put(out, msg, len))
                bench_pause();
        }
        while (!get(in, msg, len))
            bench_pause();
        if (id == 1) {
            while (!put(out, msg, len))
                bench_pause();
            continue;
        }
        if (i >= warm)
            bench_hist_add(hist, (uint64_t)((double)(bench_tick() - before) * tick_ns));
        memcpy(&word, msg, sizeof(word));
        bad += word != i || (len > 8 && memcmp(msg + 8, bench_pool + 8, len - 8) != 0);
    }
    if (bad != 0)
        bench_die("%llu trips did not bring back what was sent", (unsigned long long)bad);
}

/* The functions of a contender out of its calls; the sizes that ring.c measures are constants in them. */
#define QUEUE_STREAM(NAME, SEND, PUT, RECEIVE, GET)                          \
    static void NAME##_send(void *self, const struct queue_run *run, int id) \
    {                                                                        \
        if (run->payload == 8)                                               \
            SEND(self, run, id, 8, PUT);                                     \
        else if (run->payload == 64)                                         \
            SEND(self, run, id, 64, PUT);                                    \
        else if (run->payload == 256)                                        \
            SEND(self, run, id, 256, PUT);                                   \
        else                                                                 \
            SEND(self, run, id, 1024, PUT);                                  \
    }                                                                        \
    static uint64_t NAME##_receive(void *self, const struct queue_run *run)  \
    {                                                                        \
        return run->payload == 8     ? RECEIVE(self, run, 8, GET)            \
               : run->payload == 64  ? RECEIVE(self, run, 64, GET)           \
               : run->payload == 256 ? RECEIVE(self, run, 256, GET)          \
                                     : RECEIVE(self, run, 1024, GET);        \
    }
#define QUEUE_TRIP(NAME, PUT, GET)                                                    \
    static void NAME##_trip(void *out, void *in, const struct queue_run *run, int id, \
                            struct bench_hist *hist)                                  \
    {                                                                                 \
        if (run->payload == 8)                                                        \
            queue_trips(out, in, run, id, hist, 8, PUT, GET);                         \
        else if (run->payload == 64)                                                  \
            queue_trips(out, in, run, id, hist, 64, PUT, GET);                        \
        else if (run->payload == 256)                                                 \
            queue_trips(out, in, run, id, hist, 256, PUT, GET);                       \
        else                                                                          \
            queue_trips(out, in, run, id, hist, 1024, PUT, GET);                      \
    }

#ifdef __cplusplus
}
#endif
#endif
