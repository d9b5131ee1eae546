/*
 * Inspection and recovery must agree: what info says that a recovery would keep is what it keeps, and
 * verify finds a power cut's leftovers sound before it as well as after.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "inspect/collect.h"
#include "support/build_log.h"
#include "support/check.h"

#include <seglog/seglog.h>

#define N 4

static uint64_t dice_state = 2463534242u;

static uint64_t dice(uint64_t sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % sides;
}

static void build_some(struct build_segment *seg, unsigned n)
{
    for (unsigned i = 0; i < n && build_has_room(seg, 2000); i++) {
        char text[1200];
        const unsigned len = (unsigned)dice(sizeof(text) - 1);

        memset(text, 'x', len);
        text[len] = 0;
        build_record(seg, text, i, i);
        if (dice(20) == 0)
            build_abort(seg, 2, 96);
        if (dice(20) == 0)
            build_pad(seg, 64);
    }
}

/* A log of another boot: some segments sealed, some rolled, one active, perhaps a spare; marks. */
static unsigned build_old(struct build_log *log, struct build_segment seg[N])
{
    const unsigned sealed = (unsigned)dice(N - 1);
    const unsigned active = sealed + (unsigned)dice(N - sealed);

    build_log_make(log);
    build_log_reboot(log);
    for (unsigned i = 0; i <= active; i++) {
        build_begin(log, i ? &seg[i - 1] : NULL, &seg[i]);
        build_some(&seg[i], (unsigned)dice(40));
        if (i >= sealed && dice(3) == 0 && i == sealed)
            build_mark(&seg[i]);
        build_some(&seg[i], (unsigned)dice(40));
        if (i < active)
            build_roll(&seg[i]);
        if (i < sealed)
            build_seal(&seg[i], i ? &seg[i - 1] : NULL);
    }
    if (active + 1 < N && dice(2) == 0) {
        build_spare(log, active + 1, &seg[active + 1]);
        return active + 2;
    }
    return active + 1;
}

/* Pages that never reached the disk: none of what a sync covered. */
static void lose_pages(struct build_segment seg[N], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct mark_facts mark;
        uint64_t from = OFF_FRAMES;
        bool was_synced;

        if (seg[i].footer.index_off != 0)
            continue;
        was_synced = segment_mark(seg[i].seg, &mark) == 0;
        if (was_synced)
            from = align_up(mark.offset, PAGE_BYTES);
        for (uint64_t at = from; at < 65536 - 0x2000; at += PAGE_BYTES) {
            if (dice(12) == 0)
                memset(seg[i].seg->base + at, 0, PAGE_BYTES);
        }
        if (!was_synced && i > 0 && dice(12) == 0)
            memset(seg[i].seg->base + OFF_ACTIVATION, 0, PAGE_BYTES);
        if (!was_synced && i > 0 && dice(12) == 0)
            memset(seg[i].seg->base, 0, PAGE_BYTES);
    }
}

static void expect_no_damage(const char *dir, unsigned round, const char *when)
{
    const struct collected c = collect(dir, 0);

    cr_assert(c.rc == 0, "round %u, %s: rc %d, segment %llu offset %llu lost %llu..%llu: %s", round,
              when, c.rc, (unsigned long long)c.damage[0].segment,
              (unsigned long long)c.damage[0].offset, (unsigned long long)c.damage[0].first_seq,
              (unsigned long long)c.damage[0].last_seq, c.damage[0].cause);
}

Test(recovered, inspection_and_recovery_agree, .timeout = 120)
{
    for (unsigned round = 0; round < 400; round++) {
        struct build_log log;
        struct build_segment seg[N] = {0};
        const unsigned count = build_old(&log, seg);
        struct seglog_recovery recovery;
        struct seglog_info before, after;
        struct seglog_log *attached;

        lose_pages(seg, count);
        expect_no_damage(log.dir, round, "before");
        cr_assert_ok(seglog_info_read(log.dir, &before));
        cr_assert_ok(seglog_log_open(log.dir, NULL, &attached));
        cr_assert_ok(seglog_log_recovery(attached, &recovery));
        cr_assert_eq(recovery.next_seq, before.next_seq, "round %u: %llu kept, %llu foretold",
                     round, (unsigned long long)recovery.next_seq,
                     (unsigned long long)before.next_seq);
        expect_no_damage(log.dir, round, "after");
        cr_assert_ok(seglog_info_read(log.dir, &after));
        cr_assert_eq(after.next_seq, before.next_seq);
        cr_assert_eq(after.records, before.records, "round %u: %llu records, %llu foretold", round,
                     (unsigned long long)after.records, (unsigned long long)before.records);
        cr_assert_eq(after.epoch, recovery.epoch);
        cr_assert_geq(after.durable_seq, before.durable_seq);
        seglog_info_free(&before);
        seglog_info_free(&after);
        cr_assert_ok(seglog_log_close(attached));
        expect_no_damage(log.dir, round, "closed");
        for (unsigned i = 0; i < count; i++)
            build_close(&seg[i]);
        build_log_remove(&log);
    }
}
