/*
 * moodycamel::ConcurrentQueue (libconcurrentqueue-dev), for ring.c, with tokens, one at a time and in
 * bulk.
 *
 * It is made for threads. Here its memory comes from a mapping that was made before the fork and that
 * lies at the same address in all processes, so it passes messages between processes, too. It keeps the
 * order of each producer and no other.
 */
#include "queue_sizes.hpp"

#include <concurrentqueue/concurrentqueue.h>

#include <new>

namespace
{

/* Memory is given away and never taken back: the mapping goes as a whole. */
struct arena {
    BENCH_LINE size_t used;
    BENCH_LINE uint64_t taken[QUEUE_SENDERS_MAX];
    BENCH_LINE char bytes[8u << 20];
};
arena *current; /* of the queue that this process is making or using */

struct shared_traits : moodycamel::ConcurrentQueueDefaultTraits {
    static void *malloc(size_t size)
    {
        const size_t at =
            __atomic_fetch_add(&current->used, (size + 127) / 128 * 128, __ATOMIC_RELAXED);

        return at + size <= sizeof(current->bytes) ? current->bytes + at : nullptr;
    }
    static void free(void *)
    {
    }
};

template <size_t L> struct bulk {
    using queue_type = moodycamel::ConcurrentQueue<message<L>, shared_traits>;

    arena *memory;
    queue_type queue;

    /* Room for all producers, with a block or two that each has begun. */
    explicit bulk(arena *a) : memory(a), queue(QUEUE_SLOTS, QUEUE_SENDERS_MAX + 1, 0)
    {
    }
};

void *make(const queue_run *run)
{
    void *self = nullptr;

    current = static_cast<arena *>(bench_shared(sizeof(arena)));
    by_size(run->payload, [&](auto l) {
        void *at = shared_traits::malloc(sizeof(bulk<l>));
        self = new (at) bulk<l>(current);
    });
    return self;
}

void unmake(void *self)
{
    bench_unmap(*static_cast<arena **>(self), sizeof(arena));
}

/*
 * A producer keeps the blocks it once took, so that with two of them one could have them all: each may
 * have QUEUE_SLOTS on their way, by what the consumer says.
 */
template <size_t L> struct sender {
    bulk<L> &q;
    moodycamel::ProducerToken token;
    uint64_t sent, seen;
    int id;
    bool counts;

    sender(void *self, const queue_run *run, int i)
        : q(*static_cast<bulk<L> *>(self)), token(q.queue), sent(0), seen(0), id(i),
          counts(run->senders > 1)
    {
    }
    bool room(uint64_t n)
    {
        if (!counts || sent + n - seen <= QUEUE_SLOTS)
            return true;
        seen = __atomic_load_n(&q.memory->taken[id], __ATOMIC_ACQUIRE);
        return sent + n - seen <= QUEUE_SLOTS;
    }
};

template <size_t L> struct receiver {
    bulk<L> &q;
    moodycamel::ConsumerToken token;
    uint64_t got, next[QUEUE_SENDERS_MAX];
    bool counts;

    receiver(void *self, const queue_run *run)
        : q(*static_cast<bulk<L> *>(self)), token(q.queue), got(0), next(), counts(run->senders > 1)
    {
    }
    void tell(const uint64_t *taken)
    {
        for (int id = 0; id < QUEUE_SENDERS_MAX; id++)
            __atomic_store_n(&q.memory->taken[id], taken[id], __ATOMIC_RELEASE);
    }
    void took(const void *msg)
    {
        uint64_t word;

        memcpy(&word, msg, sizeof(word));
        next[word >> 56] = (word & UINT64_MAX >> 8) + 1;
        if (++got % QUEUE_BUFFERS == 0)
            tell(next);
    }
};

template <size_t L> bool put(void *self, const void *msg, size_t)
{
    auto &s = *static_cast<sender<L> *>(self);

    if (!s.room(1) || !s.q.queue.try_enqueue(s.token, *static_cast<const message<L> *>(msg)))
        return false;
    s.sent++;
    return true;
}

template <size_t L> bool get(void *self, void *msg, size_t)
{
    auto &r = *static_cast<receiver<L> *>(self);

    if (!r.q.queue.try_dequeue(r.token, *static_cast<message<L> *>(msg)))
        return false;
    if (r.counts)
        r.took(msg);
    return true;
}

template <size_t L> unsigned put_some(void *self, const uint8_t *msgs, unsigned n, size_t)
{
    auto &s = *static_cast<sender<L> *>(self);
    auto m = reinterpret_cast<const message<L> *>(msgs);

    if (!s.room(n) || !s.q.queue.try_enqueue_bulk(s.token, m, n))
        return 0;
    s.sent += n;
    return n;
}

template <size_t L> unsigned drain(void *self, queue_check *c, size_t)
{
    __attribute__((aligned(64))) message<L> msgs[QUEUE_BATCH];
    auto &r = *static_cast<receiver<L> *>(self);
    const unsigned n =
        static_cast<unsigned>(r.q.queue.try_dequeue_bulk(r.token, msgs, QUEUE_BATCH));

    for (unsigned k = 0; k < n; k++)
        queue_take(c, msgs[k].bytes, L);
    if (r.counts && n > 0)
        r.tell(c->next);
    return n;
}

void use(void *self)
{
    current = *static_cast<arena **>(self);
}

void send(void *self, const queue_run *run, int id)
{
    use(self);
    by_size(run->payload, [=](auto l) {
        sender<l> s(self, run, id);
        queue_send_each(&s, run, id, l, put<l>);
    });
}

uint64_t receive(void *self, const queue_run *run)
{
    uint64_t got = 0;

    use(self);
    by_size(run->payload, [&](auto l) {
        receiver<l> r(self, run);
        got = queue_receive_each(&r, run, l, get<l>);
    });
    return got;
}

void send_bulk(void *self, const queue_run *run, int id)
{
    use(self);
    by_size(run->payload, [=](auto l) {
        sender<l> s(self, run, id);
        queue_send_some(&s, run, id, l, put_some<l>);
    });
}

uint64_t receive_bulk(void *self, const queue_run *run)
{
    uint64_t got = 0;

    use(self);
    by_size(run->payload, [&](auto l) {
        receiver<l> r(self, run);
        got = queue_receive_some(&r, run, l, drain<l>);
    });
    return got;
}

void trip(void *out, void *in, const queue_run *run, int id, bench_hist *hist)
{
    by_size(run->payload, [=](auto l) {
        use(out);
        sender<l> s(out, run, 0);
        use(in);
        receiver<l> r(in, run);
        queue_trips(&s, &r, run, id, hist, l, put<l>, get<l>);
    });
}

} // namespace

const queue queues_moody[] = {
    {.name = "moodycamel ConcurrentQueue",
     .use = QUEUE_MANY,
     .unordered = true,
     .make = make,
     .send = send,
     .receive = receive,
     .trip = trip,
     .unmake = unmake},
    {.name = "moodycamel ConcurrentQueue, bulk of 32",
     .use = QUEUE_MANY,
     .batched = true,
     .unordered = true,
     .make = make,
     .send = send_bulk,
     .receive = receive_bulk,
     .unmake = unmake},
    {.name = nullptr},
};
