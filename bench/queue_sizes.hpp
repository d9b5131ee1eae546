/*
 * Queues whose message type is fixed when they are compiled: a type for each size that is measured.
 */
#ifndef BENCH_QUEUE_SIZES_HPP
#define BENCH_QUEUE_SIZES_HPP

#include "queue.h"

#include <type_traits>

template <size_t L> struct message {
    uint8_t bytes[L];
};

/* Call f with the size as a constant. */
template <class F> void by_size(size_t payload, F f)
{
    switch (payload) {
    case 8:
        f(std::integral_constant<size_t, 8>());
        break;
    case 64:
        f(std::integral_constant<size_t, 64>());
        break;
    case 256:
        f(std::integral_constant<size_t, 256>());
        break;
    default:
        f(std::integral_constant<size_t, QUEUE_PAYLOAD_MAX>());
        break;
    }
}

#endif
