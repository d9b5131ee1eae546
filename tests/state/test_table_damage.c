/*
 * Tables whose shards are damaged. Some have lost their words, zeros being there as of a page that was
 * lost: they look like shards that never had a key, but for their mark. Others have a key in a slot in
 * which it is not looked for.
 */
#include <seglog/log.h>
#include <seglog/table.h>

#include "format/state.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

#define SHARDS 4u
#define KEYS   64u

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(table_damage, .init = setup, .fini = files_teardown, .timeout = 60);

static int open_it(uint32_t flags, const char *log, struct seglog_table **out)
{
    const struct seglog_table_options o = {.flags = flags, .shards = SHARDS, .log = log};

    return seglog_table_open(files_path("table"), &o, out);
}

/* Keys 0 to KEYS - 1, each its own value. */
static void make(const char *log)
{
    struct seglog_table *table;

    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE, log, &table));
    for (uint64_t key = 0; key < KEYS; key++)
        cr_assert_ok(seglog_table_put(table, &key, sizeof(key), &key, sizeof(key)));
    seglog_table_close(table);
}

/* How many of the keys are there with their values; `lost` gets how many are said to be damaged. */
static unsigned found(struct seglog_table *table, unsigned *lost)
{
    unsigned there = 0;

    *lost = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = KEYS;
        const int rc =
            seglog_table_get(table, &key, sizeof(key), &value, sizeof(value), &(size_t){0});

        if (rc == 0)
            cr_assert_eq(value, key);
        else
            cr_assert_status(rc, SEGLOG_ECORRUPT);
        there += rc == 0;
        *lost += rc < 0;
    }
    return there;
}

/* Zeros over `len` bytes of each shard from `first` on, `at` bytes into it. */
static void wipe(unsigned first, size_t at, size_t len)
{
    static const uint8_t zeros[sizeof(struct table_shard)];
    const int fd = file_open(AT_FDCWD, files_path("table"), O_RDWR, 0);

    cr_assert_geq(fd, 0);
    for (unsigned s = first; s < SHARDS; s++)
        cr_assert_ok(
            file_pwrite(fd, zeros, len, STATE_OFF_DATA + s * sizeof(struct table_shard) + at));
    file_close(fd);
}

static int walk(struct seglog_table *table, unsigned *entries)
{
    struct seglog_table_entry entry;
    struct seglog_table_walk *walk;
    int rc;

    *entries = 0;
    cr_assert_ok(seglog_table_walk_open(table, &walk));
    while ((rc = seglog_table_walk_next(walk, &entry)) == 1)
        ++*entries;
    seglog_table_walk_close(walk);
    return rc;
}

Test(table_damage, keys_of_a_wiped_shard_are_damaged_and_not_missing_and_the_others_are_there)
{
    struct seglog_table *table;
    struct seglog_table_stat stat;
    unsigned there, lost, entries, refused = 0;

    make(NULL);
    wipe(SHARDS - 1, 0, sizeof(struct table_shard));
    cr_assert_ok(open_it(0, NULL, &table));
    there = found(table, &lost);
    cr_assert(there > 0 && lost > 0 && there + lost == KEYS, "%u and %u", there, lost);
    cr_assert_status(seglog_table_stat(table, &stat), SEGLOG_ECORRUPT);
    seglog_table_close(table);

    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE, NULL, &table));
    cr_assert_eq(found(table, &lost), there);
    cr_assert_status(walk(table, &entries), SEGLOG_ECORRUPT);
    for (uint64_t key = KEYS; key < 2 * KEYS; key++) {
        const int rc = seglog_table_put(table, &key, sizeof(key), &key, sizeof(key));

        cr_assert(rc == 0 || rc == SEGLOG_ECORRUPT, "%d", rc);
        refused += rc < 0;
        cr_assert_status(seglog_table_remove(table, &key, sizeof(key)), rc);
    }
    cr_assert_gt(refused, 0);
    cr_assert_status(seglog_table_clear(table), SEGLOG_ECORRUPT);
    seglog_table_close(table);
}

Test(table_damage, with_a_log_a_wiped_shard_forgets_nothing_and_it_can_be_made_anew)
{
    const struct seglog_log_options log = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                           .sync = SEGLOG_SYNC_SEALED};
    struct seglog_trim_report report;
    struct seglog_table *table;
    unsigned lost, entries;

    cr_assert_ok(seglog_log_create(files_path("log"), &log));
    make(files_path("log"));
    wipe(0, 0, sizeof(struct table_shard));
    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE, files_path("log"), &table));
    cr_assert_eq(found(table, &lost), 0);
    cr_assert_status(seglog_table_checkpoint(table, &report), SEGLOG_ECORRUPT);
    cr_assert_status(seglog_table_clear(table), SEGLOG_ECORRUPT);
    seglog_table_close(table);

    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, files_path("log"), &table));
    cr_assert_eq(found(table, &lost), KEYS);
    cr_assert_eq(walk(table, &entries), 0);
    cr_assert_eq(entries, KEYS);
    cr_assert_ok(seglog_table_checkpoint(table, &report));
    seglog_table_close(table);
}

Test(table_damage, after_a_power_cut_one_with_a_wiped_shard_cannot_be_opened_for_writing)
{
    struct seglog_table *table;

    make(NULL);
    wipe(1, 0, sizeof(struct table_shard));
    files_damage(files_path("table"), STATE_OFF_HOT + offsetof(struct table_hot, boot));
    cr_assert_status(open_it(SEGLOG_TABLE_WRITE, NULL, &table), SEGLOG_ECORRUPT);
}

/* A cut may take the first slots of a shard and leave the count of its keys; that is no damage. */
Test(table_damage, first_slots_that_a_power_cut_took_are_counted_and_the_shard_is_empty)
{
    struct seglog_table_stat stat;
    struct seglog_table *table;
    unsigned entries;

    make(NULL);
    wipe(0, offsetof(struct table_shard, slots), sizeof(uint64_t));
    cr_assert_ok(open_it(0, NULL, &table));
    cr_assert_eq(found(table, &(unsigned){0}), 0);
    seglog_table_close(table);
    files_damage(files_path("table"), STATE_OFF_HOT + offsetof(struct table_hot, boot));
    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE, NULL, &table));
    cr_assert_ok(seglog_table_stat(table, &stat));
    cr_assert_eq(stat.dropped, KEYS);
    cr_assert_eq(stat.keys, 0);
    cr_assert_eq(walk(table, &entries), 0);
    seglog_table_close(table);
    make(NULL);
    cr_assert_ok(open_it(0, NULL, &table));
    cr_assert_eq(found(table, &(unsigned){0}), KEYS);
    seglog_table_close(table);
}

/* Make it what it was when shards had no marks. */
static void unmark(void)
{
    const int fd = file_open(AT_FDCWD, files_path("table"), O_RDWR, 0);
    struct state_header page;

    cr_assert_geq(fd, 0);
    cr_assert_ok(file_pread(fd, &page, sizeof(page), 0));
    cr_assert_eq(le64_get(&page.head.compat), STATE_MARKED);
    le64_put(&page.head.compat, 0);
    le32_put(&page.crc, ~crc32c(~0u, &page, offsetof(struct state_header, crc)));
    cr_assert_ok(file_pwrite(fd, &page, sizeof(page), 0));
    file_close(fd);
    wipe(0, offsetof(struct table_shard, mark), sizeof(uint32_t));
}

Test(table_damage, a_table_from_before_the_marks_is_used_as_it_is)
{
    struct seglog_table *table;
    unsigned lost, entries;

    make(NULL);
    unmark();
    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE, NULL, &table));
    cr_assert_eq(found(table, &lost), KEYS);
    cr_assert_ok(seglog_table_clear(table));
    seglog_table_close(table);
    make(NULL);
    files_damage(files_path("table"), STATE_OFF_HOT + offsetof(struct table_hot, boot));
    cr_assert_ok(open_it(SEGLOG_TABLE_WRITE, NULL, &table));
    cr_assert_eq(found(table, &lost), KEYS);
    cr_assert_eq(walk(table, &entries), 0);
    cr_assert_eq(entries, KEYS);
    seglog_table_close(table);
}

/* ---- a key where it is not looked for ------------------------------------------------------------- */

/* Put the slots of the only shard into another order: the key's slot changes places with an empty one that
 * has an empty one before it, on the way from where it belongs. */
static void misplace(uint64_t hash)
{
    struct table_slot slots[1024], taken;
    const int fd = file_open(AT_FDCWD, files_path("table"), O_RDWR, 0);
    struct table_shard shard;
    uint64_t offset, mask, from, to;

    cr_assert_geq(fd, 0);
    cr_assert_ok(file_pread(fd, &shard, sizeof(shard), STATE_OFF_DATA));
    offset = atomic_load(&shard.slots) & ((UINT64_C(1) << 42) - PAGE_BYTES);
    mask = (UINT64_C(1) << (atomic_load(&shard.slots) & 63)) - 1;
    cr_assert_lt(mask, 1024);
    cr_assert_ok(file_pread(fd, slots, (mask + 1) * sizeof(slots[0]), offset));
    for (from = hash & mask; atomic_load(&slots[from].hash) != hash;)
        from = (from + 1) & mask;
    for (to = from; atomic_load(&slots[to].ref) != 0 || atomic_load(&slots[(to - 1) & mask].ref);)
        to = (to + 1) & mask;
    taken = slots[from];
    slots[from] = slots[to];
    slots[to] = taken;
    cr_assert_ok(file_pwrite(fd, slots, (mask + 1) * sizeof(slots[0]), offset));
    file_close(fd);
}

/* Grown, the table would find it again, beside what was put under that key since. */
Test(table_damage, a_key_that_could_not_be_found_is_not_found_again_by_growing)
{
    const struct seglog_table_options o = {
        .flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE, .shards = 1, .keys = KEYS};
    struct state_header page;
    struct seglog_table *table;
    uint64_t key = 7, value = 0;
    unsigned entries;
    int fd;

    cr_assert_ok(seglog_table_open(files_path("table"), &o, &table));
    for (uint64_t k = 0; k < KEYS; k++)
        cr_assert_ok(seglog_table_put(table, &k, sizeof(k), &k, sizeof(k)));
    seglog_table_close(table);
    fd = file_open(AT_FDCWD, files_path("table"), O_RDONLY, 0);
    cr_assert_ok(file_pread(fd, &page, sizeof(page), 0));
    file_close(fd);
    misplace(XXH3_64bits_withSeed(&key, sizeof(key), le64_get(&page.generation)));

    cr_assert_ok(seglog_table_open(files_path("table"), &o, &table));
    cr_assert_status(seglog_table_get(table, &key, sizeof(key), &value, sizeof(value), NULL),
                     -ENOENT);
    cr_assert_status(walk(table, &entries), SEGLOG_ECORRUPT);
    cr_assert_ok(seglog_table_put(table, &key, sizeof(key), "a new one", 9));
    for (uint64_t k = KEYS; k < 8 * KEYS; k++)
        cr_assert_ok(seglog_table_put(table, &k, sizeof(k), &k, sizeof(k)));
    cr_assert_status(walk(table, &entries), SEGLOG_ECORRUPT);
    cr_assert_eq(entries, 0);
    cr_assert_ok(seglog_table_remove(table, &key, sizeof(key)));
    cr_assert_status(seglog_table_get(table, &key, sizeof(key), &value, sizeof(value), NULL),
                     -ENOENT);
    seglog_table_close(table);
}
