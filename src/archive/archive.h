/*
 * Archiving one sealed segment: compress it into a file of its own, and let that take its place.
 *
 *   press.c  compressing and checking blocks, in a thread of its own where that helps
 *   pack.c   the segment's image, block by block, into an open file
 *   swap.c   that file gets its name, the segment loses its own
 */
#ifndef ARCHIVE_ARCHIVE_H
#define ARCHIVE_ARCHIVE_H

#include "io/io.h"
#include "segment/archive.h"
#include "segment/scan.h"

#define ARCHIVE_LEVEL_MIN     1
#define ARCHIVE_LEVEL_MAX     12
#define ARCHIVE_LEVEL_DEFAULT 1
#define ARCHIVE_LEVEL_HC      3 /* from here on */

struct archive_order {
    uint64_t number;
    uint8_t uuid[16];
    uint32_t mode; /* permission bits of the file */
    int level;
    struct io_engine *io; /* what writes; NULL: this thread */
    /* Called now and then; true: stop. May be NULL. bytes: of the segment that are done. */
    bool (*tick)(void *context, uint64_t bytes);
    void *context;
};

struct archive_result {
    uint64_t file_size; /* of the archive */
    uint64_t segment_size;
    bool was_there; /* somebody had been killed before the last step: only that was made up for */
};

/*
 * Write the archive of a sealed segment, opened SEGMENT_PREAD, to an empty file; and sync it. Every
 * block is unpacked again and compared. Memory: some megabytes, or what the largest record takes. A
 * thread of its own compresses and checks, where a processor is to be had for it; it ends with the call.
 *
 * returns  0; SEGLOG_ECORRUPT: the frames are not those that were sealed; -EAGAIN: not sealed;
 *          -ECANCELED; -ENOSPC, -EIO, -ENOMEM ...
 */
int archive_pack(const struct segment *seg, const struct archive_order *order, int fd,
                 struct archive_result *out);

/*
 * Put the archive of order->number in the place of its segment. Killed or cut at any step, one of the
 * two is whole and found. Only one may be at work in a directory.
 *
 * returns  0; as archive_pack(), with everything as it was; what removing or syncing said
 */
int archive_swap(int dirfd, const struct archive_order *order, struct archive_result *out);

#endif
