/*
 * The first to attach when only processes have died, when the log is a copy, and when nobody can
 * tell: nothing that was published is lost.
 */
#include "log/logs.h"

#include "log/order.h"
#include "log/steps.h"

#include <unistd.h>

#define SPAN 64u

/* ---- same boot -------------------------------------------------------------------------------- */

/* Appends 10 records, leaves a claim of `arg` numbers open, says so, and waits to be killed. */
struct victim {
    const char *dir;
    uint32_t mode;
    unsigned claim; /* numbers; 0: none */
    unsigned records;
};

static int victim_main(struct child *parent, void *arg)
{
    const struct victim *v = arg;
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options options = {.mode = v->mode};
    struct seglog_claim claims[16];
    struct seglog_appender *ap;
    struct seglog_log *log;
    size_t lens[16];

    child_must(seglog_log_open(v->dir, &no_helper, &log));
    child_must(seglog_appender_open(log, &options, &ap));
    for (unsigned i = 0; i < v->records; i++) {
        char text[32];
        uint64_t next;

        child_must(seglog_log_progress(log, NULL, &next));
        snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
        child_must(seglog_appender_append(ap, text, strlen(text), NULL));
    }
    for (unsigned i = 0; i < v->claim; i++)
        lens[i] = 20;
    if (v->claim != 0) {
        child_must(seglog_appender_claim_batch(ap, lens, v->claim, claims));
        memset(claims[0].data, 0x5a, 20);
    }
    child_say(parent, 'r');
    (void)child_hear(parent);
    return 0;
}

static void kill_with_claim(const char *dir, uint32_t mode, unsigned records, unsigned claim)
{
    struct victim v = {.dir = dir, .mode = mode, .claim = claim, .records = records};
    struct child child;

    child_start(&child, victim_main, &v);
    cr_assert_eq(child_hear(&child), 'r');
    child_kill(&child);
}

static void killed_alone(uint32_t mode)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    struct tally t;

    kill_with_claim(dir, mode, 10, 3);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 0);
    cr_assert_eq(r.next_seq, 13);
    cr_assert_eq(r.claims_aborted, 1);
    cr_assert_eq(r.epoch, 0);
    cr_assert_eq(r.bytes_dropped, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 5);
    t = tally_dir(dir, false);
    cr_assert_eq(t.records, 15);
    cr_assert_eq(t.voids, 3);
    cr_assert_eq(t.claims, 0);
    tmpdir_remove(dir);
}

Test(recover, claims_of_the_dead_become_void)
{
    killed_alone(SEGLOG_SHARED);
}

Test(recover, a_claim_of_a_dead_exclusive_appender_becomes_void)
{
    killed_alone(SEGLOG_EXCLUSIVE);
}

Test(recover, only_the_first_to_attach_recovers)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *first = log_attach_recovered(dir, &r), *second;
    static const struct seglog_recovery nothing;

    second = log_attach(dir);
    cr_assert_ok(seglog_log_recovery(second, &r));
    cr_assert_arr_eq(&r, &nothing, sizeof(r));
    cr_assert_ok(seglog_log_close(first));
    /* Somebody is attached still. */
    first = log_attach(dir);
    cr_assert_ok(seglog_log_recovery(first, &r));
    cr_assert_eq(r.ran, 0);
    cr_assert_ok(seglog_log_close(first));
    cr_assert_ok(seglog_log_close(second));
    first = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 0);
    cr_assert_ok(seglog_log_close(first));
    tmpdir_remove(dir);
}

Test(recover, many_deaths_over_many_segments_lose_nothing)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    struct tally t;

    for (int i = 0; i < 6; i++)
        kill_with_claim(dir, SEGLOG_SHARED, 400, 2);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 0);
    cr_assert_eq(r.next_seq, 6 * 402);
    t = tally_dir(dir, false);
    cr_assert_eq(t.records, 6 * 400);
    cr_assert_gt(t.segments, 3);
    /* Claims in full segments are made void by the seal. */
    cr_assert_gt(seglog_log_seal(log, PATIENCE), 3);
    cr_assert_ok(seglog_log_close(log));
    t = tally_dir(dir, false);
    cr_assert_eq(t.claims, 0);
    cr_assert_eq(t.voids, 12);
    cr_assert_eq(t.next_seq, 6 * 402);
    tmpdir_remove(dir);
}

Test(recover, a_roll_whose_roller_was_killed_is_finished)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    struct segment *seg;
    struct tally t;

    log_append_alone(dir, 10);
    log = log_attach(dir);
    cr_assert_ok(log_roll_active(log));
    cr_assert_ok(seglog_log_close(log));
    log_segment_zero(dir, 1, OFF_ACTIVATION, OFF_ACTIVATION + PAGE_BYTES);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.next_seq, 10);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 10);
    seg = log_segment_open(dir, 1);
    segment_close(seg);
    t = tally_dir(dir, false);
    cr_assert_eq(t.segments, 2);
    cr_assert_eq(t.records, 20);
    tmpdir_remove(dir);
}

Test(recover, memory_damaged_while_processes_died_is_gone_around)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    struct segment *seg;
    struct tally t;

    kill_with_claim(dir, SEGLOG_SHARED, 100, 0);
    seg = log_segment_open(dir, 0);
    seg->base[OFF_FRAMES + 40 * SPAN + 8] ^= 0xff;
    segment_close(seg);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.next_seq, 100);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 10);
    log = log_attach(dir);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_close(log));
    t = tally_dir(dir, false);
    cr_assert_eq(t.records, 109);
    cr_assert_eq(t.lost, 1);
    cr_assert_eq(t.damaged, 1);
    tmpdir_remove(dir);
}

/* The last frame is bad: how far numbers were given out, the tail word remembers. */
Test(recover, damage_with_nothing_behind_it_ends_the_segment_and_not_the_numbers)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    struct segment *seg;
    struct tally t;

    log_append_alone(dir, 100);
    log = log_attach(dir);
    cr_assert_ok(log_roll_active(log));
    cr_assert_ok(seglog_log_close(log));
    kill_with_claim(dir, SEGLOG_SHARED, 100, 0);
    seg = log_segment_open(dir, 1);
    seg->base[OFF_FRAMES + 99 * SPAN + 8] ^= 0xff;
    segment_close(seg);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.next_seq, 200);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 10);
    log = log_attach(dir);
    cr_assert_geq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_close(log));
    t = tally_dir(dir, false);
    cr_assert_eq(t.records, 209);
    cr_assert_eq(t.lost, 1);
    cr_assert_eq(t.damaged, 1);
    /* Segments before it are sealed as well. */
    cr_assert_eq(t.sealed, t.segments - 1, "%llu of %llu", (unsigned long long)t.sealed,
                 (unsigned long long)t.segments);
    tmpdir_remove(dir);
}

/* Frames from to to - 1 of the first segment are wiped; n records were appended by one who died. */
static void wiped(unsigned n, unsigned from, unsigned to, uint64_t segments)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    const size_t kept = (n - to) * SPAN;
    uint8_t *before = malloc(kept + 1);
    struct seglog_recovery r;
    struct seglog_appender *ap;
    struct seglog_log *log;
    struct segment *seg;
    struct footer_facts footer;
    uint64_t seq;

    kill_with_claim(dir, SEGLOG_SHARED, n, 0);
    log_segment_zero(dir, 0, OFF_FRAMES + from * SPAN, OFF_FRAMES + to * SPAN);
    seg = log_segment_open(dir, 0);
    memcpy(before, seg->base + OFF_FRAMES + to * SPAN, kept);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 0);
    cr_assert_eq(r.next_seq, n);
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_ok(seglog_appender_append(ap, "next", 4, &seq));
    cr_assert_eq(seq, n);
    cr_assert_arr_eq(seg->base + OFF_FRAMES + to * SPAN, before, kept, "frames were written over");
    cr_assert_eq(segment_frame(seg, OFF_FRAMES + from * SPAN)->word, 0, "appended into the gap");
    cr_assert_eq(log->active->seg->facts.number, segments - 1);
    /* A seal goes around it, too. */
    cr_assert_eq(seglog_log_seal(log, PATIENCE), (int)segments);
    cr_assert_ok(segment_footer(seg, &footer, NULL));
    cr_assert_eq(footer.flags, FOOTER_DAMAGED);
    cr_assert_eq(footer.record_count, n - (to - from) + (segments == 1));
    cr_assert_eq(footer.next_seq, n + (segments == 1));
    segment_close(seg);
    log_detach(log, ap);
    free(before);
    tmpdir_remove(dir);
}

Test(recover, frames_behind_a_wiped_page_are_not_written_over)
{
    wiped(200, 64, 128, 1);
}

Test(recover, frames_behind_a_wiped_beginning_are_not_written_over)
{
    wiped(200, 0, 128, 1);
}

Test(recover, the_numbers_of_a_wiped_end_are_not_given_again)
{
    wiped(200, 128, 200, 2);
}

/* Nobody's tail word speaks of them: whoever published them was killed before it moved it. */
Test(recover, frames_behind_a_wiped_page_are_found_without_a_tail_word)
{
    struct build_segment seg;
    struct seglog_recovery r;
    struct seglog_log *log;
    struct build_log b;

    build_log_make(&b);
    build_log_live(&b);
    build_begin(&b, NULL, &seg);
    build_records(&seg, 200);
    memset(seg.seg->base + OFF_FRAMES + 64 * SPAN, 0, 64 * SPAN);
    build_close(&seg);
    log = log_attach_recovered(b.dir, &r);
    cr_assert_eq(r.next_seq, 200);
    cr_assert_ok(seglog_log_close(log));
    build_log_remove(&b);
}

/* The neighbour: behind the true end there is nothing, however often it is attached to. */
Test(recover, the_end_is_the_end)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);

    for (unsigned i = 1; i <= 3; i++) {
        kill_with_claim(dir, SEGLOG_SHARED, 50, 0);
        cr_assert_eq(tally_dir(dir, false).records, 50 * i);
        cr_assert_eq(tally_dir(dir, false).segments, 1);
    }
    tmpdir_remove(dir);
}

Test(recover, a_header_that_rots_in_the_same_boot_is_written_anew)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;

    log_append_alone(dir, 10);
    log_segment_zero(dir, 0, OFF_HEADER + 60, OFF_HEADER + 68);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 0);
    cr_assert_eq(r.headers_mended, 1);
    cr_assert_eq(r.next_seq, 10);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 5);
    cr_assert_eq(tally_dir(dir, false).records, 15);
    tmpdir_remove(dir);
}

Test(recover, a_missing_segment_in_the_middle_is_not_passed_over)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log;
    char *path;

    for (int i = 0; i < 3; i++) {
        log_append_alone(dir, 10);
        log = log_attach(dir);
        cr_assert_ok(log_roll_active(log));
        cr_assert_ok(seglog_log_close(log));
    }
    path = tmpdir_path(dir, "0000000000000001.seg");
    cr_assert(unlink(path) == 0);
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_EMISSING);
    free(path);
    tmpdir_remove(dir);
}

Test(recover, a_poisoned_log_is_refused_until_the_next_boot)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_appender *ap;
    struct seglog_log *log;

    log_append_alone(dir, 10);
    log = log_attach(dir);
    ap = log_appender(log, SEGLOG_SHARED);
    log_poison(log, -EIO);
    cr_assert_status(seglog_appender_append(ap, "x", 1, NULL), SEGLOG_EPOISONED);
    cr_assert_status(seglog_log_seal(log, 0), SEGLOG_EPOISONED);
    cr_assert_status(seglog_log_sync(log, NULL), SEGLOG_EPOISONED);
    log_detach(log, ap);
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_EPOISONED);
    log_reboot(dir);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 1);
    cr_assert_eq(r.next_seq, 10);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 1);
    tmpdir_remove(dir);
}

Test(recover, temporary_files_of_the_dead_are_swept)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    static const char *const names[] = {"0000000000000001-00000000000000aa.seg.tmp",
                                        "live-00000000000000aa.tmp"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = tmpdir_path(dir, names[i]);
        const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        close(fd);
        free(path);
    }
    log_append_alone(dir, 1);
    cr_assert_eq(tally_dir(dir, false).temps, 0);
    tmpdir_remove(dir);
}

/* ---- a copy ----------------------------------------------------------------------------------- */

Test(recover, a_copy_steps_over_claims_and_leaves_the_original_alone)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE), *copy;
    struct seglog_appender *ap, *other;
    struct seglog_recovery r;
    struct seglog_claim claim;
    struct seglog_log *log, *of_copy;
    struct tally t;

    log = log_attach(dir);
    ap = log_appender(log, SEGLOG_SHARED);
    other = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 10);
    cr_assert_ok(seglog_appender_claim(ap, 2, &claim));
    log_append(other, 10);

    copy = log_copy(dir);
    of_copy = log_attach_recovered(copy, &r);
    cr_assert_eq(r.boot, 2);
    cr_assert_eq(r.next_seq, 21);
    cr_assert_eq(r.claims_aborted, 1);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(of_copy));
    log_append_alone(copy, 5);
    t = tally_dir(copy, false);
    cr_assert_eq(t.records, 25);
    cr_assert_eq(t.voids, 1);

    memcpy(claim.data, "10", 2);
    cr_assert_ok(seglog_appender_commit(ap, &claim, 2));
    t = tally_dir(dir, false);
    cr_assert_eq(t.records, 21);
    cr_assert_eq(t.voids, 0);
    cr_assert_ok(seglog_appender_close(other));
    log_detach(log, ap);
    tmpdir_remove(copy);
    tmpdir_remove(dir);
}

Test(recover, a_copy_ends_at_its_first_bad_frame)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE), *copy;
    struct seglog_recovery r;
    struct seglog_log *log;
    struct tally t;

    log_append_alone(dir, 100);
    copy = log_copy(dir);
    log_segment_zero(copy, 0, OFF_FRAMES + 64 * SPAN, OFF_FRAMES + 66 * SPAN);
    log = log_attach_recovered(copy, &r);
    cr_assert_eq(r.boot, 2);
    cr_assert_eq(r.next_seq, 64);
    cr_assert_eq(r.epoch, 1);
    cr_assert_eq(r.frames_dropped, 34);
    cr_assert_ok(seglog_log_close(log));
    t = tally_dir(copy, false);
    cr_assert_eq(t.torn, 1);
    cr_assert_eq(t.next_seq, 64);
    tmpdir_remove(copy);
    tmpdir_remove(dir);
}

/* What is sealed in a copy was synced elsewhere: it is synced here before it is called durable. */
Test(recover, a_copy_is_synced_before_it_is_called_durable)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED), *copy;
    struct seglog_log *log;
    uint64_t durable;

    for (int i = 0; i < 3; i++) {
        log_append_alone(dir, 100);
        log = log_attach(dir);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
        cr_assert_ok(seglog_log_close(log));
    }
    log_append_alone(dir, 50);

    copy = log_copy(dir);
    atomic_store(&steps.fail_errno, EIO);
    atomic_store(&steps.skip, 1); /* not the first one only */
    atomic_store(&steps.fail, STEP_SYNC);
    cr_assert_status(seglog_log_open(copy, NULL, &log), -EIO);
    atomic_store(&steps.fail, STEP_NONE);
    cr_assert_status(seglog_log_open(copy, NULL, &log), SEGLOG_EPOISONED);
    tmpdir_remove(copy);

    copy = log_copy(dir);
    for (int i = 0; i < 2; i++) { /* the second time `live` knows */
        log = log_attach(copy);
        cr_assert_ok(seglog_log_progress(log, &durable, NULL));
        cr_assert_eq(durable, 300, "%llu", (unsigned long long)durable);
        cr_assert_ok(seglog_log_close(log));
        atomic_store(&steps.fail, STEP_SYNC);
    }
    atomic_store(&steps.fail, STEP_NONE);
    log = log_attach(copy);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_eq(durable, 350);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(copy);
    tmpdir_remove(dir);
}

/* Somebody removed `live`: claims cannot be told any more, but records are all there. */
Test(recover, without_live_nothing_published_is_lost)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_recovery r;
    struct seglog_log *log;
    char *live = tmpdir_path(dir, "live");

    kill_with_claim(dir, SEGLOG_SHARED, 20, 4);
    log_append_alone(dir, 10);
    cr_assert(unlink(live) == 0);
    log = log_attach_recovered(dir, &r);
    cr_assert_eq(r.boot, 2);
    cr_assert_eq(r.next_seq, 34);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(tally_dir(dir, false).records, 30);
    free(live);
    tmpdir_remove(dir);
}

/* ---- what is known to be durable --------------------------------------------------------------- */

Test(recover, what_was_sealed_before_a_reboot_is_known_to_be_durable)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log;
    uint64_t durable;

    log_append_alone(dir, 1000);
    log = log_attach(dir);
    cr_assert_geq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_eq(durable, 1000);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(dir, 10);
    log_reboot(dir);
    log = log_attach(dir);
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_geq(durable, 1000, "%llu", (unsigned long long)durable);
    cr_assert_leq(durable, 1010);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}
