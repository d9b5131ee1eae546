/*
 * Durability by the clock, and telling of it.
 *
 * The pacer sleeps until something is published (as a reader does: an append wakes it only when it
 * has said that it sleeps), lets an interval pass, and syncs. So an idle log costs nothing, and a
 * busy one a futex call for each interval. The watcher turns the durable number's growth into a
 * readable descriptor. Both are started when first needed and end with the handle.
 */
#include "log/handle.h"
#include "log/order.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/thread.h"

#define BLIND_NS UINT64_C(5000000)  /* where appenders cannot be made to see that we sleep */
#define OPEN_NS  UINT64_C(25000000) /* while an open claim holds the durable number up */

void log_notify(const struct seglog_log *log, uint32_t kind, int status)
{
    const struct seglog_event event = {.kind = kind, .status = status};

    if (log->notify)
        log->notify(log->notify_context, &event);
}

/* Under pace_lock. */
static int thread_start(struct log_thread *thread, void *(*run)(void *), struct seglog_log *log)
{
    int rc;

    if (thread->runs)
        return 0;
    rc = thread_begin(&thread->id, run, log);
    thread->runs = rc == 0;
    return rc;
}

static bool stops(struct seglog_log *log)
{
    bool stops;

    pthread_mutex_lock(&log->pace_lock);
    stops = log->pace_stops;
    pthread_mutex_unlock(&log->pace_lock);
    return stops;
}

/* ---- the pacer ------------------------------------------------------------------------------ */

/* What is published and not durable: 0 nothing, 1 something, or a status. */
static int has_news(struct seglog_log *log)
{
    uint64_t durable = 0, next = 0;
    const int rc = seglog_log_progress(log, &durable, &next);

    return rc < 0 ? rc : next > durable;
}

/* Until somebody publishes, or the end. */
static void sleep_until_news(struct seglog_log *log)
{
    struct live_file *live = log->view.live;

    while (!stops(log)) {
        const uint32_t seen = atomic_load_explicit(&live->wake, memory_order_acquire);
        const bool woken = sleep_announce(live);

        if (stops(log) || has_news(log) != 0)
            return;
        futex_wait_shared(&live->wake, seen, woken ? UINT64_MAX : clock_monotonic_ns() + BLIND_NS);
    }
}

/* The interval, or the end. */
static void sleep_interval(struct seglog_log *log, uint64_t at_least_ns)
{
    struct timespec until;
    uint64_t ns;

    pthread_mutex_lock(&log->pace_lock);
    ns = log->pace_ns > at_least_ns ? log->pace_ns : at_least_ns;
    ns += clock_monotonic_ns();
    until.tv_sec = (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    while (!log->pace_stops &&
           pthread_cond_timedwait(&log->pace_stop, &log->pace_lock, &until) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&log->pace_lock);
}

static void *pacer_main(void *arg)
{
    struct seglog_log *log = arg;
    uint64_t before = 0, pause = 0;

    while (!stops(log)) {
        uint64_t durable = before;

        sleep_until_news(log);
        sleep_interval(log, pause);
        if (stops(log) || log_commit_lead(log, SYNC_REAP) < 0)
            break; /* whoever asks is told why; what is left is the last sync's business */
        seglog_log_progress(log, &durable, NULL);
        pause = durable == before ? OPEN_NS : 0;
        before = durable;
    }
    return NULL;
}

void log_pace(struct seglog_log *log, uint64_t interval_ns)
{
    const uint64_t stored = log->view.settings.sync_interval_ns;

    if (interval_ns == 0)
        interval_ns = stored ? stored : SEGLOG_SYNC_INTERVAL_DEFAULT;
    pthread_mutex_lock(&log->pace_lock);
    if (log->pace_ns == 0 || interval_ns < log->pace_ns)
        log->pace_ns = interval_ns;
    if (!(log->flags & SEGLOG_LOG_NO_HELPER))
        thread_start(&log->pacer, pacer_main, log); /* else seglog_log_tend() and close do it */
    pthread_mutex_unlock(&log->pace_lock);
}

int log_pace_tend(struct seglog_log *log)
{
    bool due;

    pthread_mutex_lock(&log->pace_lock);
    due = log->pace_ns != 0 && !log->pacer.runs;
    pthread_mutex_unlock(&log->pace_lock);
    return due ? log_commit_lead(log, SYNC_REAP) : 0;
}

/* ---- the watcher ---------------------------------------------------------------------------- */

static void *watcher_main(void *arg)
{
    struct seglog_log *log = arg;
    struct live_file *live = log->view.live;
    uint64_t told = log->durable_told;

    for (;;) {
        const uint32_t seen = atomic_load_explicit(&live->durable_wake, memory_order_acquire);
        const uint64_t durable = word_load(&live->durable_seq, memory_order_seq_cst);
        const uint64_t one = 1;

        if (stops(log))
            return NULL;
        /* A counter that is full is readable already. */
        if (durable != told && write(log->durable_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            continue;
        told = durable;
        futex_wait_shared(&live->durable_wake, seen, UINT64_MAX);
    }
}

int seglog_log_durable_fd(struct seglog_log *log)
{
    int rc = 0, fd;

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (log->view.fs.is_volatile)
        return SEGLOG_EVOLATILE;
    pthread_mutex_lock(&log->pace_lock);
    if (log->durable_fd < 0) {
        log->durable_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = log->durable_fd < 0 ? -errno : 0;
    }
    if (rc == 0 && !log->watcher.runs) {
        /* ORDER durable.watch <-> durable.raise: counted before the thread looks at the number. */
        atomic_fetch_add_explicit(&log->view.live->durable_watchers, 1, memory_order_seq_cst);
        /* Looked at here and not in the thread: what grows before it runs must be told, too. */
        log->durable_told = word_load(&log->view.live->durable_seq, memory_order_seq_cst);
        rc = thread_start(&log->watcher, watcher_main, log);
        if (rc < 0)
            atomic_fetch_sub_explicit(&log->view.live->durable_watchers, 1, memory_order_seq_cst);
    }
    fd = log->durable_fd;
    pthread_mutex_unlock(&log->pace_lock);
    return rc < 0 ? rc : fd;
}

/* ---- the end -------------------------------------------------------------------------------- */

int log_pace_stop(struct seglog_log *log)
{
    struct live_file *live = log->view.live;
    bool paced;

    pthread_mutex_lock(&log->pace_lock);
    paced = log->pace_ns != 0;
    log->pace_stops = true;
    pthread_cond_broadcast(&log->pace_stop);
    pthread_mutex_unlock(&log->pace_lock);
    if (log->pacer.runs) {
        /* It sleeps where readers do. */
        atomic_fetch_add_explicit(&live->wake, 1, memory_order_release);
        futex_wake_shared(&live->wake);
        pthread_join(log->pacer.id, NULL);
    }
    if (log->watcher.runs) {
        atomic_fetch_sub_explicit(&live->durable_watchers, 1, memory_order_seq_cst);
        atomic_fetch_add_explicit(&live->durable_wake, 1, memory_order_release);
        futex_wake_shared(&live->durable_wake);
        pthread_join(log->watcher.id, NULL);
    }
    return paced ? log_commit_lead(log, SYNC_MARK | SYNC_REAP) : 0;
}
