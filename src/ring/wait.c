/*
 * Waiting, for messages and for room alike: spin, yield, sleep.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include "sys/clock.h"

#include <errno.h>
#include <sched.h>

#define SPIN_NS        UINT64_C(20000)
#define YIELDS         32
#define PROBE_NS       UINT64_C(10000000)
#define SLICE_NS       UINT64_C(20000000) /* the dead are noticed by asking */
#define SLICE_BLIND_NS UINT64_C(2000000)  /* where nobody can be made to wake us */

static uint64_t time_after(uint64_t now, uint64_t ns)
{
    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

bool ring_probe_is_due(uint64_t *probe_ns)
{
    const uint64_t now = clock_monotonic_ns();

    if (*probe_ns != 0 && now - *probe_ns < PROBE_NS)
        return false;
    *probe_ns = now;
    return true;
}

/* Look for as long as waking up would take. As look(), or -ETIMEDOUT */
static int look_awake(const struct ring_wait *w, uint64_t deadline)
{
    const uint64_t start = clock_monotonic_ns();
    uint64_t now;
    int rc;

    do {
        /* Often, and the clock not so often: reading it takes as long as a message. */
        for (int i = 0; i < 16; i++) {
            rc = w->look(w->context, false);
            if (rc != -EAGAIN)
                return rc;
            cpu_pause();
        }
        rc = w->look(w->context, true);
        if (rc != -EAGAIN)
            return rc;
        now = clock_monotonic_ns();
        if (now >= deadline)
            return -ETIMEDOUT;
    } while (w->policy == SEGLOG_WAIT_SPIN || now - start < SPIN_NS);
    for (int i = 0; i < YIELDS || w->policy == SEGLOG_WAIT_YIELD; i++) {
        sched_yield();
        rc = w->look(w->context, true);
        if (rc != -EAGAIN)
            return rc;
        if (clock_monotonic_ns() >= deadline)
            return -ETIMEDOUT;
    }
    return -EAGAIN;
}

/* 0, -EAGAIN: look again; what look() says; -ETIMEDOUT, -EINTR */
static int sleep_once(const struct ring_wait *w, uint64_t deadline)
{
    const bool blind = (w->ring->flags & SEGLOG_RING_READ_ONLY) != 0;
    const uint32_t seen = bell_ticket(w->bell);
    uint64_t slice = UINT64_MAX, until;
    int rc;

    if (blind || !bell_announce(w->bell))
        slice = SLICE_BLIND_NS;
    rc = w->look(w->context, true);
    if (rc != -EAGAIN)
        return rc;
    if (slice == UINT64_MAX && !(w->may_sleep_in && w->may_sleep_in(w->context)))
        slice = SLICE_NS;
    until = time_after(clock_monotonic_ns(), slice);
    rc = futex_wait_shared(&w->bell->wake, seen, until < deadline ? until : deadline);
    if (rc == -ETIMEDOUT && until < deadline)
        rc = 0;
    return rc == 0 ? -EAGAIN : rc;
}

int ring_wait(const struct ring_wait *w, uint64_t timeout_ns)
{
    uint64_t deadline;
    int rc = w->look(w->context, true);

    if (rc != -EAGAIN)
        return rc;
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    deadline = time_after(clock_monotonic_ns(), timeout_ns);
    if (w->policy != SEGLOG_WAIT_SLEEP)
        rc = look_awake(w, deadline);
    while (rc == -EAGAIN) {
        int slept = sleep_once(w, deadline);

        if (slept == -ETIMEDOUT || slept == -EINTR) {
            /* What came meanwhile counts more. */
            rc = w->look(w->context, true);
            return rc == -EAGAIN ? slept : rc;
        }
        rc = slept;
    }
    return rc;
}
