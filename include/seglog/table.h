/*
 * A table: a persistent hash table of keys and values, bytes both, used by any number of processes.
 *
 * Readers take no lock and are not stopped by writers, by growth, or by anybody's death. Writers lock one
 * of many shards, by the key; a lock whose holder died is taken over by whoever waits for it. A process
 * that is killed at any instant leaves each key with its old or its new value, whole.
 *
 * Changes are visible at once and survive the death of every process. seglog_table_flush() makes them
 * durable: after a power cut a key that was not changed since the last flush that returned 0 has its
 * value; one that was has its new, its old, or no value. What a power cut spoiled is found out by
 * checksums and left out.
 *
 * With a log (`log` in the options) every change is a record of it first, and survives a power cut as
 * that record does: at SEGLOG_SYNC_RECORD, which a log made here has, a call that returned 0 is durable,
 * and all who wait at a time share one sync. Readers see a change before it is durable. After a power
 * cut the table is made anew from the log, change by change, by whoever first opens it for writing; it
 * then has what a prefix of the changes makes, all of those included whose calls returned 0.
 *
 * Space of values that were replaced or removed is used again for others of its shard. The file never
 * becomes shorter; copying what is in it to a new table packs it.
 *
 * Threads: any number may use one handle for everything. fork(), and a file that others cut: as for
 * seglog/map.h.
 */
#ifndef SEGLOG_TABLE_H
#define SEGLOG_TABLE_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_table;

/* Bits of seglog_table_options.flags. */
#define SEGLOG_TABLE_WRITE    (1u << 0)
#define SEGLOG_TABLE_CREATE   (1u << 1) /* make it if it is not there; needs WRITE */
#define SEGLOG_TABLE_NO_GUARD (1u << 2) /* no handler of SIGBUS */
#define SEGLOG_TABLE_FORCE_FS (1u << 3) /* accept a network or FUSE file system */
#define SEGLOG_TABLE_REBUILD \
    (1u                      \
     << 4) /* with `log`: make the table anew from it, whatever the file is now. Who has the file
                 before open for reading goes on seeing that */

#define SEGLOG_TABLE_SHARDS_MAX  256u
#define SEGLOG_TABLE_HANDLES_MAX 256u        /* that write, at once */
#define SEGLOG_TABLE_ENTRY_MAX   (16u << 20) /* key and value together, with up to 32 bytes more */

struct seglog_table_options {
    uint32_t flags;     /* SEGLOG_TABLE_* */
    uint32_t shards;    /* CREATE: a power of two up to 256; 0: 64 */
    uint64_t keys;      /* CREATE: room for so many from the start; it grows */
    uint64_t schema;    /* what is in it, as the users number it; at open 0: whatever it is */
    uint32_t file_mode; /* CREATE: permission bits; 0: 0640 */
    uint32_t reserved;  /* zero */
    /* WRITE: directory of the log of its changes, which every handle that writes must give; NULL: it has
     * none. Where the log is, the table is: its file is made if it is missing. CREATE makes the log, at
     * SEGLOG_SYNC_RECORD where that can be (tmpfs: SEGLOG_SYNC_SEALED); one that was made before is used
     * at the level that it has. Nothing else may append to it, and only checkpoints may trim it. */
    const char *log;
};

/*
 * Open a table. The first to open it for writing after the machine was started anew checks every entry
 * and takes the good ones over; or, with a log, makes the table anew from that.
 *
 * returns  0; *out belongs to the caller: seglog_table_close()
 *          -EINVAL           options out of range
 *          SEGLOG_EMISMATCH  another schema; or the log is not that of this table, or there is one and
 *                            none was given, or it has records that are no changes
 *          SEGLOG_ETRIMMED   the log has not all that is needed any more: somebody else trimmed it
 *          -ESTALE           for reading only: it has a log, and has not been made anew from it since
 *                            the machine was started
 *          -EBUSY            REBUILD, and others write; or a log is held by others, see seglog_log_open()
 *          -EUSERS           so many handles write already
 *          SEGLOG_ENOTLOG    no table; SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_ECORRUPT
 *          SEGLOG_ETRUNCATED, SEGLOG_EFS, -ENOENT, -ENOSPC, -EACCES, -ENOMEM ... as the system says
 * blocks   on the disk, and while somebody else does that check
 */
SEGLOG_API int seglog_table_open(const char *path, const struct seglog_table_options *options,
                                 struct seglog_table **out);
/* table may be NULL */
SEGLOG_API void seglog_table_close(struct seglog_table *table);

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * Copy a value out.
 *
 * len      may be NULL; gets the length of the value
 * returns  0
 *          -ENOENT           there is no such key
 *          -EMSGSIZE         longer than cap; *len says how long, and buf is untouched
 *          SEGLOG_ECORRUPT   it fails its checksum
 *          -EAGAIN           it was changed a thousand times meanwhile
 *          SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO
 * blocks   never, but for page faults
 */
SEGLOG_API int seglog_table_get(struct seglog_table *table, const void *key, size_t key_len,
                                void *buf, size_t cap, size_t *len);

/* A value where it lies, at a multiple of 8. */
struct seglog_table_view {
    const void *data;
    uint64_t len;
    uint64_t place[4]; /* the library's */
};

/* As for cells: what is taken from there counts once seglog_table_check_view() has said 0 afterwards.
 * Errors as seglog_table_get(); check_view: -ESTALE: it was changed or removed. */
SEGLOG_API int seglog_table_view(struct seglog_table *table, const void *key, size_t key_len,
                                 struct seglog_table_view *out);
SEGLOG_API int seglog_table_check_view(struct seglog_table *table,
                                       const struct seglog_table_view *view);

/* ---- changing -------------------------------------------------------------------------------- */

/*
 * Set a value, whether or not there is one.
 *
 * returns  0; on failure nothing changed
 *          -EPERM            no WRITE
 *          -EMSGSIZE         key and value are larger than SEGLOG_TABLE_ENTRY_MAX, or than a record of
 *                            the log may be
 *          -ENOSPC, -EDQUOT  no room on the disk
 *          SEGLOG_EPOISONED  with a log: a sync of it failed before
 *          SEGLOG_ECORRUPT, SEGLOG_ETRUNCATED, SEGLOG_EFORKED, -EIO
 *          With a log at SEGLOG_SYNC_RECORD also, the change being made but perhaps not durable: how
 *          the sync failed, as seglog_log_wait_durable() says. The log is poisoned then.
 * blocks   for the shard's lock; on the file system when it grows; with a log at SEGLOG_SYNC_RECORD on
 *          the disk, the lock given back
 */
SEGLOG_API int seglog_table_put(struct seglog_table *table, const void *key, size_t key_len,
                                const void *value, size_t len);

/* Set it only if there is none. 1: set; 0: there was one, and it stays; else as seglog_table_put() */
SEGLOG_API int seglog_table_add(struct seglog_table *table, const void *key, size_t key_len,
                                const void *value, size_t len);

/* What to do with an entry, answered by seglog_table_change. A negative answer changes nothing. */
enum seglog_table_verdict {
    SEGLOG_TABLE_KEEP = 0,
    SEGLOG_TABLE_SET,    /* to *value, *len, which must stay there until the call returns */
    SEGLOG_TABLE_REMOVE, /* if it is there */
};

/*
 * Called with the shard locked: *value is what is there, *len its length; NULL for a key that is not
 * there. It must be quick, and may not call the table.
 */
typedef int seglog_table_change(void *context, const void **value, size_t *len);

/* Look and change, with one lookup, and nobody else changing the key in between.
 * returns  what `change` answered; else as seglog_table_put() */
SEGLOG_API int seglog_table_update(struct seglog_table *table, const void *key, size_t key_len,
                                   seglog_table_change *change, void *context);

/* returns 0, -ENOENT, else as seglog_table_put() */
SEGLOG_API int seglog_table_remove(struct seglog_table *table, const void *key, size_t key_len);

/* Remove everything: shard by shard; with a log, all at once. As seglog_table_put() */
SEGLOG_API int seglog_table_clear(struct seglog_table *table);

/* Make everything that was changed before durable. Errors as seglog_map_flush(); with a log, as
 * seglog_log_sync(). */
SEGLOG_API int seglog_table_flush(struct seglog_table *table);

/*
 * Put what is in the table into its log once more, make that durable, and let the log go up to there:
 * whole segments of it, and none that a cursor has still to read. Others go on reading and changing it;
 * each shard is locked for as long as its entries are appended. Killed or cut anywhere, the log is good
 * for the table as it was before.
 *
 * report   may be NULL; what seglog_log_trim() says
 * returns  0
 *          -EINVAL           it has no log
 *          SEGLOG_ECORRUPT   entries are damaged or missing, and nothing was trimmed:
 *                            SEGLOG_TABLE_REBUILD
 *          as seglog_table_put(), seglog_log_wait_durable(), seglog_log_trim()
 * blocks   on the disk
 */
struct seglog_trim_report;
SEGLOG_API int seglog_table_checkpoint(struct seglog_table *table,
                                       struct seglog_trim_report *report);

/* ---- the whole ------------------------------------------------------------------------------- */

struct seglog_table_walk;

/* One entry of a walk, in the walk's own memory until the next call. */
struct seglog_table_entry {
    const void *key;
    size_t key_len;
    const void *value; /* at a multiple of 8 */
    size_t len;
};

/*
 * Walk over all entries: each shard as it was at one moment, each key once, in no order. Needs WRITE.
 *
 * walk_next  1: *out; 0: the end; SEGLOG_ECORRUPT: entries of a shard are damaged or missing;
 *            -ENOMEM, SEGLOG_EFORKED ...
 */
SEGLOG_API int seglog_table_walk_open(struct seglog_table *table, struct seglog_table_walk **out);
SEGLOG_API int seglog_table_walk_next(struct seglog_table_walk *walk,
                                      struct seglog_table_entry *out);
SEGLOG_API void seglog_table_walk_close(struct seglog_table_walk *walk);

struct seglog_table_stat {
    uint64_t keys;
    uint64_t slots;      /* places for keys */
    uint64_t probes_max; /* longest way from where a key belongs to where it is */
    uint64_t probes_sum; /* of all keys, at least one each */
    uint64_t file_size;
    uint64_t dropped;  /* entries that the check at open found spoiled */
    uint64_t replayed; /* records of the log from which it was made at open; 0: it was there */
    uint32_t shards;
    uint32_t is_volatile; /* 1: a flush says SEGLOG_EVOLATILE */
    uint32_t is_logged;   /* 1: it has a log of its changes */
    uint32_t reserved;
};

/* Looks at every slot. returns 0; SEGLOG_ECORRUPT: a shard was wiped; SEGLOG_ETRUNCATED, SEGLOG_EFORKED,
 * -EIO */
SEGLOG_API int seglog_table_stat(struct seglog_table *table, struct seglog_table_stat *out);

#ifdef __cplusplus
}
#endif
#endif
