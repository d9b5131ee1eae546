/*
 * A reader: one consumer's way through a log, forward and backward, over segments of every state.
 *
 * Readers map the log read-only, need no write permission, are independent of one another and of
 * the appenders, and hold nothing back. A reader is used by one thread at a time.
 *
 * The reader stands between two records: next() gives the one after and moves on, prev() the one
 * before and moves back.
 */
#ifndef SEGLOG_READER_H
#define SEGLOG_READER_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_reader;

enum seglog_place_kind {
    SEGLOG_PLACE_FIRST = 0, /* before the first record there is */
    SEGLOG_PLACE_LAST,      /* before the last record */
    SEGLOG_PLACE_END,       /* after the last record: only what comes from now on */
    SEGLOG_PLACE_SEQ,       /* before record number `value`, or the next one not void */
    SEGLOG_PLACE_BACK,      /* before the `value`-th record from the end; fewer there: the first */
    SEGLOG_PLACE_TIME,      /* before the first record whose time is `value` ns or later */
};

struct seglog_place {
    uint32_t kind;        /* enum seglog_place_kind */
    uint32_t check_epoch; /* SEQ only: 1: fail if the number was cut off since `epoch` */
    uint64_t value;
    uint64_t epoch; /* the one the number was read in, from seglog_reader_position() */
};

/* How seglog_reader_wait() waits. */
enum seglog_wait {
    SEGLOG_WAIT_AUTO = 0, /* spin for some microseconds, then yield, then sleep */
    SEGLOG_WAIT_SPIN,     /* never leave the processor: lowest latency, a core each */
    SEGLOG_WAIT_YIELD,    /* let others run between looks */
    SEGLOG_WAIT_SLEEP,    /* sleep in the kernel until an appender wakes us */
};

/* Bits of seglog_reader_options.flags. */

/* Skip payload checksums; structure is still checked, and the blocks of archives are. */
#define SEGLOG_READER_NO_VERIFY (1u << 0)
/* read(2) into private memory instead of mapping: for media that may fail, where a mapping would
 * SIGBUS. */
#define SEGLOG_READER_COPY (1u << 1)
/* Only records whose tag is `tag`. */
#define SEGLOG_READER_TAG (1u << 2)
/* Accept a network or FUSE file system. */
#define SEGLOG_READER_FORCE_FS (1u << 3)
/* Sealed segments that were read leave the page cache, each as a whole, when the reader has left it
 * and its views are released, or at close: for a long scan that is not to push out what others need.
 * Unless others map them, and only as a hint. */
#define SEGLOG_READER_DROP_BEHIND (1u << 4)
/* With SEGLOG_READER_COPY: where the medium does not give the bytes of frames (-EIO), go on behind
 * them, as behind damage: SEGLOG_ECORRUPT tells what is lost. Not with SEGLOG_READER_NO_VERIFY. */
#define SEGLOG_READER_SKIP_BAD (1u << 5)

struct seglog_reader_options {
    struct seglog_place from; /* all zero: the first record */
    uint32_t wait;            /* enum seglog_wait */
    uint32_t flags;           /* SEGLOG_READER_* */
    uint32_t tag;
    uint32_t reserved;
};

/* Bits of seglog_view.flags. */
#define SEGLOG_VIEW_REDELIVERED (1u << 0) /* a ring's message that was handed out before */

/* One record, where it lies. */
struct seglog_view {
    const void *data; /* len bytes; valid until seglog_reader_release() or close */
    uint64_t len;
    uint64_t seq;
    uint64_t time_ns;
    uint32_t tag;
    uint32_t flags; /* SEGLOG_VIEW_*; 0 for records of a log */
};

/* What was found bad, and what is lost by it. */
struct seglog_damage {
    uint64_t segment;   /* segment number */
    uint64_t offset;    /* byte offset in its file */
    uint64_t first_seq; /* numbers lost: first_seq to last_seq, both included; */
    uint64_t last_seq;  /* first_seq > last_seq: none */
    int32_t status;     /* SEGLOG_ECORRUPT, SEGLOG_EMISSING, -EIO ... */
    char cause[60];     /* in plain words */
};

/*
 * Open a reader on a log directory.
 *
 * options  may be NULL: from the first record
 * returns  0; *out belongs to the caller: seglog_reader_close()
 *          -ENOENT           no such directory or no log in it
 *          SEGLOG_ENOTLOG    other files are there but no log
 *          SEGLOG_ETRIMMED   from.value was removed by retention
 *          SEGLOG_EREWOUND   from.value lies beyond a recovery's cut (see from.check_epoch)
 *          -ERANGE           from.value is a number the log has not reached (more than next)
 *          -EINVAL           kind, wait or flags unknown
 *          SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_ECORRUPT, SEGLOG_EFS, -EACCES, -EIO, -ENOMEM ...
 * blocks   on the disk
 */
SEGLOG_API int seglog_reader_open(const char *dir, const struct seglog_reader_options *options,
                                  struct seglog_reader **out);

/* Close; every view becomes invalid. reader may be NULL. */
SEGLOG_API void seglog_reader_close(struct seglog_reader *reader);

/*
 * The next record.
 *
 * returns  0                 *out is filled
 *          -EAGAIN           none is published yet; see seglog_reader_wait()
 *          SEGLOG_ECORRUPT   stored bytes are bad; seglog_reader_damage() tells what is lost, and the
 *                            next call goes on behind it
 *          SEGLOG_EMISSING   a segment file is gone; as for SEGLOG_ECORRUPT
 *          SEGLOG_ETRIMMED   retention overtook this reader; seek to go on. seglog_reader_damage()
 *                            tells what is gone: the number after last_seq is the first one left
 *          SEGLOG_EREWOUND   a recovery cut off what this reader had read; seek to go on
 *          SEGLOG_EFORKED, -EIO, -ENOMEM, -EMFILE
 * blocks   never, but for page faults
 */
SEGLOG_API int seglog_reader_next(struct seglog_reader *reader, struct seglog_view *out);

/* The record before. As seglog_reader_next(); at the first record -ENODATA. */
SEGLOG_API int seglog_reader_prev(struct seglog_reader *reader, struct seglog_view *out);

/*
 * Up to max records forward in one call.
 *
 * returns  1 or more: that many are in out[]; -EINVAL: max is below 1; else as
 *          seglog_reader_next(). A problem met after the first record is reported by the next call.
 */
SEGLOG_API int seglog_reader_batch(struct seglog_reader *reader, struct seglog_view *out, int max);

/*
 * Say that all views handed out so far are done with. Segments that the reader has left stay mapped
 * until then, so call it every now and then in a long scan. Blocks never.
 */
SEGLOG_API void seglog_reader_release(struct seglog_reader *reader);

/*
 * Wait until next() has something to say.
 *
 * timeout_ns  UINT64_MAX: for ever; 0: only look
 * returns  0                 call next()
 *          -ETIMEDOUT        nothing came
 *          -EINTR            a signal handler ran while this slept. One that runs between two looks
 *                            is not seen: give a time-out where handlers set a flag
 *          SEGLOG_EFORKED
 * A claim whose producer died is passed within 100 ms; one of a living producer is waited for.
 */
SEGLOG_API int seglog_reader_wait(struct seglog_reader *reader, uint64_t timeout_ns);

/* Move to a place. Errors as seglog_reader_open(); on failure the reader stays where it is. */
SEGLOG_API int seglog_reader_seek(struct seglog_reader *reader, const struct seglog_place *place);

/* The number of the next record, and the epoch in which it stands. Either may be NULL. returns 0. */
SEGLOG_API int seglog_reader_position(const struct seglog_reader *reader, uint64_t *next_seq,
                                      uint64_t *epoch);

/* The first number there is and the number after the last published one. Either may be NULL.
 * returns 0 or as seglog_reader_next(); blocks on the disk. */
SEGLOG_API int seglog_reader_bounds(struct seglog_reader *reader, uint64_t *first_seq,
                                    uint64_t *end_seq);

/* What the last SEGLOG_ECORRUPT, SEGLOG_EMISSING, SEGLOG_ETRIMMED or -EIO was about. returns 0 or -ENODATA. */
SEGLOG_API int seglog_reader_damage(const struct seglog_reader *reader, struct seglog_damage *out);

#ifdef __cplusplus
}
#endif
#endif
