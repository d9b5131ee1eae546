/*
 * What a mapped file is inside.
 *
 *   map.c        making and ending, bytes, size
 *   map_flush.c  durability: policies, the flushing thread, failure that stays
 *   map_turn.c   one flush at a time; flushes that are not waited for
 *   map_tune.c   memory, locks, facts, files as a whole
 */
#ifndef STATE_MAP_H
#define STATE_MAP_H

#include <seglog/map.h>

#include "io/io.h"
#include "state/lock.h"
#include "sys/region.h"

/* A flush that nobody waits for. */
struct map_flight {
    struct io_engine *engine;
    struct io_chain chain;
    struct io_op op;
};

/* Who flushes now. */
enum map_turn_holder { TURN_FREE = 0, TURN_CALLER, TURN_ENGINE };

/* Under the lock of the flush. */
struct map_turn {
    enum map_turn_holder holder;
    bool is_driven;            /* a thread is in the engine for it */
    unsigned queue;            /* callers that want the turn */
    pthread_cond_t over;       /* any of this has changed */
    struct map_flight *flight; /* NULL until somebody does not want to wait */
    uint64_t asked, begun, done;
    uint64_t from, to; /* what was asked for and not begun; to 0: nothing */
    uint64_t bad_from; /* the first ticket that failed; 0: none */
    uint64_t bad_to;   /* the last of that turn; later ones are poisoned */
};

/* All but `policy` and `amount` under the lock. */
struct map_flush {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t policy;
    uint64_t amount;
    uint64_t dirty_from; /* what was written and not flushed yet lies in [from, to) */
    uint64_t dirty_to;   /* 0: nothing */
    uint64_t pending;
    uint64_t due_ns; /* EVERY_NS: when; 0: nothing to do */
    uint64_t writes, bytes, flushes;
    _Atomic int failed; /* the first failure, for good */
    bool has_thread, stopping;
    pthread_t thread;
    struct map_turn turn;
};

struct seglog_map {
    const uint64_t *guard; /* reads 0 in a forked child */
    struct region region;
    uint64_t skip; /* where the map begins in the region: what alignment costs */
    int fd;
    uint32_t mode;
    uint32_t huge; /* outcome */
    uint64_t grow_step;
    bool grows;       /* no len was given */
    bool is_volatile; /* nothing is kept across a power cut */
    bool is_anonymous;
    _Atomic int lost; /* SEGLOG_ETRUNCATED, -EIO: bytes are gone, for good */
    struct map_flush flush;
    struct state_lock lock;
};

static inline bool map_is_forked(const struct seglog_map *map)
{
    return *(const volatile uint64_t *)map->guard == 0;
}

/* Whether calls may go on: 0, SEGLOG_EFORKED, SEGLOG_ETRUNCATED, -EIO. Cheap. */
int map_usable(struct seglog_map *map);
/* Some page was lost: find out why, and remember. */
int map_lost(struct seglog_map *map);
/* Bytes [offset, offset + len), or NULL if they are not all mapped. */
static inline uint8_t *map_at(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    if (offset > UINT64_MAX - map->skip)
        return NULL;
    return region_at(&map->region, map->skip + offset, len);
}

int map_flush_init(struct map_flush *flush, uint32_t policy, uint64_t amount);
/* Ends the thread; flushes what the policy has not yet. Gives the failure of that. */
int map_flush_end(struct seglog_map *map);
/* What was written is being flushed, all of it: from now on another flush has to be due for it. The lock. */
static inline void map_flush_taken(struct map_flush *flush)
{
    flush->dirty_to = 0;
    flush->pending = 0;
    flush->due_ns = 0;
}
/* These bytes were stored: do what the policy asks for. */
int map_written(struct seglog_map *map, uint64_t offset, uint64_t len);

/* Under the lock, which is given up meanwhile: wait for the turn; give it back, with what came of a sync
 * if there was one. */
void map_turn_take(struct seglog_map *map);
void map_turn_give(struct seglog_map *map, bool synced, int rc);
/* Wait for all that was asked for. Gives the failure of it, or 0. */
int map_turn_end(struct seglog_map *map);
void map_turn_free(struct seglog_map *map);

/* What the map is made of is advised, fetched. */
int map_prefetch(struct seglog_map *map, uint32_t strategy, uint64_t bytes);

#endif
