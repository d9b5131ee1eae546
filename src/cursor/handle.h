/*
 * A cursor's insides: a reader, the file with its place, and the lock on it.
 *
 *   cursor.c   who holds it, reading by it, committing
 *   report.c   looking at cursors, and how far they are behind
 *   set.c      storing and removing them from outside
 */
#ifndef CURSOR_HANDLE_H
#define CURSOR_HANDLE_H

#include <seglog/cursor.h>

#include "log/stored.h"
#include "reader/handle.h"

struct seglog_cursor {
    struct seglog_reader *reader;
    struct owner owner; /* of CURSOR_BYTE_HOLDER of the file */
    int fd;             /* the file, for writing */
    uint32_t flags;
    uint64_t auto_ns;
    uint64_t due_ns;  /* monotonic: when the next automatic commit is */
    uint64_t epoch;   /* as of `reached` */
    uint64_t reached; /* all below was handed out, or sought past */
    struct stored_place stored;
};

/*
 * Take the file of a cursor: its lock, and a descriptor for writing.
 * 0; -ENODATA: there is none; -EBUSY: somebody living has it; -EACCES ...
 */
int cursor_take(const struct log_view *view, const char *name, struct owner *owner, int *fd);

/* Where reading goes on from a stored place, and why that is elsewhere: 0, SEGLOG_ETRIMMED,
 * SEGLOG_EREWOUND in *status. The reader stands there. 0; -EIO ... */
int cursor_place(struct seglog_reader *reader, const struct cursor_facts *facts, int *status);

/* Fill *out from what is stored; rc is what reading that gave. Moves the reader. */
int cursor_report(struct seglog_reader *reader, const char *name, int rc,
                  const struct cursor_facts *facts, struct seglog_cursor_info *out);

#endif
