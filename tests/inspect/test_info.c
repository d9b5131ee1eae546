/*
 * What info says of logs built by hand.
 */
#include <errno.h>
#include <stdlib.h>

#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/owner.h"

#include <seglog/inspect.h>
#include <seglog/log.h>

static struct seglog_info look(const struct build_log *log)
{
    struct seglog_info info;

    cr_assert_ok(seglog_info_read(log->dir, &info));
    return info;
}

static void expect_segment(const struct seglog_info *info, size_t i, uint64_t number,
                           uint32_t state, uint64_t first, uint64_t next, uint64_t records)
{
    const struct seglog_segment_info *s = &info->segments[i];

    cr_assert_lt(i, info->segment_count);
    cr_assert_eq(s->number, number);
    cr_assert_eq(s->state, state, "segment %zu is %u, not %u", i, s->state, state);
    cr_assert_eq(s->first_seq, first);
    cr_assert_eq(s->next_seq, next, "segment %zu ends at %llu", i, (unsigned long long)s->next_seq);
    cr_assert_eq(s->records, records);
}

Test(info, a_log_without_segments)
{
    struct build_log log;
    struct seglog_info info;

    build_log_make(&log);
    info = look(&log);
    cr_assert_eq(info.segment_count, 0);
    cr_assert_eq(info.records, 0);
    cr_assert_eq(info.next_seq, 0);
    cr_assert_eq(info.durable_seq, 0);
    cr_assert_eq(info.segment_size, 65536);
    cr_assert_eq(info.max_record, 65536 / 4 - 32);
    cr_assert_eq(info.sync, 2);
    cr_assert_eq(info.mode, 0640);
    cr_assert_arr_eq(info.uuid, log.settings.uuid, 16);
    seglog_info_free(&info);
    build_log_remove(&log);
}

Test(info, every_state)
{
    struct build_log log;
    struct build_segment a, b, c, d;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_abort(&a, 3, 128);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    build_mark(&b);
    build_records(&b, 5);
    build_roll(&b);
    build_begin(&log, &b, &c);
    build_records(&c, 4);
    build_spare(&log, 3, &d);
    info = look(&log);
    cr_assert_eq(info.segment_count, 4);
    expect_segment(&info, 0, 0, SEGLOG_SEGMENT_SEALED, 0, 13, 10);
    expect_segment(&info, 1, 1, SEGLOG_SEGMENT_FULL, 13, 23, 10);
    expect_segment(&info, 2, 2, SEGLOG_SEGMENT_ACTIVE, 23, 27, 4);
    expect_segment(&info, 3, 3, SEGLOG_SEGMENT_SPARE, 27, 27, 0);
    cr_assert_eq(info.segments[1].min_time_ns, 13);
    cr_assert_eq(info.segments[1].max_time_ns, 22);
    cr_assert_eq(info.segments[0].void_count, 3);
    cr_assert_eq(info.records, 24);
    cr_assert_eq(info.void_count, 3);
    cr_assert_eq(info.first_seq, 0);
    cr_assert_eq(info.next_seq, 27);
    cr_assert_eq(info.durable_seq, 18);
    cr_assert_eq(info.bytes, 10 + 14 * 2);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_close(&c);
    build_close(&d);
    build_log_remove(&log);
}

Test(info, a_rolled_segment_whose_successor_nobody_activated_yet)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_roll(&a);
    build_spare(&log, 1, &b);
    info = look(&log);
    expect_segment(&info, 0, 0, SEGLOG_SEGMENT_FULL, 0, 10, 10);
    expect_segment(&info, 1, 1, SEGLOG_SEGMENT_ACTIVE, 10, 10, 0);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(info, after_a_power_cut_it_shows_what_recovery_would_keep)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_info info;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_mark(&a);
    build_records(&a, 2);
    at = a.at;
    build_records(&a, 3);
    build_roll(&a);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    build_damage(&a, at + 20);
    info = look(&log);
    cr_assert_eq(info.segment_count, 1);
    expect_segment(&info, 0, 0, SEGLOG_SEGMENT_ACTIVE, 0, 7, 7);
    cr_assert_eq(info.next_seq, 7);
    cr_assert_eq(info.durable_seq, 5);
    cr_assert_eq(info.has_waiting_claim, 0);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(info, a_cut_is_said_to_be_torn)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_cut(&a, NULL);
    build_begin(&log, &a, &b);
    info = look(&log);
    expect_segment(&info, 0, 0, SEGLOG_SEGMENT_SEALED, 0, 5, 5);
    expect_segment(&info, 1, 1, SEGLOG_SEGMENT_ACTIVE, 5, 5, 0);
    cr_assert_eq(info.segments[0].torn, 1);
    cr_assert_eq(info.segments[1].torn, 0);
    cr_assert_eq(info.epoch, 1);
    cr_assert_eq(info.durable_seq, 5);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(info, a_damaged_segment_among_others)
{
    struct build_log log;
    struct build_segment a, b, c;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    build_roll(&b);
    build_seal(&b, &a);
    build_begin(&log, &b, &c);
    build_records(&c, 5);
    build_damage(&b, 100);
    info = look(&log);
    expect_segment(&info, 1, 1, SEGLOG_SEGMENT_DAMAGED, 5, 10, 0);
    expect_segment(&info, 2, 2, SEGLOG_SEGMENT_ACTIVE, 10, 15, 5);
    cr_assert_eq(info.records, 10);
    cr_assert_eq(info.durable_seq, 5);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_close(&c);
    build_log_remove(&log);
}

Test(info, removed_segments_are_left_out)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 2);
    build_log_floor(&log, 1, 5);
    info = look(&log);
    cr_assert_eq(info.segment_count, 1);
    cr_assert_eq(info.first_seq, 5);
    cr_assert_eq(info.next_seq, 7);
    cr_assert_eq(info.durable_seq, 5);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(info, the_claim_that_holds_things_up)
{
    struct build_log log;
    struct build_segment a, b;
    struct owner owner = OWNER_NONE;
    struct seglog_info info;
    uint64_t at;

    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 5, 7);
    build_log_slot(&log, 6, 8);
    cr_assert_ok(owner_open(log.dirfd, NAME_OWNERS, &owner));
    cr_assert_ok(owner_lock(&owner, OWNERS_BYTE_SLOT0 + 5, true));
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    at = build_claim(&a, 5, 7, 2, 128);
    build_claim(&a, 6, 8, 3, 128);
    build_records(&a, 1);
    build_roll(&a);
    build_begin(&log, &a, &b);
    build_records(&b, 1);
    info = look(&log);
    cr_assert_eq(info.has_waiting_claim, 1);
    cr_assert_eq(info.waiting_slot, 5);
    cr_assert_eq(info.waiting_dead, 0);
    cr_assert_eq(info.waiting_segment, 0);
    cr_assert_eq(info.waiting_offset, at);
    cr_assert_eq(info.waiting_seq, 5);
    cr_assert_eq(info.records, 7);
    cr_assert_eq(info.void_count, 3); /* slot 6 has no holder */
    cr_assert_eq(info.next_seq, 12);
    seglog_info_free(&info);
    owner_close(&owner);
    info = look(&log);
    cr_assert_eq(info.has_waiting_claim, 1);
    cr_assert_eq(info.waiting_dead, 1);
    cr_assert_eq(info.void_count, 5);
    seglog_info_free(&info);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

static void store_slot_state(const struct build_log *log, uint32_t slot, uint32_t state)
{
    const int fd = file_open(log->dirfd, NAME_LIVE, 02, 0);

    cr_assert_ok(fd);
    cr_assert_ok(file_pwrite(fd, &state, sizeof(state),
                             offsetof(struct live_file, slots) + slot * sizeof(struct live_slot) +
                                 offsetof(struct live_slot, state)));
    file_close(fd);
}

Test(info, appenders_are_those_that_live)
{
    struct build_log log;
    struct owner owner = OWNER_NONE;
    struct seglog_info info;

    build_log_make(&log);
    build_log_live(&log);
    store_slot_state(&log, 0, SLOT_SHARED);
    store_slot_state(&log, 1023, SLOT_EXCLUSIVE);
    info = look(&log);
    cr_assert_eq(info.appenders, 0);
    cr_assert_eq(info.exclusive, 0);
    cr_assert_ok(owner_open(log.dirfd, NAME_OWNERS, &owner));
    cr_assert_ok(owner_lock(&owner, OWNERS_BYTE_SLOT0 + 1023, true));
    info = look(&log);
    cr_assert_eq(info.appenders, 1);
    cr_assert_eq(info.exclusive, 1);
    owner_close(&owner);
    build_log_remove(&log);
}

static uint32_t engine_of(const struct build_log *log)
{
    struct seglog_info info = look(log);

    seglog_info_free(&info);
    return info.io_engine;
}

Test(info, the_engine_of_whoever_attached_last)
{
    static const struct seglog_log_options threads = {.io = SEGLOG_IO_THREADS};
    struct build_log log;
    struct seglog_log *first, *second;
    struct seglog_probe probe;

    unsetenv("SEGLOG_IO");
    build_log_make(&log);
    cr_assert_ok(seglog_probe(NULL, &probe));
    cr_assert_eq(engine_of(&log), probe.io_engine); /* nobody is attached */
    cr_assert_ok(seglog_log_open(log.dir, &threads, &first));
    cr_assert_eq(engine_of(&log), SEGLOG_IO_THREADS);
    cr_assert_ok(seglog_log_open(log.dir, NULL, &second));
    cr_assert_eq(engine_of(&log), probe.io_engine);
    cr_assert_ok(seglog_log_close(first));
    cr_assert_ok(seglog_log_close(second));
    setenv("SEGLOG_IO", "threads", 1);
    cr_assert_eq(engine_of(&log), SEGLOG_IO_THREADS);
    build_log_remove(&log);
}

Test(info, what_is_no_log_is_refused)
{
    struct seglog_info info;
    char *dir = tmpdir_make();

    cr_assert_status(seglog_info_read("/nonexistent/log", &info), -ENOENT);
    cr_assert_status(seglog_info_read(dir, &info), -ENOENT);
    tmpdir_remove(dir);
}

Test(info, what_recoveries_set_aside_is_counted_and_no_part_of_it)
{
    static const char *const names[] = {
        "0000000000000001.aside-0-0", "0000000000000001.aside-12-999", /* two that count */
        "0000000000000001.aside-0", "1.aside-0-0", "0000000000000001.aside-0-0x"};
    struct build_segment seg;
    struct build_log log;
    struct seglog_info info;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        file_close(file_create(log.dirfd, names[i], 0600));
    cr_assert_ok(seglog_info_read(log.dir, &info));
    cr_assert_eq(info.files_aside, 2);
    cr_assert_eq(info.records, 3);
    seglog_info_free(&info);
    build_close(&seg);
    build_log_remove(&log);
}
