/*
 * Verifying: what verify.c (the way through the log) and verify_segment.c (one segment) share.
 */
#ifndef INSPECT_VERIFY_H
#define INSPECT_VERIFY_H

#include <seglog/inspect.h>

#include <errno.h>

#include "inspect/chain.h"
#include "inspect/survey.h"

/* In a trial: something looks damaged. Look at the segment again from the beginning. */
#define VERIFY_AGAIN (-EAGAIN)

struct verify {
    struct log_view view;
    struct chain chain;
    const struct seglog_verify_options *options;
    struct seglog_verify_report *report;
    bool is_fast;
    bool is_trial; /* tell nobody yet: what moves may look damaged */
    uint64_t damage_count;
    uint64_t done; /* bytes of segments finished */
    uint64_t total;
    uint64_t told; /* as the progress callback knows it */
};

/* What one segment adds. */
struct verify_tally {
    uint64_t records;
    uint64_t void_count;
    uint64_t bytes;
    bool has_torn;
    bool was_torn; /* an earlier torn place is no longer at the log's end */
    uint64_t torn_offset;
};

/* Report damage. Numbers [first, end) are lost. 0; VERIFY_AGAIN; -ECANCELED */
int verify_tell(struct verify *v, const struct seglog_damage *damage);
int verify_tell_range(struct verify *v, uint64_t segment, uint64_t offset, uint64_t first,
                      uint64_t end, int status, const char *cause);
/* ... none are lost. */
int verify_tell_block(struct verify *v, uint64_t segment, uint64_t offset, int status,
                      const char *cause);

/* bytes of the current segment are done. */
void verify_progress(struct verify *v, uint64_t bytes);

/*
 * Check segment entry i, and how it goes on from `link`, which then speaks of this segment.
 * 0; VERIFY_AGAIN; -ECANCELED; -ENOMEM, -EMFILE ...
 */
int verify_segment(struct verify *v, size_t i, struct chain_link *link, struct verify_tally *tally);

/* The segment cannot be read at all: whatever it held is lost. As verify_segment(). */
int verify_unreadable(struct verify *v, size_t i, const struct sight *sight,
                      struct chain_link *link, struct verify_tally *tally);

#endif
