/*
 * Two keys under one hash of 64 bits, which happens by chance in one table of billions of keys, and here
 * by design: XXH3 of 16 bytes a and b, its seed known, is a function of
 *
 *     swap(x) + y + fold(x * y)      with x = a ^ flip, y = b ^ flop
 *
 * so {x: 0, y: h} and {x: swap(h), y: 0} come to the same.
 */
#include <seglog/table.h>

#include "format/state.h"
#include "state/files.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WRITE (SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE)
#define PAIRS 300u

TestSuite(table_hash, .init = files_setup, .fini = files_teardown, .timeout = 120);

/* Bytes 24 to 55 of XXH3's default secret. */
static const uint8_t secret[32] = {0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6,
                                   0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff,
                                   0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e};

struct key {
    le64 a, b;
};

static uint64_t secret_at(size_t at)
{
    le64 word;

    memcpy(&word, secret + at, sizeof(word));
    return le64_get(&word);
}

/* Number `side` (0 or 1) of the pair of keys that h makes. */
static struct key key_of(uint64_t seed, uint64_t h, unsigned side)
{
    const uint64_t flip = (secret_at(0) ^ secret_at(8)) + seed;
    const uint64_t flop = (secret_at(16) ^ secret_at(24)) - seed;
    struct key key;

    le64_put(&key.a, side == 0 ? flip : flip ^ __builtin_bswap64(h));
    le64_put(&key.b, side == 0 ? flop ^ h : flop);
    return key;
}

static uint64_t seed_of(const char *path)
{
    const int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
    struct state_header page;
    struct state_facts facts;
    struct key one, other;

    cr_assert_ok(file_pread(fd, &page, sizeof(page), 0));
    cr_assert_ok(state_header_decode(&page, MAGIC_TABLE, &facts));
    file_close(fd);
    one = key_of(facts.generation, 12345, 0);
    other = key_of(facts.generation, 12345, 1);
    cr_assert_neq(memcmp(&one, &other, sizeof(one)), 0);
    cr_assert_eq(XXH3_64bits_withSeed(&one, sizeof(one), facts.generation),
                 XXH3_64bits_withSeed(&other, sizeof(other), facts.generation));
    return facts.generation;
}

static struct seglog_table *open_at(const char *path, uint32_t flags)
{
    const struct seglog_table_options o = {.flags = flags, .shards = 2};
    struct seglog_table *table;

    cr_assert_ok(seglog_table_open(path, &o, &table));
    return table;
}

static void put_pairs(struct seglog_table *table, uint64_t seed)
{
    for (uint64_t h = 1; h <= PAIRS; h++)
        for (unsigned side = 0; side < 2; side++) {
            const struct key key = key_of(seed, h, side);
            const uint64_t value = h * 2 + side;

            cr_assert_status(seglog_table_add(table, &key, sizeof(key), &value, 8), 1);
        }
}

/* without: side that is not there; 2: both are. */
static void expect_pairs(struct seglog_table *table, uint64_t seed, unsigned without)
{
    for (uint64_t h = 1; h <= PAIRS; h++)
        for (unsigned side = 0; side < 2; side++) {
            const struct key key = key_of(seed, h, side);
            uint64_t value;
            const int rc = seglog_table_get(table, &key, sizeof(key), &value, 8, NULL);

            cr_assert_status(rc, side == without ? -ENOENT : 0);
            cr_assert(rc < 0 || value == h * 2 + side);
        }
}

static uint64_t walk_over(struct seglog_table *table)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    uint64_t n = 0;
    int rc;

    cr_assert_ok(seglog_table_walk_open(table, &walk));
    while ((rc = seglog_table_walk_next(walk, &entry)) == 1)
        n++;
    cr_assert_ok(rc);
    seglog_table_walk_close(walk);
    return n;
}

Test(table_hash, keys_of_one_hash_are_two_keys)
{
    struct seglog_table *table = open_at(files_path("table"), WRITE);
    const uint64_t seed = seed_of(files_path("table"));

    put_pairs(table, seed);
    expect_pairs(table, seed, 2);
    cr_assert_eq(walk_over(table), 2 * PAIRS);
    for (uint64_t h = 1; h <= PAIRS; h++) {
        const struct key key = key_of(seed, h, 0);

        cr_assert_ok(seglog_table_remove(table, &key, sizeof(key)));
    }
    expect_pairs(table, seed, 0);
    cr_assert_eq(walk_over(table), PAIRS);
    seglog_table_close(table);
}

static void copy_file(const char *from, const char *to)
{
    const int in = file_open(AT_FDCWD, from, O_RDONLY, 0);
    const int out = file_create(AT_FDCWD, to, 0600);
    struct file_facts facts;
    uint8_t *bytes;

    cr_assert_ok(file_facts(in, &facts));
    bytes = malloc(facts.size);
    cr_assert_ok(file_pread(in, bytes, facts.size, 0));
    cr_assert_ok(file_pwrite(out, bytes, facts.size, 0));
    free(bytes);
    file_close(in);
    file_close(out);
}

Test(table_hash, both_of_one_hash_outlive_a_power_cut)
{
    struct seglog_table *table = open_at(files_path("table"), WRITE);
    const uint64_t seed = seed_of(files_path("table"));
    struct seglog_table_stat stat;

    put_pairs(table, seed);
    seglog_table_close(table);
    /* A copy is a file of another boot: every entry is checked, and put into new slots. */
    copy_file(files_path("table"), files_path("copy"));
    table = open_at(files_path("copy"), SEGLOG_TABLE_WRITE);
    cr_assert_ok(seglog_table_stat(table, &stat));
    cr_assert_eq(stat.keys, 2 * PAIRS);
    cr_assert_eq(stat.dropped, 0);
    expect_pairs(table, seed, 2);
    seglog_table_close(table);
}
