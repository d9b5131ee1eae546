/*
 * Mapped files: memory, locks between processes, facts, files as a whole.
 */
#include "state/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "state/place.h"
#include "sys/file.h"
#include "sys/map.h"

/* ---- memory ---------------------------------------------------------------------------------- */

int map_prefetch(struct seglog_map *map, uint32_t strategy, uint64_t bytes)
{
    const uint64_t size = atomic_load(&map->region.size);

    switch (strategy) {
    case SEGLOG_PREFETCH_SEQUENTIAL:
        return region_advise(&map->region, 0, size, MADV_SEQUENTIAL);
    case SEGLOG_PREFETCH_RANDOM:
        return region_advise(&map->region, 0, size, MADV_RANDOM);
    case SEGLOG_PREFETCH_FIRST:
        bytes = bytes < size - map->skip ? bytes : size - map->skip;
        return bytes ? region_populate(&map->region, map->skip, bytes, false) : 0;
    case SEGLOG_PREFETCH_ALL:
        return region_populate(&map->region, 0, size, map->mode != SEGLOG_MAP_READ);
    default:
        return 0;
    }
}

/* The cache forgets only what is written to the disk. */
static int drop_cache(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    int rc = region_advise(&map->region, offset, len, MADV_DONTNEED);

    if (rc == 0)
        rc = file_datasync(map->fd);
    if (rc == 0)
        rc = file_forget(map->fd, map->region.options.offset + offset, len);
    return rc;
}

int seglog_map_advise(struct seglog_map *map, uint64_t offset, uint64_t len, uint32_t advice)
{
    static const int plain[] = {
        [SEGLOG_ADVICE_NORMAL] = MADV_NORMAL,      [SEGLOG_ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
        [SEGLOG_ADVICE_RANDOM] = MADV_RANDOM,      [SEGLOG_ADVICE_WILL_NEED] = MADV_WILLNEED,
        [SEGLOG_ADVICE_DONT_NEED] = MADV_DONTNEED, [SEGLOG_ADVICE_HUGE] = MADV_HUGEPAGE,
    };
    const int rc = map_usable(map);
    const uint64_t at = map->skip + offset;

    if (rc < 0)
        return rc;
    if (advice > SEGLOG_ADVICE_HUGE)
        return -EINVAL;
    if (!map_at(map, offset, len))
        return -ERANGE;
    if (len == 0)
        return 0;
    switch (advice) {
    case SEGLOG_ADVICE_POPULATE:
        return region_populate(&map->region, at, len, map->mode != SEGLOG_MAP_READ);
    case SEGLOG_ADVICE_DONT_NEED:
    case SEGLOG_ADVICE_DROP_CACHE:
        if (map->mode == SEGLOG_MAP_PRIVATE)
            return -EPERM; /* it would undo what was stored */
        if (advice == SEGLOG_ADVICE_DROP_CACHE)
            return drop_cache(map, at, len);
        break;
    default:
        break;
    }
    return region_advise(&map->region, at, len, plain[advice]);
}

int seglog_map_lock_pages(struct seglog_map *map, uint64_t offset, uint64_t len, int locked)
{
    const int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (!map_at(map, offset, len))
        return -ERANGE;
    return len == 0 ? 0 : region_lock(&map->region, map->skip + offset, len, locked != 0);
}

/* ---- facts ----------------------------------------------------------------------------------- */

int seglog_map_stat(struct seglog_map *map, struct seglog_map_stat *out)
{
    struct map_flush *f = &map->flush;
    struct seglog_map_stat stat = {
        .page_size = map->region.options.page,
        .huge = map->huge,
        .is_volatile = map->is_volatile,
    };
    struct file_facts facts;
    int rc;

    if (map_is_forked(map))
        return SEGLOG_EFORKED;
    rc = file_facts(map->fd, &facts);
    if (rc < 0)
        return rc;
    stat.size = seglog_map_size(map);
    stat.file_size = facts.size;
    rc = region_resident(&map->region, map->skip, stat.size, &stat.resident_bytes);
    if (rc < 0)
        return rc;
    (void)pthread_mutex_lock(&f->lock);
    stat.writes = f->writes;
    stat.written_bytes = f->bytes;
    stat.pending_bytes = f->pending;
    stat.flushes = f->flushes;
    (void)pthread_mutex_unlock(&f->lock);
    *out = stat;
    return 0;
}

int seglog_map_fd(const struct seglog_map *map)
{
    return map_is_forked(map) ? SEGLOG_EFORKED : map->fd;
}

/* ---- between processes ----------------------------------------------------------------------- */

int seglog_map_lock(struct seglog_map *map, int exclusive, uint64_t timeout_ns)
{
    return map_is_forked(map) ? SEGLOG_EFORKED
                              : state_lock_take(&map->lock, exclusive != 0, timeout_ns);
}

int seglog_map_unlock(struct seglog_map *map)
{
    return map_is_forked(map) ? SEGLOG_EFORKED : state_lock_drop(&map->lock);
}

/* ---- files ----------------------------------------------------------------------------------- */

struct copy_source {
    int fd;
    uint64_t size;
};

static int copy_fill(void *context, int fd)
{
    const struct copy_source *source = context;

    return file_copy(source->fd, fd, source->size);
}

int seglog_map_copy(const char *from, const char *to)
{
    struct copy_source source;
    struct file_facts facts;
    struct place place;
    int fd, rc;

    rc = place_open(from, true, &place);
    if (rc < 0)
        return rc;
    source.fd = place_find(&place, false);
    place_close(&place);
    if (source.fd < 0)
        return source.fd;
    rc = file_facts(source.fd, &facts);
    if (rc == 0)
        rc = place_open(to, true, &place);
    if (rc == 0) {
        source.size = facts.size;
        fd = place_create(&place, facts.mode & 0777, 0, copy_fill, &source);
        rc = fd < 0 ? fd : 0;
        file_close(fd);
        place_close(&place);
    }
    file_close(source.fd);
    return rc;
}

int seglog_map_delete(const char *path)
{
    struct place place;
    int rc = place_open(path, true, &place);

    if (rc < 0)
        return rc;
    rc = file_unlink(place.dirfd, place.name);
    if (rc == 0 && !place.is_volatile)
        rc = dir_sync(place.dirfd);
    place_close(&place);
    return rc;
}
