/*
 * Recovery killed before each of its steps, and again before each of the next one's: what comes out
 * in the end is what an undisturbed one makes.
 */
#include "log/logs.h"
#include "log/steps.h"

#include <signal.h>
#include <string.h>

#define SPAN 64u

/* A log of another boot with work for every part of a recovery: a sealed segment, a full one, one
 * to be cut, files beyond the cut, a spare, leftovers. */
static char *template_make(void)
{
    struct build_log log;
    struct build_segment seg[6];
    char *dir;

    build_log_make(&log);
    build_log_reboot(&log);
    for (int i = 0; i < 5; i++) {
        build_begin(&log, i ? &seg[i - 1] : NULL, &seg[i]);
        build_records(&seg[i], 100);
        if (i < 4)
            build_roll(&seg[i]);
        if (i == 0)
            build_seal(&seg[i], NULL);
    }
    build_spare(&log, 5, &seg[5]);
    build_mark(&seg[1]);
    build_damage(&seg[1], OFF_HEADER + 70);
    build_damage(&seg[2], OFF_FRAMES + 60 * SPAN);
    build_log_live(&log);
    for (int i = 0; i < 6; i++)
        build_close(&seg[i]);
    file_close(log.dirfd);
    dir = log.dir;
    log_reboot(dir); /* live, too */
    return dir;
}

struct attempt {
    const char *dir;
    uint64_t die_at;
    _Atomic uint64_t steps; /* that it took, when it was not killed */
};

static int attempt_main(struct child *parent, void *arg)
{
    struct attempt *a = arg;
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    (void)parent;
    steps_reset();
    atomic_store(&steps.die_at, a->die_at);
    child_must(seglog_log_open(a->dir, &options, &log));
    atomic_store(&a->steps, atomic_load(&steps.count));
    return 0; /* dies with the log attached */
}

/* true: it was killed on the way. */
static bool attempt(struct attempt *a, const char *dir, uint64_t die_at)
{
    struct child child;
    int status;

    a->dir = dir;
    a->die_at = die_at;
    child_start(&child, attempt_main, a);
    status = child_status(&child);
    cr_assert(status == 0 || status == 256 + SIGKILL, "step %llu: status %d",
              (unsigned long long)die_at, status);
    return status != 0;
}

static void expect_same(const char *dir, const struct tally *want, uint64_t first, uint64_t second)
{
    struct tally t;

    log_append_alone(dir, 3);
    t = tally_dir(dir, false);
    cr_assert(
        t.next_seq == want->next_seq && t.epoch == want->epoch && t.records == want->records &&
            t.torn == want->torn && t.asides == want->asides && t.spares == want->spares &&
            t.segments == want->segments && t.temps == 0 && t.lost == 0,
        "killed before step %llu and %llu: next %llu epoch %llu records %llu torn %llu "
        "aside %llu spares %llu segments %llu temporary %llu",
        (unsigned long long)first, (unsigned long long)second, (unsigned long long)t.next_seq,
        (unsigned long long)t.epoch, (unsigned long long)t.records, (unsigned long long)t.torn,
        (unsigned long long)t.asides, (unsigned long long)t.spares, (unsigned long long)t.segments,
        (unsigned long long)t.temps);
}

static char *make_and_run(struct attempt **a, struct tally *want)
{
    char *from = template_make(), *dir = log_copy(from);

    *a = child_shared(sizeof(**a));
    cr_assert_not(attempt(*a, dir, 0));
    log_append_alone(dir, 3);
    *want = tally_dir(dir, false);
    cr_assert_eq(want->next_seq, 263);
    cr_assert_eq(want->epoch, 1);
    cr_assert_eq(want->torn, 1);
    cr_assert_eq(want->asides, 2);
    tmpdir_remove(dir);
    return from;
}

Test(recover_killed, before_any_step_ends_the_same)
{
    struct attempt *a;
    struct tally want;
    char *from = make_and_run(&a, &want), *dir = log_copy(from);
    const uint64_t all = atomic_load(&a->steps);

    cr_assert_gt(all, 10);
    for (uint64_t die_at = 1; die_at <= all; die_at++) {
        log_copy_over(from, dir);
        cr_assert(attempt(a, dir, die_at));
        expect_same(dir, &want, die_at, 0);
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

Test(recover_killed, again_and_again_ends_the_same)
{
    struct attempt *a;
    struct tally want;
    char *from = make_and_run(&a, &want), *dir = log_copy(from);
    const uint64_t all = atomic_load(&a->steps);
    const bool quick = getenv("SEGLOG_TEST_QUICK") != NULL;

    for (uint64_t first = 1; first <= all; first += quick ? 4 : 1) {
        for (uint64_t second = 1; second <= all; second += quick ? 3 : 1) {
            log_copy_over(from, dir);
            cr_assert(attempt(a, dir, first));
            if (!attempt(a, dir, second))
                second = all; /* nothing is left to be killed in */
            expect_same(dir, &want, first, second);
        }
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

Test(recover_killed, at_its_first_step_over_and_over_gets_nowhere_and_breaks_nothing)
{
    struct attempt *a;
    struct tally want;
    char *from = make_and_run(&a, &want), *dir = log_copy(from);

    for (int i = 0; i < 20; i++)
        cr_assert(attempt(a, dir, 1 + (uint64_t)(i % 3)));
    expect_same(dir, &want, 1, 3);
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

/* Each time a reboot between: it must make no difference how often the power fails. */
Test(recover_killed, by_power_cuts_ends_the_same)
{
    struct attempt *a;
    struct tally want;
    char *from = make_and_run(&a, &want), *dir = log_copy(from);
    const uint64_t all = atomic_load(&a->steps);

    for (uint64_t die_at = 1; die_at <= all; die_at++) {
        log_copy_over(from, dir);
        cr_assert(attempt(a, dir, die_at));
        log_reboot(dir);
        (void)attempt(a, dir, die_at);
        log_reboot(dir);
        expect_same(dir, &want, die_at, die_at);
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}
