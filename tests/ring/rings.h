/*
 * Rings for tests: made in a directory of their own, opened, filled, and checked.
 */
#ifndef TEST_RING_RINGS_H
#define TEST_RING_RINGS_H

#include "ring/handle.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ring_at {
    char *dir;
    char *path;
    struct seglog_ring *ring;
    struct seglog_producer *producer;
    struct seglog_consumer *consumer;
};

struct ring_make {
    uint32_t kind;
    uint32_t overload;
    uint64_t size;  /* 0: 4096 */
    uint64_t start; /* position of the first message */
};

static inline void ring_at_make(struct ring_at *r, struct ring_make how)
{
    const struct seglog_ring_options options = {
        .size = how.size ? how.size : 4096, .kind = how.kind, .overload = how.overload};

    memset(r, 0, sizeof(*r));
    r->dir = tmpdir_make();
    r->path = tmpdir_path(r->dir, "ring");
    cr_assert_ok(ring_create_at(r->path, &options, how.start));
}

/* Made, opened, with a producer and a consumer. */
static inline void ring_at_open_(struct ring_at *r, struct ring_make how)
{
    ring_at_make(r, how);
    cr_assert_ok(seglog_ring_open(r->path, 0, &r->ring));
    cr_assert_ok(seglog_producer_open(r->ring, NULL, &r->producer));
    cr_assert_ok(seglog_consumer_open(r->ring, NULL, &r->consumer));
}
#define ring_at_open(r, ...) ring_at_open_(r, (struct ring_make){__VA_ARGS__})

static inline void ring_at_remove(struct ring_at *r)
{
    cr_assert_ok(seglog_producer_close(r->producer));
    cr_assert_ok(seglog_consumer_close(r->consumer));
    cr_assert_ok(seglog_ring_close(r->ring));
    free(r->path);
    tmpdir_remove(r->dir);
}

static inline int put_text(struct seglog_producer *p, const char *text)
{
    return seglog_producer_put(p, text, strlen(text), 0);
}

/* The next message must be this text. It is released. */
static inline void expect_text(struct seglog_consumer *c, const char *text)
{
    struct seglog_view view;

    cr_assert_status(seglog_consumer_next(c, &view), 0);
    cr_assert_eq(view.len, strlen(text), "\"%.*s\" is not \"%s\"", (int)view.len,
                 (const char *)view.data, text);
    cr_assert_arr_eq(view.data, text, view.len);
    seglog_consumer_release(c);
}

static inline void expect_nothing(struct seglog_consumer *c)
{
    struct seglog_view view;

    cr_assert_status(seglog_consumer_next(c, &view), -EAGAIN);
}

static const struct ring_make ring_pairs[] = {
    {SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_WAIT, 0, 0},
    {SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_DROP, 0, 0},
    {SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_OVERWRITE, 0, 0},
    {SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_WAIT, 0, 0},
    {SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_DROP, 0, 0},
    {SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_OVERWRITE, 0, 0},
    {SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_WAIT, 0, 0},
    {SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_DROP, 0, 0},
    {SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_OVERWRITE, 0, 0},
    {SEGLOG_RING_WORK, SEGLOG_OVERLOAD_WAIT, 0, 0},
    {SEGLOG_RING_WORK, SEGLOG_OVERLOAD_DROP, 0, 0},
};
#define RING_PAIRS (sizeof(ring_pairs) / sizeof(ring_pairs[0]))

#endif
