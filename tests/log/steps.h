/*
 * The system calls that change files, counted: to be killed before the nth, or to let one fail.
 *
 * steps.c defines pwrite(), fdatasync() and their like for the whole test program, so that the layers
 * call these instead of libc's.
 */
#ifndef TEST_LOG_STEPS_H
#define TEST_LOG_STEPS_H

#include <stdatomic.h>
#include <stdint.h>

enum step {
    STEP_NONE = 0,
    STEP_PWRITE = 1,
    STEP_SYNC = 2, /* fdatasync, fsync, msync, pwritev2 */
    STEP_FALLOCATE = 4,
    STEP_NAME = 8, /* renameat2, linkat, unlinkat */
    STEP_ANY = 15,
};

struct steps {
    _Atomic uint64_t count;      /* since steps_reset() */
    _Atomic uint64_t die_at;     /* SIGKILL ourselves before this one; 0: never */
    _Atomic int die_signal;      /* by this signal instead; 0: SIGKILL */
    _Atomic uint32_t fail;       /* calls of these kinds fail ... */
    _Atomic uint32_t skip;       /* ... once so many of them have passed ... */
    _Atomic int fail_errno;      /* ... with this errno */
    _Atomic uint64_t fallocates; /* since steps_reset() */
};
extern struct steps steps;

void steps_reset(void);

#endif
