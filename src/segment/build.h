/*
 * Making segment files: prepare a new one, seal a full one, mend a header, list what is there.
 */
#ifndef SEGMENT_BUILD_H
#define SEGMENT_BUILD_H

#include "io/io.h"
#include "segment/scan.h"

/*
 * What is done to the pages before the file gets its name (bench/roll.c measures the first two).
 *
 * PREPARE_QUICK    nothing: somebody waits for it; each page costs a fault later.
 * PREPARE_AHEAD    zeros in writes of 1 MiB, then faulted in for writing: no fault is left.
 * PREPARE_COMMITS  zeros in writes of 4 KiB, synced, then mapped: a commit of one page writes one page
 *                  (pages that were written at once are written back at once), into blocks that
 *                  have been written before, and so needs no journal commit of the file system.
 */
enum prepare_how { PREPARE_QUICK, PREPARE_AHEAD, PREPARE_COMMITS };

struct prepare_order {
    uint8_t uuid[16];
    uint64_t number;
    uint64_t size;
    uint32_t mode;
    enum prepare_how how;
    const struct boot_facts *boot;
};

/*
 * Make segment `number`, whole, under a temporary name; then give it its name.
 *
 * On failure nothing is left behind. *out is the segment mapped for writing; it may be NULL.
 * returns  0; -EEXIST: somebody else made it first; -ENOSPC, -EDQUOT, -EFBIG ...
 */
int segment_prepare(int dirfd, const struct prepare_order *order, struct segment **out);

/* Remove temporary files of those who died. Only while nobody else can be at work. */
int segment_sweep(int dirfd);

struct seal_order {
    uint64_t end;   /* 0: up to ROLL, which must be there; else seal here */
    uint32_t flags; /* FOOTER_* */
    uint64_t bytes_dropped;
    uint64_t frames_dropped;
    bool cold;         /* nobody is at work in it: an open claim is damage, not somebody's */
    uint64_t next_seq; /* FOOTER_DAMAGED: first number of the next segment, if known; else 0 */
    const struct activation_facts *activation;
    const struct footer_facts *prev; /* footer of the segment before; NULL: none */
    /* The same file, open since before its frames were written; NULL: none. Syncs go through it: an
     * error of write-back is told once to each open file, and perhaps not to one opened later. */
    const struct segment *opened_before;
};

/* What stopped a seal, besides the status. */
struct seal_trouble {
    uint64_t busy;    /* -EBUSY: offset of the open claim */
    bool sync_failed; /* the status is that of a write or sync: poison the log */
};

enum seal_step {
    SEAL_WRITE_INDEX,
    SEAL_SYNC_FRAMES,
    SEAL_WRITE_FOOTER,
    SEAL_SYNC_FOOTER,
    SEAL_WRITE_MARK,
    SEAL_STEPS,
};

/* A seal of which everything is worked out and nothing written. */
struct seal_work {
    struct io_chain chain; /* linked: run it, by whatever engine */
    struct io_op ops[SEAL_STEPS];
    struct seal_builder *builder;
    struct index_entry *index;
    struct segment_footer *page;
    struct mark_slot mark;
};

/*
 * Work out the seal of a segment opened SEGMENT_PREAD_WRITE. Every frame before the end must be
 * resolved. The segment stays open until segment_seal_end().
 *
 * returns  0 and *out, for segment_seal_end(); -EBUSY: a claim is open; SEGLOG_ECORRUPT: a frame is
 *          bad and flags lack FOOTER_DAMAGED; -EINVAL: no ROLL and no end given; -EIO, -ENOMEM ...
 */
int segment_seal_begin(struct segment *seg, const struct seal_order *order, struct seal_work **out,
                       struct seal_trouble *trouble);

/* The chain has been run, or was never submitted. Frees the work. Gives the chain's status, with
 * *facts when that is 0; -ECANCELED: never submitted. */
int segment_seal_end(struct seal_work *work, struct footer_facts *facts,
                     struct seal_trouble *trouble);

/*
 * The whole seal, in this thread: sync, write index and footer, sync, mark.
 *
 * returns  0 and *out, or as segment_seal_begin(); -EIO, -ENOSPC ... with trouble->sync_failed
 */
int segment_seal(struct segment *seg, const struct seal_order *order, struct footer_facts *out,
                 struct seal_trouble *trouble);

/*
 * Segment `number` as its header must have been, where that page rotted. It is not mapped.
 *
 * returns  0, and *act as its activation block has it; SEGLOG_ECORRUPT: the header is not rotten, or
 *          the activation block is; -ENOENT, -EIO, -ENOMEM ...
 */
int segment_rebuild(int dirfd, const struct settings_facts *settings, uint64_t number,
                    enum segment_access access, struct segment **out, struct activation_facts *act);
/* Write its header page anew. */
int segment_header_write(const struct segment *seg);

/* The segment numbers in a directory, ascending. */
struct segment_list {
    uint64_t *numbers;
    size_t count;
    size_t capacity;
};
int segment_list_read(int dirfd, struct segment_list *out);
void segment_list_free(struct segment_list *list);

#endif
