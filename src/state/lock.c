/*
 * One lock on a file, between handles of any process.
 *
 * The kernel has no lock that ends with the address space and can also be waited for, so waiting is
 * asking again.
 */
#include "state/lock.h"

#include <errno.h>

#include "sys/clock.h"

/* A byte far beyond any file: locks on it are in nobody's way. */
#define LOCK_BYTE (UINT64_C(1) << 62)

#define POLL_FIRST_NS UINT64_C(20000)
#define POLL_LAST_NS  UINT64_C(2000000)

void state_lock_init(struct state_lock *lock, int fd, bool writable)
{
    *lock = (struct state_lock){.owner = OWNER_NONE, .fd = fd, .writable = writable};
    (void)pthread_mutex_init(&lock->mutex, NULL);
}

void state_lock_end(struct state_lock *lock)
{
    owner_close(&lock->owner);
    (void)pthread_mutex_destroy(&lock->mutex);
}

static int try_take(struct state_lock *lock, bool exclusive)
{
    int rc = 0;

    (void)pthread_mutex_lock(&lock->mutex);
    if (lock->owner.page == NULL)
        rc = owner_open_again(lock->fd, lock->writable, &lock->owner);
    if (rc == 0)
        rc = owner_lock(&lock->owner, LOCK_BYTE, exclusive);
    if (rc == 0)
        lock->held = true;
    (void)pthread_mutex_unlock(&lock->mutex);
    return rc;
}

int state_lock_take(struct state_lock *lock, bool exclusive, uint64_t timeout_ns)
{
    uint64_t begun, nap = POLL_FIRST_NS;
    int rc = try_take(lock, exclusive);

    if (rc != -EAGAIN || timeout_ns == 0)
        return rc;
    begun = clock_monotonic_ns();
    do {
        if (clock_monotonic_ns() - begun >= timeout_ns)
            return -ETIMEDOUT;
        clock_sleep_ns(nap);
        nap = nap * 2 < POLL_LAST_NS ? nap * 2 : POLL_LAST_NS;
        rc = try_take(lock, exclusive);
    } while (rc == -EAGAIN);
    return rc;
}

int state_lock_drop(struct state_lock *lock)
{
    int rc;

    (void)pthread_mutex_lock(&lock->mutex);
    rc = lock->held ? owner_unlock(&lock->owner, LOCK_BYTE) : -EINVAL;
    if (rc == 0)
        lock->held = false;
    (void)pthread_mutex_unlock(&lock->mutex);
    return rc;
}
