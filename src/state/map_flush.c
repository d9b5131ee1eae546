/*
 * When stored bytes become durable: on request, or as the map's policy has it.
 *
 * The hard part is to count what was flushed, and nothing else: a flush takes the dirty range out before
 * it begins, so what is stored while it runs counts for the next one; and when it fails, nothing that
 * comes later may claim success, for the kernel may have dropped the pages that it could not write.
 */
#include "state/map.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/thread.h"

#define NS_PER_S UINT64_C(1000000000)

int map_flush_init(struct map_flush *flush, uint32_t policy, uint64_t amount)
{
    pthread_condattr_t attr;
    int rc;

    flush->policy = policy;
    flush->amount = amount;
    rc = -pthread_condattr_init(&attr);
    if (rc < 0)
        return rc;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&flush->lock, NULL);
    rc = -pthread_cond_init(&flush->changed, &attr);
    if (rc == 0)
        rc = -pthread_cond_init(&flush->turn.over, &attr);
    (void)pthread_condattr_destroy(&attr);
    return rc;
}

/* Flush a range of the map, give the failure or 0. Called with the lock, which is given up meanwhile. */
static int flush_range(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    struct map_flush *f = &map->flush;
    int rc;

    map_turn_take(map);
    if (atomic_load(&f->failed) != 0 || len == 0) {
        rc = atomic_load(&f->failed) ? SEGLOG_EPOISONED : 0;
        map_turn_give(map, false, 0);
        return rc;
    }
    (void)pthread_mutex_unlock(&f->lock);
    rc = region_sync(&map->region, map->skip + offset, len);
    (void)pthread_mutex_lock(&f->lock);
    map_turn_give(map, true, rc);
    return rc == 0 && region_is_hit(&map->region) ? map_lost(map) : rc;
}

/* Flush what was written. The lock as above. */
static int flush_dirty(struct seglog_map *map)
{
    struct map_flush *f = &map->flush;
    const uint64_t from = f->dirty_from, to = f->dirty_to;

    map_flush_taken(f);
    return to ? flush_range(map, from, to - from) : 0;
}

/* ---- the thread of EVERY_NS -------------------------------------------------------------------- */

static void *flusher(void *arg)
{
    struct seglog_map *map = arg;
    struct map_flush *f = &map->flush;

    (void)pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        if (f->due_ns == 0) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
        } else if (clock_monotonic_ns() < f->due_ns) {
            const struct timespec due = {.tv_sec = (time_t)(f->due_ns / NS_PER_S),
                                         .tv_nsec = (long)(f->due_ns % NS_PER_S)};

            (void)pthread_cond_timedwait(&f->changed, &f->lock, &due);
        } else {
            (void)flush_dirty(map); /* a failure stays, and the next write says so */
        }
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Under the lock, at the first write. */
static int flusher_start(struct seglog_map *map)
{
    int rc;

    if (map->flush.has_thread)
        return 0;
    rc = thread_begin(&map->flush.thread, flusher, map);
    map->flush.has_thread = rc == 0;
    return rc;
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* Under the lock: what the policy asks for after this write. */
static int follow_policy(struct seglog_map *map)
{
    struct map_flush *f = &map->flush;
    uint64_t now;
    int rc;

    switch (f->policy) {
    case SEGLOG_FLUSH_EVERY_WRITE:
        return flush_dirty(map);
    case SEGLOG_FLUSH_EVERY_BYTES:
        return f->pending >= f->amount ? flush_dirty(map) : 0;
    case SEGLOG_FLUSH_EVERY_NS:
        rc = flusher_start(map);
        if (rc < 0 || f->due_ns != 0)
            return rc;
        now = clock_monotonic_ns();
        f->due_ns = f->amount < INT64_MAX - now ? now + f->amount : INT64_MAX;
        (void)pthread_cond_signal(&f->changed);
        return 0;
    default:
        return 0;
    }
}

int map_written(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    struct map_flush *f = &map->flush;
    int rc = 0;

    (void)pthread_mutex_lock(&f->lock);
    f->writes++;
    f->bytes += len;
    if (map->mode == SEGLOG_MAP_WRITE && len > 0) {
        f->pending += len;
        if (f->dirty_to == 0 || offset < f->dirty_from)
            f->dirty_from = offset;
        if (offset + len > f->dirty_to)
            f->dirty_to = offset + len;
        rc = follow_policy(map);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return rc;
}

/* ---- on request ------------------------------------------------------------------------------ */

int seglog_map_flush_range(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (map->mode != SEGLOG_MAP_WRITE)
        return -EPERM;
    if (!map_at(map, offset, len))
        return -ERANGE;
    (void)pthread_mutex_lock(&map->flush.lock);
    rc = flush_range(map, offset, len);
    (void)pthread_mutex_unlock(&map->flush.lock);
    return rc == 0 && map->is_volatile ? SEGLOG_EVOLATILE : rc;
}

int seglog_map_flush(struct seglog_map *map)
{
    struct map_flush *f = &map->flush;
    int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (map->mode != SEGLOG_MAP_WRITE)
        return -EPERM;
    /* All of it, not what was counted: stores through views and by others are to be durable too. */
    (void)pthread_mutex_lock(&f->lock);
    f->dirty_from = 0;
    f->dirty_to = seglog_map_size(map);
    rc = flush_dirty(map);
    (void)pthread_mutex_unlock(&f->lock);
    return rc == 0 && map->is_volatile ? SEGLOG_EVOLATILE : rc;
}

int map_flush_end(struct seglog_map *map)
{
    struct map_flush *f = &map->flush;
    int rc = 0;

    /* In a child the thread does not exist, and the lock may be held by one that does not either. */
    if (map_is_forked(map))
        return 0;
    (void)pthread_mutex_lock(&f->lock);
    f->stopping = true;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    if (f->has_thread)
        (void)pthread_join(f->thread, NULL);
    (void)pthread_mutex_lock(&f->lock);
    rc = map_turn_end(map);
    if (rc == 0 && f->policy != SEGLOG_FLUSH_MANUAL && map_usable(map) == 0)
        rc = f->failed ? f->failed : flush_dirty(map);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_cond_destroy(&f->turn.over);
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->lock);
    return rc;
}
