/*
 * Tables with a log of their changes: killed at every instruction, cut, spoiled, full, and made anew.
 */
#include <seglog/log.h>
#include <seglog/reader.h>
#include <seglog/table.h>

#include "format/layout.h"
#include "format/state.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS (SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE)

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(table_log, .init = setup, .fini = files_teardown, .timeout = 180);

/* Small segments, so that there are many. */
static void make_log(uint32_t sync)
{
    const struct seglog_log_options o = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN, .sync = sync};

    cr_assert_ok(seglog_log_create(files_path("log"), &o));
}

static int try_open(uint32_t flags, uint32_t shards, struct seglog_table **out)
{
    const struct seglog_table_options o = {
        .flags = flags, .shards = shards, .log = files_path("log")};

    return seglog_table_open(files_path("table"), &o, out);
}

static struct seglog_table *open_with(uint32_t flags)
{
    struct seglog_table *table;

    cr_assert_ok(try_open(flags, 2, &table));
    return table;
}

static void put(struct seglog_table *table, uint64_t key, uint64_t value)
{
    cr_assert_ok(seglog_table_put(table, &key, 8, &value, 8));
}

/* 0: not there */
static uint64_t get(struct seglog_table *table, uint64_t key)
{
    uint64_t value = 0;
    size_t len;
    const int rc = seglog_table_get(table, &key, 8, &value, 8, &len);

    cr_assert_status(rc, value ? 0 : -ENOENT);
    return value;
}

static struct seglog_table_stat stat_of(struct seglog_table *table)
{
    struct seglog_table_stat stat;

    cr_assert_ok(seglog_table_stat(table, &stat));
    return stat;
}

/* Flip the boot in which the table was last whole: what is seen is as after a power cut. */
static void reboot(void)
{
    files_damage(files_path("table"), STATE_OFF_HOT + 1);
}

/* ---- one user -------------------------------------------------------------------------------- */

Test(table_log, is_the_same_table_made_anew_from_its_log)
{
    const unsigned steps = files_quick() ? 20000 : 100000;
    uint64_t model[300] = {0}, state = 4711;
    struct seglog_table *table;

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (unsigned step = 1; step <= steps; step++) {
        uint64_t key = files_random(&state) % 300;
        uint64_t value = step;
        int rc;

        switch (files_random(&state) % 6) {
        case 0:
            rc = seglog_table_remove(table, &key, 8);
            cr_assert_status(rc, model[key] ? 0 : -ENOENT);
            model[key] = 0;
            break;
        case 1:
            rc = seglog_table_add(table, &key, 8, &value, 8);
            cr_assert_eq(rc, model[key] == 0);
            model[key] = model[key] ? model[key] : step;
            break;
        default:
            put(table, key, value);
            model[key] = step;
        }
        if (step % (steps / 3) == 100) {
            cr_assert_ok(seglog_table_clear(table));
            memset(model, 0, sizeof(model));
        }
        if (step % (steps / 5) == 0) {
            seglog_table_close(table);
            if (step % 2)
                reboot();
            table = open_with(SEGLOG_TABLE_WRITE | (step % 2 ? 0 : SEGLOG_TABLE_REBUILD));
            cr_assert_gt(stat_of(table).replayed, 0);
            for (key = 0; key < 300; key++)
                cr_assert_eq(get(table, key), model[key]);
        }
    }
    cr_assert_eq(stat_of(table).is_logged, 1);
    seglog_table_close(table);
    table = open_with(SEGLOG_TABLE_WRITE); /* it is there: nothing to make */
    cr_assert_eq(stat_of(table).replayed, 0);
    cr_assert_eq(stat_of(table).shards, 2);
    seglog_table_close(table);
    cr_assert_eq(unlink(files_path("table")), 0);
    table = open_with(SEGLOG_TABLE_WRITE); /* the log is what must be there */
    for (uint64_t key = 0; key < 300; key++)
        cr_assert_eq(get(table, key), model[key]);
    seglog_table_close(table);
}

static uint64_t first_seq(void)
{
    struct seglog_reader *reader;
    uint64_t first;

    cr_assert_ok(seglog_reader_open(files_path("log"), NULL, &reader));
    cr_assert_ok(seglog_reader_bounds(reader, &first, NULL));
    seglog_reader_close(reader);
    return first;
}

Test(table_log, a_checkpoint_lets_the_log_go_and_nothing_is_missed)
{
    struct seglog_table *table;
    struct seglog_trim_report report;
    uint64_t trimmed = 0;

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (uint64_t round = 1; round <= 4; round++) {
        for (uint64_t i = 0; i < 5000; i++)
            put(table, i % 500, round << 32 | i);
        put(table, 1000 + round, round);
        if (round > 1)
            cr_assert_ok(seglog_table_remove(table, &(uint64_t){1000 + round - 1}, 8));
        if (round == 3)
            continue;
        cr_assert_ok(seglog_table_checkpoint(table, &report));
        trimmed += report.segments;
    }
    cr_assert_gt(trimmed, 3);
    cr_assert_gt(first_seq(), 10000);
    cr_assert_ok(seglog_table_checkpoint(table, NULL));
    seglog_table_close(table);
    reboot();
    table = open_with(SEGLOG_TABLE_WRITE);
    for (uint64_t i = 0; i < 500; i++)
        cr_assert_eq(get(table, i), UINT64_C(4) << 32 | (4500 + i));
    for (uint64_t round = 1; round <= 4; round++)
        cr_assert_eq(get(table, 1000 + round), round == 4 ? 4 : 0);
    cr_assert_eq(stat_of(table).keys, 501);
    cr_assert_lt(stat_of(table).replayed, 2 * 501 + 10); /* from the last checkpoint on, not all */
    seglog_table_close(table);
}

Test(table_log, what_somebody_else_trimmed_is_missed)
{
    const struct seglog_trim_options all = {.flags = SEGLOG_TRIM_BEFORE, .before_seq = 1u << 30};
    struct seglog_table *table;
    struct seglog_log *log;

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (uint64_t i = 0; i < 10000; i++)
        put(table, i, i + 1);
    cr_assert_ok(seglog_log_open(files_path("log"), NULL, &log));
    cr_assert_geq(seglog_log_seal(log, 0), 0);
    cr_assert_ok(seglog_log_trim(log, &all, NULL));
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(get(table, 7), 8);
    seglog_table_close(table);
    reboot();
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ETRIMMED);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ETRIMMED);
}

Test(table_log, a_spoiled_file_is_made_anew_and_a_strange_one_is_not)
{
    struct seglog_table *table, *other;
    const char *path = files_path("table");

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (uint64_t i = 0; i < 1000; i++)
        put(table, i, i + 1);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, 0, &other), -EBUSY);
    seglog_table_close(table);
    files_damage(path, 70);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ECORRUPT);
    seglog_table_close(open_with(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD));
    cr_assert_eq(truncate(path, 5000), 0);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ETRUNCATED);
    seglog_table_close(open_with(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD));
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ENOTLOG);
    table = open_with(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD);
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_eq(get(table, i), i + 1);
    seglog_table_close(table);
    /* A table without a log is not thrown away for one. */
    cr_assert_eq(unlink(path), 0);
    cr_assert_ok(seglog_table_open(path, &(struct seglog_table_options){.flags = FLAGS}, &table));
    put(table, 1, 2);
    seglog_table_close(table);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_EMISMATCH);
    cr_assert_status(try_open(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, 0, &table),
                     SEGLOG_EMISMATCH);
}

Test(table_log, what_does_not_belong_together_is_refused)
{
    struct seglog_table_options o = {.flags = SEGLOG_TABLE_WRITE};
    struct seglog_table *table = open_with(FLAGS); /* a log of its own making */
    const char *path = files_path("table");
    struct seglog_log_settings settings;
    struct seglog_appender *appender;
    struct seglog_log *log;

    cr_assert_ok(seglog_settings_read(files_path("log"), &settings));
    cr_assert_eq(settings.sync, files_durable() ? SEGLOG_SYNC_RECORD : SEGLOG_SYNC_SEALED);
    put(table, 1, 2);
    cr_assert_status(seglog_table_flush(table), files_durable() ? 0 : SEGLOG_EVOLATILE);
    seglog_table_close(table);
    cr_assert_status(seglog_table_open(path, &o, &table), SEGLOG_EMISMATCH);
    cr_assert_status(try_open(SEGLOG_TABLE_CREATE, 0, &table), -EINVAL);
    o.log = files_path("other");
    cr_assert_status(seglog_table_open(path, &o, &table), -ENOENT);
    cr_assert_ok(seglog_log_create(o.log, NULL));
    cr_assert_status(seglog_table_open(path, &o, &table), SEGLOG_EMISMATCH);
    o.flags = 0;
    cr_assert_status(seglog_table_open(path, &o, &table), -EINVAL);
    o = (struct seglog_table_options){.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD};
    cr_assert_status(seglog_table_open(path, &o, &table), -EINVAL);
    /* Reading needs none, as long as the table is of this boot. */
    cr_assert_ok(seglog_table_open(path, NULL, &table));
    cr_assert_eq(get(table, 1), 2);
    cr_assert_status(seglog_table_checkpoint(table, NULL), -EPERM);
    seglog_table_close(table);
    reboot();
    cr_assert_status(seglog_table_open(path, NULL, &table), -ESTALE);
    /* A log of something else. */
    cr_assert_ok(seglog_log_open(files_path("other"), NULL, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    cr_assert_ok(seglog_appender_append(appender, "not a change", 12, NULL));
    cr_assert_ok(seglog_appender_close(appender));
    cr_assert_ok(seglog_log_close(log));
    o = (struct seglog_table_options){.flags = FLAGS, .log = files_path("other")};
    cr_assert_status(seglog_table_open(files_path("new"), &o, &table), SEGLOG_EMISMATCH);
    cr_assert_ok(seglog_table_open(files_path("plain"),
                                   &(struct seglog_table_options){.flags = FLAGS}, &table));
    cr_assert_status(seglog_table_checkpoint(table, NULL), -EINVAL);
    seglog_table_close(table);
}

/* ---- death ----------------------------------------------------------------------------------- */

/* In order: 1 puts over, 2 adds, 3 removes, 4 clears, 5 checkpoints. */
static int one_change(struct child *parent, void *arg)
{
    struct seglog_table *table = open_with(SEGLOG_TABLE_WRITE);
    const uint64_t key = 5, value = 77;

    (void)parent;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        return 9;
    (void)raise(SIGSTOP);
    switch ((int)(uintptr_t)arg) {
    case 0:
        child_must(seglog_table_put(table, &key, 8, &value, 8));
        break;
    case 1:
        child_must(seglog_table_remove(table, &key, 8));
        break;
    case 2:
        child_must(seglog_table_clear(table));
        break;
    default:
        child_must(seglog_table_checkpoint(table, NULL));
    }
    (void)raise(SIGSTOP);
    return 0;
}

/* Let it run `steps` instructions and kill it. false: it had come to its end. */
static bool kill_after(struct child *child, unsigned long steps)
{
    bool ended = false;
    int status;

    for (unsigned long i = 0; i < steps && !ended; i++) {
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, child->pid, NULL, NULL), 0);
        cr_assert_eq(waitpid(child->pid, &status, 0), child->pid);
        cr_assert(WIFSTOPPED(status), "%x", (unsigned)status);
        ended = WSTOPSIG(status) == SIGSTOP;
    }
    child_kill(child);
    return !ended;
}

/* Somebody else has the table open all the time. */
static int neighbour(struct child *parent, void *arg)
{
    struct seglog_table *table = open_with(SEGLOG_TABLE_WRITE);

    (void)arg;
    child_say(parent, 'r');
    (void)child_hear(parent);
    seglog_table_close(table);
    return 0;
}

/* What a table that is made from the log now has. */
static struct seglog_table *made_anew(void)
{
    const struct seglog_table_options o = {.flags = FLAGS, .shards = 4, .log = files_path("log")};
    struct seglog_table *table;

    (void)unlink(files_path("anew"));
    cr_assert_ok(seglog_table_open(files_path("anew"), &o, &table));
    return table;
}

static void fill(void)
{
    struct seglog_table *table;

    cr_assert_ok(try_open(FLAGS, 1, &table));
    for (uint64_t key = 1; key < 10; key++)
        put(table, key, key);
    seglog_table_close(table);
}

/* After the death: the table, whose shard somebody has locked since, and the log say the same. */
static void judge(int kind, bool is_done, unsigned long steps)
{
    struct seglog_table *table = open_with(SEGLOG_TABLE_WRITE), *anew;
    uint64_t five;

    put(table, 100, 100);
    five = get(table, 5);
    cr_assert(five == 5 || (kind == 0 && five == 77) || (kind < 3 && kind > 0 && five == 0));
    if (is_done)
        cr_assert_eq(five, kind == 0 ? 77 : kind == 3 ? 5 : 0);
    for (uint64_t key = 1; key < 10; key++)
        cr_assert(key == 5 || get(table, key) == (kind == 2 && five == 0 ? 0 : key));
    anew = made_anew();
    for (uint64_t key = 1; key <= 100; key++)
        cr_assert_eq(get(anew, key), get(table, key), "%lu after %lu instructions",
                     (unsigned long)key, steps);
    seglog_table_close(anew);
    seglog_table_close(table);
}

/* One in so many instructions, others each time; SEGLOG_KILL_STRIDE=1: at each, which takes an hour. */
static unsigned long kill_stride(int kind)
{
    const char *asked = getenv("SEGLOG_KILL_STRIDE");

    if (asked && atol(asked) > 0)
        return (unsigned long)atol(asked);
    /* A clear has several times as many as a put. */
    return (FILES_SANITIZED ? 3001u : files_quick() ? 3989u : 997u) * (kind == 2 ? 4u : 1u);
}

/* A table of one shard with keys 1 to 9, of which 5 or all are changed. */
static void kill_everywhere(int kind, bool has_neighbour)
{
    const unsigned long stride = kill_stride(kind);
    struct child child, other;
    bool more = true;

#ifdef __SANITIZE_THREAD__
    cr_skip("it makes a million instructions of one put\n");
#endif
    make_log(SEGLOG_SYNC_NONE);
    fill();
    if (has_neighbour) {
        child_start(&other, neighbour, NULL);
        cr_assert_eq(child_hear(&other), 'r');
    }
    /* A checkpoint has far more of them, in its syncs, and so has what a sanitizer makes of each. */
    for (unsigned long steps = 1 + clock_monotonic_ns() % stride; more;
         steps += stride + (FILES_SANITIZED ? 30 * steps
                            : kind == 3     ? steps
                                            : 0)) {
        int status;

        fill();
        child_start(&child, one_change, (void *)(uintptr_t)kind);
        cr_assert_eq(waitpid(child.pid, &status, WUNTRACED), child.pid);
        if (!WIFSTOPPED(status))
            cr_skip("nobody may be traced here\n");
        more = kill_after(&child, steps);
        judge(kind, !more, steps);
    }
    if (has_neighbour) {
        child_say(&other, 'e');
        child_end(&other);
    }
}

Test(table_log, a_put_killed_at_any_instruction_is_in_both_or_in_neither)
{
    kill_everywhere(0, false);
}

Test(table_log, a_put_killed_beside_a_neighbour_is_in_both_or_in_neither)
{
    kill_everywhere(0, true);
}

Test(table_log, a_removal_killed_at_any_instruction_is_in_both_or_in_neither)
{
    kill_everywhere(1, true);
}

Test(table_log, a_clear_killed_at_any_instruction_is_in_both_or_in_neither)
{
    kill_everywhere(2, true);
}

Test(table_log, a_checkpoint_killed_at_any_instruction_changes_nothing)
{
    if (FILES_SANITIZED)
        cr_skip("millions of instructions\n");
    kill_everywhere(3, false);
}

/* Change number n: key n % 97 gets n; each 7th is taken away instead. */
static int change_in_order(struct child *parent, void *arg)
{
    struct seglog_table *table = open_with(FLAGS);

    (void)arg;
    for (uint64_t n = 1;; n++) {
        const uint64_t key = n % 97;

        if (n % 7 == 0)
            (void)seglog_table_remove(table, &key, 8);
        else
            child_must(seglog_table_put(table, &key, 8, &n, 8));
        if (n % 5000 == 0)
            child_must(seglog_table_checkpoint(table, NULL));
        if (n == 100)
            child_say(parent, 'r');
    }
    return 0;
}

/* How many of the changes are in it: what it has must be what that many make. */
static void expect_prefix(struct seglog_table *table)
{
    uint64_t last = 0;

    for (uint64_t key = 0; key < 97; key++) {
        const uint64_t n = get(table, key);

        last = n > last ? n : last;
    }
    cr_assert_geq(last, 97);
    /* Removals behind the last put may be in it or not. */
    for (uint64_t key = 0; key < 97; key++) {
        const uint64_t n = get(table, key);
        uint64_t want = last - (last - key) % 97;

        if (want % 7 == 0)
            want = 0;
        if (n == 0 && want != 0)
            cr_assert_eq((want + 97) % 7, 0);
        else
            cr_assert_eq(n, want);
    }
}

Test(table_log, a_writer_killed_anywhere_leaves_a_prefix_of_its_changes)
{
    const unsigned rounds = files_quick() ? 8 : 40;
    struct seglog_table *table, *anew;
    struct child child;

    for (unsigned i = 0; i < rounds; i++) {
        make_log(SEGLOG_SYNC_NONE);
        child_start(&child, change_in_order, NULL);
        cr_assert_eq(child_hear(&child), 'r');
        clock_sleep_ns(i * 300000);
        child_kill(&child);
        if (i % 2)
            reboot();
        table = open_with(FLAGS);
        for (uint64_t key = 1000; key < 1020; key++)
            put(table, key, key); /* each shard was locked since */
        expect_prefix(table);
        anew = made_anew();
        for (uint64_t key = 0; key < 97; key++)
            cr_assert_eq(get(anew, key), get(table, key));
        seglog_table_close(anew);
        seglog_table_close(table);
        files_teardown();
        files_setup();
    }
}

static int make_anew_slowly(struct child *parent, void *arg)
{
    struct seglog_table *table;
    (void)arg;

    child_say(parent, 'r');
    table = open_with(SEGLOG_TABLE_WRITE);
    seglog_table_close(table);
    (void)child_hear(parent);
    return 0;
}

Test(table_log, who_is_killed_making_it_anew_leaves_it_to_the_next)
{
    const unsigned rounds = files_quick() ? 4 : 40;
    struct seglog_table *table;
    struct child children[3];

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (uint64_t n = 0; n < 20000; n++)
        put(table, n % 3000, n + 1);
    seglog_table_close(table);
    for (unsigned i = 0; i < rounds; i++) {
        reboot();
        for (int c = 0; c < 3; c++)
            child_start(&children[c], make_anew_slowly, NULL);
        for (int c = 0; c < 3; c++)
            cr_assert_eq(child_hear(&children[c]), 'r');
        clock_sleep_ns(i * 300000);
        for (int c = 0; c < 3; c++)
            child_kill(&children[c]);
        table = open_with(SEGLOG_TABLE_WRITE);
        for (uint64_t key = 0; key < 3000; key++)
            cr_assert_eq(get(table, key), key + (key < 2000 ? 18001 : 15001));
        seglog_table_close(table);
    }
}

/* ---- several --------------------------------------------------------------------------------- */

static int add_one(void *context, const void **value, size_t *len)
{
    uint64_t *n = context;

    *n = 0;
    if (*value && *len == 8)
        memcpy(n, *value, 8);
    ++*n;
    *value = n;
    *len = 8;
    return SEGLOG_TABLE_SET;
}

static void *counter(void *arg)
{
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t n;

        cr_assert_eq(seglog_table_update(arg, &(uint64_t){i % 5}, 8, add_one, &n),
                     SEGLOG_TABLE_SET);
        if (i % 500 == 0)
            cr_assert_ok(seglog_table_checkpoint(arg, NULL));
    }
    return NULL;
}

static int count_in_threads(struct child *parent, void *arg)
{
    struct seglog_table *table = open_with(FLAGS);
    pthread_t threads[2];

    (void)parent;
    (void)arg;
    for (int i = 0; i < 2; i++)
        child_assert(pthread_create(&threads[i], NULL, counter, table) == 0);
    for (int i = 0; i < 2; i++)
        child_assert(pthread_join(threads[i], NULL) == 0);
    seglog_table_close(table);
    return 0;
}

Test(table_log, processes_and_threads_that_count_lose_nothing_in_either)
{
    struct child children[2];
    struct seglog_table *table, *anew;
    uint64_t sum = 0;

    make_log(SEGLOG_SYNC_NONE);
    for (int i = 0; i < 2; i++)
        child_start(&children[i], count_in_threads, NULL);
    for (int i = 0; i < 2; i++)
        child_end(&children[i]);
    table = open_with(SEGLOG_TABLE_WRITE);
    anew = made_anew();
    for (uint64_t key = 0; key < 5; key++) {
        sum += get(table, key);
        cr_assert_eq(get(anew, key), get(table, key));
    }
    cr_assert_eq(sum, 8000);
    seglog_table_close(anew);
    seglog_table_close(table);
}

/* ---- trouble --------------------------------------------------------------------------------- */

Test(table_log, a_put_is_durable_when_its_record_is)
{
    struct seglog_table *table;
    struct seglog_log *log;
    uint64_t durable, next;

    if (!files_durable())
        cr_skip("nothing is durable here\n");
    table = open_with(FLAGS);
    cr_assert_ok(seglog_log_open(files_path("log"), NULL, &log));
    for (uint64_t i = 0; i < 5; i++) {
        put(table, i, i + 1);
        cr_assert_ok(seglog_log_progress(log, &durable, &next));
        cr_assert_eq(next, i + 1);
        cr_assert_eq(durable, i + 1);
    }
    cr_assert_ok(seglog_table_remove(table, &(uint64_t){3}, 8));
    cr_assert_ok(seglog_table_clear(table));
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_eq(durable, 7);
    cr_assert_ok(seglog_log_close(log));
    seglog_table_close(table);
}

Test(table_log, a_sync_that_fails_is_told_and_ends_all_changes)
{
    struct seglog_table *table;
    const uint64_t key = 1, value = 5;

    if (!files_durable())
        cr_skip("nothing is durable here\n");
    cr_assert_eq(setenv("SEGLOG_IO", "threads", 1), 0); /* where calls can be made to fail */
    table = open_with(FLAGS);
    put(table, key, 4);
    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(seglog_table_put(table, &key, 8, &value, 8), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_eq(get(table, key), 5); /* made, and perhaps not durable */
    cr_assert_status(seglog_table_put(table, &key, 8, &(uint64_t){6}, 8), SEGLOG_EPOISONED);
    cr_assert_status(seglog_table_remove(table, &key, 8), SEGLOG_EPOISONED);
    cr_assert_status(seglog_table_clear(table), SEGLOG_EPOISONED);
    cr_assert_status(seglog_table_checkpoint(table, NULL), SEGLOG_EPOISONED);
    cr_assert_status(seglog_table_flush(table), SEGLOG_EPOISONED);
    cr_assert_eq(get(table, key), 5); /* and these were not */
    seglog_table_close(table);
}

Test(table_log, a_full_disk_changes_neither_table_nor_log)
{
    struct seglog_table *table, *anew;
    struct seglog_table_stat stat;
    static char value[3000];
    uint64_t n = 0;
    int rc = 0;

    if (!files_small("3m"))
        cr_skip("needs root to mount a small file system\n");
    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    while (rc == 0) {
        rc = seglog_table_put(table, &n, 8, value, sizeof(value));
        n += rc == 0;
    }
    cr_assert_status(rc, -ENOSPC);
    cr_assert_gt(n, 100);
    rc = seglog_table_clear(table);
    cr_assert(rc == 0 || rc == -ENOSPC);
    cr_assert_ok(seglog_table_stat(table, &stat));
    cr_assert_eq(stat.keys, rc == 0 ? 0 : n);
    /* In a place with room, from the same log. */
    cr_assert_ok(seglog_table_open(
        "/dev/shm/seglog-table-anew",
        &(struct seglog_table_options){.flags = FLAGS, .log = files_path("log")}, &anew));
    cr_assert_eq(unlink("/dev/shm/seglog-table-anew"), 0);
    cr_assert_eq(stat_of(anew).keys, stat.keys);
    seglog_table_close(anew);
    seglog_table_close(table);
}

Test(table_log, damage_in_the_log_below_a_checkpoint_does_not_matter_and_above_does)
{
    struct seglog_table *table;
    const char *segment = files_path("log/0000000000000000.seg");

    make_log(SEGLOG_SYNC_NONE);
    table = open_with(FLAGS);
    for (uint64_t n = 0; n < 300; n++) /* 64 bytes each */
        put(table, n % 10, n + 1);
    cr_assert_ok(seglog_table_checkpoint(table, NULL));
    seglog_table_close(table);
    files_damage(segment, OFF_FRAMES + 64 * 100 + 40);
    reboot();
    table = open_with(SEGLOG_TABLE_WRITE);
    for (uint64_t key = 0; key < 10; key++)
        cr_assert_eq(get(table, key), 291 + key);
    seglog_table_close(table);
    files_damage(segment, OFF_FRAMES + 64 * 305 + 40);
    cr_assert_eq(get(table = open_with(SEGLOG_TABLE_WRITE), 5), 296); /* it is not needed */
    seglog_table_close(table);
    reboot();
    for (int i = 0; i < 2; i++)
        cr_assert_status(try_open(SEGLOG_TABLE_WRITE, 0, &table), SEGLOG_ECORRUPT);
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_table *table = arg;
    (void)parent;

    child_must_be(seglog_table_put(table, "k", 1, "w", 1), SEGLOG_EFORKED);
    child_must_be(seglog_table_checkpoint(table, NULL), SEGLOG_EFORKED);
    seglog_table_close(table);
    return 0;
}

Test(table_log, a_forked_child_can_only_close)
{
    struct seglog_table *table = open_with(FLAGS);
    struct child child;

    put(table, 1, 2);
    child_start(&child, child_of_fork, table);
    child_end(&child);
    put(table, 1, 3);
    cr_assert_eq(get(table, 1), 3);
    seglog_table_close(table);
}

/* Records that nobody put in as changes: whatever they are, an error or a table. */
Test(table_log, no_record_leads_outside)
{
    const unsigned rounds = files_quick() ? 15 : 400;
    uint64_t state = 0x5eed5eedu;

    for (unsigned round = 0; round < rounds; round++) {
        struct seglog_appender *appender;
        struct seglog_table *table;
        struct seglog_log *log;
        char dir[64];

        (void)snprintf(dir, sizeof(dir), "log%u", round);
        cr_assert_ok(seglog_log_create(
            files_path(dir), &(struct seglog_log_options){.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                                          .sync = SEGLOG_SYNC_NONE}));
        cr_assert_ok(seglog_log_open(files_path(dir), NULL, &log));
        cr_assert_ok(seglog_appender_open(log, NULL, &appender));
        for (unsigned i = 0; i < 20; i++) {
            uint64_t payload[4];
            struct seglog_record record = {.data = payload,
                                           .len = files_random(&state) % sizeof(payload),
                                           .tag = (uint32_t)(1 + files_random(&state) % 4)};

            for (unsigned w = 0; w < 4; w++)
                payload[w] = files_random(&state) >> files_random(&state) % 64;
            cr_assert_ok(seglog_appender_append_record(appender, &record, NULL));
        }
        cr_assert_ok(seglog_appender_close(appender));
        cr_assert_ok(seglog_log_close(log));
        if (seglog_table_open(
                files_path("table"),
                &(struct seglog_table_options){.flags = FLAGS, .shards = 2, .log = files_path(dir)},
                &table) == 0)
            seglog_table_close(table);
        (void)unlink(files_path("table"));
    }
}
