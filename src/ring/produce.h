/*
 * What the ways of putting a message in share: refusing, filling, publishing.
 */
#ifndef RING_PRODUCE_H
#define RING_PRODUCE_H

#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>
#include <string.h>

/* Copies up to this many bytes are made without a call. */
#define RING_COPY_SMALL 128u

static inline __attribute__((always_inline)) void ring_copy16(uint8_t *dst, const uint8_t *src)
{
    memcpy(dst, src, 16);
}

/*
 * At most RING_COPY_SMALL bytes, the last ones first: a consumer that waits asks for the line with
 * the message's word all the time, and each store to it may have to fetch it back. So what shares
 * that line with the word is stored last, just before it.
 */
static inline __attribute__((always_inline)) void ring_copy_small(uint8_t *dst, const uint8_t *src,
                                                                  size_t len)
{
    if (len > 64) {
        ring_copy16(dst + len - 16, src + len - 16);
        ring_copy16(dst + len - 32, src + len - 32);
        ring_copy16(dst + len - 48, src + len - 48);
        ring_copy16(dst + len - 64, src + len - 64);
        atomic_signal_fence(memory_order_seq_cst);
        ring_copy16(dst + 48, src + 48);
        ring_copy16(dst + 32, src + 32);
        ring_copy16(dst + 16, src + 16);
        ring_copy16(dst, src);
    } else if (len > 32) {
        ring_copy16(dst + len - 16, src + len - 16);
        ring_copy16(dst + len - 32, src + len - 32);
        atomic_signal_fence(memory_order_seq_cst);
        ring_copy16(dst + 16, src + 16);
        ring_copy16(dst, src);
    } else if (len > 16) {
        ring_copy16(dst + len - 16, src + len - 16);
        ring_copy16(dst, src);
    } else if (len >= 8) {
        memcpy(dst + len - 8, src + len - 8, 8);
        memcpy(dst, src, 8);
    } else if (len >= 4) {
        memcpy(dst + len - 4, src + len - 4, 4);
        memcpy(dst, src, 4);
    } else if (len > 0) {
        dst[len - 1] = src[len - 1];
        dst[len / 2] = src[len / 2];
        dst[0] = src[0];
    }
}

static inline __attribute__((always_inline)) void ring_copy_in(uint8_t *dst, const void *data,
                                                               size_t len)
{
    const uint8_t *src = data;

    if (__builtin_expect(len <= RING_COPY_SMALL, 1)) {
        ring_copy_small(dst, src, len);
        return;
    }
    memcpy(dst + 64, src + 64, len - 64);
    atomic_signal_fence(memory_order_seq_cst);
    ring_copy_small(dst, src, 64);
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

/* The same of a batch of n, before its lengths are looked at. */
static inline int ring_batch_refused(const struct seglog_producer *p, size_t n)
{
    if (n == 0)
        return -EINVAL;
    if (n > SEGLOG_RING_BATCH_MAX)
        return -EMSGSIZE;
    return ring_refused(p, 0, false);
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

/* Out of the way, so that who publishes needs no registers saved. */
void ring_wake(struct bell *bell);

static inline void ring_tell(struct seglog_producer *p)
{
    if (__builtin_expect(bell_is_awaited(&p->shared->data.bell, p->fence), 0))
        ring_wake(&p->shared->data.bell);
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
