/*
 * What every kind of ring does, in one process: messages in, messages out, in every way there is to
 * do so, at every overload, with positions that wrap.
 */
#include "ring/rings.h"

/* 104 bytes before positions wrap. */
#define NEAR_WRAP (UINT64_MAX - 103)

static void each_pair(void (*test)(struct ring_at *r, const struct ring_make *how))
{
    for (size_t i = 0; i < RING_PAIRS; i++) {
        struct ring_make how = ring_pairs[i];
        struct ring_at r;

        how.start = NEAR_WRAP;
        ring_at_open_(&r, how);
        test(&r, &how);
        ring_at_remove(&r);
    }
}

static void in_order(struct ring_at *r, const struct ring_make *how)
{
    char text[32];

    (void)how;
    expect_nothing(r->consumer);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "%0*d", i % 20 + 1, i);
        cr_assert_ok(put_text(r->producer, text));
        if (i % 3 == 2)
            continue;
        if (i % 3 == 0 && i > 0) {
            char before[32];

            snprintf(before, sizeof(before), "%0*d", (i - 1) % 20 + 1, i - 1);
            expect_text(r->consumer, before);
        }
        expect_text(r->consumer, text);
        expect_nothing(r->consumer);
    }
}

Test(ring, messages_come_out_as_they_went_in)
{
    each_pair(in_order);
}

static void every_size(struct ring_at *r, const struct ring_make *how)
{
    static uint8_t bytes[4096], got[4096];
    struct seglog_ring_info info;
    uint64_t n = 0;

    (void)how;
    cr_assert_ok(seglog_ring_inspect(r->ring, &info));
    cr_assert_eq(info.max_message, 2040);
    for (size_t len = 0; len <= info.max_message; len = len < 80 ? len + 1 : len + 61) {
        size_t room = sizeof(got);

        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i + len);
        cr_assert_ok(seglog_producer_put(r->producer, bytes, len, 0));
        cr_assert_ok(seglog_consumer_get(r->consumer, got, &room));
        cr_assert_eq(room, len);
        cr_assert_arr_eq(got, bytes, len + 1 > 1 ? len : 0);
        n++;
    }
    cr_assert_ok(seglog_producer_put(r->producer, bytes, info.max_message, 0));
    expect_nothing((seglog_consumer_get(r->consumer, got, &(size_t){sizeof(got)}), r->consumer));
    cr_assert_status(seglog_producer_put(r->producer, bytes, info.max_message + 1, 0), -EMSGSIZE);
    cr_assert_status(seglog_producer_wait(r->producer, info.max_message + 1, 0), -EMSGSIZE);
}

Test(ring, a_message_may_have_any_size_up_to_half_the_ring)
{
    each_pair(every_size);
}

static void stamps(struct ring_at *r, const struct ring_make *how)
{
    const struct seglog_record record = {.data = "abc", .len = 3, .time_ns = 77, .tag = 5};
    const struct iovec iov[] = {
        {.iov_base = (void *)(uintptr_t) "one", .iov_len = 3},
        {.iov_base = NULL, .iov_len = 0},
        {.iov_base = (void *)(uintptr_t) "two", .iov_len = 3},
    };
    struct seglog_view v;

    cr_assert_ok(seglog_producer_put_record(r->producer, &record, 0));
    cr_assert_ok(seglog_producer_putv(r->producer, iov, 3, 0, 9, 0));
    cr_assert_ok(seglog_producer_putv(r->producer, iov, 3, 0, 0, 0));
    cr_assert_status(seglog_producer_putv(r->producer, iov, -1, 0, 0, 0), -EINVAL);
    cr_assert_ok(seglog_consumer_next(r->consumer, &v));
    cr_assert(v.len == 3 && v.time_ns == 77 && v.tag == 5 && memcmp(v.data, "abc", 3) == 0);
    if (how->kind != SEGLOG_RING_WORK)
        cr_assert_eq(v.seq, 0);
    seglog_consumer_release(r->consumer);
    cr_assert_ok(seglog_consumer_next(r->consumer, &v));
    cr_assert(v.len == 6 && v.time_ns == 0 && v.tag == 9 && memcmp(v.data, "onetwo", 6) == 0);
    if (how->kind != SEGLOG_RING_WORK)
        cr_assert_eq(v.seq, 1);
    seglog_consumer_release(r->consumer);
    expect_text(r->consumer, "onetwo");
}

Test(ring, time_and_tag_come_along_and_pieces_are_gathered)
{
    each_pair(stamps);
}

static void in_place(struct ring_at *r, const struct ring_make *how)
{
    struct seglog_claim claim, other;
    struct seglog_view v;

    (void)how;
    for (int i = 0; i < 300; i++) {
        cr_assert_ok(seglog_producer_claim(r->producer, 100, &claim, 0));
        cr_assert_eq((uintptr_t)claim.data % 8, 0);
        cr_assert_eq(claim.len, 100);
        cr_assert_status(seglog_producer_put(r->producer, "x", 1, 0), -EBUSY);
        cr_assert_status(seglog_producer_claim(r->producer, 1, &other, 0), -EBUSY);
        memset(claim.data, 0xff, 100);
        expect_nothing(r->consumer);
        memcpy(claim.data, "trimmed", 7);
        cr_assert_status(seglog_producer_commit(r->producer, &claim, 101), -EINVAL);
        cr_assert_ok(seglog_producer_commit(r->producer, &claim, i % 2 ? 7 : 100));
        cr_assert_status(seglog_producer_commit(r->producer, &claim, 7), -EINVAL);

        cr_assert_ok(seglog_producer_claim(r->producer, 50, &claim, 0));
        memset(claim.data, 0xff, 50);
        cr_assert_ok(seglog_producer_abort(r->producer));
        cr_assert_status(seglog_producer_abort(r->producer), -EINVAL);

        cr_assert_ok(seglog_producer_claim_stamped(r->producer, 8, &claim, 0));
        memcpy(claim.data, "stamped!", 8);
        claim.time_ns = (uint64_t)i + 1;
        claim.tag = 3;
        cr_assert_ok(seglog_producer_commit(r->producer, &claim, 8));

        cr_assert_ok(seglog_consumer_next(r->consumer, &v));
        cr_assert_eq(v.len, i % 2 ? 7 : 100);
        cr_assert_arr_eq(v.data, "trimmed", 7);
        seglog_consumer_release(r->consumer);
        cr_assert_ok(seglog_consumer_next(r->consumer, &v));
        cr_assert(v.len == 8 && v.time_ns == (uint64_t)i + 1 && v.tag == 3);
        cr_assert_arr_eq(v.data, "stamped!", 8);
        seglog_consumer_release(r->consumer);
        expect_nothing(r->consumer);
    }
}

Test(ring, commit_is_what_makes_a_message_visible_and_abort_leaves_nothing)
{
    each_pair(in_place);
}

static void batches(struct ring_at *r, const struct ring_make *how)
{
    struct seglog_record records[32];
    struct seglog_claim claims[8];
    struct seglog_view views[64];
    uint64_t numbers[32], next = 0;
    size_t lens[8];

    (void)how;
    for (int round = 0; round < 200; round++) {
        const size_t n = (size_t)round % 32 + 1;
        size_t got = 0, want = n + 3;

        for (size_t i = 0; i < n; i++) {
            numbers[i] = next + i;
            records[i] =
                (struct seglog_record){.data = &numbers[i], .len = 8, .tag = i % 5 == 4 ? 1 : 0};
        }
        cr_assert_ok(seglog_producer_put_batch(r->producer, records, n, 0));
        for (size_t i = 0; i < 8; i++)
            lens[i] = 8 + i;
        cr_assert_ok(seglog_producer_claim_batch(r->producer, lens, 8, claims, 0));
        for (size_t i = 0; i < 8; i++)
            memcpy(claims[i].data, &(uint64_t){next + n + i}, 8);
        cr_assert_ok(seglog_producer_commit_batch(r->producer, claims, 3));
        while (got < want) {
            const int some = seglog_consumer_batch(r->consumer, views, round % 2 ? 64 : 5);

            cr_assert_gt(some, 0);
            for (int i = 0; i < some; i++, got++) {
                uint64_t number;

                memcpy(&number, views[i].data, 8);
                cr_assert_eq(number, next + got);
            }
            seglog_consumer_release(r->consumer);
        }
        expect_nothing(r->consumer);
        next += want;
    }
    cr_assert_ok(seglog_producer_claim_batch(r->producer, lens, 8, claims, 0));
    cr_assert_status(seglog_producer_commit_batch(r->producer, claims, 9), -EINVAL);
    claims[1].len = 2000;
    cr_assert_status(seglog_producer_commit_batch(r->producer, claims, 8), -EINVAL);
    cr_assert_ok(seglog_producer_commit_batch(r->producer, claims, 0));
    cr_assert_status(seglog_producer_put_batch(r->producer, records, 0, 0), -EINVAL);
    records[0].len = records[1].len = 1024;
    cr_assert_status(seglog_producer_put_batch(r->producer, records, 2, 0), -EMSGSIZE);
    cr_assert_status(seglog_consumer_batch(r->consumer, views, 0), -EINVAL);
    expect_nothing(r->consumer);
}

Test(ring, a_batch_is_seen_as_a_whole_and_its_rest_is_given_up)
{
    each_pair(batches);
}

static void full(struct ring_at *r, const struct ring_make *how)
{
    struct seglog_ring_info info;
    struct seglog_ring_loss loss;
    struct seglog_view v;
    uint64_t i, put = 0, first = 0, seen = 0;
    int rc = 0;

    for (i = 0; i < 1000; i++) {
        rc = seglog_producer_put(r->producer, &i, 8, 0);
        if (rc < 0)
            break;
        put++;
    }
    cr_assert_ok(seglog_ring_inspect(r->ring, &info));
    cr_assert_eq(info.kind, how->kind);
    cr_assert_eq(info.overload, how->overload);
    cr_assert_eq(info.tail - info.head, info.used);
    cr_assert_eq(info.producers, 1);
    cr_assert_eq(info.consumers, 1);
    switch (how->overload) {
    case SEGLOG_OVERLOAD_WAIT:
        cr_assert_status(rc, -EAGAIN);
        cr_assert_status(seglog_producer_put(r->producer, &i, 8, 2000000), -ETIMEDOUT);
        cr_assert_status(seglog_producer_wait(r->producer, 8, 1000), -ETIMEDOUT);
        cr_assert_eq(put, 255); /* 16 bytes each, and a word behind */
        cr_assert_eq(info.records, 255);
        break;
    case SEGLOG_OVERLOAD_DROP:
        cr_assert_status(rc, -ENOBUFS);
        cr_assert_eq(put, 255);
        cr_assert_status(seglog_producer_put_batch(r->producer,
                                                   (struct seglog_record[]){{.data = &i, .len = 8},
                                                                            {.data = &i, .len = 8}},
                                                   2, 0),
                         -ENOBUFS);
        cr_assert_ok(seglog_ring_inspect(r->ring, &info));
        cr_assert_eq(info.dropped, 3);
        break;
    default:
        cr_assert_eq(put, 1000);
        cr_assert_eq(info.overwritten + info.records, 1000);
        cr_assert_geq(info.records, 255 - 16);
        first = info.overwritten;
        cr_assert_status(seglog_consumer_next(r->consumer, &v), SEGLOG_ELAPPED);
        cr_assert_ok(seglog_consumer_lost(r->consumer, &loss));
        cr_assert_eq(loss.records, first);
        cr_assert_eq(loss.bytes, 8 * first);
        cr_assert_eq(loss.records_total, first);
        cr_assert_eq(loss.bytes_total, 8 * first);
        break;
    }
    while ((rc = seglog_consumer_next(r->consumer, &v)) == 0) {
        uint64_t number;

        memcpy(&number, v.data, 8);
        cr_assert_eq(number, first + seen);
        seen++;
        seglog_consumer_release(r->consumer);
    }
    cr_assert_status(rc, -EAGAIN);
    cr_assert_eq(seen + first, put);
    cr_assert_ok(seglog_producer_wait(r->producer, 8, 0));
    cr_assert_ok(put_text(r->producer, "again"));
    expect_text(r->consumer, "again");
}

Test(ring, a_full_ring_does_what_it_was_made_to_do)
{
    each_pair(full);
}

static void stay(struct ring_at *r, const struct ring_make *how)
{
    struct seglog_consumer *second;
    struct seglog_view v;

    cr_assert_ok(put_text(r->producer, "first"));
    cr_assert_ok(put_text(r->producer, "second"));
    cr_assert_ok(seglog_consumer_next(r->consumer, &v));
    cr_assert_arr_eq(v.data, "first", 5);
    cr_assert_ok(seglog_consumer_close(r->consumer)); /* not released */
    r->consumer = NULL;
    cr_assert_ok(seglog_consumer_open(r->ring, NULL, &second));
    if (how->kind == SEGLOG_RING_WORK) {
        expect_text(second, "second"); /* fresh work first */
        cr_assert_ok(seglog_consumer_wait(second, UINT64_C(60000000000)));
        cr_assert_ok(seglog_consumer_next(second, &v));
        cr_assert_eq(v.flags, SEGLOG_VIEW_REDELIVERED);
        cr_assert_arr_eq(v.data, "first", 5);
        seglog_consumer_release(second);
    } else {
        expect_text(second, "first");
        expect_text(second, "second");
    }
    expect_nothing(second);
    cr_assert_ok(seglog_consumer_close(second));
}

Test(ring, what_was_not_released_is_there_for_the_next_consumer)
{
    each_pair(stay);
}

static void one_at_a_time(struct ring_at *r, const struct ring_make *how)
{
    struct seglog_producer *p = NULL;
    struct seglog_consumer *c = NULL;
    const bool many_p = how->kind == SEGLOG_RING_MPSC || how->kind == SEGLOG_RING_WORK;
    const bool many_c = how->kind == SEGLOG_RING_BROADCAST || how->kind == SEGLOG_RING_WORK;

    cr_assert_status(seglog_producer_open(r->ring, NULL, &p), many_p ? 0 : -EBUSY);
    cr_assert_status(seglog_consumer_open(r->ring, NULL, &c), many_c ? 0 : -EBUSY);
    cr_assert_status(seglog_ring_close(r->ring), -EBUSY);
    cr_assert_ok(seglog_producer_close(p));
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_producer_close(r->producer));
    cr_assert_ok(seglog_consumer_close(r->consumer));
    cr_assert_ok(seglog_producer_open(r->ring, NULL, &r->producer));
    cr_assert_ok(seglog_consumer_open(r->ring, NULL, &r->consumer));
    cr_assert_ok(put_text(r->producer, "after"));
    expect_text(r->consumer, "after");
}

Test(ring, a_kind_says_how_many_may_be_attached)
{
    each_pair(one_at_a_time);
}

static void observe(struct ring_at *r, const struct ring_make *how)
{
    const struct seglog_consumer_options all = {.flags = SEGLOG_CONSUMER_OBSERVE};
    const struct seglog_consumer_options end = {.flags = SEGLOG_CONSUMER_OBSERVE,
                                                .from = SEGLOG_PLACE_END};
    struct seglog_ring *looking;
    struct seglog_consumer *first, *last;

    (void)how;
    cr_assert_ok(put_text(r->producer, "one"));
    cr_assert_ok(seglog_ring_open(r->path, SEGLOG_RING_READ_ONLY, &looking));
    cr_assert_status(seglog_producer_open(looking, NULL, &r->producer), -EACCES);
    cr_assert_ok(seglog_consumer_open(looking, &all, &first));
    cr_assert_ok(seglog_consumer_open(looking, &end, &last));
    cr_assert_ok(put_text(r->producer, "two"));
    expect_text(first, "one");
    expect_text(first, "two");
    expect_nothing(first);
    expect_text(last, "two");
    expect_nothing(last);
    cr_assert_status(seglog_consumer_wait(last, 3000000), -ETIMEDOUT);
    cr_assert_ok(seglog_consumer_close(first));
    cr_assert_ok(seglog_consumer_close(last));
    cr_assert_ok(seglog_ring_close(looking));
    expect_text(r->consumer, "one");
    expect_text(r->consumer, "two");
}

Test(ring, an_observer_takes_nothing_from_anybody)
{
    each_pair(observe);
}

Test(broadcast, each_consumer_gets_everything_from_where_it_came_in)
{
    const struct seglog_consumer_options end = {.from = SEGLOG_PLACE_END};
    struct seglog_consumer *late;
    struct ring_at r;

    for (uint32_t overload = 0; overload <= SEGLOG_OVERLOAD_OVERWRITE; overload++) {
        ring_at_open(&r, .kind = SEGLOG_RING_BROADCAST, .overload = overload, .start = NEAR_WRAP);
        cr_assert_ok(put_text(r.producer, "a"));
        cr_assert_ok(seglog_consumer_open(r.ring, &end, &late));
        cr_assert_ok(put_text(r.producer, "b"));
        expect_text(r.consumer, "a");
        expect_text(r.consumer, "b");
        expect_text(late, "b");
        expect_nothing(late);
        cr_assert_ok(seglog_consumer_close(late));
        /* The oldest that is still there. */
        cr_assert_ok(seglog_consumer_open(r.ring, NULL, &late));
        expect_text(late, "a");
        cr_assert_ok(seglog_consumer_close(late));
        ring_at_remove(&r);
    }
}

Test(broadcast, without_consumers_nothing_holds_the_producer_back)
{
    struct seglog_consumer *late;
    struct ring_at r;

    ring_at_open(&r, .kind = SEGLOG_RING_BROADCAST);
    cr_assert_ok(seglog_consumer_close(r.consumer));
    r.consumer = NULL;
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_ok(seglog_producer_put(r.producer, &i, 8, 0));
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &late));
    for (uint64_t i = 0, n = 0, first = 0;; i++) {
        struct seglog_view v;

        if (seglog_consumer_next(late, &v) == -EAGAIN) {
            cr_assert_eq(first + n, 1000);
            break;
        }
        if (i == 0)
            memcpy(&first, v.data, 8);
        cr_assert_eq(v.seq, first + n);
        cr_assert_arr_eq(v.data, &v.seq, 8);
        n++;
        seglog_consumer_release(late);
    }
    cr_assert_ok(seglog_consumer_close(late));
    ring_at_remove(&r);
}

Test(work, each_message_goes_to_one_consumer)
{
    struct seglog_consumer *other;
    struct seglog_view v[4];
    struct ring_at r;

    ring_at_open(&r, .kind = SEGLOG_RING_WORK, .start = NEAR_WRAP);
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &other));
    for (int i = 0; i < 5; i++)
        cr_assert_ok(put_text(r.producer, (const char *[]){"a", "b", "c", "d", "e"}[i]));
    cr_assert_eq(seglog_consumer_batch(r.consumer, v, 2), 2);
    cr_assert(((const char *)v[0].data)[0] == 'a' && ((const char *)v[1].data)[0] == 'b');
    cr_assert_status(seglog_consumer_next(r.consumer, v), -EBUSY);
    expect_text(other, "c");
    expect_text(other, "d");
    seglog_consumer_release(r.consumer);
    expect_text(r.consumer, "e");
    expect_nothing(other);
    cr_assert_ok(seglog_consumer_close(other));
    ring_at_remove(&r);
}

Test(work, a_message_that_does_not_fit_the_buffer_stays)
{
    size_t len = 2;
    char buf[8];

    for (size_t i = 0; i < RING_PAIRS; i++) {
        struct ring_at r;

        ring_at_open_(&r, ring_pairs[i]);
        cr_assert_ok(put_text(r.producer, "abcd"));
        len = 2;
        cr_assert_status(seglog_consumer_get(r.consumer, buf, &len), -EMSGSIZE);
        cr_assert_eq(len, 4);
        cr_assert_ok(seglog_consumer_get(r.consumer, buf, &len));
        cr_assert_arr_eq(buf, "abcd", 4);
        expect_nothing(r.consumer);
        ring_at_remove(&r);
    }
}
