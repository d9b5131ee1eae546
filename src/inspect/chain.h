/*
 * The chain: which segment files are there, what each says of itself, and which should be there.
 *
 * info and verify both walk it. It is a picture of a directory that may be moving: an entry is what
 * was true when it was looked at, and whoever is about to draw a conclusion looks again first.
 */
#ifndef INSPECT_CHAIN_H
#define INSPECT_CHAIN_H

#include "log/view.h"

/* One segment, open for reading by pread, with what its blocks say. */
struct sight {
    struct segment *seg; /* NULL: open_rc and why tell */
    const char *why;     /* what is wrong with header or footer; may be NULL */
    int open_rc;         /* as segment_open() */
    int act_rc;          /* as segment_activation() */
    int footer_rc;       /* as segment_footer() */
    int mark_rc;         /* as segment_mark() */
    struct activation_facts act;
    struct footer_facts footer;
    struct mark_facts mark;
};

/*
 * Look at segment `number`. A block that is just being written is looked at again.
 *
 * returns  0 (the file may still be unreadable: open_rc); -EACCES, -EMFILE, -ENOMEM ...: this
 *          process cannot look at all
 */
int sight_take(const struct log_view *view, uint64_t number, struct sight *out);
void sight_drop(struct sight *sight);

/* What is remembered of each. */
struct chain_entry {
    uint64_t number;
    bool is_readable;
    bool is_sealed;
    bool is_based; /* sealed or active: base_seq is known */
    uint64_t base_seq;
    uint64_t bytes; /* of frames to go through, at most */
};

struct chain {
    const struct log_view *view;
    struct floor_facts floor;
    bool floor_is_bad;
    struct chain_entry *entries; /* from the floor on, ascending */
    size_t count;
    size_t capacity;
    size_t sealed_end;  /* index after the last sealed entry */
    size_t durable_end; /* index after the last one of which anything was ever durable */
};

/* Read the directory and look at every segment from the floor on. */
int chain_read(struct chain *chain, const struct log_view *view);
void chain_free(struct chain *chain);

/* Look at entry i again. */
int chain_look(struct chain *chain, size_t i);

/*
 * A directory that changes while it is read may leave names out. Put in the files from number `from`
 * on that come before entry i and are there after all. Gives how many (they are now i, i + 1, ...),
 * or a status.
 */
int chain_fill(struct chain *chain, size_t i, uint64_t from);

/* Add segments that have come right behind the last entry, a few at a time. */
int chain_extend(struct chain *chain);

/* Read the floor again: retention may have moved it. */
int chain_refloor(struct chain *chain);

/* What the segments so far say about the one that comes next. */
struct chain_link {
    uint64_t number; /* of the last one */
    uint64_t next_seq;
    uint64_t generation;
    uint64_t epoch;
    uint64_t log_max_time;
    uint8_t seal[16];
    bool has_number;
    bool has_next;       /* next_seq is known */
    bool has_generation; /* of the segment right before */
    bool has_seal;       /* seal and log_max_time, of the segment right before */
    bool is_torn;        /* the one right before was sealed at a cut: a new epoch follows */
    bool has_ended;      /* the last one ends in an unwritten place: what follows is spare */
    bool was_cut;        /* in what a power cut left: a recovery will set aside what follows */
};

/* What comes before the first segment of the chain. */
void chain_link_begin(const struct chain *chain, struct chain_link *link);

/*
 * Is this segment, which is not sealed, none of the log: left from beyond a power cut's end, for a
 * recovery to set aside?
 */
bool chain_is_leftover(const struct chain *chain, size_t i, const struct sight *sight,
                       const struct chain_link *link);

/* Is the unreadable file i one that a power cut kept from ever being written, its header first? */
bool chain_is_unwritten(const struct chain *chain, size_t i);

/* The number after the last one in a file whose header cannot be read, by what else is in it. */
bool chain_guess_next(const struct chain *chain, size_t i, uint64_t *next);

/* Are there no files from `number` on any more? */
bool chain_has_shrunk(const struct chain *chain, uint64_t number);

/* The first number of the first segment behind entry i whose first number is known. */
bool chain_base_after(const struct chain *chain, size_t i, uint64_t *base);

/* Do records go on behind entry i, by what its successors say? An activation block is written only
 * when the ROLL before it stands. */
bool chain_goes_on_after(const struct chain *chain, size_t i);

#endif
