/*
 * The part of a life that is about what is kept: a cursor, archives, retention.
 */
#include "faults/keep.h"

#include <errno.h>

#include "support/check.h"

static const struct seglog_cursor_options makes = {.flags = SEGLOG_CURSOR_CREATE |
                                                            SEGLOG_CURSOR_DURABLE};

/* Opened, moved by two records, committed, closed; each of them by itself where it fails. */
int keep_cursor_open(struct life *life)
{
    return seglog_cursor_open(life->dir, "place", &makes, &life->cursor);
}

int keep_cursor_move(struct life *life)
{
    struct seglog_view view;
    const int rc = seglog_cursor_next(life->cursor, &view);

    if (rc == 0)
        life->cursor_seq = view.seq + 1;
    return rc;
}

int keep_cursor_commit(struct life *life)
{
    const int rc = seglog_cursor_commit(life->cursor, life->cursor_seq);

    if (rc == 0)
        life->cursor_done = life->cursor_seq;
    return rc;
}

int keep_cursor_close(struct life *life)
{
    struct seglog_cursor *cursor = life->cursor;

    life->cursor = NULL;
    return cursor ? seglog_cursor_close(cursor) : 0;
}

/* Where its last commit put it, whatever failed since. */
int keep_cursor_look(struct life *life)
{
    struct seglog_cursor_info info;
    const int rc = seglog_cursor_info_read(life->dir, "place", &info);

    if (rc == 0)
        cr_assert_eq(info.seq, life->cursor_done);
    return rc;
}

int keep_archive(struct life *life)
{
    return seglog_archive(life->dir, NULL, NULL);
}

/* All below the cursor's place may go, and nothing else. */
int keep_trim(struct life *life)
{
    const struct seglog_trim_options options = {.flags = SEGLOG_TRIM_BEFORE,
                                                .before_seq = UINT64_MAX};
    struct seglog_trim_report report;
    int rc;

    life->may_trim = true;
    rc = seglog_log_trim(life->log, &options, &report);
    if (rc == 0)
        cr_assert(report.first_seq > 0 && report.first_seq <= life->cursor_done);
    return rc;
}

int keep_cursor_remove(struct life *life)
{
    const int rc = seglog_cursor_remove(life->dir, "place");

    return rc == -ENODATA && life->is_told ? 0 : rc; /* it failed in its last sync */
}
