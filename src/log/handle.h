/*
 * What a log handle and an appender are inside, and the calls between the files of this folder.
 *
 *   open.c      attach and detach           table.c   segments this process has mapped
 *   recover.c   the first opener's work     slots.c   producers' places, proof of life
 *   claim.c     room for frames             roll.c    the way to the next segment
 *   append.c    the public appending calls  tend.c    the helper thread and its work
 *   seal.c      full -> sealed              sync.c    what a commit does
 *   bulk.c      large appends by pwrite  archive.c which sealed segments are archived
 *   commit.c    who syncs, who waits        pace.c    syncs at intervals, tells of what is durable
 */
#ifndef LOG_HANDLE_H
#define LOG_HANDLE_H

#include <seglog/archive.h>
#include <seglog/log.h>

#include "io/io.h"
#include "log/view.h"
#include "segment/recycle.h"
#include "sys/owner.h"

#include <pthread.h>

/*
 * A segment that this process has open for writing. All fields but seg are under log->lock.
 *
 * Without references it is *left*: unmapped sooner or later, but open until it is known to be durable,
 * because an error of its write-back is told to descriptors that were open when it happened.
 */
struct log_segment {
    struct segment *seg;
    unsigned refs;     /* appenders in it, plus one while it is the log's active or a spare */
    bool is_spare;     /* prepared ahead: its number is above the active one's */
    bool is_leaving;   /* being unmapped */
    uint64_t ready_ns; /* monotonic: when it was prepared; 0: it was not, or not ahead */
    struct log_segment *next;
};

/* A producer's or syncer's place: a slot of `live`, and the lock that proves its holder alive. */
struct place_held {
    struct owner owner; /* holds the slot's byte, and a producer's OWNERS_BYTE_MODE */
    uint32_t slot;
    uint32_t gen; /* 0: none held */
};

/* How far this handle's syncs came in the first segment that is not durable as a whole. */
struct log_sync {
    uint64_t next;      /* that segment */
    uint64_t at;        /* it is resolved up to here; 0: not looked yet */
    uint64_t seq_rel;   /* the number at that place */
    uint64_t synced_at; /* frames below are durable; 0: nothing was synced yet */
    uint64_t marked_at; /* and its mark says so up to here */
    uint64_t mark_ns;   /* monotonic: when that was written */
    uint64_t whole_ns;  /* monotonic: when all of the file was synced */
    unsigned alone;     /* rounds to come in which nobody is waited for */
};

/* A thread that is started when it is first needed, and ended with the handle. */
struct log_thread {
    pthread_t id;
    bool runs;
};
/* Segments prepared ahead at most, less where they are large, and left ones kept open: see table.c. */
#define SPARES_MAX 4u
#define LEFT_MAX   8u

/* A claim that stood in the way when last looked at, and since when. */
struct stuck_claim {
    uint64_t number;
    uint64_t offset;
    uint64_t word;
    uint64_t since_ns; /* monotonic */
};

struct seglog_log {
    struct log_view view;  /* live is mapped writable */
    const uint64_t *guard; /* reads 0 in a forked child */
    struct owner attach;   /* holds OWNERS_BYTE_ATTACH shared */
    struct io_engine *io;  /* for what blocks on the disk; never on an appender's path */
    struct seglog_recovery recovery;
    uint64_t evict_after_ns;
    uint32_t flags;
    bool fence; /* the kernel has no membarrier for us: appenders fence after commit */

    pthread_mutex_t lock;   /* all below */
    pthread_cond_t ready;   /* a preparation or an unmapping ended */
    pthread_cond_t work;    /* the helper has something to do */
    pthread_cond_t prepare; /* the preparer has */
    struct log_segment *segments;
    struct log_segment *active; /* the newest that this process knows to be active */
    unsigned appenders;
    unsigned spares_goal;     /* how many to have ready; 0: nobody asked yet */
    unsigned spares_calm;     /* rolls in a row that had spares to spare */
    uint64_t prepare_ns;      /* what the last preparation took */
    bool wanted;              /* look whether spares are missing */
    bool left;                /* a segment was left: unmap it */
    uint64_t preparing;       /* being prepared right now; 0: none */
    struct recycler recycler; /* the elected preparer's */
    _Atomic int prepare_told; /* what the user was last told about preparations */
    bool seal_wanted;
    bool trim_wanted;     /* look whether retention wants something gone */
    uint64_t keep_age_ns; /* the rule as it was when last looked at; 0: none */
    bool seal_blocked;    /* by an open claim: look again soon */
    bool helper_runs;
    bool preparer_runs;
    bool helper_stops; /* all of them */
    pthread_t helper;
    pthread_t preparer;

    pthread_cond_t archive; /* the archiver has something to do */
    pthread_t archiver;
    bool archiver_runs;
    bool archive_wanted;       /* look whether segments are to be archived */
    uint64_t archive_after_ns; /* the rule as it was when last looked at; 0: none */
    uint64_t archive_due_ns;   /* monotonic: when to look again unasked; 0: not */
    uint64_t archive_settled;  /* below this number nothing is left to do */
    uint32_t archive_failures; /* in a row */
    _Atomic bool archive_stops;

    pthread_mutex_t seal_lock;  /* one sealer in this process; below is its state */
    _Atomic uint64_t seal_next; /* the first segment not known to be sealed */
    uint64_t sealed;            /* segments that this handle has sealed */
    /* Each way has its own: two claims met in turn would make each other look new. */
    struct stuck_claim stuck_seal;
    struct stuck_claim stuck_head;

    pthread_mutex_t sync_lock; /* one round at a time in this process; below is its state */
    struct log_sync sync;
    struct stuck_claim stuck_sync;

    pthread_mutex_t place_lock;
    struct place_held place; /* SLOT_SYNCER, once this handle has waited for a commit */

    pthread_mutex_t pace_lock; /* all below */
    pthread_cond_t pace_stop;
    struct log_thread pacer, watcher;
    uint64_t pace_ns;      /* the shortest interval asked for */
    int durable_fd;        /* -1: nobody asked */
    uint64_t durable_told; /* the durable number when that was */
    bool pace_stops;
    void (*notify)(void *context, const struct seglog_event *event);
    void *notify_context;
};

/* The claim an appender has open, if any. */
struct open_claim {
    uint64_t at;
    uint64_t span;
    uint64_t word; /* CLAIMED as stored */
    uint64_t seq_rel;
    uint32_t count; /* 0: none open */
};

struct seglog_appender {
    /* Read by every append. */
    const uint64_t *guard;
    uint8_t *base;
    uint64_t at;       /* where the next frame goes, as far as we know */
    uint64_t seq_rel;  /* its relative number */
    uint64_t soft_end; /* frames past it take the slow way: prepare ahead, or roll */
    uint64_t base_seq;
    struct tail_page *tail;
    struct live_file *live;
    struct frame_space space;
    uint64_t len_max;
    uint64_t claim_word; /* slot and generation, ready to be combined */
    bool exclusive;
    bool fence;
    bool plain; /* exclusive, with checksums by instruction, and no fence: the common case */
    uint32_t clock;
    uint32_t sync; /* enum seglog_sync: what each append that says nothing else waits for */
    struct open_claim claim;

    /* The slow way. */
    struct seglog_log *log;
    struct log_segment *in;
    uint8_t *stage;      /* bulk.c's, once it was needed */
    uint64_t entered_at; /* offset at which we came into this segment */
    bool rolled;         /* has rolled before: it is busy enough to prepare ahead at once */
    struct place_held place;
};

/* ---- create.c ---------------------------------------------------------------------------------- */

/* 0, or -EINVAL for options that cannot be meant. */
int log_check_options(const struct seglog_log_options *options);

/* ---- open.c ------------------------------------------------------------------------------------ */

/* Find the segment that is active now by looking at the directory. SEGLOG_EMISSING: there is none. */
int log_find_active(struct seglog_log *log);

/* Make the lock file unless it is there. */
int log_make_owners(const struct log_view *view);

/* Let everybody see which way the engine goes. */
void log_note_engine(struct seglog_log *log);

/* ---- recover.c: everything between "nobody else is attached" and "ready" ----------------------- */
int log_recover(struct seglog_log *log);

/* ---- table.c ----------------------------------------------------------------------------------- */

/* The segment for appending, mapped; the caller's reference. Waits for a preparation of it that runs
 * in this process; opens it if it exists; makes it if `create`, unless it was there once and was
 * removed (-ESTALE). Takes log->lock. */
int log_table_get(struct seglog_log *log, uint64_t number, bool create, struct log_segment **out);
/* A segment that this process has mapped already; the caller's reference. NULL: it has not. Takes
 * log->lock. */
struct log_segment *log_table_held(struct seglog_log *log, uint64_t number);
/* The newest that is known to be active; the caller's reference. Takes log->lock. */
struct log_segment *log_table_active(struct seglog_log *log);
void log_table_put(struct seglog_log *log, struct log_segment *ls);
/* Note that `ls` is active (if newer than what was known). Takes log->lock. */
void log_table_activate(struct seglog_log *log, struct log_segment *ls);
/* What is to be made of a segment; `ahead`: nobody waits for it. */
struct prepare_order log_prepare_order(const struct seglog_log *log, uint64_t number, bool ahead);
/* Prepare segments ahead of need until there are as many as the rate asks for. 0, -ENOSPC ... */
int log_table_ahead(struct seglog_log *log);
/* Unmap segments that were left; close those that are durable, removed, or too many. */
void log_table_reap(struct seglog_log *log);
void log_table_free(struct seglog_log *log);

/* ---- slots.c ----------------------------------------------------------------------------------- */
/* kind: SLOT_*. 0; -EBUSY, -EUSERS, -EMFILE ... */
int log_place_take(struct seglog_log *log, uint32_t kind, struct place_held *out);
void log_place_give(struct seglog_log *log, struct place_held *place);

/* ---- roll.c ------------------------------------------------------------------------------------ */

/* Go over headers from (*at, *seq_rel) to the first empty word (0) or ROLL (1). SEGLOG_ECORRUPT. */
int log_walk(const struct segment *seg, uint64_t *at, uint64_t *seq_rel);
/* Where to begin walking in a segment: its tail word, if that is possible at all. */
void log_walk_start(const struct segment *seg, uint64_t *at, uint64_t *seq_rel);
/* Enter the newest active segment. */
int log_enter(struct seglog_appender *ap);
/* The slow way of a claim: prepare ahead, or leave a segment that is too full. 0: look again. */
int log_make_room(struct seglog_appender *ap, uint64_t span);
/* Follow a ROLL that stands at (ap->at, ap->seq_rel). */
int log_follow_roll(struct seglog_appender *ap);
/* Learn of rolls by others: log->active is the newest afterwards. */
int log_catch_up(struct seglog_log *log);
/* End the active segment unless it is empty. 0; 1: it was empty. */
int log_roll_active(struct seglog_log *log);

/* ---- tend.c ------------------------------------------------------------------------------------ */
/* The segment before `number` is filling: have spares ready. 0 and `seal`: look what is to be sealed. */
void log_ask(struct seglog_log *log, uint64_t number, bool seal);
/* Under log->lock: a segment was left. */
void log_left(struct seglog_log *log);
void log_helper_stop(struct seglog_log *log);
/* Note how far the active segment is resolved; with `reap`, make dead claims on the way void. */
int log_resolve_head(struct seglog_log *log, bool reap);

/* ---- seal.c, sync.c ---------------------------------------------------------------------------- */
/* Seal what is full. The number sealed; -EBUSY: an open claim is in the way; poisons on failure. */
int log_seal_full(struct seglog_log *log);
/* Make the claim at offset void if its producer is dead or past the deadline. 1 done, 0 not.
 * stuck: what stood in this caller's way before. */
int log_reap_claim(struct seglog_log *log, const struct segment *seg, uint64_t offset,
                   struct stuck_claim *stuck);
/* No later append or sync succeeds, in any process. */
void log_poison(struct seglog_log *log, int status);
/* Raise the durable number that everybody can see. */
void log_durable_raise(struct seglog_log *log, uint64_t seq);

/* ---- commit.c, sync.c: making records durable together ----------------------------------------- */
#define SYNC_REAP (1u << 0) /* make claims of dead producers void on the way */
#define SYNC_MARK (1u << 1) /* leave a mark in any case */
/* What the leader does: sync what is resolved. 0; SEGLOG_EPOISONED; what poisoned; SEGLOG_ECORRUPT */
int log_sync_round(struct seglog_log *log, unsigned flags);
/* Lead one round that begins after this call. */
int log_commit_lead(struct seglog_log *log, unsigned flags);
/* Wait until the record is durable, leading rounds if nobody does. 0, -ETIMEDOUT, as above. */
int log_commit_wait(struct seglog_log *log, uint64_t seq, uint64_t timeout_ns);
/* Everybody look up: something has happened that no round will tell. */
void log_commit_wake_all(struct live_file *live);

/* ---- pace.c ------------------------------------------------------------------------------------ */
/* From now on what is published becomes durable within interval_ns (0: the log's own). */
void log_pace(struct seglog_log *log, uint64_t interval_ns);
/* Without a thread for it: sync what was to be paced. */
int log_pace_tend(struct seglog_log *log);
/* End the threads. What was to be paced is synced a last time: 0 or what that says. */
int log_pace_stop(struct seglog_log *log);
/* Tell the user of this handle, if that is wanted. */
void log_notify(const struct seglog_log *log, uint32_t kind, int status);

/* ---- archive.c --------------------------------------------------------------------------------- */

/* As seglog_archive(), for whoever has a view and an engine (NULL: this thread) already. */
int log_archive(const struct log_view *view, struct io_engine *io,
                const struct seglog_archive_options *options, struct seglog_archive_report *report);

/* Carry out the log's own rule, as it is stored now, and note when to look again. 0; -EBUSY: somebody
 * else is at it; -ECANCELED: the handle is being closed ... */
int log_archive_auto(struct seglog_log *log);

/* ---- drop.c; the rules are in trim.h ------------------------------------------------------------- */
/* Remove the oldest segment: floor first, durably, then its name; the file may be recycled. -EBUSY: it
 * is active; or the newest sealed one; or, unless the log's level is SEGLOG_SYNC_NONE, not sealed.
 * -ENOENT: none. */
int log_drop_oldest(struct seglog_log *log);

#endif
