/*
 * The log side of `seglog append`: at level record one wait for all that came together, and none that
 * cannot be ended.
 */
#include "cli/signals.h"
#include "cli/writer.h"
#include "log/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

static const struct cli quiet_cli = {.command = "append", .quiet = true};

static struct writer writer_on(const char *dir, uint32_t sync)
{
    struct writer writer = {.dir = dir, .sync = sync};

    cr_assert_eq(writer_open(&writer, &quiet_cli), 0);
    return writer;
}

static void append_some(struct writer *writer, int batches)
{
    struct seglog_record records[3] = {
        {.data = "a", .len = 1}, {.data = "bb", .len = 2}, {.data = "", .len = 0}};

    for (int i = 0; i < batches; i++)
        cr_assert_ok(writer_append(writer, records, 3));
}

static uint32_t rounds_of(const struct writer *writer)
{
    return atomic_load(&writer->log->view.live->sync_round);
}

static uint64_t durable_of(const struct writer *writer)
{
    uint64_t durable;

    cr_assert_ok(seglog_log_progress(writer->log, &durable, NULL));
    return durable;
}

Test(writer, batches_that_came_together_share_one_sync)
{
    char *dir = tmpdir_make();
    struct writer writer = writer_on(dir, SEGLOG_SYNC_RECORD);
    const uint32_t before = rounds_of(&writer);

    append_some(&writer, 40);
    cr_assert_eq(rounds_of(&writer), before);
    cr_assert_ok(writer_settle(&writer));
    cr_assert_eq(rounds_of(&writer), before + 1);
    cr_assert_eq(durable_of(&writer), 120);

    cr_assert_ok(writer_settle(&writer));
    cr_assert_eq(rounds_of(&writer), before + 1, "nothing new is nothing to sync");
    cr_assert_eq(writer_close(&writer, 0), 0);
    tmpdir_remove(dir);
}

Test(writer, waits_at_the_level_of_the_log_if_none_is_given)
{
    char *dir = tmpdir_make();
    struct writer first = writer_on(dir, SEGLOG_SYNC_RECORD), second;

    cr_assert_eq(writer_close(&first, 0), 0);
    second = writer_on(dir, SEGLOG_SYNC_DEFAULT);
    append_some(&second, 1);
    cr_assert_ok(writer_settle(&second));
    cr_assert_eq(durable_of(&second), 3);
    cr_assert_eq(writer_close(&second, 0), 0);

    second = writer_on(dir, SEGLOG_SYNC_NONE);
    append_some(&second, 1);
    cr_assert_ok(writer_settle(&second));
    cr_assert_eq(durable_of(&second), 3, "whoever asks for less does not wait");
    cr_assert_eq(writer_close(&second, 0), 0);
    tmpdir_remove(dir);
}

Test(writer, a_stop_ends_the_waiting_for_somebody_elses_open_record)
{
    char *dir = tmpdir_make();
    struct writer writer = writer_on(dir, SEGLOG_SYNC_RECORD);
    struct seglog_appender *other;
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_open(writer.log, NULL, &other));
    cr_assert_ok(seglog_appender_claim(other, 8, &claim));
    append_some(&writer, 1);
    signals_catch();
    raise(SIGTERM);
    cr_assert_eq(writer_settle(&writer), -ETIMEDOUT);
    cr_assert_eq(writer_failed(&writer, -ETIMEDOUT), 75);

    cr_assert_ok(seglog_appender_abort(other));
    cr_assert_ok(writer_settle(&writer));
    cr_assert_eq(durable_of(&writer), 4);
    cr_assert_ok(seglog_appender_close(other));
    cr_assert_eq(writer_close(&writer, 0), 0);
    tmpdir_remove(dir);
}

Test(writer, a_failure_before_closing_is_what_is_reported)
{
    char *dir = tmpdir_make();
    struct writer writer = writer_on(dir, SEGLOG_SYNC_SEALED);

    cr_assert_eq(writer_close(&writer, 65), 65);
    tmpdir_remove(dir);
}
