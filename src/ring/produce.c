/*
 * Putting messages in: room, payload, the zero word behind, and then the one word that makes the
 * message exist.
 *
 * One producer needs no claim in shared memory: until that word is stored nothing has happened.
 * Many claim under put_lock: zero behind the claim, CLAIMED before it, the tail moved on, the lock
 * given back; consumers stop at CLAIMED, and pass it when its producer has died.
 */
#include "ring/produce.h"

#include <errno.h>
#include <stdlib.h>

/* A ring is nearly full with less than this part of it free; and for how many pauses it is left
 * alone. */
#define NEARLY_FULL 8u
#define BREATH      12

/* Messages up to this size are copied while put_lock is held: that is shorter than a second word.
 * */
#define COPY_LOCKED 256u

/* ---- room ----------------------------------------------------------------------------------- */

/* One who died holding put_lock may have claimed and not moved the tail: then a word is there. */
static int tail_mend(struct seglog_producer *p)
{
    struct ring_shared *shared = p->shared;
    uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    struct ring_word_facts facts;

    for (uint64_t walked = 0; walked <= p->size; walked += facts.span) {
        if (ring_word_decode(word_observe(p->data, p->mask, tail), p->size, &facts) < 0)
            return SEGLOG_ECORRUPT;
        if (facts.state == RING_EMPTY) {
            atomic_store_explicit(&shared->tail, tail, memory_order_relaxed);
            return 0;
        }
        tail += facts.span;
    }
    return SEGLOG_ECORRUPT;
}

/* 0, -EAGAIN, SEGLOG_ECORRUPT */
static int attempt_many(struct seglog_producer *p, uint64_t span, bool probe, uint64_t *pos)
{
    struct ring_shared *shared = p->shared;
    uint32_t dead;
    uint64_t at;
    int rc = ring_lock(p->ring, &shared->put_lock, &p->seat, &dead);

    if (rc < 0)
        return rc;
    if (rc == 1)
        rc = tail_mend(p);
    at = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    if (rc == 0 && at % RING_ALIGN != 0)
        rc = SEGLOG_ECORRUPT;
    if (rc == 0 && at - p->floor_seen + span + RING_WORD > p->size)
        rc = ring_room(p->ring, at, span, probe, &p->floor_seen);
    if (rc == 0) {
        word_prepare(ring_word_at(p->data, p->mask, at + span), 0);
        word_claim(ring_word_at(p->data, p->mask, at),
                   ring_word_claimed(p->seat.index, p->seat.gen, span));
        atomic_store_explicit(&shared->tail, at + span, memory_order_relaxed);
        *pos = at;
    }
    ring_unlock(&shared->put_lock);
    return rc;
}

static int attempt_one(struct seglog_producer *p, uint64_t span, bool probe, uint64_t *pos)
{
    const int rc = ring_room(p->ring, p->tail, span, probe, &p->floor_seen);

    p->soft_end = p->floor_seen + p->size - RING_WORD;
    *pos = p->tail;
    return rc;
}

struct attempt {
    struct seglog_producer *p;
    uint64_t span;
    uint64_t *pos;
};

static int attempt(void *context, bool probe)
{
    const struct attempt *a = context;

    probe = probe && ring_probe_is_due(&a->p->probe_ns);
    return a->p->many ? attempt_many(a->p, a->span, probe, a->pos)
                      : attempt_one(a->p, a->span, probe, a->pos);
}

static int overload(struct seglog_producer *p, struct attempt *a, uint32_t count,
                    uint64_t timeout_ns)
{
    const struct ring_wait wait = {.ring = p->ring,
                                   .bell = &p->shared->room.bell,
                                   .policy = p->wait,
                                   .look = attempt,
                                   .context = a};

    if (p->ring->facts.overload == SEGLOG_OVERLOAD_DROP) {
        atomic_fetch_add_explicit(&p->shared->dropped, count, memory_order_relaxed);
        return -ENOBUFS;
    }
    return timeout_ns == 0 ? -EAGAIN : ring_wait(&wait, timeout_ns);
}

/*
 * With hardly any room left, producer and consumer pass the line with the floor to and fro for
 * every message. Nobody is kept waiting by a producer that lets the consumer get ahead for a
 * moment: it is the consumer that all wait for.
 */
static void breathe(const struct seglog_producer *p, uint64_t end)
{
    if (p->ring->floor != FLOOR_CONSUMER || end - p->floor_seen <= p->size - p->size / NEARLY_FULL)
        return;
    for (int i = 0; i < BREATH; i++)
        cpu_pause();
}

int ring_claim_take(struct seglog_producer *p, uint64_t span, uint32_t count, uint64_t timeout_ns,
                    uint64_t *pos)
{
    struct attempt a = {.p = p, .span = span, .pos = pos};
    int rc;

    if (p->soft_end - p->tail >= span) {
        *pos = p->tail;
        return 0;
    }
    rc = attempt(&a, false);
    if (rc == 0)
        breathe(p, *pos + span);
    /* Before anything is dropped or waited for: is it one of the dead that is in the way? */
    if (rc == -EAGAIN)
        rc = attempt(&a, true);
    return rc == -EAGAIN ? overload(p, &a, count, timeout_ns) : rc;
}

/* ---- opening and closing -------------------------------------------------------------------- */

static int producer_start(struct seglog_ring *ring, struct seglog_producer *p)
{
    struct ring_tally floor, end;
    int rc = ring_map_writable(ring);

    if (rc < 0)
        return rc;
    rc = ring_seat_take(ring, RING_PLACE_PRODUCER, ring->many_producers ? 0 : RING_LOCK_PRODUCER, 0,
                        &p->seat);
    if (rc < 0)
        return rc;
    rc = ring_walk_to_end(ring, &floor, &end);
    if (rc < 0) {
        ring_seat_give(&p->seat, false);
        return rc;
    }
    p->ring = ring;
    p->lock_word = ring_lock_word(&p->seat);
    p->guard = ring->guard;
    p->data = ring->data_rw;
    p->size = ring->facts.size;
    p->mask = p->size - 1;
    p->shared = &ring->ctrl->shared;
    p->many = ring->many_producers;
    p->fence = ring->fence;
    p->max_len = p->size / 2 - RING_WORD;
    p->tail = end.pos;
    p->floor_seen = p->many ? end.pos - p->size : floor.pos; /* many: look first */
    p->soft_end = p->tail; /* many: for good, so that none ever ends before it */
    return 0;
}

int seglog_producer_open(struct seglog_ring *ring, const struct seglog_producer_options *options,
                         struct seglog_producer **out)
{
    static const struct seglog_producer_options plain;
    const struct seglog_producer_options *o = options ? options : &plain;
    struct seglog_producer *p;
    int rc;

    if (o->wait > SEGLOG_WAIT_SLEEP || o->reserved != 0)
        return -EINVAL;
    if (ring_is_forked(ring->guard))
        return SEGLOG_EFORKED;
    if (ring->flags & SEGLOG_RING_READ_ONLY)
        return -EACCES;
    p = aligned_alloc(64, align_up(sizeof(*p), 64));
    if (!p)
        return -ENOMEM;
    memset(p, 0, sizeof(*p));
    p->wait = o->wait;
    rc = producer_start(ring, p);
    if (rc < 0) {
        free(p);
        return rc;
    }
    ring_user(ring, 1);
    *out = p;
    return 0;
}

int seglog_producer_close(struct seglog_producer *p)
{
    if (!p)
        return 0;
    if (!ring_is_forked(p->guard)) {
        if (p->claim.count != 0)
            seglog_producer_abort(p);
        ring_seat_give(&p->seat, false);
        ring_user(p->ring, -1);
    }
    free(p);
    return 0;
}

/* ---- waiting for room ----------------------------------------------------------------------- */

/* As attempt(), and nothing is claimed. */
static int look_for_room(void *context, bool probe)
{
    const struct attempt *a = context;
    struct seglog_producer *p = a->p;
    uint64_t tail;
    uint32_t dead;
    int rc;

    probe = probe && ring_probe_is_due(&p->probe_ns);
    if (!p->many)
        return attempt_one(p, a->span, probe, &tail);
    rc = ring_lock(p->ring, &p->shared->put_lock, &p->seat, &dead);
    if (rc < 0)
        return rc;
    if (rc == 1)
        rc = tail_mend(p);
    tail = atomic_load_explicit(&p->shared->tail, memory_order_relaxed);
    if (rc == 0)
        rc = ring_room(p->ring, tail, a->span, probe, &p->floor_seen);
    ring_unlock(&p->shared->put_lock);
    return rc;
}

int seglog_producer_wait(struct seglog_producer *p, size_t len, uint64_t timeout_ns)
{
    struct attempt a = {.p = p, .span = ring_span(len, false)};
    const struct ring_wait wait = {.ring = p->ring,
                                   .bell = &p->shared->room.bell,
                                   .policy = p->wait,
                                   .look = look_for_room,
                                   .context = &a};

    if (ring_is_forked(p->guard))
        return SEGLOG_EFORKED;
    if (len > p->max_len)
        return -EMSGSIZE;
    return ring_wait(&wait, timeout_ns);
}

/* ---- copying -------------------------------------------------------------------------------- */

void ring_wake(struct bell *bell)
{
    bell_ring(bell);
}

int ring_put_slow(struct seglog_producer *p, const struct seglog_record *r, uint64_t timeout_ns)
{
    const bool stamped = r->time_ns != 0 || r->tag != 0;
    uint64_t span, pos;
    int rc = ring_refused(p, r->len, stamped);

    if (rc < 0)
        return rc;
    span = ring_span(r->len, stamped);
    rc = ring_claim_take(p, span, 1, timeout_ns, &pos);
    if (rc < 0)
        return rc;
    ring_fill(p, pos, r->data, r->len, stamped, r->time_ns, r->tag);
    ring_publish(p, pos, span, ring_word_data(r->len, stamped));
    return 0;
}

/*
 * One of many, with room and the lock to be had: all in one go, without CLAIMED. Killed before the
 * word, nothing has happened; killed before the tail, whoever takes the lock over finds the word.
 */
static inline __attribute__((always_inline)) bool
put_locked(struct seglog_producer *p, const void *data, size_t len, uint64_t span)
{
    struct ring_shared *shared = p->shared;
    uint64_t at;
    bool fits;

    if (!ring_lock_try(&shared->put_lock, p->lock_word))
        return false;
    at = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    fits = at - p->floor_seen + span + RING_WORD <= p->size && at % RING_ALIGN == 0;
    if (fits) {
        word_prepare(ring_word_at(p->data, p->mask, at + span), 0);
        ring_copy_in(p->data + (at & p->mask) + RING_WORD, data, len);
        word_publish(ring_word_at(p->data, p->mask, at), ring_word_data(len, false));
        atomic_store_explicit(&shared->tail, at + span, memory_order_relaxed);
    }
    ring_unlock(&shared->put_lock);
    if (fits)
        ring_tell(p);
    return fits;
}

/* All but the most common case. */
static __attribute__((noinline)) int put_other(struct seglog_producer *p, const void *data,
                                               size_t len, uint64_t timeout_ns)
{
    const struct seglog_record record = {.data = data, .len = len};

    if (p->many && len <= COPY_LOCKED && ring_refused(p, len, false) == 0 &&
        put_locked(p, data, len, ring_span(len, false)))
        return 0;
    return ring_put_slow(p, &record, timeout_ns);
}

/* The most common case by itself: short, of the only producer, and there is room. */
int seglog_producer_put(struct seglog_producer *p, const void *data, size_t len,
                        uint64_t timeout_ns)
{
    const uint64_t span = ring_span(len, false);
    const uint64_t pos = p->tail;
    uint8_t *to = p->data + (pos & p->mask);

    if (__builtin_expect(len > RING_COPY_SMALL || p->soft_end - pos < span || p->claim.count != 0 ||
                             ring_is_forked(p->guard),
                         0))
        return put_other(p, data, len, timeout_ns);
    p->tail = pos + span;
    word_prepare(ring_word_at(p->data, p->mask, pos + span), 0);
    ring_copy_small(to + RING_WORD, data, len);
    word_publish(ring_word_at(p->data, p->mask, pos), ring_word_data(len, false));
    ring_tell(p);
    return 0;
}

int seglog_producer_put_record(struct seglog_producer *p, const struct seglog_record *record,
                               uint64_t timeout_ns)
{
    return ring_put_slow(p, record, timeout_ns);
}

int seglog_producer_putv(struct seglog_producer *p, const struct iovec *iov, int n,
                         uint64_t time_ns, uint32_t tag, uint64_t timeout_ns)
{
    const bool stamped = time_ns != 0 || tag != 0;
    uint64_t len = 0, pos;
    uint8_t *to;
    int rc;

    if (n < 0)
        return -EINVAL;
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > p->max_len - len)
            return -EMSGSIZE;
        len += iov[i].iov_len;
    }
    rc = ring_refused(p, len, stamped);
    if (rc == 0)
        rc = ring_claim_take(p, ring_span(len, stamped), 1, timeout_ns, &pos);
    if (rc < 0)
        return rc;
    to = ring_fill(p, pos, NULL, 0, stamped, time_ns, tag);
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > 0)
            memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    ring_publish(p, pos, ring_span(len, stamped), ring_word_data(len, stamped));
    return 0;
}
