/*
 * Where the two sides of a comparison run, and whether they were near each other: see common.h.
 */
#include "common.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* As it was when bench_start() first asked. */
static cpu_set_t all_cpus;

/* ---- placement -------------------------------------------------------------------------------- */

int bench_cpus(void)
{
    if (CPU_COUNT(&all_cpus) == 0)
        bench_sys(sched_getaffinity(0, sizeof(all_cpus), &all_cpus), "sched_getaffinity");
    return CPU_COUNT(&all_cpus);
}

void bench_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu % bench_cpus()), &set);
    bench_sys(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

void bench_unpin(void)
{
    bench_sys(sched_setaffinity(0, sizeof(all_cpus), &all_cpus), "sched_setaffinity");
}

/* Two lines, each written by one side only. */
struct bounce {
    BENCH_LINE _Atomic uint64_t there;
    BENCH_LINE _Atomic uint64_t back;
    BENCH_LINE _Atomic uint32_t stop;
};
static struct bounce *bounce_lines;
static struct {
    int tried, near;
    double line_ns;
} gate;

static void bounce_answer(struct bounce *b)
{
    for (uint64_t i = 1;; i++) {
        while (atomic_load_explicit(&b->there, memory_order_acquire) != i) {
            if (atomic_load_explicit(&b->stop, memory_order_relaxed))
                return;
        }
        atomic_store_explicit(&b->back, i, memory_order_release);
    }
}

double bench_bounce(void)
{
    struct bounce *b;
    uint64_t i = 0;
    double best = INFINITY;
    pid_t child;

    if (!bounce_lines)
        bounce_lines = bench_shared(sizeof(*bounce_lines));
    b = bounce_lines;
    atomic_store(&b->there, 0);
    atomic_store(&b->back, 0);
    atomic_store(&b->stop, 0);
    child = (pid_t)bench_sys(fork(), "fork");
    if (child == 0) {
        bench_pin(1);
        bounce_answer(b);
        _exit(0);
    }
    bench_pin(0);
    /* The least of some readings of 0.3 ms: what shares our processors for a moment is not far. */
    for (int reading = 0; reading < 6; reading++) {
        const uint64_t start = bench_now(), first = i;
        uint64_t now;
        double ns;

        do {
            for (int k = 0; k < 20; k++) {
                atomic_store_explicit(&b->there, ++i, memory_order_release);
                while (atomic_load_explicit(&b->back, memory_order_acquire) != i)
                    continue;
            }
        } while ((now = bench_now()) - start < 300000u);
        ns = (double)(now - start) / (double)(i - first);
        best = reading > 0 && ns < best ? ns : best;
    }
    atomic_store(&b->stop, 1);
    bench_sys(waitpid(child, NULL, 0), "waitpid");
    bench_unpin();
    return best;
}

/* Wake one processor from the other, many times: hosts put those that do this side by side. */
static void nudge(int times)
{
    int to[2], from[2];
    char c = 0;
    pid_t child;

    bench_sys(pipe(to), "pipe");
    bench_sys(pipe(from), "pipe");
    child = (pid_t)bench_sys(fork(), "fork");
    if (child == 0) {
        bench_pin(1);
        for (int i = 0; i < times; i++) {
            if (read(to[0], &c, 1) != 1 || write(from[1], &c, 1) != 1)
                break;
        }
        _exit(0);
    }
    bench_pin(0);
    for (int i = 0; i < times; i++) {
        if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
            break;
    }
    bench_sys(waitpid(child, NULL, 0), "waitpid");
    for (int i = 0; i < 2; i++) {
        close(to[i]);
        close(from[i]);
    }
    bench_unpin();
}

bool bench_gate_open(void)
{
    if (bench_cpus() < 2)
        return true;
    gate.tried++;
    for (int i = 0; i < 12; i++) {
        gate.line_ns = bench_bounce();
        if (gate.line_ns <= bench.near_ns)
            return true;
        nudge(1500);
    }
    return false;
}

bool bench_gate_close(void)
{
    if (bench_cpus() >= 2) {
        gate.line_ns = bench_bounce();
        if (gate.line_ns > bench.near_ns)
            return false;
    }
    gate.near++;
    return true;
}

double bench_gated(double (*run)(void *context), void *context)
{
    for (int tries = 0; tries < 6; tries++) {
        double figure;

        if (!bench_gate_open())
            continue;
        figure = run(context);
        if (bench_gate_close())
            return figure;
    }
    return NAN;
}

const char *bench_gate_report(void)
{
    static char text[96];

    if (bench_cpus() < 2)
        return "one processor: no placement to speak of";
    snprintf(text, sizeof(text),
             "%d of %d runs counted (processors near); last line bounce %.0f ns", gate.near,
             gate.tried, gate.line_ns);
    gate.near = gate.tried = 0;
    return text;
}
