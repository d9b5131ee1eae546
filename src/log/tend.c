/*
 * The work beside appending, and the threads that do it.
 *
 * Each job is a function that anybody may call; the threads only call them when asked: the preparer
 * makes spares and unmaps what was left, the archiver archives, the helper does all else. They are
 * three because a seal takes as long as its segment takes to read and to sync, and no preparation may
 * wait for that; and archiving takes longer, and no seal may wait for that. They sleep
 * without a timer unless a claim holds up a seal or a deadline was set, so that an idle log costs
 * nothing. Each is started when there is something to do for the first time.
 */
#include "log/handle.h"
#include "log/order.h"
#include "log/trim.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/thread.h"

#define ARCHIVER_NICE 10

#define BLOCKED_RETRY_NS UINT64_C(25000000)

/* How often ages are looked at, where retention goes by them: a tenth of the age, within these. */
#define AGE_LOOK_MIN_NS UINT64_C(1000000000)
#define AGE_LOOK_MAX_NS UINT64_C(3600000000000)

/*
 * Go over the resolved head of the active segment, from where somebody last came to, and note how far
 * it goes. With `reap`, claims of dead (or overdue) producers on the way are made void.
 */
int log_resolve_head(struct seglog_log *log, bool reap)
{
    struct log_segment *ls;
    struct tail_page *tail;
    const struct frame_space *space;
    uint64_t at = OFF_FRAMES, seq_rel = 0, checkpoint;
    int rc = 1;

    pthread_mutex_lock(&log->seal_lock);
    ls = log_table_active(log);
    tail = segment_tail(ls->seg);
    space = &ls->seg->facts.space;
    checkpoint = checkpoint_load(tail, space);
    if (checkpoint != 0) {
        at = tail_offset(checkpoint);
        seq_rel = tail_seq_rel(checkpoint);
    }
    while (rc == 1) {
        struct word_facts facts;
        const uint64_t word = word_load(&segment_frame(ls->seg, at)->word, memory_order_acquire);

        rc = word_decode(space, at, word, &facts);
        if (rc < 0 || facts.state == WORD_EMPTY || facts.state == WORD_ROLL)
            break;
        rc = 1;
        if (facts.state == WORD_CLAIMED)
            rc = reap ? log_reap_claim(log, ls->seg, at, &log->stuck_head) : 0;
        if (rc == 1) {
            at += facts.span;
            seq_rel += facts.count;
        }
    }
    if (rc >= 0)
        checkpoint_store(tail, space, tail_word(seq_rel, at));
    log_table_put(log, ls);
    pthread_mutex_unlock(&log->seal_lock);
    return rc < 0 ? rc : 0;
}

/* Seals, and claims that stand in somebody's way. */
static int tend_full(struct seglog_log *log, bool seal, bool claims)
{
    int rc = 0, first = 0;

    if (seal || claims)
        first = log_catch_up(log);
    if (claims) {
        rc = log_resolve_head(log, true);
        first = first ? first : rc;
    }
    if (seal) {
        rc = log_seal_full(log);
        pthread_mutex_lock(&log->lock);
        log->seal_blocked = rc == -EBUSY;
        pthread_mutex_unlock(&log->lock);
        if (rc < 0 && rc != -EBUSY)
            first = first ? first : rc;
    }
    log_table_reap(log);
    return first;
}

int seglog_log_tend(struct seglog_log *log)
{
    int rc, paced, first = 0;
    bool wanted, seal;

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    pthread_mutex_lock(&log->lock);
    wanted = log->wanted;
    log->wanted = false;
    seal = log->view.settings.sync >= SEGLOG_SYNC_SEALED;
    log->seal_wanted = false;
    pthread_mutex_unlock(&log->lock);
    if (wanted)
        first = log_table_ahead(log);
    rc = tend_full(log, seal, true);
    first = first ? first : rc;
    rc = log_trim_auto(log);
    first = first || rc == -EBUSY ? first : rc;
    if (log->flags & SEGLOG_LOG_NO_HELPER) {
        rc = log_archive_auto(log);
        first = first || rc == -EBUSY ? first : rc;
    }
    paced = log_pace_tend(log);
    return first < 0 ? first : paced;
}

/* ---- the threads ---------------------------------------------------------------------------- */

static uint64_t helper_pause(const struct seglog_log *log)
{
    if (log->seal_blocked)
        return BLOCKED_RETRY_NS;
    if (log->evict_after_ns != 0)
        return log->evict_after_ns / 4 > BLOCKED_RETRY_NS ? log->evict_after_ns / 4
                                                          : BLOCKED_RETRY_NS;
    if (log->keep_age_ns / 10 > AGE_LOOK_MAX_NS)
        return AGE_LOOK_MAX_NS;
    if (log->keep_age_ns != 0)
        return log->keep_age_ns / 10 > AGE_LOOK_MIN_NS ? log->keep_age_ns / 10 : AGE_LOOK_MIN_NS;
    return 0;
}

/* Wait for work under log->lock. true: the pause ended without any. */
static bool helper_wait(struct seglog_log *log)
{
    const uint64_t pause = helper_pause(log);
    struct timespec until;
    uint64_t deadline;

    if (pause == 0) {
        pthread_cond_wait(&log->work, &log->lock);
        return false;
    }
    deadline = clock_monotonic_ns() + pause;
    until.tv_sec = (time_t)(deadline / 1000000000u);
    until.tv_nsec = (long)(deadline % 1000000000u);
    return pthread_cond_timedwait(&log->work, &log->lock, &until) == ETIMEDOUT;
}

/* Under log->lock: wait until there is something to archive, or to look for. */
static void archiver_wait(struct seglog_log *log)
{
    struct timespec until;

    if (log->archive_due_ns == 0) {
        pthread_cond_wait(&log->archive, &log->lock);
        return;
    }
    until.tv_sec = (time_t)(log->archive_due_ns / 1000000000u);
    until.tv_nsec = (long)(log->archive_due_ns % 1000000000u);
    if (pthread_cond_timedwait(&log->archive, &log->lock, &until) == ETIMEDOUT)
        log->archive_wanted = true;
}

static void *archiver_main(void *arg)
{
    struct seglog_log *log = arg;

    /* Of this thread alone: whoever has something to append goes first. */
    (void)setpriority(PRIO_PROCESS, 0, ARCHIVER_NICE);
    pthread_mutex_lock(&log->lock);
    while (!log->helper_stops) {
        if (!log->archive_wanted) {
            archiver_wait(log);
            continue;
        }
        log->archive_wanted = false;
        pthread_mutex_unlock(&log->lock);
        (void)log_archive_auto(log); /* what fails is tried again, and segments stay readable */
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

/* Under log->lock. */
static void archiver_wake(struct seglog_log *log)
{
    log->archive_wanted = true;
    if (!log->archiver_runs)
        log->archiver_runs = thread_begin(&log->archiver, archiver_main, log) == 0;
    pthread_cond_signal(&log->archive);
}

static void *helper_main(void *arg)
{
    struct seglog_log *log = arg;

    pthread_mutex_lock(&log->lock);
    while (!log->helper_stops) {
        const bool reap = log->left && !log->preparer_runs;
        bool seal, trim, claims = false;

        if (!log->seal_wanted && !log->trim_wanted && !reap) {
            if (!helper_wait(log))
                continue;
            claims = true;
        }
        seal = log->seal_wanted || log->seal_blocked;
        trim = log->trim_wanted || claims;
        log->seal_wanted = log->trim_wanted = false;
        pthread_mutex_unlock(&log->lock);
        tend_full(log, seal, claims);
        if (trim)
            (void)log_trim_auto(log); /* what cannot go now is looked at again */
        pthread_mutex_lock(&log->lock);
        if (trim && log->archive_after_ns != 0)
            archiver_wake(log);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

static void *preparer_main(void *arg)
{
    struct seglog_log *log = arg;

    pthread_mutex_lock(&log->lock);
    while (!log->helper_stops) {
        const bool wanted = log->wanted;

        if (!wanted && !log->left) {
            pthread_cond_wait(&log->prepare, &log->lock);
            continue;
        }
        log->wanted = false;
        pthread_mutex_unlock(&log->lock);
        if (wanted)
            log_table_ahead(log); /* a failure is everybody's to see: live->prepare_status */
        log_table_reap(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

void log_ask(struct seglog_log *log, uint64_t number, bool seal)
{
    bool threads;

    pthread_mutex_lock(&log->lock);
    threads = !(log->flags & SEGLOG_LOG_NO_HELPER) && !log->helper_stops;
    if (number > log->active->seg->facts.number) {
        log->wanted = true;
        if (log->spares_goal == 0)
            log->spares_goal = 1;
        if (threads && !log->preparer_runs) /* without it the work is done at the roll */
            log->preparer_runs = thread_begin(&log->preparer, preparer_main, log) == 0;
        pthread_cond_signal(&log->prepare);
    } else {
        if (seal && log->view.settings.sync >= SEGLOG_SYNC_SEALED)
            log->seal_wanted = true;
        log->trim_wanted = log->trim_wanted || seal;
        if (threads && !log->helper_runs)
            log->helper_runs = thread_begin(&log->helper, helper_main, log) == 0;
        pthread_cond_signal(&log->work);
    }
    pthread_mutex_unlock(&log->lock);
}

void log_left(struct seglog_log *log)
{
    log->left = true;
    pthread_cond_signal(log->preparer_runs ? &log->prepare : &log->work);
}

/* By whoever closes the handle, when no other thread but these is left in it. */
void log_helper_stop(struct seglog_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->helper_stops = true;
    pthread_cond_broadcast(&log->work);
    pthread_cond_broadcast(&log->prepare);
    pthread_cond_broadcast(&log->archive);
    atomic_store_explicit(&log->archive_stops, true, memory_order_relaxed);
    pthread_mutex_unlock(&log->lock);
    if (log->helper_runs)
        pthread_join(log->helper, NULL);
    if (log->preparer_runs)
        pthread_join(log->preparer, NULL);
    if (log->archiver_runs) /* which the helper starts: after it */
        pthread_join(log->archiver, NULL);
    log->helper_runs = log->preparer_runs = log->archiver_runs = false;
}
