/*
 * One lock on a file, between handles of any process: it ends with the address space that holds it.
 */
#ifndef STATE_LOCK_H
#define STATE_LOCK_H

#include "sys/owner.h"

#include <pthread.h>

struct state_lock {
    pthread_mutex_t mutex; /* of all below */
    struct owner owner;
    int fd; /* the caller's */
    bool writable;
    bool held;
};

void state_lock_init(struct state_lock *lock, int fd, bool writable);
/* Gives up what is held. Not in a forked child. */
void state_lock_end(struct state_lock *lock);

/*
 * Take it, or change shared to exclusive and back. timeout_ns 0: only try.
 * 0, -EAGAIN, -ETIMEDOUT, -EBADF (exclusive, and not writable), -ENOENT (no /proc), SEGLOG_EFORKED ...
 */
int state_lock_take(struct state_lock *lock, bool exclusive, uint64_t timeout_ns);
/* -EINVAL: not held */
int state_lock_drop(struct state_lock *lock);

#endif
