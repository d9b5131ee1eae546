/*
 * Memory mappings of files, and a word that tells parent from child.
 *
 * The one hard thing is faulting pages in for writing while other processes store into them: a read
 * followed by a write of what was read would undo their stores.
 */
#include "sys/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HUGETLBFS 0x958458f6u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

size_t map_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t map_page_size_of(int fd)
{
    struct statfs st;

    if (fstatfs(fd, &st) == 0 && (uint32_t)st.f_type == HUGETLBFS)
        return (size_t)st.f_bsize;
    return map_page_size();
}

int map_file(int fd, uint64_t offset, size_t size, bool writable, void **out)
{
    const int prot = PROT_READ | (writable ? PROT_WRITE : 0);
    void *base;

    if (offset > INT64_MAX)
        return -EOVERFLOW;
    base = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
    if (base == MAP_FAILED)
        return -errno;
    *out = base;
    return 0;
}

void map_drop(void *base, size_t size)
{
    if (base)
        (void)munmap(base, size);
}

int map_memory(size_t size, void **out)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return -errno;
    *out = base;
    return 0;
}

int map_file_twice(int fd, uint64_t offset, size_t size, size_t page, bool writable, void **out)
{
    const int prot = PROT_READ | (writable ? PROT_WRITE : 0);
    uint8_t *raw, *base;
    int rc;

    if (offset > INT64_MAX || size > (SIZE_MAX - page) / 2)
        return -EOVERFLOW;
    /* Addresses first, so that nobody else's mapping comes between the two. */
    raw =
        mmap(NULL, 2 * size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return -errno;
    base = raw + (page - (uintptr_t)raw % page) % page;
    for (size_t i = 0; i < 2; i++) {
        if (mmap(base + i * size, size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
            MAP_FAILED) {
            rc = -errno;
            (void)munmap(raw, 2 * size + page);
            return rc;
        }
    }
    if (base > raw)
        (void)munmap(raw, (size_t)(base - raw));
    if (raw + page > base)
        (void)munmap(base + 2 * size, (size_t)(raw + page - base));
    *out = base;
    return 0;
}

void map_prefault(void *base, size_t size)
{
    (void)madvise(base, size, MADV_POPULATE_READ);
}

/*
 * Exchange a word of each page with itself: the page is faulted in for writing and nobody's store is
 * lost. Not fetch_or(0), which compilers turn into a plain load.
 */
static void touch_pages(uint8_t *base, size_t size)
{
    const size_t step = map_page_size();

    for (size_t at = 0; at < size; at += step) {
        _Atomic uint8_t *byte = (_Atomic uint8_t *)(base + at);
        uint8_t seen = atomic_load_explicit(byte, memory_order_relaxed);

        while (!atomic_compare_exchange_weak_explicit(byte, &seen, seen, memory_order_relaxed,
                                                      memory_order_relaxed))
            continue;
    }
}

int map_populate(void *base, size_t size)
{
    const uintptr_t into_page = (uintptr_t)base & (map_page_size() - 1);
    uint8_t *first = (uint8_t *)base - into_page;

    if (size == 0)
        return 0;
    size += into_page;
    while (madvise(first, size, MADV_POPULATE_WRITE) < 0) {
        if (errno == EINVAL) { /* before Linux 5.14 */
            touch_pages(first, size);
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

int map_sync(void *base, uint64_t from, uint64_t to)
{
    const uint64_t first = from & ~(uint64_t)(map_page_size() - 1);

    if (from >= to)
        return 0;
    while (msync((uint8_t *)base + first, (size_t)(to - first), MS_SYNC) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

void map_populate_read(void *base, size_t size)
{
    const uintptr_t into_page = (uintptr_t)base & (map_page_size() - 1);
    const uint8_t *first = (const uint8_t *)base - into_page;

    size += into_page;
    while (madvise((void *)(uintptr_t)first, size, MADV_POPULATE_READ) < 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno == EINVAL) { /* before Linux 5.14 */
            for (size_t at = 0; at < size; at += map_page_size())
                (void)*(const volatile uint8_t *)(first + at);
        }
        return; /* what is not in place faults later */
    }
}

int map_advise(void *base, size_t size, int advice)
{
    return madvise(base, size, advice) < 0 ? -errno : 0;
}

const uint64_t *fork_guard_new(void)
{
    const size_t size = map_page_size();
    uint64_t *guard = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (guard == MAP_FAILED)
        return NULL;
    /* The 1 comes after the advice: a fork between any two lines gives the child a 0. */
    if (madvise(guard, size, MADV_WIPEONFORK) < 0) {
        (void)munmap(guard, size);
        return NULL;
    }
    *guard = 1;
    return guard;
}

void fork_guard_free(const uint64_t *guard)
{
    if (guard)
        (void)munmap((void *)(uintptr_t)guard, map_page_size());
}
