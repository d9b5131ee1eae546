/*
 * Proof of life, told by processes that really die.
 *
 * A child that has got where the test wants it stops itself; waitpid(WUNTRACED) is the event that the
 * parent waits for.
 */
#include "sys/owner.h"

#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* For the death of a process: a machine under load may take its time to carry it out. */
#define PATIENCE_NS UINT64_C(30000000000)

static char *dir_path;
static int dir_fd = -1;

static void setup(void)
{
    dir_path = tmpdir_make();
    dir_fd = dir_open(dir_path);
    cr_assert_ok(dir_fd);
    const int fd = file_create(dir_fd, "lock", 0600);
    cr_assert_ok(fd);
    file_close(fd);
}

static void teardown(void)
{
    file_close(dir_fd);
    tmpdir_remove(dir_path);
}

TestSuite(owner, .init = setup, .fini = teardown, .timeout = 60);

/* Through a description of its own each time, and read-only. */
static int probe(uint64_t byte)
{
    const int fd = file_open(dir_fd, "lock", O_RDONLY, 0);
    cr_assert_ok(fd);
    const int rc = owner_probe(fd, byte);
    file_close(fd);
    return rc;
}

static struct owner open_and_lock(uint64_t byte, bool exclusive)
{
    struct owner owner = OWNER_NONE;

    if (owner_open(dir_fd, "lock", &owner) < 0 || owner_lock(&owner, byte, exclusive) < 0)
        abort();
    return owner;
}

/* A child that does not outlive a test that fails. */
static pid_t child_fork(void)
{
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* In the child: tell the parent that all is set, and stay until killed. */
static void stop_here(void)
{
    for (;;)
        raise(SIGSTOP);
}

static void wait_stopped(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status), "the child ended: %#x", (unsigned)status);
}

static void kill_and_reap(pid_t pid)
{
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void wait_exit_ok(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}

/* Does its death free the byte, with nobody reaping it, and without anybody's help? */
static bool is_freed(uint64_t byte)
{
    const uint64_t begin = clock_monotonic_ns();

    while (probe(byte) == 1) {
        if (clock_monotonic_ns() - begin > PATIENCE_NS)
            return false;
    }
    return true;
}

Test(owner, a_held_byte_shows_and_its_neighbours_do_not)
{
    struct owner owner = open_and_lock(5, true);

    cr_assert_eq(probe(5), 1);
    cr_assert_eq(probe(4), 0);
    cr_assert_eq(probe(6), 0);
    owner_close(&owner);
    cr_assert_eq(probe(5), 0);
}

Test(owner, a_shared_lock_shows_too)
{
    struct owner owner = open_and_lock(5, false);

    cr_assert_eq(probe(5), 1);
    owner_close(&owner);
}

Test(owner, unlocking_frees_one_byte_and_keeps_the_others)
{
    struct owner owner = open_and_lock(5, true);

    cr_assert_ok(owner_lock(&owner, 6, true));
    cr_assert_ok(owner_unlock(&owner, 5));
    cr_assert_eq(probe(5), 0);
    cr_assert_eq(probe(6), 1);
    owner_close(&owner);
}

Test(owner, settling_closes_the_descriptor_and_keeps_the_locks)
{
    struct owner owner = open_and_lock(5, true);
    const int fd = owner.fd;

    owner_settle(&owner);
    cr_assert_eq(owner.fd, -1);
    cr_assert_eq(fcntl(fd, F_GETFD), -1);
    cr_assert_eq(probe(5), 1);
    owner_settle(&owner); /* again: nothing */
    owner_close(&owner);
    cr_assert_eq(probe(5), 0);
    cr_assert_null(owner.page);
    owner_close(&owner); /* again: nothing */
}

Test(owner, two_of_one_process_exclude_each_other)
{
    struct owner first = open_and_lock(5, true);
    struct owner second = OWNER_NONE;

    cr_assert_ok(owner_open(dir_fd, "lock", &second));
    cr_assert_status(owner_lock(&second, 5, true), -EAGAIN);
    cr_assert_status(owner_lock(&second, 5, false), -EAGAIN);
    cr_assert_ok(owner_lock(&second, 6, true));
    owner_close(&first);
    cr_assert_ok(owner_lock(&second, 5, true));
    owner_close(&second);
}

Test(owner, exclusive_becomes_shared_without_a_gap_and_back_only_when_alone)
{
    struct owner first = open_and_lock(5, true);
    struct owner second = OWNER_NONE;

    cr_assert_ok(owner_open(dir_fd, "lock", &second));
    cr_assert_status(owner_lock(&second, 5, false), -EAGAIN);
    cr_assert_ok(owner_lock(&first, 5, false));
    cr_assert_eq(probe(5), 1);
    cr_assert_ok(owner_lock(&second, 5, false));
    cr_assert_status(owner_lock(&first, 5, true), -EAGAIN);
    cr_assert_status(owner_lock(&second, 5, true), -EAGAIN);

    /* A refused conversion has not cost anybody the lock that was held. */
    owner_close(&second);
    cr_assert_eq(probe(5), 1);
    cr_assert_ok(owner_lock(&first, 5, true));
    owner_close(&first);
}

Test(owner, a_missing_lock_file_leaves_the_result_alone)
{
    struct owner owner = OWNER_NONE;

    cr_assert_status(owner_open(dir_fd, "missing", &owner), -ENOENT);
    cr_assert_null(owner.page);
    cr_assert_eq(owner.fd, -1);
}

Test(owner, closing_another_descriptor_of_the_file_drops_nothing)
{
    struct owner owner = open_and_lock(5, true);

    owner_settle(&owner);
    const int other = file_open(dir_fd, "lock", O_RDWR, 0);
    cr_assert_ok(other);
    file_close(other);
    cr_assert_eq(probe(5), 1);
    owner_close(&owner);
}

Test(owner, death_by_sigkill_frees_at_once)
{
    const pid_t pid = child_fork();

    if (pid == 0) {
        struct owner owner = open_and_lock(5, true);
        owner_settle(&owner);
        stop_here();
    }
    wait_stopped(pid);
    cr_assert_eq(probe(5), 1);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert(is_freed(5));
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(owner, death_before_settling_frees_as_well)
{
    const pid_t pid = child_fork();

    if (pid == 0) {
        (void)open_and_lock(5, true);
        stop_here();
    }
    wait_stopped(pid);
    cr_assert_eq(probe(5), 1);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert(is_freed(5));
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(owner, closefrom_takes_nothing_away)
{
    const pid_t pid = child_fork();

    if (pid == 0) {
        struct owner owner = open_and_lock(5, true);
        owner_settle(&owner);
        closefrom(3);
        stop_here();
    }
    wait_stopped(pid);
    cr_assert_eq(probe(5), 1);
    kill_and_reap(pid);
    cr_assert_eq(probe(5), 0);
}

Test(owner, exec_ends_it)
{
    int ends[2];
    char byte;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = child_fork();
    if (pid == 0) {
        struct owner owner = open_and_lock(5, true);
        owner_settle(&owner);
        if (write(ends[1], "x", 1) != 1 || raise(SIGSTOP) != 0)
            abort();
        execlp("sleep", "sleep", "1000", (char *)NULL);
        abort();
    }
    wait_stopped(pid);
    cr_assert_eq(probe(5), 1);
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    cr_assert_eq(read(ends[0], &byte, 1), 0); /* closed by the exec */
    cr_assert(is_freed(5));
    kill_and_reap(pid);
}

/* A producer that forks a worker and dies; the worker lives on. */
static void parent_dies_child_lives(bool settled)
{
    int ends[2];
    pid_t worker;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = child_fork();
    if (pid == 0) {
        struct owner owner = open_and_lock(5, true);
        if (settled)
            owner_settle(&owner);
        worker = fork();
        if (worker == 0) {
            alarm(30); /* should the test fail */
            for (;;)
                pause();
        }
        if (write(ends[1], &worker, sizeof(worker)) != sizeof(worker))
            abort();
        stop_here();
    }
    wait_stopped(pid);
    cr_assert_eq(read(ends[0], &worker, sizeof(worker)), sizeof(worker));
    cr_assert_eq(probe(5), 1);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert(is_freed(5));
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_assert_eq(kill(worker, 0), 0, "the worker should be alive still");
    cr_assert_eq(kill(worker, SIGKILL), 0);
    close(ends[0]);
    close(ends[1]);
}

Test(owner, a_forked_child_does_not_keep_it)
{
    parent_dies_child_lives(true);
}

Test(owner, a_child_forked_before_settling_does_not_keep_it_either)
{
    parent_dies_child_lives(false);
}

Test(owner, a_child_that_closes_it_only_forgets)
{
    struct owner owner = open_and_lock(5, true);

    owner_settle(&owner);
    const pid_t pid = child_fork();
    if (pid == 0) {
        /* Something of the child's own now lies where the mapping was. */
        const size_t size = (size_t)sysconf(_SC_PAGESIZE);
        char *own = mmap(owner.page, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (own != owner.page)
            _exit(1);
        own[0] = 'x';
        owner_close(&owner);
        _exit(own[0] == 'x' && !owner.page ? 0 : 1);
    }
    wait_exit_ok(pid);
    cr_assert_eq(probe(5), 1);
    owner_close(&owner);
}

Test(owner, a_child_can_neither_lock_nor_unlock)
{
    struct owner owner = open_and_lock(5, true);
    const pid_t pid = child_fork();

    if (pid == 0) {
        const bool refused = owner_lock(&owner, 6, true) == SEGLOG_EFORKED &&
                             owner_unlock(&owner, 5) == SEGLOG_EFORKED;
        owner_close(&owner);
        _exit(refused ? 0 : 1);
    }
    wait_exit_ok(pid);
    cr_assert_eq(probe(5), 1);
    /* And the parent's list is in order: settle and close find their place in it. */
    owner_close(&owner);
    cr_assert_eq(probe(5), 0);
}

Test(owner, a_child_can_open_one_of_its_own)
{
    struct owner owner = open_and_lock(5, true);
    const pid_t pid = child_fork();

    if (pid == 0) {
        struct owner own = open_and_lock(6, true);
        owner_close(&owner);
        owner_settle(&own);
        stop_here();
    }
    wait_stopped(pid);
    cr_assert_eq(probe(5), 1);
    cr_assert_eq(probe(6), 1);
    owner_close(&owner);
    cr_assert_eq(probe(6), 1);
    kill_and_reap(pid);
    cr_assert_eq(probe(6), 0);
}

#define RACE_CHILDREN 60

static atomic_bool race_over;

static void *race_run(void *unused)
{
    while (!atomic_load(&race_over)) {
        struct owner owner = OWNER_NONE;

        /* A child that has not got round to closing what it inherited holds on for that long. */
        if (owner_open(dir_fd, "lock", &owner) < 0)
            abort();
        const int rc = owner_lock(&owner, 5, true);
        if (rc < 0 && rc != -EAGAIN)
            abort();
        owner_settle(&owner);
        owner_close(&owner);
    }
    return unused;
}

Test(owner, a_fork_at_any_instant_keeps_nothing)
{
    pid_t children[RACE_CHILDREN];
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, race_run, NULL), 0);
    for (int i = 0; i < RACE_CHILDREN; i++) {
        children[i] = child_fork();
        if (children[i] == 0)
            stop_here();
        wait_stopped(children[i]);
        clock_sleep_ns(200000); /* not for an event: only to meet the thread elsewhere each time */
    }
    atomic_store(&race_over, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);

    cr_assert_eq(probe(5), 0, "one of the children keeps it");
    for (int i = 0; i < RACE_CHILDREN; i++)
        kill_and_reap(children[i]);
}

Test(owner, probing_a_bad_descriptor_is_an_error)
{
    cr_assert_status(owner_probe(-1, 0), -EBADF);
}
