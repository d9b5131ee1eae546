/*
 * See press.h. The lock is taken a few times for a block, which takes hundreds of microseconds to
 * pack; the contents change hands with it.
 */
#include "archive/press.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

#include "archive/archive.h"
#include "sys/thread.h"

/* Bytes of the packed block; 0 or less: it does not get smaller. */
static int compress(const struct press_tool *tool, int level, struct press_block *block)
{
    const char *raw = (const char *)block->raw;
    char *packed = (char *)block->packed;
    const int len = (int)block->len;

    if (level >= ARCHIVE_LEVEL_HC)
        return LZ4_compress_HC_extStateHC(tool->state, raw, packed, len, len - 1, level);
    return LZ4_compress_fast_extState(tool->state, raw, packed, len, len - 1, 1);
}

static void pack(const struct press_tool *tool, int level, struct press_block *block)
{
    const int n = compress(tool, level, block);
    struct archive_entry *entry = &block->entry;

    le32_put(&entry->stored, (uint32_t)n);
    if (n <= 0) {
        memcpy(block->packed, block->raw, block->len);
        le32_put(&entry->stored, block->len | LZ4F_RAW);
    }
    le32_put(&entry->check, archive_block_check(block->packed, archive_stored(entry)));
    block->is_good = archive_block_unpack(entry, block->packed, tool->again, block->len) == 0 &&
                     memcmp(tool->again, block->raw, block->len) == 0;
}

/* Under the lock: pack the next block that nobody has begun. Lets go of the lock meanwhile. */
static void pack_next(struct press *press, const struct press_tool *tool)
{
    struct press_block *block = &press->blocks[press->begun % PRESS_BLOCKS];

    press->begun++;
    pthread_mutex_unlock(&press->lock);
    pack(tool, press->level, block);
    pthread_mutex_lock(&press->lock);
    block->is_done = true;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *press_main(void *arg)
{
    struct press *press = arg;

    pthread_mutex_lock(&press->lock);
    while (!press->stops) {
        if (press->begun == press->given) {
            pthread_cond_wait(&press->change, &press->lock);
            continue;
        }
        pack_next(press, &press->other);
        pthread_cond_signal(&press->change);
    }
    pthread_mutex_unlock(&press->lock);
    return NULL;
}

static void thread_start(struct press *press)
{
    if (pthread_mutex_init(&press->lock, NULL) != 0)
        return;
    if (pthread_cond_init(&press->change, NULL) == 0) {
        press->has_thread = thread_begin(&press->thread, press_main, press) == 0;
        if (press->has_thread)
            return;
        pthread_cond_destroy(&press->change);
    }
    pthread_mutex_destroy(&press->lock);
}

static void thread_stop(struct press *press)
{
    if (!press->has_thread)
        return;
    pthread_mutex_lock(&press->lock);
    press->stops = true;
    pthread_cond_signal(&press->change);
    pthread_mutex_unlock(&press->lock);
    pthread_join(press->thread, NULL);
    pthread_cond_destroy(&press->change);
    pthread_mutex_destroy(&press->lock);
}

/* ---- from outside --------------------------------------------------------------------------- */

static int tool_make(struct press_tool *tool, int level, uint32_t block_bytes)
{
    const int state = level >= ARCHIVE_LEVEL_HC ? LZ4_sizeofStateHC() : LZ4_sizeofState();

    *tool = (struct press_tool){.state = malloc((size_t)state), .again = malloc(block_bytes)};
    return tool->state && tool->again ? 0 : -ENOMEM;
}

static void tool_free(struct press_tool *tool)
{
    free(tool->state);
    free(tool->again);
}

int press_start(struct press *press, int level, uint32_t block_bytes)
{
    *press = (struct press){.level = level};
    for (unsigned i = 0; i < PRESS_BLOCKS; i++) {
        press->blocks[i].raw = malloc(block_bytes);
        press->blocks[i].packed = malloc(block_bytes);
        if (!press->blocks[i].raw || !press->blocks[i].packed)
            return -ENOMEM;
    }
    if (tool_make(&press->own, level, block_bytes) < 0)
        return -ENOMEM;
    if (thread_cpus() > 1 && tool_make(&press->other, level, block_bytes) == 0)
        thread_start(press);
    return 0;
}

void press_stop(struct press *press)
{
    thread_stop(press);
    for (unsigned i = 0; i < PRESS_BLOCKS; i++) {
        free(press->blocks[i].raw);
        free(press->blocks[i].packed);
    }
    tool_free(&press->own);
    tool_free(&press->other);
    *press = (struct press){0};
}

void press_put(struct press *press, uint32_t len)
{
    struct press_block *block = press_filling(press);

    block->len = len;
    block->is_done = false;
    press->put++;
    if (!press->has_thread)
        return;
    pthread_mutex_lock(&press->lock);
    press->given = press->put;
    pthread_cond_signal(&press->change);
    pthread_mutex_unlock(&press->lock);
}

const struct press_block *press_take(struct press *press)
{
    struct press_block *block = &press->blocks[press->taken % PRESS_BLOCKS];

    press->taken++;
    if (!press->has_thread) {
        pack(&press->own, press->level, block);
        return block;
    }
    pthread_mutex_lock(&press->lock);
    while (!block->is_done) {
        if (press->begun < press->given)
            pack_next(press, &press->own);
        else
            pthread_cond_wait(&press->change, &press->lock);
    }
    pthread_mutex_unlock(&press->lock);
    return block;
}
