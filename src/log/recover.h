/*
 * The first opener's way through the segments: state shared by recover.c (which file comes next),
 * recover_files.c (what becomes of files that do not belong to the log), recover_header.c (headers that rotted) and recover_segment.c (what
 * one segment's frames say).
 */
#ifndef LOG_RECOVER_H
#define LOG_RECOVER_H

#include "log/handle.h"

enum recover_outcome {
    RECOVER_ROLLED, /* the frames end in ROLL: r->act is what the next segment must say */
    RECOVER_ACTIVE, /* the log goes on in this segment */
    RECOVER_CUT,    /* sealed where the good prefix ends: the log goes on in a new segment */
};

struct recovering {
    struct seglog_log *log;
    struct segment_list list;
    uint64_t number;             /* the segment to look at */
    struct activation_facts act; /* what follows for it from the segments before */
    uint64_t durable_seq;        /* all numbers below it are in sealed segments */
    bool is_copy;                /* nobody knows whether what is sealed ever was synced here */
    bool after_cut;    /* the one before was sealed at a cut: its successor has a new epoch */
    bool same_boot;    /* `live` is of this boot and inode */
    bool all_resolved; /* no claim of a dead producer is left anywhere */
};

/* Is there a later segment file? */
bool recover_has_later(const struct recovering *r, uint64_t number);

/* Was anything in a later segment ever durable? Then everything before it was. 1, 0 or a status. */
int recover_later_is_durable(const struct recovering *r, uint64_t number);
/* The same, or in this one, whatever became of its header. */
int recover_was_durable_from(const struct recovering *r, uint64_t number);

/* Remove the files below the floor: they were removed but for the last step. 0 or a status. */
int recover_drop_below(struct recovering *r, const struct floor_facts *floor);
/* Are all files from `number` on prepared and never used? 1, 0 or a status. */
int recover_all_unused_from(const struct recovering *r, uint64_t number);
/* Take these files out of the way: by another name, or, if unused, for good. 0 or a status. */
int recover_set_aside_from(struct recovering *r, uint64_t number);

/* Write header pages anew that rotted in what is not sealed, where that can be done. 0 or a status. */
int recover_headers(struct recovering *r, const struct floor_facts *floor);

/* The activation of the segment after `seg`, if it continues it. 1, 0 or a status. */
int recover_next_activation(const struct recovering *r, const struct segment *seg,
                            struct activation_facts *next);

/*
 * Read one segment and bring it in order. Its activation block is right already.
 * Gives an outcome (>= 0) or a negative status.
 */
int recover_segment_same_boot(struct recovering *r, struct segment *seg);
int recover_segment_cold(struct recovering *r, struct segment *seg, enum boot_relation relation);

/* How many records of this segment, as its generation tells, lie at and behind an offset, whatever lies
 * between them; *last is where the last one ends. Or a negative status. */
int recover_count_frames(const struct segment *seg, uint64_t from, uint64_t seq_rel,
                         uint64_t *last);

/* true when bytes [from, to) of the file are zero, found by pread. Or a negative status. */
int recover_is_zero(const struct segment *seg, uint64_t from, uint64_t to);

#endif
