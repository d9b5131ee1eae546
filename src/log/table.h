/*
 * What table.c and ahead.c share. Functions that say "locked" are called under log->lock.
 */
#ifndef LOG_TABLE_H
#define LOG_TABLE_H

#include "log/handle.h"

/* ---- table.c ----------------------------------------------------------------------------------- */

/* Locked. Give a reference back. */
void log_table_put_locked(struct seglog_log *log, struct log_segment *ls);
/* Locked; may wait. Put a mapped segment into the table, or drop it (and `fresh`) if somebody was
 * faster. Gives a reference. */
struct log_segment *log_table_insert(struct seglog_log *log, struct segment *seg,
                                     struct log_segment *fresh);
/* Locked. Is it in the table? */
bool log_table_has(struct seglog_log *log, uint64_t number);

/* ---- ahead.c ----------------------------------------------------------------------------------- */

/* Locked. The log rolls to `next`: is the number of spares right? */
void log_ahead_adapt(struct seglog_log *log, const struct log_segment *next);
/* Make a segment, unless there was one of that number. r: ahead of need, by the elected preparer;
 * NULL: somebody waits for it. 0; -EEXIST; -ESTALE: it was there once, and was removed; -ENOSPC ... */
int log_ahead_make(struct seglog_log *log, uint64_t number, struct recycler *r,
                   struct segment **out);

#endif
