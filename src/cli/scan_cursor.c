/*
 * `tail --cursor`: a walk that goes on from a stored place and moves it.
 *
 * Delivery is at least once: the cursor is moved over what was printed, or passed over, only when all
 * that has been written to stdout. What is printed after the last move is printed again by the next
 * walk, if this one is killed.
 */
#include "scan_state.h"

#include "fail.h"
#include "stamp.h"

#include <seglog/cursor.h>

#include <errno.h>

/* How often the place is moved under a stream that never pauses. */
#define MOVE_NS UINT64_C(100000000)

/* Take the cursor; where its place is gone, say so and take the one where the log goes on. */
static int take(struct scan *scan, const struct seglog_place *from, uint32_t flags)
{
    const struct selection *sel = scan->sel;
    struct seglog_cursor_options options = {
        .reader = {.flags = sel->flags | (sel->has_tag ? SEGLOG_READER_TAG : 0), .tag = sel->tag},
        .flags = flags,
    };
    uint64_t seq = 0;
    int rc, gone;

    if (from)
        options.reader.from = *from;
    rc = gone = seglog_cursor_open(sel->dir, sel->cursor, &options, &scan->cursor);
    if (rc != SEGLOG_ETRIMMED && rc != SEGLOG_EREWOUND)
        return rc;
    options.flags |= SEGLOG_CURSOR_SKIP;
    rc = seglog_cursor_open(sel->dir, sel->cursor, &options, &scan->cursor);
    if (rc < 0)
        return rc;
    seglog_reader_position(seglog_cursor_reader(scan->cursor), &seq, NULL);
    note(scan->cli, "%s: cursor %s: %s; going on at record %llu", sel->dir, sel->cursor,
         seglog_strerror(gone), (unsigned long long)seq);
    return 0;
}

/* Where this walk is to end, if the cursor is there already. */
static int find_end(struct scan *scan)
{
    struct selection sel = *scan->sel;
    struct scan survey = {.sel = &sel, .cli = scan->cli, .to_time_ns = UINT64_MAX};
    int rc;

    sel.has_from = true;
    sel.from = (struct seglog_place){.kind = SEGLOG_PLACE_SEQ};
    seglog_reader_position(scan->reader, &sel.from.value, NULL);
    rc = scan_open(&survey);
    seglog_reader_close(survey.reader);
    scan->to_seq = survey.to_seq;
    scan->to_time_ns = survey.to_time_ns;
    scan->left = scan->sel->has_count && !scan->sel->follow ? scan->sel->count : UINT64_MAX;
    return rc;
}

int scan_cursor_open(struct scan *scan, int (*place)(struct scan *scan))
{
    int rc = take(scan, NULL, 0);
    const bool is_new = rc == -ENODATA;

    if (is_new) {
        struct seglog_place from = {.kind = SEGLOG_PLACE_SEQ};

        rc = place(scan);
        if (rc == 0)
            rc = seglog_reader_position(scan->reader, &from.value, NULL);
        seglog_reader_close(scan->reader);
        scan->reader = NULL;
        if (rc == 0 && scan->from_seq > from.value)
            return -ERANGE; /* nothing stands there yet */
        if (rc == 0)
            rc = take(scan, &from, SEGLOG_CURSOR_CREATE);
    }
    if (rc < 0)
        return rc;
    scan->reader = seglog_cursor_reader(scan->cursor);
    scan->from_seq = 0; /* wherever the cursor leads to is to be printed */
    scan->due_ns = stamp_steady_ns() + MOVE_NS;
    rc = is_new ? 0 : find_end(scan);
    seglog_reader_position(scan->reader, &scan->done_seq, &scan->epoch);
    return rc;
}

int scan_cursor_fail(const struct scan *scan, int status)
{
    const struct selection *sel = scan->sel;
    struct seglog_cursor_info info = {0};

    switch (status) {
    case -EBUSY:
        (void)seglog_cursor_info_read(sel->dir, sel->cursor, &info);
        return fail_text(scan->cli, EX_TEMPFAIL, sel->dir,
                         "cursor %s: a living process holds it (%u, as it named itself)",
                         sel->cursor, info.pid);
    case -ERANGE:
        return fail_text(scan->cli, EX_NOINPUT, sel->dir,
                         "cursor %s: the log has not come as far as it is to begin", sel->cursor);
    case -EINVAL:
        return fail_usage(scan->cli, "--cursor", "%s: no cursor can have that name", sel->cursor);
    default:
        return fail_status(scan->cli, sel->dir, status);
    }
}

void scan_cursor_move(struct scan *scan, bool now)
{
    int rc;

    if (!scan->cursor || scan->output.sink.error || (!now && stamp_steady_ns() < scan->due_ns))
        return;
    if (sink_flush(&scan->output.sink) < 0)
        return; /* nobody knows how much of it was read */
    rc = seglog_cursor_commit(scan->cursor, scan->done_seq);
    scan->due_ns = stamp_steady_ns() + MOVE_NS;
    if (rc == 0)
        return;
    scan->exit_status =
        fail_text(scan->cli, fail_exit_of(scan->cli, rc), scan->sel->dir,
                  "cursor %s: cannot be moved: %s", scan->sel->cursor, seglog_strerror(rc));
    scan->stuck = true;
}
