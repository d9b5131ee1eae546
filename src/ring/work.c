/*
 * Work: each message to one of many consumers, and again to another when that one dies.
 *
 * Under take_lock a consumer first writes into its place which positions it takes, then moves
 * `take` on. What it has finished it marks DONE, word by word, and then clears its place; producers
 * move the floor over what is DONE. A consumer that dies leaves its place as it is: whoever finds
 * it, under the lock and by proof, writes the same positions into its own place and then clears the
 * other. Killed in between, both places name them; that is put right by whoever looks next.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>

/* Takes until the dead are asked for, though there is fresh work. */
#define CALLS_TO_PROBE 1024u

struct range {
    uint64_t from;
    uint64_t to;
};

static struct range range_load(const struct ring_place *place)
{
    struct ring_place *p = (struct ring_place *)(uintptr_t)place;

    return (struct range){
        .from = atomic_load_explicit(&p->from, memory_order_acquire),
        .to = atomic_load_explicit(&p->to, memory_order_acquire),
    };
}

/* ORDER place.take -> take.publish: whoever sees `take` moved on sees who has it. */
static void range_store(struct ring_place *place, struct range r)
{
    atomic_store_explicit(&place->to, r.to, memory_order_release);
    atomic_store_explicit(&place->from, r.from, memory_order_release);
}

static void range_clear(struct ring_place *place)
{
    place_release(place, atomic_load_explicit(&place->to, memory_order_relaxed));
}

/* Does it name positions that were taken? Anything else was never finished, or is nothing. */
static bool range_is_taken(const struct seglog_ring *ring, struct range r, uint64_t take)
{
    return r.from != r.to && r.to - r.from <= ring->facts.size && take - r.to <= ring->facts.size &&
           r.from % RING_ALIGN == 0 && r.to % RING_ALIGN == 0;
}

static bool overlaps(struct range a, struct range b)
{
    return a.from != a.to && b.from != b.to && (int64_t)(a.from - b.to) < 0 &&
           (int64_t)(b.from - a.to) < 0;
}

/* ---- under the lock ------------------------------------------------------------------------- */

static int take_lock(struct seglog_consumer *c)
{
    struct ring_shared *shared = c->shared;
    uint32_t dead;
    const int rc = ring_lock(c->ring, &shared->take_lock, &c->seat, &dead);

    if (rc == 1) {
        /* It may have named what it did not come to take. */
        struct ring_place *place = &c->ring->ctrl->places[dead];
        const uint64_t take = atomic_load_explicit(&shared->take, memory_order_relaxed);

        if (!range_is_taken(c->ring, range_load(place), take))
            range_clear(place);
        return 0;
    }
    return rc;
}

/* What a call wants. */
struct wants {
    struct seglog_view *out;
    int max;
    bool alike; /* ring_is_alike(): one view is enough for all */
};

/*
 * Make views of the messages in [from, *to) that are not done; at most what is wanted, and then *to
 * is where they end. The number of them, or SEGLOG_ECORRUPT.
 */
static int views_make(struct seglog_consumer *c, uint64_t from, uint64_t *to, bool again,
                      const struct wants *w)
{
    uint64_t first = 0;
    int n = 0;

    while (from != *to && n < w->max) {
        struct ring_word_facts facts;
        const uint64_t word = word_observe(c->data, c->mask, from);

        if (ring_word_decode(word, c->size, &facts) < 0 || facts.state == RING_EMPTY ||
            facts.span > *to - from)
            return SEGLOG_ECORRUPT;
        /* What is none, in between, ends a run, too. */
        if (w->alike && n > 0 && !ring_is_alike(first, word))
            break;
        if (facts.state == RING_DATA) {
            if (n == 0)
                first = word;
            if (n == 0 || !w->alike) {
                ring_view(&w->out[n], word, c->data + (from & c->mask), from);
                w->out[n].flags = again ? SEGLOG_VIEW_REDELIVERED : 0;
            }
            n++;
        }
        from += facts.span;
    }
    *to = from;
    return n;
}

/*
 * Move *from to the first message that is not done; to `to` if there is none. A consumer marks what
 * it has from the front, and may die between that and clearing its place. What is done gives way,
 * and anybody's payload may be there by now: the floor says so (copy.check). What is not done stays.
 */
static int skip_done(const struct seglog_consumer *c, uint64_t *from, uint64_t to)
{
    while (*from != to) {
        struct ring_word_facts facts;
        const int rc = ring_word_decode(word_observe(c->data, c->mask, *from), c->size, &facts);
        uint64_t floor;

        if (floor_passed(&c->shared->floor, *from, &floor)) {
            if (floor % RING_ALIGN != 0)
                return SEGLOG_ECORRUPT;
            *from = (int64_t)(floor - to) >= 0 ? to : floor;
            continue;
        }
        if (rc < 0 || facts.state == RING_EMPTY || facts.span > to - *from)
            return SEGLOG_ECORRUPT;
        if (facts.state == RING_DATA)
            break;
        *from += facts.span;
    }
    return 0;
}

/* Where the next message is that nobody has; what is none is passed. 0, -EAGAIN, SEGLOG_ECORRUPT */
static int take_find(struct seglog_consumer *c, bool probe, uint64_t *take)
{
    uint64_t at = *take, walked = 0;
    int rc = 0;

    while (rc == 0) {
        struct ring_word_facts facts;

        rc = ring_word_decode(word_observe(c->data, c->mask, at), c->size, &facts);
        if (rc < 0 || facts.state == RING_DATA)
            break;
        if (facts.state == RING_CLAIMED && probe && ring_probe_is_due(&c->probe_ns) &&
            ring_claim_is_dead(c->ring, &facts)) {
            c->probe_ns = 0;
            if (ring_word_is_data(word_observe(c->data, c->mask, at)))
                break;
        } else if (facts.state != RING_PAD) {
            rc = facts.state == RING_DONE ? SEGLOG_ECORRUPT : -EAGAIN;
            break;
        }
        at += facts.span;
        walked += facts.span;
        if (walked > c->size)
            rc = SEGLOG_ECORRUPT;
    }
    *take = at;
    return rc;
}

static int take_fresh(struct seglog_consumer *c, bool probe, const struct wants *w)
{
    struct ring_shared *shared = c->shared;
    uint64_t take = atomic_load_explicit(&shared->take, memory_order_relaxed);
    const uint64_t before = take;
    uint64_t first = 0, to;
    int n = 0, rc;

    if (take % RING_ALIGN != 0)
        return SEGLOG_ECORRUPT;
    rc = take_find(c, probe, &take);
    to = take;
    while (rc == 0 && n < w->max) {
        const uint64_t word = word_observe(c->data, c->mask, to);
        const uint64_t span = ring_word_span(word);

        if (!ring_word_is_data(word) || (w->alike && n > 0 && !ring_is_alike(first, word)))
            break;
        if (span > c->size / 2 || to + span - take > c->size)
            return SEGLOG_ECORRUPT;
        if (n == 0)
            first = word;
        if (n == 0 || !w->alike)
            ring_view(&w->out[n], word, c->data + (to & c->mask), to);
        n++;
        to += span;
    }
    if (n > 0) {
        c->from = take;
        c->to = to;
        c->again = false;
        atomic_store_explicit(&c->place->again, 0, memory_order_relaxed);
        range_store(c->place, (struct range){.from = take, .to = to});
    }
    if (to != before)
        /* ORDER take.publish -> ring_room() */
        atomic_store_explicit(&shared->take, to, memory_order_release);
    return n > 0 ? n : rc;
}

/* Somebody else's place names part of what this one does: then this one was left behind. */
static bool range_trim(struct seglog_consumer *c, uint32_t index, uint64_t take)
{
    struct ring_place *places = c->ring->ctrl->places;
    struct range r = range_load(&places[index]);
    const uint32_t n = atomic_load_explicit(&c->shared->places, memory_order_acquire);

    for (uint32_t i = 0; i < n && i < RING_PLACES; i++) {
        const struct range other = range_load(&places[i]);

        if (i == index || !range_is_taken(c->ring, other, take) || !overlaps(r, other))
            continue;
        r.from = other.to - r.from <= r.to - r.from ? other.to : r.to;
        place_release(&places[index], r.from);
        return true;
    }
    return false;
}

/* One place: take what its dead holder had. Views made, or 0. */
static int take_from_place(struct seglog_consumer *c, uint32_t i, const struct wants *w)
{
    struct ring_place *place = &c->ring->ctrl->places[i];
    const uint64_t hold = atomic_load_explicit(&place->hold, memory_order_acquire);
    const uint64_t take = atomic_load_explicit(&c->shared->take, memory_order_relaxed);
    struct range r = range_load(place);
    uint64_t to;
    int n = 0;

    if ((hold & 3) != RING_PLACE_CONSUMER || i == c->seat.index || r.from == r.to ||
        !ring_is_dead(c->ring, i, (uint32_t)(hold >> 2)))
        return 0;
    while (range_is_taken(c->ring, r, take) && range_trim(c, i, take))
        r = range_load(place);
    to = r.to;
    if (range_is_taken(c->ring, r, take)) {
        n = skip_done(c, &r.from, to);
        if (n == 0)
            n = views_make(c, r.from, &to, true, w); /* of nothing: 0 */
    }
    if (n < 0)
        return n;
    if (n > 0) {
        c->from = r.from;
        c->to = to;
        c->again = true;
        atomic_store_explicit(&c->place->again, 1, memory_order_relaxed);
        range_store(c->place, (struct range){.from = r.from, .to = to});
    }
    if (n == 0)
        range_clear(place); /* nothing of it is left to do */
    else
        place_release(place, to);
    return n;
}

static int take_again(struct seglog_consumer *c, const struct wants *w)
{
    const uint32_t n = atomic_load_explicit(&c->shared->places, memory_order_acquire);
    int rc = 0;

    for (uint32_t i = 0; i < n && i < RING_PLACES && rc == 0; i++)
        rc = take_from_place(c, i, w);
    return rc == 0 ? -EAGAIN : rc;
}

/* Is there a place that its holder left with something in it? Asked without the lock. */
static bool has_left_work(const struct seglog_consumer *c)
{
    const uint32_t n = atomic_load_explicit(&c->shared->places, memory_order_acquire);

    for (uint32_t i = 0; i < n && i < RING_PLACES; i++) {
        const struct ring_place *place = &c->ring->ctrl->places[i];
        const uint64_t hold =
            atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&place->hold, memory_order_acquire);
        const struct range r = range_load(place);

        if (i != c->seat.index && (hold & 3) == RING_PLACE_CONSUMER && r.from != r.to &&
            ring_is_dead(c->ring, i, (uint32_t)(hold >> 2)))
            return true;
    }
    return false;
}

/* ---- taking and giving back ----------------------------------------------------------------- */

int ring_next_work(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike)
{
    const struct wants w = {.out = out, .max = max, .alike = alike};
    int rc;

    if (c->from != c->to) {
        uint64_t to = c->to;

        if (!c->kept)
            return -EBUSY;
        c->kept = false;
        rc = views_make(c, c->from, &to, c->again, &w);
        if (rc > 0)
            c->out = (uint64_t)rc;
        return rc;
    }
    rc = take_lock(c);
    if (rc < 0)
        return rc;
    rc = -EAGAIN;
    if (++c->calls % CALLS_TO_PROBE == 0)
        rc = take_again(c, &w);
    if (rc == -EAGAIN)
        rc = take_fresh(c, true, &w);
    if (rc == -EAGAIN && ring_probe_is_due(&c->probe_ns))
        rc = take_again(c, &w);
    ring_unlock(&c->shared->take_lock);
    if (rc > 0)
        c->out = (uint64_t)rc;
    return rc;
}

void ring_keep_work(struct seglog_consumer *c)
{
    c->kept = true;
}

void ring_release_work(struct seglog_consumer *c)
{
    uint64_t at = c->from;

    if (c->kept)
        return; /* none of it is with the caller */
    while (at != c->to) {
        struct ring_word_facts facts;
        const uint64_t word = word_observe(c->data, c->mask, at);

        if (ring_word_decode(word, c->size, &facts) < 0 || facts.state == RING_EMPTY ||
            facts.span > c->to - at)
            break; /* not what we took: somebody wrote over it */
        if (facts.state == RING_DATA)
            word_done(ring_word_at(c->data, c->mask, at), word ^ (RING_DATA ^ RING_DONE));
        at += facts.span;
    }
    c->from = c->to;
    place_release(c->place, c->to);
}

int ring_look_work(struct seglog_consumer *c, bool probe)
{
    struct ring_shared *shared = c->shared;
    uint64_t word;

    if (c->from != c->to)
        return 0; /* a call says so */
    /* Under the lock, because where `take` was a moment ago there may be payload by now. If it is not
     * to be had, somebody is at it: a call will see. */
    if (!ring_lock_try(&shared->take_lock, ring_lock_word(&c->seat)))
        return 0;
    word =
        word_observe(c->data, c->mask, atomic_load_explicit(&shared->take, memory_order_relaxed));
    ring_unlock(&shared->take_lock);
    if (word != 0 && (word & 7) != RING_CLAIMED && (word & 7) != RING_DONE)
        return 0;
    if (!probe || !ring_probe_is_due(&c->probe_ns))
        return -EAGAIN;
    c->probe_ns = 0; /* the call that follows asks again, under the lock */
    if (has_left_work(c))
        return 0;
    if ((word & 7) == RING_CLAIMED) {
        struct ring_word_facts facts;

        if (ring_word_decode(word, c->size, &facts) < 0 || ring_claim_is_dead(c->ring, &facts))
            return 0;
    }
    (void)ring_probe_is_due(&c->probe_ns);
    return -EAGAIN;
}
