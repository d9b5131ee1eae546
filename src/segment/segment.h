/*
 * One segment file: open, map, and the blocks that are not frames.
 *
 * A name becomes a segment only after every check here: header, size of the file, number against
 * name, log against log. Nobody ever truncates a named file, so that a checked mapping stays good;
 * and whoever has a segment open holds a shared flock(2) on the description that it reads and maps
 * it through, so that its file is not made into another segment meanwhile (recycle.c).
 */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include "format/footer.h"

enum segment_access {
    SEGMENT_READ,        /* mapped, read-only */
    SEGMENT_WRITE,       /* mapped, read-write */
    SEGMENT_PREAD,       /* not mapped: a failing medium gives -EIO instead of SIGBUS */
    SEGMENT_PREAD_WRITE, /* not mapped, writable by pwrite */
};

struct archive;

struct segment {
    struct segment_facts facts;
    enum segment_access access;
    int fd;
    uint8_t *base;       /* NULL: not mapped */
    struct archive *arc; /* NULL: a segment file; else fd is its archive's: see archive.h */
    uint64_t dev;
    uint64_t ino;
};

#define SEGMENT_NAME_BYTES 24
/* "%016x.seg", "%016x.arc" */
void segment_name(uint64_t number, char out[SEGMENT_NAME_BYTES]);
void segment_archive_name(uint64_t number, char out[SEGMENT_NAME_BYTES]);
/* true and *number when name is that of a segment, or of its archive. */
bool segment_name_parse(const char *name, uint64_t *number);
/* Remove segment and archive of this number. 0 also when there is neither. */
int segment_unlink(int dirfd, uint64_t number);

/*
 * Open segment `number` of the log `uuid`, or its archive: where both are there a sealed segment wins.
 * For writing there are no archives.
 *
 * returns  0; -ENOENT; -ESTALE: for writing, and there is an archive only; SEGLOG_ENOTLOG,
 *          SEGLOG_EENDIAN, SEGLOG_EVERSION, SEGLOG_ECORRUPT with *why;
 *          -EBUSY: somebody outside locks the file; -EACCES, -EIO, -ENOMEM, -EMFILE ...
 */
int segment_open(int dirfd, uint64_t number, const uint8_t uuid[16], enum segment_access access,
                 struct segment **out, const char **why);
/* Its archive, even if the segment is there: SEGMENT_PREAD. */
int segment_open_archive(int dirfd, uint64_t number, const uint8_t uuid[16], struct segment **out,
                         const char **why);
void segment_close(struct segment *seg);
/* Map one that was opened SEGMENT_WRITE, if it is not. */
int segment_map(struct segment *seg);
/* Drop the mapping and keep the descriptor, which is then all that the segment has. */
void segment_unmap(struct segment *seg);
/*
 * Give back the memory that its pages take: they leave this mapping, and those that are clean and that
 * nobody else maps leave the page cache. They come back when touched. A hint: failures do not matter.
 */
void segment_drop_pages(const struct segment *seg);

/* n bytes at offset, of the file or as unpacked. 0; -EIO, -ENODATA ... */
int segment_pread(const struct segment *seg, void *buf, uint64_t n, uint64_t offset);

/* 0; -EAGAIN: not activated; SEGLOG_ECORRUPT; -EIO */
int segment_activation(const struct segment *seg, struct activation_facts *out);

/* Read by pread. 0; -EAGAIN: not sealed; SEGLOG_ECORRUPT with *why; -EIO */
int segment_footer(const struct segment *seg, struct footer_facts *out, const char **why);

/* The better of the two durable marks. 0; -EAGAIN: none; -EIO. A slot that is bad counts as none. */
int segment_mark(const struct segment *seg, struct mark_facts *out);

/* The next mark, to be written at *place once a sync that covers it has succeeded. */
void segment_mark_next(const struct segment *seg, const struct mark_facts *last, uint64_t offset,
                       uint64_t seq_rel, struct mark_facts *next, struct mark_slot *slot,
                       uint64_t *place);

/* Write the next mark into the slot in turn. Call only after a sync that covered it succeeded. */
int segment_mark_write(const struct segment *seg, const struct mark_facts *last, uint64_t offset,
                       uint64_t seq_rel, struct mark_facts *written);

/* How the hot words of this segment relate to now. boot: id of this boot (dev, ino are filled here) */
enum boot_relation segment_boot_relation(const struct segment *seg, const struct boot_facts *boot);

/* Entries of the sealed segment's index into out[0..footer->index_count). 0, SEGLOG_ECORRUPT, -EIO */
int segment_index(const struct segment *seg, const struct footer_facts *footer,
                  struct index_entry *out);

/* Mapped segments only. */
static inline struct frame_header *segment_frame(const struct segment *seg, uint64_t offset)
{
    return (struct frame_header *)(void *)(seg->base + offset);
}
static inline struct tail_page *segment_tail(const struct segment *seg)
{
    return (struct tail_page *)(void *)(seg->base + OFF_TAIL);
}
static inline struct activation_block *segment_activation_block(const struct segment *seg)
{
    return (struct activation_block *)(void *)(seg->base + OFF_ACTIVATION);
}

/*
 * Make the claim at offset void, if it still is exactly `word`. The segment need not be open for
 * writing: a page of it is mapped for the purpose.
 * returns  1 done; 0 somebody else resolved it; -EACCES, -EROFS: not allowed to
 */
int segment_abort_claim(int dirfd, const struct segment *seg, uint64_t offset, uint64_t word);

#endif
