/*
 * The ordered accesses of a cell, each once, each with its partner.
 */
#ifndef STATE_CELL_ORDER_H
#define STATE_CELL_ORDER_H

#include "format/state.h"

/*
 * ORDER slot.begin -> slot.recheck
 * Makes visible: that the slot is being written, before any of its new bytes.
 * Without it:    a reader sees a new byte, then the old seq, and takes a mixture for whole.
 * A release store, so that whoever sees it sees also that a later version had been published before.
 * The fence stands between this store and the relaxed stores of the bytes; its partner is the fence in
 * slot_recheck(), behind the reader's relaxed loads of them.
 */
static inline void slot_begin(struct cell_slot *slot, uint64_t version)
{
    atomic_store_explicit(&slot->seq, version << 1 | 1, memory_order_release);
    atomic_thread_fence(memory_order_release);
}

/*
 * ORDER slot.finish -> slot.observe
 * Makes visible: the bytes and what the slot says about them.
 * Without it:    a reader finds the version there and reads bytes of an older one.
 */
static inline void slot_finish(struct cell_slot *slot, uint64_t version)
{
    atomic_store_explicit(&slot->seq, version << 1, memory_order_release);
}

static inline uint64_t slot_observe(const struct cell_slot *slot)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&slot->seq, memory_order_acquire);
}

/* After the bytes were read: whatever version they are of, is the slot still at it? */
static inline uint64_t slot_recheck(const struct cell_slot *slot)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&slot->seq, memory_order_relaxed);
}

/*
 * ORDER current.publish -> current.observe
 * Makes visible: slot_finish() of that version.
 * Without it:    a reader finds its slot at an older version, which looks like damage.
 */
static inline void current_publish(struct cell_hot *hot, uint64_t version)
{
    atomic_store_explicit(&hot->current, version, memory_order_release);
}

static inline uint64_t current_observe(const struct cell_hot *hot)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&hot->current, memory_order_acquire);
}

#endif
