/*
 * The system calls of the library, counted: one of them fails, or is the last thing a process does.
 *
 * The linker leads the calls of programs that ask for it here (see tests/CMakeLists.txt); what libc
 * and liburing do inside goes its usual way. Only threads of this process count, and only between
 * calls_arm() and calls_rest().
 */
#ifndef TEST_SUPPORT_CALLS_H
#define TEST_SUPPORT_CALLS_H

#include <stdbool.h>
#include <stdint.h>

enum call {
    CALL_ANY, /* for calls_plan.only */
    CALL_OPENAT,
    CALL_FDOPENDIR,
    CALL_READDIR,
    CALL_MKDIR,
    CALL_RENAMEAT,
    CALL_RENAMEAT2,
    CALL_LINKAT,
    CALL_UNLINKAT,
    CALL_FSTAT,
    CALL_FSTATFS,
    CALL_FCHMOD,
    CALL_FCNTL,
    CALL_FALLOCATE,
    CALL_FTRUNCATE,
    CALL_PREAD,
    CALL_PWRITE,
    CALL_PWRITEV,
    CALL_FDATASYNC,
    CALL_FSYNC,
    CALL_MSYNC,
    CALL_MMAP,
    CALL_MADVISE,
    CALL_FADVISE,
    CALL_EVENTFD,
    CALL_GETRANDOM,
    CALL_SYSCALL, /* futex, membarrier and others without a function of their own */
    CALLS,
};

#define CALL_SHORT (-1) /* not an errno: half of the bytes */

struct calls_plan {
    uint64_t nth;   /* of the calls from now on; 0: none */
    enum call only; /* count calls of this kind alone */
    int error;      /* an errno that it fails with, or CALL_SHORT; a kind that never fails so counts
                       not */
    bool kills;     /* it is not made, and the process is killed instead */
    _Atomic uint64_t *killed; /* shared, CALLS of them: how many were killed in which; or NULL */
    bool pretends; /* syncs do nothing, and every file system is said to be one on a disk */
};

void calls_arm(const struct calls_plan *plan);
void calls_rest(void);

/* The kind of the call that failed, or CALL_ANY: none has. */
enum call calls_met(void);
const char *calls_name(enum call call);
/* Calls since calls_arm() that could have failed as planned. */
uint64_t calls_counted(void);

#endif
