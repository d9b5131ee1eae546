/*
 * Flushes of mapped files that are not waited for: by io_uring where there is one, and by threads.
 */
#include <seglog/map.h>

#include "state/calls.h"
#include "state/files.h"
#include "state/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB    (UINT64_C(1) << 20)
#define ALWAYS UINT64_MAX

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(map_async, .init = setup, .fini = files_teardown, .timeout = 120);

static struct seglog_map *map_make(void)
{
    const struct seglog_map_options o = {
        .mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 4 * MIB};
    struct seglog_map *map;

    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    return map;
}

static void must_write(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    void *at;

    cr_assert_ok(seglog_map_edit_begin(map, offset, len, &at));
    memset(at, (int)(offset % 251) + 1, len);
    cr_assert_ok(seglog_map_edit_end(map, offset, len));
}

static uint64_t must_start(struct seglog_map *map, uint64_t offset, uint64_t len)
{
    uint64_t ticket;

    cr_assert_ok(seglog_map_flush_start(map, offset, len, &ticket));
    return ticket;
}

static uint64_t performed(struct seglog_map *map)
{
    return io_performed(map->flush.turn.flight->engine, IO_SYNC_RANGE);
}

/* The next operation of the engine fails. */
static void will_fail(struct seglog_map *map, int error)
{
    const struct io_fault fault = {.kind = IO_SYNC_RANGE, .nth = 1, .times = 1, .error = error};

    io_inject(map->flush.turn.flight->engine, &fault);
}

/* What a finished flush says here. */
static int kept(void)
{
    return files_durable() ? 0 : SEGLOG_EVOLATILE;
}

/* KiB of the map that the disk does not have yet. */
static unsigned long dirty_of(struct seglog_map *map)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    const uintptr_t at = (uintptr_t)map_at(map, 0, 1);
    unsigned long sum = 0, kib, from, to;
    char line[512];
    bool here = false;

    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= at && at < to;
        if (here && (sscanf(line, "Private_Dirty: %lu", &kib) == 1 ||
                     sscanf(line, "Shared_Dirty: %lu", &kib) == 1))
            sum += kib;
    }
    fclose(maps);
    return sum;
}

static void durable_when_it_says_so(const char *engine)
{
    struct seglog_map_stat stat;
    struct seglog_map *map;
    uint64_t ticket;
    int rc;

    cr_assert_eq(setenv("SEGLOG_IO", engine, 1), 0);
    map = map_make();
    /* The system writes back when it likes: what it has just written is not waited for. */
    do
        must_write(map, 0, 4 * MIB);
    while (files_durable() && dirty_of(map) == 0);
    ticket = must_start(map, 0, 4 * MIB);
    while ((rc = seglog_map_flush_poll(map, ticket)) == -EAGAIN)
        usleep(100);
    cr_assert_status(rc, kept());
    cr_assert(!files_durable() || dirty_of(map) == 0);
    cr_assert_eq(performed(map), 1);
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_eq(stat.flushes, 1);
    cr_assert_eq(stat.pending_bytes, 0);
    cr_assert_status(seglog_map_flush_wait(map, ticket, 0), kept()); /* and again */
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, a_flush_by_threads_is_durable_when_it_says_so)
{
    durable_when_it_says_so("threads");
    cr_assert_eq(atomic_load(&calls.asyncs), 0);
}

Test(map_async, a_flush_by_whatever_there_is_is_durable_when_it_says_so)
{
    durable_when_it_says_so("auto");
}

Test(map_async, ranges_and_tickets_are_looked_at)
{
    struct seglog_map *map = map_make(), *reader;
    uint64_t ticket = 0;

    cr_assert_status(seglog_map_flush_poll(map, 1), -EINVAL);
    cr_assert_status(seglog_map_flush_start(map, 0, 0, &ticket), -EINVAL);
    cr_assert_status(seglog_map_flush_start(map, 4 * MIB - 1, 2, &ticket), -ERANGE);
    cr_assert_status(seglog_map_flush_start(map, UINT64_MAX, 2, &ticket), -ERANGE);
    cr_assert_eq(ticket, 0);
    /* Neither aligned nor whole pages. */
    must_write(map, 5001, 10);
    ticket = must_start(map, 5001, 10);
    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    cr_assert_status(seglog_map_flush_poll(map, ticket + 1), -EINVAL);
    cr_assert_status(seglog_map_flush_poll(map, 0), -EINVAL);
    cr_assert_ok(seglog_map_open(files_path("map"), NULL, &reader));
    cr_assert_status(seglog_map_flush_start(reader, 0, 1, &ticket), -EPERM);
    cr_assert_ok(seglog_map_close(reader));
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, those_asked_for_meanwhile_share_the_next)
{
    struct seglog_map *map = map_make();
    uint64_t tickets[5];

    /* Nobody looks, so the first one's turn is not over. */
    for (unsigned i = 0; i < 5; i++) {
        must_write(map, i * MIB / 2, 100);
        tickets[i] = must_start(map, i * MIB / 2, 100);
    }
    cr_assert_leq(performed(map), 1);
    cr_assert_status(seglog_map_flush_wait(map, tickets[4], ALWAYS), kept());
    cr_assert_eq(performed(map), 2);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_status(seglog_map_flush_poll(map, tickets[i]), kept());
    cr_assert_eq(performed(map), 2);
    cr_assert(!files_durable() || dirty_of(map) == 0);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, a_failure_is_told_to_everybody_who_shares_it_and_poisons_what_comes_later)
{
    struct seglog_map *map = map_make();
    uint64_t first, second, third, fourth, ticket;

    first = must_start(map, 0, 1);
    second = must_start(map, 0, 1);
    third = must_start(map, 0, 1);
    cr_assert_status(seglog_map_flush_wait(map, first, ALWAYS), kept()); /* the next begins */
    cr_assert_status(seglog_map_flush_wait(map, third, ALWAYS), kept());
    first = must_start(map, 0, 1);
    will_fail(map, -ENOSPC);
    second = must_start(map, 0, 1);
    third = must_start(map, 0, 1);
    cr_assert_status(seglog_map_flush_wait(map, first, ALWAYS), kept());
    fourth = must_start(map, 0, 1); /* not in the turn that fails */
    cr_assert_status(seglog_map_flush_wait(map, third, ALWAYS), -ENOSPC);
    cr_assert_status(seglog_map_flush_wait(map, second, ALWAYS), -ENOSPC);
    cr_assert_status(seglog_map_flush_wait(map, second, ALWAYS), -ENOSPC); /* and again */
    cr_assert_status(seglog_map_flush_wait(map, first, ALWAYS), kept());   /* that was before */
    cr_assert_status(seglog_map_flush_wait(map, fourth, ALWAYS), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_flush_start(map, 0, 1, &ticket), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_flush(map), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_write(map, 0, "x", 1), SEGLOG_EPOISONED);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, a_flush_that_waits_does_not_overlook_the_failure_of_one_under_way)
{
    struct seglog_map *map = map_make();
    uint64_t ticket = must_start(map, 0, 1);

    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    will_fail(map, -EIO);
    ticket = must_start(map, 0, MIB);
    cr_assert_status(seglog_map_flush_range(map, MIB, MIB), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_flush_poll(map, ticket), -EIO);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, a_flush_that_waits_and_fails_poisons_tickets)
{
    struct seglog_map *map = map_make();
    const uint64_t ticket = must_start(map, 0, 1);
    uint64_t other;

    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(seglog_map_flush(map), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_status(seglog_map_flush_start(map, 0, 1, &other), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_flush_poll(map, ticket), kept());
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, closing_waits_and_tells_the_failure)
{
    struct seglog_map *map = map_make();
    const uint64_t ticket = must_start(map, 0, 1);

    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    (void)must_start(map, 0, 1);
    (void)must_start(map, 0, 1);
    cr_assert_ok(seglog_map_close(map));
    map = map_make();
    cr_assert_status(seglog_map_flush_wait(map, must_start(map, 0, 1), ALWAYS), kept());
    will_fail(map, -EIO);
    (void)must_start(map, 0, 1);
    (void)must_start(map, 0, 1);
    cr_assert_status(seglog_map_close(map), -EIO);
}

Test(map_async, bytes_that_are_lost_are_told)
{
    struct seglog_map *map = map_make();
    const uint64_t ticket = must_start(map, 0, 4 * MIB);
    char byte;

    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    cr_assert_eq(truncate(files_path("map"), 4096), 0);
    cr_assert_status(seglog_map_read(map, MIB, &byte, 1, NULL), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_flush_poll(map, ticket), SEGLOG_ETRUNCATED);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_async, it_goes_on_while_the_map_grows)
{
    struct seglog_map *map = map_make();
    uint64_t size = seglog_map_size(map), ticket = 0;

    for (unsigned i = 0; i < 20; i++) {
        must_write(map, size - MIB, MIB);
        ticket = must_start(map, size - MIB, MIB);
        cr_assert_ok(seglog_map_grow(map, size + MIB));
        size = seglog_map_size(map);
    }
    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    cr_assert_ok(seglog_map_close(map));
}

/* ---- threads, fork --------------------------------------------------------------------------- */

struct worker {
    struct seglog_map *map;
    uint64_t offset;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 50; i++) {
        must_write(w->map, w->offset, 5000);
        if (i % 5 == 4)
            cr_assert_status(seglog_map_flush(w->map), kept());
        else
            cr_assert_status(
                seglog_map_flush_wait(w->map, must_start(w->map, w->offset, 5000), ALWAYS), kept());
    }
    return NULL;
}

Test(map_async, threads_share_turns_and_none_waits_for_ever)
{
    struct seglog_map *map = map_make();
    struct worker workers[4];

    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.map = map, .offset = i * MIB};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(workers[i].thread, NULL);
    cr_assert_leq(performed(map), 4 * 40);
    cr_assert(!files_durable() || dirty_of(map) == 0);
    cr_assert_ok(seglog_map_close(map));
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_map *map = arg;
    uint64_t ticket;

    (void)parent;
    child_must_be(seglog_map_flush_poll(map, 1), SEGLOG_EFORKED);
    child_must_be(seglog_map_flush_start(map, 0, 1, &ticket), SEGLOG_EFORKED);
    child_must(seglog_map_close(map));
    return 0;
}

Test(map_async, a_forked_child_can_only_close)
{
    struct seglog_map *map = map_make();
    const uint64_t ticket = must_start(map, 0, 4 * MIB);
    struct child child;

    child_start(&child, child_of_fork, map);
    child_end(&child);
    cr_assert_status(seglog_map_flush_wait(map, ticket, ALWAYS), kept());
    cr_assert_ok(seglog_map_close(map));
}
