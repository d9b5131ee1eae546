/*
 * What a cell is inside.
 *
 *   cell.c          making, opening, finding out what a crash left
 *   cell_read.c     reading, views, waiting
 *   cell_write.c    publishing
 *   cell_order.h    the ordered accesses
 */
#ifndef STATE_CELL_H
#define STATE_CELL_H

#include <seglog/cell.h>

#include "format/state.h"
#include "state/lock.h"
#include "sys/region.h"

struct seglog_cell {
    const uint64_t *guard; /* reads 0 in a forked child */
    struct region region;
    struct cell_hot *hot;
    struct state_facts facts;
    struct boot_facts boot;
    uint32_t seed;
    int fd;
    uint32_t flags;
    bool is_volatile;
    bool fence;             /* sleepers cannot fence for us */
    _Atomic bool cold;      /* nobody has written in this boot yet, as far as we know */
    _Atomic uint32_t never; /* nobody wakes us by this one */

    /* The writer's. */
    struct state_lock lock;
    uint64_t timeout_ns;
    bool is_writer;   /* holds the lock, and `last` is right */
    uint64_t last;    /* highest version that any slot was ever given */
    uint64_t opening; /* version of the open reservation; 0: none */
    uint64_t opening_len;
    uint8_t *scratch; /* cell_update's */
    size_t scratch_size;
};

static inline bool cell_is_forked(const struct seglog_cell *cell)
{
    return *(const volatile uint64_t *)cell->guard == 0;
}

static inline struct cell_slot *cell_slot(struct seglog_cell *cell, uint64_t version)
{
    return &cell->hot->slots[version % cell->facts.parts];
}

/* Be the writer until the end. -EBUSY */
int cell_hold(struct seglog_cell *cell);

/* rc, unless pages were lost: then why. */
int cell_outcome(struct seglog_cell *cell, int rc);

/* Bytes of the file, mapping what others have added to it. NULL: the file does not have them. */
uint8_t *cell_at(struct seglog_cell *cell, uint64_t offset, uint64_t len);

/* A version as its slot has it. */
struct cell_version {
    uint64_t version;
    const uint8_t *data;
    uint64_t len;
    uint32_t crc;
};
/* The slot's content, if it is whole and of this version. 0; -EAGAIN: not now; SEGLOG_ECORRUPT */
int cell_peek(struct seglog_cell *cell, uint64_t version, struct cell_version *out);
/* Is it still there, after the bytes were read? */
bool cell_still(struct seglog_cell *cell, uint64_t version);

/*
 * What a crash of the machine left: the highest version that is whole, 0 for none; *last the highest
 * that was begun. SEGLOG_ECORRUPT: a version that was durable is not there.
 */
int cell_find(struct seglog_cell *cell, uint64_t *current, uint64_t *last);
/* Whether the words of the present are of this boot. */
bool cell_is_cold(struct seglog_cell *cell);

#endif
