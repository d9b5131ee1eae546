/*
 * Every appending call: what it stores, what it refuses, and that a refusal changes nothing.
 */
#include "log/logs.h"

#include <string.h>

#define MAX_64K (SEGLOG_SEGMENT_SIZE_MIN / 4 - 32)

/* A log with one appender, of either kind. */
struct one {
    char *dir;
    struct seglog_log *log;
    struct seglog_appender *ap;
};

static struct one one_open(uint32_t mode)
{
    struct one o = {.dir = log_dir_make(SEGLOG_SYNC_NONE)};

    o.log = log_attach(o.dir);
    o.ap = log_appender(o.log, mode);
    return o;
}

static void one_close(struct one *o)
{
    log_detach(o->log, o->ap);
    tmpdir_remove(o->dir);
}

static uint64_t one_next(const struct one *o)
{
    uint64_t next;

    cr_assert_ok(seglog_log_progress(o->log, NULL, &next));
    return next;
}

/* Record number seq as stored: found by a walk over all segments. */
static void expect_record(const struct one *o, uint64_t seq, const void *data, uint64_t len,
                          uint64_t time_ns, uint32_t tag)
{
    for (uint64_t number = 0;; number++) {
        struct segment *seg = log_segment_open(o->dir, number);
        struct activation_facts act;
        struct source src;
        struct scan scan;
        struct scan_frame f;
        bool found = false;

        cr_assert_ok(segment_activation(seg, &act));
        source_init(&src, seg);
        scan_begin(&scan, &src, true);
        while (!found && scan_next(&scan, &f) == 1)
            found = f.facts.state == WORD_DATA && act.base_seq + f.frame.seq_rel == seq;
        if (found) {
            cr_assert_eq(f.facts.len, len);
            cr_assert(len == 0 || memcmp(f.payload, data, len) == 0);
            cr_assert(time_ns == 0 || f.frame.time_ns == time_ns);
            cr_assert_eq(f.frame.tag, tag);
            segment_close(seg);
            return;
        }
        segment_close(seg);
    }
}

#define BOTH_MODES(name)                           \
    static void name(struct one *o);               \
    Test(append, name##_shared)                    \
    {                                              \
        struct one o = one_open(SEGLOG_SHARED);    \
        name(&o);                                  \
        one_close(&o);                             \
    }                                              \
    Test(append, name##_exclusive)                 \
    {                                              \
        struct one o = one_open(SEGLOG_EXCLUSIVE); \
        name(&o);                                  \
        one_close(&o);                             \
    }                                              \
    static void name(struct one *o)

/* ---- what is stored --------------------------------------------------------------------------- */

BOTH_MODES(a_copy_is_stored_with_the_time_of_now)
{
    const uint64_t before = clock_wall_ns();
    struct segment *seg;
    uint64_t seq = 99;

    cr_assert_ok(seglog_appender_append(o->ap, "hello", 5, &seq));
    cr_assert_eq(seq, 0);
    expect_record(o, 0, "hello", 5, 0, 0);
    seg = log_segment_open(o->dir, 0);
    cr_assert_geq(le64_get(&segment_frame(seg, OFF_FRAMES)->time_ns), before);
    cr_assert_leq(le64_get(&segment_frame(seg, OFF_FRAMES)->time_ns), clock_wall_ns());
    segment_close(seg);
    cr_assert_ok(seglog_appender_append(o->ap, "again", 5, NULL));
    expect_record(o, 1, "again", 5, 0, 0);
}

BOTH_MODES(a_record_keeps_its_time_and_tag)
{
    const struct seglog_record r = {.data = "abc", .len = 3, .time_ns = 12345, .tag = 0xdeadbeef};
    uint64_t seq;

    cr_assert_ok(seglog_appender_append_record(o->ap, &r, &seq));
    expect_record(o, seq, "abc", 3, 12345, 0xdeadbeef);
}

BOTH_MODES(pieces_are_gathered)
{
    char a[] = "one ", b[] = "", c[] = "two";
    const struct iovec iov[] = {{a, 4}, {b, 0}, {NULL, 0}, {c, 3}};
    uint64_t seq;

    cr_assert_ok(seglog_appender_appendv(o->ap, iov, 4, 77, 5, &seq));
    expect_record(o, seq, "one two", 7, 77, 5);
    cr_assert_ok(seglog_appender_appendv(o->ap, NULL, 0, 78, 6, &seq));
    expect_record(o, seq, NULL, 0, 78, 6);
}

BOTH_MODES(an_empty_record_is_a_record)
{
    const struct seglog_record r = {.tag = 3, .time_ns = 5};
    struct seglog_claim claim;
    uint64_t seq;

    cr_assert_ok(seglog_appender_append(o->ap, NULL, 0, &seq));
    expect_record(o, seq, NULL, 0, 0, 0);
    cr_assert_ok(seglog_appender_append_record(o->ap, &r, &seq));
    expect_record(o, seq, NULL, 0, 5, 3);
    cr_assert_ok(seglog_appender_append_batch(o->ap, &r, 1, &seq));
    expect_record(o, seq, NULL, 0, 5, 3);
    cr_assert_ok(seglog_appender_claim(o->ap, 0, &claim));
    cr_assert_ok(seglog_appender_commit(o->ap, &claim, 0));
    expect_record(o, claim.seq, NULL, 0, 0, 0);
    cr_assert_eq(one_next(o), 4);
}

BOTH_MODES(a_claim_is_written_in_place)
{
    struct seglog_claim claim = {0};

    cr_assert_ok(seglog_appender_claim(o->ap, 100, &claim));
    cr_assert_eq(claim.len, 100);
    cr_assert_eq(claim.seq, 0);
    cr_assert_eq((uintptr_t)claim.data % 32, 0);
    memset(claim.data, 'y', 100);
    claim.time_ns = 9;
    claim.tag = 8;
    cr_assert_ok(seglog_appender_commit(o->ap, &claim, 100));
    {
        char want[100];

        memset(want, 'y', 100);
        expect_record(o, 0, want, 100, 9, 8);
    }
}

BOTH_MODES(a_claim_can_be_trimmed_to_any_length)
{
    char want[200];

    memset(want, 'z', sizeof(want));
    for (size_t room = 0; room <= 200; room += 40) {
        for (size_t len = 0; len <= room; len++) {
            struct seglog_claim claim;

            cr_assert_ok(seglog_appender_claim(o->ap, room, &claim));
            memset(claim.data, 0xff, room);
            memset(claim.data, 'z', len);
            cr_assert_ok(seglog_appender_commit(o->ap, &claim, len));
        }
    }
    cr_assert_eq(tally_dir(o->dir, true).records, one_next(o));
    cr_assert_eq(tally_dir(o->dir, true).voids, 0);
    expect_record(o, 1 + 41 + 81 + 7, want, 7, 0, 0);
}

BOTH_MODES(what_is_aborted_takes_its_number_along)
{
    struct seglog_claim claim;
    uint64_t seq;

    log_append(o->ap, 3);
    cr_assert_ok(seglog_appender_claim(o->ap, 100, &claim));
    cr_assert_eq(claim.seq, 3);
    memset(claim.data, 0xff, 100);
    cr_assert_ok(seglog_appender_abort(o->ap));
    cr_assert_ok(seglog_appender_append(o->ap, "4", 1, &seq));
    cr_assert_eq(seq, 4);
    cr_assert_eq(tally_dir(o->dir, false).records, 4);
    cr_assert_eq(tally_dir(o->dir, false).voids, 1);
}

BOTH_MODES(closing_aborts_what_is_open)
{
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_claim(o->ap, 100, &claim));
    cr_assert_ok(seglog_appender_close(o->ap));
    cr_assert_eq(tally_dir(o->dir, false).voids, 1);
    o->ap = log_appender(o->log, SEGLOG_SHARED);
    log_append(o->ap, 1);
    cr_assert_eq(tally_dir(o->dir, false).next_seq, 2);
}

/* ---- batches ---------------------------------------------------------------------------------- */

BOTH_MODES(a_batch_gets_numbers_in_a_row)
{
    struct seglog_record records[100];
    char texts[100][8];
    uint64_t seq;

    for (unsigned i = 0; i < 100; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%u", i);
        records[i] = (struct seglog_record){
            .data = texts[i], .len = strlen(texts[i]), .time_ns = i + 1, .tag = i};
    }
    cr_assert_ok(seglog_appender_append_batch(o->ap, records, 100, &seq));
    cr_assert_eq(seq, 0);
    for (unsigned i = 0; i < 100; i += 33)
        expect_record(o, i, texts[i], strlen(texts[i]), i + 1, i);
    cr_assert_eq(tally_dir(o->dir, false).records, 100);
    cr_assert_ok(seglog_appender_append_batch(o->ap, records, 1, NULL));
    cr_assert_eq(one_next(o), 101);
}

static void claim_batch(struct one *o, size_t n, size_t k)
{
    const uint64_t base = one_next(o);
    const struct tally before = tally_dir(o->dir, true);
    struct seglog_claim claims[10];
    struct tally after;
    size_t lens[10];

    for (size_t i = 0; i < n; i++)
        lens[i] = i * 13;
    cr_assert_ok(seglog_appender_claim_batch(o->ap, lens, n, claims));
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(claims[i].seq, base + i);
        cr_assert_eq(claims[i].len, lens[i]);
        memset(claims[i].data, 'a' + (int)i, lens[i]);
        claims[i].tag = (uint32_t)i;
    }
    cr_assert_ok(seglog_appender_commit_batch(o->ap, claims, k));
    after = tally_dir(o->dir, true);
    cr_assert_eq(after.records, before.records + k);
    cr_assert_eq(after.voids, before.voids + n - k);
    cr_assert_eq(after.claims, 0);
    cr_assert_eq(one_next(o), base + n);
    if (k > 0) {
        char want[200];

        memset(want, 'a' + (int)k - 1, sizeof(want));
        expect_record(o, base + k - 1, want, lens[k - 1], 0, (uint32_t)k - 1);
    }
}

BOTH_MODES(of_a_claimed_batch_the_first_k_are_committed)
{
    for (size_t n = 1; n <= 10; n++)
        for (size_t k = 0; k <= n; k++)
            claim_batch(o, n, k);
}

BOTH_MODES(a_batch_has_limits)
{
    static struct seglog_record records[SEGLOG_BATCH_MAX + 1];
    static struct seglog_claim claims[SEGLOG_BATCH_MAX + 1];
    static size_t lens[SEGLOG_BATCH_MAX + 1];
    static char bytes[1 << 14];

    cr_assert_status(seglog_appender_append_batch(o->ap, records, 0, NULL), -EINVAL);
    cr_assert_status(seglog_appender_claim_batch(o->ap, lens, 0, claims), -EINVAL);
    cr_assert_status(seglog_appender_append_batch(o->ap, records, SEGLOG_BATCH_MAX + 1, NULL),
                     -EMSGSIZE);
    cr_assert_status(seglog_appender_claim_batch(o->ap, lens, SEGLOG_BATCH_MAX + 1, claims),
                     -EMSGSIZE);
    /* A quarter of a segment holds 512 empty records, headers counted. */
    cr_assert_status(seglog_appender_append_batch(o->ap, records, 513, NULL), -EMSGSIZE);
    cr_assert_ok(seglog_appender_append_batch(o->ap, records, 512, NULL));
    records[0] = (struct seglog_record){.data = bytes, .len = MAX_64K - 32};
    cr_assert_ok(seglog_appender_append_batch(o->ap, records, 2, NULL));
    records[0].len++;
    cr_assert_status(seglog_appender_append_batch(o->ap, records, 2, NULL), -EMSGSIZE);
    records[0].len = UINT64_MAX;
    cr_assert_status(seglog_appender_append_batch(o->ap, records, 2, NULL), -EMSGSIZE);
    lens[1] = SIZE_MAX - 31;
    cr_assert_status(seglog_appender_claim_batch(o->ap, lens, 2, claims), -EMSGSIZE);
    cr_assert_eq(one_next(o), 514);
    cr_assert_eq(tally_dir(o->dir, true).claims, 0);
}

/* ---- limits ----------------------------------------------------------------------------------- */

static void limits(struct one *o, uint64_t max)
{
    uint8_t *bytes = malloc(max + 1);
    struct seglog_record r = {.data = bytes, .len = max + 1};
    struct iovec iov[2] = {{bytes, max}, {bytes, 1}};
    const uint64_t next = one_next(o);
    struct seglog_claim claim = {.len = 7};
    static const uint64_t wraps[] = {UINT64_MAX,       UINT64_MAX - 31, UINT64_MAX - 32,
                                     UINT64_MAX - 63,  UINT64_MAX - 64, UINT64_C(1) << 63,
                                     UINT64_C(1) << 32};

    cr_assert(bytes != NULL);
    for (uint64_t i = 0; i <= max; i++)
        bytes[i] = (uint8_t)(i * 7);
    cr_assert_status(seglog_appender_append(o->ap, bytes, max + 1, NULL), -EMSGSIZE);
    cr_assert_status(seglog_appender_append_record(o->ap, &r, NULL), -EMSGSIZE);
    cr_assert_status(seglog_appender_appendv(o->ap, iov, 2, 0, 0, NULL), -EMSGSIZE);
    cr_assert_status(seglog_appender_append_batch(o->ap, &r, 1, NULL), -EMSGSIZE);
    cr_assert_status(seglog_appender_claim(o->ap, max + 1, &claim), -EMSGSIZE);
    cr_assert_eq(claim.len, 7, "a claim that failed was filled in");
    for (size_t i = 0; i < sizeof(wraps) / sizeof(*wraps); i++) {
        r.len = wraps[i];
        iov[1].iov_len = wraps[i];
        cr_assert_status(seglog_appender_append(o->ap, bytes, wraps[i], NULL), -EMSGSIZE);
        cr_assert_status(seglog_appender_append_record(o->ap, &r, NULL), -EMSGSIZE);
        cr_assert_status(seglog_appender_appendv(o->ap, iov, 2, 0, 0, NULL), -EMSGSIZE);
        cr_assert_status(seglog_appender_append_batch(o->ap, &r, 1, NULL), -EMSGSIZE);
        cr_assert_status(seglog_appender_claim(o->ap, wraps[i], &claim), -EMSGSIZE);
    }
    cr_assert_eq(one_next(o), next);

    cr_assert_ok(seglog_appender_append(o->ap, bytes, max, NULL));
    expect_record(o, next, bytes, max, 0, 0);
    iov[0].iov_len = max - 1;
    iov[1].iov_len = 1;
    cr_assert_ok(seglog_appender_appendv(o->ap, iov, 2, 0, 0, NULL));
    cr_assert_ok(seglog_appender_claim(o->ap, max, &claim));
    memcpy(claim.data, bytes, max);
    cr_assert_ok(seglog_appender_commit(o->ap, &claim, max));
    expect_record(o, next + 2, bytes, max, 0, 0);
    cr_assert_eq(one_next(o), next + 3);
    free(bytes);
}

BOTH_MODES(the_largest_record_of_a_small_segment)
{
    for (int i = 0; i < 4; i++) /* over several segments */
        limits(o, MAX_64K);
}

static void in_large_segments(uint64_t size)
{
    const struct seglog_log_options options = {.segment_size = size,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER,
                                               .sync = SEGLOG_SYNC_NONE};
    struct seglog_log_settings settings;
    struct one o = {.dir = tmpdir_make()};

    cr_assert_ok(seglog_log_open(o.dir, &options, &o.log));
    o.ap = log_appender(o.log, SEGLOG_SHARED);
    cr_assert_ok(seglog_log_settings(o.log, &settings));
    cr_assert_eq(settings.max_record, size / 4 - 32);
    limits(&o, settings.max_record);
    cr_assert_eq(tally_dir(o.dir, true).records, 3);
    one_close(&o);
}

Test(append, the_largest_record_of_a_default_segment)
{
    in_large_segments(SEGLOG_SEGMENT_SIZE_DEFAULT);
}

Test(append, the_largest_record_of_the_largest_segment)
{
    struct fs_facts fs;
    char *dir = tmpdir_make();
    const int fd = dir_open(dir);

    cr_assert_ok(fs_facts(fd, &fs));
    file_close(fd);
    tmpdir_remove(dir);
    if (fs.free_bytes < UINT64_C(6) << 30)
        cr_skip("needs 6 GiB\n");
    in_large_segments(SEGLOG_SEGMENT_SIZE_MAX);
}

/* ---- one claim at a time ---------------------------------------------------------------------- */

BOTH_MODES(with_a_claim_open_nothing_else_begins)
{
    const struct seglog_record r = {.data = "x", .len = 1};
    struct iovec iov = {(void *)(uintptr_t) "x", 1};
    struct seglog_claim claim, other = {.len = 7};
    size_t len = 1;

    cr_assert_ok(seglog_appender_claim(o->ap, 10, &claim));
    cr_assert_status(seglog_appender_append(o->ap, "x", 1, NULL), -EBUSY);
    cr_assert_status(seglog_appender_append_record(o->ap, &r, NULL), -EBUSY);
    cr_assert_status(seglog_appender_appendv(o->ap, &iov, 1, 0, 0, NULL), -EBUSY);
    cr_assert_status(seglog_appender_append_batch(o->ap, &r, 1, NULL), -EBUSY);
    cr_assert_status(seglog_appender_claim(o->ap, 1, &other), -EBUSY);
    cr_assert_status(seglog_appender_claim_batch(o->ap, &len, 1, &other), -EBUSY);
    cr_assert_eq(other.len, 7);
    memcpy(claim.data, "0", 1);
    cr_assert_ok(seglog_appender_commit(o->ap, &claim, 1));
    log_append(o->ap, 1);
    cr_assert_eq(tally_dir(o->dir, false).records, 2);
}

BOTH_MODES(a_commit_that_does_not_fit_its_claim_is_refused_and_the_claim_stays)
{
    struct seglog_claim claim, claims[3], wrong;
    const size_t lens[3] = {10, 20, 30};

    cr_assert_status(seglog_appender_abort(o->ap), -EINVAL);
    cr_assert_ok(seglog_appender_claim(o->ap, 10, &claim));
    cr_assert_status(seglog_appender_commit(o->ap, &claim, 11), -EINVAL);
    cr_assert_status(seglog_appender_commit(o->ap, &claim, SIZE_MAX), -EINVAL);
    wrong = claim;
    wrong.len = 1000;
    cr_assert_status(seglog_appender_commit(o->ap, &wrong, 1000), -EINVAL);
    wrong.data = (uint8_t *)claim.data + 32;
    cr_assert_status(seglog_appender_commit(o->ap, &wrong, 10), -EINVAL);
    cr_assert_status(seglog_appender_commit_batch(o->ap, &claim, 2), -EINVAL);
    cr_assert_ok(seglog_appender_commit(o->ap, &claim, 10));
    cr_assert_status(seglog_appender_commit(o->ap, &claim, 10), -EINVAL);
    cr_assert_status(seglog_appender_commit_batch(o->ap, &claim, 1), -EINVAL);
    cr_assert_status(seglog_appender_commit_batch(o->ap, &claim, 0), -EINVAL);

    cr_assert_ok(seglog_appender_claim_batch(o->ap, lens, 3, claims));
    cr_assert_status(seglog_appender_commit(o->ap, &claims[0], 10), -EINVAL);
    cr_assert_status(seglog_appender_commit_batch(o->ap, claims, 4), -EINVAL);
    cr_assert_status(seglog_appender_commit_batch(o->ap, claims + 1, 1), -EINVAL);
    wrong = claims[1];
    claims[1] = claims[2];
    cr_assert_status(seglog_appender_commit_batch(o->ap, claims, 2), -EINVAL);
    claims[1] = wrong;
    wrong = claims[2];
    claims[2].len = 0; /* no frame would account for the rest */
    cr_assert_status(seglog_appender_commit_batch(o->ap, claims, 3), -EINVAL);
    claims[2] = wrong;
    cr_assert_ok(seglog_appender_commit_batch(o->ap, claims, 2));
    cr_assert_eq(one_next(o), 4);
    cr_assert_eq(tally_dir(o->dir, true).records, 3);
}

BOTH_MODES(a_negative_number_of_pieces_is_refused)
{
    cr_assert_status(seglog_appender_appendv(o->ap, NULL, -1, 0, 0, NULL), -EINVAL);
    cr_assert_eq(one_next(o), 0);
}

/* ---- numbers and clocks ----------------------------------------------------------------------- */

Test(append, several_appenders_share_one_sequence)
{
    struct one o = one_open(SEGLOG_SHARED);
    struct seglog_appender *others[5];

    for (int i = 0; i < 5; i++)
        others[i] = log_appender(o.log, SEGLOG_SHARED);
    for (int i = 0; i < 2000; i++)
        log_append(others[i % 5], 1);
    for (int i = 0; i < 5; i++)
        cr_assert_ok(seglog_appender_close(others[i]));
    cr_assert_eq(tally_dir(o.dir, false).records, 2000);
    cr_assert_gt(tally_dir(o.dir, false).segments, 3);
    one_close(&o);
}

Test(append, each_clock_gives_the_time_of_day)
{
    struct one o = one_open(SEGLOG_SHARED);

    for (uint32_t clock = 0; clock < 2; clock++) {
        const struct seglog_appender_options options = {.clock = clock};
        const struct seglog_record r = {.data = "x", .len = 1};
        const uint64_t before = clock_wall_coarse_ns(); /* a tick behind, or as long as one lasts */
        const size_t len = 1;
        struct seglog_claim claim;
        struct seglog_appender *ap;
        struct segment *seg;
        struct source src;
        struct scan scan;
        struct scan_frame f;

        cr_assert_ok(seglog_appender_open(o.log, &options, &ap));
        cr_assert_ok(seglog_appender_append(ap, "x", 1, NULL));
        cr_assert_ok(seglog_appender_append_batch(ap, &r, 1, NULL));
        cr_assert_ok(seglog_appender_claim(ap, 1, &claim));
        cr_assert_ok(seglog_appender_commit(ap, &claim, 1));
        cr_assert_ok(seglog_appender_claim_batch(ap, &len, 1, &claim));
        cr_assert_ok(seglog_appender_commit_batch(ap, &claim, 1));
        cr_assert_ok(seglog_appender_close(ap));
        seg = log_segment_open(o.dir, 0);
        source_init(&src, seg);
        scan_begin(&scan, &src, true);
        while (scan_next(&scan, &f) == 1) {
            if (f.frame.seq_rel < clock * 4)
                continue;
            cr_assert_geq(f.frame.time_ns, before);
            cr_assert_leq(f.frame.time_ns, clock_wall_ns());
        }
        segment_close(seg);
    }
    one_close(&o);
}
