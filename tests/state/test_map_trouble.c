/*
 * Mapped files in trouble: cut by others, a full disk, a failing one, fork, and locks.
 */
#include <seglog/map.h>

#include "state/calls.h"
#include "state/files.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB         (UINT64_C(1) << 20)
#define PATIENCE_NS UINT64_C(60000000000)

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(map_trouble, .init = setup, .fini = files_teardown, .timeout = 120);

#define map_make(...) map_make_((struct seglog_map_options){__VA_ARGS__})
static struct seglog_map *map_make_(struct seglog_map_options o)
{
    struct seglog_map *map;

    o.mode = SEGLOG_MAP_WRITE;
    o.flags |= SEGLOG_MAP_CREATE;
    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    return map;
}

/* ---- cut by others --------------------------------------------------------------------------- */

Test(map_trouble, a_file_that_somebody_cut_is_an_error_and_not_the_end)
{
    struct seglog_map *map = map_make(.size = 10 * 4096);
    const uint8_t *view;
    char buf[10];

    memset(buf, 7, sizeof(buf));
    cr_assert_ok(seglog_map_write(map, 8 * 4096, buf, 10));
    cr_assert_ok(seglog_map_view(map, 0, 10 * 4096, (const void **)&view));
    cr_assert_ok(seglog_map_check(map));
    cr_assert_eq(truncate(files_path("map"), 4096), 0);
    cr_assert_status(seglog_map_read(map, 8 * 4096, buf, 10, NULL), SEGLOG_ETRUNCATED);
    cr_assert_eq(view[9 * 4096], 0); /* a raw look does not kill either */
    /* From now on nothing else is said, even if the file grows again. */
    cr_assert_eq(truncate(files_path("map"), 10 * 4096), 0);
    cr_assert_status(seglog_map_read(map, 0, buf, 10, NULL), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_write(map, 0, buf, 10), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_grow(map, 11 * 4096), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_flush(map), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_check(map), SEGLOG_ETRUNCATED);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, a_write_into_what_was_cut_says_so_and_check_finds_out_untouched)
{
    struct seglog_map *a = map_make(.size = 10 * 4096), *b = map_make(.size = 1);

    cr_assert_eq(truncate(files_path("map"), 100), 0);
    cr_assert_status(seglog_map_write(a, 9 * 4096, "x", 1), SEGLOG_ETRUNCATED);
    cr_assert_status(seglog_map_check(b), SEGLOG_ETRUNCATED);
    cr_assert_ok(seglog_map_close(a));
    cr_assert_ok(seglog_map_close(b));
}

static int unguarded(struct child *parent, void *arg)
{
    struct seglog_map *map = map_make(.size = 10 * 4096, .flags = SEGLOG_MAP_NO_GUARD);
    char byte;

    (void)parent;
    (void)arg;
    signal(SIGBUS, SIG_DFL);
    child_assert(truncate(files_path("map"), 0) == 0);
    return seglog_map_read(map, 5 * 4096, &byte, 1, NULL);
}

Test(map_trouble, without_the_guard_a_cut_file_is_sigbus)
{
    struct child child;

    child_start(&child, unguarded, NULL);
    cr_assert_eq(child_status(&child), 256 + SIGBUS);
}

static volatile sig_atomic_t seen_by_other;
static void *other_page;

static void other_handler(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    seen_by_other++;
    (void)mmap(other_page, map_page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0);
}

Test(map_trouble, what_is_not_about_a_map_goes_to_the_handler_from_before)
{
    struct sigaction action = {.sa_sigaction = other_handler, .sa_flags = SA_SIGINFO};
    const int fd = file_create(AT_FDCWD, files_path("other"), 0600);
    struct seglog_map *map;
    char byte;

    cr_assert_eq(sigaction(SIGBUS, &action, NULL), 0);
    map = map_make(.size = 4 * 4096);
    /* An empty file, mapped by somebody else. */
    other_page = mmap(NULL, map_page_size(), PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(other_page, MAP_FAILED);
    cr_assert_eq(*(volatile char *)other_page, 0);
    cr_assert_eq(seen_by_other, 1);
    cr_assert_eq(raise(SIGBUS), 0);
    cr_assert_eq(seen_by_other, 2);
    cr_assert_eq(truncate(files_path("map"), 0), 0);
    cr_assert_status(seglog_map_read(map, 0, &byte, 1, NULL), SEGLOG_ETRUNCATED);
    cr_assert_eq(seen_by_other, 2);
    cr_assert_ok(seglog_map_close(map));
    file_close(fd);
}

static int unhandled(struct child *parent, void *arg)
{
    struct seglog_map *map;
    const int fd = file_create(AT_FDCWD, files_path("other"), 0600);

    (void)parent;
    (void)arg;
    signal(SIGBUS, SIG_DFL);
    map = map_make(.size = 4096);
    other_page = mmap(NULL, map_page_size(), PROT_READ, MAP_SHARED, fd, 0);
    child_assert(*(volatile char *)other_page == 0);
    return seglog_map_close(map);
}

Test(map_trouble, and_kills_where_there_was_none)
{
    struct child child;

    child_start(&child, unhandled, NULL);
    cr_assert_eq(child_status(&child), 256 + SIGBUS);
}

/* ---- no room --------------------------------------------------------------------------------- */

Test(map_trouble, a_full_disk_is_an_error_of_create_and_grow)
{
    const struct seglog_map_options large = {
        .mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 2 * MIB};
    struct seglog_map *map;
    uint64_t size;

    if (!files_small("1m"))
        cr_skip("needs root to mount a small file system\n");
    cr_assert_status(seglog_map_open(files_path("large"), &large, &map), -ENOSPC);
    cr_assert_eq(access(files_path("large"), F_OK), -1);
    map = map_make(.size = 100 * 1024, .grow_step = 4096);
    cr_assert_ok(seglog_map_write(map, 5, "hello", 5));
    cr_assert_status(seglog_map_grow(map, 2 * MIB), -ENOSPC);
    size = seglog_map_size(map);
    cr_assert_geq(size, 100 * 1024);
    /* What is mapped has room: every byte of it can be stored into. */
    for (uint64_t i = 10; i < size; i += 512)
        cr_assert_ok(seglog_map_write(map, i, "x", 1));
    cr_assert_ok(seglog_map_grow(map, size + 4096));
    cr_assert_ok(seglog_map_close(map));
}

/* ---- flushing -------------------------------------------------------------------------------- */

/* 4 MiB in 64 KiB writes; how often was it flushed? */
static uint64_t flushes_of(uint32_t policy, uint64_t amount)
{
    struct seglog_map *map = map_make(.size = 4 * MIB, .flush = policy, .flush_amount = amount);
    static char chunk[64 << 10];
    struct seglog_map_stat stat;
    const uint64_t before = atomic_load(&calls.msyncs);

    for (unsigned i = 0; i < 64; i++) {
        memset(chunk, (int)i, sizeof(chunk));
        if (i % 2 == 0) {
            cr_assert_ok(seglog_map_write(map, i * sizeof(chunk), chunk, sizeof(chunk)));
        } else { /* in place counts alike */
            void *at;

            cr_assert_ok(seglog_map_edit_begin(map, i * sizeof(chunk), sizeof(chunk), &at));
            memcpy(at, chunk, sizeof(chunk));
            cr_assert_ok(seglog_map_edit_end(map, i * sizeof(chunk), sizeof(chunk)));
        }
    }
    cr_assert_ok(seglog_map_stat(map, &stat));
    if (policy == SEGLOG_FLUSH_EVERY_NS) {
        while (stat.flushes == 0 || stat.pending_bytes > 0) {
            clock_sleep_ns(1000000);
            cr_assert_ok(seglog_map_stat(map, &stat));
        }
    }
    cr_assert_eq(stat.writes, 64);
    cr_assert_eq(stat.written_bytes, 4 * MIB);
    if (policy != SEGLOG_FLUSH_EVERY_NS) /* the thread may be between the two counts */
        cr_assert_eq(stat.flushes, atomic_load(&calls.msyncs) - before);
    cr_assert_eq(stat.pending_bytes, policy == SEGLOG_FLUSH_MANUAL ? 4 * MIB : 0);
    cr_assert_ok(seglog_map_close(map));
    return stat.flushes;
}

Test(map_trouble, each_policy_flushes_as_often_as_it_says)
{
    cr_assert_eq(flushes_of(SEGLOG_FLUSH_MANUAL, 0), 0);
    cr_assert_eq(flushes_of(SEGLOG_FLUSH_EVERY_WRITE, 0), 64);
    cr_assert_eq(flushes_of(SEGLOG_FLUSH_EVERY_BYTES, 64 << 10), 64);
    cr_assert_eq(flushes_of(SEGLOG_FLUSH_EVERY_BYTES, MIB), 4);
    cr_assert_geq(flushes_of(SEGLOG_FLUSH_EVERY_NS, 10000000), 1);
    cr_assert_eq(atomic_load(&calls.asyncs), 0, "MS_ASYNC makes nothing durable");
}

Test(map_trouble, closing_flushes_what_the_policy_has_not_yet)
{
    struct seglog_map *map =
        map_make(.size = MIB, .flush = SEGLOG_FLUSH_EVERY_BYTES, .flush_amount = MIB);

    cr_assert_ok(seglog_map_write(map, 100, "x", 1));
    cr_assert_eq(atomic_load(&calls.msyncs), 0);
    cr_assert_ok(seglog_map_close(map));
    cr_assert_eq(atomic_load(&calls.msyncs), 1);
}

Test(map_trouble, a_flush_on_request_is_a_sync_or_says_that_nothing_is_kept)
{
    struct seglog_map *map = map_make(.size = MIB);
    const int want = files_durable() ? 0 : SEGLOG_EVOLATILE;

    cr_assert_ok(seglog_map_write(map, 100, "x", 1));
    cr_assert_status(seglog_map_flush(map), want);
    cr_assert_eq(atomic_load(&calls.msyncs), 1);
    cr_assert_status(seglog_map_flush_range(map, 5000, 3), want);
    cr_assert_eq(atomic_load(&calls.msyncs), 2);
    cr_assert_status(seglog_map_flush_range(map, MIB - 2, 3), -ERANGE);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, a_flush_that_failed_fails_for_good)
{
    struct seglog_map *map =
        map_make(.size = MIB, .flush = SEGLOG_FLUSH_EVERY_BYTES, .flush_amount = 10);

    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(seglog_map_write(map, 0, "0123456789", 10), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_status(seglog_map_write(map, 0, "x", 1), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_flush(map), SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_close(map), -EIO);
    /* Whoever opens it anew reads what the kernel has, and may go on. */
    map = map_make(.size = MIB);
    cr_assert_ok(seglog_map_write(map, 0, "x", 1));
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, a_flush_by_the_thread_that_failed_is_told_to_the_next_write)
{
    struct seglog_map *map =
        map_make(.size = MIB, .flush = SEGLOG_FLUSH_EVERY_NS, .flush_amount = 1000000);
    int rc;

    atomic_store(&calls.sync_errno, ENOSPC);
    while ((rc = seglog_map_write(map, 0, "x", 1)) == 0)
        clock_sleep_ns(1000000);
    cr_assert_status(rc, SEGLOG_EPOISONED);
    cr_assert_status(seglog_map_close(map), -ENOSPC);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_map *map = arg;
    struct seglog_map_stat stat;
    const void *view;
    char byte;

    (void)parent;
    child_must_be(seglog_map_read(map, 0, &byte, 1, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_map_write(map, 0, "y", 1), SEGLOG_EFORKED);
    child_must_be(seglog_map_view(map, 0, 1, &view), SEGLOG_EFORKED);
    child_must_be(seglog_map_flush(map), SEGLOG_EFORKED);
    child_must_be(seglog_map_stat(map, &stat), SEGLOG_EFORKED);
    child_must_be(seglog_map_fd(map), SEGLOG_EFORKED);
    child_must_be(seglog_map_lock(map, 1, 0), SEGLOG_EFORKED);
    child_must_be(seglog_map_unlock(map), SEGLOG_EFORKED);
    child_must_be(seglog_map_check(map), SEGLOG_EFORKED);
    child_must(seglog_map_close(map));
    return 0;
}

Test(map_trouble, a_forked_child_can_only_close)
{
    struct seglog_map *map =
        map_make(.size = MIB, .flush = SEGLOG_FLUSH_EVERY_NS, .flush_amount = 1000000);
    struct child child;

    cr_assert_ok(seglog_map_write(map, 0, "x", 1)); /* the thread runs */
    cr_assert_ok(seglog_map_lock(map, 1, 0));
    child_start(&child, child_of_fork, map);
    child_end(&child);
    cr_assert_ok(seglog_map_write(map, 0, "z", 1));
    cr_assert_ok(seglog_map_unlock(map));
    cr_assert_ok(seglog_map_close(map));
}

/* ---- locks between processes ------------------------------------------------------------------- */

static int holder(struct child *parent, void *arg)
{
    struct seglog_map *map = map_make(.size = 1);

    child_must(seglog_map_lock(map, arg != NULL, UINT64_MAX));
    child_say(parent, 'l');
    (void)child_hear(parent);
    child_must(seglog_map_unlock(map));
    child_say(parent, 'u');
    (void)child_hear(parent);
    return 0;
}

Test(map_trouble, a_lock_keeps_others_out_until_it_is_given_up_or_its_holder_dies)
{
    struct seglog_map *map = map_make(.size = 100);
    struct child child;

    child_start(&child, holder, map);
    cr_assert_eq(child_hear(&child), 'l');
    cr_assert_status(seglog_map_lock(map, 1, 0), -EAGAIN);
    cr_assert_status(seglog_map_lock(map, 0, 3000000), -ETIMEDOUT);
    child_say(&child, 'g');
    cr_assert_eq(child_hear(&child), 'u');
    cr_assert_ok(seglog_map_lock(map, 1, 0));
    cr_assert_ok(seglog_map_unlock(map));
    cr_assert_status(seglog_map_unlock(map), -EINVAL);
    child_kill(&child);

    child_start(&child, holder, map);
    cr_assert_eq(child_hear(&child), 'l');
    child_kill(&child);
    cr_assert_ok(seglog_map_lock(map, 1, PATIENCE_NS));
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, shared_locks_go_together_and_reading_is_enough_for_one)
{
    struct seglog_map *map = map_make(.size = 100), *reader;
    struct child child;

    cr_assert_ok(seglog_map_open(files_path("map"), NULL, &reader));
    child_start(&child, holder, NULL);
    cr_assert_eq(child_hear(&child), 'l');
    cr_assert_ok(seglog_map_lock(reader, 0, 0));
    cr_assert_ok(seglog_map_lock(map, 0, 0));
    cr_assert_status(seglog_map_lock(map, 1, 0), -EAGAIN);
    cr_assert_status(seglog_map_lock(reader, 1, 0), -EBADF);
    child_kill(&child);
    cr_assert_ok(seglog_map_close(reader));
    cr_assert_ok(seglog_map_lock(map, 1, PATIENCE_NS));
    cr_assert_ok(seglog_map_close(map));
}

/* ---- memory ---------------------------------------------------------------------------------- */

Test(map_trouble, advice_needs_no_alignment_and_loses_nothing)
{
    struct seglog_map *map = map_make(.size = 20 * 4096);
    uint32_t value;

    cr_assert_ok(seglog_map_write(map, 5 * 4096 + 7, &(uint32_t){77}, 4));
    for (uint32_t advice = 0; advice < SEGLOG_ADVICE_HUGE; advice++)
        cr_assert_ok(seglog_map_advise(map, 5001, 12345, advice));
    cr_assert_status(seglog_map_advise(map, 0, 10, SEGLOG_ADVICE_HUGE + 1), -EINVAL);
    cr_assert_status(seglog_map_advise(map, 20 * 4096, 1, 0), -ERANGE);
    cr_assert_ok(seglog_map_advise(map, 20 * 4096, 0, 0));
    cr_assert_ok(seglog_map_read(map, 5 * 4096 + 7, &value, 4, NULL));
    cr_assert_eq(value, 77);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, prefetching_fetches_as_much_as_it_says)
{
    struct seglog_map *map = map_make(.size = 8 * MIB);
    struct seglog_map_options o = {.prefetch = SEGLOG_PREFETCH_RANDOM};
    struct seglog_map_stat stat;
    void *at;

    if (!files_durable())
        cr_skip("nothing leaves the page cache of a tmpfs\n");
    cr_assert_ok(seglog_map_edit_begin(map, 0, 8 * MIB, &at));
    memset(at, 1, 8 * MIB);
    cr_assert_ok(seglog_map_advise(map, 0, 8 * MIB, SEGLOG_ADVICE_DROP_CACHE));
    cr_assert_ok(seglog_map_close(map));

    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_lt(stat.resident_bytes, MIB);
    cr_assert_ok(seglog_map_close(map));
    o.prefetch = SEGLOG_PREFETCH_FIRST;
    o.prefetch_bytes = 3 * MIB;
    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_geq(stat.resident_bytes, 3 * MIB);
    cr_assert_ok(seglog_map_close(map));
    o.prefetch = SEGLOG_PREFETCH_ALL;
    cr_assert_ok(seglog_map_open(files_path("map"), &o, &map));
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_eq(stat.resident_bytes, 8 * MIB);
    cr_assert_ok(seglog_map_close(map));
}

/* In memory: pages that the system writes back to a disk meanwhile fault once more each. */
Test(map_trouble, once_populated_nothing_faults)
{
    const struct seglog_map_options o = {.mode = SEGLOG_MAP_WRITE, .prefetch = SEGLOG_PREFETCH_ALL};
    const int fd = memfd_create("populated", MFD_CLOEXEC);
    struct rusage before, after;
    struct seglog_map *map;
    volatile uint8_t *at;

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, 8 * MIB), 0);
    cr_assert_ok(seglog_map_open_fd(fd, &o, &map));
    file_close(fd);
    cr_assert_ok(seglog_map_edit_begin(map, 0, 8 * MIB, (void **)&at));
    cr_assert_eq(getrusage(RUSAGE_THREAD, &before), 0);
    for (uint64_t i = 0; i < 8 * MIB; i += 4096)
        at[i] = 1;
    cr_assert_eq(getrusage(RUSAGE_THREAD, &after), 0);
    cr_assert(FILES_SANITIZED || after.ru_minflt - before.ru_minflt < 16);
    cr_assert_ok(seglog_map_close(map));
}

Test(map_trouble, huge_pages_are_granted_or_refused_and_never_pretended)
{
    const struct seglog_map_options require = {.huge = SEGLOG_HUGE_REQUIRE},
                                    try = {.huge = SEGLOG_HUGE_TRY};
    struct seglog_map *map = map_make(.size = MIB);
    struct seglog_map_stat stat;
    int rc;

    cr_assert_ok(seglog_map_close(map));
    cr_assert_status(seglog_map_open(files_path("map"), &require, &map), -EOPNOTSUPP);
    cr_assert_ok(seglog_map_open(files_path("map"), &try, &map));
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_neq(stat.huge, SEGLOG_HUGE_GRANTED);
    cr_assert_ok(seglog_map_close(map));

    rc = seglog_map_anonymous(100, &require, &map);
    if (rc == 0) {
        cr_assert_ok(seglog_map_stat(map, &stat));
        cr_assert_eq(stat.huge, SEGLOG_HUGE_GRANTED);
        cr_assert_gt(stat.page_size, map_page_size());
        cr_assert_ok(seglog_map_write(map, stat.size - 1, "x", 1));
        cr_assert_ok(seglog_map_close(map));
    } else {
        cr_assert(rc == -ENOMEM || rc == -ENOSPC || rc == -ENOSYS || rc == -ENOENT, "%d", rc);
    }
    cr_assert_ok(seglog_map_anonymous(100, &try, &map));
    cr_assert_ok(seglog_map_stat(map, &stat));
    cr_assert_eq(stat.page_size > map_page_size(), stat.huge == SEGLOG_HUGE_GRANTED);
    cr_assert_ok(seglog_map_write(map, 99, "x", 1));
    cr_assert_ok(seglog_map_close(map));
}

static int unprivileged(struct child *parent, void *arg)
{
    const struct rlimit little = {.rlim_cur = 4 * 4096, .rlim_max = 4 * 4096};
    struct seglog_map *map = map_make(.size = 100 * 4096);
    int rc;

    (void)parent;
    (void)arg;
    child_must(seglog_map_lock_pages(map, 1, 4095, 1));
    child_must(seglog_map_lock_pages(map, 1, 4095, 0));
    child_must_be(seglog_map_lock_pages(map, 1, 100 * 4096, 1), -ERANGE);
    child_assert(setrlimit(RLIMIT_MEMLOCK, &little) == 0);
    child_assert(getuid() != 0 || setuid(65534) == 0);
    rc = seglog_map_lock_pages(map, 0, 100 * 4096, 1);
    child_assert(FILES_SANITIZED || rc == -ENOMEM || rc == -EPERM);
    return seglog_map_close(map);
}

Test(map_trouble, locking_more_pages_than_one_may_is_an_error)
{
    struct child child;

    child_start(&child, unprivileged, NULL);
    child_end(&child);
}
