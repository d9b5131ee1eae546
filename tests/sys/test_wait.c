/*
 * Sleeping and waking between processes, and the asymmetric fence.
 */
#include "sys/wait.h"

#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD_BYTES 4096

/* A word in a file, seen through two mappings as two processes would see it. */
static char *dir_path;
static _Atomic uint32_t *word;
static const _Atomic uint32_t *word_read_only;

static void setup(void)
{
    void *map;

    dir_path = tmpdir_make();
    const int dir_fd = dir_open(dir_path);
    cr_assert_ok(dir_fd);
    const int fd = file_create(dir_fd, "word", 0600);
    cr_assert_ok(fd);
    cr_assert_eq(ftruncate(fd, WORD_BYTES), 0);
    cr_assert_ok(map_file(fd, 0, WORD_BYTES, true, &map));
    word = map;
    cr_assert_ok(map_file(fd, 0, WORD_BYTES, false, &map));
    word_read_only = map;
    file_close(fd);
    file_close(dir_fd);
}

static void teardown(void)
{
    map_drop(word, WORD_BYTES);
    map_drop((void *)(uintptr_t)word_read_only, WORD_BYTES);
    tmpdir_remove(dir_path);
}

TestSuite(futex, .init = setup, .fini = teardown, .timeout = 60);

static pid_t child_fork(void)
{
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* Until the kernel says that the process sleeps. */
static void wait_asleep(pid_t pid)
{
    char path[64];
    char state = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (state != 'S') {
        FILE *f = fopen(path, "r");
        cr_assert_not_null(f);
        cr_assert_eq(fscanf(f, "%*d %*s %c", &state), 1);
        fclose(f);
    }
}

static void wait_exit_ok(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}

Test(futex, a_word_that_has_changed_does_not_let_anybody_sleep)
{
    atomic_store(word, 7);
    cr_assert_status(futex_wait_shared(word, 6, UINT64_MAX), 0);
}

Test(futex, the_deadline_is_kept_and_is_absolute)
{
    const uint64_t deadline = clock_monotonic_ns() + 20000000;

    cr_assert_status(futex_wait_shared(word, 0, deadline), -ETIMEDOUT);
    cr_assert_geq(clock_monotonic_ns(), deadline);
    cr_assert_status(futex_wait_shared(word, 0, deadline), -ETIMEDOUT);
    cr_assert_status(futex_wait_shared(word, 0, 0), -ETIMEDOUT);
}

Test(futex, a_store_and_a_wake_reach_sleepers_of_other_processes_on_read_only_mappings)
{
    pid_t pids[3];

    for (int i = 0; i < 3; i++) {
        pids[i] = child_fork();
        if (pids[i] == 0) {
            while (atomic_load(word_read_only) == 0) {
                if (futex_wait_shared(word_read_only, 0, UINT64_MAX) < 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        wait_asleep(pids[i]);
    atomic_store(word, 1);
    futex_wake_shared(word);
    for (int i = 0; i < 3; i++)
        wait_exit_ok(pids[i]);
}

static void on_alarm(int signal)
{
    (void)signal;
}

Test(futex, a_signal_is_told_to_the_caller)
{
    /* It comes again and again, so that one comes during the sleep. */
    const struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000};
    const struct sigaction action = {.sa_handler = on_alarm};

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    cr_assert_status(futex_wait_shared(word, 0, UINT64_MAX), -EINTR);
}

Test(futex, an_address_that_is_none_is_an_error)
{
    cr_assert_status(futex_wait_shared((const _Atomic uint32_t *)8, 0, UINT64_MAX), -EFAULT);
}

/*
 * Store buffering: each side stores its own word and then reads the other's. One of them must see the
 * other. The light side has nothing but a compiler fence, the heavy side has barrier_all().
 */
#define ROUNDS    20000u
#define ENOUGH    100u /* rounds, where each takes long */
#define ENOUGH_NS UINT64_C(3000000000)

static _Atomic uint32_t round_begun;
static _Atomic uint32_t round_ended;
static _Atomic uint32_t light;
static _Atomic uint32_t heavy;
static uint32_t light_saw;
static atomic_bool rounds_over;

/* The other side may have no processor but ours, or none of its own for a while. */
static void wait_for(const _Atomic uint32_t *count, uint32_t value)
{
    for (unsigned spins = 1; atomic_load(count) < value; spins++) {
        if (spins % 1024 == 0)
            sched_yield();
        cpu_pause();
    }
}

static void *light_run(void *unused)
{
    for (uint32_t i = 1;; i++) {
        wait_for(&round_begun, i);
        if (atomic_load(&rounds_over))
            break;
        atomic_store_explicit(&light, i, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        light_saw = atomic_load_explicit(&heavy, memory_order_relaxed);
        atomic_store_explicit(&round_ended, i, memory_order_release);
    }
    return unused;
}

Test(barrier, it_fences_the_side_that_has_no_fence, .timeout = 120)
{
    const uint64_t until = clock_monotonic_ns() + ENOUGH_NS;
    pthread_t thread;
    uint32_t i;

    if (!barrier_register())
        cr_skip_test("this kernel has no membarrier");
    cr_assert_eq(pthread_create(&thread, NULL, light_run, NULL), 0);
    for (i = 1; i <= ENOUGH || (i <= ROUNDS && clock_monotonic_ns() < until); i++) {
        atomic_store(&round_begun, i);
        atomic_store_explicit(&heavy, i, memory_order_relaxed);
        cr_assert(barrier_all());
        const uint32_t heavy_saw = atomic_load_explicit(&light, memory_order_relaxed);

        wait_for(&round_ended, i);
        cr_assert(heavy_saw == i || light_saw == i, "round %u: neither saw the other", i);
    }
    atomic_store(&rounds_over, true);
    atomic_store(&round_begun, i);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(barrier, one_who_has_not_registered_may_call_it)
{
    const pid_t pid = child_fork();

    if (pid == 0) {
        const bool can = barrier_all();
        _exit(can == barrier_register() ? 0 : 1);
    }
    wait_exit_ok(pid);
}
