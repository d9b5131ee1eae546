/*
 * Directories that somebody wants to hurt us with: whatever lies there, inspection ends, and no byte
 * is believed that was not checked. The sanitizers do the judging.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/collect.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"

static uint64_t dice_state = 88172645463325252u;

static uint64_t dice(uint64_t sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % sides;
}

static void inspect(const char *dir)
{
    struct seglog_info info;

    (void)collect(dir, 0);
    (void)collect(dir, SEGLOG_VERIFY_FAST);
    if (seglog_info_read(dir, &info) == 0)
        seglog_info_free(&info);
}

static void fill(const struct build_log *log, const char *name, size_t n)
{
    char *path = tmpdir_path(log->dir, name);
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    for (size_t i = 0; i < n; i++)
        fputc((int)dice(256), file);
    fclose(file);
    free(path);
}

Test(hostile, noise_under_every_name)
{
    struct build_log log;

    build_log_make(&log);
    fill(&log, "0000000000000000.seg", 65536);
    fill(&log, "0000000000000001.seg", 0);
    fill(&log, "7fffffffffffffff.seg", 100);
    fill(&log, "ffffffffffffffff.seg", 65536);
    fill(&log, "zzzzzzzzzzzzzzzz.seg", 65536);
    fill(&log, NAME_FLOOR, 8192);
    fill(&log, NAME_LIVE, sizeof(struct live_file));
    fill(&log, NAME_OWNERS, 10);
    inspect(log.dir);
    cr_assert_eq(collect(log.dir, 0).rc, 1);
    build_log_remove(&log);
}

Test(hostile, names_that_are_no_files, .timeout = 20)
{
    struct build_log log;

    build_log_make(&log);
    cr_assert_eq(mkdirat(log.dirfd, "0000000000000000.seg", 0700), 0);
    cr_assert_eq(mkfifoat(log.dirfd, "0000000000000001.seg", 0600), 0);
    cr_assert_eq(symlinkat("/dev/zero", log.dirfd, "0000000000000002.seg"), 0);
    cr_assert_eq(symlinkat("0000000000000003.seg", log.dirfd, "0000000000000003.seg"), 0);
    cr_assert_eq(symlinkat("/nonexistent", log.dirfd, "0000000000000004.seg"), 0);
    cr_assert_eq(mkfifoat(log.dirfd, NAME_FLOOR, 0600), 0);
    cr_assert_eq(mkfifoat(log.dirfd, NAME_OWNERS, 0600), 0);
    cr_assert_eq(mkfifoat(log.dirfd, NAME_LIVE, 0600), 0);
    inspect(log.dir);
    build_log_remove(&log);
}

static void build_mixed(struct build_log *log, struct build_segment seg[4])
{
    build_log_make(log);
    for (unsigned i = 0; i < 4; i++) {
        build_begin(log, i ? &seg[i - 1] : NULL, &seg[i]);
        build_records(&seg[i], 100);
        build_abort(&seg[i], 3, 256);
        build_pad(&seg[i], 96);
        build_records(&seg[i], 100);
        if (i < 3)
            build_roll(&seg[i]);
        if (i < 2)
            build_seal(&seg[i], i ? &seg[i - 1] : NULL);
    }
    build_claim(&seg[3], 3, 3, 2, 96);
    build_records(&seg[3], 20);
}

/* Flips in all the places that mean something, in this boot and another one. */
Test(hostile, flipped_bytes, .timeout = 120)
{
    for (unsigned round = 0; round < 150; round++) {
        struct build_log log;
        struct build_segment seg[4];
        static const uint32_t pages[] = {OFF_HEADER, OFF_ACTIVATION, OFF_TAIL,      OFF_MARK0,
                                         OFF_MARK1,  OFF_FRAMES,     OFF_FRAMES,    0x6000,
                                         0x7000,     65536 - 0x2000, 65536 - 0x1000};

        build_mixed(&log, seg);
        for (unsigned i = 0; i < 1 + round % 7; i++) {
            const uint64_t span = dice(2) ? 128 : 4096;
            const uint64_t page = pages[dice(sizeof(pages) / sizeof(pages[0]))];

            seg[dice(4)].seg->base[page + dice(span)] ^= (uint8_t)(1u << dice(8));
        }
        inspect(log.dir);
        for (unsigned i = 0; i < 4; i++)
            build_close(&seg[i]);
        build_log_remove(&log);
    }
}

/* One bit anywhere in what a sealed segment vouches for is found. */
Test(hostile, no_flip_in_sealed_frames_goes_unseen, .timeout = 120)
{
    struct build_log log;
    struct build_segment seg[4];

    build_mixed(&log, seg);
    cr_assert_eq(collect(log.dir, 0).count, 0);
    for (unsigned round = 0; round < 400; round++) {
        /* The first hundred frames: 32 bytes of header and 1 or 2 of payload, in 64. */
        const uint64_t at = OFF_FRAMES + 64 * dice(100) + dice(33);
        const uint8_t bit = (uint8_t)(1u << dice(8));
        struct collected c;

        seg[1].seg->base[at] ^= bit;
        c = collect(log.dir, 0);
        seg[1].seg->base[at] ^= bit;
        cr_assert_eq(c.count, 1, "bit %u at %llu: %u reports", bit, (unsigned long long)at,
                     c.count);
        cr_assert(c.damage[0].first_seq == 203 + (at - OFF_FRAMES) / 64 &&
                      c.damage[0].last_seq == c.damage[0].first_seq,
                  "bit %u at %llu: %llu to %llu, %s", bit, (unsigned long long)at,
                  (unsigned long long)c.damage[0].first_seq,
                  (unsigned long long)c.damage[0].last_seq, c.damage[0].cause);
    }
    for (unsigned i = 0; i < 4; i++)
        build_close(&seg[i]);
    build_log_remove(&log);
}

/* As many bad places as there is room for: it takes its time, and ends. */
Test(hostile, nothing_but_claims_and_bad_frames, .timeout = 60)
{
    struct build_log log;
    struct build_segment a;
    struct collected c;

    build_log_make(&log);
    log.settings.segment_size = 4u << 20;
    build_log_live(&log);
    build_begin(&log, NULL, &a);
    while (build_has_room(&a, 3 * 32)) {
        build_claim(&a, (uint32_t)dice(1024), 1, 1, 32);
        build_damage(&a, build_record(&a, "", 1, 1) + 8);
        build_record(&a, "", 1, 1);
    }
    c = collect(log.dir, 0);
    cr_assert_eq(c.rc, 1);
    cr_assert_gt(c.report.damage_count, 10000);
    build_close(&a);
    build_log_remove(&log);
}
