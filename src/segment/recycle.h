/*
 * Files of removed segments, kept to be made into new ones.
 */
#ifndef SEGMENT_RECYCLE_H
#define SEGMENT_RECYCLE_H

#include "segment/build.h"

#define RETIRED_NAME_BYTES 40

/* Files that may wait, less where segments are large: see recycle.c. */
#define RETIRED_MAX 4u

/* How often a file that is held by others is tried. */
#define RECYCLE_TRIES 8u

/* What a process remembers of files that it was refused. Zero at the beginning. */
struct recycler_try {
    uint64_t number;
    unsigned count;
};
struct recycler {
    struct recycler_try tries[RETIRED_MAX];
};

/*
 * Segment `number` is removed from the log: take its name away. The file waits to be recycled, or is
 * unlinked when enough of them do. `size`: of the log's segments.
 * returns  0; -ENOENT: it is gone; what unlink() says
 */
int segment_retire(int dirfd, uint64_t number, uint64_t size);

/*
 * segment_prepare() with the file of a removed segment. One caller at a time, by whatever lock.
 * returns  0 and *out, mapped for writing; -ENOENT: there is none, or none that is free;
 *          -EEXIST: somebody else made that segment; -ENOMEM
 */
int segment_recycle(int dirfd, const struct prepare_order *order, struct recycler *r,
                    struct segment **out);

#endif
