/*
 * Mapped files: where bytes lie, what is refused, how it grows.
 */
#include <seglog/map.h>

#include "state/calls.h"
#include "state/files.h"
#include "sys/file.h"
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

TestSuite(map, .init = files_setup, .fini = files_teardown, .timeout = 120);

#define map_open(...) map_open_((struct seglog_map_options){__VA_ARGS__})
static struct seglog_map *map_open_(struct seglog_map_options o)
{
    struct seglog_map *map;

    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    return map;
}

/* A file of this size whose byte i is i * 7. */
static void file_of_bytes(uint64_t size)
{
    struct seglog_map *map =
        map_open(.mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = size);
    void *at;

    cr_assert_ok(seglog_map_edit_begin(map, 0, size, &at));
    for (uint64_t i = 0; i < size; i++)
        ((uint8_t *)at)[i] = (uint8_t)(i * 7);
    cr_assert_ok(seglog_map_close(map));
}

/* ---- making ---------------------------------------------------------------------------------- */

Test(map, an_offset_and_a_length_need_not_be_aligned)
{
    const struct seglog_map_options o = {.offset = 5000, .len = 10};
    struct seglog_map *map;
    uint8_t bytes[10];

    file_of_bytes(3 * 4096 + 5);
    map = map_open(.offset = 5000, .len = 10);
    cr_assert_eq(seglog_map_size(map), 10);
    cr_assert_ok(seglog_map_read(map, 0, bytes, 10, NULL));
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(bytes[i], (uint8_t)((5000 + i) * 7));
    cr_assert_status(seglog_map_read(map, 0, bytes, 11, NULL), -ERANGE);
    cr_assert_ok(seglog_map_close(map));
    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    cr_assert_ok(seglog_map_close(map));
}

Test(map, what_is_not_there_cannot_be_mapped)
{
    struct seglog_map *map = NULL;
    const struct seglog_map_options beyond = {.offset = 8192}, far = {.offset = UINT64_MAX},
                                    longer = {.offset = 8000, .len = 193},
                                    wraps = {.offset = 8000, .len = UINT64_MAX}, mode = {.mode = 3},
                                    flags = {.flags = 1u << 31},
                                    no_write = {.flags = SEGLOG_MAP_CREATE, .size = 1},
                                    no_size = {.mode = SEGLOG_MAP_WRITE,
                                               .flags = SEGLOG_MAP_CREATE},
                                    no_amount = {.mode = SEGLOG_MAP_WRITE,
                                                 .flush = SEGLOG_FLUSH_EVERY_BYTES};
    const int fd = file_create(AT_FDCWD, files_path("empty"), 0600);

    file_of_bytes(8192);
    cr_assert_status(seglog_map_open(files_path("map"), &beyond, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("map"), &far, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("map"), &longer, &map), -ERANGE);
    cr_assert_status(seglog_map_open(files_path("map"), &wraps, &map), -ERANGE);
    cr_assert_status(seglog_map_open(files_path("map"), &mode, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("map"), &flags, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("new"), &no_write, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("new"), &no_size, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("map"), &no_amount, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("empty"), NULL, &map), -EINVAL);
    cr_assert_status(seglog_map_open(files_path("none"), NULL, &map), -ENOENT);
    cr_assert_status(seglog_map_open(files_dir, NULL, &map), -EINVAL);
    cr_assert_status(seglog_map_open("", NULL, &map), -ENOENT);
    cr_assert_status(seglog_map_open("/", NULL, &map), -EISDIR);
    cr_assert_eq(map, NULL);
    cr_assert_eq(access(files_path("new"), F_OK), -1);
    cr_assert_ok(seglog_map_close(NULL));
    file_close(fd);
}

Test(map, closing_gives_everything_back)
{
    struct seglog_map *map;
    unsigned maps = 0, fds = 0;

    file_of_bytes(100000);
    for (unsigned i = 0; i < 1000; i++) {
        map = map_open(.mode = i % 3, .offset = i * 13, .len = 4096);
        cr_assert_ok(seglog_map_close(map));
        if (i == 10) {
            maps = files_maps();
            fds = files_open();
        }
    }
    cr_assert_leq(files_maps(), maps + 20, "%u, %u", files_maps(), maps);
    cr_assert_eq(files_open(), fds);
}

Test(map, create_makes_a_file_of_that_size_and_mode_or_refuses)
{
    const struct seglog_map_options exclusive = {.mode = SEGLOG_MAP_WRITE,
                                                 .flags = SEGLOG_MAP_CREATE | SEGLOG_MAP_EXCLUSIVE,
                                                 .size = 12345,
                                                 .file_mode = 0606};
    struct seglog_map *map;
    struct stat st;

    umask(077);
    cr_assert_ok(seglog_map_open(files_path("map"), &exclusive, &map));
    cr_assert_eq(seglog_map_size(map), 12345);
    cr_assert_eq(fstat(seglog_map_fd(map), &st), 0);
    cr_assert_eq(st.st_size, 12345);
    cr_assert_eq(st.st_mode & 0777, 0606);
    cr_assert_geq(st.st_blocks * 512, 12345, "the blocks are not reserved");
    cr_assert_ok(seglog_map_close(map));
    cr_assert_status(seglog_map_open(files_path("map"), &exclusive, &map), -EEXIST);
    /* Without EXCLUSIVE what is there is opened as it is. */
    map = map_open(.mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 5);
    cr_assert_eq(seglog_map_size(map), 12345);
    cr_assert_ok(seglog_map_close(map));
}

static int creator(struct child *parent, void *arg)
{
    _Atomic uint64_t *inodes = arg;
    const struct seglog_map_options o = {
        .mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 8192};
    struct seglog_map *map;
    struct stat st;
    const int me = child_hear(parent);

    child_must(seglog_map_open(files_path("map"), &o, &map));
    child_assert(fstat(seglog_map_fd(map), &st) == 0);
    atomic_store(&inodes[me], st.st_ino);
    child_must(seglog_map_write(map, (uint64_t)me, &(char){1}, 1));
    child_must(seglog_map_close(map));
    return 0;
}

Test(map, of_eight_that_create_it_at_once_one_does_and_all_map_the_same)
{
    _Atomic uint64_t *inodes = child_shared(8 * sizeof(*inodes));
    struct child children[8];
    struct seglog_map *map;
    char bytes[8];

    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++)
            child_start(&children[i], creator, inodes);
        for (int i = 0; i < 8; i++)
            child_say(&children[i], (char)i);
        for (int i = 0; i < 8; i++)
            child_end(&children[i]);
        for (int i = 1; i < 8; i++)
            cr_assert_eq(atomic_load(&inodes[i]), atomic_load(&inodes[0]));
        map = map_open(.mode = SEGLOG_MAP_READ);
        cr_assert_ok(seglog_map_read(map, 0, bytes, 8, NULL));
        cr_assert_arr_eq(bytes, "\1\1\1\1\1\1\1\1", 8);
        cr_assert_ok(seglog_map_close(map));
        cr_assert_ok(seglog_map_delete(files_path("map")));
    }
}

Test(map, a_creator_that_is_killed_at_any_time_leaves_a_whole_file_or_none)
{
    struct child child;
    _Atomic uint64_t *inodes = child_shared(8 * sizeof(*inodes));
    struct stat st;

    for (unsigned i = 0; i < 60; i++) {
        child_start(&child, creator, inodes);
        child_say(&child, 0);
        usleep(i * 10);
        child_kill(&child);
        if (stat(files_path("map"), &st) == 0) {
            cr_assert_eq(st.st_size, 8192);
            cr_assert_eq(unlink(files_path("map")), 0);
        }
    }
    cr_assert_eq(rmdir(files_dir), 0, "something was left behind");
}

Test(map, a_descriptor_can_be_mapped_and_closed)
{
    struct seglog_map *map;
    uint8_t byte;
    int fd;

    file_of_bytes(5000);
    fd = file_open(AT_FDCWD, files_path("map"), O_RDONLY, 0);
    cr_assert_ok(seglog_map_open_fd(fd, NULL, &map));
    file_close(fd);
    cr_assert_ok(seglog_map_read(map, 4999, &byte, 1, NULL));
    cr_assert_eq(byte, (uint8_t)(4999 * 7));
    cr_assert_ok(seglog_map_close(map));
    cr_assert_status(seglog_map_open_fd(-1, NULL, &map), -EBADF);
    fd = file_open(AT_FDCWD, files_path("map"), O_RDONLY, 0);
    cr_assert_status(
        seglog_map_open_fd(fd, &(struct seglog_map_options){.mode = SEGLOG_MAP_WRITE}, &map),
        -EACCES);
    file_close(fd);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

Test(map, what_is_written_is_in_the_file_and_nothing_is_written_in_part)
{
    struct seglog_map *map, *other;
    const void *view;
    char tail[4] = "abcd";

    map = map_open(.mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = MIB);
    cr_assert_ok(seglog_map_write(map, 100, "Hello, mmap!", 12));
    cr_assert_status(seglog_map_write(map, MIB - 3, "wxyz", 4), -ERANGE);
    cr_assert_status(seglog_map_write(map, UINT64_MAX, "wxyz", 4), -ERANGE);
    cr_assert_status(seglog_map_write(map, MIB + 1, "", 0), -ERANGE);
    cr_assert_ok(seglog_map_write(map, MIB, "", 0));
    cr_assert_ok(seglog_map_close(map));

    other = map_open(.mode = SEGLOG_MAP_READ);
    cr_assert_ok(seglog_map_view(other, 100, 12, &view));
    cr_assert_arr_eq(view, "Hello, mmap!", 12);
    cr_assert_ok(seglog_map_read(other, MIB - 3, tail, 3, NULL));
    cr_assert_arr_eq(tail, "\0\0\0", 3);
    cr_assert_ok(seglog_map_close(other));
}

Test(map, a_map_for_reading_takes_no_store)
{
    struct seglog_map *map;
    void *at;

    file_of_bytes(100);
    map = map_open(.mode = SEGLOG_MAP_READ);
    cr_assert_status(seglog_map_write(map, 0, "x", 1), -EPERM);
    cr_assert_status(seglog_map_edit_begin(map, 0, 1, &at), -EPERM);
    cr_assert_status(seglog_map_flush(map), -EPERM);
    cr_assert_status(seglog_map_grow(map, 200), -EPERM);
    cr_assert_ok(seglog_map_close(map));
}

Test(map, a_private_store_is_seen_here_and_nowhere_else)
{
    struct seglog_map *mine, *other;
    char byte;

    file_of_bytes(5000);
    mine = map_open(.mode = SEGLOG_MAP_PRIVATE);
    other = map_open(.mode = SEGLOG_MAP_READ);
    cr_assert_ok(seglog_map_write(mine, 4500, "!", 1));
    cr_assert_ok(seglog_map_read(mine, 4500, &byte, 1, NULL));
    cr_assert_eq(byte, '!');
    cr_assert_ok(seglog_map_read(other, 4500, &byte, 1, NULL));
    cr_assert_eq((uint8_t)byte, (uint8_t)(4500 * 7));
    cr_assert_status(seglog_map_flush(mine), -EPERM);
    cr_assert_status(seglog_map_grow(mine, 10000), -EPERM);
    cr_assert_status(seglog_map_refresh(mine), -EPERM);
    cr_assert_status(seglog_map_advise(mine, 0, 5000, SEGLOG_ADVICE_DONT_NEED), -EPERM);
    cr_assert_ok(seglog_map_close(mine));
    cr_assert_ok(seglog_map_close(other));
}

Test(map, a_read_ends_where_the_map_ends)
{
    struct seglog_map *map;
    uint8_t bytes[100];
    size_t got = 77;

    file_of_bytes(1000);
    map = map_open(.mode = SEGLOG_MAP_READ);
    cr_assert_ok(seglog_map_read(map, 950, bytes, 100, &got));
    cr_assert_eq(got, 50);
    cr_assert_eq(bytes[49], (uint8_t)(999 * 7));
    cr_assert_ok(seglog_map_read(map, 1000, bytes, 100, &got));
    cr_assert_eq(got, 0);
    cr_assert_status(seglog_map_read(map, 1001, bytes, 0, &got), -ERANGE);
    cr_assert_status(seglog_map_read(map, 950, bytes, 100, NULL), -ERANGE);
    cr_assert_ok(seglog_map_close(map));
}

Test(map, ten_mebibytes_are_160_chunks_and_the_last_may_be_short)
{
    struct seglog_map_walk walk = {.chunk = 64 << 10};
    struct seglog_map *map;
    unsigned n = 0;

    file_of_bytes(10 * MIB - 1000);
    map = map_open(.mode = SEGLOG_MAP_READ);
    while (seglog_map_next(map, &walk) == 1) {
        cr_assert_eq(*(const uint8_t *)walk.data, (uint8_t)((walk.offset - walk.len) * 7));
        cr_assert_eq(walk.len, n == 159 ? (64 << 10) - 1000 : 64 << 10);
        n++;
    }
    cr_assert_eq(n, 160);
    walk.chunk = 0;
    cr_assert_status(seglog_map_next(map, &walk), -EINVAL);
    walk = (struct seglog_map_walk){.chunk = 1, .offset = 10 * MIB};
    cr_assert_status(seglog_map_next(map, &walk), -ERANGE);
    cr_assert_ok(seglog_map_close(map));
}

Test(map, no_offset_and_length_lead_outside)
{
    const unsigned times = files_quick() ? 200000 : 5000000;
    struct seglog_map *map;
    uint64_t state = 88172645463325252u;
    uint64_t good = 0;
    uint8_t buf[64];

    file_of_bytes(9000);
    map = map_open(.mode = SEGLOG_MAP_PRIVATE, .offset = 100);
    for (unsigned i = 0; i < times; i++) {
        uint64_t offset = files_random(&state), len = files_random(&state);
        const void *view;

        /* Small ones, ones around the end, and ones that wrap. */
        offset = i % 3 == 0 ? offset % 10000 : i % 3 == 1 ? offset % 20 + 8890 : offset;
        len = i % 2 == 0 ? len % 64 : len % 5 == 0 ? UINT64_MAX - offset + len % 3 : len % 10000;
        const bool fits = offset <= 8900 && len <= 8900 - offset;
        cr_assert_eq(seglog_map_view(map, offset, len, &view), fits ? 0 : -ERANGE);
        if (len <= sizeof(buf)) {
            cr_assert_eq(seglog_map_read(map, offset, buf, len, NULL), fits ? 0 : -ERANGE);
            cr_assert_eq(seglog_map_write(map, offset, buf, len), fits ? 0 : -ERANGE);
        }
        good += fits;
    }
    cr_assert_gt(good, times / 100);
    cr_assert_ok(seglog_map_close(map));
}

struct crowd {
    struct seglog_map *map;
    _Atomic unsigned next;
};

static void *read_own(void *arg)
{
    struct crowd *crowd = arg;
    const unsigned me = atomic_fetch_add(&crowd->next, 1);
    uint8_t bytes[64];

    for (unsigned i = 0; i < 5000; i++) {
        if (me == 0) {
            memset(bytes, (int)(i & 0xff), sizeof(bytes));
            if (seglog_map_write(crowd->map, 0, bytes, sizeof(bytes)) != 0)
                return crowd;
            if (i % 50 == 0 && seglog_map_grow(crowd->map, 5000 + i * 4096) != 0)
                return crowd;
        } else {
            if (seglog_map_read(crowd->map, me * 500, bytes, 1, NULL) != 0 ||
                bytes[0] != (uint8_t)(me * 500 * 7))
                return crowd;
        }
    }
    return NULL;
}

Test(map, eight_threads_read_while_one_writes_and_grows)
{
    struct crowd crowd = {0};
    pthread_t threads[9];
    void *bad;

    file_of_bytes(5000);
    crowd.map = map_open(.mode = SEGLOG_MAP_WRITE, .grow_step = 65536);
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, read_own, &crowd), 0);
    for (unsigned i = 0; i < 9; i++) {
        cr_assert_eq(pthread_join(threads[i], &bad), 0);
        cr_assert_eq(bad, NULL);
    }
    cr_assert_ok(seglog_map_close(crowd.map));
}

/* ---- size ------------------------------------------------------------------------------------ */

Test(map, views_from_before_a_hundred_growths_stay_valid_and_equal)
{
    struct seglog_map *map =
        map_open(.mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 1000);
    const void *views[100];
    const void *now;

    for (unsigned i = 0; i < 100; i++) {
        const uint64_t at = i * 100000;

        cr_assert_ok(seglog_map_grow(map, at + 4));
        cr_assert_ok(seglog_map_write(map, at, &(uint32_t){i ^ 0x5a5a}, 4));
        cr_assert_ok(seglog_map_view(map, at, 4, &views[i]));
    }
    /* More than was set aside for it at first: the whole moves, the old views do not. */
    cr_assert_ok(seglog_map_grow(map, 300 * MIB));
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(*(const uint32_t *)views[i], i ^ 0x5a5a);
        cr_assert_ok(seglog_map_write(map, i * 100000, &(uint32_t){i}, 4));
        cr_assert_eq(*(const uint32_t *)views[i], i, "the old view shows other bytes");
        cr_assert_ok(seglog_map_view(map, i * 100000, 4, &now));
        cr_assert_neq(now, views[i]);
    }
    cr_assert_eq(seglog_map_size(map) % MIB, 1000 % MIB);
    cr_assert_ok(seglog_map_close(map));
}

static int grower(struct child *parent, void *arg)
{
    struct seglog_map *map = map_open(.mode = SEGLOG_MAP_WRITE, .grow_step = 4096);

    (void)parent;
    for (uint64_t i = 1; i <= 200; i++) {
        child_must(seglog_map_grow(map, i * 4096));
        child_must(seglog_map_write(map, i * 4096 - (uintptr_t)arg, "x", 1));
    }
    child_must(seglog_map_close(map));
    return 0;
}

Test(map, several_processes_grow_one_file)
{
    struct seglog_map *map;
    struct child children[3];
    const char *view;

    file_of_bytes(1);
    map = map_open(.mode = SEGLOG_MAP_READ);
    for (uintptr_t i = 0; i < 3; i++)
        child_start(&children[i], grower, (void *)(i + 1));
    for (int i = 0; i < 3; i++)
        child_end(&children[i]);
    cr_assert_eq(seglog_map_size(map), 1);
    cr_assert_ok(seglog_map_refresh(map));
    cr_assert_geq(seglog_map_size(map), 200 * 4096);
    cr_assert_ok(seglog_map_view(map, 0, 200 * 4096, (const void **)&view));
    for (unsigned i = 1; i <= 200; i++)
        cr_assert_arr_eq(view + i * 4096 - 3, "xxx", 3);
    cr_assert_ok(seglog_map_close(map));
}

Test(map, a_map_of_a_part_stays_that_part)
{
    struct seglog_map *map;

    file_of_bytes(10000);
    map = map_open(.mode = SEGLOG_MAP_WRITE, .len = 5000);
    cr_assert_status(seglog_map_grow(map, 6000), -EPERM);
    cr_assert_status(seglog_map_refresh(map), -EPERM);
    cr_assert_ok(seglog_map_close(map));
}

/* ---- memory without a name ------------------------------------------------------------------- */

Test(map, an_anonymous_map_works_like_a_file_and_cannot_be_cut)
{
    struct seglog_map *map, *again;
    char byte;

    cr_assert_ok(seglog_map_anonymous(100, NULL, &map));
    cr_assert_ok(seglog_map_write(map, 99, "z", 1));
    cr_assert_ok(seglog_map_grow(map, 3 * MIB));
    cr_assert_ok(seglog_map_write(map, 3 * MIB - 1, "y", 1));
    cr_assert_status(seglog_map_flush(map), SEGLOG_EVOLATILE);
    cr_assert_ok(seglog_map_open_fd(seglog_map_fd(map), NULL, &again));
    cr_assert_ok(seglog_map_read(again, 99, &byte, 1, NULL));
    cr_assert_eq(byte, 'z');
    cr_assert_eq(ftruncate(seglog_map_fd(map), 10), -1);
    cr_assert_eq(errno, EPERM);
    cr_assert_ok(seglog_map_close(again));
    cr_assert_ok(seglog_map_close(map));
    cr_assert_status(seglog_map_anonymous(0, NULL, &map), -EINVAL);
    cr_assert_status(seglog_map_anonymous(5, &(struct seglog_map_options){.len = 3}, &map),
                     -EINVAL);
}

/* ---- files ----------------------------------------------------------------------------------- */

Test(map, a_copy_is_equal_and_a_removed_file_stays_mapped)
{
    struct seglog_map *map, *copy;
    const void *a, *b;

    file_of_bytes(3 * MIB + 17);
    map = map_open(.mode = SEGLOG_MAP_WRITE);
    cr_assert_ok(seglog_map_write(map, 5, "not yet flushed", 15));
    cr_assert_ok(seglog_map_copy(files_path("map"), files_path("copy")));
    cr_assert_status(seglog_map_copy(files_path("map"), files_path("copy")), -EEXIST);
    cr_assert_status(seglog_map_copy(files_path("none"), files_path("copy2")), -ENOENT);
    cr_assert_status(seglog_map_copy(files_dir, files_path("copy2")), -EINVAL);
    cr_assert_ok(seglog_map_open(files_path("copy"), NULL, &copy));
    cr_assert_ok(seglog_map_delete(files_path("map")));
    cr_assert_status(seglog_map_delete(files_path("map")), -ENOENT);
    cr_assert_ok(seglog_map_check(map));
    cr_assert_eq(seglog_map_size(copy), 3 * MIB + 17);
    cr_assert_ok(seglog_map_view(map, 0, 3 * MIB + 17, &a));
    cr_assert_ok(seglog_map_view(copy, 0, 3 * MIB + 17, &b));
    cr_assert_eq(memcmp(a, b, 3 * MIB + 17), 0);
    cr_assert_ok(seglog_map_close(copy));
    cr_assert_ok(seglog_map_close(map));
}
