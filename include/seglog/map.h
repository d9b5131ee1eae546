/*
 * A mapped file: bytes in a file, or in memory without a name, that are read and written in place.
 *
 * Every offset counts from the beginning of the map and need not be aligned to anything. Addresses
 * handed out stay good until the map is closed, also while it grows.
 *
 * Visible and durable are two things. A store is visible to every process that maps the file as soon
 * as it is made, and survives the death of all of them. It survives a power cut once a flush that
 * began after it has returned 0: seglog_map_flush(), or one that the map's policy makes.
 *
 * A file that somebody makes shorter, or whose medium fails, does not kill the process: touching what
 * is gone gives zeros, and this and every later call says SEGLOG_ETRUNCATED or -EIO. For that a handler
 * of SIGBUS is installed in the process, which passes on what is not about such a map;
 * SEGLOG_MAP_NO_GUARD does without.
 *
 * Threads: every call but close may be made by many threads at once. Who stores into which bytes is
 * theirs to agree on; seglog_map_lock() is between handles, not between threads of one.
 *
 * fork(): a map made before fork() fails in the child with SEGLOG_EFORKED; closing it there is right.
 */
#ifndef SEGLOG_MAP_H
#define SEGLOG_MAP_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_map;

enum seglog_map_mode {
    SEGLOG_MAP_READ = 0,
    SEGLOG_MAP_WRITE,   /* stores reach the file and everybody who maps it */
    SEGLOG_MAP_PRIVATE, /* copy-on-write: stores are seen through this map only and never kept */
};

/* When a map that is written flushes by itself. */
enum seglog_flush_policy {
    SEGLOG_FLUSH_MANUAL = 0,
    SEGLOG_FLUSH_EVERY_WRITE, /* each write is durable when it returns */
    SEGLOG_FLUSH_EVERY_BYTES, /* whenever flush_amount bytes were written since the last flush */
    SEGLOG_FLUSH_EVERY_NS,    /* at most flush_amount ns after a write, by a thread */
};

/* What is fetched into memory when the map is made. */
enum seglog_prefetch {
    SEGLOG_PREFETCH_NONE = 0,
    SEGLOG_PREFETCH_SEQUENTIAL, /* nothing yet; the kernel reads far ahead of every touch */
    SEGLOG_PREFETCH_RANDOM,     /* nothing; the kernel reads nothing ahead */
    SEGLOG_PREFETCH_FIRST, /* prefetch_bytes from the beginning; open returns when they are there */
    SEGLOG_PREFETCH_ALL,   /* everything; the page tables too, so that no touch faults */
};

enum seglog_huge {
    SEGLOG_HUGE_NO = 0,
    SEGLOG_HUGE_TRY,     /* if they are to be had; seglog_map_stat() says what came of it */
    SEGLOG_HUGE_REQUIRE, /* or fail: files on hugetlbfs, and anonymous maps */
};

/* What came of it. */
enum seglog_huge_outcome {
    SEGLOG_HUGE_NONE = 0, /* not asked for, or the kernel refused */
    SEGLOG_HUGE_ADVISED,  /* the kernel takes the advice, and uses them when it finds some */
    SEGLOG_HUGE_GRANTED,  /* every page of this map is one */
};

/* Bits of seglog_map_options.flags. */
#define SEGLOG_MAP_CREATE    (1u << 0) /* make the file if it is not there; WRITE only */
#define SEGLOG_MAP_EXCLUSIVE (1u << 1) /* with CREATE: -EEXIST if it is there */
#define SEGLOG_MAP_NO_GUARD  (1u << 2) /* no handler of SIGBUS */
#define SEGLOG_MAP_FORCE_FS  (1u << 3) /* accept a network or FUSE file system */

struct seglog_map_options {
    uint32_t mode;           /* enum seglog_map_mode */
    uint32_t flags;          /* SEGLOG_MAP_* */
    uint64_t offset;         /* map from this byte of the file on */
    uint64_t len;            /* so many bytes; 0: to the end of the file, and what it grows by */
    uint64_t size;           /* CREATE: bytes of a new file; they are zero, and reserved */
    uint64_t grow_step;      /* grow in multiples of so many bytes; 0: 1 MiB */
    uint64_t flush_amount;   /* bytes or ns, see flush */
    uint64_t prefetch_bytes; /* SEGLOG_PREFETCH_FIRST */
    uint32_t flush;          /* enum seglog_flush_policy */
    uint32_t prefetch;       /* enum seglog_prefetch */
    uint32_t huge;           /* enum seglog_huge */
    uint32_t file_mode;      /* CREATE: permission bits, whatever the umask; 0: 0640 */
};

/* ---- making, ending -------------------------------------------------------------------------- */

/*
 * Map a file.
 *
 * With SEGLOG_MAP_CREATE the file comes into being whole: with its size, its blocks reserved, and its
 * name durable. Of several who create it at once one makes it, and all map the same.
 *
 * options  may be NULL: the whole file, for reading
 * returns  0; *out belongs to the caller: seglog_map_close()
 *          -EINVAL           an option out of range; nothing to map: offset at or behind the end of
 *                            the file, or an empty file
 *          -ERANGE           offset and len reach beyond the end of the file
 *          -EEXIST           SEGLOG_MAP_EXCLUSIVE, and it is there
 *          -EOPNOTSUPP       SEGLOG_HUGE_REQUIRE and the file is not on hugetlbfs; or the file system
 *                            cannot reserve blocks (CREATE)
 *          SEGLOG_EFS        a network or FUSE file system, and not forced
 *          -ENOENT, -EACCES, -EISDIR, -ENOSPC, -EMFILE, -ENOMEM ... as the system says
 * blocks   on the disk
 */
SEGLOG_API int seglog_map_open(const char *path, const struct seglog_map_options *options,
                               struct seglog_map **out);

/*
 * Map the file of a descriptor, which stays the caller's and may be closed afterwards. As
 * seglog_map_open(), without CREATE. -EBADF, -EACCES: it does not allow the mode.
 */
SEGLOG_API int seglog_map_open_fd(int fd, const struct seglog_map_options *options,
                                  struct seglog_map **out);

/*
 * Memory without a name, zero: the same calls, kept by nothing once it is closed. Another process can
 * map it through seglog_map_fd(), and nobody can make it shorter.
 *
 * size     bytes, at least 1; rounded up to huge pages if those are granted
 * options  may be NULL; mode WRITE is assumed; offset, len, CREATE are refused
 * returns  0, or -EINVAL, -ENOMEM, -ENOSPC (SEGLOG_HUGE_REQUIRE: not so many are free), -EMFILE ...
 */
SEGLOG_API int seglog_map_anonymous(uint64_t size, const struct seglog_map_options *options,
                                    struct seglog_map **out);

/*
 * Unmap. Every address handed out becomes invalid. Flushes under way are waited for; with a policy other
 * than MANUAL what is not flushed yet is flushed. map may be NULL.
 *
 * returns  0, or the failure of that flush; the map is closed all the same
 */
SEGLOG_API int seglog_map_close(struct seglog_map *map);

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Bytes that are mapped now. threads any; blocks never. */
SEGLOG_API uint64_t seglog_map_size(const struct seglog_map *map);

/*
 * Copy bytes out.
 *
 * got      may be NULL: then all len bytes must be there. Else it gets how many were copied, which is
 *          less than len only at the end of the map
 * returns  0
 *          -ERANGE           offset beyond the end; or fewer than len bytes there and got is NULL
 *          SEGLOG_ETRUNCATED, -EIO   the bytes are gone: see above. buf may have been written
 *          SEGLOG_EFORKED
 * blocks   never, but for page faults
 */
SEGLOG_API int seglog_map_read(struct seglog_map *map, uint64_t offset, void *buf, size_t len,
                               size_t *got);

/*
 * Copy bytes in. All of them or, on failure, none (but see SEGLOG_ETRUNCATED).
 *
 * returns  0
 *          -ERANGE           it would reach beyond the end; seglog_map_grow() makes room
 *          -EPERM            a map for reading
 *          SEGLOG_EPOISONED  a flush failed earlier
 *          SEGLOG_ETRUNCATED, -EIO, SEGLOG_EFORKED
 *          The bytes are written, and the flush that the policy asked for failed: -EIO, -ENOSPC ...
 * blocks   as the flush policy has it
 */
SEGLOG_API int seglog_map_write(struct seglog_map *map, uint64_t offset, const void *buf,
                                size_t len);

/*
 * The bytes where they lie: *out, good until close. A len of 0 is fine up to the very end. Errors as
 * seglog_map_read(); what is lost only while you look is told by seglog_map_check().
 */
SEGLOG_API int seglog_map_view(struct seglog_map *map, uint64_t offset, uint64_t len,
                               const void **out);

/*
 * The same for storing in place. Say so with seglog_map_edit_end() when it is done: the flush policy
 * counts those bytes then. Edits may overlap in time. Errors of both as seglog_map_write().
 */
SEGLOG_API int seglog_map_edit_begin(struct seglog_map *map, uint64_t offset, uint64_t len,
                                     void **out);
SEGLOG_API int seglog_map_edit_end(struct seglog_map *map, uint64_t offset, uint64_t len);

/* A walk in chunks. Set offset and chunk; the rest is seglog_map_next()'s. */
struct seglog_map_walk {
    uint64_t offset; /* where the next chunk begins */
    uint64_t chunk;  /* bytes; at least 1 */
    const void *data;
    uint64_t len; /* chunk, or what is left at the end */
};

/* The next chunk, nothing copied. 1: walk->data and walk->len; 0: the end; else as
 * seglog_map_view(), or -EINVAL for a chunk of 0. */
SEGLOG_API int seglog_map_next(struct seglog_map *map, struct seglog_map_walk *walk);

/* Is everything still there? Asks the file too. returns 0, SEGLOG_ETRUNCATED, -EIO, SEGLOG_EFORKED */
SEGLOG_API int seglog_map_check(struct seglog_map *map);

/* ---- size ------------------------------------------------------------------------------------ */

/*
 * Make the map at least `size` bytes long: the file grows by whole steps, its new blocks reserved and
 * zero, and they are mapped. Old addresses stay good. Several processes may grow one file.
 *
 * returns  0
 *          -ENOSPC, -EDQUOT  no room; nothing changed
 *          -EPERM            not a WRITE map, or one with a len
 *          -EFBIG, -ENOMEM, SEGLOG_ETRUNCATED, SEGLOG_EFORKED ...
 * blocks   on the file system
 */
SEGLOG_API int seglog_map_grow(struct seglog_map *map, uint64_t size);

/* Map what others have let the file grow by. Errors as seglog_map_grow(); a PRIVATE map or one with a
 * len: -EPERM. */
SEGLOG_API int seglog_map_refresh(struct seglog_map *map);

/* ---- durability ------------------------------------------------------------------------------ */

/*
 * Make all that was stored before this call durable; flush_range: in these bytes (whole pages are
 * written).
 *
 * returns  0
 *          SEGLOG_EVOLATILE  this file system, or an anonymous map, keeps nothing across a power cut
 *          -EPERM            not a WRITE map
 *          -ERANGE           the range is not mapped
 *          -EIO, -ENOSPC, -EDQUOT   some of it may be lost. The kernel may have dropped those pages, so
 *                            no later flush would prove anything: from now on
 *          SEGLOG_EPOISONED  is what every write and flush of this map says
 *          SEGLOG_ETRUNCATED, SEGLOG_EFORKED
 * blocks   on the disk
 */
SEGLOG_API int seglog_map_flush(struct seglog_map *map);
SEGLOG_API int seglog_map_flush_range(struct seglog_map *map, uint64_t offset, uint64_t len);

/*
 * The same without waiting: the io engine does it (io_uring, or threads where there is none; the variable
 * SEGLOG_IO decides otherwise). What was stored in these bytes before this call is durable once
 * seglog_map_flush_wait() or seglog_map_flush_poll() says so for *ticket.
 *
 * A map has one flush at a time: those asked for while one is under way are done together by the next,
 * which begins when somebody polls, waits, or flushes. Closing the map waits for all of them.
 *
 * returns  0; *ticket is good until close
 *          -EPERM, -ERANGE, SEGLOG_EPOISONED, SEGLOG_ETRUNCATED, -EIO, SEGLOG_EFORKED as above
 *          -EINVAL           len is 0; or SEGLOG_IO names no engine
 *          -ENOMEM, -EMFILE, -ENOSYS ...  no engine is to be had; nothing was begun
 * blocks   for a system call that hands the work to the kernel
 */
SEGLOG_API int seglog_map_flush_start(struct seglog_map *map, uint64_t offset, uint64_t len,
                                      uint64_t *ticket);

/*
 * Is it done? Any number may ask, any number of times, and all get the same answer.
 *
 * returns  0                 durable
 *          -EAGAIN           (poll) under way; -ETIMEDOUT (wait) still after timeout_ns, UINT64_MAX: for
 *                            ever
 *          -EINVAL           no such ticket
 *          SEGLOG_EVOLATILE, -EIO, -ENOSPC, SEGLOG_EPOISONED, SEGLOG_ETRUNCATED, SEGLOG_EFORKED as above
 * blocks   poll: never on the disk
 */
SEGLOG_API int seglog_map_flush_poll(struct seglog_map *map, uint64_t ticket);
SEGLOG_API int seglog_map_flush_wait(struct seglog_map *map, uint64_t ticket, uint64_t timeout_ns);

/* ---- memory ---------------------------------------------------------------------------------- */

enum seglog_advice {
    SEGLOG_ADVICE_NORMAL = 0,
    SEGLOG_ADVICE_SEQUENTIAL,
    SEGLOG_ADVICE_RANDOM,
    SEGLOG_ADVICE_WILL_NEED,  /* begin to fetch it; does not wait */
    SEGLOG_ADVICE_POPULATE,   /* fetch it and fill the page tables; waits */
    SEGLOG_ADVICE_DONT_NEED,  /* this process's pages may go; the bytes stay. Not PRIVATE: -EPERM */
    SEGLOG_ADVICE_DROP_CACHE, /* let the kernel forget what is in memory and written; waits */
    SEGLOG_ADVICE_HUGE,
};

/* Advise the kernel about bytes [offset, offset + len), which need not be aligned.
 * returns 0, -EINVAL (unknown, or the kernel cannot here), -ERANGE, -EPERM, SEGLOG_EFORKED, -EIO ... */
SEGLOG_API int seglog_map_advise(struct seglog_map *map, uint64_t offset, uint64_t len,
                                 uint32_t advice);

/* Keep these pages in memory, or (locked 0) no longer.
 * returns 0, -ENOMEM or -EPERM (RLIMIT_MEMLOCK), -ERANGE, SEGLOG_EFORKED */
SEGLOG_API int seglog_map_lock_pages(struct seglog_map *map, uint64_t offset, uint64_t len,
                                     int locked);

struct seglog_map_stat {
    uint64_t size;           /* bytes mapped */
    uint64_t file_size;      /* of the file, now */
    uint64_t resident_bytes; /* of the map, in memory now */
    uint64_t page_size;
    uint64_t writes; /* by this handle: writes and edits */
    uint64_t written_bytes;
    uint64_t pending_bytes; /* written and not flushed by this handle */
    uint64_t flushes;       /* each one a sync */
    uint32_t huge;          /* enum seglog_huge_outcome */
    uint32_t is_volatile;   /* 1: a flush says SEGLOG_EVOLATILE */
};

/* returns 0, SEGLOG_EFORKED, or as the system says; threads any */
SEGLOG_API int seglog_map_stat(struct seglog_map *map, struct seglog_map_stat *out);

/* ---- between processes ----------------------------------------------------------------------- */

/*
 * Lock the file against other handles, in this or any process. It binds only those who ask for it, and
 * ends with this process at the latest, whatever ends that: a child of fork() does not keep it. Asking
 * again changes shared to exclusive and back.
 *
 * timeout_ns  UINT64_MAX: for ever; 0: only try
 * returns  0
 *          -EAGAIN, -ETIMEDOUT  somebody else has it
 *          -EBADF            exclusive, and the file is open for reading
 *          -ENOENT           no /proc here
 *          SEGLOG_EFORKED, -EMFILE, -ENOMEM ...
 */
SEGLOG_API int seglog_map_lock(struct seglog_map *map, int exclusive, uint64_t timeout_ns);
/* returns 0; -EINVAL: not locked; SEGLOG_EFORKED */
SEGLOG_API int seglog_map_unlock(struct seglog_map *map);

/* The descriptor of the file, for looking at it or handing it on; it stays the map's.
 * returns the descriptor, or SEGLOG_EFORKED */
SEGLOG_API int seglog_map_fd(const struct seglog_map *map);

/* ---- files ----------------------------------------------------------------------------------- */

/*
 * Copy a file, mapped by anybody or not, to a name that must not exist. The copy is durable, and is there
 * whole or not at all; what is stored into the file meanwhile may or may not be in it.
 *
 * returns  0, -EEXIST, -ENOENT, -EINVAL (not a regular file), -ENODATA (it was made shorter meanwhile),
 *          -ENOSPC, -EIO ...
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_map_copy(const char *from, const char *to);

/* Remove the name, durably. Maps of it stay as they are, and the space is given back when the last is
 * closed. returns 0 or as the system says; blocks on the disk */
SEGLOG_API int seglog_map_delete(const char *path);

#ifdef __cplusplus
}
#endif
#endif
