/*
 * One process of a ring killed or stopped at a place of the test's choice; and shared words that nobody
 * honest would have written.
 */
#include "ring/rings.h"

#include "ring/order.h"
#include "sys/clock.h"

#include <fcntl.h>
#include <sys/mman.h>

/* The promise is 100 ms from the kernel's dropping of the lock, and bench/ measures it; a loaded
 * machine is given more. */
#define SOON_NS UINT64_C(60000000000)

struct life {
    const char *path;
    uint32_t kind;
};

static int claims_and_waits(struct child *parent, void *arg)
{
    const struct life *life = arg;
    struct seglog_ring *ring;
    struct seglog_producer *p;
    struct seglog_claim claim;

    child_must(seglog_ring_open(life->path, 0, &ring));
    child_must(seglog_producer_open(ring, NULL, &p));
    child_must(put_text(p, "before"));
    child_must(seglog_producer_claim(p, 100, &claim, 0));
    memset(claim.data, 0xee, 100);
    child_say(parent, 'c');
    if (child_hear(parent) < 0)
        return 1;
    child_must(seglog_producer_commit(p, &claim, 100));
    child_must(seglog_producer_close(p));
    return 0;
}

static int takes_and_waits(struct child *parent, void *arg)
{
    const struct life *life = arg;
    struct seglog_ring *ring;
    struct seglog_consumer *c;
    struct seglog_view views[2];

    child_must(seglog_ring_open(life->path, 0, &ring));
    child_must(seglog_consumer_open(ring, NULL, &c));
    child_say(parent, 'o');
    if (child_hear(parent) < 0)
        return 1;
    child_must_be(seglog_consumer_batch(c, views, 2), 2);
    child_say(parent, 't');
    if (child_hear(parent) < 0)
        return 1;
    seglog_consumer_release(c);
    child_must(seglog_consumer_close(c));
    return 0;
}

Test(ring_death, an_open_claim_of_the_dead_is_passed)
{
    for (uint32_t kind = SEGLOG_RING_SPSC; kind <= SEGLOG_RING_WORK; kind++) {
        struct life life;
        struct child child;
        struct ring_at r;

        ring_at_make(&r, (struct ring_make){.kind = kind});
        life = (struct life){.path = r.path, .kind = kind};
        child_start(&child, claims_and_waits, &life);
        cr_assert_eq(child_hear(&child), 'c');
        cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
        cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
        expect_text(r.consumer, "before");
        expect_nothing(r.consumer);
        child_kill(&child);
        cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer)); /* its place is free */
        cr_assert_ok(put_text(r.producer, "after"));
        cr_assert_ok(seglog_consumer_wait(r.consumer, SOON_NS));
        expect_text(r.consumer, "after");
        expect_nothing(r.consumer);
        ring_at_remove(&r);
    }
}

Test(ring_death, a_stopped_producer_is_waited_for)
{
    for (uint32_t kind = SEGLOG_RING_MPSC; kind <= SEGLOG_RING_WORK; kind += 2) {
        struct life life;
        struct seglog_view v;
        struct child child;
        struct ring_at r;

        ring_at_make(&r, (struct ring_make){.kind = kind});
        life = (struct life){.path = r.path, .kind = kind};
        child_start(&child, claims_and_waits, &life);
        cr_assert_eq(child_hear(&child), 'c');
        child_stop(&child);
        cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
        cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
        cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer));
        expect_text(r.consumer, "before");
        cr_assert_ok(put_text(r.producer, "after"));
        cr_assert_status(seglog_consumer_wait(r.consumer, 150000000), -ETIMEDOUT);
        child_continue(&child);
        child_say(&child, 'g');
        child_end(&child);
        cr_assert_ok(seglog_consumer_next(r.consumer, &v));
        cr_assert(v.len == 100 && ((const uint8_t *)v.data)[99] == 0xee);
        seglog_consumer_release(r.consumer);
        expect_text(r.consumer, "after");
        ring_at_remove(&r);
    }
}

Test(ring_death, work_of_a_dead_consumer_is_delivered_again_and_says_so)
{
    struct seglog_view v[4];
    struct child child;
    struct life life;
    struct ring_at r;

    ring_at_make(&r, (struct ring_make){.kind = SEGLOG_RING_WORK});
    life = (struct life){.path = r.path};
    child_start(&child, takes_and_waits, &life);
    cr_assert_eq(child_hear(&child), 'o');
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer));
    cr_assert_ok(put_text(r.producer, "one"));
    cr_assert_ok(put_text(r.producer, "two"));
    child_say(&child, 'g');
    cr_assert_eq(child_hear(&child), 't');
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
    child_stop(&child);
    cr_assert_status(seglog_consumer_wait(r.consumer, 150000000), -ETIMEDOUT);
    child_kill(&child);
    cr_assert_ok(seglog_consumer_wait(r.consumer, SOON_NS));
    cr_assert_eq(seglog_consumer_batch(r.consumer, v, 1), 1); /* in parts, too */
    cr_assert(v[0].flags == SEGLOG_VIEW_REDELIVERED && memcmp(v[0].data, "one", 3) == 0);
    seglog_consumer_release(r.consumer);
    cr_assert_ok(seglog_consumer_wait(r.consumer, SOON_NS));
    cr_assert_eq(seglog_consumer_batch(r.consumer, v, 4), 1);
    cr_assert(v[0].flags == SEGLOG_VIEW_REDELIVERED && memcmp(v[0].data, "two", 3) == 0);
    seglog_consumer_release(r.consumer);
    cr_assert_status(seglog_consumer_wait(r.consumer, 50000000), -ETIMEDOUT);
    ring_at_remove(&r);
}

struct forgetful {
    const char *path;
    unsigned done; /* of the two messages */
};

/* Takes two, marks some of them done, and gets no further. */
static int finishes_and_forgets(struct child *parent, void *arg)
{
    const struct forgetful *how = arg;
    struct seglog_view v[2];
    struct seglog_ring *ring;
    struct seglog_consumer *c;
    uint64_t at;

    child_must(seglog_ring_open(how->path, 0, &ring));
    child_must(seglog_consumer_open(ring, NULL, &c));
    child_assert(seglog_consumer_batch(c, v, 2) == 2);
    at = c->from;
    for (unsigned i = 0; i < how->done; i++) {
        const uint64_t word = word_observe(c->data, c->mask, at);

        word_done(ring_word_at(c->data, c->mask, at), word ^ (RING_DATA ^ RING_DONE));
        at += ring_word_span(word);
    }
    child_say(parent, 't');
    return child_hear(parent) < 0;
}

/* What it had finished is written over by the time that its place is looked at. */
Test(ring_death, what_a_dead_consumer_had_finished_gave_way)
{
    for (unsigned done = 1; done <= 2; done++) {
        struct forgetful how = {.done = done};
        struct seglog_view v;
        struct child child;
        struct ring_at r;

        ring_at_make(&r, (struct ring_make){.kind = SEGLOG_RING_WORK});
        cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
        cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer));
        cr_assert_ok(put_text(r.producer, "one"));
        cr_assert_ok(put_text(r.producer, "two"));
        how.path = r.path;
        child_start(&child, finishes_and_forgets, &how);
        cr_assert_eq(child_hear(&child), 't');
        child_stop(&child);
        cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
        for (unsigned i = 0; i < 1000 && put_text(r.producer, "\377\377\377\377\377\377\377") == 0;
             i++)
            expect_text(r.consumer, "\377\377\377\377\377\377\377");
        child_kill(&child);
        if (done == 1) {
            cr_assert_ok(seglog_consumer_wait(r.consumer, SOON_NS));
            cr_assert_ok(seglog_consumer_next(r.consumer, &v));
            cr_assert(v.flags == SEGLOG_VIEW_REDELIVERED && memcmp(v.data, "two", 3) == 0);
            seglog_consumer_release(r.consumer);
        }
        while (seglog_consumer_wait(r.consumer, 100000000) == 0) /* as long as the place is there */
            cr_assert_status(seglog_consumer_next(r.consumer, &v), -EAGAIN);
        cr_assert_ok(put_text(r.producer, "last"));
        expect_text(r.consumer, "last");
        ring_at_remove(&r);
    }
}

Test(ring_death, a_dead_consumer_holds_a_broadcast_back_no_longer_and_a_stopped_one_does)
{
    struct child child;
    struct life life;
    struct ring_at r;

    ring_at_make(&r, (struct ring_make){.kind = SEGLOG_RING_BROADCAST});
    life = (struct life){.path = r.path};
    child_start(&child, takes_and_waits, &life);
    cr_assert_eq(child_hear(&child), 'o');
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer));
    child_stop(&child);
    while (put_text(r.producer, "fill") == 0)
        continue;
    cr_assert_status(seglog_producer_put(r.producer, "x", 1, 150000000), -ETIMEDOUT);
    child_kill(&child);
    cr_assert_ok(seglog_producer_put(r.producer, "x", 1, SOON_NS));
    ring_at_remove(&r);
}

/* One that dies with put_lock is made by hand: no process stays there long enough to be shot. */
Test(ring_death, a_lock_of_the_dead_is_taken_over_wherever_they_died)
{
    for (int step = 0; step < 3; step++) {
        struct ring_ctrl *ctrl;
        struct ring_at r;
        uint64_t tail;

        ring_at_open(&r, .kind = SEGLOG_RING_MPSC);
        cr_assert_ok(put_text(r.producer, "before"));
        ctrl = r.ring->ctrl;
        tail = atomic_load(&ctrl->shared.tail);
        /* Place 7 was never taken: generation 1 of it is nobody's. */
        atomic_store(&ctrl->shared.put_lock, UINT64_C(1) << 32 | 8);
        if (step >= 1) {
            atomic_store(ring_word_at(r.ring->data_rw, r.ring->facts.size - 1, tail + 48), 0);
            atomic_store(ring_word_at(r.ring->data_rw, r.ring->facts.size - 1, tail),
                         ring_word_claimed(7, 1, 48));
        }
        if (step >= 2)
            atomic_store(&ctrl->shared.tail, tail + 48);
        cr_assert_ok(seglog_producer_put(r.producer, "after", 5, SOON_NS));
        expect_text(r.consumer, "before");
        cr_assert_ok(seglog_consumer_wait(r.consumer, SOON_NS));
        expect_text(r.consumer, "after");
        expect_nothing(r.consumer);
        ring_at_remove(&r);
    }
}

/* ---- hostile words ---------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Anything may come out of it but a crash, a hang, or bytes from outside. */
static void use_it(struct ring_at *r)
{
    struct seglog_ring_info info;
    struct seglog_view views[8];
    uint64_t sum = 0;

    (void)seglog_ring_inspect(r->ring, &info);
    for (int i = 0; i < 12; i++) {
        const int n = r->consumer ? seglog_consumer_batch(r->consumer, views, 8) : 0;

        for (int k = 0; k < n; k++) {
            cr_assert_leq(views[k].len, r->ring->facts.size / 2);
            for (uint64_t b = 0; b < views[k].len; b++)
                sum += ((const uint8_t *)views[k].data)[b];
        }
        if (r->consumer)
            seglog_consumer_release(r->consumer);
        if (r->producer)
            (void)seglog_producer_put(r->producer, &sum, 8, 0);
    }
}

static void hostile(struct ring_make how, uint64_t seed)
{
    struct seglog_ring *ring;
    struct ring_at r;
    uint64_t *shared;
    int fd;
    void *file;

    ring_at_open_(&r, how);
    for (int i = 0; i < 20; i++)
        (void)put_text(r.producer, "something honest");
    fd = open(r.path, O_RDWR);
    file = mmap(NULL, 65536 + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(file, MAP_FAILED);
    shared = (uint64_t *)(void *)((uint8_t *)file + RING_OFF_SHARED + 64);
    for (int round = 0; round < 6; round++) {
        /* Words of all kinds, in the data and (every other round) in the shared words. */
        for (int i = 0; i < 40; i++) {
            const uint64_t word = next_random(&seed);
            uint64_t *at = (uint64_t *)(void *)((uint8_t *)file + 65536) + next_random(&seed) % 512;

            *at = i % 4 == 0   ? word
                  : i % 4 == 1 ? ring_word_data(word % 5000, word & 1024)
                  : i % 4 == 2 ? ring_word_claimed((uint32_t)(word % 256),
                                                   (uint32_t)(word >> 40) | 1, word % 4096)
                               : ring_word_pad(word % 4096);
        }
        if (round % 2 == 1)
            shared[next_random(&seed) % ((sizeof(struct ring_shared) - 64) / 8)] =
                next_random(&seed) % 3 ? next_random(&seed) : next_random(&seed) % 65536;
        use_it(&r);
        /* And by somebody who comes in now. */
        if (seglog_ring_open(r.path, 0, &ring) == 0) {
            struct ring_at late = {.ring = ring};

            if (seglog_consumer_open(
                    ring, &(struct seglog_consumer_options){.flags = SEGLOG_CONSUMER_OBSERVE},
                    &late.consumer) < 0)
                late.consumer = NULL;
            use_it(&late);
            (void)seglog_consumer_close(late.consumer);
            (void)seglog_ring_close(ring);
        }
    }
    (void)munmap(file, 65536 + 4096);
    (void)close(fd);
    ring_at_remove(&r);
}

Test(ring_hostile, words_that_nobody_honest_wrote_do_no_harm)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        hostile(ring_pairs[seed % RING_PAIRS], seed * UINT64_C(0x9E3779B97F4A7C15));
}

/* Whoever comes in now, with a bit turned in what the ring's users share. */
static void turned(const struct ring_at *r, uint8_t *file, size_t bit)
{
    struct ring_at late = {0};

    file[RING_OFF_SHARED + bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (seglog_ring_open(r->path, 0, &late.ring) < 0)
        return;
    if (seglog_producer_open(late.ring, NULL, &late.producer) < 0)
        late.producer = NULL;
    if (seglog_consumer_open(late.ring, NULL, &late.consumer) < 0)
        late.consumer = NULL;
    use_it(&late);
    (void)seglog_consumer_close(late.consumer);
    (void)seglog_producer_close(late.producer);
    (void)seglog_ring_close(late.ring);
}

/* Every counter, lock and bell, and the first places; the kinds of rings take the bits in turn. */
Test(ring_hostile, each_bit_of_the_shared_words_turned_does_no_harm)
{
    const size_t every = getenv("SEGLOG_TEST_QUICK") ? 8 * RING_PAIRS : RING_PAIRS;
    const size_t shared_bits = sizeof(struct ring_shared) * 8;
    const size_t bits = shared_bits + 4 * sizeof(struct ring_place) * 8;
    const size_t bytes = 65536 + 4096;
    uint8_t *good = malloc(bytes);

    for (size_t pair = 0; pair < RING_PAIRS; pair++) {
        struct ring_at r;
        uint8_t *file;
        int fd;

        ring_at_open_(&r, ring_pairs[pair]);
        for (int i = 0; i < 20; i++)
            (void)put_text(r.producer, "something honest");
        expect_text(r.consumer, "something honest");
        fd = open(r.path, O_RDWR);
        file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        cr_assert_neq((void *)file, MAP_FAILED);
        cr_assert_ok(seglog_producer_close(r.producer));
        cr_assert_ok(seglog_consumer_close(r.consumer));
        cr_assert_ok(seglog_ring_close(r.ring));
        r.producer = NULL;
        r.consumer = NULL;
        r.ring = NULL;
        memcpy(good, file, bytes);
        for (size_t bit = pair; bit < bits; bit += every) {
            turned(&r, file,
                   bit < shared_bits ? bit
                                     : bit - shared_bits + (RING_OFF_PLACES - RING_OFF_SHARED) * 8);
            memcpy(file, good, bytes);
        }
        (void)munmap(file, bytes);
        (void)close(fd);
        ring_at_remove(&r);
    }
    free(good);
}
