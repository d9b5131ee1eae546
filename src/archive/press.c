/*
 * See press.h. The lock is taken twice for a block, which takes hundreds of microseconds to pack;
 * the contents change hands with it.
 */
#include "archive/press.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

#include "archive/archive.h"
#include "sys/thread.h"

/* Bytes of the packed block; 0 or less: it does not get smaller. */
static int compress(const struct press *press, struct press_block *block)
{
    const char *raw = (const char *)block->raw;
    char *packed = (char *)block->packed;
    const int len = (int)block->len;

    if (press->level >= ARCHIVE_LEVEL_HC)
        return LZ4_compress_HC_extStateHC(press->state, raw, packed, len, len - 1, press->level);
    return LZ4_compress_fast_extState(press->state, raw, packed, len, len - 1, 1);
}

static void pack(const struct press *press, struct press_block *block)
{
    const int n = compress(press, block);
    struct archive_entry *entry = &block->entry;

    le32_put(&entry->stored, (uint32_t)n);
    if (n <= 0) {
        memcpy(block->packed, block->raw, block->len);
        le32_put(&entry->stored, block->len | LZ4F_RAW);
    }
    le32_put(&entry->check, archive_block_check(block->packed, archive_stored(entry)));
    block->is_good = archive_block_unpack(entry, block->packed, press->again, block->len) == 0 &&
                     memcmp(press->again, block->raw, block->len) == 0;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *press_main(void *arg)
{
    struct press *press = arg;

    pthread_mutex_lock(&press->lock);
    while (!press->stops) {
        if (press->done == press->given) {
            pthread_cond_wait(&press->change, &press->lock);
            continue;
        }
        pthread_mutex_unlock(&press->lock);
        pack(press, &press->blocks[press->done % PRESS_BLOCKS]);
        pthread_mutex_lock(&press->lock);
        press->done++;
        pthread_cond_signal(&press->change);
    }
    pthread_mutex_unlock(&press->lock);
    return NULL;
}

static void thread_start(struct press *press)
{
    if (thread_cpus() < 2 || pthread_mutex_init(&press->lock, NULL) != 0)
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

int press_start(struct press *press, int level, uint32_t block_bytes)
{
    const int state = level >= ARCHIVE_LEVEL_HC ? LZ4_sizeofStateHC() : LZ4_sizeofState();

    *press = (struct press){
        .level = level, .state = malloc((size_t)state), .again = malloc(block_bytes)};
    for (unsigned i = 0; i < PRESS_BLOCKS; i++) {
        press->blocks[i].raw = malloc(block_bytes);
        press->blocks[i].packed = malloc(block_bytes);
        if (!press->blocks[i].raw || !press->blocks[i].packed)
            return -ENOMEM;
    }
    if (!press->state || !press->again)
        return -ENOMEM;
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
    free(press->again);
    free(press->state);
    *press = (struct press){0};
}

void press_put(struct press *press, uint32_t len)
{
    struct press_block *block = press_filling(press);

    block->len = len;
    press->put++;
    if (!press->has_thread) {
        pack(press, block);
        return;
    }
    pthread_mutex_lock(&press->lock);
    press->given = press->put;
    pthread_cond_signal(&press->change);
    pthread_mutex_unlock(&press->lock);
}

const struct press_block *press_take(struct press *press)
{
    const struct press_block *block = &press->blocks[press->taken % PRESS_BLOCKS];

    if (press->has_thread) {
        pthread_mutex_lock(&press->lock);
        while (press->done == press->taken)
            pthread_cond_wait(&press->change, &press->lock);
        pthread_mutex_unlock(&press->lock);
    }
    press->taken++;
    return block;
}
