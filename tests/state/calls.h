/*
 * The system calls by which bytes become durable or get room, counted, and failing on request.
 *
 * calls.c defines msync(), fdatasync(), fsync() and fallocate() for this test program, so that the
 * layers call these instead of libc's.
 */
#ifndef TEST_STATE_CALLS_H
#define TEST_STATE_CALLS_H

#include <stdatomic.h>
#include <stdint.h>

struct calls {
    _Atomic uint64_t msyncs;    /* with MS_SYNC */
    _Atomic uint64_t asyncs;    /* with anything else */
    _Atomic uint64_t datasyncs; /* fdatasync, fsync */
    _Atomic int sync_errno;     /* syncs of all kinds fail with it; 0: they do not */
    _Atomic int room_errno;     /* the same for fallocate */
    _Atomic uint64_t room_skip; /* once so many have passed */
};
extern struct calls calls;

void calls_reset(void);

#endif
