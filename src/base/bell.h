/*
 * The words by which sleepers in other processes are woken; sys/bell.h has what is done with them.
 */
#ifndef BASE_BELL_H
#define BASE_BELL_H

#include <stdatomic.h>
#include <stdint.h>

struct bell {
    _Atomic uint32_t waiters; /* registrations, ever */
    _Atomic uint32_t served;  /* how many of them were woken; may lag, never lead */
    _Atomic uint32_t wake;    /* what they sleep on */
    uint32_t zero;
};

#endif
