/*
 * An archive as a segment: opened by segment_open() where the segment file is gone, and read by the
 * same calls.
 *
 * Mapped, it is memory of the segment's size into which blocks are unpacked when somebody comes to
 * them: records lie where they lay in the segment, also across blocks, and a block that is not there
 * reads as zeros. Not mapped, one unpacked block is kept. A block that is not as it was written gives
 * what it still gives, and zeros: the walk over the frames finds out which records are lost.
 */
#ifndef SEGMENT_ARCHIVE_H
#define SEGMENT_ARCHIVE_H

#include "format/archive.h"
#include "segment/segment.h"

struct archive {
    struct archive_facts facts;
    struct archive_header header;
    struct segment_footer footer;

    /* Once a block was needed. */
    struct archive_entry *table;
    uint32_t *places;
    uint8_t *stored; /* one block as stored */
    bool is_lost;    /* no table to be had: no block can be found */
    bool has_bad;    /* a block was not as it was written */

    /* Mapped: which blocks are unpacked; bytes [from, to) are there. */
    uint8_t *is_there;
    uint32_t there;
    uint64_t from, to;
    bool is_walked; /* block after block: large pages were asked for */

    /* Not mapped: one block. */
    uint8_t *block;
    uint32_t block_no;
    bool has_block;
};

/* What segment_open() does with the archive behind seg->fd: fills seg->facts, seg->arc and, if mapped,
 * seg->base. As segment_open(). */
int archive_open(struct segment *seg, uint64_t file_size, bool mapped, const char **why);
void archive_close(struct archive *arc);

/* Mapped: let bytes [offset, offset + len) be there. 0; -EIO, -ENOMEM ... */
int archive_need(const struct segment *seg, uint64_t offset, uint64_t len);
static inline int archive_have(const struct segment *seg, uint64_t offset, uint64_t len)
{
    return offset >= seg->arc->from && offset + len <= seg->arc->to
               ? 0
               : archive_need(seg, offset, len);
}

/* Mapped: how far bytes are there from offset on; offset itself: none. */
uint64_t archive_reach(const struct segment *seg, uint64_t offset);

/* Mapped: give memory back, if there is much of it, but for the block at offset. */
void archive_release(const struct segment *seg, uint64_t offset);

/* n bytes of the image. 0; -ENODATA: beyond it; -EIO, -ENOMEM ... */
int archive_read(const struct segment *seg, void *buf, uint64_t n, uint64_t offset);

/* The index as stored: facts.index_count entries. */
int archive_index(const struct segment *seg, struct index_entry *out);

/*
 * Is every byte of the file as it was written? Opened SEGMENT_PREAD.
 *
 * returns  0; SEGLOG_ECORRUPT with *why and *offset (of the image, or of its end for what lies around
 *          the blocks); -EIO, -ENOMEM ...
 */
int archive_check(const struct segment *seg, uint64_t *offset, const char **why);

/* Is there an archive of this segment? */
bool archive_exists(int dirfd, uint64_t number);

#endif
