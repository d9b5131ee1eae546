/*
 * How soon a follower that sleeps in the kernel reads what was appended, beside what waking a process
 * costs in any case.
 */
#include "common.h"

#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define WAKES    400u
#define WAKE_GAP 300000u /* ns between two: long enough to fall asleep again */

enum wake_kind { WAKE_LOG, WAKE_FUTEX, WAKE_PIPE };
static const char *const wake_names[] = {
    "log: append to a sleeping follower",
    "floor: futex",
    "floor: pipe",
};
#define WAKE_KINDS COUNT_OF(wake_names)

struct wake_shared {
    _Atomic uint32_t word;
    _Atomic uint64_t sent_ns;
    struct bench_hist hist;
};

struct wake {
    enum wake_kind kind;
    struct wake_shared *shared;
    int pipe[2];
    struct bench_log log;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
};

static void wake_prepare(void *context, int id)
{
    struct wake *w = context;

    if (w->kind != WAKE_LOG)
        return;
    if (id == 0)
        w->appender =
            bench_producer(&w->log, SEGLOG_EXCLUSIVE, SEGLOG_LOG_NO_HELPER, true, &w->handle);
    else
        w->reader = bench_follower(&w->log, SEGLOG_WAIT_SLEEP, true);
}

static void wake_send(struct wake *w)
{
    uint64_t now = bench_now();
    const struct seglog_record record = {.data = &now, .len = sizeof(now), .time_ns = now};

    switch (w->kind) {
    case WAKE_LOG:
        bench_ok(seglog_appender_append_record(w->appender, &record, NULL), "append");
        break;
    case WAKE_FUTEX:
        atomic_store(&w->shared->sent_ns, now);
        atomic_fetch_add(&w->shared->word, 1);
        syscall(SYS_futex, &w->shared->word, FUTEX_WAKE, 1, NULL, NULL, 0);
        break;
    case WAKE_PIPE:
        if (write(w->pipe[1], &now, sizeof(now)) != sizeof(now))
            bench_die("pipe");
        break;
    }
}

/* When what arrived was sent. */
static uint64_t wake_receive(struct wake *w, uint32_t seen)
{
    struct seglog_view view;
    uint64_t sent;
    int rc;

    switch (w->kind) {
    case WAKE_LOG:
        while ((rc = seglog_reader_next(w->reader, &view)) == -EAGAIN)
            bench_ok(seglog_reader_wait(w->reader, UINT64_MAX), "wait");
        bench_ok(rc, "next");
        memcpy(&sent, view.data, sizeof(sent));
        return sent;
    case WAKE_FUTEX:
        while (atomic_load(&w->shared->word) == seen)
            syscall(SYS_futex, &w->shared->word, FUTEX_WAIT, seen, NULL, NULL, 0);
        return atomic_load(&w->shared->sent_ns);
    default:
        if (read(w->pipe[0], &sent, sizeof(sent)) != sizeof(sent))
            bench_die("pipe");
        return sent;
    }
}

static void wake_run(void *context, int id)
{
    struct wake *w = context;

    for (uint32_t i = 0; i < WAKES; i++) {
        if (id == 0) {
            bench_sleep(WAKE_GAP);
            wake_send(w);
        } else {
            const uint64_t sent = wake_receive(w, i);

            bench_hist_add(&w->shared->hist, bench_now() - sent);
        }
    }
}

static void wake_finish(void *context, int id)
{
    struct wake *w = context;

    if (w->kind != WAKE_LOG)
        return;
    if (id == 0)
        bench_producer_close(w->handle, w->appender);
    else
        seglog_reader_close(w->reader);
}

struct wake_job {
    enum wake_kind kind;
    struct wake_shared *shared;
};

/* The median, us; the rest is in job->shared. */
static double wake_measure(void *context)
{
    const struct wake_job *job = context;
    const enum wake_kind kind = job->kind;
    struct wake_shared *shared = job->shared;
    struct wake w = {.kind = kind, .shared = shared};
    struct bench_role roles[2];

    bench_sys(pipe(w.pipe), "pipe");
    memset(shared, 0, sizeof(*shared));
    if (kind == WAKE_LOG)
        bench_log_begin(&w.log, (uint64_t)1 << 20);
    for (int i = 0; i < 2; i++)
        roles[i] = (struct bench_role){.prepare = wake_prepare,
                                       .run = wake_run,
                                       .finish = wake_finish,
                                       .context = &w,
                                       .id = i,
                                       .cpu = i};
    bench_together(roles, 2, true);
    if (kind == WAKE_LOG)
        bench_log_remove(&w.log);
    close(w.pipe[0]);
    close(w.pipe[1]);
    return bench_hist_at(&shared->hist, 0.5) / 1e3;
}

static void wake(const char *section)
{
    struct wake_shared *shared = bench_shared(sizeof(*shared));
    struct bench_series p50[WAKE_KINDS] = {0}, p99[WAKE_KINDS] = {0}, most[WAKE_KINDS] = {0};

    bench_table(section,
                "from before the append to behind next() of a follower asleep in the kernel, us, "
                "medians of %d gated rounds of %u",
                bench.rounds, WAKES);
    for (int round = 0; round < bench.rounds; round++) {
        for (size_t i = 0; i < WAKE_KINDS; i++) {
            struct wake_job job = {.kind = (enum wake_kind)i, .shared = shared};
            const double figure = bench_gated(wake_measure, &job);

            bench_add(&p50[i], figure);
            if (isnan(figure))
                continue;
            bench_add(&p99[i], bench_hist_at(&shared->hist, 0.99) / 1e3);
            bench_add(&most[i], (double)shared->hist.most / 1e3);
        }
    }
    for (size_t i = 0; i < WAKE_KINDS; i++) {
        bench_text("contender", "%s", wake_names[i]);
        bench_number("p50", 1, bench_median(&p50[i]));
        bench_number("p99", 1, bench_median(&p99[i]));
        bench_number("max", 1, bench_median(&most[i]));
        bench_number("/futex", 2, i == 0 ? bench_ratio(&p50[0], &p50[1]) : NAN);
        bench_number("/pipe", 2, i == 0 ? bench_ratio(&p50[0], &p50[2]) : NAN);
        bench_end_row();
    }
    bench_note("%s", bench_gate_report());
    bench_unmap(shared, sizeof(*shared));
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "wake");
    if (bench_cpus() < 2)
        bench_die("two processors are needed");
    wake("wake");
    return 0;
}
