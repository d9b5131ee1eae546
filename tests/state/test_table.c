/*
 * Tables: against a model, by several processes, and in every trouble that there is a word for.
 */
#include <seglog/table.h>
#include <seglog/table_typed.h>

#include "format/state.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLAGS (SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE)

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(table, .init = setup, .fini = files_teardown, .timeout = 180);

#define table_open(...) table_open_((struct seglog_table_options){__VA_ARGS__})
static struct seglog_table *table_open_(struct seglog_table_options o)
{
    struct seglog_table *table;

    cr_assert_ok(seglog_table_open(files_path("table"), &o, &table));
    return table;
}

static uint64_t keys_of(struct seglog_table *table)
{
    struct seglog_table_stat stat;

    cr_assert_ok(seglog_table_stat(table, &stat));
    return stat.keys;
}

/* ---- one user -------------------------------------------------------------------------------- */

Test(table, keeps_what_was_put_and_nothing_else)
{
    struct seglog_table *table = table_open(.flags = FLAGS);
    char buf[100] = "untouched";
    size_t len;

    cr_assert_status(seglog_table_get(table, "key", 3, buf, sizeof(buf), &len), -ENOENT);
    cr_assert_ok(seglog_table_put(table, "key", 3, "value", 5));
    cr_assert_ok(seglog_table_put(table, "", 0, "empty key", 9));
    cr_assert_ok(seglog_table_put(table, "no value", 8, "", 0));
    cr_assert_status(seglog_table_get(table, "key", 3, buf, 4, &len), -EMSGSIZE);
    cr_assert_eq(len, 5);
    cr_assert_str_eq(buf, "untouched");
    cr_assert_ok(seglog_table_get(table, "key", 3, buf, sizeof(buf), &len));
    cr_assert_arr_eq(buf, "value", 5);
    cr_assert_ok(seglog_table_put(table, "key", 3, "another", 7));
    cr_assert_ok(seglog_table_get(table, "key", 3, buf, sizeof(buf), &len));
    cr_assert_eq(len, 7);
    cr_assert_status(seglog_table_get(table, "ke", 2, buf, sizeof(buf), &len), -ENOENT);
    cr_assert_ok(seglog_table_get(table, "", 0, buf, sizeof(buf), &len));
    cr_assert_eq(len, 9);
    cr_assert_ok(seglog_table_get(table, "no value", 8, NULL, 0, &len));
    cr_assert_eq(len, 0);
    cr_assert_ok(seglog_table_remove(table, "key", 3));
    cr_assert_status(seglog_table_remove(table, "key", 3), -ENOENT);
    cr_assert_status(seglog_table_get(table, "key", 3, buf, sizeof(buf), &len), -ENOENT);
    cr_assert_eq(keys_of(table), 2);
    cr_assert_ok(seglog_table_clear(table));
    cr_assert_eq(keys_of(table), 0);
    cr_assert_status(seglog_table_flush(table), files_durable() ? 0 : SEGLOG_EVOLATILE);
    seglog_table_close(table);
    seglog_table_close(NULL);
}

/* The key and value of number n in its generation g; the value says both. */
static size_t make_key(uint64_t n, char key[32])
{
    return (size_t)snprintf(key, 32, "%.*s%lu", (int)(n % 20), "....................",
                            (unsigned long)n);
}

static size_t make_value(uint64_t n, uint64_t g, uint64_t value[64])
{
    const size_t words = 1 + (n * 31 + g * 7) % 60;

    for (size_t i = 0; i < words; i++)
        value[i] = n << 24 | g;
    return words * 8 - (g % 8 < words * 8 - 8 ? g % 8 : 0);
}

/* g of key n as it is in the table, 0: not there. What is there must be whole. */
static uint64_t look(struct seglog_table *table, uint64_t n)
{
    uint64_t value[64] = {0}, want[64];
    char key[32];
    size_t len, n_len = make_key(n, key);
    const int rc = seglog_table_get(table, key, n_len, value, sizeof(value), &len);
    uint64_t g;

    if (rc == -ENOENT)
        return 0;
    cr_assert_ok(rc);
    g = value[0] & 0xffffff;
    cr_assert_eq(value[0] >> 24, n);
    cr_assert_eq(len, make_value(n, g, want));
    cr_assert_eq(memcmp(value, want, len), 0);
    return g;
}

Test(table, is_what_a_plain_array_is_after_any_changes_and_reopenings)
{
    const unsigned steps = files_quick() ? 60000 : 1000000, n_keys = steps / 20;
    uint64_t *model = calloc(n_keys, sizeof(*model)), state = 0x12345678abcdefu;
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 8);
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    uint64_t value[64], there = 0, seen = 0;
    char key[32];
    size_t len;
    int rc;

    for (unsigned step = 1; step <= steps; step++) {
        const uint64_t n = files_random(&state) % n_keys;

        switch (files_random(&state) % 8) {
        case 0:
        case 1:
            rc = seglog_table_remove(table, key, make_key(n, key));
            cr_assert_status(rc, model[n] ? 0 : -ENOENT);
            model[n] = 0;
            break;
        case 2:
            cr_assert_eq(look(table, n), model[n]);
            break;
        case 3:
            len = make_value(n, step, value);
            rc = seglog_table_add(table, key, make_key(n, key), value, len);
            cr_assert_eq(rc, model[n] == 0);
            model[n] = model[n] ? model[n] : step;
            break;
        default:
            len = make_value(n, step, value);
            cr_assert_ok(seglog_table_put(table, key, make_key(n, key), value, len));
            model[n] = step;
            break;
        }
        if (step % (steps / 5) == 0) {
            seglog_table_close(table);
            table = table_open(.flags = SEGLOG_TABLE_WRITE);
        }
    }
    for (uint64_t n = 0; n < n_keys; n++) {
        cr_assert_eq(look(table, n), model[n]);
        there += model[n] != 0;
    }
    cr_assert_eq(keys_of(table), there);
    cr_assert_ok(seglog_table_walk_open(table, &walk));
    while ((rc = seglog_table_walk_next(walk, &entry)) == 1) {
        const uint64_t n = *(const uint64_t *)entry.value >> 24;

        cr_assert_eq(entry.key_len, make_key(n, key));
        cr_assert_eq(memcmp(entry.key, key, entry.key_len), 0);
        cr_assert_eq(*(const uint64_t *)entry.value & 0xffffff, model[n]);
        model[n] = 0; /* seen: each once */
        seen++;
    }
    cr_assert_ok(rc);
    cr_assert_eq(seen, there);
    seglog_table_walk_close(walk);
    seglog_table_walk_close(NULL);
    seglog_table_close(table);
    free(model);
}

Test(table, eight_a_thousand_and_a_million_keys_are_there_after_reopening)
{
    const uint64_t sizes[] = {8, 1000, files_quick() ? 20000 : 1000000};

    for (int i = 0; i < 3; i++) {
        struct seglog_table *table = table_open(.flags = FLAGS);
        uint64_t value;
        size_t len;

        for (uint64_t n = 0; n < sizes[i]; n++) {
            value = ~n;
            cr_assert_ok(seglog_table_put(table, &n, 8, &value, 8));
        }
        seglog_table_close(table);
        table = table_open(.flags = 0);
        cr_assert_eq(keys_of(table), sizes[i]);
        for (uint64_t n = 0; n < sizes[i]; n++) {
            cr_assert_ok(seglog_table_get(table, &n, 8, &value, 8, &len));
            cr_assert_eq(value, ~n);
        }
        seglog_table_close(table);
        cr_assert_eq(unlink(files_path("table")), 0);
    }
}

static int change(void *context, const void **value, size_t *len)
{
    static const char one[] = "one", two[] = "two";
    const int *want = context;

    if (*want == SEGLOG_TABLE_SET) {
        *value = *value ? two : one;
        *len = 3;
    }
    return *want;
}

Test(table, an_update_sees_what_is_there_and_decides)
{
    struct seglog_table *table = table_open(.flags = FLAGS);
    int want = SEGLOG_TABLE_KEEP;
    char buf[8];

    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), SEGLOG_TABLE_KEEP);
    want = SEGLOG_TABLE_REMOVE;
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), SEGLOG_TABLE_REMOVE);
    cr_assert_eq(keys_of(table), 0);
    want = SEGLOG_TABLE_SET;
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), SEGLOG_TABLE_SET);
    cr_assert_ok(seglog_table_get(table, "k", 1, buf, 8, NULL));
    cr_assert_arr_eq(buf, "one", 3);
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), SEGLOG_TABLE_SET);
    want = -ECANCELED;
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), -ECANCELED);
    want = 77;
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), -EINVAL);
    cr_assert_ok(seglog_table_get(table, "k", 1, buf, 8, NULL));
    cr_assert_arr_eq(buf, "two", 3);
    want = SEGLOG_TABLE_REMOVE;
    cr_assert_eq(seglog_table_update(table, "k", 1, change, &want), SEGLOG_TABLE_REMOVE);
    cr_assert_eq(keys_of(table), 0);
    seglog_table_close(table);
}

Test(table, values_of_every_length_lie_aligned)
{
    struct seglog_table *table = table_open(.flags = FLAGS);
    struct seglog_table_view view;
    static uint8_t value[4096];

    for (size_t n = 0; n <= 4096; n++) {
        memset(value, (int)n, n);
        cr_assert_ok(seglog_table_put(table, &n, 1 + n % 8, value, n));
        cr_assert_ok(seglog_table_view(table, &n, 1 + n % 8, &view));
        cr_assert_eq(view.len, n);
        cr_assert_eq((uintptr_t)view.data % 8, 0);
        cr_assert_eq(memcmp(view.data, value, n), 0);
        cr_assert_ok(seglog_table_check_view(table, &view));
    }
    cr_assert_ok(seglog_table_put(table, "v", 1, "1", 1));
    cr_assert_ok(seglog_table_view(table, "v", 1, &view));
    cr_assert_ok(seglog_table_put(table, "v", 1, "2", 1));
    cr_assert_status(seglog_table_check_view(table, &view), -ESTALE);
    /* The same block comes back to the same slot: it is another value all the same. */
    cr_assert_ok(seglog_table_put(table, "v", 1, "3", 1));
    cr_assert_status(seglog_table_check_view(table, &view), -ESTALE);
    cr_assert_ok(seglog_table_view(table, "v", 1, &view));
    cr_assert_ok(seglog_table_remove(table, "v", 1));
    cr_assert_ok(seglog_table_add(table, "v", 1, "3", 1));
    cr_assert_status(seglog_table_check_view(table, &view), -ESTALE);
    seglog_table_close(table);
}

Test(table, numbers_and_strings_are_keys_and_values)
{
    struct seglog_table *table = table_open(.flags = FLAGS);
    uint64_t n = 1;
    char str[8] = "before";

    cr_assert_ok(seglog_table_put_u64_str(table, 7, "seven"));
    cr_assert_ok(seglog_table_put_str_u64(table, "seven", 7));
    cr_assert_ok(seglog_table_put_str_str(table, "sieben", "seven"));
    cr_assert_ok(seglog_table_get_u64_str(table, 7, str, 6));
    cr_assert_str_eq(str, "seven");
    cr_assert_status(seglog_table_get_u64_str(table, 7, str, 5), -EMSGSIZE);
    cr_assert_status(seglog_table_get_u64_str(table, 7, str, 0), -EMSGSIZE);
    cr_assert_status(seglog_table_get_u64_str(table, 8, str, 8), -ENOENT);
    cr_assert_ok(seglog_table_get_str_u64(table, "seven", &n));
    cr_assert_eq(n, 7);
    cr_assert_status(seglog_table_get_str_u64(table, "eight", &n), -ENOENT);
    cr_assert_status(seglog_table_get_str_u64(table, "sieben", &n), SEGLOG_EMISMATCH);
    cr_assert_ok(seglog_table_put_str_str(table, "long", "no number at all"));
    cr_assert_status(seglog_table_get_str_u64(table, "long", &n), SEGLOG_EMISMATCH);
    cr_assert_eq(n, 7);
    cr_assert_ok(seglog_table_get_str_str(table, "sieben", str, sizeof(str)));
    cr_assert_str_eq(str, "seven");
    seglog_table_close(table);
}

Test(table, the_largest_entry_fits_and_a_larger_one_is_refused)
{
    const size_t most = SEGLOG_TABLE_ENTRY_MAX - 32;
    struct seglog_table *table = table_open(.flags = FLAGS);
    char *value = calloc(1, 2 * SEGLOG_TABLE_ENTRY_MAX);
    size_t len;

    cr_assert_ok(seglog_table_put(table, "large", 5, value, most));
    cr_assert_ok(seglog_table_get(table, "large", 5, value, most, &len));
    cr_assert_eq(len, most);
    cr_assert_status(seglog_table_put(table, "large", 5, value, SEGLOG_TABLE_ENTRY_MAX + 17),
                     -EMSGSIZE);
    cr_assert_status(seglog_table_put(table, value, SEGLOG_TABLE_ENTRY_MAX + 17, "", 0), -EMSGSIZE);
    cr_assert_ok(seglog_table_get(table, "large", 5, value, most, &len));
    seglog_table_close(table);
    free(value);
}

Test(table, space_is_used_again)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 4);
    struct seglog_table_stat before, after;
    uint64_t value[64], state = 99;

    for (unsigned i = 0; i < 200000; i++) {
        const uint64_t n = files_random(&state) % 500;

        if (i % 3 == 0)
            (void)seglog_table_remove(table, &n, 8);
        else
            cr_assert_ok(seglog_table_put(table, &n, 8, value, make_value(n, i % 60, value)));
        if (i == 100000)
            cr_assert_ok(seglog_table_stat(table, &before));
    }
    cr_assert_ok(seglog_table_stat(table, &after));
    cr_assert_leq(after.file_size, before.file_size + (256 << 10), "%lu, %lu",
                  (unsigned long)after.file_size, (unsigned long)before.file_size);
    seglog_table_close(table);
}

Test(table, room_that_was_asked_for_is_there_and_shards_cost_no_longer_ways)
{
    struct seglog_table_stat one, many;
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 1, .keys = 1000);
    const uint64_t keys = 100000;

    for (uint64_t n = 0; n < 1000; n++) {
        cr_assert_ok(seglog_table_put(table, &n, 8, &n, 8));
        if (n == 0)
            cr_assert_ok(seglog_table_stat(table, &one));
    }
    cr_assert_ok(seglog_table_stat(table, &many));
    cr_assert_eq(one.slots, many.slots);
    seglog_table_close(table);
    cr_assert_eq(unlink(files_path("table")), 0);

    for (int i = 0; i < 2; i++) {
        table = table_open(.flags = FLAGS, .shards = i == 0 ? 1 : 64);
        for (uint64_t n = 0; n < keys; n++)
            cr_assert_ok(seglog_table_put(table, &n, 8, &n, 8));
        cr_assert_ok(seglog_table_stat(table, i == 0 ? &one : &many));
        seglog_table_close(table);
        cr_assert_eq(unlink(files_path("table")), 0);
    }
    /* For the same load; 20 % and one look. */
    cr_assert_lt(many.probes_sum, keys + one.probes_sum + one.probes_sum / 5);
    cr_assert_lt(many.probes_max, 400);
}

/* ---- several users --------------------------------------------------------------------------- */

static int count_one(void *context, const void **value, size_t *len)
{
    uint64_t *n = context;

    if (*value && *len == 8)
        memcpy(n, *value, 8);
    else
        *n = 0;
    ++*n;
    *value = n;
    *len = 8;
    return SEGLOG_TABLE_SET;
}

static int counter(struct child *parent, void *arg)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 2);
    uint64_t n, state = 1 + (uint64_t)(uintptr_t)arg;
    char key;
    (void)parent;

    for (unsigned i = 0; i < 20000; i++) {
        key = (char)(files_random(&state) % 10);
        child_must(seglog_table_update(table, &key, 1, count_one, &n));
    }
    seglog_table_close(table);
    return 0;
}

Test(table, four_processes_that_count_in_it_lose_nothing)
{
    struct child children[4];
    struct seglog_table *table;
    uint64_t n, sum = 0;

    for (uintptr_t i = 0; i < 4; i++)
        child_start(&children[i], counter, (void *)i);
    for (int i = 0; i < 4; i++)
        child_end(&children[i]);
    table = table_open(.flags = 0);
    for (char key = 0; key < 10; key++) {
        cr_assert_ok(seglog_table_get(table, &key, 1, &n, 8, NULL));
        sum += n;
    }
    cr_assert_eq(sum, 80000);
    seglog_table_close(table);
}

struct crowd {
    struct seglog_table *table;
    _Atomic unsigned next, done, bad;
};

/* Even numbers stay, odd ones come and go; all change their values. */
static void *churn(void *arg)
{
    struct crowd *crowd = arg;
    const unsigned me = atomic_fetch_add(&crowd->next, 1);
    const unsigned times = files_quick() ? 3000 : 60000;
    uint64_t value[64], state = me + 1;
    char key[32];
    size_t len;

    for (unsigned i = 1; me < 4 && i < times; i++) {
        const uint64_t n = files_random(&state) % 300;
        int rc;

        if (n % 2 && i % 4 == 0)
            rc = seglog_table_remove(crowd->table, key, make_key(n, key));
        else
            rc = seglog_table_put(crowd->table, key, make_key(n, key), value,
                                  make_value(n, i, value));
        if (rc < 0 && rc != -ENOENT)
            atomic_fetch_add(&crowd->bad, 1);
    }
    if (me < 4)
        atomic_fetch_add(&crowd->done, 1);
    while (atomic_load(&crowd->done) < 4) {
        const uint64_t n = files_random(&state) % 300;
        const int rc =
            seglog_table_get(crowd->table, key, make_key(n, key), value, sizeof(value), &len);

        if (rc == -ENOENT ? n % 2 == 0 : rc != -EAGAIN && (rc != 0 || value[0] >> 24 != n))
            atomic_fetch_add(&crowd->bad, 1);
    }
    return NULL;
}

Test(table, readers_find_every_key_that_stays_beside_writers_that_change_and_grow)
{
    struct crowd crowd = {.table = table_open(.flags = FLAGS, .shards = 2)};
    pthread_t threads[8];
    uint64_t value[64];
    char key[32];

    for (uint64_t n = 0; n < 300; n += 2)
        cr_assert_ok(
            seglog_table_put(crowd.table, key, make_key(n, key), value, make_value(n, 1, value)));
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, &crowd), 0);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(atomic_load(&crowd.bad), 0);
    seglog_table_close(crowd.table);
}

/* ---- death ----------------------------------------------------------------------------------- */

static int change_for_ever(struct child *parent, void *arg)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 2);
    uint64_t value[64], state = 7 + (uint64_t)(uintptr_t)arg;
    char key[32];

    for (unsigned i = 1;; i++) {
        const uint64_t n = files_random(&state) % 2000;

        if (i % 5 == 0)
            (void)seglog_table_remove(table, key, make_key(n, key));
        else
            child_must(seglog_table_put(table, key, make_key(n, key), value,
                                        make_value(n, i & 0xffffff, value)));
        if (i == 1)
            child_say(parent, 'r');
    }
    return 0;
}

Test(table, a_writer_killed_at_any_instant_leaves_every_key_whole_and_no_lock)
{
    const unsigned rounds = files_quick() ? 20 : 100;
    struct seglog_table *table;
    struct child child;

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t keys = 0;

        child_start(&child, change_for_ever, (void *)(uintptr_t)i);
        cr_assert_eq(child_hear(&child), 'r');
        clock_sleep_ns(i * 5000);
        child_kill(&child);
        table = table_open(.flags = SEGLOG_TABLE_WRITE);
        for (uint64_t n = 0; n < 2000; n++)
            keys += look(table, n) != 0;
        cr_assert_eq(keys_of(table), keys);
        for (uint64_t n = 0; n < 40; n++) { /* both shards */
            cr_assert_ok(seglog_table_put(table, &n, 8, "after", 5));
            cr_assert_ok(seglog_table_remove(table, &n, 8));
        }
        seglog_table_close(table);
    }
}

static int stop_in_the_middle(void *context, const void **value, size_t *len)
{
    struct child *parent = context;

    (void)value;
    (void)len;
    child_say(parent, 'l');
    (void)child_hear(parent);
    return SEGLOG_TABLE_KEEP;
}

static int hold_lock(struct child *parent, void *arg)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 1);

    (void)arg;
    (void)seglog_table_update(table, "k", 1, stop_in_the_middle, parent);
    seglog_table_close(table);
    return 0;
}

Test(table, the_lock_of_the_dead_is_taken_over_and_that_of_the_stopped_is_not)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 1);
    struct child child;
    char buf[8];

    cr_assert_ok(seglog_table_put(table, "k", 1, "old", 3));
    for (int i = 0; i < 3; i++) {
        child_start(&child, hold_lock, NULL);
        cr_assert_eq(child_hear(&child), 'l');
        cr_assert_ok(seglog_table_get(table, "k", 1, buf, 8, NULL)); /* readers do not care */
        child_kill(&child);
        cr_assert_ok(seglog_table_put(table, "k", 1, "new", 3));
    }
    child_start(&child, hold_lock, NULL);
    cr_assert_eq(child_hear(&child), 'l');
    child_say(&child, 'g');
    cr_assert_ok(seglog_table_put(table, "k", 1, "end", 3)); /* waits for it */
    child_end(&child);
    seglog_table_close(table);
}

/* ---- trouble --------------------------------------------------------------------------------- */

Test(table, after_a_power_cut_what_is_spoiled_is_left_out_and_the_rest_is_there)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 4);
    struct seglog_table_stat stat;
    struct seglog_table_view view;
    uint64_t n, value, lost = 0;
    char *copy = files_path("copy");
    uint8_t *bytes;
    struct file_facts facts;
    int fd;

    for (n = 0; n < 1000; n++)
        cr_assert_ok(seglog_table_put(table, &n, 8, &n, 8));
    /* A copy is a file of another boot. In it, some values were written and some were not. */
    fd = file_open(AT_FDCWD, files_path("table"), O_RDONLY, 0);
    cr_assert_ok(file_facts(fd, &facts));
    bytes = malloc(facts.size);
    cr_assert_ok(file_pread(fd, bytes, facts.size, 0));
    file_close(fd);
    for (uint64_t at = STATE_OFF_DATA + 4 * 512; at + 16 < facts.size; at += 8) {
        uint64_t words[2];

        memcpy(words, bytes + at, 16);
        if (words[0] == words[1] && words[0] > 0 && words[0] % 10 == 7 && words[0] < 1000) {
            bytes[at + 8] ^= 1; /* key and value were equal */
            lost++;
        }
    }
    cr_assert_eq(lost, 100);
    fd = file_create(AT_FDCWD, copy, 0600);
    cr_assert_ok(file_pwrite(fd, bytes, facts.size, 0));
    file_close(fd);
    seglog_table_close(table);
    free(bytes);

    cr_assert_ok(seglog_table_open(copy, NULL, &table)); /* reading alone says so for each */
    n = 7;
    cr_assert_status(seglog_table_get(table, &n, 8, &value, 8, NULL), SEGLOG_ECORRUPT);
    cr_assert_status(seglog_table_view(table, &n, 8, &view), SEGLOG_ECORRUPT);
    seglog_table_close(table);
    for (int round = 0; round < 2; round++) {
        cr_assert_ok(seglog_table_open(
            copy, &(struct seglog_table_options){.flags = SEGLOG_TABLE_WRITE}, &table));
        cr_assert_ok(seglog_table_stat(table, &stat));
        cr_assert_eq(stat.dropped, round == 0 ? 100 : 0);
        cr_assert_eq(stat.keys, 900);
        for (n = 0; n < 1000; n++) {
            const int rc = seglog_table_get(table, &n, 8, &value, 8, NULL);

            cr_assert_status(rc, n % 10 == 7 ? -ENOENT : 0);
            cr_assert(rc < 0 || value == n);
        }
        seglog_table_close(table);
    }
}

Test(table, a_full_disk_changes_nothing_and_room_that_is_freed_is_enough)
{
    struct seglog_table *table;
    static char value[5000];
    uint64_t n = 0, i;
    size_t len;
    int rc = 0;

    if (!files_small("2m"))
        cr_skip("needs root to mount a small file system\n");
    table = table_open(.flags = FLAGS, .shards = 1);
    while (rc == 0) {
        value[0] = (char)n;
        rc = seglog_table_put(table, &n, 8, value, sizeof(value));
        n += rc == 0;
    }
    cr_assert_status(rc, -ENOSPC);
    cr_assert_gt(n, 100);
    for (i = 0; i < n; i++) {
        cr_assert_ok(seglog_table_get(table, &i, 8, value, sizeof(value), &len));
        cr_assert_eq(value[0], (char)i);
    }
    i = 5;
    cr_assert_ok(seglog_table_remove(table, &i, 8));
    cr_assert_ok(seglog_table_put(table, &n, 8, value, sizeof(value)));
    seglog_table_close(table);
}

static void expect_open(const struct seglog_table_options *o, int want)
{
    struct seglog_table *table = NULL;

    cr_assert_status(seglog_table_open(files_path("table"), o, &table), want);
    cr_assert_eq(table, NULL);
}

Test(table, what_is_no_table_or_asked_for_wrongly_is_refused)
{
    const struct seglog_table_options bad[] = {
        {.flags = 1u << 20},
        {.flags = SEGLOG_TABLE_CREATE},
        {.flags = FLAGS, .shards = 3},
        {.flags = FLAGS, .shards = 512},
        {.flags = FLAGS, .reserved = 1},
        {.flags = FLAGS, .file_mode = 07777},
        {.flags = FLAGS, .keys = UINT64_MAX},
    };
    const struct seglog_table_options other = {.schema = 5};
    struct seglog_table *table;
    struct seglog_table_walk *walk;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_open(&bad[i], -EINVAL);
    expect_open(NULL, -ENOENT);
    seglog_table_close(table_open(.flags = FLAGS, .schema = 4));
    expect_open(&other, SEGLOG_EMISMATCH);
    table = table_open(.schema = 4);
    cr_assert_status(seglog_table_put(table, "k", 1, "v", 1), -EPERM);
    cr_assert_status(seglog_table_clear(table), -EPERM);
    cr_assert_status(seglog_table_flush(table), -EPERM);
    cr_assert_status(seglog_table_walk_open(table, &walk), -EPERM);
    seglog_table_close(table);
    files_damage(files_path("table"), 1);
    expect_open(NULL, SEGLOG_ENOTLOG);
    files_damage(files_path("table"), 1);
    files_damage(files_path("table"), 88);
    expect_open(NULL, SEGLOG_ECORRUPT);
    files_damage(files_path("table"), 88);
    cr_assert_eq(truncate(files_path("table"), 9000), 0);
    expect_open(NULL, SEGLOG_ETRUNCATED);
}

Test(table, a_cut_file_and_a_failed_flush_are_errors_for_good)
{
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 1);
    struct seglog_table_stat stat;
    uint64_t n;

    for (n = 0; n < 1000; n++)
        cr_assert_ok(seglog_table_put(table, &n, 8, &n, 8));
    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(seglog_table_flush(table), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_status(seglog_table_flush(table), SEGLOG_EPOISONED);
    cr_assert_eq(truncate(files_path("table"), 8192), 0);
    n = 5;
    cr_assert_status(seglog_table_get(table, &n, 8, &n, 8, NULL), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_table_put(table, &n, 8, &n, 8), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_table_stat(table, &stat), SEGLOG_ETRUNCATED);
    seglog_table_close(table);
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_table *table = arg;
    struct seglog_table_view view = {0};
    struct seglog_table_walk *walk;
    struct seglog_table_stat stat;
    char buf[8];
    (void)parent;

    child_must_be(seglog_table_get(table, "k", 1, buf, 8, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_table_view(table, "k", 1, &view), SEGLOG_EFORKED);
    child_must_be(seglog_table_check_view(table, &view), SEGLOG_EFORKED);
    child_must_be(seglog_table_put(table, "k", 1, "w", 1), SEGLOG_EFORKED);
    child_must_be(seglog_table_remove(table, "k", 1), SEGLOG_EFORKED);
    child_must_be(seglog_table_clear(table), SEGLOG_EFORKED);
    child_must_be(seglog_table_flush(table), SEGLOG_EFORKED);
    child_must_be(seglog_table_stat(table, &stat), SEGLOG_EFORKED);
    child_must_be(seglog_table_walk_open(table, &walk), SEGLOG_EFORKED);
    seglog_table_close(table);
    return 0;
}

Test(table, a_forked_child_can_only_close)
{
    struct seglog_table *table = table_open(.flags = FLAGS);
    struct child child;
    char buf[8];

    cr_assert_ok(seglog_table_put(table, "k", 1, "v", 1));
    child_start(&child, child_of_fork, table);
    child_end(&child);
    cr_assert_ok(seglog_table_get(table, "k", 1, buf, 8, NULL));
    seglog_table_close(table);
}

/* In the same boot, as the check at open is another matter. No key has a value that it never had. */
Test(table, every_byte_of_the_file_turned_is_noticed_or_does_not_matter)
{
    const uint64_t step = files_quick() ? 41 : 5;
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 2);
    struct file_facts facts;
    uint64_t value, told = 0;
    int fd;

    for (uint64_t n = 0; n < 100; n++) {
        value = n ^ UINT64_C(0xA5A5A5A5A5A5A5A5);
        cr_assert_ok(seglog_table_put(table, &n, 8, &value, 8));
    }
    fd = file_open(AT_FDCWD, files_path("table"), O_RDONLY, 0);
    cr_assert_ok(file_facts(fd, &facts));
    for (uint64_t at = 0; at < facts.size; at += step) {
        struct seglog_table *reader = NULL;
        uint8_t byte;

        cr_assert_ok(file_pread(fd, &byte, 1, at));
        if (byte == 0 && at > STATE_OFF_DATA + 2 * 512 && at % 4096 > 64 * step)
            continue; /* most of it is unused room */
        files_damage(files_path("table"), at);
        if (seglog_table_open(files_path("table"), NULL, &reader) < 0)
            told++;
        for (uint64_t n = 0; reader && n < 100; n++) {
            const int rc = seglog_table_get(reader, &n, 8, &value, 8, NULL);

            cr_assert(rc != 0 || value == (n ^ UINT64_C(0xA5A5A5A5A5A5A5A5)), "byte %llu, key %llu",
                      (unsigned long long)at, (unsigned long long)n);
            told += rc != 0;
        }
        seglog_table_close(reader);
        files_damage(files_path("table"), at); /* back */
    }
    cr_assert_gt(told, 100);
    file_close(fd);
    seglog_table_close(table);
}

Test(table, no_bytes_lead_outside_or_into_an_endless_loop)
{
    const unsigned rounds = files_quick() ? 300 : 3000;
    struct seglog_table *table = table_open(.flags = FLAGS, .shards = 2);
    uint64_t state = 0xfeedbeef12345u, n;
    struct file_facts facts;
    uint8_t *bytes;
    int fd;

    for (n = 0; n < 100; n++)
        cr_assert_ok(seglog_table_put(table, &n, 8, &n, 8));
    seglog_table_close(table);
    fd = file_open(AT_FDCWD, files_path("table"), O_RDWR, 0);
    cr_assert_ok(file_facts(fd, &facts));
    bytes = malloc(facts.size);
    cr_assert_ok(file_pread(fd, bytes, facts.size, 0));
    for (unsigned round = 0; round < rounds; round++) {
        const bool writes = round % 2 == 0;
        struct seglog_table_stat stat;
        uint64_t value;

        for (unsigned i = 0; i < 1 + files_random(&state) % 20; i++) {
            uint64_t word = files_random(&state) >> files_random(&state) % 64;
            uint64_t at = STATE_OFF_DATA + files_random(&state) % (facts.size - STATE_OFF_DATA - 8);

            if (files_random(&state) % 3 == 0)
                at = STATE_OFF_DATA + files_random(&state) % 128;
            cr_assert_ok(file_pwrite(fd, &word, 8, at & ~(uint64_t)7));
        }
        /* A lock that names a living stranger would be waited for: whoever may write is trusted. */
        for (unsigned s = 0; s < 2; s++)
            cr_assert_ok(file_pwrite(fd, &(uint32_t){0}, 4, STATE_OFF_DATA + s * 512));
        table = NULL;
        if (seglog_table_open(
                files_path("table"),
                &(struct seglog_table_options){.flags = writes ? SEGLOG_TABLE_WRITE : 0},
                &table) == 0) {
            for (n = 0; n < 110; n++) {
                if (seglog_table_get(table, &n, 8, &value, 8, NULL) == 0)
                    cr_assert_eq(value, n);
                if (writes && n % 7 == 0)
                    (void)seglog_table_remove(table, &n, 8);
                if (writes && n % 5 == 0)
                    (void)seglog_table_put(table, &n, 8, &n, 8);
            }
            (void)seglog_table_stat(table, &stat);
            seglog_table_close(table);
        }
        cr_assert_eq(ftruncate(fd, (off_t)facts.size), 0);
        cr_assert_ok(file_pwrite(fd, bytes, facts.size, 0));
    }
    file_close(fd);
    free(bytes);
}
