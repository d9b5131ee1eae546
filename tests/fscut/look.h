/*
 * An image of a cut, looked at as after a reboot: in a process with a mount namespace and a boot id of
 * its own, the file system is mounted, which plays its journal back, and the log in it is read as it
 * lies, recovered, read again, appended to and verified, all of it held against the tape.
 */
#ifndef TEST_FSCUT_LOOK_H
#define TEST_FSCUT_LOOK_H

#include "fscut/tape.h"
#include "powercut/dice.h"

struct look {
    const struct tape *tape;
    uint64_t cut;
    const char *image; /* the file */
    const char *fs;
    const char *at;   /* where to mount it */
    const char *boot; /* a file that holds another boot id */
    _Atomic uint64_t
        *torn; /* tear blocks of files by sectors (tear.h), and count them; NULL: do not */
    struct dice *dice;
    bool check_fs; /* ask fsck afterwards: is this an image that the file system can live with? */
};

/* Bounded in time. returns 0; 1: a promise was broken, stderr says which; 2: it could not be looked at */
int look(const struct look *l);

#endif
