/*
 * What the file of a persistent struct is inside.
 *
 *   struct.c          the file and its schema
 *   struct_fields.c   strings, vectors, segmented vectors
 */
#ifndef STATE_STRUCT_H
#define STATE_STRUCT_H

#include <seglog/struct.h>

#include "format/state.h"
#include "state/lock.h"
#include "sys/region.h"

struct seglog_struct {
    const uint64_t *guard; /* reads 0 in a forked child */
    struct region region;
    uint8_t *body;
    uint64_t body_end; /* no part of a segmented vector lies before it */
    int fd;
    bool is_writable;
    bool is_volatile;
    _Atomic int failed; /* a sync did, for good */
    struct state_lock lock;
};

static inline bool struct_is_forked(const struct seglog_struct *s)
{
    return *(const volatile uint64_t *)s->guard == 0;
}

/* Make what is stored durable; a failure is final. */
int struct_sync(struct seglog_struct *s);

#endif
