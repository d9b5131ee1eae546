/*
 * A mapping that grows without moving.
 *
 * More address space is reserved than is mapped; what the file gains is mapped behind what is there.
 * When the reservation is used up, the whole file is mapped once more in a larger one, and the old
 * mapping stays until the end: every address handed out remains good, and shows the same bytes.
 */
#ifndef SYS_REGION_H
#define SYS_REGION_H

#include "sys/guard.h"

#include <pthread.h>
#include <stdbool.h>

/* MADV_HUGEPAGE, for region_advise(). */
#define MAP_ADVICE_HUGE 14

struct region_hold;

struct region_options {
    uint64_t offset;  /* in the file, a multiple of `page` */
    uint64_t size;    /* bytes to map, at least 1; the file must have them */
    uint64_t reserve; /* address space to set aside for growth; 0: some */
    size_t page;      /* 0: the machine's; else that of the file's huge pages */
    bool writable;
    bool is_private; /* copy-on-write: stores are seen here only, and it cannot grow */
    bool guarded;    /* lost pages are counted instead of fatal (guard.h) */
};

struct region {
    _Atomic(uint8_t *) base; /* moves only in the sense above */
    _Atomic uint64_t size;   /* read it before base */
    _Atomic uint32_t hits;   /* pages lost */
    int fd;                  /* the caller's */
    struct region_options options;
    struct region_hold *holds; /* newest first */
    pthread_mutex_t lock;
};

/* Map. fd must stay open while the region may grow. -EINVAL, or as mmap() says. */
int region_open(struct region *region, int fd, const struct region_options *options);
/* Make at least `size` bytes mapped; the file must have them. Any thread; others go on meanwhile.
 * -EPERM: private */
int region_extend(struct region *region, uint64_t size);
void region_close(struct region *region);

/* Bytes [offset, offset + len), or NULL when they are not all mapped. */
static inline uint8_t *region_at(struct region *region, uint64_t offset, uint64_t len)
{
    const uint64_t size = atomic_load_explicit(&region->size, memory_order_acquire);

    if (offset > size || len > size - offset)
        return NULL;
    return atomic_load_explicit(&region->base, memory_order_relaxed) + offset;
}

static inline bool region_is_hit(const struct region *region)
{
    return atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&region->hits,
                                memory_order_relaxed) != 0;
}

/* For the whole pages around [offset, offset + len), which must be mapped. */
int region_sync(struct region *region, uint64_t offset, uint64_t len); /* durable when it returns */
int region_advise(struct region *region, uint64_t offset, uint64_t len, int advice); /* MADV_* */
int region_lock(struct region *region, uint64_t offset, uint64_t len, bool locked);  /* mlock */
int region_populate(struct region *region, uint64_t offset, uint64_t len, bool for_writing);
/* How many bytes of it are in memory (mincore). */
int region_resident(struct region *region, uint64_t offset, uint64_t len, uint64_t *out);

#endif
