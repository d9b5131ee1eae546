/*
 * Every kind of operation, each way: what it does, and how it fails.
 */
#include "io/ways.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/map.h"

/* One operation alone: its result. */
static int64_t one(struct bench *b, struct io_op op)
{
    struct io_chain chain = {.ops = &op, .count = 1, .linked = true};
    const int status = bench_run(b, &chain);

    cr_assert_eq(status, op.result < 0 ? (int)op.result : 0, "%s: status %d, result %lld",
                 way_name(b->way), status, (long long)op.result);
    return op.result;
}

static uint64_t size_of(int fd)
{
    struct file_facts facts;

    cr_assert_ok(file_facts(fd, &facts));
    return facts.size;
}

static void write_then_read(struct bench *b)
{
    char back[32] = {0};

    cr_assert_eq(
        one(b,
            (struct io_op){
                .kind = IO_WRITE, .fd = b->fd, .from = "twelve bytes", .len = 12, .offset = 4096}),
        12);
    cr_assert_eq(size_of(b->fd), 4108);
    cr_assert_eq(
        one(b,
            (struct io_op){.kind = IO_READ, .fd = b->fd, .data = back, .len = 12, .offset = 4096}),
        12);
    cr_assert_str_eq(back, "twelve bytes");
    cr_assert_eq(one(b, (struct io_op){.kind = IO_WRITE, .fd = b->fd, .from = "", .len = 0}), 0);
}

Test(ops, what_was_written_is_read)
{
    each_way(write_then_read);
}

static void read_too_far(struct bench *b)
{
    char back[32];

    cr_assert_ok(file_pwrite(b->fd, "short", 5, 0));
    cr_assert_status(one(b, (struct io_op){.kind = IO_READ, .fd = b->fd, .data = back, .len = 32}),
                     -ENODATA);
    cr_assert_status(
        one(b, (struct io_op){.kind = IO_READ, .fd = b->fd, .data = back, .len = 1, .offset = 100}),
        -ENODATA);
}

Test(ops, a_file_that_ends_early_is_not_read_half)
{
    each_way(read_too_far);
}

static void syncs(struct bench *b)
{
    const size_t page = map_page_size();
    void *base;

    cr_assert_ok(file_reserve(b->fd, 4 * page));
    cr_assert_ok(map_file(b->fd, 0, 4 * page, true, &base));
    memset(base, 1, 4 * page);
    cr_assert_eq(one(b, (struct io_op){.kind = IO_DATASYNC, .fd = b->fd}), 0);
    cr_assert_eq(
        one(b, (struct io_op){.kind = IO_SYNC_RANGE, .fd = b->fd, .offset = page, .len = page}), 0);
    memset(base, 2, 4 * page);
    cr_assert_eq(one(b, (struct io_op){.kind = IO_SYNC_RANGE,
                                       .fd = b->fd,
                                       .offset = page + 64,
                                       .len = page,
                                       .data = (uint8_t *)base + page + 64}),
                 0);
    /* More than 32 bits of length. */
    cr_assert_eq(
        one(b, (struct io_op){.kind = IO_SYNC_RANGE, .fd = b->fd, .len = UINT64_C(1) << 33}), 0);
    map_drop(base, 4 * page);
    cr_assert_status(one(b, (struct io_op){.kind = IO_DATASYNC, .fd = -1}), -EBADF);
    cr_assert_status(one(b, (struct io_op){.kind = IO_SYNC_RANGE, .fd = -1, .len = 1}), -EBADF);
}

Test(ops, syncs_of_files_and_ranges)
{
    each_way(syncs);
}

static void allocates(struct bench *b)
{
    cr_assert_eq(one(b, (struct io_op){.kind = IO_ALLOCATE, .fd = b->fd, .len = 65536}), 0);
    cr_assert_eq(size_of(b->fd), 65536);
    cr_assert_eq(
        one(b, (struct io_op){.kind = IO_ALLOCATE, .fd = b->fd, .offset = 4096, .len = 4096}), 0);
    cr_assert_eq(size_of(b->fd), 65536);
    cr_assert_status(one(b, (struct io_op){.kind = IO_ALLOCATE, .fd = -1, .len = 1}), -EBADF);
}

Test(ops, an_allocation_lets_the_size_grow_and_never_shrink)
{
    each_way(allocates);
}

static void advises(struct bench *b)
{
    const size_t page = map_page_size();
    void *base;

    cr_assert_ok(file_reserve(b->fd, 4 * page));
    cr_assert_ok(map_file(b->fd, 0, 4 * page, true, &base));
    cr_assert_eq(one(b, (struct io_op){.kind = IO_MADVISE,
                                       .data = base,
                                       .len = 4 * page,
                                       .advice = MADV_WILLNEED}),
                 0);
    cr_assert_eq(one(b, (struct io_op){.kind = IO_FADVISE,
                                       .fd = b->fd,
                                       .len = 4 * page,
                                       .advice = POSIX_FADV_WILLNEED}),
                 0);
    cr_assert_eq(one(b, (struct io_op){.kind = IO_FADVISE,
                                       .fd = b->fd,
                                       .len = UINT64_C(1) << 33,
                                       .advice = POSIX_FADV_SEQUENTIAL}),
                 0);
    map_drop(base, 4 * page);
    cr_assert_status(
        one(b, (struct io_op){.kind = IO_MADVISE, .data = base, .len = page, .advice = 12345}),
        -EINVAL);
    cr_assert_status(one(b, (struct io_op){.kind = IO_FADVISE, .fd = -1}), -EBADF);
}

Test(ops, advice_about_mappings_and_files)
{
    each_way(advises);
}

static void names(struct bench *b)
{
    const struct io_op rename = {
        .kind = IO_RENAME_NEW, .fd = b->dirfd, .name = "data", .to = "final"};
    const struct io_op unlink = {.kind = IO_UNLINK, .fd = b->dirfd, .name = "final"};
    int fd;

    cr_assert_eq(one(b, rename), 0);
    fd = file_create(b->dirfd, "data", 0600);
    cr_assert_ok(fd);
    file_close(fd);
    cr_assert_status(one(b, rename), -EEXIST);
    cr_assert_eq(one(b, unlink), 0);
    cr_assert_status(one(b, unlink), -ENOENT);
    cr_assert_eq(one(b, rename), 0);
    cr_assert_status(one(b, rename), -ENOENT);
}

Test(ops, a_name_is_given_once_and_taken_once)
{
    each_way(names);
}
