/*
 * Cursors as they lie in a log's directory: one small file for each, `cursor-NAME`.
 *
 * A place is stored by writing the older of two slots, each with a checksum, each in a block of its
 * own: whoever is killed, or loses power, between two bytes leaves the other one. What is stored may
 * be older than what was handed out, never newer. Retention asks here what it must keep; who reads by
 * a cursor is cursor/cursor.c.
 */
#ifndef LOG_STORED_H
#define LOG_STORED_H

#include "log/view.h"
#include "sys/owner.h"

#define STORED_NAME_MAX   64u
#define STORED_FILE_BYTES (STORED_NAME_MAX + 8)

/* Letters, digits, '.', '_' and '-', not beginning with '.' or '-'. */
bool stored_name_is_legal(const char *name);
void stored_file_name(const char *name, char out[STORED_FILE_BYTES]);

/* The better of the two slots. 0; -ENODATA: no such cursor; SEGLOG_ECORRUPT: neither is good */
int stored_read(const struct log_view *view, const char *name, struct cursor_facts *out);
/* Of an open file; SEGLOG_ECORRUPT: it is no cursor of this log. */
int stored_read_fd(const struct log_view *view, int fd, struct cursor_facts *out);

/* A cursor as it lies in its file, to whoever moves it. */
struct stored_place {
    struct cursor_facts facts;
    uint32_t sync; /* enum stored_sync */
};

/* What is known of its newest slot. */
enum stored_sync {
    STORED_UNKNOWN = 0, /* somebody else wrote it */
    STORED_DURABLE,     /* synced: the other slot is the next to be written */
    STORED_PENDING,     /* not synced, the other slot is: this one may be written over */
};

/* Store facts, counting on from *last, which gets what was stored. durable: and sync it. However the
 * power fails, what was last stored durably is there, or something later. */
int stored_write(const struct log_view *view, int fd, struct stored_place *last,
                 const struct cursor_facts *facts, bool durable);
/* Sync what is stored, unless it is known to be. */
int stored_sync(int fd, struct stored_place *last);
/* A new file, whole, its name durable. -EEXIST: it is there */
int stored_create(const struct log_view *view, const char *name, const struct cursor_facts *facts);

/* Call fn for each name; a nonzero answer stops and is returned. */
int stored_each(const struct log_view *view, int (*fn)(void *context, const char *name),
                void *context);

/* What holds retention back most. */
struct stored_hold {
    bool is_held;
    uint64_t seq;   /* of the oldest record that is still to be read */
    int32_t status; /* SEGLOG_ECORRUPT: one that cannot be read, and might want anything */
    char name[STORED_NAME_MAX + 1];
};
int stored_hold(const struct log_view *view, struct stored_hold *out);

/*
 * One at a time removes segments, or makes or sets cursors: so that nothing is removed between a look
 * at the floor and a place stored above it. patient: wait some seconds.
 * returns  0: *out is to be closed; it is empty where nobody ever attached; -EBUSY, -EACCES ...
 */
int stored_lock(const struct log_view *view, bool patient, struct owner *out);

#endif
