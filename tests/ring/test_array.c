/*
 * Messages of one length: arrays that are put in, runs that are taken out, and both beside all other
 * ways of doing so. Every kind and overload, from just before positions wrap.
 */
#include "ring/rings.h"

#define BYTES_MAX 65536u

/* Bytes that tell where they belong. */
static void fill(uint8_t *bytes, size_t len, uint32_t number)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(number * 31 + i * 7 + 1);
}

static bool is_filled(const uint8_t *bytes, size_t len, uint32_t number)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != (uint8_t)(number * 31 + i * 7 + 1))
            return false;
    }
    return true;
}

/* Messages number..number + n. The array is as long as it must be: what reads behind it is found. */
static int put_array(struct seglog_producer *p, size_t len, size_t n, uint32_t number)
{
    uint8_t *bytes = malloc(len * n > 0 ? len * n : 1);
    int rc;

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < n; i++)
        fill(bytes + i * len, len, number + (uint32_t)i);
    rc = seglog_producer_put_array(p, len == 0 ? NULL : bytes, len, n, 0);
    free(bytes);
    return rc;
}

/* Of the run's message k: what seglog_consumer_next() would have said. */
static struct seglog_view view_of(const struct seglog_run *run, size_t k, bool is_work)
{
    struct seglog_view view = run->first;

    view.data = (const uint8_t *)view.data + k * run->stride;
    view.seq += is_work ? k * run->stride : k;
    return view;
}

/* Take n messages of one length by runs of at most max. */
static void take_runs(struct ring_at *r, const struct ring_make *how, size_t len, size_t n, int max,
                      uint32_t number)
{
    for (size_t got = 0; got < n;) {
        struct seglog_run run = {.count = 0};
        const int some = seglog_consumer_run(r->consumer, &run, max);

        cr_assert(some > 0 && some <= max && got + (size_t)some <= n, "%d: %s", some,
                  seglog_strerror(some));
        cr_assert_eq(run.count, (size_t)some);
        for (size_t k = 0; k < run.count; k++, got++) {
            const struct seglog_view v = view_of(&run, k, how->kind == SEGLOG_RING_WORK);

            cr_assert(v.len == len && v.time_ns == 0 && v.tag == 0 && v.flags == 0);
            cr_assert(is_filled(v.data, len, number + (uint32_t)got), "message %zu of %zu bytes",
                      got, len);
            if (how->kind != SEGLOG_RING_WORK)
                cr_assert_eq(v.seq, number + got);
        }
        /* All in one, but where the ring says otherwise. */
        cr_assert(some == max || got == n);
        seglog_consumer_release(r->consumer);
    }
    expect_nothing(r->consumer);
}

static void lengths(struct ring_make how)
{
    static const size_t lens[] = {0, 1, 7, 8, 9, 16, 32, 63, 64, 65, 128, 129, 200, 1000, 1024};
    uint32_t number = 0;
    struct ring_at r;

    how.size = 16384;
    how.start = UINT64_MAX - 30007;
    ring_at_open_(&r, how);
    for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
        const size_t most = 8192 / ((lens[l] + 15) / 8 * 8);

        for (size_t n = 1; n <= most; n += n < 4 ? 1 : most / 3) {
            cr_assert_ok(put_array(r.producer, lens[l], n, number));
            take_runs(&r, &how, lens[l], n, n % 2 ? 4096 : 3, number);
            number += (uint32_t)n;
        }
        cr_assert_ok(put_array(r.producer, lens[l], most, number));
        take_runs(&r, &how, lens[l], most, 4096, number);
        number += (uint32_t)most;
        cr_assert_status(put_array(r.producer, lens[l], most + 1, number), -EMSGSIZE);
    }
    expect_nothing(r.consumer);
    ring_at_remove(&r);
}

Test(ring_array, every_length_and_number_comes_through)
{
    for (size_t i = 0; i < RING_PAIRS; i++)
        lengths(ring_pairs[i]);
}

Test(ring_array, the_largest_number_fills_half_a_ring)
{
    const struct ring_make how = {.size = 2 * BYTES_MAX, .start = UINT64_MAX - 50007};
    struct seglog_run run;
    struct ring_at r;

    ring_at_open_(&r, how);
    cr_assert_ok(put_array(r.producer, 8, SEGLOG_RING_BATCH_MAX, 0));
    cr_assert_ok(put_array(r.producer, 0, SEGLOG_RING_BATCH_MAX, 9));
    cr_assert_eq(seglog_consumer_run(r.consumer, &run, 1 << 30), (int)SEGLOG_RING_BATCH_MAX);
    for (size_t k = 0; k < run.count; k++)
        cr_assert(is_filled(view_of(&run, k, false).data, 8, (uint32_t)k));
    seglog_consumer_release(r.consumer);
    take_runs(&r, &(struct ring_make){.kind = SEGLOG_RING_WORK}, 0, SEGLOG_RING_BATCH_MAX, 4096, 9);
    cr_assert_status(put_array(r.producer, 0, SEGLOG_RING_BATCH_MAX + 1, 0), -EMSGSIZE);
    ring_at_remove(&r);
}

static void refusals(struct ring_make how)
{
    const uint8_t bytes[64] = {0};
    struct seglog_claim claim;
    struct seglog_run run;
    struct ring_at r;

    ring_at_open_(&r, how);
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, 8, 0, 0), -EINVAL);
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, 2041, 1, 0), -EMSGSIZE);
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, SIZE_MAX, 1, 0), -EMSGSIZE);
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, SIZE_MAX / 4 + 1, 4, 0),
                     -EMSGSIZE);
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, 1, SIZE_MAX, 0), -EMSGSIZE);
    cr_assert_ok(seglog_producer_claim(r.producer, 8, &claim, 0));
    cr_assert_status(seglog_producer_put_array(r.producer, bytes, 8, 8, 0), -EBUSY);
    cr_assert_ok(seglog_producer_abort(r.producer));
    cr_assert_status(seglog_consumer_run(r.consumer, &run, 0), -EINVAL);
    cr_assert_status(seglog_consumer_run(r.consumer, &run, 1), -EAGAIN);
    expect_nothing(r.consumer);
    ring_at_remove(&r);
}

Test(ring_array, what_makes_no_sense_is_refused)
{
    for (size_t i = 0; i < RING_PAIRS; i++)
        refusals(ring_pairs[i]);
}

/* ---- no room ---------------------------------------------------------------------------------- */

/* 64 bytes take 72: three arrays of 18 leave room for two more of them. */
static void overloaded(struct ring_make how)
{
    const size_t n = 18;
    struct seglog_ring_info info;
    struct seglog_ring_loss loss;
    uint32_t first = 0, all = 54;
    struct ring_at r;

    how.start = UINT64_MAX - 2007;
    ring_at_open_(&r, how);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_ok(put_array(r.producer, 64, n, i * 18));
    switch (how.overload) {
    case SEGLOG_OVERLOAD_WAIT:
        cr_assert_status(put_array(r.producer, 64, n, 0), -EAGAIN);
        cr_assert_status(put_array(r.producer, 64, 3, 0), -EAGAIN);
        cr_assert_status(seglog_producer_put_array(r.producer, (uint64_t[24]){0}, 64, 3, 2000000),
                         -ETIMEDOUT);
        break;
    case SEGLOG_OVERLOAD_DROP:
        cr_assert_status(put_array(r.producer, 64, n, 0), -ENOBUFS);
        cr_assert_status(put_array(r.producer, 64, 3, 0), -ENOBUFS);
        cr_assert_ok(seglog_ring_inspect(r.ring, &info));
        cr_assert_eq(info.dropped, n + 3);
        break;
    default:
        for (uint32_t i = 3; i < 9; i++)
            cr_assert_ok(put_array(r.producer, 64, n, i * 18));
        all = 9 * 18;
        cr_assert_status(seglog_consumer_run(r.consumer, &(struct seglog_run){.count = 0}, 9),
                         SEGLOG_ELAPPED);
        cr_assert_ok(seglog_consumer_lost(r.consumer, &loss));
        first = (uint32_t)loss.records;
        cr_assert(first >= all - 56 && first < all && loss.bytes == UINT64_C(64) * first);
        break;
    }
    /* Nothing of what found no room is there. In copies there is room for half a ring at a time. */
    take_runs(&r, &how, 64, all - first, 7, first);
    cr_assert_ok(put_array(r.producer, 64, n, all));
    take_runs(&r, &how, 64, n, 18, all);
    ring_at_remove(&r);
}

Test(ring_array, an_array_without_room_is_dealt_with_as_a_whole)
{
    for (size_t i = 0; i < RING_PAIRS; i++)
        overloaded(ring_pairs[i]);
}

/* ---- beside other calls ----------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A few messages of lengths that are often the same, by some call; how many. */
static uint32_t put_somehow(struct ring_at *r, uint32_t number, uint32_t *seed, uint32_t *lens,
                            bool *stamped)
{
    const size_t len = (size_t[]){8, 8, 24, 64}[next_random(seed) % 4];
    const uint32_t n = next_random(seed) % 5 + 1, how = next_random(seed) % 4;
    struct seglog_record records[5];
    static uint8_t bytes[5][100];
    struct seglog_claim claim;

    for (uint32_t i = 0; i < n; i++) {
        lens[i] = (uint32_t)len;
        stamped[i] = false;
    }
    if (how == 0) {
        cr_assert_ok(put_array(r->producer, len, n, number));
        return n;
    }
    if (how == 1) { /* in place, and where there are many producers with a pad behind it */
        cr_assert_ok(seglog_producer_claim(r->producer, len + 32, &claim, 0));
        fill(claim.data, len, number);
        cr_assert_ok(seglog_producer_commit(r->producer, &claim, len));
        return 1;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (how == 3 && next_random(seed) % 3 == 0)
            lens[i] = next_random(seed) % 100;
        stamped[i] = how == 3 && next_random(seed) % 3 == 0;
        fill(bytes[i], lens[i], number + i);
        records[i] = (struct seglog_record){
            .data = bytes[i], .len = lens[i], .time_ns = stamped[i] ? number + i + 1 : 0};
    }
    cr_assert_ok(seglog_producer_put_batch(r->producer, records, n, 0));
    return n;
}

struct expected {
    uint32_t len;
    bool stamped;
};

static void expect_view(const struct seglog_view *v, const struct expected *e, uint32_t number)
{
    cr_assert(v->len == e->len && is_filled(v->data, e->len, number), "message %u", number);
    cr_assert_eq(v->time_ns, e->stamped ? number + 1 : 0);
}

/* Up to 6 more, by a run, a batch, or one alone; how many. */
static uint32_t take_somehow(struct ring_at *r, const struct ring_make *make, uint32_t number,
                             const struct expected *e, uint32_t *seed)
{
    const uint32_t how = next_random(seed) % 4;
    struct seglog_view views[6];
    struct seglog_run run;
    uint32_t n = 1;

    if (how >= 2) {
        n = (uint32_t)seglog_consumer_run(r->consumer, &run, 6);
        cr_assert(n >= 1 && n <= 6);
        for (uint32_t k = 0; k < n; k++)
            views[k] = view_of(&run, k, make->kind == SEGLOG_RING_WORK);
    } else if (how == 1) {
        n = (uint32_t)seglog_consumer_batch(r->consumer, views, 6);
        cr_assert(n >= 1 && n <= 6);
    } else {
        cr_assert_ok(seglog_consumer_next(r->consumer, views));
    }
    for (uint32_t k = 0; k < n; k++) {
        expect_view(&views[k], &e[number + k], number + k);
        if (make->kind != SEGLOG_RING_WORK)
            cr_assert_eq(views[k].seq, number + k);
    }
    seglog_consumer_release(r->consumer);
    return n;
}

static void mixed(struct ring_make how)
{
    enum { ALL = 3000 };

    static struct expected expected[ALL + 5];
    uint32_t put = 0, got = 0, seed = 7 + how.kind * 3 + how.overload;
    struct ring_at r;

    how.start = UINT64_MAX - 30007;
    ring_at_open_(&r, how);
    while (got < ALL) {
        /* Never so many that something would have to give way. */
        while (put < ALL && put - got < 10) {
            uint32_t lens[5];
            bool stamped[5];
            const uint32_t n = put_somehow(&r, put, &seed, lens, stamped);

            for (uint32_t i = 0; i < n; i++)
                expected[put++] = (struct expected){.len = lens[i], .stamped = stamped[i]};
        }
        got += take_somehow(&r, &how, got, expected, &seed);
        cr_assert_leq(got, put);
        if (got == put)
            expect_nothing(r.consumer);
        if (put >= ALL && got == put)
            break;
    }
    ring_at_remove(&r);
}

Test(ring_array, arrays_and_runs_mix_with_all_other_calls)
{
    for (size_t i = 0; i < RING_PAIRS; i++)
        mixed(ring_pairs[i]);
}

/* ---- more than one that takes ------------------------------------------------------------------- */

Test(ring_array, an_observer_sees_runs_and_takes_nothing)
{
    const struct seglog_consumer_options looking = {.flags = SEGLOG_CONSUMER_OBSERVE};

    for (size_t i = 0; i < RING_PAIRS; i++) {
        struct seglog_consumer *own;
        struct seglog_run run;
        struct ring_at r;

        ring_at_open_(&r, ring_pairs[i]);
        cr_assert_ok(put_array(r.producer, 64, 20, 0));
        own = r.consumer;
        cr_assert_ok(seglog_consumer_open(r.ring, &looking, &r.consumer));
        take_runs(&r, &ring_pairs[i], 64, 20, 20, 0);
        /* Its copies have room for half the ring. */
        cr_assert_ok(put_array(r.producer, 64, 10, 20));
        cr_assert_ok(put_array(r.producer, 64, 10, 30));
        cr_assert_eq(seglog_consumer_run(r.consumer, &run, 15), 15);
        cr_assert_eq(seglog_consumer_run(r.consumer, &run, 15), 5);
        cr_assert(is_filled(view_of(&run, 4, false).data, 64, 39));
        cr_assert_ok(seglog_consumer_close(r.consumer));
        r.consumer = own;
        take_runs(&r, &ring_pairs[i], 64, 40, 20, 0);
        ring_at_remove(&r);
    }
}

Test(ring_array, a_run_of_work_that_was_left_is_delivered_again)
{
    struct seglog_consumer *other;
    struct seglog_run run;
    struct ring_at r;

    ring_at_open(&r, .kind = SEGLOG_RING_WORK);
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &other));
    cr_assert_ok(put_array(r.producer, 16, 20, 0));
    cr_assert_eq(seglog_consumer_run(r.consumer, &run, 12), 12);
    cr_assert_status(seglog_consumer_run(r.consumer, &run, 12), -EBUSY);
    cr_assert_eq(seglog_consumer_run(other, &run, 20), 8);
    cr_assert(is_filled(run.first.data, 16, 12) && run.first.flags == 0);
    seglog_consumer_release(other);
    cr_assert_ok(seglog_consumer_close(r.consumer)); /* not released */
    r.consumer = other;
    for (uint32_t got = 0, n; got < 12; got += n) {
        cr_assert_ok(seglog_consumer_wait(other, UINT64_C(60000000000)));
        n = (uint32_t)seglog_consumer_run(other, &run, 12);
        cr_assert(n >= 1 && got + n <= 12);
        cr_assert_eq(run.first.flags, SEGLOG_VIEW_REDELIVERED);
        for (uint32_t k = 0; k < n; k++)
            cr_assert(is_filled(view_of(&run, k, true).data, 16, got + k));
        seglog_consumer_release(other);
    }
    expect_nothing(other);
    ring_at_remove(&r);
}
