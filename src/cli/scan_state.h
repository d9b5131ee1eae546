/*
 * One walk through a log, shared by the files that resolve its interval, walk it, and deal with what
 * is met on the way.
 */
#ifndef CLI_SCAN_STATE_H
#define CLI_SCAN_STATE_H

#include "select.h"

struct scan {
    const struct selection *sel;
    const struct cli *cli;
    struct seglog_reader *reader;
    struct output output;
    uint64_t from_seq;
    uint64_t to_seq;      /* nothing from here on is printed */
    uint64_t to_time_ns;  /* when following: a record of this time or later ends it */
    uint64_t left;        /* records that may still be printed */
    uint64_t earliest;    /* number of the last record that walk_backward() counted */
    uint64_t epoch;       /* in which the reader was placed */
    uint64_t bad_segment; /* where damage was met last, plus one: no place twice */
    uint64_t bad_offset;
    struct seglog_cursor *cursor; /* the one to move; the reader is its reader. NULL: none */
    uint64_t done_seq;            /* with a cursor: all below was printed or passed over */
    uint64_t due_ns;              /* with a cursor: when it is moved next, at the latest */
    int exit_status;
    bool from_first; /* the interval starts where the log starts */
    bool at_most;    /* only so many records from its start are wanted */
    bool placed;     /* the reader stands where the interval begins */
    bool stuck;
};

/* interval.c */

/* Turn the interval into numbers and open the reader that will walk it. */
int scan_open(struct scan *scan);

/* Open the reader before the last `count` records, whatever they are: one look at the end of the log,
 * which may be a large segment, instead of one for each of the steps above. */
int scan_open_last(struct scan *scan, uint64_t count);

/* Stand before number seq, or at the end when it is not there yet. */
int scan_seek_number(struct scan *scan, uint64_t seq);

/* Stand before the first record there is. */
int scan_seek_first(struct scan *scan);

/* scan_cursor.c */

/* Take the cursor of the selection and stand where it says; one that is not there is made where `place`
 * puts the walk. */
int scan_cursor_open(struct scan *scan, int (*place)(struct scan *scan));

/* Say why that failed. returns an exit status */
int scan_cursor_fail(const struct scan *scan, int status);

/* Hand the output on and move the cursor over it, if there is one: now, or if it is time. */
void scan_cursor_move(struct scan *scan, bool now);

/* trouble.c */

/* What a call of the reader gave instead of records. returns 0 to go on, else to stop */
int scan_trouble(struct scan *scan, int status);

/* true: this damage is the one met last, so that there is no way past it. Else it is remembered. */
bool scan_damage_again(struct scan *scan, const struct seglog_damage *damage);

#endif
