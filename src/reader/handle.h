/*
 * The reader's insides: where it stands, what it holds open, and who does what.
 *
 *   reader.c   the public calls and the hot loop over a mapped segment
 *   step.c     one frame forward when the hot loop cannot: voids, claims, ends, damage
 *   path.c     which segment comes next or before: trimmed, missing, not there yet
 *   held.c     a segment as this reader holds it
 *   anchors.c  places inside a segment to begin a walk from
 *   back.c     one record backward
 *   seek.c     places by number and count; find.c: by time
 *   measure.c  how much lies before a reader
 *   wait.c     waiting
 *   arena.c    private copies of payloads
 */
#ifndef READER_HANDLE_H
#define READER_HANDLE_H

#include <seglog/reader.h>

#include "index/catalog.h"
#include "index/sparse.h"
#include "log/view.h"
#include "segment/archive.h"
#include "segment/build.h"

/* A segment as this reader holds it. All that are open are in one list, newest first. */
struct held {
    struct held *older;
    struct segment *seg;
    struct source src;

    /* The hot loop's: what a plain DATA word begins with, and where the last record may end. */
    uint64_t limit;
    uint32_t data_low;

    uint64_t base_seq;
    uint64_t epoch;
    uint64_t end;  /* of the frames, as far as is known */
    uint64_t gate; /* readable up to here; less than end in GATED segments only */
    bool settled;  /* base_seq, epoch and all that follows from them are set */
    bool sealed;
    bool gated;
    bool is_cold;     /* unsealed, and not of this boot: nobody writes it before a recovery */
    bool is_stale;    /* another file has its name now */
    bool lent;        /* views into it may be out */
    bool footer_lost; /* sealed, as mark and successor prove, but its footer cannot be read */
    struct footer_facts footer; /* sealed */

    struct sparse sparse; /* places in it to begin a walk from */
};

/* Between two records. */
struct place {
    struct held *held; /* NULL: before segment `number`, which is not entered yet */
    uint64_t at;       /* offset of the next frame */
    uint64_t seq_rel;  /* its number */
    uint64_t number;   /* held is NULL: the segment to enter ... */
    uint64_t seq;      /* ... the number it begins with, ... */
    uint64_t epoch;    /* ... and the epoch before it */
};

/* Why next() has nothing, for wait(). */
enum block {
    BLOCK_EMPTY, /* nothing written: an append will wake us */
    BLOCK_CLAIM, /* an open claim, whose owner may die */
    BLOCK_OTHER, /* a recovery, a file or a clock must change it */
};

/* Frames of one stride, for going backward. */
struct trail_entry {
    uint32_t offset;
    uint32_t seq_rel;
    uint32_t lost;      /* numbers; only with is_damage */
    uint32_t is_damage; /* 1: unreadable up to the next entry */
};
struct trail {
    const struct held *held; /* NULL: none */
    uint64_t from;
    uint64_t from_seq_rel;
    uint64_t upto;
    size_t count;
    size_t next; /* entries before the place, when last asked */
    struct trail_entry *entries;
};

struct arena_block;

struct seglog_reader {
    struct place place;
    struct held *segments;
    const uint64_t *guard;
    uint32_t flags;
    uint32_t tag;
    uint32_t wait;
    int32_t pending; /* a status that wait() met and next() must still return */
    bool check_payload;
    bool has_damage;
    struct seglog_damage damage;
    uint64_t caught_up_at; /* offset where next() last had nothing, in whatever segment */

    enum block block;
    struct held *probed_held; /* where verdicts were last asked for, and when */
    uint64_t probed_at;
    uint64_t probed_ns;
    const struct held *reported_held; /* damage with an open end: reported up to a number, ... */
    uint64_t reported_at;             /* ... still standing before it */
    uint64_t reported_to;
    const struct held *gap_held; /* the gap before this segment was reported, going backward */
    const struct held *newest;   /* unsealed, kept open for its anchors, which took a walk */

    struct catalog catalog; /* as of the last seek */
    struct trail trail;
    struct arena_block *arena;
    _Atomic uint32_t never; /* slept on when there is nothing to be woken by */
    struct log_view view;
};

static inline bool reader_is_forked(const struct seglog_reader *r)
{
    return *(const volatile uint64_t *)r->guard != 1;
}

static inline uint64_t place_seq(const struct place *place)
{
    return place->held ? place->held->base_seq + place->seq_rel : place->seq;
}

/* ---- held.c --------------------------------------------------------------------------------- */

/* Segment `number`, from the list or opened anew. Not settled yet. As segment_open(). */
int held_open(struct seglog_reader *r, uint64_t number, struct held **out, const char **why);
/* What it begins with is known now: the rest follows. */
int held_settle(struct seglog_reader *r, struct held *held, uint64_t base_seq, uint64_t epoch);
/* Sealed meanwhile? 1: yes, since just now; 0: no news; SEGLOG_EREWOUND: before `at`; -EIO */
int held_look_sealed(struct seglog_reader *r, struct held *held, uint64_t at);
/* GATED: look at `published` again. true: it has moved. */
bool held_look_gate(struct held *held);
/* Close all but the one we stand in. all: those too of which views may be out. */
void held_release(struct seglog_reader *r, bool all);
void held_close_all(struct seglog_reader *r);
/* A walk from here. */
struct scan held_scan(struct held *held, uint64_t at, uint64_t seq_rel, bool check_payload);
/* scan_next() that looks again before it believes ill of bytes got by an untimely pread. */
int held_scan_next(struct held *held, struct scan *scan, struct scan_frame *frame);
/* One frame at a place, checked as is due there; *scan is behind it then. As scan_next(). */
int held_look_at(const struct seglog_reader *r, struct held *held, const struct place *place,
                 struct scan *scan, struct scan_frame *frame);
/* scan_resync() that believes no number for which the bytes between have no room. */
int held_resync(struct held *held, struct scan *scan, uint64_t *lost);
/*
 * Were all frames here checked already, as one? Those of an archive, whenever a block is unpacked: its
 * check covers the bytes that they come of, archiving compared with the segment what comes of these, and
 * the segment with the hash of its seal. Not what was sealed around damage; nor what is read by windows,
 * which may have holes.
 */
static inline bool held_is_vouched(const struct held *held)
{
    return held->seg->arc && held->seg->base && held->sealed && !held->footer_lost &&
           (held->footer.flags & FOOTER_DAMAGED) == 0;
}
/* Are headers and payloads checked here? Always in cold segments: a bad one is where a recovery will
 * cut. And in an archive of which a block was bad: what is left of that may be anything. */
static inline bool held_is_checked(const struct seglog_reader *r, const struct held *held)
{
    return (r->check_payload && !held_is_vouched(held)) || held->is_cold ||
           (held->seg->arc && held->seg->arc->has_bad);
}
/* 1: this may have records with the reader's tag */
bool held_may_have_tag(const struct seglog_reader *r, const struct held *held);

/* An archive's bytes are there as far as they were unpacked. */
static inline void held_look_unpacked(struct held *held, uint64_t at)
{
    const uint64_t last = held->seg->facts.space.frames_end - FRAME_ALIGN;
    const uint64_t reach = archive_reach(held->seg, at);

    held->limit = held->gate < last ? held->gate : last;
    if (reach < held->limit)
        held->limit = reach;
}

static inline void place_at_start(struct place *place, struct held *held)
{
    *place = (struct place){.held = held, .at = OFF_FRAMES};
}
/* Sealed segments. */
static inline void place_at_end(struct place *place, struct held *held)
{
    *place = (struct place){
        .held = held, .at = held->end, .seq_rel = held->footer.next_seq - held->base_seq};
}

/* ---- step.c --------------------------------------------------------------------------------- */

/*
 * One frame forward.
 * returns  1 a record: the place is behind it; 0 something else was passed; -EAGAIN and others as
 *          seglog_reader_next()
 */
int step(struct seglog_reader *r, struct scan_frame *frame);
/* To behind the next record of our tag. 1, or as seglog_reader_next(). */
int step_record(struct seglog_reader *r, struct scan_frame *frame);
/* step() for walks that look for a place: 2: damage was passed, of which whoever reads there is told.
 * Damage that lets nobody pass is an end like others, -EAGAIN. */
int walk(struct seglog_reader *r, struct scan_frame *frame);
/* Fill *out from a record just passed; copies it where need be. 0 or -ENOMEM */
int step_view(struct seglog_reader *r, const struct scan_frame *frame, struct seglog_view *out);

/* May system calls be spent here? Yes at a new place, then every few milliseconds. */
bool probe_is_due(struct seglog_reader *r);
bool probe_is_late(struct seglog_reader *r);
void probe_reset(struct seglog_reader *r);
/* -EAGAIN, noting why. */
int reader_blocked(struct seglog_reader *r, enum block block);
/* Fill the damage; gives status back. */
int reader_report(struct seglog_reader *r, int status, uint64_t segment, uint64_t offset,
                  uint64_t first_seq, uint64_t last_seq, const char *cause);
/* A call of the system failed while reading near here; gives rc, -EIO for a short file. */
int reader_failed(struct seglog_reader *r, int rc, uint64_t segment, uint64_t offset);

/* ---- path.c --------------------------------------------------------------------------------- */

/* The segment to enter, and what is known of it from the one before. */
struct onward {
    uint64_t number;
    uint64_t seq;
    uint64_t epoch;
    uint64_t generation; /* of the segment before; 0: not known */
    bool must_be_active; /* it begins with an activation block, or is not there yet */
};
/* 0 the place is in it; -EAGAIN; damage with the place behind it; SEGLOG_ETRIMMED ... */
int path_forward(struct seglog_reader *r, const struct onward *to);
/* From the beginning of a segment to the end of the one before. 0; -ENODATA: this is the first */
int path_back(struct seglog_reader *r);
/* Before the first segment kept. */
int path_first(struct seglog_reader *r, struct place *out);
/* Stand at the beginning of segment `number`. */
int path_to(struct seglog_reader *r, uint64_t number);
/* The base of a segment by number, without holding it. As segment_activation(), segment_open(). */
int path_peek(struct seglog_reader *r, uint64_t number, struct activation_facts *act,
              struct footer_facts *footer, bool *sealed);

/* ---- anchors.c ------------------------------------------------------------------------------ */

/* Have anchors for all frames before `at` (UINT64_MAX: all there are). 0, -ENOMEM, -EIO */
int anchors_cover(struct held *held, uint64_t at);
/* Have those from which a search forward may begin. false: there are none here, walk. */
bool anchors_ready(struct held *held);
/* From the place to an anchor farther on, if there is one. */
void anchors_skip(struct place *place, const struct anchor *anchor);

/* ---- back.c, seek.c, find.c, arena.c -------------------------------------------------------- */

/* To before the record before. 1; as seglog_reader_prev() */
int back_record(struct seglog_reader *r, struct scan_frame *frame);
int seek_place(struct seglog_reader *r, const struct seglog_place *place);
int seek_end(struct seglog_reader *r);
int find_time(struct seglog_reader *r, uint64_t time_ns);
/* Does what was read in `epoch` end at a recovery's cut? 1 and the number it ends with; 0 */
int seek_cut(struct seglog_reader *r, uint64_t epoch, uint64_t *seq);
void *arena_copy(struct seglog_reader *r, const void *data, uint64_t len);
void arena_free(struct seglog_reader *r);
/* Bring the catalog up to date; *first: before the first segment kept. */
int seek_refresh(struct seglog_reader *r, struct place *first);
/* What is known of entry i of the catalog: asked of the file unless it is final. As path_peek() */
int seek_look(struct seglog_reader *r, size_t i, struct catalog_facts *out);
/* Stand behind the last sealed segment, or at the log's beginning. *sealed: how many in the catalog
 * are not behind that place. */
int seek_tail(struct seglog_reader *r, size_t *sealed);

/* ---- measure.c ------------------------------------------------------------------------------ */

/* What lies between a reader's place and the end. */
struct reader_measure {
    uint64_t records;
    uint64_t bytes;         /* of payload */
    uint64_t first_time_ns; /* of the first of them; 0: none */
};
/* Moves the reader to the end. 0; -EIO, -ENOMEM ... */
int reader_measure(struct seglog_reader *r, struct reader_measure *out);

#endif
