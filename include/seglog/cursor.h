/*
 * Cursors: named places in a log that are stored in it, so that whoever reads by one goes on where
 * the last one stopped, in whatever process.
 *
 * A cursor has at most one holder at a time; a holder that died is proved dead by a lock that the
 * kernel drops, and the next takes over at once. Delivery is at least once: the stored place never
 * runs ahead of what was handed out, and records handed out after the last commit come again after a
 * crash. Retention removes nothing that a cursor has still to read, unless it is forced.
 *
 * A commit survives the death of every process. After a power cut a cursor may stand at an earlier
 * commit, unless SEGLOG_CURSOR_DURABLE is set.
 *
 * Names are 1 to 64 letters, digits, '.', '_' and '-', begin with a letter, digit or '_', and do not
 * end in ".tmp". A cursor is used by one thread at a time. One made before fork() fails in the child.
 */
#ifndef SEGLOG_CURSOR_H
#define SEGLOG_CURSOR_H

#include <seglog/reader.h>
#include <seglog/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_cursor;

#define SEGLOG_CURSOR_NAME_MAX 64

/* Bits of seglog_cursor_options.flags. */
#define SEGLOG_CURSOR_CREATE (1u << 0) /* open: make it if it is not there, at reader.from */
#define SEGLOG_CURSOR_AUTO \
    (1u                    \
     << 1) /* asking for the next record says that those before it are done: they are committed by
                 and by, all of them when there is no next one, and at close */
#define SEGLOG_CURSOR_DURABLE (1u << 2) /* a commit returns when it survives a power cut */
#define SEGLOG_CURSOR_SKIP \
    (1u                    \
     << 3) /* open: where the place was trimmed, go on with the first record left; where it lies
                 beyond a recovery's cut, at the cut; instead of failing */

struct seglog_cursor_options {
    struct seglog_reader_options reader; /* how to read; `from` is where a new cursor begins */
    uint32_t flags;                      /* SEGLOG_CURSOR_* */
    uint32_t reserved;                   /* zero */
    uint64_t auto_ns; /* SEGLOG_CURSOR_AUTO: commit at most this often; 0: every 100 ms */
};

/*
 * Take a cursor and stand where it says.
 *
 * *out belongs to the caller: seglog_cursor_close().
 *
 * options  may be NULL: an existing one, commits by seglog_cursor_commit()
 * returns  0
 *          -ENODATA          there is no cursor of this name, and no SEGLOG_CURSOR_CREATE
 *          -EBUSY            a living process holds it; seglog_cursor_info_read() names it
 *          SEGLOG_ETRIMMED   records that it has still to read were removed (by force)
 *          SEGLOG_EREWOUND   it stands beyond what a recovery after a crash has left of the log
 *          SEGLOG_ECORRUPT   its file is damaged; seglog_cursor_set() makes it whole
 *          -EINVAL           name or flags
 *          and as seglog_reader_open(); -EACCES and -EROFS where its file cannot be written
 * blocks   on the disk
 */
SEGLOG_API int seglog_cursor_open(const char *dir, const char *name,
                                  const struct seglog_cursor_options *options,
                                  struct seglog_cursor **out);

/*
 * Give it back; the reader with it. With SEGLOG_CURSOR_AUTO all that was handed out is committed
 * first. cursor may be NULL.
 *
 * returns  0; or, the handle being gone, why that last commit failed
 */
SEGLOG_API int seglog_cursor_close(struct seglog_cursor *cursor);

/* The reader that stands at the cursor: for batches, waiting, seeking. It belongs to the cursor. */
SEGLOG_API struct seglog_reader *seglog_cursor_reader(struct seglog_cursor *cursor);

/*
 * The next record, as seglog_reader_next(). With SEGLOG_CURSOR_AUTO it commits, if that is due, what
 * was handed out before; a commit that fails is returned and nothing is handed out.
 */
SEGLOG_API int seglog_cursor_next(struct seglog_cursor *cursor, struct seglog_view *out);

/*
 * Store that all records below next_seq are done.
 *
 * next_seq  at most the number of the reader's next record, wherever it has been; UINT64_MAX: that
 * returns   0
 *           -ERANGE           more than was handed out (or sought to)
 *           -ENOSPC, -EIO, SEGLOG_EFORKED ...    nothing changed
 * blocks    SEGLOG_CURSOR_DURABLE: on the disk
 */
SEGLOG_API int seglog_cursor_commit(struct seglog_cursor *cursor, uint64_t next_seq);

/* What is known of a cursor. */
struct seglog_cursor_info {
    char name[SEGLOG_CURSOR_NAME_MAX + 1];
    uint32_t held;        /* 1: a living process holds it */
    uint32_t pid;         /* who opened it for reading or stored last, as it named itself */
    int32_t status;       /* 0; SEGLOG_ETRIMMED, SEGLOG_EREWOUND, SEGLOG_ECORRUPT: as at open */
    uint64_t seq;         /* the next record to be read */
    uint64_t epoch;       /* in which it stands */
    uint64_t stored_ns;   /* wall clock */
    uint64_t resume_seq;  /* where reading goes on: seq, or with SEGLOG_CURSOR_SKIP elsewhere */
    uint64_t lag_records; /* from resume_seq to the end */
    uint64_t lag_bytes;   /* payload bytes of these */
    uint64_t lag_ns;      /* age of the first of these; 0: none */
};

/*
 * Look at one cursor, or at all in the order of their names. Neither needs write permission or disturbs
 * a holder. *out of the list belongs to the caller: free().
 *
 * returns  0, the list's count; -ENODATA: no such cursor; -EINVAL: no such name can be; and as
 *          seglog_reader_open()
 * blocks   on the disk; walks the segment of each cursor's place, and those not sealed
 */
SEGLOG_API int seglog_cursor_info_read(const char *dir, const char *name,
                                       struct seglog_cursor_info *out);
SEGLOG_API int seglog_cursor_list(const char *dir, struct seglog_cursor_info **out);

#define SEGLOG_CURSOR_DRY_RUN (1u << 0) /* set: only find out where that would be */

/*
 * Store a place, durably, making the cursor if need be.
 *
 * flags    SEGLOG_CURSOR_DRY_RUN
 * out      may be NULL; gets what seglog_cursor_info_read() would say then
 * returns  0
 *          -EBUSY            a living process holds it; or segments are being removed just now
 *          -EINVAL           name, place or flags
 *          SEGLOG_ETRIMMED, -ERANGE and others as seglog_reader_open()
 * blocks   on the disk
 */
SEGLOG_API int seglog_cursor_set(const char *dir, const char *name,
                                 const struct seglog_place *place, uint32_t flags,
                                 struct seglog_cursor_info *out);

/* Remove a cursor. 0; -ENODATA: there is none; -EBUSY: a living process holds it; -EINVAL, -EACCES ...
 * blocks on the disk */
SEGLOG_API int seglog_cursor_remove(const char *dir, const char *name);

#ifdef __cplusplus
}
#endif
#endif
