/*
 * An image of a cut, looked at as after a reboot: in a process with a mount namespace and a boot id of
 * its own, the file system is mounted, which plays its journal back, and the log in it is read as it
 * lies, recovered, read again, appended to and verified, all of it held against the tape.
 */
#ifndef TEST_FSCUT_LOOK_H
#define TEST_FSCUT_LOOK_H

#include "fscut/tape.h"
#include "powercut/dice.h"

#define LOOK_CANNOT 2

/* The first number, and the one behind the last record; shared with who looks. */
struct look_found {
    bool is_known;
    uint64_t first, end;
};

struct look {
    const struct tape *tape;
    uint64_t cut;
    struct look_found
        *found;        /* what is there: set, or, when it is known already, must be so again */
    const char *image; /* the file */
    const char
        *device; /* a disk that has it, on which it is recovered and no more; NULL: one is made */
    const char *fs;
    const char *at;   /* where to mount it */
    const char *boot; /* a file that holds another boot id */
    _Atomic uint64_t
        *torn; /* tear blocks of files by sectors (tear.h), and count them; NULL: do not */
    struct dice *dice;
    bool check_fs; /* ask fsck afterwards: is this an image that the file system can live with? */
};

/* Bounded in time. returns 0; 1: a promise was broken, stderr says which; LOOK_CANNOT */
int look(const struct look *l);

#endif
