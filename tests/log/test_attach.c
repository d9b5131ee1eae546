/*
 * Places on a log: modes that exclude each other, how many there are, and what a fork makes of them.
 */
#include "log/logs.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- modes ------------------------------------------------------------------------------------ */

static int appender_try(struct seglog_log *log, uint32_t mode)
{
    const struct seglog_appender_options options = {.mode = mode};
    struct seglog_appender *ap = NULL;
    const int rc = seglog_appender_open(log, &options, &ap);

    if (rc == 0)
        cr_assert_ok(seglog_appender_close(ap));
    else
        cr_assert_null(ap);
    return rc;
}

/* Holds an appender of a mode until told to end. */
struct holder {
    const char *dir;
    uint32_t mode;
};

static int hold(struct child *parent, void *arg)
{
    const struct holder *h = arg;
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options options = {.mode = h->mode};
    struct seglog_appender *ap;
    struct seglog_log *log;

    child_must(seglog_log_open(h->dir, &no_helper, &log));
    child_must(seglog_appender_open(log, &options, &ap));
    child_say(parent, 'r');
    while (child_hear(parent) == 'a') {
        child_must(seglog_appender_append(ap, "x", 1, NULL));
        child_say(parent, 'd');
    }
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

static void modes_with_holder(uint32_t held, uint32_t other, bool kill_it)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct holder h = {.dir = dir, .mode = held};
    struct seglog_log *log;
    struct child child;

    child_start(&child, hold, &h);
    cr_assert_eq(child_hear(&child), 'r');
    log = log_attach(dir);
    cr_assert_status(appender_try(log, other), -EBUSY);
    if (held == SEGLOG_SHARED)
        cr_assert_ok(appender_try(log, SEGLOG_SHARED));
    if (kill_it) {
        child_kill(&child);
    } else {
        child_say(&child, 'q');
        child_end(&child);
    }
    cr_assert_ok(appender_try(log, other));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(attach, exclusive_and_shared_refuse_each_other_across_processes)
{
    for (int kill_it = 0; kill_it < 2; kill_it++) {
        modes_with_holder(SEGLOG_SHARED, SEGLOG_EXCLUSIVE, kill_it);
        modes_with_holder(SEGLOG_EXCLUSIVE, SEGLOG_SHARED, kill_it);
        modes_with_holder(SEGLOG_EXCLUSIVE, SEGLOG_EXCLUSIVE, kill_it);
    }
}

Test(attach, exclusive_and_shared_refuse_each_other_within_a_process)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *again = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_EXCLUSIVE);

    cr_assert_status(appender_try(log, SEGLOG_SHARED), -EBUSY);
    cr_assert_status(appender_try(again, SEGLOG_SHARED), -EBUSY);
    cr_assert_status(appender_try(log, SEGLOG_EXCLUSIVE), -EBUSY);
    cr_assert_ok(seglog_appender_close(ap));
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_status(appender_try(log, SEGLOG_EXCLUSIVE), -EBUSY);
    cr_assert_status(appender_try(again, SEGLOG_EXCLUSIVE), -EBUSY);
    cr_assert_ok(appender_try(again, SEGLOG_SHARED));
    log_detach(log, ap);
    cr_assert_ok(appender_try(again, SEGLOG_EXCLUSIVE));
    cr_assert_ok(seglog_log_close(again));
    tmpdir_remove(dir);
}

Test(attach, unknown_options_are_refused)
{
    static const struct seglog_appender_options bad[] = {
        {.mode = 2}, {.clock = 2}, {.reserved = 1}};
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap;

    for (size_t i = 0; i < 3; i++)
        cr_assert_status(seglog_appender_open(log, &bad[i], &ap), -EINVAL);
    cr_assert_ok(seglog_appender_close(NULL));
    cr_assert_ok(seglog_log_close(NULL));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* A claim names place and generation: the next holder of a place must not pass for the one before. */
Test(attach, a_place_is_handed_on_with_another_generation)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct place_held first, second;
    struct live_slot *slot;

    cr_assert_ok(log_place_take(log, SLOT_SHARED, &first));
    slot = &log->view.live->slots[first.slot];
    cr_assert_not(log_view_owner_is_dead(&log->view, first.slot, first.gen));
    second = first;
    log_place_give(log, &second);
    cr_assert_ok(log_place_take(log, SLOT_SHARED, &second));
    cr_assert_eq(second.slot, first.slot);
    cr_assert_neq(second.gen, first.gen);
    cr_assert(log_view_owner_is_dead(&log->view, first.slot, first.gen));
    cr_assert_not(log_view_owner_is_dead(&log->view, second.slot, second.gen));
    log_place_give(log, &second);

    /* They come round, and never to 0, which no claim has. */
    atomic_store(&slot->generation, SLOT_GEN_MAX);
    cr_assert_ok(log_place_take(log, SLOT_SHARED, &second));
    cr_assert_eq(second.slot, first.slot);
    cr_assert_eq(second.gen, 1);
    log_place_give(log, &second);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(attach, a_log_with_appenders_is_not_closed)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    cr_assert_status(seglog_log_close(log), -EBUSY);
    log_append(ap, 3);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- how many --------------------------------------------------------------------------------- */

static unsigned open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

Test(attach, there_are_1024_places_and_none_costs_a_descriptor)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *other = log_attach(dir);
    static struct seglog_appender *aps[SEGLOG_APPENDERS_MAX];
    unsigned before;

    aps[0] = log_appender(log, SEGLOG_SHARED);
    before = open_files();
    for (unsigned i = 1; i < SEGLOG_APPENDERS_MAX; i++)
        aps[i] = log_appender(i % 2 ? log : other, SEGLOG_SHARED);
    cr_assert_leq(open_files(), before + 2); /* the other handle's mapped segment */
    cr_assert_status(appender_try(log, SEGLOG_SHARED), -EUSERS);
    cr_assert_status(appender_try(other, SEGLOG_SHARED), -EUSERS);
    for (unsigned i = 0; i < SEGLOG_APPENDERS_MAX; i++)
        log_append(aps[i], 1);
    cr_assert_ok(seglog_appender_close(aps[500]));
    aps[500] = log_appender(other, SEGLOG_SHARED);
    log_append(aps[500], 1);
    for (unsigned i = 0; i < SEGLOG_APPENDERS_MAX; i++)
        cr_assert_ok(seglog_appender_close(aps[i]));
    /* What each has left stays open until it is durable; then only spares are, if there are any. */
    cr_assert_leq(open_files(), before + 4);
    cr_assert_geq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_ok(seglog_log_tend(other));
    cr_assert_leq(open_files(), before + 2 * SPARES_MAX);
    cr_assert_ok(seglog_log_close(other));
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(tally_dir(dir, false).records, SEGLOG_APPENDERS_MAX + 1);
    tmpdir_remove(dir);
}

Test(attach, handles_that_come_and_go_leave_no_descriptor)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    const unsigned before = open_files();

    for (int i = 0; i < 50; i++)
        log_append_alone(dir, 60);
    cr_assert_eq(open_files(), before);
    cr_assert_eq(tally_dir(dir, false).records, 3000);
    tmpdir_remove(dir);
}

/* ---- fork ------------------------------------------------------------------------------------- */

struct inherited {
    const char *dir;
    struct seglog_log *log;
    struct seglog_appender *ap;
    struct seglog_claim claim;
};

static int use_inherited(struct child *parent, void *arg)
{
    struct inherited *h = arg;
    const struct seglog_record record = {.data = "x", .len = 1};
    const struct iovec iov = {(void *)(uintptr_t) "x", 1};
    const size_t len = 1;
    struct seglog_appender *ap;
    struct seglog_claim claim;
    uint64_t number;

    (void)parent;
    child_must_be(seglog_appender_append(h->ap, "x", 1, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_appender_append_record(h->ap, &record, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_appender_appendv(h->ap, &iov, 1, 0, 0, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_appender_append_batch(h->ap, &record, 1, NULL), SEGLOG_EFORKED);
    child_must_be(seglog_appender_claim(h->ap, 1, &claim), SEGLOG_EFORKED);
    child_must_be(seglog_appender_claim_batch(h->ap, &len, 1, &claim), SEGLOG_EFORKED);
    child_must_be(seglog_appender_commit(h->ap, &h->claim, 1), SEGLOG_EFORKED);
    child_must_be(seglog_appender_commit_batch(h->ap, &h->claim, 1), SEGLOG_EFORKED);
    child_must_be(seglog_appender_abort(h->ap), SEGLOG_EFORKED);
    child_must_be(seglog_appender_open(h->log, NULL, &ap), SEGLOG_EFORKED);
    child_must_be(seglog_log_tend(h->log), SEGLOG_EFORKED);
    child_must_be(seglog_log_seal(h->log, 0), SEGLOG_EFORKED);
    child_must_be(seglog_log_sync(h->log, &number), SEGLOG_EFORKED);
    child_must_be(seglog_log_progress(h->log, &number, &number), SEGLOG_EFORKED);
    child_must(seglog_appender_close(h->ap));
    child_must(seglog_log_close(h->log));

    /* One of its own works, though. */
    child_must(seglog_log_open(h->dir, NULL, &h->log));
    child_must(seglog_appender_open(h->log, NULL, &h->ap));
    child_must(seglog_appender_append(h->ap, "child", 5, NULL));
    child_must(seglog_appender_close(h->ap));
    child_must(seglog_log_close(h->log));
    return 0;
}

static void fork_with_handles(uint32_t flags)
{
    const struct seglog_log_options options = {.flags = flags};
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct inherited h = {.dir = dir};
    struct child child;

    cr_assert_ok(seglog_log_open(dir, &options, &h.log));
    h.ap = log_appender(h.log, SEGLOG_SHARED);
    log_append(h.ap, 1000); /* with a helper: it runs by now */
    cr_assert_ok(seglog_appender_claim(h.ap, 6, &h.claim));
    child_start(&child, use_inherited, &h);
    child_end(&child);
    memcpy(h.claim.data, "parent", 6);
    cr_assert_ok(seglog_appender_commit(h.ap, &h.claim, 6));
    log_append(h.ap, 10);
    cr_assert_geq(seglog_log_seal(h.log, PATIENCE), 1);
    log_detach(h.log, h.ap);
    cr_assert_eq(tally_dir(dir, true).records, 1012);
    cr_assert_eq(tally_dir(dir, true).voids, 0);
    tmpdir_remove(dir);
}

Test(fork, handles_of_the_parent_fail_in_the_child_and_go_on_in_the_parent)
{
    fork_with_handles(SEGLOG_LOG_NO_HELPER);
}

#if !defined(__SANITIZE_THREAD__) /* which lets no child of a process with threads make its own */
Test(fork, a_helper_does_not_come_along)
{
    fork_with_handles(0);
}
#endif

struct parent_to_be {
    const char *dir;
    _Atomic int grandchild;
    int how; /* 0 fork, 1 spawn, 2 fork and exec */
};

/* Leaves a process behind that outlives it, and dies with a claim open. */
static int bear_and_die(struct child *parent, void *arg)
{
    struct parent_to_be *p = arg;
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *ap;
    struct seglog_claim claim;
    struct seglog_log *log;
    char *argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL};
    pid_t pid = -1;

    child_must(seglog_log_open(p->dir, &no_helper, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_claim(ap, 10, &claim));
    if (p->how == 1) {
        child_assert(posix_spawnp(&pid, "sleep", NULL, NULL, argv, environ) == 0);
    } else {
        pid = fork();
        if (pid == 0 && p->how == 2)
            execvp("sleep", argv);
        if (pid == 0)
            for (;;)
                pause();
    }
    child_assert(pid > 0);
    atomic_store(&p->grandchild, pid);
    child_say(parent, 'r');
    (void)child_hear(parent);
    return 0;
}

Test(fork, a_child_that_outlives_its_parent_does_not_keep_its_place_alive)
{
    for (int how = 0; how < 3; how++) {
        struct parent_to_be *p = child_shared(sizeof(*p));
        struct seglog_recovery r;
        struct seglog_log *log;
        struct child child;

        p->dir = log_dir_make(SEGLOG_SYNC_NONE);
        p->how = how;
        child_start(&child, bear_and_die, p);
        cr_assert_eq(child_hear(&child), 'r');
        child_kill(&child);
        cr_assert(kill(atomic_load(&p->grandchild), 0) == 0, "the grandchild is gone");
        /* Nobody holds the log any more: this is the first to attach. */
        log = log_attach_recovered(p->dir, &r);
        cr_assert_eq(r.claims_aborted, 1);
        cr_assert_ok(appender_try(log, SEGLOG_EXCLUSIVE));
        cr_assert_ok(seglog_log_close(log));
        kill(atomic_load(&p->grandchild), SIGKILL);
        tmpdir_remove((char *)(uintptr_t)p->dir);
    }
}

static int exec_away(struct child *parent, void *arg)
{
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *ap;
    struct seglog_log *log;
    char *argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL};

    child_must(seglog_log_open(arg, &no_helper, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_say(parent, 'r');
    (void)child_hear(parent);
    (void)fcntl(parent->in, F_SETFD, FD_CLOEXEC);
    (void)fcntl(parent->out, F_SETFD, FD_CLOEXEC);
    execvp("sleep", argv);
    return 1;
}

Test(fork, exec_gives_the_place_up)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log;
    struct child child;
    uint64_t start;
    int rc;

    child_start(&child, exec_away, dir);
    cr_assert_eq(child_hear(&child), 'r');
    log = log_attach(dir);
    cr_assert_status(appender_try(log, SEGLOG_EXCLUSIVE), -EBUSY);
    child_say(&child, 'e');
    cr_assert_eq(child_hear(&child), -1); /* closed by exec */
    /* The old memory is taken down in the background. */
    start = clock_monotonic_ns();
    while ((rc = appender_try(log, SEGLOG_EXCLUSIVE)) == -EBUSY) {
        cr_assert_lt(clock_monotonic_ns() - start, PATIENCE);
        clock_sleep_ns(MS);
    }
    cr_assert_ok(rc);
    child_kill(&child);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

static int close_all_files(struct child *parent, void *arg)
{
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    struct child kept = {.in = 3, .out = 4};
    struct seglog_appender *ap;
    struct seglog_claim claim;
    struct seglog_log *log;
    int in, out;

    child_must(seglog_log_open(arg, &no_helper, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_claim(ap, 10, &claim));
    in = dup(parent->in);
    out = dup(parent->out);
    child_assert(in > 4 && out > 4);
    closefrom(out + 1);
    for (int fd = 3; fd < in; fd++)
        (void)close(fd);
    child_assert(dup2(in, 3) == 3 && dup2(out, 4) == 4);
    closefrom(5);
    child_say(&kept, 'r');
    child_assert(child_hear(&kept) == 'c');
    child_must(seglog_appender_commit(ap, &claim, 10));
    child_must(seglog_appender_append(ap, "more", 4, NULL));
    child_say(&kept, 'd');
    (void)child_hear(&kept);
    return 0;
}

Test(fork, closing_every_descriptor_does_not_give_the_place_up)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log;
    struct child child;

    child_start(&child, close_all_files, dir);
    cr_assert_eq(child_hear(&child), 'r');
    log = log_attach(dir);
    cr_assert_status(appender_try(log, SEGLOG_EXCLUSIVE), -EBUSY);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, true).claims, 1);
    child_say(&child, 'c');
    cr_assert_eq(child_hear(&child), 'd');
    cr_assert_eq(tally_dir(dir, true).records, 2);
    child_kill(&child);
    cr_assert_ok(appender_try(log, SEGLOG_EXCLUSIVE));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}
