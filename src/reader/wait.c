/*
 * Waiting for the next record: spin, yield, sleep.
 *
 * The hard part is not to miss a wake-up without costing appenders anything: a sleeper says so in
 * `live`, makes every appender's processor pass a barrier, looks once more, and only then sleeps. An
 * appender that published before the barrier is seen by that look; one that publishes after it sees
 * the sleeper. Whoever wakes clears the flag, so a sleeper registers anew each time round.
 */
#include "reader/handle.h"

#include <errno.h>
#include <sched.h>

#include "log/order.h"
#include "sys/clock.h"

#define SPIN_NS         UINT64_C(20000)
#define YIELDS          32
#define SLICE_CLAIM_NS  UINT64_C(20000000) /* a dead owner is noticed by asking */
#define SLICE_BLIND_NS  UINT64_C(5000000)  /* where the kernel has no barrier for us */
#define SLICE_MIN_NS    UINT64_C(1000000)
#define SLICE_LIVE_NS   UINT64_C(1000000000) /* somebody may have put another `live` in its place */
#define SLICE_SHARED_NS UINT64_C(5000000)    /* where we cannot say that we sleep */

struct waiting {
    uint64_t deadline_ns;
    uint64_t slice_ns; /* where nobody can wake us: grows */
};

static uint64_t time_after(uint64_t now, uint64_t ns)
{
    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Has next() something to say? 0 or -EAGAIN. What is not ours to read is passed on the way. */
static int look(struct seglog_reader *r)
{
    const bool check_payload = r->check_payload;
    struct scan_frame frame;
    int rc;

    if (r->pending)
        return 0;
    r->check_payload = false; /* next() will */
    rc = step_record(r, &frame);
    r->check_payload = check_payload;
    if (rc == -EAGAIN)
        return rc;
    if (rc == 1) {
        r->place.at = frame.offset;
        r->place.seq_rel = frame.frame.seq_rel;
    } else {
        r->pending = rc;
    }
    return 0;
}

/* Look with every means, before going to sleep. */
static int look_well(struct seglog_reader *r)
{
    probe_reset(r);
    return look(r);
}

static int sleep_until(const _Atomic uint32_t *word, uint32_t seen, uint64_t until,
                       uint64_t deadline)
{
    const int rc = futex_wait_shared(word, seen, until);

    return rc == -ETIMEDOUT && until < deadline ? 0 : rc;
}

/* Appenders will wake us, unless something else than an append may end this. */
static int sleep_registered(struct seglog_reader *r, const struct waiting *w)
{
    struct live_file *live = r->view.live;
    const uint32_t seen = atomic_load_explicit(&live->wake, memory_order_acquire);
    uint64_t until = earlier(w->deadline_ns, time_after(clock_monotonic_ns(), SLICE_LIVE_NS));

    /* ORDER sleep.announce <-> sleep.check (log/order.h): an appender, after it has published.
     * Without the barrier, what appenders that rely on it publish now may be missed. */
    if (!sleep_announce(live))
        until = earlier(until, time_after(clock_monotonic_ns(), SLICE_BLIND_NS));
    if (look_well(r) == 0)
        return 0;
    if (r->block != BLOCK_EMPTY)
        until = earlier(until, time_after(clock_monotonic_ns(), SLICE_CLAIM_NS));
    return sleep_until(&live->wake, seen, until, w->deadline_ns);
}

static int sleep_slice(struct seglog_reader *r, struct waiting *w, bool is_live)
{
    const _Atomic uint32_t *word = is_live ? &r->view.live->wake : &r->never;
    const uint32_t seen =
        atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)word, memory_order_acquire);
    const uint64_t limit = is_live ? SLICE_SHARED_NS : SLICE_CLAIM_NS;

    if (look_well(r) == 0)
        return 0;
    w->slice_ns = earlier(w->slice_ns * 2, limit);
    return sleep_until(word, seen,
                       earlier(w->deadline_ns, time_after(clock_monotonic_ns(), w->slice_ns)),
                       w->deadline_ns);
}

static int sleep_once(struct seglog_reader *r, struct waiting *w)
{
    bool is_live;

    log_view_refresh(&r->view);
    is_live = log_view_is_live(&r->view);
    if (is_live && r->view.live_writable)
        return sleep_registered(r, w);
    return sleep_slice(r, w, is_live);
}

/* Look for as long as waking up would take. 0, -EAGAIN, -ETIMEDOUT */
static int look_awake(struct seglog_reader *r, const struct waiting *w)
{
    const uint64_t start = clock_monotonic_ns();
    uint64_t now;

    do {
        if (look(r) == 0)
            return 0;
        cpu_pause();
        now = clock_monotonic_ns();
        if (now >= w->deadline_ns)
            return -ETIMEDOUT;
    } while (r->wait == SEGLOG_WAIT_SPIN || now - start < SPIN_NS);
    for (int i = 0; i < YIELDS || r->wait == SEGLOG_WAIT_YIELD; i++) {
        sched_yield();
        if (look(r) == 0)
            return 0;
        if (clock_monotonic_ns() >= w->deadline_ns)
            return -ETIMEDOUT;
    }
    return -EAGAIN;
}

int seglog_reader_wait(struct seglog_reader *reader, uint64_t timeout_ns)
{
    struct waiting w = {.slice_ns = SLICE_MIN_NS / 2};
    int rc;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    if (look(reader) == 0)
        return 0;
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    w.deadline_ns = time_after(clock_monotonic_ns(), timeout_ns);
    if (reader->wait != SEGLOG_WAIT_SLEEP) {
        rc = look_awake(reader, &w);
        if (rc != -EAGAIN)
            return rc;
    }
    for (;;) {
        rc = sleep_once(reader, &w);
        if (look(reader) == 0)
            return 0;
        if (rc < 0)
            return rc;
    }
}
