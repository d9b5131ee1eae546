/*
 * Mapped files: making and ending them, their bytes, their size.
 *
 * A map is a region (sys/region.h) from the page on in which the user's offset lies; `skip` is what is in
 * front of it. Every access is checked against what is mapped at that moment, and looks afterwards
 * whether a page was lost under it.
 */
#include "state/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "state/place.h"
#include "sys/file.h"
#include "sys/map.h"

#define GROW_STEP (UINT64_C(1) << 20)

/* ---- making, ending -------------------------------------------------------------------------- */

static int check_options(const struct seglog_map_options *o)
{
    const uint32_t all =
        SEGLOG_MAP_CREATE | SEGLOG_MAP_EXCLUSIVE | SEGLOG_MAP_NO_GUARD | SEGLOG_MAP_FORCE_FS;

    if (o->mode > SEGLOG_MAP_PRIVATE || o->flush > SEGLOG_FLUSH_EVERY_NS ||
        o->prefetch > SEGLOG_PREFETCH_ALL || o->huge > SEGLOG_HUGE_REQUIRE || (o->flags & ~all))
        return -EINVAL;
    if ((o->flags & SEGLOG_MAP_CREATE) &&
        (o->mode != SEGLOG_MAP_WRITE || o->size == 0 || o->file_mode > 0777))
        return -EINVAL;
    if ((o->flags & SEGLOG_MAP_EXCLUSIVE) && !(o->flags & SEGLOG_MAP_CREATE))
        return -EINVAL;
    if (o->flush != SEGLOG_FLUSH_MANUAL && o->mode != SEGLOG_MAP_WRITE)
        return -EINVAL;
    if (o->flush >= SEGLOG_FLUSH_EVERY_BYTES && o->flush_amount == 0)
        return -EINVAL;
    if (o->grow_step > (uint64_t)INT64_MAX / 4)
        return -EINVAL;
    return 0;
}

/* How much of the file, and from where; the size of its pages. */
static int find_range(int fd, const struct seglog_map_options *o, struct region_options *out,
                      uint64_t *skip)
{
    struct file_facts facts;
    struct fs_facts fs;
    uint64_t len = o->len;
    int rc = file_facts(fd, &facts);

    if (rc == 0)
        rc = fs_facts(fd, &fs);
    if (rc < 0)
        return rc;
    if (fs.is_refused && !fs.maps_only && !(o->flags & SEGLOG_MAP_FORCE_FS))
        return SEGLOG_EFS;
    if (!facts.is_regular || o->offset >= facts.size)
        return -EINVAL;
    if (len > facts.size - o->offset)
        return -ERANGE;
    if (len == 0)
        len = facts.size - o->offset;
    out->page = strcmp(fs.name, "hugetlbfs") == 0 ? facts.block : map_page_size();
    if (o->huge == SEGLOG_HUGE_REQUIRE && out->page == map_page_size())
        return -EOPNOTSUPP;
    *skip = o->offset % out->page;
    out->offset = o->offset - *skip;
    out->size = *skip + len;
    return 0;
}

static void map_free(struct seglog_map *map)
{
    map_turn_free(map);
    file_close(map->fd);
    fork_guard_free(map->guard);
    free(map);
}

/* Take fd over; it is closed on failure. */
static int map_make(int fd, const struct seglog_map_options *o, bool is_volatile,
                    struct seglog_map **out)
{
    struct region_options region = {
        .writable = o->mode != SEGLOG_MAP_READ,
        .is_private = o->mode == SEGLOG_MAP_PRIVATE,
        .guarded = !(o->flags & SEGLOG_MAP_NO_GUARD),
    };
    struct seglog_map *map = calloc(1, sizeof(*map));
    int rc;

    if (!map) {
        file_close(fd);
        return -ENOMEM;
    }
    *map = (struct seglog_map){
        .fd = fd,
        .mode = o->mode,
        .grow_step = o->grow_step ? o->grow_step : GROW_STEP,
        .grows = o->len == 0,
        .is_volatile = is_volatile,
    };
    map->guard = fork_guard_new();
    rc = map->guard ? find_range(fd, o, &region, &map->skip) : -ENOMEM;
    if (rc == 0 && o->mode == SEGLOG_MAP_WRITE)
        file_size_settle(fd); /* its size may be one that somebody is about to give it */
    if (rc == 0)
        rc = region_open(&map->region, fd, &region);
    if (rc < 0)
        goto fail_free;
    if (region.page > map_page_size())
        map->huge = SEGLOG_HUGE_GRANTED;
    else if (o->huge == SEGLOG_HUGE_TRY &&
             region_advise(&map->region, 0, region.size, MAP_ADVICE_HUGE) == 0)
        map->huge = SEGLOG_HUGE_ADVISED;
    rc = map_prefetch(map, o->prefetch, o->prefetch_bytes);
    if (rc == 0)
        rc = map_flush_init(&map->flush, o->flush, o->flush_amount);
    if (rc < 0)
        goto fail_region;
    state_lock_init(&map->lock, fd, o->mode == SEGLOG_MAP_WRITE);
    *out = map;
    return 0;

fail_region:
    region_close(&map->region);
fail_free:
    map_free(map);
    return rc;
}

int seglog_map_open(const char *path, const struct seglog_map_options *options,
                    struct seglog_map **out)
{
    static const struct seglog_map_options plain;
    const struct seglog_map_options *o = options ? options : &plain;
    struct place place;
    int fd, rc = check_options(o);

    if (rc == 0)
        rc = place_open_for_map(path, o->flags & SEGLOG_MAP_FORCE_FS, &place);
    if (rc < 0)
        return rc;
    fd =
        o->flags & SEGLOG_MAP_EXCLUSIVE ? -ENOENT : place_find(&place, o->mode == SEGLOG_MAP_WRITE);
    if (fd == -ENOENT && (o->flags & SEGLOG_MAP_CREATE)) {
        fd = place_create(&place, o->file_mode ? o->file_mode : 0640, o->size, NULL, NULL);
        if (fd == -EEXIST && !(o->flags & SEGLOG_MAP_EXCLUSIVE))
            fd = place_find(&place, true); /* others were faster */
    }
    rc = fd < 0 ? fd : map_make(fd, o, place.is_volatile, out);
    place_close(&place);
    return rc;
}

int seglog_map_open_fd(int fd, const struct seglog_map_options *options, struct seglog_map **out)
{
    static const struct seglog_map_options plain;
    const struct seglog_map_options *o = options ? options : &plain;
    struct fs_facts fs;
    int own, rc = check_options(o);

    if (rc == 0 && (o->flags & SEGLOG_MAP_CREATE))
        rc = -EINVAL;
    if (rc == 0)
        rc = fs_facts(fd, &fs);
    if (rc < 0)
        return rc;
    own = file_duplicate(fd);
    return own < 0 ? own : map_make(own, o, fs.is_volatile, out);
}

int seglog_map_anonymous(uint64_t size, const struct seglog_map_options *options,
                         struct seglog_map **out)
{
    struct seglog_map_options o = options ? *options : (struct seglog_map_options){0};
    struct file_facts facts;
    int fd, rc;

    o.mode = SEGLOG_MAP_WRITE;
    rc = check_options(&o);
    if (rc < 0 || size == 0 || size > (uint64_t)INT64_MAX / 4 || o.offset || o.len || o.size ||
        (o.flags & SEGLOG_MAP_CREATE))
        return -EINVAL;
    fd = o.huge == SEGLOG_HUGE_NO ? -EOPNOTSUPP : file_in_memory(true);
    rc = fd < 0 ? fd : file_facts(fd, &facts);
    if (rc >= 0)
        rc = file_reserve(fd, align_up(size, facts.block));
    if (rc < 0 && fd >= 0)
        file_close(fd);
    if (rc < 0 && o.huge == SEGLOG_HUGE_REQUIRE)
        return rc;
    if (rc < 0) {
        fd = file_in_memory(false);
        rc = fd < 0 ? fd : file_reserve(fd, size);
        if (rc < 0) {
            file_close(fd);
            return rc;
        }
    }
    rc = map_make(fd, &o, true, out);
    if (rc == 0)
        (*out)->is_anonymous = true;
    return rc;
}

int seglog_map_close(struct seglog_map *map)
{
    int rc = 0;

    if (!map)
        return 0;
    rc = map_flush_end(map);
    if (!map_is_forked(map))
        state_lock_end(&map->lock);
    region_close(&map->region);
    map_free(map);
    return rc;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int map_lost(struct seglog_map *map)
{
    struct file_facts facts;
    int expected = 0, why = -EIO;

    if (file_facts(map->fd, &facts) == 0 &&
        facts.size < map->region.options.offset + atomic_load(&map->region.size))
        why = SEGLOG_ETRUNCATED;
    /* The first verdict stays. */
    if (!atomic_compare_exchange_strong(&map->lost, &expected, why))
        why = expected;
    return why;
}

int map_usable(struct seglog_map *map)
{
    const int lost = atomic_load_explicit(&map->lost, memory_order_relaxed);

    if (map_is_forked(map))
        return SEGLOG_EFORKED;
    if (lost != 0)
        return lost;
    return region_is_hit(&map->region) ? map_lost(map) : 0;
}

/* After an access: was there something? */
static int touched(struct seglog_map *map)
{
    return region_is_hit(&map->region) ? map_lost(map) : 0;
}

uint64_t seglog_map_size(const struct seglog_map *map)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&map->region.size,
                                memory_order_acquire) -
           map->skip;
}

int seglog_map_read(struct seglog_map *map, uint64_t offset, void *buf, size_t len, size_t *got)
{
    const uint64_t size = seglog_map_size(map);
    const uint8_t *at;
    const int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (offset > size || (len > size - offset && !got))
        return -ERANGE;
    if (len > size - offset)
        len = (size_t)(size - offset);
    at = map_at(map, offset, len);
    memcpy(buf, at, len);
    if (got)
        *got = len;
    return touched(map);
}

int seglog_map_view(struct seglog_map *map, uint64_t offset, uint64_t len, const void **out)
{
    const int rc = map_usable(map);
    const uint8_t *at;

    if (rc < 0)
        return rc;
    at = map_at(map, offset, len);
    if (!at)
        return -ERANGE;
    *out = at;
    return 0;
}

int seglog_map_edit_begin(struct seglog_map *map, uint64_t offset, uint64_t len, void **out)
{
    const int rc = map_usable(map);
    uint8_t *at;

    if (rc < 0)
        return rc;
    if (map->mode == SEGLOG_MAP_READ)
        return -EPERM;
    if (atomic_load_explicit(&map->flush.failed, memory_order_relaxed) != 0)
        return SEGLOG_EPOISONED;
    at = map_at(map, offset, len);
    if (!at)
        return -ERANGE;
    *out = at;
    return 0;
}

int seglog_map_edit_end(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    void *at;
    const int rc = seglog_map_edit_begin(map, offset, len, &at);

    return rc < 0 ? rc : map_written(map, offset, len);
}

int seglog_map_write(struct seglog_map *map, uint64_t offset, const void *buf, size_t len)
{
    void *at;
    int rc = seglog_map_edit_begin(map, offset, len, &at);

    if (rc < 0)
        return rc;
    memcpy(at, buf, len);
    rc = touched(map);
    return rc < 0 ? rc : map_written(map, offset, len);
}

int seglog_map_next(struct seglog_map *map, struct seglog_map_walk *walk)
{
    const uint64_t size = seglog_map_size(map);
    uint64_t len;
    int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (walk->chunk == 0)
        return -EINVAL;
    if (walk->offset > size)
        return -ERANGE;
    len = size - walk->offset < walk->chunk ? size - walk->offset : walk->chunk;
    if (len == 0)
        return 0;
    rc = seglog_map_view(map, walk->offset, len, &walk->data);
    if (rc < 0)
        return rc;
    walk->len = len;
    walk->offset += len;
    return 1;
}

int seglog_map_check(struct seglog_map *map)
{
    struct file_facts facts;
    int rc = map_usable(map);

    if (rc == 0)
        rc = file_facts(map->fd, &facts);
    if (rc < 0)
        return rc;
    if (facts.size < map->region.options.offset + atomic_load(&map->region.size))
        return map_lost(map);
    return 0;
}

/* ---- size ------------------------------------------------------------------------------------ */

static int may_grow(struct seglog_map *map)
{
    const int rc = map_usable(map);

    if (rc < 0)
        return rc;
    return !map->grows || map->mode == SEGLOG_MAP_PRIVATE ? -EPERM : 0;
}

/* The map ends where the file ends. */
static int map_up_to(struct seglog_map *map, uint64_t file_size)
{
    const uint64_t mapped = map->region.options.offset + atomic_load(&map->region.size);

    if (file_size < mapped)
        return map_lost(map);
    if (file_size > mapped && map->mode == SEGLOG_MAP_WRITE)
        file_size_settle(map->fd);
    return region_extend(&map->region, file_size - map->region.options.offset);
}

int seglog_map_grow(struct seglog_map *map, uint64_t size)
{
    const uint64_t front = map->region.options.offset + map->skip;
    struct file_facts facts;
    int rc = may_grow(map);

    if (rc == 0 && map->mode != SEGLOG_MAP_WRITE)
        rc = -EPERM;
    if (rc == 0)
        rc = file_facts(map->fd, &facts);
    if (rc < 0)
        return rc;
    if (size > (uint64_t)INT64_MAX / 4 - front - map->grow_step)
        return -EFBIG;
    /* Others may grow it at the same time: reserving only ever makes it longer. */
    if (front + size > facts.size) {
        const uint64_t steps = (front + size - facts.size + map->grow_step - 1) / map->grow_step;

        rc = file_lengthen(map->fd, facts.size,
                           align_up(steps * map->grow_step, map->huge == SEGLOG_HUGE_GRANTED
                                                                ? map->region.options.page
                                                                : 1));
        if (rc == 0)
            rc = file_facts(map->fd, &facts);
    }
    return rc < 0 ? rc : map_up_to(map, facts.size);
}

int seglog_map_refresh(struct seglog_map *map)
{
    struct file_facts facts;
    int rc = may_grow(map);

    if (rc == 0)
        rc = file_facts(map->fd, &facts);
    return rc < 0 ? rc : map_up_to(map, facts.size);
}
