/*
 * Compressing blocks and checking them, in the thread that makes them and writes them and one beside it.
 *
 * The first fills blocks, hands them over, and takes them back packed, in order. Where a second
 * processor is to be had a thread of the press works meanwhile, which knows nothing but memory. Packing
 * takes longer than all else, so the first thread packs too, when it would have to wait for the other.
 * Where there is one processor, or no thread, it packs all of them. The outcome is the same.
 */
#ifndef ARCHIVE_PRESS_H
#define ARCHIVE_PRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/archive.h"

/* One is filled, two are being packed, and one is ready for either. */
#define PRESS_BLOCKS 4u

struct press_block {
    uint8_t *raw; /* room for block_bytes */
    uint32_t len;
    uint8_t *packed;            /* as is to be stored; room for as much */
    struct archive_entry entry; /* how much, and its check */
    bool is_done;
    bool is_good; /* unpacked again it was raw */
};

/* What a thread packs with. */
struct press_tool {
    void *state;    /* LZ4's */
    uint8_t *again; /* unpacked, to compare */
};

struct press {
    int level;
    struct press_tool own, other; /* the first thread's, and the second's */
    struct press_block blocks[PRESS_BLOCKS];
    uint64_t put, taken; /* how many were handed over, and taken back */
    bool has_thread;     /* then the rest is there */
    pthread_t thread;

    /* Under the lock; and each block's is_done. */
    pthread_mutex_t lock;
    pthread_cond_t change;
    uint64_t given, begun; /* how many may be packed, and how many somebody packs, or has */
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

/* It is filled: len bytes of raw. */
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
