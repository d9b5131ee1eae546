/*
 * The newest record of each key of a log.
 *
 * A key is part of a record, or what a function of the user's makes of it. Which record is the newest of
 * each key is kept in a table (table.h) that any number of processes share; the records stay in the log,
 * and are read from there. The table is a view: it can be removed at any time and is made anew from the
 * log whenever it may be wrong: it is of another log or another rule, the machine was started anew, what
 * it had still to see was trimmed, what it had seen was cut off. Else it goes on where it stood.
 *
 * Nothing happens by itself: seglog_keyed_update() brings the table up to the end of the log. One process
 * does that at a time; a killed one leaves the work to the next.
 *
 * A handle is used by one thread at a time. One made before fork() fails in the child.
 */
#ifndef SEGLOG_KEYED_H
#define SEGLOG_KEYED_H

#include <seglog/reader.h>
#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_keyed;

enum seglog_keyed_verdict {
    SEGLOG_KEYED_NONE = 0,   /* the record has no key, and is passed over */
    SEGLOG_KEYED_SET = 1,    /* *key, *len: it is the newest of that key now */
    SEGLOG_KEYED_REMOVE = 2, /* *key, *len: that key is there no more */
};

/* Find the key of a record, at least one byte long, valid until the next call. A negative status ends
 * seglog_keyed_update() with it. It must answer the same for the same record each time. */
typedef int seglog_keyed_key(void *context, const struct seglog_view *record, const void **key,
                             size_t *len);

/* Bits of seglog_keyed_options.flags. */
#define SEGLOG_KEYED_SKIP_DAMAGE \
    (1u << 0) /* pass over records that are damaged, instead of failing: an older one then is
                 taken for the newest */
#define SEGLOG_KEYED_FORCE_FS (1u << 1) /* accept a network or FUSE file system */

struct seglog_keyed_options {
    seglog_keyed_key *key; /* NULL: see offset and len */
    void *context;
    uint64_t rule; /* yours: a number for what `key` does. Another one: the table is made anew */
    /* Without a function: these bytes of the record, one that is shorter having no key. len 0: its tag,
     * as a uint32_t of this machine. */
    uint64_t offset;
    uint64_t len;
    uint32_t flags;     /* SEGLOG_KEYED_* */
    uint32_t file_mode; /* of the table; 0: 0640 */
};

/*
 * Open the view of a log, making the table at `path` if need be.
 *
 * options  may be NULL: the tag is the key
 * returns  0; *out belongs to the caller: seglog_keyed_close()
 *          -EINVAL           flags
 *          SEGLOG_EMISMATCH  the file is a table of something else
 *          as seglog_reader_open() and seglog_table_open(), WRITE being needed
 * blocks   on the disk
 */
SEGLOG_API int seglog_keyed_open(const char *dir, const char *path,
                                 const struct seglog_keyed_options *options,
                                 struct seglog_keyed **out);
/* keyed may be NULL */
SEGLOG_API void seglog_keyed_close(struct seglog_keyed *keyed);

/*
 * Take in what was published since. While a table is made anew, others may miss keys.
 *
 * returns  0                 it has all records that were published when this was called
 *          -EBUSY            another process has been at it for 10 s
 *          SEGLOG_ECORRUPT, SEGLOG_EMISSING   the log is damaged; see SEGLOG_KEYED_SKIP_DAMAGE
 *          what `key` said; as seglog_reader_next() and seglog_table_put()
 *          After a failure the table is as far as it came, and the next call goes on from there.
 * blocks   on the disk; while others update
 */
SEGLOG_API int seglog_keyed_update(struct seglog_keyed *keyed);

/* The number of a key's newest record. returns 0, -ENOENT, or as seglog_table_get() */
SEGLOG_API int seglog_keyed_seq(struct seglog_keyed *keyed, const void *key, size_t len,
                                uint64_t *seq);

/*
 * A key's newest record, as of the last update by anybody.
 *
 * out      valid until the next call with this handle
 * returns  0
 *          -ENOENT           there is none
 *          SEGLOG_ETRIMMED   it was removed by retention
 *          -ESTALE           the table does not fit the log: seglog_keyed_update()
 *          as seglog_table_get(), seglog_reader_seek(), seglog_reader_next()
 * blocks   never, but for page faults
 */
SEGLOG_API int seglog_keyed_get(struct seglog_keyed *keyed, const void *key, size_t len,
                                struct seglog_view *out);

/*
 * Whether a record of the log is still of use: the newest of its key as far as the table has seen, or
 * beyond that, or without a key. This is how a log is made smaller by key: copy what is, and nothing else,
 * to a new log.
 *
 * returns  1: it is; 0: there is a newer one, or its key was removed; or as seglog_keyed_seq()
 */
SEGLOG_API int seglog_keyed_is_newest(struct seglog_keyed *keyed, const struct seglog_view *record);

struct seglog_keyed_stat {
    uint64_t keys;
    uint64_t next_seq; /* what the next update begins with, if the table is still good */
    uint64_t remade;   /* times this handle made the table anew */
    uint64_t applied;  /* records it took in */
    uint64_t skipped;  /* places of damage it passed over */
};

/* Looks at every slot of the table. returns 0, or as seglog_table_stat() */
SEGLOG_API int seglog_keyed_stat(struct seglog_keyed *keyed, struct seglog_keyed_stat *out);

#ifdef __cplusplus
}
#endif
#endif
