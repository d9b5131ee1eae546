/*
 * Each system call of a log's life fails, one at a time: with EIO, ENOSPC, EDQUOT, EINTR, or by doing
 * half of what it was asked for. See life.h for what must hold then.
 *
 * The same with the life of a table that has a log, see table.h.
 *
 * One in two of them, of a table one in eight, others each time.
 *
 *     SEGLOG_TEST_QUICK   one in sixteen, of a table one in 64
 *     SEGLOG_FAULTS=N     one in N
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults/table.h"
#include "log/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

static void in_memory(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1); /* thousands of logs */
}

/* Once with all of it well: what is kept for the process's life is kept from here on. */
static uint64_t count_calls(int error, life_story *tell)
{
    char *dir = tmpdir_make();
    struct life life = {.dir = dir,
                        .calls = {.error = error, .pretends = true},
                        .fault = {.kind = IO_ANY_KIND - 1},
                        .io = SEGLOG_IO_THREADS};

    cr_assert_not(tell(&life));
    cr_assert(!life.is_told && !life.is_poisoned);
    tmpdir_remove(dir);
    return calls_counted();
}

static unsigned one_in(void)
{
    const char *asked = getenv("SEGLOG_FAULTS");

    if (asked && atoi(asked) > 0)
        return (unsigned)atoi(asked);
    return getenv("SEGLOG_TEST_QUICK") ? 16 : 2;
}

static void each_call(int error, const char *name, unsigned at_least, life_story *tell)
{
    const unsigned step = one_in() * (tell == table_tell && !getenv("SEGLOG_FAULTS") ? 4 : 1);
    unsigned told = 0, poisoned = 0, n = 0;
    bool met = true;

    in_memory();
    (void)count_calls(error, tell);
    for (uint64_t nth = 1 + clock_monotonic_ns() % step; met; nth += step) {
        char *dir = tmpdir_make();
        struct life life = {.dir = dir,
                            .calls = {.nth = nth, .error = error, .pretends = true},
                            .fault = {.kind = IO_ANY_KIND - 1},
                            .io = SEGLOG_IO_THREADS};

        met = tell(&life);
        n += met;
        told += life.is_told;
        poisoned += life.is_poisoned;
        tmpdir_remove(dir);
    }
    fprintf(stderr, "%s: %u calls failed, %u of them told by a status, %u poisoned the log\n", name,
            n, told, poisoned);
    cr_assert_gt(n, at_least / step);
}

Test(faults, each_call_with_eio, .timeout = 600)
{
    each_call(EIO, "EIO", 300, life_tell);
}

Test(faults, each_call_with_enospc, .timeout = 600)
{
    each_call(ENOSPC, "ENOSPC", 100, life_tell);
}

Test(faults, each_call_with_edquot, .timeout = 600)
{
    each_call(EDQUOT, "EDQUOT", 100, life_tell);
}

Test(faults, each_call_interrupted_is_noticed_by_nobody, .timeout = 600)
{
    each_call(EINTR, "EINTR", 100, life_tell);
}

Test(faults, each_short_transfer_is_noticed_by_nobody, .timeout = 600)
{
    each_call(CALL_SHORT, "half of the bytes", 50, life_tell);
}

/* ---- a table with a log of its changes, and the newest record of each key of that ---------------- */

Test(faults, each_call_of_a_table_with_eio, .timeout = 600)
{
    each_call(EIO, "table, EIO", 100, table_tell);
}

Test(faults, each_call_of_a_table_with_enospc, .timeout = 600)
{
    each_call(ENOSPC, "table, ENOSPC", 30, table_tell);
}

Test(faults, each_call_of_a_table_interrupted_is_noticed_by_nobody, .timeout = 600)
{
    each_call(EINTR, "table, EINTR", 30, table_tell);
}

Test(faults, each_short_transfer_of_a_table_is_noticed_by_nobody, .timeout = 600)
{
    each_call(CALL_SHORT, "table, half of the bytes", 10, table_tell);
}

/* ---- the same through the engine --------------------------------------------------------------- */

static void each_operation(uint32_t io, int error)
{
    in_memory();
    (void)count_calls(EIO, life_tell);
    for (uint32_t nth = 1; nth <= 12; nth++) {
        char *dir = tmpdir_make();
        struct life life = {.dir = dir,
                            .calls = {.pretends = true},
                            .fault = {.kind = IO_ANY_KIND, .nth = nth, .error = error},
                            .io = io};

        (void)life_tell(&life);
        if (error == 0 || error == -EINTR)
            cr_assert(!life.is_told && !life.is_poisoned);
        tmpdir_remove(dir);
    }
}

static const int errors[] = {-EIO, -ENOSPC, -EDQUOT, -EINTR, 0};

Test(faults, each_operation_through_io_uring, .timeout = 600)
{
    struct io_facts facts;

    io_probe(&facts);
    if (facts.status < 0)
        cr_skip("this machine forbids io_uring\n");
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        each_operation(SEGLOG_IO_URING, errors[i]);
}

Test(faults, each_operation_through_threads, .timeout = 600)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        each_operation(SEGLOG_IO_THREADS, errors[i]);
}
