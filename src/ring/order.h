/*
 * The ordered accesses of a ring, each once, each with its partner.
 */
#ifndef RING_ORDER_H
#define RING_ORDER_H

#include "format/ring.h"
#include "sys/bell.h"

/* What a mark says, in memory of our own. */
struct ring_tally {
    uint64_t pos;
    uint64_t records;
    uint64_t bytes;
};

static inline _Atomic uint64_t *ring_word_at(const uint8_t *data, uint64_t mask, uint64_t pos)
{
    /* Always through the first of the two mappings: a word has one address. */
    return (_Atomic uint64_t *)(uintptr_t)(data + (pos & mask));
}

/*
 * ORDER word.publish -> word.observe
 * Makes visible: the payload, the messages behind it in a batch, and the zero word behind them.
 * Without it:    a consumer sees the message and reads old bytes, or takes old bytes behind it for
 *                a message.
 */
static inline void word_publish(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline uint64_t word_observe(const uint8_t *data, uint64_t mask, uint64_t pos)
{
    return atomic_load_explicit(ring_word_at(data, mask, pos), memory_order_acquire);
}

/* Words that a later word.publish makes visible: the end behind a message, the inside of a batch.
 * */
static inline void word_prepare(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/*
 * ORDER word.claim -> word.observe: after the zero word behind, before put_lock goes
 * A consumer that sees CLAIMED and its producer dead goes on behind it, where it must find zero.
 * The payload is written after CLAIMED; no consumer looks at it before word.publish.
 */
static inline void word_claim(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/*
 * ORDER word.done -> ring_room() (work)
 * Keeps the consumer's reading of a message before the producer's writing over it.
 */
static inline void word_done(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/*
 * ORDER mark.store -> mark.pos, mark.load Only who owns the mark calls it: the one consumer, the
 * one producer, the holder of put_lock. Its death anywhere in here leaves the copy of before. Its
 * owner remembers the last turn, so as not to load a line that the other side may have: last_turn.
 * The position is a release by itself: who reads it from a copy that is just being written
 * (mark_pos) gets one that is true already.
 */
static inline void mark_store(struct ring_mark *mark, uint64_t *last_turn, uint64_t pos,
                              uint64_t records, uint64_t bytes)
{
    const uint64_t turn = ++*last_turn;
    struct ring_count *at = &mark->at[turn & 1];

    atomic_thread_fence(memory_order_release); /* the last turn before the copy it retired */
    atomic_store_explicit(&at->records, records, memory_order_relaxed);
    atomic_store_explicit(&at->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&at->pos, pos, memory_order_release);
    atomic_store_explicit(&mark->turn, turn, memory_order_release);
}

static inline uint64_t mark_turn(const struct ring_mark *mark)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&mark->turn, memory_order_relaxed);
}

/* Keeps the caller's writing behind the other side's reading (with the release of mark_store). */
static inline uint64_t mark_pos(const struct ring_mark *mark)
{
    struct ring_mark *m = (struct ring_mark *)(uintptr_t)mark;
    const uint64_t turn = atomic_load_explicit(&m->turn, memory_order_acquire);

    return atomic_load_explicit(&m->at[turn & 1].pos, memory_order_acquire);
}

/*
 * All three, of one moment. The turn is checked afterwards; a mark that moves on all the time would
 * keep us here, so after some tries false.
 */
static inline bool mark_load(const struct ring_mark *mark, struct ring_tally *out)
{
    struct ring_mark *m = (struct ring_mark *)(uintptr_t)mark;

    for (int tries = 0; tries < 100000; tries++) {
        const uint64_t turn = atomic_load_explicit(&m->turn, memory_order_acquire);
        const struct ring_count *at = &m->at[turn & 1];
        const uint64_t pos =
            atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&at->pos, memory_order_relaxed);
        const uint64_t records =
            atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&at->records, memory_order_relaxed);
        const uint64_t bytes =
            atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&at->bytes, memory_order_relaxed);

        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&m->turn, memory_order_relaxed) == turn) {
            *out = (struct ring_tally){.pos = pos, .records = records, .bytes = bytes};
            return true;
        }
        cpu_pause();
    }
    return false;
}

/*
 * ORDER floor.raise <-> copy.check (what is overwritten) The floor is moved, then the room below it
 * is written over. A consumer copies, then looks at the floor: if that has not passed the message,
 * nothing of the copy was new. Without it: a copy of two messages' bytes is handed out.
 */
static inline void floor_raised(void)
{
    atomic_thread_fence(memory_order_release);
}
/* Has the floor passed pos since what lies there was read? *floor: where it is now. */
static inline bool floor_passed(const struct ring_mark *mark, uint64_t pos, uint64_t *floor)
{
    atomic_thread_fence(memory_order_acquire); /* copy.check */
    *floor = mark_pos(mark);
    return (int64_t)(*floor - pos) > 0;
}

/*
 * ORDER floor.close <-> place.enter (broadcast) The producer moves the floor, then looks whom it
 * has to wait for; a consumer that comes in says where it stands, then looks at the floor. Each
 * stores one thing and then loads the other's, so each fences. Without it: a consumer begins at a
 * message that is being written over.
 */
static inline void floor_close(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
static inline void place_enter(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* ORDER place.release -> place.passed: as mark.store, for one consumer of a broadcast. */
static inline void place_release(struct ring_place *place, uint64_t pos)
{
    atomic_store_explicit(&place->from, pos, memory_order_release);
}
static inline uint64_t place_passed(const struct ring_place *place)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&place->from, memory_order_acquire);
}

#endif
