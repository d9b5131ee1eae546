/*
 * Every kind and every overload under several processes at once, undisturbed and with processes killed
 * and started anew; every message is checked.
 */
#include "ring/crowd.h"

#include "sys/clock.h"

#include <pthread.h>
#include <sys/mman.h>

#define MESSAGES 6000u

struct cast {
    unsigned producers;
    unsigned consumers;
};

static struct cast cast_of(uint32_t kind)
{
    const bool many_p = kind == SEGLOG_RING_MPSC || kind == SEGLOG_RING_WORK;
    const bool many_c = kind == SEGLOG_RING_BROADCAST || kind == SEGLOG_RING_WORK;

    return (struct cast){.producers = many_p ? 3 : 1, .consumers = many_c ? 3 : 1};
}

static struct crowd *crowd_make(struct ring_at *r, struct ring_make how)
{
    struct crowd *crowd = child_shared(sizeof(*crowd));

    how.size = 8192;
    how.start = UINT64_MAX - 100007; /* wraps on the way */
    ring_at_make(r, how);
    snprintf(crowd->path, sizeof(crowd->path), "%s", r->path);
    crowd->kind = how.kind;
    crowd->overload = how.overload;
    return crowd;
}

/* Each message of each life was seen `times` times, none that was not put in. */
static void expect_seen(struct crowd *crowd, unsigned times, uint32_t unacked)
{
    for (uint32_t life = 0; life < atomic_load(&crowd->lives); life++) {
        const uint32_t acked = atomic_load(&crowd->acked[life]);

        for (uint32_t i = 0; i < CROWD_MESSAGES; i++) {
            const unsigned seen = atomic_load(&crowd->seen[life][i]);

            if (i < acked)
                cr_assert_eq(seen, times, "message %u of life %u was seen %u times", i, life, seen);
            else
                cr_assert(seen == 0 || (i < acked + unacked && seen == times),
                          "message %u of life %u, which ended after %u, was seen %u times", i, life,
                          acked, seen);
        }
    }
}

static uint64_t acked_total(const struct crowd *crowd)
{
    uint64_t total = 0;

    for (uint32_t life = 0; life < CROWD_LIVES; life++)
        total += atomic_load((_Atomic uint32_t *)(uintptr_t)&crowd->acked[life]);
    return total;
}

static void undisturbed(struct ring_make how)
{
    const struct cast cast = cast_of(how.kind);
    struct child producers[4], consumers[4];
    struct crowd_producer p = {.messages = MESSAGES / cast.producers};
    struct crowd_consumer c = {.counts = true};
    struct seglog_ring_info info;
    struct crowd *crowd;
    struct ring_at r;

    crowd = crowd_make(&r, how);
    p.crowd = c.crowd = crowd;
    for (unsigned i = 0; i < cast.consumers; i++)
        child_start(&consumers[i], crowd_consume, &c);
    if (how.kind == SEGLOG_RING_BROADCAST) { /* those who come late would miss the beginning */
        cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
        do
            cr_assert_ok(seglog_ring_inspect(r.ring, &info));
        while (info.consumers < cast.consumers);
    }
    for (unsigned i = 0; i < cast.producers; i++)
        child_start(&producers[i], crowd_produce, &p);
    for (unsigned i = 0; i < cast.producers; i++)
        child_end(&producers[i]);
    atomic_store(&crowd->done, true);
    for (unsigned i = 0; i < cast.consumers; i++)
        child_end(&consumers[i]);

    if (!r.ring)
        cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_ring_inspect(r.ring, &info));
    cr_assert_eq(acked_total(crowd), (uint64_t)p.messages * cast.producers);
    if (how.overload == SEGLOG_OVERLOAD_OVERWRITE) {
        /* Every message was seen or counted as lost, by each consumer. */
        cr_assert_eq(atomic_load(&crowd->seen_total) + atomic_load(&crowd->lost_total),
                     acked_total(crowd) * cast.consumers);
    } else {
        uint64_t dropped = 0;

        expect_seen(crowd, how.kind == SEGLOG_RING_BROADCAST ? cast.consumers : 1, 0);
        for (uint32_t life = 0; life < CROWD_LIVES; life++)
            dropped += atomic_load(&crowd->dropped[life]);
        cr_assert_eq(info.dropped, dropped);
    }
    ring_at_remove(&r);
    (void)munmap(crowd, sizeof(*crowd));
}

#define UNDISTURBED(name_, kind_, overload_)                                   \
    Test(ring_stress, name_)                                                   \
    {                                                                          \
        undisturbed((struct ring_make){.kind = kind_, .overload = overload_}); \
    }
UNDISTURBED(spsc_wait, SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_WAIT)
UNDISTURBED(spsc_drop, SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_DROP)
UNDISTURBED(spsc_overwrite, SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_OVERWRITE)
UNDISTURBED(mpsc_wait, SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_WAIT)
UNDISTURBED(mpsc_drop, SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_DROP)
UNDISTURBED(mpsc_overwrite, SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_OVERWRITE)
UNDISTURBED(broadcast_wait, SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_WAIT)
UNDISTURBED(broadcast_drop, SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_DROP)
UNDISTURBED(broadcast_overwrite, SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_OVERWRITE)
UNDISTURBED(work_wait, SEGLOG_RING_WORK, SEGLOG_OVERLOAD_WAIT)
UNDISTURBED(work_drop, SEGLOG_RING_WORK, SEGLOG_OVERLOAD_DROP)

/* ---- with processes killed -------------------------------------------------------------------- */

#define KILLS 24u

/* Producers are killed and new ones come; consumers are left alone and see each life's messages once. */
static void producers_die(struct ring_make how)
{
    const struct cast cast = cast_of(how.kind);
    struct child producers[4], consumers[4];
    struct crowd_producer p = {.messages = CROWD_MESSAGES, .dawdles = true};
    struct crowd_consumer c = {.counts = true};
    struct seglog_ring_info info;
    struct crowd *crowd;
    struct ring_at r;

    crowd = crowd_make(&r, how);
    p.crowd = c.crowd = crowd;
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    for (unsigned i = 0; i < cast.consumers; i++)
        child_start(&consumers[i], crowd_consume, &c);
    do
        cr_assert_ok(seglog_ring_inspect(r.ring, &info));
    while (info.consumers < cast.consumers);
    for (unsigned i = 0; i < cast.producers; i++)
        child_start(&producers[i], crowd_produce, &p);
    for (unsigned k = 0; k < KILLS; k++) {
        clock_sleep_ns(2000000 + k * 137000);
        child_kill(&producers[k % cast.producers]);
        child_start(&producers[k % cast.producers], crowd_produce, &p);
    }
    for (unsigned i = 0; i < cast.producers; i++)
        child_kill(&producers[i]);
    atomic_store(&crowd->done, true);
    for (unsigned i = 0; i < cast.consumers; i++)
        child_end(&consumers[i]);
    cr_assert_gt(acked_total(crowd), 0);
    if (how.overload == SEGLOG_OVERLOAD_OVERWRITE)
        cr_assert_geq(atomic_load(&crowd->seen_total) + atomic_load(&crowd->lost_total),
                      acked_total(crowd) * cast.consumers);
    else
        expect_seen(crowd, how.kind == SEGLOG_RING_BROADCAST ? cast.consumers : 1, CROWD_AT_ONCE);
    ring_at_remove(&r);
    (void)munmap(crowd, sizeof(*crowd));
}

#define PRODUCERS_DIE(name_, kind_, overload_)                                   \
    Test(ring_death, producers_of_##name_)                                       \
    {                                                                            \
        producers_die((struct ring_make){.kind = kind_, .overload = overload_}); \
    }
PRODUCERS_DIE(spsc_wait, SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_WAIT)
PRODUCERS_DIE(spsc_overwrite, SEGLOG_RING_SPSC, SEGLOG_OVERLOAD_OVERWRITE)
PRODUCERS_DIE(mpsc_wait, SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_WAIT)
PRODUCERS_DIE(mpsc_overwrite, SEGLOG_RING_MPSC, SEGLOG_OVERLOAD_OVERWRITE)
PRODUCERS_DIE(broadcast_wait, SEGLOG_RING_BROADCAST, SEGLOG_OVERLOAD_WAIT)
PRODUCERS_DIE(work_wait, SEGLOG_RING_WORK, SEGLOG_OVERLOAD_WAIT)

/*
 * Consumers are killed and new ones come. Nothing is missed; what is seen twice was handed to one that
 * was killed (work: and says so).
 */
static void consumers_die(struct ring_make how)
{
    const struct cast cast = cast_of(how.kind);
    struct child producers[4], consumers[4];
    struct crowd_producer p = {.messages = CROWD_MESSAGES / 2};
    struct crowd_consumer c = {.counts = true, .dawdles = true};
    struct crowd *crowd;
    struct ring_at r;
    uint32_t twice = 0;

    crowd = crowd_make(&r, how);
    p.crowd = c.crowd = crowd;
    for (unsigned i = 0; i < cast.consumers; i++)
        child_start(&consumers[i], crowd_consume, &c);
    for (unsigned i = 0; i < cast.producers; i++)
        child_start(&producers[i], crowd_produce, &p);
    for (unsigned k = 0; k < KILLS; k++) {
        clock_sleep_ns(2000000 + k * 137000);
        child_kill(&consumers[k % cast.consumers]);
        child_start(&consumers[k % cast.consumers], crowd_consume, &c);
    }
    for (unsigned i = 0; i < cast.producers; i++)
        child_end(&producers[i]);
    atomic_store(&crowd->done, true);
    for (unsigned i = 0; i < cast.consumers; i++)
        child_end(&consumers[i]);
    for (uint32_t life = 0; life < cast.producers && how.kind != SEGLOG_RING_BROADCAST; life++) {
        for (uint32_t i = 0; i < p.messages; i++) {
            const unsigned seen = atomic_load(&crowd->seen[life][i]);
            const unsigned again = atomic_load(&crowd->again[life][i]);

            /* One that was killed before it had counted it has left it to the next. */
            cr_assert(seen + again >= 1, "message %u of life %u was missed", i, life);
            if (how.kind == SEGLOG_RING_WORK)
                cr_assert_leq(seen, 1, "message %u of life %u went to two", i, life);
            twice += seen + again > 1;
        }
    }
    /* Each of the killed had no more than one batch. */
    cr_assert_leq(twice, KILLS * 24);
    ring_at_remove(&r);
    (void)munmap(crowd, sizeof(*crowd));
}

Test(ring_death, consumers_of_spsc_wait)
{
    consumers_die((struct ring_make){.kind = SEGLOG_RING_SPSC});
}

Test(ring_death, consumers_of_mpsc_wait)
{
    consumers_die((struct ring_make){.kind = SEGLOG_RING_MPSC});
}

Test(ring_death, consumers_of_broadcast_wait)
{
    consumers_die((struct ring_make){.kind = SEGLOG_RING_BROADCAST});
}

Test(ring_death, consumers_of_work_wait)
{
    consumers_die((struct ring_make){.kind = SEGLOG_RING_WORK});
}

/* ---- what is copied while it is written over ---------------------------------------------------- */

#define LARGE_WORDS 125u /* four of them fill the ring */

static int write_over(struct child *parent, void *path)
{
    struct seglog_ring *ring;
    struct seglog_producer *p;
    uint64_t words[LARGE_WORDS];

    child_must(seglog_ring_open(path, 0, &ring));
    child_must(seglog_producer_open(ring, NULL, &p));
    child_say(parent, 'p');
    for (uint64_t n = 1;; n++) {
        for (unsigned i = 0; i < LARGE_WORDS; i++)
            words[i] = n;
        child_must(seglog_producer_put(p, words, sizeof(words), 0));
    }
    return 0;
}

Test(ring_stress, no_message_that_is_written_over_meanwhile_is_handed_out)
{
    const uint64_t until = clock_monotonic_ns() + UINT64_C(1000000000);
    uint64_t seen = 0, last = 0;
    struct seglog_view view;
    struct child child;
    struct ring_at r;

    ring_at_make(&r, (struct ring_make){.overload = SEGLOG_OVERLOAD_OVERWRITE});
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
    child_start(&child, write_over, r.path);
    cr_assert_eq(child_hear(&child), 'p');
    while (seen == 0 || clock_monotonic_ns() < until) {
        const int rc = seglog_consumer_next(r.consumer, &view);
        const uint64_t *words = view.data;

        if (rc == -EAGAIN || rc == SEGLOG_ELAPPED)
            continue;
        cr_assert_ok(rc);
        cr_assert_eq(view.len, LARGE_WORDS * 8);
        cr_assert_gt(words[0], last);
        for (unsigned i = 1; i < LARGE_WORDS; i++)
            cr_assert_eq(words[i], words[0], "word %u of message %llu", i,
                         (unsigned long long)words[0]);
        last = words[0];
        seen++;
        seglog_consumer_release(r.consumer);
    }
    child_kill(&child);
    ring_at_remove(&r);
}

/* ---- in one process, for the thread sanitizer --------------------------------------------------- */

struct thread_job {
    struct seglog_ring *ring;
    struct crowd_producer p;
    struct crowd_consumer c;
    int rc;
};

static void *thread_produce(void *job)
{
    struct thread_job *j = job;

    j->rc = crowd_produce_on(j->ring, &j->p);
    return NULL;
}

static void *thread_consume(void *job)
{
    struct thread_job *j = job;

    j->rc = crowd_consume_on(j->ring, &j->c);
    return NULL;
}

static void threads_together(struct ring_make how)
{
    const struct cast cast = cast_of(how.kind);
    pthread_t producers[4], consumers[4];
    struct seglog_ring_info info;
    struct thread_job p[4], c[4];
    struct crowd *crowd;
    struct ring_at r;

    crowd = crowd_make(&r, how);
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    for (unsigned i = 0; i < cast.consumers; i++) {
        c[i] = (struct thread_job){.ring = r.ring, .c = {.crowd = crowd, .counts = true}};
        cr_assert_eq(pthread_create(&consumers[i], NULL, thread_consume, &c[i]), 0);
    }
    do
        cr_assert_ok(seglog_ring_inspect(r.ring, &info));
    while (info.consumers < cast.consumers);
    for (unsigned i = 0; i < cast.producers; i++) {
        p[i] = (struct thread_job){.ring = r.ring, .p = {.crowd = crowd, .messages = 1000}};
        cr_assert_eq(pthread_create(&producers[i], NULL, thread_produce, &p[i]), 0);
    }
    for (unsigned i = 0; i < cast.producers; i++) {
        pthread_join(producers[i], NULL);
        cr_assert_status(p[i].rc, 0);
    }
    atomic_store(&crowd->done, true);
    for (unsigned i = 0; i < cast.consumers; i++) {
        pthread_join(consumers[i], NULL);
        cr_assert_status(c[i].rc, 0);
    }
    expect_seen(crowd, how.kind == SEGLOG_RING_BROADCAST ? cast.consumers : 1, 0);
    ring_at_remove(&r);
    (void)munmap(crowd, sizeof(*crowd));
}

/* Where nothing is overwritten: what is copied there while it is written over is a race by design. */
Test(ring_stress, threads_together)
{
    for (uint32_t kind = SEGLOG_RING_SPSC; kind <= SEGLOG_RING_WORK; kind++)
        threads_together((struct ring_make){.kind = kind});
}
