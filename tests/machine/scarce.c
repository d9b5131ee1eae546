/*
 * Memory and descriptors that run out. See scarce.h.
 */
#include "machine/scarce.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILLERS_MAX 256
#define BLOCKS_MAX  4096

/* ---- memory ----------------------------------------------------------------------------------- */

static _Atomic uint64_t left; /* before one fails; 0: none does */
static atomic_bool met;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void __wrap_free(void *block);

/* The blocks that are out. Where the linker leads nothing else here, they are all ours. */
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static void *blocks[BLOCKS_MAX];
static size_t blocks_out;

static void *block_add(void *block)
{
    size_t i = 0;

    if (!block)
        return block;
    pthread_mutex_lock(&blocks_lock);
    while (i < BLOCKS_MAX && blocks[i])
        i++;
    cr_assert_lt(i, BLOCKS_MAX);
    blocks[i] = block;
    blocks_out++;
    pthread_mutex_unlock(&blocks_lock);
    return block;
}

static void block_forget(const void *block)
{
    pthread_mutex_lock(&blocks_lock);
    for (size_t i = 0; block && i < BLOCKS_MAX; i++) {
        if (blocks[i] == block) {
            blocks[i] = NULL;
            blocks_out--;
            break;
        }
    }
    pthread_mutex_unlock(&blocks_lock);
}

static bool fails(void)
{
    if (atomic_load(&left) == 0 || atomic_fetch_sub(&left, 1) != 1)
        return false;
    atomic_store(&met, true);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : block_add(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : block_add(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    void *block = fails() ? NULL : __real_realloc(old, size);

    if (block)
        block_forget(old);
    return block_add(block);
}

void __wrap_free(void *block)
{
    block_forget(block);
    __real_free(block);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : block_add(__real_aligned_alloc(alignment, size));
}

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, prot, flags, fd, offset);
}

void scarce_memory(uint64_t nth)
{
    atomic_store(&met, false);
    atomic_store(&left, nth);
}

bool scarce_memory_met(void)
{
    return atomic_load(&met);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static int fillers[FILLERS_MAX];
static int filler_count;

static void limit_set(rlim_t soft)
{
    struct rlimit limit;

    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The highest descriptor that is open, and how many are. */
static int descriptors_count(int *highest)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    int count = 0;

    cr_assert(dir != NULL);
    *highest = -1;
    while ((entry = readdir(dir)) != NULL) {
        const int fd = atoi(entry->d_name);

        if (entry->d_name[0] == '.' || fd == dirfd(dir))
            continue;
        count++;
        *highest = fd > *highest ? fd : *highest;
    }
    (void)closedir(dir);
    return count;
}

void scarce_descriptors(unsigned n)
{
    int highest, fd;

    (void)descriptors_count(&highest);
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < highest) {
        cr_assert(fd >= 0 && filler_count < FILLERS_MAX);
        fillers[filler_count++] = fd;
    }
    (void)close(fd);
    limit_set((rlim_t)highest + 1 + n);
}

void scarce_descriptors_end(void)
{
    limit_set(RLIM_INFINITY);
    while (filler_count > 0)
        (void)close(fillers[--filler_count]);
}

/* ---- what is held ----------------------------------------------------------------------------- */

static size_t mappings_of(const char *dir)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4500];
    size_t count = 0;

    cr_assert(maps != NULL);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, dir) != NULL;
    (void)fclose(maps);
    return count;
}

struct holdings holdings_of(const char *dir)
{
    int highest;

    return (struct holdings){
        .descriptors = (size_t)descriptors_count(&highest),
        .mappings = mappings_of(dir),
        .blocks = blocks_out,
    };
}
