/*
 * Messages of every length at every place: short copies are made by hand, a batch is filled from its
 * second message on, and consumers go by the span of the message before. All of it starts just before
 * positions wrap.
 */
#include "ring/rings.h"

#define LENS 300u /* well beyond the longest copy that is made by hand */

/* Bytes that tell where they belong. */
static void fill(uint8_t *bytes, uint32_t len, uint32_t number)
{
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(number * 31 + i * 7 + 1);
}

static void expect(const struct seglog_view *view, uint32_t len, uint32_t number)
{
    uint8_t want[LENS];

    fill(want, len, number);
    cr_assert_eq(view->len, len);
    cr_assert(len == 0 || memcmp(view->data, want, len) == 0, "message %u of %u bytes", number,
              len);
}

static const uint32_t kinds[] = {SEGLOG_RING_SPSC, SEGLOG_RING_MPSC, SEGLOG_RING_BROADCAST};

Test(ring_copy, every_length_comes_through_by_itself)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct seglog_view view;
        struct ring_at r;
        uint8_t bytes[LENS];

        ring_at_open(&r, .kind = kinds[k], .start = UINT64_MAX - 20007);
        for (uint32_t len = 0; len < LENS; len++) {
            /* The same length twice: the second goes by the first one's span. */
            for (uint32_t twice = 0; twice < 2; twice++) {
                fill(bytes, len, len + twice);
                cr_assert_ok(seglog_producer_put(r.producer, bytes, len, 0));
            }
            for (uint32_t twice = 0; twice < 2; twice++) {
                cr_assert_ok(seglog_consumer_next(r.consumer, &view));
                expect(&view, len, len + twice);
            }
            expect_nothing(r.consumer);
            seglog_consumer_release(r.consumer);
        }
        ring_at_remove(&r);
    }
}

Test(ring_copy, every_length_comes_through_in_batches)
{
    enum { BATCH = 5 };

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct seglog_view views[BATCH];
        struct ring_at r;

        ring_at_open(&r, .kind = kinds[k], .start = UINT64_MAX - 20007);
        for (uint32_t len = 0; len < LENS; len++) {
            static uint8_t bytes[BATCH][LENS];
            struct seglog_record records[BATCH];

            /* Other lengths around it, one of them with a time. */
            for (uint32_t i = 0; i < BATCH; i++) {
                records[i] = (struct seglog_record){.data = bytes[i], .len = (len + i * 61) % LENS};
                records[i].time_ns = i == len % 7 ? 1000 + len : 0;
                fill(bytes[i], (uint32_t)records[i].len, len + i);
            }
            cr_assert_ok(seglog_producer_put_batch(r.producer, records, BATCH, 0));
            cr_assert_eq(seglog_consumer_batch(r.consumer, views, BATCH), BATCH);
            for (uint32_t i = 0; i < BATCH; i++) {
                expect(&views[i], (uint32_t)records[i].len, len + i);
                cr_assert_eq(views[i].time_ns, records[i].time_ns);
            }
            expect_nothing(r.consumer);
            seglog_consumer_release(r.consumer);
        }
        ring_at_remove(&r);
    }
}

Test(ring_copy, a_batch_that_does_not_fit_leaves_nothing)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        static const uint8_t bytes[1000];
        struct seglog_record records[2] = {{.data = bytes, .len = 1000},
                                           {.data = bytes, .len = 1000}};
        struct ring_at r;

        ring_at_open(&r, .kind = kinds[k]);
        cr_assert_ok(seglog_producer_put_batch(r.producer, records, 2, 0));
        cr_assert_ok(seglog_producer_put(r.producer, bytes, 1000, 0));
        /* The first would still fit. */
        cr_assert_status(seglog_producer_put_batch(r.producer, records, 2, 0), -EAGAIN);
        records[1].len = 2041;
        cr_assert_status(seglog_producer_put_batch(r.producer, records, 2, 0), -EMSGSIZE);
        records[1].len = UINT64_MAX;
        cr_assert_status(seglog_producer_put_batch(r.producer, records, 2, 0), -EMSGSIZE);
        for (int i = 0; i < 3; i++) {
            struct seglog_view view;

            cr_assert_ok(seglog_consumer_next(r.consumer, &view));
            cr_assert_eq(view.len, 1000);
        }
        expect_nothing(r.consumer);
        ring_at_remove(&r);
    }
}
