/*
 * Runs Criterion tests under a sanitizer, in the place of Criterion's own runner.
 *
 * Criterion's runner needs memory at addresses that ThreadSanitizer keeps for itself, and it counts
 * a test as passed before LeakSanitizer has looked. So sanitized builds link this file: it defines
 * main() and the few functions through which test code talks to the runner, which then take
 * precedence over those in libcriterion. Every test runs in a forked child; what a sanitizer finds
 * makes that child exit with a status, and the test fails.
 *
 * usage: test_x [PART-OF-NAME]     runs the tests whose suite::name contains it
 */
#include <criterion/criterion.h>
#include <criterion/event.h>
#include <criterion/parameterized.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Sanitized code is that much slower; a test that names no limit gets LIMIT_S seconds. */
enum { SLOWER = 5, LIMIT_S = 300 };

/* The linker's names for the sections that Test() and TestSuite() fill. */
extern struct criterion_test *__start_cr_tst[] __attribute__((weak, visibility("hidden")));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak, visibility("hidden")));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak, visibility("hidden")));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak, visibility("hidden")));

/* What a test's processes tell the runner; mapped shared, so that forked helpers count too. */
struct verdict {
    atomic_int failed;
    atomic_int skipped;
};

struct run {
    const struct criterion_test *test;
    struct criterion_test_extra_data suite; /* all zero without a TestSuite() */
    void *param;
    pid_t pid;
    jmp_buf leave;
};

static struct verdict *verdict;
static struct run run;
static FILE *tap;
static unsigned passed, failed, skipped;

/* ---- what test code calls --------------------------------------------------------------------- */

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (stats->passed)
        return;
    atomic_store(&verdict->failed, 1);
    fprintf(stderr, "%s:%u: %s::%s: %s\n", stats->file, stats->line, run.test->category,
            run.test->name, stats->message ? stats->message : "assertion failed");
}

void cri_asserts_passed_incr(void);
void cri_asserts_passed_incr(void)
{
}

void criterion_continue_test(void)
{
}

/* Leave the test: from its own thread with its teardown, from anywhere else at once. */
static _Noreturn void leave(void)
{
    if (getpid() == run.pid && gettid() == run.pid)
        longjmp(run.leave, 1);
    _exit(1);
}

void criterion_abort_test(void)
{
    atomic_store(&verdict->failed, 1);
    leave();
}

void criterion_skip_test(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    atomic_store(&verdict->skipped, 1);
    leave();
}

void criterion_test_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    atomic_store(&verdict->failed, 1);
    _exit(1);
}

/* Test() wraps each body into a call of these three. */
void criterion_internal_test_setup(void)
{
    if (run.suite.init)
        run.suite.init();
    if (run.test->data->init)
        run.test->data->init();
}

void criterion_internal_test_main(void (*body)(void))
{
    if (setjmp(run.leave) != 0)
        return;
    if (run.test->data->kind_ == CR_TEST_PARAMETERIZED) {
        void (*with_param)(void *);

        memcpy(&with_param, &body, sizeof(with_param));
        with_param(run.param);
    } else {
        body();
    }
}

void criterion_internal_test_teardown(void)
{
    if (run.test->data->fini)
        run.test->data->fini();
    if (run.suite.fini)
        run.suite.fini();
}

/* ---- the runner ------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static unsigned limit_s(void)
{
    const double timeout =
        run.test->data->timeout > 0 ? run.test->data->timeout : run.suite.timeout;

    return timeout > 0 ? (unsigned)(timeout * SLOWER) + 1 : LIMIT_S;
}

static void run_child(void)
{
    run.pid = getpid();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(limit_s());
    run.test->test();
    if (atomic_load(&verdict->failed)) {
        fflush(NULL);
        _exit(1); /* what a failed test did not free is no news */
    }
    exit(0); /* not _exit(): LeakSanitizer looks now */
}

/* Did the child end as its test says it should? */
static bool ended_well(int status)
{
    const struct criterion_test_extra_data *data = run.test->data;
    const int want_signal = data->signal ? data->signal : run.suite.signal;
    const int want_exit = data->exit_code ? data->exit_code : run.suite.exit_code;

    if (want_signal != 0)
        return WIFSIGNALED(status) && WTERMSIG(status) == want_signal;
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s::%s: killed by signal %d (%s)\n", run.test->category, run.test->name,
                WTERMSIG(status), strsignal(WTERMSIG(status)));
        return false;
    }
    return WEXITSTATUS(status) == want_exit;
}

static void run_test(void)
{
    const double start = now_s();
    const char *word = "not ok";
    int status;
    pid_t pid;

    atomic_store(&verdict->failed, 0);
    atomic_store(&verdict->skipped, 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_child();
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("runner");
        exit(1);
    }
    kill(-pid, SIGKILL); /* what a failed test left running */
    if (atomic_load(&verdict->failed) == 0 && atomic_load(&verdict->skipped) != 0) {
        skipped++;
        word = "skipped";
    } else if (ended_well(status) && atomic_load(&verdict->failed) == 0) {
        passed++;
        word = "ok";
    } else {
        failed++;
    }
    printf("%s - %s::%s (%.2f s)\n", word, run.test->category, run.test->name, now_s() - start);
    if (tap)
        fprintf(tap, "%s - %s::%s%s\n", strcmp(word, "skipped") ? word : "ok", run.test->category,
                run.test->name, strcmp(word, "skipped") ? "" : " # SKIP");
}

static void run_all_params(void)
{
    struct criterion_test_params params = run.test->data->param_();

    for (size_t i = 0; i < params.length; i++) {
        run.param = (char *)params.params + i * params.size;
        run_test();
    }
    if (params.cleanup)
        params.cleanup(&params);
}

static void find_suite(void)
{
    memset(&run.suite, 0, sizeof(run.suite));
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
        if (*suite && (*suite)->data && strcmp((*suite)->name, run.test->category) == 0)
            run.suite = *(*suite)->data;
}

/* The same variable that tells Criterion where to write. */
static FILE *open_tap(void)
{
    const char *where = getenv("CRITERION_OUTPUTS");

    if (!where || strncmp(where, "tap:", 4) != 0)
        return NULL;
    return fopen(where + 4, "we");
}

int main(int argc, char **argv)
{
    verdict =
        mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdict == MAP_FAILED) {
        perror("runner");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    tap = open_tap();
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        char name[512];

        if (!*test)
            continue;
        run.test = *test;
        find_suite();
        snprintf(name, sizeof(name), "%s::%s", run.test->category, run.test->name);
        if (run.test->data->disabled || run.suite.disabled || (argc > 1 && !strstr(name, argv[1])))
            continue;
        if (run.test->data->kind_ == CR_TEST_PARAMETERIZED)
            run_all_params();
        else
            run_test();
    }
    if (tap)
        fclose(tap);
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed > 0;
}
