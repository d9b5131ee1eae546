/*
 * A log: an append-only, unbounded sequence of records in a directory of mapped segments.
 *
 * A `seglog_log` is one process's attachment to a log for writing; a `seglog_appender` is one
 * producer's handle on it. Any number of processes may attach at once; readers (reader.h) need
 * neither. No daemon is involved, and a process may be killed at any instant.
 *
 * Every record has a sequence number: 64 bits, dense from 0. Numbers of claims that were aborted, or
 * whose producer died, are void: readers step over them and counts leave them out.
 *
 * fork(): a handle made before fork() fails in the child with SEGLOG_EFORKED; closing it there
 * frees its memory and touches nothing shared.
 */
#ifndef SEGLOG_LOG_H
#define SEGLOG_LOG_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_log;
struct seglog_appender;

/* What a log promises about power cuts without being asked (a killed process never loses records). */
enum seglog_sync {
    SEGLOG_SYNC_DEFAULT = 0,  /* at creation: SEALED; at open: what the log has stored */
    SEGLOG_SYNC_NONE = 1,     /* nothing until seglog_log_seal() or seglog_log_sync() */
    SEGLOG_SYNC_SEALED = 2,   /* a segment is synced and sealed soon after it is full */
    SEGLOG_SYNC_INTERVAL = 3, /* and a record is durable at most sync_interval_ns, and the time that
                                 a sync takes, after it was published */
    SEGLOG_SYNC_RECORD = 4,   /* and an append returns when its record is durable; all who wait at
                                 a time, in every process, share one sync */
};

/* What a log's helper threads tell its user: seglog_log_options.notify. */
enum seglog_event_kind {
    SEGLOG_EVENT_PREPARE_FAILED = 1, /* no segment could be prepared ahead: status says why (-ENOSPC
                                        ...); appending goes on until the active one is full */
    SEGLOG_EVENT_PREPARED = 2,       /* after that: it worked again */
    SEGLOG_EVENT_POISONED = 3,       /* a sync failed here: status says how; see SEGLOG_EPOISONED */
};
struct seglog_event {
    uint32_t kind;  /* enum seglog_event_kind; later releases have more */
    int32_t status; /* 0 or a negative status */
};

/* Who does what blocks on the disk. AUTO: io_uring where the kernel gives it to this process, else
 * threads; $SEGLOG_IO ("uring", "threads") decides instead. Same results either way. */
enum seglog_io {
    SEGLOG_IO_AUTO = 0,
    SEGLOG_IO_URING = 1, /* or open fails: -EPERM where it is forbidden, -ENOSYS, -EOPNOTSUPP ... */
    SEGLOG_IO_THREADS = 2, /* a few threads, started when there is work */
};

/* Bits of seglog_log_options.flags. */
#define SEGLOG_LOG_CREATE    (1u << 0) /* open: create the log if the directory has none */
#define SEGLOG_LOG_NO_HELPER (1u << 1) /* start no thread; see seglog_log_tend() */
#define SEGLOG_LOG_FORCE_FS  (1u << 2) /* accept a network or FUSE file system */

#define SEGLOG_SEGMENT_SIZE_MIN     (UINT64_C(64) << 10)
#define SEGLOG_SEGMENT_SIZE_DEFAULT (UINT64_C(64) << 20)
#define SEGLOG_SEGMENT_SIZE_MAX     (UINT64_C(1) << 30)

/* The largest number that a new log can begin with. */
#define SEGLOG_FIRST_SEQ_MAX (UINT64_MAX >> 1)

/* Appenders that may be attached to one log at once, and records in one batch. */
#define SEGLOG_APPENDERS_MAX 1024u
#define SEGLOG_BATCH_MAX     4095u

/*
 * How to create or open a log. All zero is a good choice.
 *
 * segment_size, sync, sync_interval_ns, mode, keep_* and archive_* are settings of the log, stored when it is
 * created; seglog_log_configure() changes some of them. At
 * open a zero means "as stored" and any other value must equal what is stored (else
 * SEGLOG_EMISMATCH). The rest belongs to the handle.
 */
struct seglog_log_options {
    uint64_t segment_size;     /* bytes; a power of two, 64 KiB to 1 GiB; 0: 64 MiB */
    uint32_t sync;             /* enum seglog_sync */
    uint32_t mode;             /* permission bits of the files; 0: 0640; a directory that is made
                                 gets the execute bits to match */
    uint32_t flags;            /* SEGLOG_LOG_* */
    uint32_t io;               /* enum seglog_io; of this handle, not stored */
    uint64_t evict_after_ns;   /* a shared claim open longer than this may be taken from a living
                                 producer by whoever it blocks here; 0: never */
    uint64_t open_timeout_ns;  /* how long open waits while another process recovers the log;
                                 0: 10 s; then -EBUSY */
    uint64_t sync_interval_ns; /* SEGLOG_SYNC_INTERVAL only: 1 ms to 1 h; 0: 100 ms */

    /* Retention, carried out by the helper thread whenever a segment was sealed, and by
     * seglog_log_tend(): the oldest segments go while ... Each 0: no such rule. Settings of the log. */
    uint64_t keep_size;     /* bytes: the segment files take more than this */
    uint64_t keep_age_ns;   /* they were sealed longer ago than this */
    uint64_t keep_segments; /* there are more than this */

    /* Archiving (see seglog/archive.h), carried out by a thread of its own, which gives way to others,
     * after seals and as segments come of age; with SEGLOG_LOG_NO_HELPER by seglog_log_tend(). A damaged
     * segment stays as it is. Settings of the log. */
    uint64_t
        archive_after_ns; /* segments that were sealed at least so long ago; 1: at once; 0: none */
    uint32_t archive_level; /* 1 to SEGLOG_ARCHIVE_LEVEL_MAX; 0: SEGLOG_ARCHIVE_LEVEL_DEFAULT */
    uint32_t reserved;      /* zero */

    uint64_t first_seq; /* seglog_log_create() only: the number of the first record, at most
                           SEGLOG_FIRST_SEQ_MAX; for a log that goes on where another one began */

    /* Called by a helper thread, or by one that is in a call here; perhaps by two at once. It must be
     * quick and must not call seglog, but for seglog_strerror(). NULL: nobody wants to know. */
    void (*notify)(void *context, const struct seglog_event *event);
    void *notify_context;
};

/* The bounds of sync_interval_ns, and what 0 means. */
#define SEGLOG_SYNC_INTERVAL_MIN     UINT64_C(1000000)
#define SEGLOG_SYNC_INTERVAL_MAX     UINT64_C(3600000000000)
#define SEGLOG_SYNC_INTERVAL_DEFAULT UINT64_C(100000000)

/*
 * Create a log in a directory that is missing or empty.
 *
 * Atomic: cut half way it is as if never begun, and may simply be called again.
 *
 * dir      path; its parent must exist
 * options  may be NULL
 * returns  0
 *          -EEXIST           a log is there already
 *          -ENOTEMPTY        other files are there
 *          -EINVAL           segment_size, sync, mode, flags or first_seq out of range
 *          -EBUSY            another process has been creating a log there for seconds
 *          SEGLOG_EFS        a network or FUSE file system, and not forced
 *          SEGLOG_EVOLATILE  sync is INTERVAL or RECORD, and the file system (tmpfs) keeps nothing
 *          -ENOSPC, -EACCES, -EROFS, -ENOENT, -ENOTDIR, -EIO ... as the system says
 * threads  any; blocks on the disk (two syncs)
 */
SEGLOG_API int seglog_log_create(const char *dir, const struct seglog_log_options *options);

/*
 * Attach to a log for appending. The first to attach recovers it (see docs/ARCHITECTURE.md,
 * "Recovery"): nothing published is lost when processes died; after a power cut the log ends where
 * its good prefix ends.
 *
 * *out belongs to the caller: seglog_log_close(). It may be used by many threads.
 *
 * returns  0
 *          -ENOENT           no such directory, or (without SEGLOG_LOG_CREATE) no log in it
 *          SEGLOG_ENOTLOG    other files are there but no log
 *          SEGLOG_EMISMATCH  options and stored settings differ
 *          -EINVAL           segment_size, sync, mode or flags out of range, or first_seq not 0
 *          SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_EREADONLY   the format is not for this release
 *          SEGLOG_ECORRUPT   the settings or the log's structure are damaged
 *          SEGLOG_EMISSING   a segment file is gone
 *          SEGLOG_EFS        a network or FUSE file system, and not forced
 *          SEGLOG_EPOISONED  a sync of this log failed earlier in this boot
 *          -EBUSY            another process held the recovery for longer than open_timeout_ns
 *          -EACCES, -EROFS, -EIO, -EMFILE, -ENOMEM, -ENOSPC ... as the system says
 * blocks   on the disk, and while another process recovers
 */
SEGLOG_API int seglog_log_open(const char *dir, const struct seglog_log_options *options,
                               struct seglog_log **out);

/*
 * Detach. Every appender of this handle must have been closed (else -EBUSY and nothing happens).
 * log may be NULL. Joins the helper threads and, at SEGLOG_SYNC_SEALED and above, seals what has filled
 * up and nobody sealed yet; if an appender of this handle asked for SEGLOG_SYNC_INTERVAL, syncs a last
 * time. Blocks on the disk then.
 *
 * returns  0; -EBUSY; or, the handle being gone, why that last sync failed
 */
SEGLOG_API int seglog_log_close(struct seglog_log *log);

/* What is stored about a log, and what its limits are. */
struct seglog_log_settings {
    uint8_t uuid[16];
    uint64_t segment_size;     /* bytes */
    uint64_t max_record;       /* largest payload, bytes: a quarter of a segment less 32 */
    uint64_t created_ns;       /* wall clock, since the epoch */
    uint32_t sync;             /* enum seglog_sync */
    uint32_t mode;             /* permission bits */
    uint64_t sync_interval_ns; /* SEGLOG_SYNC_INTERVAL; else 0 */
    uint64_t keep_size;        /* retention: see struct seglog_log_options */
    uint64_t keep_age_ns;
    uint64_t keep_segments;
    uint64_t archive_after_ns; /* archiving: see struct seglog_log_options */
    uint32_t archive_level;
    uint32_t reserved;
};

/* Fill *out as the settings were when this handle was opened. returns 0; threads any; blocks never. */
SEGLOG_API int seglog_log_settings(const struct seglog_log *log, struct seglog_log_settings *out);

/* Fill *out as they are stored now, without attaching. returns 0, or as seglog_log_open(); threads any;
 * blocks on the disk. */
SEGLOG_API int seglog_settings_read(const char *dir, struct seglog_log_settings *out);

/*
 * Store sync, sync_interval_ns, keep_* and archive_* of *want, durably; its other fields are not looked at. Fill it
 * by seglog_settings_read() first.
 *
 * Retention goes by the new rules from now on, in every process. Handles that are open keep the level
 * of durability that they were opened with.
 *
 * returns  0
 *          -EINVAL           sync, or its interval
 *          SEGLOG_EVOLATILE  sync is INTERVAL or RECORD, and the file system keeps nothing
 *          -EBUSY            others hold the settings, or trim, for seconds
 *          SEGLOG_EFORKED, -ENOSPC, -EIO, -EACCES ...: as before
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_configure(struct seglog_log *log, const struct seglog_log_settings *want);

/* What the last recovery of this log found; all zero when this handle was not the first to attach. */
struct seglog_recovery {
    uint32_t ran;            /* 1: this open was the first and recovered */
    uint32_t boot;           /* 0 same boot, 1 after a reboot, 2 unknown (a copy, no /proc) */
    uint64_t next_seq;       /* number of the next record */
    uint64_t epoch;          /* recoveries so far that cut something off */
    uint64_t claims_aborted; /* frames of dead producers made void */
    uint64_t bytes_dropped;  /* beyond the cut, in the torn segment */
    uint64_t frames_dropped; /* frames beyond the cut that still check out */
    uint64_t files_aside;    /* later segment files set aside by name */
    uint64_t cut_segment;    /* number of the torn segment, if anything was dropped */
    uint64_t cut_offset;     /* byte offset of the cut in it */
    uint64_t headers_mended; /* segments whose rotten header page was written anew */
};

/* Fill *out. returns 0; threads any; blocks never. */
SEGLOG_API int seglog_log_recovery(const struct seglog_log *log, struct seglog_recovery *out);

/*
 * Do the work that the helper thread would do: prepare the next segment if it will be needed soon,
 * make claims of dead producers void, seal full segments, unmap old ones.
 *
 * Needed now and then only with SEGLOG_LOG_NO_HELPER (without it the appender that fills a segment
 * prepares the next one itself); harmless otherwise.
 *
 * returns  0, or the first failure met (the log remains usable unless that is SEGLOG_EPOISONED)
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_tend(struct seglog_log *log);

/*
 * End the active segment now, and seal every full segment: synced, indexed, never to change again.
 *
 * timeout_ns  how long to wait for claims of living producers that hold the seal up
 * returns  the number of segments sealed (0: there was nothing to seal)
 *          -EBUSY            an exclusive appender is attached: it alone may end its segment
 *          -ETIMEDOUT        an open claim holds it up; the segment is full, the seal comes later
 *          SEGLOG_EPOISONED, -EIO, -ENOSPC, -EDQUOT    the sync failed: the log is poisoned
 *          SEGLOG_EFORKED, SEGLOG_ECORRUPT, -ENOSPC (no room for the next segment)
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_seal(struct seglog_log *log, uint64_t timeout_ns);

/*
 * Make every record that is published and preceded by no open claim survive a power cut. Claims of
 * dead producers are made void on the way.
 *
 * durable_seq  may be NULL; gets the number below which all is durable or void
 * returns  0
 *          SEGLOG_EVOLATILE  the file system (tmpfs) keeps nothing
 *          SEGLOG_EPOISONED, -EIO, -ENOSPC, -EDQUOT   the log is poisoned
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_sync(struct seglog_log *log, uint64_t *durable_seq);

/*
 * Wait until the record of number seq, and so everything before it, survives a power cut. Whoever
 * waits takes part in syncing: many waiters, in any number of processes, share one sync.
 *
 * An open claim of a living producer before seq holds this up, as does seq not being published yet.
 *
 * timeout_ns  UINT64_MAX: no limit
 * returns  0
 *          -ETIMEDOUT        not durable yet
 *          -EUSERS           all places are taken (one for each handle that waits)
 *          SEGLOG_EVOLATILE, SEGLOG_EPOISONED, -EIO, -ENOSPC, -EDQUOT   as seglog_log_sync()
 *          SEGLOG_ECORRUPT, SEGLOG_EFORKED, -EMFILE, -ENOMEM
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_wait_durable(struct seglog_log *log, uint64_t seq, uint64_t timeout_ns);

/*
 * A descriptor (an eventfd) that becomes readable whenever the durable number has grown, whoever made
 * it grow: for poll() and its kin. Read 8 bytes from it, then ask seglog_log_progress().
 *
 * It belongs to the log and is closed with it. The first call starts a thread that sleeps.
 *
 * returns  the descriptor; SEGLOG_EVOLATILE, SEGLOG_EFORKED, -EMFILE, -EAGAIN (no thread to be had)
 * threads  any; blocks never
 */
SEGLOG_API int seglog_log_durable_fd(struct seglog_log *log);

/* The number below which all is durable or void, and the number of the next record.
 * Either pointer may be NULL. returns 0 or SEGLOG_EFORKED; threads any; blocks never. */
SEGLOG_API int seglog_log_progress(struct seglog_log *log, uint64_t *durable_seq,
                                   uint64_t *next_seq);

/* ---- retention ------------------------------------------------------------------------------ */

/* Bits of seglog_trim_options.flags. */
#define SEGLOG_TRIM_DRY_RUN (1u << 0) /* only find out what would go */
#define SEGLOG_TRIM_FORCE   (1u << 1) /* also what cursors have still to read */
#define SEGLOG_TRIM_BEFORE  (1u << 2) /* before_seq is meant */

/* Why a segment goes. */
#define SEGLOG_TRIM_BY_SIZE     (1u << 0)
#define SEGLOG_TRIM_BY_AGE      (1u << 1)
#define SEGLOG_TRIM_BY_SEGMENTS (1u << 2)
#define SEGLOG_TRIM_BY_PLACE    (1u << 3)

/* A segment that goes. */
struct seglog_trim_segment {
    uint64_t number;
    uint64_t first_seq;
    uint64_t next_seq;  /* the first number behind it */
    uint64_t bytes;     /* of the file */
    uint64_t sealed_ns; /* wall clock; 0: never sealed (SEGLOG_SYNC_NONE) */
    uint32_t why;       /* SEGLOG_TRIM_BY_* */
    uint32_t reserved;
};

struct seglog_trim_options {
    uint32_t flags; /* SEGLOG_TRIM_* */
    uint32_t reserved;
    /* The rules: the oldest segment goes while any of them wants it. None given: the log's own. */
    uint64_t keep_size;
    uint64_t keep_age_ns;
    uint64_t keep_segments;
    uint64_t before_seq; /* all its numbers are below this */
    /* Called for each segment that goes, or would, oldest first, before anything is removed; it must
     * not call seglog on this log. May be NULL. */
    void (*on_segment)(void *context, const struct seglog_trim_segment *segment);
    void *context;
};

/* Why no more went. */
enum seglog_trim_stop {
    SEGLOG_TRIM_DONE = 0,   /* no rule wants more gone */
    SEGLOG_TRIM_CURSOR = 1, /* a cursor has still to read it */
    SEGLOG_TRIM_IN_USE = 2, /* it is the active segment, the newest sealed one, or not sealed yet */
};

struct seglog_trim_report {
    uint64_t segments;  /* that went, or would go */
    uint64_t bytes;     /* of their files */
    uint64_t first_seq; /* the first number left */
    uint64_t left_segments;
    uint64_t left_bytes;
    uint32_t stopped; /* enum seglog_trim_stop */
    int32_t
        cursor_status;   /* SEGLOG_TRIM_CURSOR: 0, or SEGLOG_ECORRUPT: it cannot be read, and might
                              want anything */
    uint64_t cursor_seq; /* and what it has to read next */
    char cursor[65];     /* and its name */
};

/*
 * Remove the oldest segments, by rules given here or those of the log.
 *
 * The first segment kept is stored durably before any file goes, and files go oldest first: killed or
 * cut anywhere, the log is whole, and what was left over goes next time. Readers in a removed segment
 * keep what they have; whoever wants it later gets SEGLOG_ETRIMMED. The active segment and the newest
 * sealed one stay. Processes that trim at the same time wait for one another.
 *
 * options  may be NULL: the log's own rules
 * report   may be NULL
 * returns  0
 *          -EBUSY            others have trimmed, or set cursors, for seconds
 *          -EINVAL           flags
 *          -ENOSPC, -EIO ... the floor could not be stored (nothing was removed), or a file could not
 *                            be removed (it is no part of the log any more)
 *          SEGLOG_EFORKED, SEGLOG_ECORRUPT, -ENOMEM ...
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_log_trim(struct seglog_log *log, const struct seglog_trim_options *options,
                               struct seglog_trim_report *report);

/* What seglog_log_trim() would do now, without attaching and without write permission. Returns as
 * seglog_log_open() and seglog_log_trim(). */
SEGLOG_API int seglog_trim_plan(const char *dir, const struct seglog_trim_options *options,
                                struct seglog_trim_report *report);

/* ---- appenders ------------------------------------------------------------------------------ */

enum seglog_appender_mode {
    SEGLOG_SHARED = 0,    /* beside any number of others, in any process */
    SEGLOG_EXCLUSIVE = 1, /* the only one: no read-modify-write when appending */
};

/* Where a record's time comes from when the caller gives none. */
enum seglog_clock {
    SEGLOG_CLOCK_REALTIME = 0, /* the wall clock, about 20 ns a call */
    SEGLOG_CLOCK_COARSE = 1,   /* the wall clock of the last tick, 1 to 4 ms coarse, about 5 ns */
};

struct seglog_appender_options {
    uint32_t mode;             /* enum seglog_appender_mode */
    uint32_t clock;            /* enum seglog_clock */
    uint32_t sync;             /* enum seglog_sync of what it appends; 0: the log's */
    uint32_t reserved;         /* zero */
    uint64_t sync_interval_ns; /* with SEGLOG_SYNC_INTERVAL; 0: the log's */
};

/*
 * Take a producer's place on a log.
 *
 * An appender is used by one thread at a time. If its process dies, whatever it had claimed and not
 * committed becomes void within 100 ms of somebody needing to pass it. If only its thread ends, the
 * claim stays open until the appender is closed or used to abort it.
 *
 * returns  0
 *          -EBUSY            an exclusive appender is attached, or this one is to be exclusive and
 *                            others are attached
 *          -EUSERS           all SEGLOG_APPENDERS_MAX places are taken
 *          -EINVAL           mode, clock or sync unknown, or the interval out of bounds
 *          SEGLOG_EVOLATILE  sync is INTERVAL or RECORD, and the file system keeps nothing
 *          SEGLOG_EFORKED, SEGLOG_EPOISONED, -EMFILE, -ENOMEM ...
 * blocks   never for long
 */
SEGLOG_API int seglog_appender_open(struct seglog_log *log,
                                    const struct seglog_appender_options *options,
                                    struct seglog_appender **out);

/* Give the place back; an open claim is aborted. appender may be NULL. returns 0. */
SEGLOG_API int seglog_appender_close(struct seglog_appender *appender);

/* A record to append. */
struct seglog_record {
    const void *data;
    uint64_t len;     /* bytes; 0 is legal */
    uint64_t time_ns; /* since the epoch; 0: the appender's clock */
    uint32_t tag;     /* yours: stream, key, symbol */
    uint32_t sync;    /* enum seglog_sync for this record; 0: the appender's. RECORD waits. */
};

/*
 * Append one record: copied, checksummed, published. Readers in every process see it when this
 * returns. It survives the death of every process; see enum seglog_sync for power cuts.
 *
 * seq      may be NULL; gets the record's number
 * returns  0
 *          -EMSGSIZE         larger than seglog_log_settings.max_record
 *          -ENOSPC, -EDQUOT  no room for the next segment; nothing changed, readers go on, and
 *                            appending works again once there is room
 *          -EBUSY            this appender has a claim open
 *          SEGLOG_EEVICTED   taken away by the log's deadline; the number is void
 *          SEGLOG_EPOISONED, SEGLOG_EFORKED, SEGLOG_ECORRUPT
 *          At SEGLOG_SYNC_RECORD also, the record being published but perhaps not durable:
 *          SEGLOG_EPOISONED, -EIO, -ENOSPC, -EDQUOT (the log is poisoned)
 * threads  one at a time for each appender
 * blocks   never while the next segment is ready in time; else for its preparation. At
 *          SEGLOG_SYNC_RECORD on the disk.
 */
SEGLOG_API int seglog_appender_append(struct seglog_appender *appender, const void *data,
                                      size_t len, uint64_t *seq);

/* The same with a time and a tag. Errors as seglog_appender_append(). */
SEGLOG_API int seglog_appender_append_record(struct seglog_appender *appender,
                                             const struct seglog_record *record, uint64_t *seq);

/* One record gathered from n pieces; time_ns 0 means the appender's clock.
 * Errors as seglog_appender_append(), and -EINVAL for a negative n. */
SEGLOG_API int seglog_appender_appendv(struct seglog_appender *appender, const struct iovec *iov,
                                       int n, uint64_t time_ns, uint32_t tag, uint64_t *seq);

/*
 * Append n records with one claim: they get consecutive numbers, nobody's records come between, and
 * readers see all of them or none. A power cut may keep a first part of a batch. The strictest
 * `sync` of the records counts for all of them.
 *
 * n        1 to SEGLOG_BATCH_MAX; together (headers and rounding included) at most a quarter of a
 *          segment, else -EMSGSIZE
 * Other errors as seglog_appender_append().
 */
SEGLOG_API int seglog_appender_append_batch(struct seglog_appender *appender,
                                            const struct seglog_record *records, size_t n,
                                            uint64_t *first_seq);

/* Room for one record, inside the log. The caller fills data[0..len). */
struct seglog_claim {
    void *data;       /* 32 bytes past a 32-byte boundary in the segment: 32-byte aligned */
    uint64_t len;     /* bytes that may be written */
    uint64_t seq;     /* the number the record will have */
    uint64_t time_ns; /* may be set before commit; 0: the appender's clock */
    uint32_t tag;     /* may be set before commit */
    uint32_t sync;    /* as in seglog_record; may be set before commit */
};

/*
 * Claim room for one record, to be written in place.
 *
 * The bytes at out->data belong to the caller until commit or abort. Readers stop at an open claim,
 * so keep it short. One claim (or batch) may be open at a time.
 *
 * Errors as seglog_appender_append(); on failure *out is untouched and nothing is claimed.
 */
SEGLOG_API int seglog_appender_claim(struct seglog_appender *appender, size_t len,
                                     struct seglog_claim *out);

/*
 * Publish the open claim with its first len bytes; the rest is given up.
 *
 * returns  0
 *          -EINVAL           no claim is open, or len is larger than was claimed
 *          SEGLOG_EEVICTED   it was taken away; the number is void, the claim is closed
 *          SEGLOG_EFORKED
 *          At SEGLOG_SYNC_RECORD also what seglog_appender_append() says there.
 */
SEGLOG_API int seglog_appender_commit(struct seglog_appender *appender,
                                      const struct seglog_claim *claim, size_t len);

/* Give the open claim (or batch) up; its numbers become void.
 * returns 0, -EINVAL (none is open), SEGLOG_EEVICTED, SEGLOG_EFORKED. */
SEGLOG_API int seglog_appender_abort(struct seglog_appender *appender);

/*
 * Claim room for n records at once, sizes given up front. claims[0..n) are filled.
 * Limits and errors as seglog_appender_append_batch().
 */
SEGLOG_API int seglog_appender_claim_batch(struct seglog_appender *appender, const size_t *lens,
                                           size_t n, struct seglog_claim *claims);

/*
 * Publish the first k records of the open batch, each at its full length, all at once; the others
 * become void. k = 0 aborts. Errors as seglog_appender_commit().
 */
SEGLOG_API int seglog_appender_commit_batch(struct seglog_appender *appender,
                                            const struct seglog_claim *claims, size_t k);

#ifdef __cplusplus
}
#endif
#endif
