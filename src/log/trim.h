/*
 * Retention: what may go (trim.c), and how it goes (drop.c).
 */
#ifndef LOG_TRIM_H
#define LOG_TRIM_H

#include "log/handle.h"
#include "log/stored.h"

/* Where a segment begins and, if it is sealed, ends. */
struct drop_extent {
    bool is_active; /* activated; else nothing else is known */
    bool is_sealed;
    uint64_t base_seq;
    uint64_t next_seq;  /* drop_may_go(): the first number behind it */
    uint64_t sealed_ns; /* 0: not sealed */
};
int drop_extent(const struct log_view *view, uint64_t number, struct drop_extent *out);

/* May the segment go, as far as the log itself needs it? 0; -EBUSY: it is active, or the newest sealed
 * one, or not sealed; -ENOENT, SEGLOG_ECORRUPT ... */
int drop_may_go(const struct log_view *view, uint64_t number, struct drop_extent *out);

/* Under stored_lock(): make `number`, which begins with first_seq, the first segment kept. list: the
 * segments there are. 0; the floor could not be stored; or a file could not be removed, which is left
 * for the next time. */
int drop_below(struct seglog_log *log, const struct floor_facts *floor,
               const struct segment_list *list, uint64_t number, uint64_t first_seq);

/* Carry out the log's own rules, as they are stored now. 0; -EBUSY: somebody else is at it ... */
int log_trim_auto(struct seglog_log *log);

#endif
