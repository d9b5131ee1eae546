/*
 * Taking messages out: opening, closing, and the way of those whom nobody can overtake.
 *
 * The one consumer of a ring that is not overwritten, and each of a broadcast's, hands out pointers
 * into the ring: nobody writes there until it has said that it is done. The word before a message
 * is where it looks, so a message and the news of it come over in one line.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening and closing -------------------------------------------------------------------- */

static int check_consumer(const struct seglog_ring *ring, const struct seglog_consumer_options *o)
{
    const bool observes = o->flags & SEGLOG_CONSUMER_OBSERVE;

    if (o->wait > SEGLOG_WAIT_SLEEP || (o->flags & ~SEGLOG_CONSUMER_OBSERVE) || o->reserved != 0)
        return -EINVAL;
    if (o->from != SEGLOG_PLACE_FIRST && o->from != SEGLOG_PLACE_END)
        return -EINVAL;
    if (o->from == SEGLOG_PLACE_END && !observes && ring->facts.kind != SEGLOG_RING_BROADCAST)
        return -EINVAL;
    if (ring_is_forked(ring->guard))
        return SEGLOG_EFORKED;
    if ((ring->flags & SEGLOG_RING_READ_ONLY) && !observes &&
        !(ring->facts.kind == SEGLOG_RING_BROADCAST && ring->floor == FLOOR_ANY))
        return -EACCES;
    return 0;
}

static void stand_at(struct seglog_consumer *c, const struct ring_tally *at)
{
    c->pos = c->released = at->pos;
    c->records = at->records;
    c->bytes = at->bytes;
}

/* A broadcast's: say where we stand, then see whether the floor has not gone past it meanwhile. */
static int enter(struct seglog_ring *ring, struct seglog_consumer *c)
{
    struct ring_tally floor;
    int rc;

    if (!mark_load(&ring->ctrl->shared.floor, &floor))
        return SEGLOG_ECORRUPT;
    rc = ring_seat_take(ring, RING_PLACE_CONSUMER, 0, floor.pos, &c->seat);
    while (rc == 0) {
        place_enter();
        if (mark_pos(&ring->ctrl->shared.floor) == floor.pos)
            break;
        if (!mark_load(&ring->ctrl->shared.floor, &floor))
            rc = SEGLOG_ECORRUPT;
        place_release(c->seat.place, floor.pos);
    }
    if (rc == 0)
        stand_at(c, &floor);
    else
        ring_seat_give(&c->seat, false);
    return rc;
}

static int start_mark(struct seglog_ring *ring, struct seglog_consumer *c)
{
    struct ring_tally at;
    int rc = ring_seat_take(ring, RING_PLACE_CONSUMER, RING_LOCK_CONSUMER, 0, &c->seat);

    if (rc < 0)
        return rc;
    if (!mark_load(&ring->ctrl->shared.consumer, &at) || at.pos % RING_ALIGN != 0) {
        ring_seat_give(&c->seat, false);
        return SEGLOG_ECORRUPT;
    }
    stand_at(c, &at);
    c->turn = mark_turn(&ring->ctrl->shared.consumer);
    return 0;
}

static int start_from(struct seglog_ring *ring, struct seglog_consumer *c, uint32_t from)
{
    struct ring_tally floor, end;
    int rc = ring_walk_to_end(ring, &floor, &end);

    if (rc == 0)
        stand_at(c, from == SEGLOG_PLACE_END ? &end : &floor);
    return rc;
}

/* Copies go to memory that any message fits into; pages of it that are not used cost nothing. */
static int arena_make(struct seglog_consumer *c)
{
    c->arena = malloc(c->size / 2);
    return c->arena ? 0 : -ENOMEM;
}

static int consumer_start(struct seglog_ring *ring, struct seglog_consumer *c,
                          const struct seglog_consumer_options *o)
{
    const uint32_t kind = ring->facts.kind;
    int rc = 0;

    c->ring = ring;
    c->guard = ring->guard;
    c->data = ring->data;
    c->size = ring->facts.size;
    c->mask = c->size - 1;
    c->shared = &ring->ctrl->shared;
    c->fence = ring->fence;
    c->wait = o->wait;
    c->flags = o->flags;
    c->saves = false;
    c->word_seen = ring_word_data(0, false);
    c->span_seen = ring_span(0, false);
    if ((o->flags & SEGLOG_CONSUMER_OBSERVE) ||
        (kind == SEGLOG_RING_BROADCAST && ring->floor == FLOOR_ANY)) {
        c->way = WAY_COPY;
        /* A broadcast's that is not waited for has a place only to be seen. */
        if (!(o->flags & SEGLOG_CONSUMER_OBSERVE) && !(ring->flags & SEGLOG_RING_READ_ONLY))
            rc = ring_seat_take(ring, RING_PLACE_CONSUMER, 0, 0, &c->seat);
        if (rc == 0)
            rc = start_from(ring, c, o->from);
    } else if (kind == SEGLOG_RING_BROADCAST) {
        c->way = WAY_PLACE;
        rc = enter(ring, c);
        if (rc == 0 && o->from == SEGLOG_PLACE_END)
            rc = start_from(ring, c, o->from); /* nothing gives way behind our place */
        if (rc == 0)
            place_release(c->seat.place, c->pos);
    } else if (kind == SEGLOG_RING_WORK) {
        c->way = WAY_WORK;
        rc = ring_map_writable(ring);
        if (rc == 0)
            rc = ring_seat_take(ring, RING_PLACE_CONSUMER, 0, 0, &c->seat);
        c->data = ring->data_rw;
    } else {
        c->way = ring->floor == FLOOR_ANY ? WAY_COPY : WAY_MARK;
        c->saves = c->way == WAY_COPY;
        rc = start_mark(ring, c);
    }
    if (rc == 0 && c->way == WAY_COPY)
        rc = arena_make(c);
    if (rc < 0)
        ring_seat_give(&c->seat, false);
    c->place = c->seat.place;
    return rc;
}

int seglog_consumer_open(struct seglog_ring *ring, const struct seglog_consumer_options *options,
                         struct seglog_consumer **out)
{
    static const struct seglog_consumer_options plain;
    const struct seglog_consumer_options *o = options ? options : &plain;
    struct seglog_consumer *c;
    int rc = check_consumer(ring, o);

    if (rc < 0)
        return rc;
    c = aligned_alloc(64, align_up(sizeof(*c), 64));
    if (!c)
        return -ENOMEM;
    memset(c, 0, sizeof(*c));
    c->seat.owner = OWNER_NONE;
    rc = consumer_start(ring, c, o);
    if (rc < 0) {
        free(c->arena);
        free(c);
        return rc;
    }
    ring_user(ring, 1);
    *out = c;
    return 0;
}

int seglog_consumer_close(struct seglog_consumer *c)
{
    if (!c)
        return 0;
    if (!ring_is_forked(c->guard)) {
        const bool dirty = c->way == WAY_WORK && c->from != c->to;

        ring_event_free(c->event);
        ring_seat_give(&c->seat, dirty);
        if (dirty)
            bell_ring(&c->shared->data.bell);
        /* A broadcast's: those behind it were held back by it. */
        if (c->way == WAY_PLACE && bell_is_awaited(&c->shared->room.bell, c->fence))
            bell_ring(&c->shared->room.bell);
        ring_user(c->ring, -1);
    }
    free(c->arena);
    free(c);
    return 0;
}

/* ---- straight out of the ring --------------------------------------------------------------- */

/* Step over what is no message. 0: a message is at pos; -EAGAIN: nothing; SEGLOG_ECORRUPT */
static int step_over(struct seglog_consumer *c, bool probe)
{
    struct ring_word_facts facts;

    for (;;) {
        if (ring_word_decode(word_observe(c->data, c->mask, c->pos), c->size, &facts) < 0)
            return SEGLOG_ECORRUPT;
        if (c->pos - c->released > c->size)
            return SEGLOG_ECORRUPT;
        switch (facts.state) {
        case RING_DATA:
            return 0;
        case RING_EMPTY:
            return -EAGAIN;
        case RING_PAD:
            break;
        case RING_CLAIMED:
            if (!probe || !ring_probe_is_due(&c->probe_ns) || !ring_claim_is_dead(c->ring, &facts))
                return -EAGAIN;
            /* It may have committed just before it died. */
            if (ring_word_is_data(word_observe(c->data, c->mask, c->pos)))
                continue;
            c->probe_ns = 0; /* another one of the dead may follow */
            break;
        default:
            return SEGLOG_ECORRUPT;
        }
        c->pos += facts.span;
    }
}

int ring_look_direct(struct seglog_consumer *c, bool probe)
{
    const int rc = step_over(c, probe);

    /* What was stepped over is room for those who wait for it. */
    if (rc == -EAGAIN && c->out == 0 && c->pos != c->released)
        seglog_consumer_release(c);
    return rc == -EAGAIN ? rc : 0;
}

/* Nothing there, and nothing stepped over that was to be given back: what who polls sees mostly. The
 * sooner it looks again, the sooner it sees the message. */
static inline bool is_idle(const struct seglog_consumer *c, uint64_t word)
{
    return word == 0 && c->pos == c->released;
}

int ring_find_direct(struct seglog_consumer *c, uint64_t *word)
{
    int rc;

    if (is_idle(c, *word))
        return -EAGAIN;
    rc = step_over(c, true);
    if (rc == 0)
        *word = word_observe(c->data, c->mask, c->pos);
    else if (rc == -EAGAIN)
        ring_look_direct(c, false);
    return rc;
}

int ring_next_direct(struct seglog_consumer *c, struct seglog_view *out, int max)
{
    uint64_t pos = c->pos, records = c->records, bytes = c->bytes, span = 0;
    uint64_t word = word_observe(c->data, c->mask, pos), last = 0;
    int n = 0;

    if (__builtin_expect(!ring_word_is_data(word), 0)) {
        const int rc = ring_find_direct(c, &word);

        if (rc < 0)
            return rc;
        pos = c->pos;
    }
    do {
        /* A branch, not arithmetic: messages of one length are then found without waiting for
         * words. */
        if (word != last) {
            span = ring_word_span(word);
            last = word;
            __asm__ volatile("" : "+r"(span));
        }
        if (__builtin_expect(span > c->size / 2 || pos + span - c->released > c->size, 0))
            break;
        ring_view(&out[n], word, c->data + (pos & c->mask), records);
        records++;
        bytes += word >> 32;
        pos += span;
        if (++n == max)
            break;
        word = word_observe(c->data, c->mask, pos);
    } while (ring_word_is_data(word));
    if (__builtin_expect(n == 0, 0))
        return SEGLOG_ECORRUPT;
    c->pos = pos;
    c->records = records;
    c->bytes = bytes;
    c->out += (uint64_t)n;
    return n;
}

/* ---- the public calls ----------------------------------------------------------------------- */

static int next_some(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike)
{
    switch (c->way) {
    case WAY_COPY:
        return ring_next_copy(c, out, max, alike);
    case WAY_WORK:
        return ring_next_work(c, out, max, alike);
    default:
        return alike ? ring_run_direct(c, out, max) : ring_next_direct(c, out, max);
    }
}

int ring_take(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike)
{
    int rc;

    if (__builtin_expect(ring_is_forked(c->guard), 0))
        return SEGLOG_EFORKED;
    if (__builtin_expect(max < 1, 0))
        return -EINVAL;
    if (max > (int)SEGLOG_RING_BATCH_MAX)
        max = (int)SEGLOG_RING_BATCH_MAX;
    rc = next_some(c, out, max, alike);
    if (__builtin_expect(rc == -EAGAIN && c->event, 0)) {
        ring_event_arm(c);
        if (ring_look(c, false) == 0) /* it came while we turned round */
            rc = next_some(c, out, max, alike);
    }
    return rc;
}

int seglog_consumer_batch(struct seglog_consumer *c, struct seglog_view *out, int max)
{
    return ring_take(c, out, max, false);
}

/* All but the most common case of next. */
static __attribute__((noinline)) int next_other(struct seglog_consumer *c, struct seglog_view *out)
{
    const int rc = ring_take(c, out, 1, false);

    return rc > 0 ? 0 : rc;
}

int seglog_consumer_next(struct seglog_consumer *c, struct seglog_view *out)
{
    const uint64_t pos = c->pos;
    uint64_t word;

    /* The most common case by itself: a plain message, there already, straight out of the ring. */
    if (__builtin_expect(c->way > WAY_PLACE || ring_is_forked(c->guard), 0))
        return next_other(c, out);
    word = word_observe(c->data, c->mask, pos);
    if (word != c->word_seen) {
        if (is_idle(c, word) && !c->event)
            return -EAGAIN;
        if (!ring_word_is_data(word) || ring_word_span(word) > c->size / 2)
            return next_other(c, out);
        c->word_seen = word;
        c->span_seen = ring_word_span(word);
    }
    /* The span of the message before, not one worked out from this word: the processor then looks
     * for the next message without waiting for this one. */
    if (__builtin_expect(pos + c->span_seen - c->released > c->size, 0))
        return next_other(c, out);
    ring_view(out, word, c->data + (pos & c->mask), c->records);
    c->pos = pos + c->span_seen;
    c->records++;
    c->bytes += word >> 32;
    c->out++;
    return 0;
}

static __attribute__((noinline)) void release_other(struct seglog_consumer *c)
{
    switch (c->way) {
    case WAY_PLACE:
        place_release(c->place, c->pos);
        break;
    case WAY_WORK:
        ring_release_work(c);
        break;
    case WAY_COPY:
        c->arena_used = 0;
        if (c->saves && c->pos != c->released)
            mark_store(&c->shared->consumer, &c->turn, c->pos, c->records, c->bytes);
        break;
    default:
        break;
    }
}

/* Somebody waits for room. */
static __attribute__((noinline)) void wake_producers(struct seglog_consumer *c)
{
    bell_ring(&c->shared->room.bell);
}

void seglog_consumer_release(struct seglog_consumer *c)
{
    if (__builtin_expect(ring_is_forked(c->guard), 0))
        return;
    c->out = 0;
    if (__builtin_expect(c->way != WAY_MARK, 0)) {
        release_other(c);
        if (c->way == WAY_COPY) { /* nobody waits for it */
            c->released = c->pos;
            return;
        }
    } else if (c->pos != c->released) {
        mark_store(&c->shared->consumer, &c->turn, c->pos, c->records, c->bytes);
    } else {
        return;
    }
    c->released = c->pos;
    if (__builtin_expect(bell_is_awaited(&c->shared->room.bell, c->fence), 0))
        wake_producers(c);
}

int seglog_consumer_get(struct seglog_consumer *c, void *buf, size_t *len)
{
    const uint64_t pos = c->pos, records = c->records, bytes = c->bytes;
    struct seglog_view view;
    const size_t room = *len;
    int rc;

    if (c->out != 0)
        return -EBUSY;
    rc = seglog_consumer_next(c, &view);
    if (rc < 0)
        return rc;
    *len = view.len;
    if (view.len > room) {
        if (c->way == WAY_WORK)
            ring_keep_work(c);
        /* As if it had never been handed out. */
        c->pos = pos;
        c->records = records;
        c->bytes = bytes;
        c->arena_used = 0;
        c->out = 0;
        return -EMSGSIZE;
    }
    if (view.len > 0)
        memcpy(buf, view.data, view.len);
    seglog_consumer_release(c);
    return 0;
}

int seglog_consumer_lost(const struct seglog_consumer *c, struct seglog_ring_loss *out)
{
    *out = c->loss;
    return 0;
}

int ring_look(void *consumer, bool probe)
{
    struct seglog_consumer *c = consumer;

    switch (c->way) {
    case WAY_COPY:
        return ring_look_copy(c, probe);
    case WAY_WORK:
        return ring_look_work(c, probe);
    default:
        return ring_look_direct(c, probe);
    }
}

/* With nothing at all to see, whoever puts something in rings. Of work that the dead leave nobody
 * tells. */
static bool may_sleep_in(void *consumer)
{
    struct seglog_consumer *c = consumer;

    return c->way != WAY_WORK && word_observe(c->data, c->mask, c->pos) == 0;
}

int seglog_consumer_wait(struct seglog_consumer *c, uint64_t timeout_ns)
{
    const struct ring_wait wait = {.ring = c->ring,
                                   .bell = &c->shared->data.bell,
                                   .policy = c->wait,
                                   .look = ring_look,
                                   .may_sleep_in = may_sleep_in,
                                   .context = c};

    if (ring_is_forked(c->guard))
        return SEGLOG_EFORKED;
    return ring_wait(&wait, timeout_ns);
}
