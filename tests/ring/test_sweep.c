/*
 * Damage in turn: every bit of a ring's header, and every shared word with values that nobody honest
 * would have put there. What comes of it is an error or a ring that goes on; never a crash, a hang, or
 * bytes from outside of the ring.
 *
 * SEGLOG_TEST_QUICK   one bit in 19, one word in 9
 */
#include "ring/rings.h"

#include <fcntl.h>
#include <sys/mman.h>

#define FILE_BYTES (RING_CTRL_BYTES + 4096u)
#define DAMAGED    2u /* places: those of the producer and the consumer */

static unsigned step(unsigned quick)
{
    return getenv("SEGLOG_TEST_QUICK") ? quick : 1;
}

static uint8_t *map_file(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t *file = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    cr_assert_neq((void *)file, MAP_FAILED);
    (void)close(fd);
    return file;
}

Test(ring_sweep, every_bit_of_the_header_counts)
{
    struct seglog_ring *ring;
    struct ring_at r;
    uint8_t *file;

    ring_at_make(&r, (struct ring_make){.kind = SEGLOG_RING_MPSC});
    file = map_file(r.path);
    for (unsigned bit = 0; bit < PAGE_BYTES * 8; bit += step(19)) {
        int rc;

        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rc = seglog_ring_open(r.path, 0, &ring);
        cr_assert(rc == SEGLOG_ENOTLOG || rc == SEGLOG_ECORRUPT || rc == SEGLOG_EVERSION ||
                      rc == SEGLOG_EENDIAN,
                  "bit %u: %d", bit, rc);
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    (void)munmap(file, FILE_BYTES);
    ring_at_remove(&r);
}

/* ---- shared words ----------------------------------------------------------------------------- */

/* All that one can do. Lengths are looked at, and every byte that is handed out is read. */
static void use(struct seglog_ring *ring, struct seglog_producer *p, struct seglog_consumer *c)
{
    const struct seglog_record records[2] = {{.data = "one", .len = 3}, {.data = "two", .len = 3}};
    struct seglog_ring_info info;
    struct seglog_view views[8];
    struct seglog_run run;
    uint64_t sum = 0;

    (void)seglog_ring_inspect(ring, &info);
    for (int i = 0; i < 3; i++) {
        const int n = c ? seglog_consumer_batch(c, views, i == 0 ? 1 : 8) : 0;

        for (int k = 0; k < n; k++) {
            cr_assert_leq(views[k].len, ring->facts.size / 2);
            for (uint64_t b = 0; b < views[k].len; b++)
                sum += ((const uint8_t *)views[k].data)[b];
        }
        if (c && seglog_consumer_run(c, &run, 8) > 0) {
            cr_assert_leq(run.count * run.stride, ring->facts.size);
            for (uint64_t b = 0; b < run.first.len + (run.count - 1) * run.stride; b++)
                sum += ((const uint8_t *)run.first.data)[b];
        }
        if (c)
            seglog_consumer_release(c);
        if (p) {
            (void)seglog_producer_put(p, &sum, sizeof(sum), 0);
            (void)seglog_producer_put_array(p, &sum, 2, 4, 0);
            (void)seglog_producer_put_batch(p, records, 2, 0);
        }
    }
    if (c)
        (void)seglog_consumer_wait(c, 0);
    if (p)
        (void)seglog_producer_wait(p, 100, 0);
}

/* The word gets this value while a producer and a consumer are attached; then somebody comes to look. */
static void damage(const char *path, _Atomic uint64_t *word, uint64_t value)
{
    const struct seglog_consumer_options looking = {.flags = SEGLOG_CONSUMER_OBSERVE};
    struct seglog_consumer *c, *late = NULL;
    struct seglog_ring *ring, *other;
    struct seglog_producer *p;

    cr_assert_ok(seglog_ring_open(path, 0, &ring));
    cr_assert_ok(seglog_producer_open(ring, NULL, &p));
    cr_assert_ok(seglog_consumer_open(ring, NULL, &c));
    (void)put_text(p, "something honest");
    atomic_store(word, value);
    use(ring, p, c);
    atomic_store(word, value);
    if (seglog_ring_open(path, 0, &other) == 0) {
        if (seglog_consumer_open(other, &looking, &late) < 0)
            late = NULL;
        use(other, NULL, late);
        cr_assert_ok(seglog_consumer_close(late));
        cr_assert_ok(seglog_ring_close(other));
    }
    cr_assert_ok(seglog_producer_close(p));
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(ring));
}

static void sweep(struct ring_make how)
{
    const uint64_t first = RING_OFF_SHARED / 8, places = RING_OFF_PLACES / 8;
    const uint64_t n = sizeof(struct ring_shared) / 8;
    const uint64_t all = n + DAMAGED * sizeof(struct ring_place) / 8;
    uint8_t *clean = malloc(FILE_BYTES), *file;
    struct ring_at r;

    ring_at_open_(&r, how);
    for (int i = 0; i < 20; i++)
        (void)put_text(r.producer, "something honest");
    cr_assert_ok(seglog_producer_close(r.producer));
    cr_assert_ok(seglog_consumer_close(r.consumer));
    cr_assert_ok(seglog_ring_close(r.ring));
    r = (struct ring_at){.dir = r.dir, .path = r.path};
    file = map_file(r.path);
    cr_assert_not_null(clean);
    memcpy(clean, file, FILE_BYTES);
    /* Not the words that say whose boot it was: with those a ring is emptied by whoever comes next,
     * who waits ten seconds for the others to go (-EBUSY). */
    for (uint64_t i = offsetof(struct ring_shared, put_lock) / 8 + how.kind % step(9); i < all;
         i += step(9)) {
        const uint64_t at = i < n ? first + i : places + i - n;
        const uint64_t was = ((const uint64_t *)(void *)clean)[at];
        const uint64_t values[] = {0,
                                   1,
                                   UINT64_MAX,
                                   UINT64_C(1) << 63,
                                   was + 8,
                                   was - 8,
                                   was + 4096,
                                   was - 4096,
                                   was + 1,
                                   was ^ 3,
                                   UINT64_C(0x1000000f9),
                                   was << 32 | 2,
                                   was + 104,
                                   ~was << 3,
                                   UINT64_C(3) << 32 | 1};

        /* Half of them each: another ring of the sweep, or its neighbour word, gets the others. */
        for (size_t v = (i + how.overload) % 2; v < sizeof(values) / sizeof(values[0]); v += 2) {
            damage(r.path, (_Atomic uint64_t *)(void *)(file + at * 8), values[v]);
            memcpy(file, clean, FILE_BYTES);
        }
    }
    (void)munmap(file, FILE_BYTES);
    free(clean);
    ring_at_remove(&r);
}

Test(ring_sweep, no_shared_word_can_do_harm, .timeout = 60)
{
    for (size_t i = 0; i < RING_PAIRS; i++)
        sweep(ring_pairs[i]);
}

/* Every word of the data says that a message follows, none that it ends where ours did. */
Test(ring_sweep, a_release_of_work_ends_whatever_the_words_say, .timeout = 60)
{
    struct seglog_view views[2];
    struct ring_at r;
    uint8_t *file;

    ring_at_open(&r, .kind = SEGLOG_RING_WORK);
    cr_assert_ok(put_text(r.producer, "12345678"));
    cr_assert_ok(put_text(r.producer, "12345678"));
    cr_assert_eq(seglog_consumer_batch(r.consumer, views, 2), 2);
    file = map_file(r.path);
    for (uint64_t at = 0; at < 4096; at += 8)
        atomic_store((_Atomic uint64_t *)(void *)(file + RING_CTRL_BYTES + at),
                     ring_word_data(40, false));
    seglog_consumer_release(r.consumer);
    (void)munmap(file, FILE_BYTES);
    ring_at_remove(&r);
}
