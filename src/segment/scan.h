/*
 * Walking the frames of one segment: the one loop that recovery, verify, seal, info and readers use.
 *
 * Bytes come from the mapping, or by pread through a window. The walk checks everything before it
 * takes a step: word 0, header checksum, sequence, and the payload's checksum if asked.
 */
#ifndef SEGMENT_SCAN_H
#define SEGMENT_SCAN_H

#include "segment/segment.h"

/* Where bytes of a segment come from. */
struct source {
    const struct segment *seg;
    uint8_t *window; /* NULL while the segment is mapped */
    uint64_t window_off;
    uint64_t window_len;
    uint64_t window_cap;
    uint64_t window_want; /* bytes to read next time, doubled each time; 0: as many as are useful */
    bool
        fills_holes; /* what the medium does not give (-EIO) is taken for bytes that no frame has */
    bool has_hole;   /* there are such in the window */
};

void source_init(struct source *src, const struct segment *seg);
void source_free(struct source *src);
/* Forget what the window holds: a live segment changes under it. */
void source_forget(struct source *src);
/* len bytes at offset, valid until the next call. 0; -EIO, -ENOMEM, -ENODATA (short file) */
int source_get(struct source *src, uint64_t offset, uint64_t len, const uint8_t **out);

struct scan {
    struct source *src;
    uint64_t at;      /* offset of the next frame */
    uint64_t seq_rel; /* of the next frame */
    uint64_t end;     /* stop here: footer's frames_end, GATED's published, or the region's end */
    bool check_payload;
    uint64_t
        bad_span; /* after SEGLOG_ECORRUPT: the bad frame's length, if only its payload is bad */
    uint64_t bad_from; /* after scan_resync() failed: where it began, should it be called again */
    const char *why;   /* after SEGLOG_ECORRUPT */
};

struct scan_frame {
    uint64_t offset;
    uint64_t word;
    struct word_facts facts;
    struct frame_facts frame;          /* DATA */
    const struct frame_header *header; /* DATA: header and payload, valid until the next call */
    const uint8_t *payload;
};

/* Begin at the segment's first frame. */
void scan_begin(struct scan *scan, struct source *src, bool check_payload);

/*
 * The next frame.
 *
 * returns  1  DATA, ABORTED, PAD or CLAIMED; the walk has moved behind it
 *          0  the end: out->facts.state is EMPTY or ROLL at out->offset, or `end` was reached (EMPTY)
 *          SEGLOG_ECORRUPT   the frame at scan->at is bad; scan->why, scan->bad_span
 *          -EIO ...          the medium
 */
int scan_next(struct scan *scan, struct scan_frame *out);

/*
 * After SEGLOG_ECORRUPT: go to the next frame that checks out. lost: how many numbers lie between,
 * as far as is known.
 * returns  1 found, the walk stands before it; 0 none up to the end; -EIO: the medium, at scan->at
 */
int scan_resync(struct scan *scan, uint64_t *lost);

#endif
