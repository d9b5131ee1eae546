/*
 * A log whose seal fails, at each of its steps and with either engine: poisoned for every process,
 * for everything that is asked of it, never tried again; and readers go on.
 *
 * The fault is injected into the engine of one handle. Another process has the log open meanwhile.
 */
#include <seglog/seglog.h>

#include <errno.h>
#include <string.h>

#include "log/handle.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define PATIENCE_NS UINT64_C(60000000000)

static void append(struct seglog_appender *ap, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_ok(seglog_appender_append(ap, "record", 6, NULL));
}

/* How many records a reader finds up to the end. */
static int read_on(struct seglog_reader *reader)
{
    struct seglog_view view;
    int rc, n = 0;

    while ((rc = seglog_reader_next(reader, &view)) == 0)
        n++;
    return rc == -EAGAIN ? n : rc;
}

/* ---- the other process ------------------------------------------------------------------------- */

struct witness {
    const char *dir;
    uint32_t io;
    int records; /* when it is over */
};

/* Everything that must fail now, each time it is asked. */
static void child_is_refused(struct seglog_log *log, struct seglog_appender *ap)
{
    struct seglog_claim claim;

    for (int i = 0; i < 2; i++) {
        child_must_be(seglog_appender_append(ap, "x", 1, NULL), SEGLOG_EPOISONED);
        child_must_be(seglog_appender_claim(ap, 1, &claim), SEGLOG_EPOISONED);
        child_must_be(seglog_log_sync(log, NULL), SEGLOG_EPOISONED);
        child_must_be(seglog_log_seal(log, 0), SEGLOG_EPOISONED);
    }
}

static int witness_main(struct child *parent, void *arg)
{
    const struct witness *w = arg;
    const struct seglog_log_options options = {.io = w->io};
    struct seglog_reader *reader;
    struct seglog_appender *ap;
    struct seglog_log *log;

    child_must(seglog_log_open(w->dir, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_append(ap, "record", 6, NULL));
    child_must(seglog_reader_open(w->dir, NULL, &reader));
    child_must_be(read_on(reader), 1);
    child_say(parent, 'r');
    child_assert(child_hear(parent) == 'p');
    child_is_refused(log, ap);
    child_must_be(read_on(reader), w->records - 1);
    seglog_reader_close(reader);
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

/* ---- one poisoned log -------------------------------------------------------------------------- */

/* How much has been done for the disk through this handle. */
static uint64_t performed(struct seglog_log *log)
{
    return io_performed(log->io, IO_DATASYNC) + io_performed(log->io, IO_WRITE);
}

static void expect_refused(struct seglog_log *log, struct seglog_appender *ap, uint64_t durable)
{
    const uint64_t before = performed(log);
    struct seglog_claim claim;
    uint64_t seen;

    for (int i = 0; i < 2; i++) {
        cr_assert_status(seglog_appender_append(ap, "x", 1, NULL), SEGLOG_EPOISONED);
        cr_assert_status(seglog_appender_claim(ap, 1, &claim), SEGLOG_EPOISONED);
        cr_assert_status(seglog_log_sync(log, NULL), SEGLOG_EPOISONED);
        cr_assert_status(seglog_log_seal(log, 0), SEGLOG_EPOISONED);
        cr_assert(seglog_log_tend(log) <= 0);
        cr_assert_ok(seglog_log_progress(log, &seen, NULL));
        cr_assert_eq(seen, durable);
    }
    cr_assert_eq(performed(log), before, "something was tried again");
}

static void expect_seen(const char *dir, uint32_t io, int records, uint64_t durable)
{
    struct seglog_reader *reader;
    struct seglog_info info;

    cr_assert_ok(seglog_info_read(dir, &info));
    cr_assert_eq(info.poisoned, 1);
    cr_assert_eq(info.records, (uint64_t)records);
    cr_assert_geq(info.durable_seq, durable);
    if (io)
        cr_assert_eq(info.io_engine, io);
    seglog_info_free(&info);
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_eq(read_on(reader), records);
    seglog_reader_close(reader);
    cr_assert_status(seglog_verify(dir, NULL, NULL), 0);
}

static char *log_make(uint32_t sync)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = sync};
    char *dir = tmpdir_make();

    cr_assert_ok(seglog_log_create(dir, &options));
    return dir;
}

static void failing_step(uint32_t io, uint32_t flags, enum seal_step step, int error)
{
    const struct io_fault fault = {.kind = IO_ANY_KIND, .nth = step + 1u, .error = error};
    const struct seglog_log_options options = {.flags = flags, .io = io};
    /* At this level no helper seals before we do. */
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct witness w = {.dir = dir, .io = io, .records = 41};
    struct seglog_appender *ap;
    struct seglog_log *log;
    struct child child;
    uint64_t durable = 0;
    int rc;

    child_start(&child, witness_main, &w);
    cr_assert_eq(child_hear(&child), 'r');
    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    append(ap, 20);
    rc = seglog_log_sync(log, &durable);
    cr_assert(rc == 0 || rc == SEGLOG_EVOLATILE);
    append(ap, 20);
    io_inject(log->io, &fault);
    /* -EBUSY is what the caller waits for: it comes back once more, and is told then. */
    cr_assert_status(seglog_log_seal(log, PATIENCE_NS),
                     error == -EBUSY ? (int)SEGLOG_EPOISONED : error);
    expect_refused(log, ap, durable);
    expect_seen(dir, io, 41, durable);
    child_say(&child, 'p');
    child_end(&child);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    /* For whoever comes later in this boot, too. */
    cr_assert_status(seglog_log_open(dir, &options, &log), SEGLOG_EPOISONED);
    expect_seen(dir, 0, 41, durable);
    tmpdir_remove(dir);
}

static void failing_everywhere(uint32_t io, uint32_t flags)
{
    static const int errors[] = {-EIO, -ENOSPC, -EDQUOT};

    for (int step = 0; step < SEAL_STEPS; step++)
        failing_step(io, flags, (enum seal_step)step, errors[step % 3]);
    failing_step(io, flags, SEAL_SYNC_FOOTER, -EIO);
    /* Statuses that mean something else when they do not come from the disk. */
    failing_step(io, flags, SEAL_SYNC_FRAMES, -EBUSY);
    failing_step(io, flags, SEAL_SYNC_FRAMES, -EINVAL);
    failing_step(io, flags, SEAL_WRITE_FOOTER, -ETIMEDOUT);
}

static void need_uring(void)
{
    struct io_facts facts;

    io_probe(&facts);
    if (facts.status < 0)
        cr_skip("this machine forbids io_uring\n");
}

Test(poison, by_each_step_of_a_seal_through_io_uring, .timeout = 120)
{
    need_uring();
    failing_everywhere(SEGLOG_IO_URING, 0);
}

Test(poison, by_each_step_of_a_seal_through_threads, .timeout = 120)
{
    failing_everywhere(SEGLOG_IO_THREADS, 0);
}

/* Without a helper and without io_uring the caller does it. */
Test(poison, by_each_step_of_a_seal_in_the_callers_thread, .timeout = 120)
{
    failing_everywhere(SEGLOG_IO_THREADS, SEGLOG_LOG_NO_HELPER);
}

/* ---- what does not poison ---------------------------------------------------------------------- */

static void harmless_step(uint32_t io, enum seal_step step, int error)
{
    const struct io_fault fault = {.kind = IO_ANY_KIND, .nth = step + 1u, .error = error};
    const struct seglog_log_options options = {.io = io};
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct seglog_appender *ap;
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    append(ap, 20);
    io_inject(log->io, &fault);
    cr_assert_eq(seglog_log_seal(log, PATIENCE_NS), 1);
    append(ap, 20);
    cr_assert_eq(seglog_log_seal(log, PATIENCE_NS), 1);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    cr_assert_status(seglog_verify(dir, NULL, NULL), 0);
    tmpdir_remove(dir);
}

/* Short, or not performed at all. */
static void harmless_everywhere(uint32_t io)
{
    static const int errors[] = {0, -EINTR, -EAGAIN, -ECANCELED};

    for (int step = 0; step < SEAL_STEPS; step++)
        for (int i = 0; i < 4; i++)
            harmless_step(io, (enum seal_step)step, errors[i]);
}

Test(poison, not_by_what_was_not_performed_through_io_uring)
{
    need_uring();
    harmless_everywhere(SEGLOG_IO_URING);
}

Test(poison, not_by_what_was_not_performed_through_threads)
{
    harmless_everywhere(SEGLOG_IO_THREADS);
}

/* ---- the helper's seals ------------------------------------------------------------------------ */

/* Nobody waits for the helper's seal: the next append tells. */
static void failing_helper(uint32_t io)
{
    const struct io_fault fault = {.kind = IO_DATASYNC, .nth = 2, .error = -EIO};
    const struct seglog_log_options options = {.io = io};
    const uint64_t until = clock_monotonic_ns() + PATIENCE_NS;
    char *dir = log_make(SEGLOG_SYNC_SEALED);
    struct seglog_appender *ap;
    struct seglog_log *log;
    int rc = 0;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    io_inject(log->io, &fault);
    for (unsigned i = 0; rc == 0 && clock_monotonic_ns() < until; i++) {
        rc = seglog_appender_append(ap, "record", 6, NULL);
        if (i > 3000) /* several segments */
            clock_sleep_ns(1000000);
    }
    cr_assert_status(rc, SEGLOG_EPOISONED);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    cr_assert_status(seglog_log_open(dir, &options, &log), SEGLOG_EPOISONED);
    tmpdir_remove(dir);
}

Test(poison, by_a_seal_of_the_helper)
{
    struct io_facts facts;

    io_probe(&facts);
    if (facts.status == 0)
        failing_helper(SEGLOG_IO_URING);
    failing_helper(SEGLOG_IO_THREADS);
}
