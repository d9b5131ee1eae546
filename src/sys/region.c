/*
 * A mapping that grows without moving.
 *
 * Who reads concurrently loads size, then base. They are stored in the other order, so a base is never
 * older than the size that it is used with, and each base is good for all sizes up to its own.
 */
#include "sys/region.h"

#include "base/bytes.h"
#include "sys/map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define RESERVE_LEAST (UINT64_C(256) << 20)

struct region_hold {
    struct region_hold *next;
    uint8_t *base;
    uint64_t reserved;
    struct guard *guard;
};

static int region_prot(const struct region *r)
{
    return PROT_READ | (r->options.writable ? PROT_WRITE : 0);
}

/* Set address space aside, less if there is not so much. */
static int reserve(uint64_t least, uint64_t wish, size_t page, uint8_t **base, uint64_t *reserved)
{
    for (;;) {
        /* Huge pages want their alignment: ask for one more and give the ends back. */
        const uint64_t slack = page > map_page_size() ? page : 0;
        uint8_t *at =
            mmap(NULL, wish + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at != MAP_FAILED) {
            const uint64_t skip = slack ? align_up((uintptr_t)at, page) - (uintptr_t)at : 0;

            if (skip)
                (void)munmap(at, skip);
            if (slack - skip)
                (void)munmap(at + skip + wish, slack - skip);
            *base = at + skip;
            *reserved = wish;
            return 0;
        }
        if (wish == least)
            return -errno;
        wish = wish / 2 > least ? align_up(wish / 2, page) : least;
    }
}

static int map_part(const struct region *r, uint8_t *base, uint64_t from, uint64_t to)
{
    const int flags = MAP_FIXED | (r->options.is_private ? MAP_PRIVATE : MAP_SHARED);

    if (from >= to)
        return 0;
    if (mmap(base + from, to - from, region_prot(r), flags, r->fd,
             (off_t)(r->options.offset + from)) == MAP_FAILED)
        return -errno;
    return 0;
}

/* A new reservation with the first `size` bytes of the file in it. */
static int hold_new(struct region *r, uint64_t size, uint64_t wish)
{
    const size_t page = r->options.page;
    const uint64_t mapped = align_up(size, page);
    struct region_hold *hold = calloc(1, sizeof(*hold));
    int rc;

    if (!hold)
        return -ENOMEM;
    rc = reserve(mapped, align_up(wish > mapped ? wish : mapped, page), page, &hold->base,
                 &hold->reserved);
    if (rc < 0)
        goto fail_free;
    rc = map_part(r, hold->base, 0, mapped);
    if (rc == 0 && r->options.guarded)
        rc = guard_add(hold->base, hold->reserved, region_prot(r), page, &r->hits, &hold->guard);
    if (rc < 0)
        goto fail_unmap;
    hold->next = r->holds;
    r->holds = hold;
    atomic_store_explicit(&r->base, hold->base, memory_order_relaxed);
    atomic_store_explicit(&r->size, size, memory_order_release);
    return 0;

fail_unmap:
    (void)munmap(hold->base, hold->reserved);
fail_free:
    free(hold);
    return rc;
}

int region_open(struct region *region, int fd, const struct region_options *options)
{
    const size_t page = options->page ? options->page : map_page_size();
    uint64_t wish = options->reserve;
    int rc;

    if (options->size == 0 || options->offset % page != 0 || options->offset > INT64_MAX ||
        options->size > (uint64_t)INT64_MAX / 4 - options->offset)
        return -EINVAL;
    if (wish == 0 && !options->is_private) {
        wish = options->size <= RESERVE_LEAST / 8 ? RESERVE_LEAST : options->size * 2;
    }
    *region = (struct region){.fd = fd, .options = *options};
    region->options.page = page;
    rc = -pthread_mutex_init(&region->lock, NULL);
    if (rc < 0)
        return rc;
    rc = hold_new(region, options->size, wish);
    if (rc < 0)
        (void)pthread_mutex_destroy(&region->lock);
    return rc;
}

static int extend_locked(struct region *r, uint64_t size)
{
    const size_t page = r->options.page;
    const uint64_t old = atomic_load_explicit(&r->size, memory_order_relaxed);
    int rc;

    if (size <= old)
        return 0;
    if (r->options.is_private)
        return -EPERM;
    if (size > (uint64_t)INT64_MAX / 4 - r->options.offset)
        return -EFBIG;
    if (align_up(size, page) > r->holds->reserved)
        return hold_new(r, size, size * 2);
    rc = map_part(r, r->holds->base, align_up(old, page), align_up(size, page));
    if (rc == 0)
        atomic_store_explicit(&r->size, size, memory_order_release);
    return rc;
}

int region_extend(struct region *region, uint64_t size)
{
    int rc;

    (void)pthread_mutex_lock(&region->lock);
    rc = extend_locked(region, size);
    (void)pthread_mutex_unlock(&region->lock);
    return rc;
}

void region_close(struct region *region)
{
    struct region_hold *hold = region->holds;

    while (hold) {
        struct region_hold *next = hold->next;

        guard_drop(hold->guard);
        (void)munmap(hold->base, hold->reserved);
        free(hold);
        hold = next;
    }
    region->holds = NULL;
    (void)pthread_mutex_destroy(&region->lock);
}

/* The whole pages around a range. */
static uint8_t *pages_around(struct region *r, uint64_t offset, uint64_t len, size_t *size)
{
    const uint64_t first = offset & ~(uint64_t)(r->options.page - 1);

    *size = (size_t)(align_up(offset + len, r->options.page) - first);
    return atomic_load(&r->base) + first;
}

int region_sync(struct region *region, uint64_t offset, uint64_t len)
{
    size_t size;
    uint8_t *at = pages_around(region, offset, len, &size);

    /* Never MS_ASYNC: Linux does nothing for it. */
    while (msync(at, size, MS_SYNC) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int region_advise(struct region *region, uint64_t offset, uint64_t len, int advice)
{
    size_t size;
    uint8_t *at = pages_around(region, offset, len, &size);

    return madvise(at, size, advice) < 0 ? -errno : 0;
}

int region_lock(struct region *region, uint64_t offset, uint64_t len, bool locked)
{
    size_t size;
    uint8_t *at = pages_around(region, offset, len, &size);

    return (locked ? mlock(at, size) : munlock(at, size)) < 0 ? -errno : 0;
}

int region_populate(struct region *region, uint64_t offset, uint64_t len, bool for_writing)
{
    size_t size;
    uint8_t *at = pages_around(region, offset, len, &size);

    if (for_writing)
        return map_populate(at, size);
    while (madvise(at, size, MADV_POPULATE_READ) < 0) {
        if (errno == EINVAL) { /* before Linux 5.14 */
            for (size_t i = 0; i < size; i += region->options.page)
                (void)atomic_load_explicit((_Atomic uint8_t *)(at + i), memory_order_relaxed);
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

int region_resident(struct region *region, uint64_t offset, uint64_t len, uint64_t *out)
{
    unsigned char in[1024];
    const size_t page = map_page_size();
    size_t size, n;
    uint8_t *at = pages_around(region, offset, len, &size);

    *out = 0;
    for (; size > 0; at += n * page, size -= n * page) {
        n = size / page < sizeof(in) ? size / page : sizeof(in);
        if (mincore(at, n * page, in) < 0)
            return -errno;
        for (size_t i = 0; i < n; i++)
            *out += (in[i] & 1) * page;
    }
    return 0;
}
