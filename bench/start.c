/*
 * How long one line from a shell takes: `echo x | seglog append DIR`, from fork to exit, next to what
 * starting a shell and a process costs anyway.
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS        50
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct contender {
    const char *name;
    char script[1024];
    double target; /* ms */
};

/* Wall time of `sh -c script`, ms. */
static double shell(const char *script)
{
    const uint64_t start = bench_now();
    const pid_t child = (pid_t)bench_sys(fork(), "fork");
    int status;

    if (child == 0) {
        const int null = open("/dev/null", O_WRONLY);

        dup2(null, 1);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    bench_sys(waitpid(child, &status, 0), "waitpid");
    if (status != 0)
        bench_die("failed: %s", script);
    return (double)(bench_now() - start) / 1e6;
}

/* The command beside this program's folder, unless one was named. */
static const char *command(const char *self)
{
    static char path[512];
    const char *slash = strrchr(self, '/');

    if (bench.command)
        return bench.command;
    snprintf(path, sizeof(path), "%.*s../seglog", slash ? (int)(slash - self + 1) : 0, self);
    return path;
}

int main(int argc, char **argv)
{
    struct contender contenders[] = {
        {.name = "echo x | seglog append DIR", .target = 10},
        {.name = "seglog append DIR, 1000 lines", .target = NAN},
        {.name = "seglog --version", .target = NAN},
        {.name = "floor: echo x | cat >> FILE", .target = NAN},
        {.name = "floor: echo x >> FILE", .target = NAN},
        {.name = "floor: true", .target = NAN},
    };
    struct bench_series series[COUNT_OF(contenders)] = {0};
    char work[160];
    const char *seglog;

    bench_start(argc, argv, "start");
    seglog = command(argv[0]);
    if (access(seglog, X_OK) != 0)
        bench_die("%s: no such command; name it with --command", seglog);
    snprintf(work, sizeof(work), "%s/seglog-bench-XXXXXX", bench.dir);
    if (!mkdtemp(work))
        bench_die("%s: %s", work, strerror(errno));

#define SCRIPT(i, ...) snprintf(contenders[i].script, sizeof(contenders[i].script), __VA_ARGS__)
    SCRIPT(0, "echo x | '%s' append '%s/log'", seglog, work);
    SCRIPT(1, "'%s' append '%s/log' < '%s/lines'", seglog, work, work);
    SCRIPT(2, "'%s' --version", seglog);
    SCRIPT(3, "echo x | cat >> '%s/file'", work);
    SCRIPT(4, "echo x >> '%s/file'", work);
    SCRIPT(5, "/bin/true");

    {
        char script[2048];

        snprintf(script, sizeof(script),
                 "set -e; '%s' create '%s/log'; echo first | '%s' append '%s/log'; "
                 "seq 1000 > '%s/lines'",
                 seglog, work, seglog, work, work);
        shell(script);
        for (int run = 0; run < RUNS; run++) {
            for (size_t i = 0; i < COUNT_OF(contenders); i++)
                bench_add(&series[i], shell(contenders[i].script));
        }
        /* Every line must be there. */
        snprintf(script, sizeof(script), "test $('%s' cat '%s/log' | wc -l) = %d", seglog, work,
                 1 + RUNS * 1001);
        shell(script);
        snprintf(script, sizeof(script), "rm -r '%s'", work);
        shell(script);
    }

    bench_table("start", "wall time of a command run by sh, ms, %d runs in turn", RUNS);
    for (size_t i = 0; i < COUNT_OF(contenders); i++) {
        bench_text("command", "%s", contenders[i].name);
        bench_number("ms", 2, bench_median(&series[i]));
        bench_number("least", 2, bench_least(&series[i]));
        bench_number("most", 2, bench_most(&series[i]));
        bench_number("target", 0, contenders[i].target);
        bench_end_row();
    }
    return 0;
}
