/*
 * The way to the next segment: prepared ahead or on the spot, by many at once, and where there is no
 * room for it.
 */
#include "log/logs.h"
#include "log/steps.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_64K (SEGLOG_SEGMENT_SIZE_MIN / 4 - 32)

static char large[MAX_64K];

/* Append until it fails; the status. */
static int fill_up(struct seglog_appender *ap, size_t len, uint64_t *appended)
{
    int rc;

    while ((rc = seglog_appender_append(ap, large, len, NULL)) == 0)
        ++*appended;
    return rc;
}

/* No room: nothing has changed, a small record still fits where a large one does not, what is there
 * is readable; and with room it goes on. */
static void run_out(const char *dir, int want, void (*make_room)(void *), void *context)
{
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED),
                           *other = log_appender(log, SEGLOG_SHARED);
    uint64_t appended = 0, next, after, seq;
    struct seglog_claim claim;
    struct tally t;

    cr_assert_status(fill_up(ap, MAX_64K, &appended), want);
    cr_assert_gt(appended, 1);
    cr_assert_ok(seglog_log_progress(log, NULL, &next));
    cr_assert_eq(next, appended);
    for (int i = 0; i < 3; i++) {
        cr_assert_status(seglog_appender_append(ap, large, MAX_64K, NULL), want);
        cr_assert_status(seglog_appender_claim(other, MAX_64K, &claim), want);
        cr_assert_status(seglog_log_tend(log), i == 0 ? want : 0); /* asked for once */
    }
    t = tally_dir(dir, true);
    cr_assert_eq(t.records, appended);
    cr_assert_eq(t.next_seq, next);
    cr_assert_eq(t.temps, 0, "a temporary file is left");
    cr_assert_eq(t.spares, 0);

    cr_assert_ok(seglog_appender_append(other, large, 10, &seq));
    cr_assert_eq(seq, next);
    appended++;
    cr_assert_status(fill_up(ap, 10, &appended), want);
    cr_assert_eq(tally_dir(dir, true).records, appended);

    make_room(context);
    cr_assert_ok(seglog_appender_append(ap, large, MAX_64K, &seq));
    cr_assert_eq(seq, appended);
    cr_assert_ok(seglog_appender_append(other, large, MAX_64K, NULL));
    cr_assert_ok(seglog_log_progress(log, NULL, &after));
    cr_assert_eq(after, appended + 2);
    cr_assert_ok(seglog_appender_close(other));
    log_detach(log, ap);
    t = tally_dir(dir, true);
    cr_assert_eq(t.records, appended + 2);
    cr_assert_eq(t.voids, 0);
    cr_assert_eq(t.temps, 0);
}

static void let_succeed(void *context)
{
    (void)context;
    atomic_store(&steps.fail, STEP_NONE);
}

static void run_out_by_errno(int error)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);

    log_append_alone(dir, 0); /* the first segment is there */
    atomic_store(&steps.fail_errno, error);
    atomic_store(&steps.fail, STEP_FALLOCATE);
    run_out(dir, -error, let_succeed, NULL);
    tmpdir_remove(dir);
}

Test(roll, without_room_appending_stops_and_goes_on_later)
{
    run_out_by_errno(ENOSPC);
}

Test(roll, over_quota_appending_stops_and_goes_on_later)
{
    run_out_by_errno(EDQUOT);
}

/* ---- a file system that is full --------------------------------------------------------------- */

static void remove_ballast(void *path)
{
    cr_assert(unlink(path) == 0);
}

Test(roll, on_a_full_file_system)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_NONE};
    char *place, *dir, *ballast;
    int fd;

    place = tmpdir_make();
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", place, "tmpfs", 0, "size=640k") < 0) {
        tmpdir_remove(place);
        cr_skip("needs root to mount a small file system\n");
    }
    dir = tmpdir_path(place, "log");
    ballast = tmpdir_path(place, "ballast");
    fd = open(ballast, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert(posix_fallocate(fd, 0, 256 << 10) == 0);
    close(fd);
    cr_assert_ok(seglog_log_create(dir, &options));
    run_out(dir, -ENOSPC, remove_ballast, ballast);
    cr_assert(umount2(place, MNT_DETACH) == 0);
    free(ballast);
    free(dir);
    tmpdir_remove(place);
}

/* Not even the first segment: opening says so, and works later. */
Test(roll, a_log_that_has_no_room_for_its_first_segment)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log;

    for (int which = 0; which < 3; which++) { /* owners, live, the segment */
        atomic_store(&steps.fail_errno, ENOSPC);
        atomic_store(&steps.skip, which != 0);
        atomic_store(&steps.fail, STEP_FALLOCATE);
        cr_assert_status(seglog_log_open(dir, NULL, &log), -ENOSPC);
        atomic_store(&steps.fail, STEP_NONE);
        cr_assert_eq(tally_dir(dir, false).temps, 0);
    }
    log_append_alone(dir, 10);
    tmpdir_remove(dir);
}

/* ---- told before it hurts --------------------------------------------------------------------- */

struct told {
    unsigned events;
    struct seglog_event last;
};

static void note_event(void *context, const struct seglog_event *event)
{
    struct told *told = context;

    told->events++;
    told->last = *event;
}

static void expect_told(const struct told *told, unsigned events, uint32_t kind, int status)
{
    cr_assert_eq(told->events, events);
    cr_assert_eq(told->last.kind, kind);
    cr_assert_status(told->last.status, status);
}

Test(roll, a_full_disk_is_told_when_a_preparation_fails_and_when_one_succeeds)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct told told = {0};
    const struct seglog_log_options options = {
        .flags = SEGLOG_LOG_NO_HELPER, .notify = note_event, .notify_context = &told};
    struct seglog_appender *ap;
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 400);
    atomic_store(&steps.fail_errno, ENOSPC);
    atomic_store(&steps.fail, STEP_FALLOCATE);
    cr_assert_status(seglog_log_tend(log), -ENOSPC);
    cr_assert_eq(atomic_load(&log->view.live->prepare_status), ENOSPC);
    expect_told(&told, 1, SEGLOG_EVENT_PREPARE_FAILED, -ENOSPC);
    log_append(ap, 100); /* nothing hurts yet */
    cr_assert_eq(told.events, 1);
    atomic_store(&steps.fail, STEP_NONE);
    log_append(ap, 400);
    cr_assert_eq(atomic_load(&log->view.live->prepare_status), 0);
    expect_told(&told, 2, SEGLOG_EVENT_PREPARED, 0);
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).temps, 0);
    tmpdir_remove(dir);
}

/* ---- how many --------------------------------------------------------------------------------- */

/* As many as the rolls ask for that came too early, and then fewer. */
Test(roll, spares_follow_the_rate)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    const unsigned segment = 575; /* records of log_append() */

    log_append(ap, segment / 2);
    cr_assert_eq(log->spares_goal, 1);
    for (unsigned i = 0; i < 2 * SPARES_MAX; i++) /* none is ever ready */
        log_append(ap, segment);
    cr_assert_eq(log->spares_goal, SPARES_MAX);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, false).spares, SPARES_MAX);
    log->prepare_ns = 1; /* whatever comes now, comes slowly */
    for (unsigned i = 0; i < 100 && log->spares_goal > 1; i++) {
        log_append(ap, segment);
        cr_assert_ok(seglog_log_tend(log));
        log->prepare_ns = 1;
    }
    cr_assert_eq(log->spares_goal, 1);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- nothing to do ---------------------------------------------------------------------------- */

#if !defined(__SANITIZE_THREAD__) /* which has a thread of its own that wakes again and again */
/* A log that nobody appends to costs nothing, whatever threads it has. */
Test(roll, an_idle_log_uses_no_processor)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    const struct seglog_log_options options = {0};
    const uint64_t start = clock_monotonic_ns();
    struct rusage before, after;
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t durable = 0;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 2000);
    while (durable < 575 * 3) { /* helper and preparer have run, and what was full is sealed */
        cr_assert_lt(clock_monotonic_ns() - start, PATIENCE);
        clock_sleep_ns(MS);
        cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    }
    cr_assert(log->helper_runs && log->preparer_runs);
    do { /* a slow disk may keep them busy for a while yet; then they come to rest */
        cr_assert_lt(clock_monotonic_ns() - start, PATIENCE, "somebody wakes again and again");
        cr_assert(getrusage(RUSAGE_SELF, &before) == 0);
        clock_sleep_ns(1000 * MS);
        cr_assert(getrusage(RUSAGE_SELF, &after) == 0);
        /* Two switches of our own sleep, and no more of anybody's. */
    } while (after.ru_nvcsw - before.ru_nvcsw > 4);
    log_detach(log, ap);
    tmpdir_remove(dir);
}
#endif

/* ---- files that may not grow so large --------------------------------------------------------- */

static int limited(struct child *parent, void *arg)
{
    const struct seglog_log_options create = {.flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER,
                                              .segment_size = 1 << 20};
    const struct rlimit limit = {512 << 10, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct seglog_appender *ap;
    struct seglog_log *log;
    int rc;

    (void)parent;
    (void)signal(SIGXFSZ, SIG_IGN);
    child_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    child_must_be(seglog_log_open(arg, &create, &log), -EFBIG);
    child_assert(setrlimit(RLIMIT_FSIZE, &none) == 0);
    child_must(seglog_log_open(arg, NULL, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    while ((rc = seglog_appender_append(ap, large, sizeof(large), NULL)) == 0)
        ;
    child_must_be(rc, -EFBIG);
    child_must(seglog_appender_append(ap, "small", 5, NULL));
    child_assert(setrlimit(RLIMIT_FSIZE, &none) == 0);
    child_must(seglog_appender_append(ap, large, sizeof(large), NULL));
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

Test(roll, past_a_limit_of_file_size)
{
    char *dir = tmpdir_make();
    struct child child;
    struct tally t;

    child_start(&child, limited, dir);
    child_end(&child);
    t = tally_dir(dir, true);
    cr_assert_eq(t.segments, 2);
    cr_assert_eq(t.temps, 0);
    tmpdir_remove(dir);
}

/* ---- preparing ahead -------------------------------------------------------------------------- */

Test(roll, a_small_log_is_one_segment)
{
    static const uint32_t flags[] = {0, SEGLOG_LOG_NO_HELPER};

    for (size_t i = 0; i < 2; i++) {
        const struct seglog_log_options options = {.flags = flags[i]};
        char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
        struct tally t;

        for (int round = 0; round < 10; round++) {
            struct seglog_log *log;
            struct seglog_appender *ap;

            cr_assert_ok(seglog_log_open(dir, &options, &log));
            ap = log_appender(log, SEGLOG_SHARED);
            log_append(ap, 3);
            cr_assert_ok(seglog_log_tend(log));
            log_detach(log, ap);
        }
        t = tally_dir(dir, false);
        cr_assert_eq(t.segments, 1);
        cr_assert_eq(t.spares, 0);
        tmpdir_remove(dir);
    }
}

Test(roll, a_busy_log_has_the_next_segment_ready)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    const struct seglog_log_options options = {0};
    const uint64_t start = clock_monotonic_ns();
    struct seglog_log *log;
    struct seglog_appender *ap;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 700); /* a segment, and a good part of the next */
    while (tally_dir(dir, false).spares == 0) {
        cr_assert_lt(clock_monotonic_ns() - start, PATIENCE);
        clock_sleep_ns(MS);
    }
    log_append(ap, 700);
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).records, 1400);
    tmpdir_remove(dir);
}

Test(roll, tending_prepares_what_is_asked_for)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 400); /* a good part of the first */
    cr_assert_eq(tally_dir(dir, false).spares, 0);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, false).spares, 1);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, false).spares, 1);
    log_append(ap, 700);
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).records, 1100);
    tmpdir_remove(dir);
}

Test(roll, a_spare_of_the_dead_is_used)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t before;

    log_append(ap, 400);
    cr_assert_ok(seglog_log_tend(log));
    log_detach(log, ap);
    before = atomic_load(&steps.fallocates);
    log_append_alone(dir, 500); /* into the spare */
    cr_assert_eq(atomic_load(&steps.fallocates), before);
    cr_assert_eq(tally_dir(dir, false).spares, 0);
    tmpdir_remove(dir);
}

/* ---- many at once ----------------------------------------------------------------------------- */

#define ROLLERS 8

struct rolling {
    const char *dir;
    _Atomic uint32_t ready;
    _Atomic uint32_t go;
    _Atomic uint32_t flags;
};

static int roll_often(struct child *parent, void *arg)
{
    struct rolling *r = arg;
    const struct seglog_log_options options = {.flags = atomic_load(&r->flags)};
    struct seglog_appender *ap;
    struct seglog_log *log;

    (void)parent;
    child_must(seglog_log_open(r->dir, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    atomic_fetch_add(&r->ready, 1);
    while (!atomic_load(&r->go))
        ;
    for (int i = 0; i < 40; i++)
        child_must(seglog_appender_append(ap, large, MAX_64K, NULL));
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

static void roll_together(uint32_t flags)
{
    struct rolling *r = child_shared(sizeof(*r));
    struct child children[ROLLERS];
    struct tally t;

    r->dir = log_dir_make(SEGLOG_SYNC_NONE);
    atomic_store(&r->flags, flags);
    for (int i = 0; i < ROLLERS; i++)
        child_start(&children[i], roll_often, r);
    while (atomic_load(&r->ready) < ROLLERS)
        clock_sleep_ns(MS);
    atomic_store(&r->go, 1);
    for (int i = 0; i < ROLLERS; i++)
        child_end(&children[i]);
    t = tally_dir(r->dir, true);
    cr_assert_eq(t.records, ROLLERS * 40);
    cr_assert_eq(t.voids, 0);
    /* Two such records fit into a segment: none was skipped or made twice. */
    cr_assert_eq(t.segments, ROLLERS * 40 / 2);
    cr_assert_leq(t.spares, SPARES_MAX);
    cr_assert_eq(t.temps, 0);
    tmpdir_remove((char *)(uintptr_t)r->dir);
}

Test(roll, many_at_once_make_each_segment_once)
{
    roll_together(SEGLOG_LOG_NO_HELPER);
}

Test(roll, many_at_once_with_helpers_make_each_segment_once)
{
    roll_together(0);
}
