/*
 * A cell: one value that one process at a time replaces, and that any number read.
 *
 * Readers take no lock, need no permission to write, and leave no trace; they get one whole version,
 * the newest at some moment of the call. A version stays readable while as many others are published as
 * the cell has slots, less one; a reader that was slower than that starts over by itself.
 *
 * Who may write is settled by a lock that the kernel drops with the process that holds it. A writer that
 * is killed at any instant leaves the version before.
 *
 * A value that was published survives the death of every process. With SEGLOG_CELL_DURABLE it is synced
 * before it is published, and after a power cut the cell has the last published value or the one that
 * was being published. Without, it has some version that was published since the last sync, or that
 * one: whole, or the cell says SEGLOG_ECORRUPT.
 *
 * Threads: any number may read through one handle, beside one that writes through it.
 * fork(): a handle made before fork() fails in the child with SEGLOG_EFORKED.
 * A file that others cut: SEGLOG_ETRUNCATED, as for seglog/map.h, by the same handler.
 */
#ifndef SEGLOG_CELL_H
#define SEGLOG_CELL_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_cell;

/* Bits of seglog_cell_options.flags. */
#define SEGLOG_CELL_WRITE    (1u << 0) /* may publish; else for reading only */
#define SEGLOG_CELL_CREATE   (1u << 1) /* make it if it is not there; needs WRITE */
#define SEGLOG_CELL_HOLD     (1u << 2) /* be the writer until close; needs WRITE */
#define SEGLOG_CELL_DURABLE  (1u << 3) /* sync every version before it is published */
#define SEGLOG_CELL_NO_GUARD (1u << 4) /* no handler of SIGBUS */
#define SEGLOG_CELL_FORCE_FS (1u << 5) /* accept a network or FUSE file system */

#define SEGLOG_CELL_SLOTS_MIN 2u
#define SEGLOG_CELL_SLOTS_MAX 48u

struct seglog_cell_options {
    uint32_t flags;      /* SEGLOG_CELL_* */
    uint32_t slots;      /* CREATE: versions that lie side by side, 2 to 48; 0: 8 */
    uint64_t schema;     /* what the value is, as the users number it; 0 at open: whatever it is */
    uint64_t size;       /* bytes of every value; 0: any (at open: as stored) */
    uint64_t capacity;   /* CREATE: room for values of so many bytes from the start; it grows */
    uint32_t file_mode;  /* CREATE: permission bits; 0: 0640 */
    uint32_t reserved;   /* zero */
    uint64_t timeout_ns; /* without HOLD: how long to wait for the writer's place; 0: for ever */
};

/*
 * Open a cell.
 *
 * returns  0; *out belongs to the caller: seglog_cell_close()
 *          -ENOENT           not there, and no CREATE
 *          -EBUSY            HOLD, and somebody else is the writer
 *          -EINVAL           options out of range
 *          SEGLOG_EMISMATCH  it has another schema or another size
 *          SEGLOG_ENOTLOG    no cell; SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_ECORRUPT
 *          SEGLOG_EVOLATILE  DURABLE on a file system that keeps nothing
 *          SEGLOG_EFS, -ENOSPC, -EACCES, -EMFILE, -ENOMEM ... as the system says
 * blocks   on the disk
 */
SEGLOG_API int seglog_cell_open(const char *path, const struct seglog_cell_options *options,
                                struct seglog_cell **out);

/* Close; views become invalid. cell may be NULL. */
SEGLOG_API void seglog_cell_close(struct seglog_cell *cell);

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * Copy the value out.
 *
 * cap      bytes that fit in buf
 * len      may be NULL; gets the length of the value
 * version  may be NULL; gets its number: every publication has a higher one
 * returns  0
 *          -ENODATA          nothing was published yet
 *          -EMSGSIZE         it is longer than cap; *len says how long, and buf is untouched
 *          -EAGAIN           the writer outran this reader a thousand times
 *          SEGLOG_ECORRUPT   the bytes fail their checksum
 *          SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO
 * blocks   never, but for page faults
 */
SEGLOG_API int seglog_cell_read(struct seglog_cell *cell, void *buf, size_t cap, size_t *len,
                                uint64_t *version);

/* The same without looking at the checksum: for values that nothing but this library writes. */
SEGLOG_API int seglog_cell_read_unverified(struct seglog_cell *cell, void *buf, size_t cap,
                                           size_t *len, uint64_t *version);

/* A value where it lies. */
struct seglog_cell_view {
    const void *data;
    uint64_t len;
    uint64_t version;
};

/*
 * Look at the value in place. The bytes may be overwritten while you look, so whatever you took from
 * them counts only once seglog_cell_check_view() has said 0 afterwards; until then treat them as you
 * would treat bytes of a stranger. Errors as seglog_cell_read(); the checksum is looked at.
 */
SEGLOG_API int seglog_cell_view(struct seglog_cell *cell, struct seglog_cell_view *out);

/* Did it stay the same until now? returns 0; -ESTALE: no; SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO */
SEGLOG_API int seglog_cell_check_view(struct seglog_cell *cell,
                                      const struct seglog_cell_view *view);

/* The number of the version there is, 0 for none: one load, to see whether anything changed.
 * returns 0 or SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO */
SEGLOG_API int seglog_cell_version(struct seglog_cell *cell, uint64_t *version);

/*
 * Wait until the version is another one.
 *
 * version     the one that is known, 0: any value is news
 * timeout_ns  UINT64_MAX: for ever
 * returns  0, -ETIMEDOUT, -EINTR (a signal handler ran), SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO
 * A handle without WRITE cannot be woken and looks every 5 ms at least.
 */
SEGLOG_API int seglog_cell_wait(struct seglog_cell *cell, uint64_t version, uint64_t timeout_ns);

/* ---- writing --------------------------------------------------------------------------------- */

/*
 * Publish a value. Without HOLD the writer's place is taken for the duration of the call.
 *
 * returns  0; readers see it. On failure they see what was there
 *          -EPERM            no WRITE
 *          -EMSGSIZE         len is not the size of this cell's values
 *          -ETIMEDOUT        somebody else was the writer for timeout_ns
 *          -ENOSPC, -EDQUOT  it has outgrown its room, and there is no more
 *          SEGLOG_EPOISONED  DURABLE: a sync of this cell failed earlier in this boot
 *          -EIO ...          DURABLE: the sync failed just now
 *          -EBUSY            a reservation is open
 *          SEGLOG_ETRUNCATED, SEGLOG_EFORKED, SEGLOG_ECORRUPT
 * threads  one at a time
 * blocks   for the writer's place; with DURABLE on the disk
 */
SEGLOG_API int seglog_cell_publish(struct seglog_cell *cell, const void *value, size_t len);

/*
 * Room for a value that is made in place: *out, len bytes that hold anything, yours until commit or
 * abort. Errors as seglog_cell_publish().
 */
SEGLOG_API int seglog_cell_reserve(struct seglog_cell *cell, size_t len, void **out);
/* Publish it. -EINVAL: nothing is reserved; else as seglog_cell_publish() */
SEGLOG_API int seglog_cell_commit(struct seglog_cell *cell);
/* Let it be; readers see what was there. returns 0 or -EINVAL, SEGLOG_EFORKED */
SEGLOG_API int seglog_cell_abort(struct seglog_cell *cell);

/*
 * Change value in place: *len bytes now, room for cap. Set *len. A negative answer leaves the cell as it
 * is, and is handed on.
 */
typedef int seglog_cell_change(void *context, void *value, size_t *len, size_t cap);

/*
 * Read, change, publish, with nobody else writing in between.
 *
 * cap           room for what `change` may make of it; less than the value's length counts as that
 * fallback      published as it is, without a call of `change`, if there is no value or a damaged one;
 *               NULL: then fail with -ENODATA or SEGLOG_ECORRUPT
 * returns  0; what `change` answered; else as seglog_cell_publish(), -ENOMEM
 */
SEGLOG_API int seglog_cell_update(struct seglog_cell *cell, size_t cap, seglog_cell_change *change,
                                  void *context, const void *fallback, size_t fallback_len);

/*
 * Make the version that is there durable. For cells without DURABLE.
 *
 * returns  0; -EPERM; SEGLOG_EVOLATILE; SEGLOG_EPOISONED, -EIO ... as seglog_cell_publish()
 * blocks   on the disk
 */
SEGLOG_API int seglog_cell_sync(struct seglog_cell *cell);

#ifdef __cplusplus
}
#endif
#endif
