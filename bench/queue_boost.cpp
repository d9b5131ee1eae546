/*
 * Boost's queues (libboost-dev) between processes, for ring.c: lockfree::spsc_queue one at a time and
 * batched, lockfree::queue, interprocess::message_queue.
 */
#include "queue_sizes.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <new>
#include <string>
#include <unistd.h>

namespace
{

/* ---- lockfree --------------------------------------------------------------------------------- */

using boost::lockfree::capacity;
template <size_t L> using one = boost::lockfree::spsc_queue<message<L>, capacity<QUEUE_SLOTS>>;
template <size_t L> using many = boost::lockfree::queue<message<L>, capacity<QUEUE_SLOTS>>;

/* The memory of the largest, whatever the size. */
template <template <size_t> class Q> void *make(const queue_run *run)
{
    void *at = bench_shared(sizeof(Q<QUEUE_PAYLOAD_MAX>));

    by_size(run->payload, [=](auto l) { new (at) Q<l>; });
    return at;
}

template <template <size_t> class Q> void unmake(void *self)
{
    bench_unmap(self, sizeof(Q<QUEUE_PAYLOAD_MAX>));
}

template <template <size_t> class Q, size_t L> Q<L> &the(void *self)
{
    return *static_cast<Q<L> *>(self);
}

template <template <size_t> class Q, size_t L> bool push(void *self, const void *msg, size_t)
{
    return the<Q, L>(self).push(*static_cast<const message<L> *>(msg));
}

template <template <size_t> class Q, size_t L> bool pop(void *self, void *msg, size_t)
{
    return the<Q, L>(self).pop(*static_cast<message<L> *>(msg));
}

template <size_t L> unsigned push_some(void *self, const uint8_t *msgs, unsigned n, size_t)
{
    const message<L> *m = reinterpret_cast<const message<L> *>(msgs);

    return static_cast<unsigned>(the<one, L>(self).push(m, n));
}

template <size_t L> unsigned consume(void *self, queue_check *c, size_t)
{
    auto take = [c](const message<L> &m) { queue_take(c, m.bytes, L); };

    return static_cast<unsigned>(the<one, L>(self).consume_all(take));
}

template <template <size_t> class Q> void send(void *self, const queue_run *run, int id)
{
    by_size(run->payload, [=](auto l) { queue_send_each(self, run, id, l, push<Q, l>); });
}

template <template <size_t> class Q> uint64_t receive(void *self, const queue_run *run)
{
    uint64_t got = 0;

    by_size(run->payload, [&](auto l) { got = queue_receive_each(self, run, l, pop<Q, l>); });
    return got;
}

template <template <size_t> class Q>
void trip(void *out, void *in, const queue_run *run, int id, bench_hist *hist)
{
    by_size(run->payload,
            [=](auto l) { queue_trips(out, in, run, id, hist, l, push<Q, l>, pop<Q, l>); });
}

void send_batches(void *self, const queue_run *run, int id)
{
    by_size(run->payload, [=](auto l) { queue_send_some(self, run, id, l, push_some<l>); });
}

uint64_t receive_batches(void *self, const queue_run *run)
{
    uint64_t got = 0;

    by_size(run->payload, [&](auto l) { got = queue_receive_some(self, run, l, consume<l>); });
    return got;
}

/* ---- message_queue ---------------------------------------------------------------------------- */

using boost::interprocess::create_only;
using boost::interprocess::message_queue;

void *make_mq(const queue_run *run)
{
    static int number;
    const std::string name =
        "seglog-bench-" + std::to_string(getpid()) + "-" + std::to_string(number++);
    message_queue *q = new message_queue(create_only, name.c_str(), QUEUE_SLOTS, run->payload);

    message_queue::remove(name.c_str());
    return q;
}

void unmake_mq(void *self)
{
    delete static_cast<message_queue *>(self);
}

bool mq_put(void *self, const void *msg, size_t len)
{
    return static_cast<message_queue *>(self)->try_send(msg, len, 0);
}

bool mq_get(void *self, void *msg, size_t len)
{
    message_queue::size_type got;
    unsigned priority;

    return static_cast<message_queue *>(self)->try_receive(msg, len, got, priority);
}

QUEUE_STREAM(mq, queue_send_each, mq_put, queue_receive_each, mq_get)
QUEUE_TRIP(mq, mq_put, mq_get)

} // namespace

const queue queues_boost[] = {
    {.name = "boost spsc_queue",
     .use = QUEUE_ONE,
     .make = make<one>,
     .send = send<one>,
     .receive = receive<one>,
     .trip = trip<one>,
     .unmake = unmake<one>},
    {.name = "boost spsc_queue, push of 32, consume_all",
     .use = QUEUE_ONE,
     .batched = true,
     .make = make<one>,
     .send = send_batches,
     .receive = receive_batches,
     .unmake = unmake<one>},
    {.name = "boost lockfree::queue",
     .use = QUEUE_MANY,
     .make = make<many>,
     .send = send<many>,
     .receive = receive<many>,
     .trip = trip<many>,
     .unmake = unmake<many>},
    {.name = "boost message_queue",
     .use = QUEUE_MANY,
     .make = make_mq,
     .send = mq_send,
     .receive = mq_receive,
     .trip = mq_trip,
     .unmake = unmake_mq},
    {.name = nullptr},
};
