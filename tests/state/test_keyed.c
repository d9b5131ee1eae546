/*
 * The newest record of each key: against a model, made anew whenever it is stale, killed anywhere.
 */
#include <seglog/keyed.h>
#include <seglog/log.h>
#include <seglog/table.h>

#include "format/layout.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 500u

struct body {
    uint64_t key;
    uint64_t n;
};

/* What every record is, in order; seq % 11 == 5 has no key, key 7 is removed by odd n. */
static const struct seglog_keyed_options by_place = {.len = 8};

static int by_function(void *context, const struct seglog_view *view, const void **key, size_t *len)
{
    const struct body *body = view->data;

    if (view->len < sizeof(*body))
        return context ? -ECANCELED : SEGLOG_KEYED_NONE;
    *key = &body->key;
    *len = 8;
    return body->key == 7 && body->n % 2 ? SEGLOG_KEYED_REMOVE : SEGLOG_KEYED_SET;
}
static const struct seglog_keyed_options with_function = {.key = by_function, .rule = 3};

struct writer {
    struct seglog_log *log;
    struct seglog_appender *appender;
    uint64_t state, n;
    uint64_t newest[KEYS]; /* number of the record + 1 */
};

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(keyed, .init = setup, .fini = files_teardown, .timeout = 180);

static void writer_open(struct writer *w)
{
    const struct seglog_log_options o = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                         .sync = SEGLOG_SYNC_NONE,
                                         .flags = SEGLOG_LOG_CREATE};

    *w = (struct writer){.state = 99};
    cr_assert_ok(seglog_log_open(files_path("log"), &o, &w->log));
    cr_assert_ok(seglog_appender_open(w->log, NULL, &w->appender));
}

static void writer_close(struct writer *w)
{
    cr_assert_ok(seglog_appender_close(w->appender));
    cr_assert_ok(seglog_log_close(w->log));
}

static void append(struct writer *w, unsigned count)
{
    while (count--) {
        const struct body body = {.key = files_random(&w->state) % KEYS, .n = w->n++};
        uint64_t seq;

        cr_assert_ok(
            seglog_appender_append(w->appender, &body, body.n % 11 == 5 ? 4 : sizeof(body), &seq));
        if (body.n % 11 != 5)
            w->newest[body.key] = body.key == 7 && body.n % 2 ? 0 : seq + 1;
    }
}

static struct seglog_keyed *open_as(const struct seglog_keyed_options *o)
{
    struct seglog_keyed *keyed;

    cr_assert_ok(seglog_keyed_open(files_path("log"), files_path("table"), o, &keyed));
    return keyed;
}

/* Segments that nobody sealed have no index: a look takes its time. */
static void expect_newest(struct seglog_keyed *keyed, const struct writer *w)
{
    for (uint64_t key = 0; key < KEYS; key += 7) {
        struct seglog_view view;
        const int rc = seglog_keyed_get(keyed, &key, 8, &view);

        cr_assert_status(rc, w->newest[key] ? 0 : -ENOENT);
        cr_assert(rc < 0 || view.seq + 1 == w->newest[key]);
        cr_assert(rc < 0 || ((const struct body *)view.data)->key == key);
    }
}

static struct seglog_keyed_stat stat_of(struct seglog_keyed *keyed)
{
    struct seglog_keyed_stat stat;

    cr_assert_ok(seglog_keyed_stat(keyed, &stat));
    return stat;
}

Test(keyed, an_update_takes_in_what_came_since_and_get_finds_it)
{
    struct seglog_keyed *keyed, *other;
    struct writer w;
    uint64_t seq, key = 1;

    writer_open(&w);
    keyed = open_as(&with_function);
    cr_assert_status(seglog_keyed_seq(keyed, &key, 8, &seq), -ENOENT);
    cr_assert_ok(seglog_keyed_update(keyed)); /* of an empty log */
    for (int i = 0; i < 5; i++) {
        append(&w, 1000);
        cr_assert_ok(seglog_keyed_update(keyed));
        expect_newest(keyed, &w);
    }
    cr_assert_eq(stat_of(keyed).remade, 1);
    cr_assert_eq(stat_of(keyed).applied, 5000);
    cr_assert_eq(stat_of(keyed).next_seq, 5000);
    cr_assert_leq(stat_of(keyed).keys, KEYS);
    other = open_as(&with_function); /* sees it at once, and has nothing to do */
    expect_newest(other, &w);
    cr_assert_ok(seglog_keyed_update(other));
    cr_assert_eq(stat_of(other).applied, 0);
    append(&w, 100);
    cr_assert_ok(seglog_keyed_update(other));
    expect_newest(keyed, &w);
    cr_assert_status(seglog_keyed_seq(keyed, "", 0, &seq), -ENOENT);
    seglog_keyed_close(other);
    seglog_keyed_close(keyed);
    seglog_keyed_close(NULL);
    writer_close(&w);
}

Test(keyed, a_tag_may_be_the_key)
{
    struct seglog_keyed *keyed;
    struct seglog_view view;
    struct writer w;

    writer_open(&w);
    for (uint32_t i = 0; i < 100; i++) {
        const struct seglog_record record = {.data = &i, .len = 4, .tag = i % 10};

        cr_assert_ok(seglog_appender_append_record(w.appender, &record, NULL));
    }
    keyed = open_as(NULL);
    cr_assert_ok(seglog_keyed_update(keyed));
    for (uint32_t tag = 0; tag < 10; tag++) {
        cr_assert_ok(seglog_keyed_get(keyed, &tag, 4, &view));
        cr_assert_eq(view.seq, 90 + tag);
    }
    seglog_keyed_close(keyed);
    writer_close(&w);
}

Test(keyed, a_stale_table_is_made_anew_and_another_is_not)
{
    struct seglog_keyed_options other_rule = with_function;
    const struct seglog_trim_options all = {.flags = SEGLOG_TRIM_BEFORE, .before_seq = 1u << 30};
    struct seglog_keyed *keyed;
    struct seglog_view view;
    struct writer w;
    uint64_t key = 3;
    int from, to;
    struct file_facts facts;

    writer_open(&w);
    append(&w, 3000);
    keyed = open_as(&with_function);
    cr_assert_ok(seglog_keyed_update(keyed));
    seglog_keyed_close(keyed);

    /* A copy is a file of another boot. */
    from = file_open(AT_FDCWD, files_path("table"), O_RDONLY, 0);
    to = file_create(AT_FDCWD, files_path("copy"), 0600);
    cr_assert_ok(file_facts(from, &facts));
    cr_assert_ok(file_copy(from, to, facts.size));
    file_close(from);
    file_close(to);
    cr_assert_eq(rename(files_path("copy"), files_path("table")), 0);
    keyed = open_as(&with_function);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_eq(stat_of(keyed).remade, 1);
    expect_newest(keyed, &w);
    seglog_keyed_close(keyed);

    other_rule.rule = 4;
    keyed = open_as(&other_rule);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_eq(stat_of(keyed).remade, 1);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_eq(stat_of(keyed).remade, 1);
    /* What the table has of the records that are trimmed now; then, what it had not seen is gone. */
    append(&w, 5000);
    cr_assert_geq(seglog_log_seal(w.log, 0), 0);
    cr_assert_ok(seglog_log_trim(w.log, &all, NULL));
    cr_assert_status(seglog_keyed_get(keyed, &key, 8, &view), SEGLOG_ETRIMMED);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_eq(stat_of(keyed).remade, 2);
    for (key = 0; key < KEYS; key++) {
        const int rc = seglog_keyed_get(keyed, &key, 8, &view);

        cr_assert(rc == 0 ? view.seq + 1 == w.newest[key] : rc == -ENOENT);
    }
    seglog_keyed_close(keyed);
    writer_close(&w);
}

Test(keyed, what_is_newest_makes_a_smaller_log)
{
    struct seglog_keyed *keyed;
    struct seglog_reader *reader;
    struct seglog_view view;
    struct writer w;
    uint64_t kept = 0, without = 0;
    int rc;

    writer_open(&w);
    append(&w, 4000);
    keyed = open_as(&with_function);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_ok(seglog_reader_open(files_path("log"), NULL, &reader));
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        const struct body *body = view.data;
        const bool has_key = view.len == sizeof(*body);
        const int newest = seglog_keyed_is_newest(keyed, &view);

        cr_assert_eq(newest, !has_key || w.newest[body->key] == view.seq + 1);
        kept += newest == 1 && has_key;
        without += !has_key;
    }
    cr_assert_status(rc, -EAGAIN);
    cr_assert_eq(kept, stat_of(keyed).keys);
    cr_assert_eq(without, 364);
    seglog_reader_close(reader);
    seglog_keyed_close(keyed);
    writer_close(&w);
}

/* ---- several, and death ---------------------------------------------------------------------- */

static int update_again_and_again(struct child *parent, void *arg)
{
    struct seglog_keyed *keyed = open_as(&with_function);
    (void)arg;

    child_say(parent, 'r');
    for (int i = 0;; i++) {
        if (i % 2)
            child_must(unlink(files_path("table")) == 0 || errno == ENOENT ? 0 : -errno);
        child_must(seglog_keyed_update(keyed));
        seglog_keyed_close(keyed);
        keyed = open_as(&with_function);
    }
    return 0;
}

Test(keyed, who_is_killed_updating_leaves_it_to_the_next)
{
    const unsigned rounds = files_quick() ? 4 : 20;
    struct seglog_keyed *keyed;
    struct child children[2];
    struct writer w;

    writer_open(&w);
    append(&w, 2500);
    writer_close(&w);
    for (unsigned i = 0; i < rounds; i++) {
        for (int c = 0; c < 2; c++)
            child_start(&children[c], update_again_and_again, NULL);
        for (int c = 0; c < 2; c++)
            cr_assert_eq(child_hear(&children[c]), 'r');
        clock_sleep_ns(i * 200000);
        for (int c = 0; c < 2; c++)
            child_kill(&children[c]);
        keyed = open_as(&with_function);
        cr_assert_ok(seglog_keyed_update(keyed));
        expect_newest(keyed, &w);
        seglog_keyed_close(keyed);
    }
}

/* ---- trouble --------------------------------------------------------------------------------- */

Test(keyed, what_is_wrong_is_said)
{
    const struct seglog_keyed_options bad = {.flags = 1u << 9};
    struct seglog_keyed_options skip = by_place, stops = with_function;
    struct seglog_keyed *keyed = NULL;
    struct seglog_table *table;
    struct seglog_view view;
    struct writer w;
    uint64_t key;

    cr_assert_status(seglog_keyed_open(files_path("log"), files_path("table"), NULL, &keyed),
                     -ENOENT);
    writer_open(&w);
    append(&w, 300);
    cr_assert_status(seglog_keyed_open(files_path("log"), files_path("table"), &bad, &keyed),
                     -EINVAL);
    cr_assert_ok(
        seglog_table_open(files_path("plain"),
                          &(struct seglog_table_options){
                              .flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE, .schema = 1},
                          &table));
    seglog_table_close(table);
    cr_assert_status(seglog_keyed_open(files_path("log"), files_path("plain"), NULL, &keyed),
                     SEGLOG_EMISMATCH);
    cr_assert_eq(keyed, NULL);

    stops.context = &stops;
    keyed = open_as(&stops);
    cr_assert_status(seglog_keyed_update(keyed), -ECANCELED);
    cr_assert_status(seglog_keyed_update(keyed), -ECANCELED);
    seglog_keyed_close(keyed);

    /* 64 bytes each; number 100 is damaged. */
    files_damage(files_path("log/0000000000000000.seg"), OFF_FRAMES + 64 * 100 + 36);
    keyed = open_as(&by_place);
    cr_assert_status(seglog_keyed_update(keyed), SEGLOG_ECORRUPT);
    seglog_keyed_close(keyed);
    skip.flags = SEGLOG_KEYED_SKIP_DAMAGE;
    keyed = open_as(&skip);
    cr_assert_ok(seglog_keyed_update(keyed));
    cr_assert_eq(stat_of(keyed).skipped, 1);
    for (key = 0; key < KEYS; key++) {
        const int rc = seglog_keyed_get(keyed, &key, 8, &view);

        cr_assert(rc == 0 || rc == -ENOENT);
    }
    seglog_keyed_close(keyed);
    writer_close(&w);
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_keyed *keyed = arg;
    struct seglog_view view;
    uint64_t key = 1, seq;
    (void)parent;

    child_must_be(seglog_keyed_update(keyed), SEGLOG_EFORKED);
    child_must_be(seglog_keyed_seq(keyed, &key, 8, &seq), SEGLOG_EFORKED);
    child_must_be(seglog_keyed_get(keyed, &key, 8, &view), SEGLOG_EFORKED);
    seglog_keyed_close(keyed);
    return 0;
}

Test(keyed, a_forked_child_can_only_close)
{
    struct seglog_keyed *keyed;
    struct child child;
    struct writer w;

    writer_open(&w);
    append(&w, 100);
    writer_close(&w);
    keyed = open_as(&with_function);
    cr_assert_ok(seglog_keyed_update(keyed));
    child_start(&child, child_of_fork, keyed);
    child_end(&child);
    expect_newest(keyed, &w);
    seglog_keyed_close(keyed);
}
