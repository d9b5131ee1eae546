/*
 * Private copies of payloads, for readers that do not map: valid until the next release(), all
 * freed together.
 */
#include "reader/handle.h"

#include <stdlib.h>

#define BLOCK_BYTES (UINT64_C(256) << 10)
#define ARENA_ALIGN 32u

struct arena_block {
    struct arena_block *older;
    uint64_t used;
    uint64_t capacity;
    uint8_t *bytes;
};

static struct arena_block *block_new(uint64_t len)
{
    const uint64_t capacity = align_up(len > BLOCK_BYTES ? len : BLOCK_BYTES, ARENA_ALIGN);
    struct arena_block *block = malloc(sizeof(*block));

    if (!block)
        return NULL;
    *block =
        (struct arena_block){.capacity = capacity, .bytes = aligned_alloc(ARENA_ALIGN, capacity)};
    if (!block->bytes) {
        free(block);
        return NULL;
    }
    return block;
}

void *arena_copy(struct seglog_reader *r, const void *data, uint64_t len)
{
    struct arena_block *block = r->arena;
    uint8_t *room;

    if (!block || block->capacity - block->used < len) {
        block = block_new(len);
        if (!block)
            return NULL;
        block->older = r->arena;
        r->arena = block;
    }
    room = block->bytes + block->used;
    memcpy(room, data, len);
    block->used += align_up(len, ARENA_ALIGN);
    return room;
}

void arena_free(struct seglog_reader *r)
{
    while (r->arena) {
        struct arena_block *older = r->arena->older;

        free(r->arena->bytes);
        free(r->arena);
        r->arena = older;
    }
}
