/*
 * A descriptor that epoll can wait for: an eventfd, and a thread that watches the ring for it.
 *
 * A bell is a futex, and futexes have no descriptors. So the consumer, when a call of its found
 * nothing, empties the eventfd, says where it stands, and lets the thread sleep on the bell in its
 * place; the thread makes the descriptor readable and rests until it is needed again. It touches
 * nothing of the consumer but what lies in here.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include "sys/clock.h"
#include "sys/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ring_event {
    struct seglog_consumer
        watch; /* a copy to look with: position and mappings, no seat, no arena */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool armed;
    _Atomic bool stop;
    int fd;
};

/* One that is asked to stop is told that there is something. */
static int event_look(void *context, bool probe)
{
    struct ring_event *e = context;

    if (atomic_load_explicit(&e->stop, memory_order_acquire))
        return 0;
    return ring_look(&e->watch, probe);
}

static bool event_may_sleep_in(void *context)
{
    const struct ring_event *e = context;

    return e->watch.way != WAY_WORK &&
           word_observe(e->watch.data, e->watch.mask, e->watch.pos) == 0;
}

static void event_wait(struct ring_event *e)
{
    const struct ring_wait wait = {
        .ring = e->watch.ring,
        .bell = &e->watch.shared->data.bell,
        .policy = SEGLOG_WAIT_SLEEP,
        .look = event_look,
        .may_sleep_in = event_may_sleep_in,
        .context = e,
    };

    while (ring_wait(&wait, UINT64_MAX) == -EINTR)
        continue;
}

static void *event_main(void *event)
{
    const uint64_t one = 1;
    struct ring_event *e = event;

    pthread_mutex_lock(&e->lock);
    while (!atomic_load_explicit(&e->stop, memory_order_acquire)) {
        if (!e->armed) {
            pthread_cond_wait(&e->change, &e->lock);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        event_wait(e);
        pthread_mutex_lock(&e->lock);
        e->armed = false;
        (void)!write(e->fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

void ring_event_arm(struct seglog_consumer *c)
{
    struct ring_event *e = c->event;
    uint64_t count;

    pthread_mutex_lock(&e->lock);
    if (!e->armed) {
        e->watch.pos = c->pos;
        e->watch.released = c->released;
        e->watch.records = c->records;
        e->watch.bytes = c->bytes;
        e->watch.from = e->watch.to = 0;
        (void)!read(e->fd, &count, sizeof(count));
        e->armed = true;
        pthread_cond_signal(&e->change);
    }
    pthread_mutex_unlock(&e->lock);
}

void ring_event_free(struct ring_event *e)
{
    if (!e)
        return;
    atomic_store_explicit(&e->stop, true, memory_order_release);
    /* It announces that it sleeps, then looks: it sees `stop`, or we see that it sleeps. */
    atomic_thread_fence(memory_order_seq_cst);
    pthread_mutex_lock(&e->lock);
    pthread_cond_signal(&e->change);
    pthread_mutex_unlock(&e->lock);
    if (!(e->watch.ring->flags & SEGLOG_RING_READ_ONLY))
        bell_ring(&e->watch.shared->data.bell);
    (void)pthread_join(e->thread, NULL);
    (void)close(e->fd);
    pthread_cond_destroy(&e->change);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

int seglog_consumer_fd(struct seglog_consumer *c)
{
    struct ring_event *e;
    int rc;

    if (ring_is_forked(c->guard))
        return SEGLOG_EFORKED;
    if (c->event)
        return c->event->fd;
    e = aligned_alloc(64, align_up(sizeof(*e), 64));
    if (!e)
        return -ENOMEM;
    memset(e, 0, sizeof(*e));
    e->watch = *c;
    e->watch.seat.owner = OWNER_NONE;
    e->watch.event = NULL;
    e->watch.out = 1;                               /* it releases nothing */
    e->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* readable, until a call has found nothing */
    if (e->fd < 0) {
        rc = -errno;
        free(e);
        return rc;
    }
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->change, NULL);
    rc = thread_begin(&e->thread, event_main, e);
    if (rc < 0) {
        (void)close(e->fd);
        free(e);
        return rc;
    }
    c->event = e;
    return e->fd;
}
