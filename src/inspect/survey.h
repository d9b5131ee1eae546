/*
 * A survey: one walk over the frames of a segment that draws every conclusion on the way.
 *
 * The hard part is that three things look alike: a frame that is just being published, a frame that
 * a power cut left half written, and rot. The first goes away when one looks again, the second is the
 * sound end of a log, the third is damage. log_view_claim() and log_view_bad() know the difference
 * between the last two; the survey looks again before it asks them.
 */
#ifndef INSPECT_SURVEY_H
#define INSPECT_SURVEY_H

#include "log/view.h"
#include "segment/scan.h"

enum survey_end {
    SURVEY_OPEN,   /* an unwritten place: the next append goes here */
    SURVEY_ROLLED, /* records go on in the next segment */
    SURVEY_STOP,   /* the end that was set: a seal's */
    SURVEY_CUT,    /* what a power cut left unfinished: the log soundly ends here */
    SURVEY_LOST,   /* damage with nothing good behind it in this segment */
};

struct survey_damage {
    uint64_t offset;
    uint64_t seq_rel;   /* first number lost */
    uint64_t lost;      /* how many */
    bool is_to_the_end; /* nothing good behind it: `lost` is not known */
    int status;
    const char *why;
};

struct survey_claim {
    uint64_t offset;
    uint64_t seq_rel;
    struct word_facts facts;
    bool is_dead;
};

/* Called on the way; a negative answer stops the walk and is returned. Either may be NULL. */
struct survey_hooks {
    int (*frame)(void *context, const struct scan_frame *frame); /* good ones; ROLL too */
    int (*damage)(void *context, const struct survey_damage *damage);
    void *context;
};

struct survey {
    const struct log_view *view;
    struct source source;
    struct scan scan;
    struct survey_hooks hooks;
    bool is_durable;      /* everything here was once synced: what is bad is damage */
    bool is_frozen;       /* nobody writes here any more: do not look again */
    bool looks_beyond;    /* search behind the end for frames that should not be there */
    uint64_t durable_end; /* the mark: no open claim is below it */
    uint64_t must_reach;  /* no unwritten place is below it; at first the mark too */
    unsigned patience;    /* how many more places to look at again */

    enum survey_end end; /* at scan.at, scan.seq_rel */
    uint64_t records;
    uint64_t void_count; /* claims of dead producers included */
    uint64_t bytes;
    uint64_t min_time;
    uint64_t max_time;
    uint64_t damages;
    bool has_claim; /* the first open one */
    struct survey_claim claim;
    bool ends_in_claim; /* no record behind the last open claim */
    uint64_t last_claim;
};

/* Begin at the first frame. The segment must outlive the survey. */
void survey_begin(struct survey *s, const struct log_view *view, const struct segment *seg,
                  const struct survey_hooks *hooks, bool check_payload);

/*
 * Walk to the end. 0 and the results; -ECANCELED or what a hook said; -ENOMEM. A medium that fails
 * (-EIO, a short file) is reported as damage.
 */
int survey_run(struct survey *s);

/* After SURVEY_OPEN: records go on in a later segment, so this cannot be the end. Walk on. */
int survey_press(struct survey *s);

void survey_end(struct survey *s);

#endif
