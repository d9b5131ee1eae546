/*
 * Readers that leave nothing in the page cache: they read the same, views stay good as long as
 * anywhere, and where the kernel forgets pages at all, it is made to.
 */
#include "reading.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define N      4u
#define EACH   400u
#define SEALED 3u

struct dropping {
    struct build_log log;
    struct build_segment segs[N];
};

static void dropping_make(struct dropping *d)
{
    build_log_make(&d->log);
    build_many(&d->log, d->segs, N, SEALED, EACH);
}

static void dropping_remove(struct dropping *d)
{
    close_many(d->segs, N);
    build_log_remove(&d->log);
}

/* How many pages of segment `number` are in memory. It is synced before, as dirty pages stay. */
static unsigned resident(const struct dropping *d, uint64_t number)
{
    static unsigned char there[SEGMENT_SIZE_MIN / 4096];
    const size_t size = SEGMENT_SIZE_MIN;
    char name[SEGMENT_NAME_BYTES];
    unsigned n = 0;
    void *base;
    int fd;

    segment_name(number, name);
    fd = openat(d->log.dirfd, name, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fsync(fd), 0);
    base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(base, MAP_FAILED);
    cr_assert_eq(mincore(base, size, there), 0);
    for (size_t i = 0; i < sizeof(there); i++)
        n += there[i] & 1;
    munmap(base, size);
    close(fd);
    return n;
}

/* Does this file system forget pages when it is asked to? tmpfs has nowhere else to keep them. */
static bool forgets(const struct dropping *d, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    int fd;

    segment_name(number, name);
    fd = openat(d->log.dirfd, name, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    return resident(d, number) == 0;
}

static void reads_the_same(uint32_t flags)
{
    struct dropping d;
    struct seglog_reader *reader;

    dropping_make(&d);
    reader = reader_on(&d.log, flags | SEGLOG_READER_DROP_BEHIND);
    for (unsigned i = 0; i < N; i++) {
        expect_all(reader, i * EACH, (i + 1) * EACH);
        seglog_reader_release(reader);
    }
    expect_end(reader);
    expect_all_back(reader, N * EACH, 0);
    seglog_reader_release(reader);
    expect_all(reader, 0, EACH);
    seglog_reader_close(reader);
    dropping_remove(&d);
}

Test(drop, reads_the_same_forward_and_backward)
{
    reads_the_same(0);
}

Test(drop, reads_the_same_by_copying)
{
    reads_the_same(SEGLOG_READER_COPY);
}

Test(drop, views_stay_good_until_they_are_released)
{
    struct dropping d;
    struct seglog_reader *reader;
    struct seglog_view first;

    dropping_make(&d);
    reader = reader_on(&d.log, SEGLOG_READER_DROP_BEHIND);
    cr_assert_ok(seglog_reader_next(reader, &first));
    expect_all(reader, 1, N * EACH);
    expect_view(&first, 0);
    seglog_reader_close(reader);
    dropping_remove(&d);
}

Test(drop, what_was_read_and_released_leaves_the_page_cache)
{
    struct dropping d;
    struct seglog_reader *reader;
    bool can;

    dropping_make(&d);
    close_many(d.segs, N);
    for (unsigned i = 0; i < N; i++)
        (void)resident(&d, i); /* synced */
    can = forgets(&d, 0);
    reader = reader_on(&d.log, SEGLOG_READER_DROP_BEHIND);
    expect_all(reader, 0, 2 * EACH + 1);
    seglog_reader_release(reader);
    if (can) {
        cr_assert_eq(resident(&d, 0), 0);
        cr_assert_eq(resident(&d, 1), 0);
    }
    seglog_reader_close(reader);
    if (can)
        cr_assert_eq(resident(&d, 2), 0, "left at close");
    build_log_remove(&d.log);
}

Test(drop, what_is_not_sealed_stays)
{
    struct dropping d;
    struct seglog_reader *reader;

    dropping_make(&d);
    close_many(d.segs, N);
    (void)resident(&d, N - 1); /* synced */
    reader = reader_on(&d.log, SEGLOG_READER_DROP_BEHIND);
    expect_all(reader, 0, N * EACH);
    seglog_reader_close(reader);
    cr_assert_gt(resident(&d, N - 1), 0);
    build_log_remove(&d.log);
}

Test(drop, readers_that_do_not_ask_for_it_leave_all_there)
{
    struct dropping d;
    struct seglog_reader *reader;

    dropping_make(&d);
    close_many(d.segs, N);
    (void)resident(&d, 0); /* synced */
    reader = reader_on(&d.log, 0);
    expect_all(reader, 0, N * EACH);
    seglog_reader_close(reader);
    cr_assert_gt(resident(&d, 0), 0);
    build_log_remove(&d.log);
}
