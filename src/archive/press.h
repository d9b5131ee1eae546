/*
 * Compressing blocks and checking them, beside the thread that makes them and writes them.
 *
 * That thread fills blocks, hands them over, and takes them back packed, in order. Where a second
 * processor is to be had a thread of the press works meanwhile, which knows nothing but memory; where
 * none is, or no thread, it is done when a block is handed over. The outcome is the same.
 */
#ifndef ARCHIVE_PRESS_H
#define ARCHIVE_PRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/archive.h"

/* One is filled, one is packed, and one is between. */
#define PRESS_BLOCKS 3u

struct press_block {
    uint8_t *raw; /* room for block_bytes */
    uint32_t len;
    uint8_t *packed;            /* as is to be stored; room for as much */
    struct archive_entry entry; /* how much, and its check */
    bool is_good;               /* unpacked again it was raw */
};

struct press {
    int level;
    void *state;    /* LZ4's */
    uint8_t *again; /* unpacked, to compare */
    struct press_block blocks[PRESS_BLOCKS];
    uint64_t put, taken; /* how many were handed over, and taken back */

    bool has_thread; /* then the rest is there, and what is below is under the lock */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    uint64_t given, done; /* as the thread knows: to be packed, and packed */
    bool stops;
};

/* The memory, and the thread if it is of use. 0, -ENOMEM; after either: press_stop(). */
int press_start(struct press *press, int level, uint32_t block_bytes);

/* Ends the thread, within the time for a block. */
void press_stop(struct press *press);

/* The block to be filled; not while press_is_full(). */
static inline struct press_block *press_filling(struct press *press)
{
    return &press->blocks[press->put % PRESS_BLOCKS];
}

/* It is: len bytes of raw. */
void press_put(struct press *press, uint32_t len);

/* Must one be taken before the next is filled? */
static inline bool press_is_full(const struct press *press)
{
    return press->put - press->taken == (press->has_thread ? PRESS_BLOCKS : 1);
}

static inline bool press_is_empty(const struct press *press)
{
    return press->put == press->taken;
}

/* The oldest that was handed over, once it is packed: the caller's until the next is filled. */
const struct press_block *press_take(struct press *press);

#endif
