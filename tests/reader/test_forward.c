/*
 * Reading forward: what is there is read, what is void is passed, and where nothing is yet the reader
 * stays.
 */
#include "reading.h"

#include <seglog/log.h>

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/tmpdir.h"

Test(forward, appended_records_are_read_across_segments)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = 65536, .flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    struct seglog_view view;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t seq;

        cr_assert_ok(seglog_appender_append(appender, &i, sizeof(i), &seq));
        cr_assert_eq(seq, i);
        if (i % 3 == 0)
            continue;
        cr_assert_ok(seglog_reader_next(reader, &view));
        if (i % 3 == 2)
            cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.len, sizeof(i));
    }
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(appender));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

static void read_as_one(uint32_t flags)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 3, 1, 300);
    reader = reader_on(&log, flags);
    expect_all(reader, 0, 900);
    expect_end(reader);
    build_records(&segs[2], 5);
    expect_all(reader, 900, 905);
    expect_end(reader);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}

Test(forward, sealed_full_and_active_segments_read_as_one)
{
    read_as_one(0);
    read_as_one(SEGLOG_READER_NO_VERIFY);
    read_as_one(SEGLOG_READER_COPY);
}

static void read_in_batches(uint32_t flags)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_reader *reader;
    struct seglog_view views[70];
    uint64_t seq = 0;
    int n;

    build_log_make(&log);
    build_many(&log, segs, 3, 1, 300);
    reader = reader_on(&log, flags);
    while ((n = seglog_reader_batch(reader, views, 70)) > 0)
        for (int i = 0; i < n; i++)
            expect_view(&views[i], seq++);
    cr_assert_status(n, -EAGAIN);
    cr_assert_eq(seq, 900);
    cr_assert_status(seglog_reader_batch(reader, views, 0), -EINVAL);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}

Test(forward, a_batch_goes_on_over_segment_ends)
{
    read_in_batches(0);
    read_in_batches(SEGLOG_READER_NO_VERIFY);
    read_in_batches(SEGLOG_READER_COPY);
}

static void keep_views(uint32_t flags)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_reader *reader;
    struct seglog_view views[900];

    build_log_make(&log);
    build_many(&log, segs, 3, 2, 300);
    reader = reader_on(&log, flags);
    for (int i = 0; i < 900; i++)
        cr_assert_ok(seglog_reader_next(reader, &views[i]));
    for (uint64_t i = 0; i < 3; i++)
        build_log_unlink(&log, i);
    seek_to(reader, SEGLOG_PLACE_SEQ, 0); /* gone: a place at the log's beginning */
    for (uint64_t i = 0; i < 900; i++)
        expect_view(&views[i], i);
    seglog_reader_release(reader);
    seglog_reader_release(reader);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}

Test(forward, views_stay_valid_until_release_whatever_is_done)
{
    keep_views(0);
    keep_views(SEGLOG_READER_COPY);
}

Test(forward, an_empty_record_is_a_record)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_record(&seg, "", 7, 8);
    for (uint32_t flags = 0; flags <= SEGLOG_READER_COPY; flags += SEGLOG_READER_COPY) {
        reader = reader_on(&log, flags);
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.len, 0);
        cr_assert(view.data != NULL);
        cr_assert_eq(view.time_ns, 7);
        cr_assert_eq(view.tag, 8);
        seglog_reader_close(reader);
    }
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, void_numbers_and_padding_are_passed)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_abort(&seg, 2, 64);
    build_records(&seg, 1);
    build_pad(&seg, 96);
    build_abort(&seg, 5, 4096);
    build_records(&seg, 1);
    build_abort(&seg, 1, 32);
    reader = reader_on(&log, 0);
    expect_next(reader, 2);
    expect_position(reader, 3, 0);
    expect_next(reader, 8);
    expect_end(reader);
    expect_position(reader, 10, 0); /* what is known to be void is passed */
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, only_records_of_the_tag_are_read)
{
    struct build_log log;
    struct build_segment segs[2];
    const struct seglog_reader_options options = {.flags = SEGLOG_READER_TAG, .tag = 7};
    const struct seglog_reader_options none = {.flags = SEGLOG_READER_TAG, .tag = 77};
    struct seglog_reader *reader;
    struct seglog_view views[100], view;

    build_log_make(&log);
    build_many(&log, segs, 2, 1, 300);
    cr_assert_ok(seglog_reader_open(log.dir, &options, &reader));
    for (uint64_t seq = 7; seq < 300; seq += 10)
        expect_next(reader, seq);
    cr_assert_eq(seglog_reader_batch(reader, views, 100), 30);
    expect_view(&views[29], 597);
    expect_end(reader);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_reader_open(log.dir, &none, &reader));
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    expect_position(reader, 600, 0);
    seglog_reader_close(reader);
    close_many(segs, 2);
    build_log_remove(&log);
}

Test(forward, a_log_without_a_segment_is_empty_until_there_is_one)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;

    build_log_make(&log);
    reader = reader_on(&log, 0);
    expect_end(reader);
    expect_position(reader, 0, 0);
    build_spare(&log, 0, &seg);
    cr_assert_status(seglog_reader_wait(reader, 30000000), -ETIMEDOUT);
    build_activate(&seg, 0, 0, 0);
    build_records(&seg, 3);
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    expect_all(reader, 0, 3);
    expect_end(reader);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, the_next_segment_needs_no_activation_block_yet)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_roll(&a);
    build_spare(&log, 1, &b);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_end(reader);
    expect_position(reader, 10, 0);
    b.act.base_seq = 10; /* a frame, though the block is not written */
    build_records(&b, 2);
    expect_all(reader, 10, 12);
    build_activate(&b, 10, 0, a.seg->facts.generation);
    build_records(&b, 2);
    expect_all(reader, 12, 14);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

/* ---- claims --------------------------------------------------------------------------------- */

static uint64_t word_at(const struct build_segment *seg, uint64_t offset)
{
    return word_load(&segment_frame(seg->seg, offset)->word, memory_order_acquire);
}

Test(forward, a_claim_of_a_dead_generation_is_made_void)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 3, 8);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 2);
    at = build_claim(&seg, 3, 7, 2, 128); /* generation 7 is no more */
    build_records(&seg, 2);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 2);
    expect_all(reader, 4, 6);
    cr_assert_eq(word_at(&seg, at) & 7, WORD_ABORTED);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, a_claim_of_a_free_slot_is_passed_by_those_who_only_poll)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 3, 7);
    build_begin(&log, NULL, &seg);
    build_claim(&seg, 3, 7, 1, 64); /* nobody holds the slot's lock */
    build_records(&seg, 1);
    reader = reader_on(&log, SEGLOG_READER_COPY);
    cr_assert_ok(seglog_reader_next(reader, &view));
    expect_view(&view, 1);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, a_claim_in_a_copied_log_is_passed_and_left_alone)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    log.boot.known = false;
    build_begin(&log, NULL, &seg);
    build_records(&seg, 1);
    at = build_claim(&seg, 3, 7, 1, 64);
    build_records(&seg, 1);
    reader = reader_on(&log, 0);
    expect_next(reader, 0);
    expect_next(reader, 2);
    expect_end(reader);
    cr_assert_eq(word_at(&seg, at) & 7, WORD_CLAIMED);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, a_claim_left_by_a_power_cut_ends_the_log)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 1);
    build_claim(&seg, 3, 7, 1, 64);
    build_records(&seg, 1);
    reader = reader_on(&log, 0);
    expect_next(reader, 0);
    expect_end(reader);
    expect_position(reader, 1, 0);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(forward, a_claim_of_a_living_producer_is_waited_for)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = 65536, .flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    struct seglog_claim claim;
    struct seglog_view view;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_ok(seglog_appender_claim(appender, 5, &claim));
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    cr_assert_status(seglog_reader_wait(reader, 60000000), -ETIMEDOUT);
    memcpy(claim.data, "later", 5);
    cr_assert_ok(seglog_appender_commit(appender, &claim, 5));
    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_arr_eq(view.data, "later", 5);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(appender));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* A child claims and is killed; the log stays attached by nobody. */
static void claim_and_die(const char *dir)
{
    const struct seglog_log_options options = {.segment_size = 65536, .flags = SEGLOG_LOG_CREATE};
    const pid_t pid = fork();
    int status;

    cr_assert(pid >= 0);
    if (pid == 0) {
        struct seglog_log *log;
        struct seglog_appender *appender;
        struct seglog_claim claim;

        if (seglog_log_open(dir, &options, &log) < 0 ||
            seglog_appender_open(log, NULL, &appender) < 0 ||
            seglog_appender_append(appender, "a", 1, NULL) < 0 ||
            seglog_appender_claim(appender, 5, &claim) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
}

/* Only what we spend is counted: on a machine under load much else may run in between. */
static uint64_t spent_ns(void)
{
    struct timespec spent;

    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent), 0);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

Test(forward, a_claim_of_a_killed_producer_is_passed_within_100_ms)
{
    char *dir = tmpdir_make();
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t seq, start;

    claim_and_die(dir);
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_ok(seglog_reader_next(reader, &view));
    start = spent_ns();
    do {
        cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
        cr_assert_ok(seglog_reader_position(reader, &seq, NULL));
    } while (seq != 2);
    cr_assert_lt(spent_ns() - start, 100000000);
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

/* ---- the gate ------------------------------------------------------------------------------- */

Test(forward, a_gated_segment_shows_what_is_below_published)
{
    struct build_log log;
    struct build_segment seg;
    struct segment_header page;
    struct seglog_reader *reader;
    uint64_t third;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    seg.seg->facts.discipline = DISCIPLINE_GATED;
    segment_header_encode(&page, &seg.seg->facts);
    memcpy(seg.seg->base, &page, sizeof(page));
    build_records(&seg, 2);
    third = seg.at;
    build_records(&seg, 2);
    for (uint32_t flags = 0; flags <= SEGLOG_READER_COPY; flags += SEGLOG_READER_COPY) {
        word_store(&segment_tail(seg.seg)->published, third, memory_order_release);
        reader = reader_on(&log, flags);
        expect_all(reader, 0, 2);
        expect_end(reader);
        word_store(&segment_tail(seg.seg)->published, seg.at, memory_order_release);
        expect_all(reader, 2, 4);
        expect_end(reader);
        seglog_reader_close(reader);
    }
    build_close(&seg);
    build_log_remove(&log);
}

/* ---- arguments and handles ------------------------------------------------------------------ */

Test(forward, what_is_no_log_is_not_opened)
{
    struct seglog_reader *reader;
    char *dir = tmpdir_make();
    char *name = tmpdir_path(dir, "notes.txt");
    struct seglog_reader_options options = {.flags = 1u << 20};
    FILE *file;

    cr_assert_status(seglog_reader_open("/nonexistent/log", NULL, &reader), -ENOENT);
    cr_assert_status(seglog_reader_open(dir, NULL, &reader), -ENOENT);
    file = fopen(name, "w");
    cr_assert(file && fclose(file) == 0);
    cr_assert_status(seglog_reader_open(dir, NULL, &reader), SEGLOG_ENOTLOG);
    cr_assert_status(seglog_reader_open(dir, &options, &reader), -EINVAL);
    options = (struct seglog_reader_options){.wait = 99};
    cr_assert_status(seglog_reader_open(dir, &options, &reader), -EINVAL);
    options = (struct seglog_reader_options){.from = {.kind = 99}};
    cr_assert_status(seglog_reader_open(dir, &options, &reader), -EINVAL);
    seglog_reader_close(NULL);
    free(name);
    tmpdir_remove(dir);
}

Test(forward, a_reader_made_before_fork_is_of_no_use_in_the_child)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    int status;
    pid_t pid;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 2);
    reader = reader_on(&log, 0);
    expect_next(reader, 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        const struct seglog_place first = {0};
        struct seglog_view view;
        struct seglog_damage damage;
        const bool all = seglog_reader_next(reader, &view) == SEGLOG_EFORKED &&
                         seglog_reader_prev(reader, &view) == SEGLOG_EFORKED &&
                         seglog_reader_batch(reader, &view, 1) == SEGLOG_EFORKED &&
                         seglog_reader_wait(reader, 0) == SEGLOG_EFORKED &&
                         seglog_reader_seek(reader, &first) == SEGLOG_EFORKED &&
                         seglog_reader_position(reader, NULL, NULL) == SEGLOG_EFORKED &&
                         seglog_reader_bounds(reader, NULL, NULL) == SEGLOG_EFORKED &&
                         seglog_reader_damage(reader, &damage) == SEGLOG_EFORKED;

        seglog_reader_release(reader);
        seglog_reader_close(reader);
        _exit(all ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    expect_next(reader, 1);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}
