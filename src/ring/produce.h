/*
 * What the ways of putting a message in share: refusing, filling, publishing.
 */
#ifndef RING_PRODUCE_H
#define RING_PRODUCE_H

#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>
#include <string.h>

/* Small copies without a call. */
static inline __attribute__((always_inline)) void ring_copy_in(uint8_t *dst, const void *data,
                                                               size_t len)
{
    const uint8_t *src = data;

    if (len >= 8 && len <= 16) {
        uint64_t a, b;

        memcpy(&a, src, 8);
        memcpy(&b, src + len - 8, 8);
        memcpy(dst, &a, 8);
        memcpy(dst + len - 8, &b, 8);
    } else if (len > 0) {
        memcpy(dst, src, len);
    }
}

/* Why no message of this length can be put in now, or 0. */
static inline int ring_refused(const struct seglog_producer *p, uint64_t len, bool stamped)
{
    if (ring_is_forked(p->guard))
        return SEGLOG_EFORKED;
    if (p->claim.count != 0)
        return -EBUSY;
    if (len > p->max_len - (stamped ? RING_STAMP : 0))
        return -EMSGSIZE;
    return 0;
}

/* Stamp and payload of the message at pos; where the payload begins. Both mappings in a row:
 * nothing wraps. */
static inline uint8_t *ring_fill(struct seglog_producer *p, uint64_t pos, const void *data,
                                 uint64_t len, bool stamped, uint64_t time_ns, uint32_t tag)
{
    uint8_t *to = p->data + (pos & p->mask) + RING_WORD;

    if (stamped) {
        const uint64_t wide = tag;

        memcpy(to, &time_ns, sizeof(time_ns));
        memcpy(to + 8, &wide, sizeof(wide));
        to += RING_STAMP;
    }
    ring_copy_in(to, data, len);
    return to;
}

static inline void ring_tell(struct seglog_producer *p)
{
    if (__builtin_expect(bell_is_awaited(&p->shared->data.bell, p->fence), 0))
        bell_ring(&p->shared->data.bell);
}

/* The message (or the first of a batch) of [pos, pos + span) comes to exist. */
static inline void ring_publish(struct seglog_producer *p, uint64_t pos, uint64_t span,
                                uint64_t word)
{
    if (!p->many) {
        word_prepare(ring_word_at(p->data, p->mask, pos + span), 0);
        p->tail = pos + span;
    }
    word_publish(ring_word_at(p->data, p->mask, pos), word);
    ring_tell(p);
}

int ring_put_slow(struct seglog_producer *p, const struct seglog_record *r, uint64_t timeout_ns);

#endif
