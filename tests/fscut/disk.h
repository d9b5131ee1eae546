/*
 * A disk that takes down what it is asked.
 *
 * A server process offers one file by the FUSE protocol; a loop device on that file is the disk. Each
 * write, and each sync of the file, which is what a flush of the loop device comes to, goes on the tape
 * when it is done. Afterwards, when nothing runs any more, images are made: what was written before the
 * last flush, and any subset of the writes since, some of them in part.
 */
#ifndef TEST_FSCUT_DISK_H
#define TEST_FSCUT_DISK_H

#include "fscut/tape.h"
#include "powercut/dice.h"

#include <sys/types.h>

#define DISK_PATH 32u

struct disk {
    pid_t server;
    int loop; /* keeps the loop device; closed when it is mounted */
    char at[512];
    char device[DISK_PATH];
};

/* Serve the disk of the tape at path `tape`, mapped at t, under the directory `at`.
 * returns  0; or why this machine or user cannot, a negative errno */
int disk_open(struct tape *t, const char *tape, const char *at, struct disk *out);

/* The disk has been mounted: the loop device goes when that does. */
void disk_let_go(struct disk *d);

/* Nothing of it is mounted any more. Also after a disk_open() that failed. */
void disk_close(struct disk *d);

/* Attach a loop device to a file; it goes away when nobody uses it. fd: to be kept until it is in use.
 * returns  0 or a negative errno */
int disk_loop(const char *file, char device[DISK_PATH], int *fd);

struct disk_counts {
    uint64_t undecided, lost, torn; /* writes since the last flush; of these */
};

/* How many events are beyond doubt at a cut behind event `cut`: the last flush before it was about them. */
uint64_t disk_flushed(const struct tape *t, uint64_t cut);

/* Write the image of a cut behind event `cut` to the file `to`. returns 0 or a negative errno */
int disk_image(const struct tape *t, uint64_t cut, struct dice *dice, const char *to,
               struct disk_counts *counts);

#endif
