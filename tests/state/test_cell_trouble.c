/*
 * Cells in trouble: power cuts, failing and full disks, files cut by others, fork, hostile bytes.
 */
#include <seglog/cell.h>

#include "format/state.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB   (UINT64_C(1) << 20)
#define WRITE (SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE)

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(cell_trouble, .init = setup, .fini = files_teardown, .timeout = 120);

#define cell_open(name, ...) cell_open_(name, (struct seglog_cell_options){__VA_ARGS__})
static struct seglog_cell *cell_open_(const char *name, struct seglog_cell_options o)
{
    struct seglog_cell *cell;

    cr_assert_ok(seglog_cell_open(files_path(name), &o, &cell));
    return cell;
}

/* ---- power cuts ------------------------------------------------------------------------------ */

static uint8_t *file_bytes(const char *name, uint64_t *size)
{
    const int fd = file_open(AT_FDCWD, files_path(name), O_RDONLY, 0);
    struct file_facts facts;
    uint8_t *bytes;

    cr_assert_ok(fd);
    cr_assert_ok(file_facts(fd, &facts));
    bytes = malloc(facts.size);
    cr_assert_ok(file_pread(fd, bytes, facts.size, 0));
    file_close(fd);
    *size = facts.size;
    return bytes;
}

/* Another file, as after a reboot: nothing in it is of this boot and this inode. */
static void file_from(const char *name, const uint8_t *bytes, uint64_t size)
{
    int fd;

    (void)unlink(files_path(name));
    fd = file_create(AT_FDCWD, files_path(name), 0600);
    cr_assert_ok(fd);
    cr_assert_ok(file_pwrite(fd, bytes, size, 0));
    file_close(fd);
}

static int read_number(struct seglog_cell *cell, uint64_t *out)
{
    uint64_t words[40] = {0};
    size_t len;
    const int rc = seglog_cell_read(cell, words, sizeof(words), &len, NULL);

    if (rc == 0) {
        for (size_t i = 1; i < len / 8; i++)
            cr_assert_eq(words[i], words[0], "a mixture");
    }
    *out = words[0];
    return rc;
}

static void publish_number(struct seglog_cell *cell, uint64_t n, size_t words)
{
    uint64_t value[40];

    for (size_t i = 0; i < words; i++)
        value[i] = n;
    cr_assert_ok(seglog_cell_publish(cell, value, words * 8));
}

Test(cell_trouble, a_copy_has_the_newest_whole_version_and_goes_on_from_there)
{
    struct seglog_cell *cell = cell_open("cell", .flags = WRITE, .slots = 3), *copy;
    uint64_t size, n;
    uint8_t *bytes;

    for (n = 1; n <= 4; n++)
        publish_number(cell, n, 4);
    bytes = file_bytes("cell", &size);
    bytes[STATE_OFF_DATA + 64 + 5] ^=
        1; /* version 4 lies in slot 1 and did not reach the disk whole */
    file_from("copy", bytes, size);
    copy = cell_open("copy", .flags = 0);
    cr_assert_ok(read_number(copy, &n));
    cr_assert_eq(n, 3);
    seglog_cell_close(copy);

    /* A writer goes on, and as long as it has published nothing whole, 3 stays. */
    copy = cell_open("copy", .flags = WRITE);
    for (unsigned i = 0; i < 5; i++) {
        void *at;

        cr_assert_ok(seglog_cell_reserve(copy, 32, &at));
        memset(at, 0x55, 32);
        cr_assert_ok(seglog_cell_abort(copy));
        cr_assert_ok(read_number(copy, &n));
        cr_assert_eq(n, 3);
    }
    publish_number(copy, 99, 4);
    cr_assert_ok(read_number(copy, &n));
    cr_assert_eq(n, 99);
    seglog_cell_close(copy);
    seglog_cell_close(cell);
    free(bytes);
}

Test(cell_trouble, a_reader_from_before_the_first_writer_of_a_boot_follows_it)
{
    struct seglog_cell *cell = cell_open("cell", .flags = WRITE), *reader, *writer;
    uint64_t size, n;
    uint8_t *bytes;

    publish_number(cell, 5, 1);
    bytes = file_bytes("cell", &size);
    file_from("copy", bytes, size);
    reader = cell_open("copy", .flags = 0);
    cr_assert_ok(read_number(reader, &n));
    cr_assert_eq(n, 5);
    writer = cell_open("copy", .flags = WRITE);
    publish_number(writer, 6, 1);
    cr_assert_ok(read_number(reader, &n));
    cr_assert_eq(n, 6);
    seglog_cell_close(reader);
    seglog_cell_close(writer);
    seglog_cell_close(cell);
    free(bytes);
}

Test(cell_trouble, what_was_durable_and_is_not_there_is_damage_until_something_is_published)
{
    struct seglog_cell *cell, *copy;
    uint64_t size, n;
    uint8_t *bytes;

    cell = cell_open("cell", .flags = WRITE);
    publish_number(cell, 1, 1);
    publish_number(cell, 2, 1);
    cr_assert_status(seglog_cell_sync(cell), files_durable() ? 0 : SEGLOG_EVOLATILE);
    bytes = file_bytes("cell", &size);
    bytes[STATE_OFF_DATA + 2 * 64] ^= 1;
    file_from("copy", bytes, size);
    copy = cell_open("copy", .flags = 0);
    cr_assert_status(read_number(copy, &n), SEGLOG_ECORRUPT);
    seglog_cell_close(copy);
    copy = cell_open("copy", .flags = WRITE);
    cr_assert_status(read_number(copy, &n), SEGLOG_ECORRUPT);
    publish_number(copy, 3, 1);
    cr_assert_ok(read_number(copy, &n));
    cr_assert_eq(n, 3);
    seglog_cell_close(copy);
    seglog_cell_close(cell);
    free(bytes);
}

/*
 * A disk that has, of every sector, the state at the last sync or any later one. `synced` is the file at
 * the last sync; what is in the page cache now may have been written or not, sector by sector.
 */
Test(cell_trouble, a_power_cut_leaves_a_durable_cell_with_its_last_value_or_the_one_on_its_way)
{
    const unsigned rounds = files_quick() ? 100 : 500;
    struct seglog_cell *cell, *cut;
    uint64_t state = 0x9e3779b97f4a7c15u, size, size_now, n = 0, got;
    uint8_t *synced, *now;

    if (!files_durable())
        cr_skip("nothing is durable here\n");
    cell = cell_open("cell", .flags = WRITE | SEGLOG_CELL_DURABLE | SEGLOG_CELL_HOLD, .slots = 2);
    for (unsigned round = 0; round < rounds; round++) {
        const size_t words = 1 + files_random(&state) % 40;
        void *at;

        publish_number(cell, ++n, words);
        /* As it was at the sync: what publishing stored after it may or may not be there too. */
        synced = file_bytes("cell", &size);
        /* Somewhere inside the next publication. */
        cr_assert_ok(seglog_cell_reserve(cell, words * 8, &at));
        for (size_t i = 0; i < files_random(&state) % (words + 1); i++)
            ((uint64_t *)at)[i] = n + 1;
        now = file_bytes("cell", &size_now);
        cr_assert_geq(size_now, size);
        for (uint64_t sector = 0; sector < size; sector += 512) {
            if (files_random(&state) % 2)
                memcpy(synced + sector, now + sector, 512);
        }
        cr_assert_ok(seglog_cell_abort(cell));
        file_from("cut", synced, size);
        cut = cell_open("cut", .flags = files_random(&state) % 2 ? SEGLOG_CELL_WRITE : 0);
        cr_assert_ok(read_number(cut, &got));
        cr_assert_eq(got, n);
        seglog_cell_close(cut);
        free(synced);
        free(now);
    }
    seglog_cell_close(cell);
}

/* ---- disks that fail or are full --------------------------------------------------------------- */

Test(cell_trouble, a_durable_version_is_synced_once_before_it_is_seen)
{
    struct seglog_cell *cell, *plain;
    const struct seglog_cell_options o = {.flags = WRITE | SEGLOG_CELL_DURABLE};
    uint64_t before, n;

    if (!files_durable()) {
        cr_assert_status(seglog_cell_open(files_path("cell"), &o, &cell), SEGLOG_EVOLATILE);
        cr_skip("nothing is durable here\n");
    }
    cell = cell_open("cell", .flags = o.flags);
    before = atomic_load(&calls.datasyncs);
    publish_number(cell, 1, 1);
    cr_assert_eq(atomic_load(&calls.datasyncs), before + 1);
    atomic_store(&calls.sync_errno, EIO);
    n = 2;
    cr_assert_status(seglog_cell_publish(cell, &n, 8), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_ok(read_number(cell, &n));
    cr_assert_eq(n, 1);
    /* Nobody calls anything durable here any more, in this boot. */
    cr_assert_status(seglog_cell_publish(cell, &n, 8), SEGLOG_EPOISONED);
    plain = cell_open("cell", .flags = WRITE);
    publish_number(plain, 3, 1);
    cr_assert_status(seglog_cell_sync(plain), SEGLOG_EPOISONED);
    cr_assert_ok(read_number(cell, &n));
    cr_assert_eq(n, 3);
    seglog_cell_close(cell);
    seglog_cell_close(plain);
}

Test(cell_trouble, a_value_for_which_there_is_no_room_is_refused_and_the_old_one_stays)
{
    const struct seglog_cell_options large = {.flags = WRITE, .capacity = MIB};
    struct seglog_cell *cell;
    char *value = calloc(1, 2 * MIB);
    uint64_t n;

    if (!files_small("1m"))
        cr_skip("needs root to mount a small file system\n");
    cr_assert_status(seglog_cell_open(files_path("large"), &large, &cell), -ENOSPC);
    cr_assert_eq(access(files_path("large"), F_OK), -1);
    cell = cell_open("cell", .flags = WRITE);
    for (uint64_t i = 1; i < 100; i++) {
        publish_number(cell, i, 8);
        cr_assert_status(seglog_cell_publish(cell, value, 2 * MIB), -ENOSPC);
        cr_assert_ok(read_number(cell, &n));
        cr_assert_eq(n, i);
    }
    seglog_cell_close(cell);
    free(value);
}

/* ---- cut by others, fork ----------------------------------------------------------------------- */

Test(cell_trouble, a_cell_whose_file_was_cut_is_an_error)
{
    struct seglog_cell *cell = cell_open("cell", .flags = WRITE), *other;
    uint64_t n = 5;

    publish_number(cell, 1, 40);
    other = cell_open("cell", .flags = 0);
    cr_assert_eq(truncate(files_path("cell"), 100), 0);
    cr_assert_status(seglog_cell_read(cell, &n, 8, NULL, NULL), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_cell_publish(cell, &n, 8), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_cell_version(other, &n), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_cell_wait(other, 0, UINT64_MAX), SEGLOG_ETRUNCATED);
    seglog_cell_close(cell);
    seglog_cell_close(other);
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_cell *cell = arg;
    struct seglog_cell_view view = {0};
    uint64_t n = 0;
    void *at;
    (void)parent;

    child_must_be(seglog_cell_read(cell, &n, 8, NULL, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_cell_publish(cell, &n, 8), SEGLOG_EFORKED);
    child_must_be(seglog_cell_reserve(cell, 8, &at), SEGLOG_EFORKED);
    child_must_be(seglog_cell_commit(cell), SEGLOG_EFORKED);
    child_must_be(seglog_cell_abort(cell), SEGLOG_EFORKED);
    child_must_be(seglog_cell_view(cell, &view), SEGLOG_EFORKED);
    child_must_be(seglog_cell_check_view(cell, &view), SEGLOG_EFORKED);
    child_must_be(seglog_cell_version(cell, &n), SEGLOG_EFORKED);
    child_must_be(seglog_cell_wait(cell, 0, 0), SEGLOG_EFORKED);
    child_must_be(seglog_cell_sync(cell), SEGLOG_EFORKED);
    seglog_cell_close(cell);
    return 0;
}

Test(cell_trouble, a_forked_child_can_only_close_and_its_parent_stays_the_writer)
{
    const struct seglog_cell_options o = {.flags = WRITE | SEGLOG_CELL_HOLD};
    struct seglog_cell *cell = cell_open("cell", .flags = o.flags), *other;
    struct child child;

    publish_number(cell, 1, 1);
    child_start(&child, child_of_fork, cell);
    child_end(&child);
    cr_assert_status(seglog_cell_open(files_path("cell"), &o, &other), -EBUSY);
    publish_number(cell, 2, 1);
    seglog_cell_close(cell);
    other = cell_open("cell", .flags = o.flags);
    seglog_cell_close(other);
}

/* ---- hostile bytes --------------------------------------------------------------------------- */

Test(cell_trouble, no_bytes_lead_outside_or_into_an_endless_loop)
{
    const unsigned rounds = files_quick() ? 1000 : 10000;
    struct seglog_cell *cell = cell_open("cell", .flags = WRITE, .slots = 4);
    uint64_t state = 0x2545f4914f6cdd1du, size, n;
    uint8_t *bytes;

    for (n = 1; n < 10; n++)
        publish_number(cell, n, n);
    bytes = file_bytes("cell", &size);
    seglog_cell_close(cell);
    for (unsigned round = 0; round < rounds; round++) {
        const int fd = file_open(AT_FDCWD, files_path("cell"), O_RDWR, 0);
        struct seglog_cell_view view;
        char buf[400];
        size_t len;

        /* Each word of the hot page is now and then something else, the slots' above all. */
        for (unsigned i = 0; i < 1 + files_random(&state) % 8; i++) {
            const uint64_t at = STATE_OFF_HOT + (files_random(&state) % 2 ? 512 : 0) +
                                files_random(&state) % 32 * 8;
            uint64_t word = files_random(&state);

            word >>= files_random(&state) % 64;
            cr_assert_ok(file_pwrite(fd, &word, 8, at));
        }
        cr_assert_ok(seglog_cell_open(
            files_path("cell"), &(struct seglog_cell_options){.flags = SEGLOG_CELL_WRITE}, &cell));
        (void)seglog_cell_read(cell, buf, sizeof(buf), &len, NULL);
        (void)seglog_cell_view(cell, &view);
        /* Whatever is there, a new value can be published and read; or the versions have run out. */
        const int rc = seglog_cell_publish(cell, "new", 3);
        if (rc == 0) {
            cr_assert_ok(seglog_cell_read(cell, buf, sizeof(buf), &len, NULL));
            cr_assert_arr_eq(buf, "new", 3);
        } else {
            cr_assert(rc == SEGLOG_ECORRUPT || rc == -ENOSPC || rc == -EFBIG, "%d", rc);
        }
        seglog_cell_close(cell);
        cr_assert_eq(ftruncate(fd, (off_t)size), 0);
        cr_assert_ok(file_pwrite(fd, bytes, size, 0));
        file_close(fd);
    }
    free(bytes);
}
