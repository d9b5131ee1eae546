/*
 * Places inside one segment to begin a walk from: one for each stride of frames.
 *
 * Frames can be walked forward only, so a place by number or time is the last of these before what is
 * sought, and a short walk. A sealed segment brings them along, checksummed; for the active one, and
 * where the stored ones are missing or damaged, whoever walks the frames notes them here. Times are
 * the largest so far, because writers' clocks are not ordered by number.
 */
#ifndef INDEX_SPARSE_H
#define INDEX_SPARSE_H

#include "segment/segment.h"

/* A frame from which a walk may begin. */
struct anchor {
    uint32_t offset;
    uint32_t seq_rel;
    uint64_t max_time; /* largest time of the records before it in this segment; 0: none */
};

struct sparse {
    struct anchor *anchors;
    size_t count;
    size_t capacity;
    /* How far frames are noted: what the next one is to be noted with. */
    uint64_t at;
    uint64_t seq_rel;
    uint64_t max_time;
    /* The first frame that may still change its meaning (an open claim, damage in a segment that is not
     * sealed), and what was before it. at is 0: there is none. */
    struct {
        uint64_t at;
        uint64_t seq_rel;
        uint64_t max_time;
    } unsure;
};

/* Nothing noted yet. */
void sparse_reset(struct sparse *sparse);
void sparse_free(struct sparse *sparse);

/*
 * Take over what is stored in a sealed segment.
 * returns  0; SEGLOG_ECORRUPT: there is none, or it does not check out: walk; -EIO, -ENOMEM
 */
int sparse_load(struct sparse *sparse, const struct segment *seg,
                const struct footer_facts *footer);

/* A frame of any kind begins at sparse->at. 0 or -ENOMEM */
int sparse_note(struct sparse *sparse);
/* It was this one: the next begins at `end`. time_ns: of a record; 0 for others. */
void sparse_pass(struct sparse *sparse, uint64_t end, uint64_t end_seq_rel, uint64_t time_ns);
/* What begins at sparse->at is not settled. */
void sparse_doubt(struct sparse *sparse);
/* Forget all from the first doubt on: it is to be walked again. */
void sparse_settle(struct sparse *sparse);

/* The last anchor at or before a number; before an offset; with only older records before it; that is
 * beyond doubt where this is for a walk forward. NULL: walk from the first frame. */
const struct anchor *sparse_by_seq(const struct sparse *sparse, uint64_t seq_rel);
const struct anchor *sparse_by_time(const struct sparse *sparse, uint64_t time_ns);
const struct anchor *sparse_by_offset(const struct sparse *sparse, uint64_t offset);

#endif
