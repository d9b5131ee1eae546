/*
 * Going through a log and printing what was selected: the work of `cat` and `tail`.
 */
#include "scan.h"

#include "fail.h"
#include "scan_state.h"
#include "signals.h"

#include <seglog/cursor.h>

#include <errno.h>
#include <unistd.h>

#define BATCH_RECORDS 256

/* How long one wait for new records may last before the output is looked at. */
#define WAIT_NS UINT64_C(500000000)

static bool scan_done(const struct scan *scan)
{
    return scan->left == 0 || scan->stuck || scan->output.sink.error || signals_stopped();
}

/* ---- walking ---------------------------------------------------------------------------------- */

/* true: this record ends the walk */
static bool print_view(struct scan *scan, const struct seglog_view *view)
{
    if (view->seq >= scan->to_seq || view->time_ns >= scan->to_time_ns)
        return true;
    if (view->seq < scan->from_seq || !select_matches(scan->sel, view))
        return false;
    output_record(&scan->output, view);
    return --scan->left == 0;
}

/* The output has caught up: hand it on, then sleep until there is more. */
static int scan_wait(struct scan *scan)
{
    int rc;

    scan_cursor_move(scan, true);
    if (sink_flush(&scan->output.sink) < 0 || scan->stuck)
        return 0; /* scan_done() sees it */
    if (sink_is_gone(&scan->output.sink))
        return 0; /* without waiting for a record first */
    rc = seglog_reader_wait(scan->reader, WAIT_NS);
    return rc == 0 || rc == -ETIMEDOUT ? 0 : scan_trouble(scan, rc);
}

static void walk_forward(struct scan *scan)
{
    struct seglog_view views[BATCH_RECORDS];

    while (!scan_done(scan)) {
        uint64_t next = 0;
        bool ended = false;
        int n;

        seglog_reader_position(scan->reader, &next, NULL);
        scan->done_seq = next;
        scan_cursor_move(scan, false);
        if (next >= scan->to_seq)
            return;
        n = seglog_reader_batch(scan->reader, views, BATCH_RECORDS);
        if (n == -EAGAIN && !scan->sel->follow)
            return;
        if (n == -EAGAIN) {
            if (scan_wait(scan))
                return;
            continue;
        }
        if (n < 0 && scan_trouble(scan, n))
            return;
        for (int i = 0; i < n && !ended && !scan->output.sink.error; i++) {
            ended = print_view(scan, &views[i]);
            scan->done_seq = views[i].seq + (!ended || scan->left == 0);
        }
        seglog_reader_release(scan->reader);
        if (ended)
            return;
    }
}

/* Back from the end of the interval. visit says true to stop. */
static void walk_backward(struct scan *scan, bool loud,
                          bool (*visit)(struct scan *scan, const struct seglog_view *view))
{
    unsigned since_release = 0;

    while (!scan_done(scan)) {
        struct seglog_view view;
        const int rc = seglog_reader_prev(scan->reader, &view);

        if (rc == -ENODATA || rc == -EAGAIN)
            return;
        if ((rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) && !loud) {
            struct seglog_damage damage;

            /* The way forward will name it; only see to it that this way ends. */
            if (seglog_reader_damage(scan->reader, &damage) < 0 || scan_damage_again(scan, &damage))
                return;
            continue;
        }
        if (rc < 0) {
            if (scan_trouble(scan, rc))
                return;
            continue;
        }
        if (view.seq < scan->from_seq || visit(scan, &view))
            return;
        if (++since_release == BATCH_RECORDS) {
            seglog_reader_release(scan->reader);
            since_release = 0;
        }
    }
}

/* Count one of the last records. */
static bool count_view(struct scan *scan, const struct seglog_view *view)
{
    if (view->seq >= scan->to_seq || !select_matches(scan->sel, view))
        return false;
    scan->earliest = view->seq;
    return --scan->left == 0;
}

/* Find the first of the last `count` records of the interval. */
static int find_last(struct scan *scan, uint64_t count)
{
    int rc;

    scan->placed = false;
    if (count == 0) {
        const struct seglog_place end = {.kind = SEGLOG_PLACE_END};

        rc = seglog_reader_seek(scan->reader, &end);
        if (rc == 0)
            rc = seglog_reader_position(scan->reader, &scan->from_seq, NULL);
        scan->from_first = false;
        return rc;
    }
    rc = scan_seek_number(scan, scan->to_seq);
    if (rc < 0)
        return rc;
    scan->left = count;
    walk_backward(scan, false, count_view);
    if (scan->left == 0) {
        scan->from_seq = scan->earliest;
        scan->from_first = false;
    }
    scan->bad_segment = 0;
    return 0;
}

/* Stand where the walk begins. */
static int seek_start(struct scan *scan)
{
    if (scan->sel->reverse)
        return scan_seek_number(scan, scan->to_seq);
    if (scan->placed)
        return 0;
    if (!scan->from_first)
        return scan_seek_number(scan, scan->from_seq);
    /* Opened at the first record, or brought back to it: what is damaged there is still to be named. */
    return scan_seek_first(scan);
}

/* ---- the two commands ------------------------------------------------------------------------- */

static int scan_begin(struct scan *scan, const struct selection *sel)
{
    const char *why;

    *scan = (struct scan){
        .sel = sel,
        .cli = sel->cli,
        .to_time_ns = UINT64_MAX,
        .left = UINT64_MAX,
        .from_first = !sel->has_from,
    };
    why = output_open(&scan->output, STDOUT_FILENO, sel->form, sel->format);
    if (why)
        return fail_usage(sel->cli, "--format", "%s: %s", sel->format ? sel->format : "", why);
    signals_catch();
    return 0;
}

/* Flush, say what is to be said, and work out the exit status. */
static int scan_end(struct scan *scan)
{
    const unsigned long long records = scan->output.records;
    const unsigned long long bytes = scan->output.bytes;
    int error, exit_status;

    scan_cursor_move(scan, true);
    error = sink_flush(&scan->output.sink);
    exit_status = scan->exit_status;
    if (error && error != -EPIPE)
        exit_status = fail_text(scan->cli, fail_exit_of(scan->cli, error), "standard output", "%s",
                                seglog_strerror(error));
    else if (error)
        exit_status = 0; /* whoever read has seen enough */
    else if (signals_stopped())
        note(scan->cli, "stopped: printed %llu records, %llu bytes", records, bytes);
    else
        detail(scan->cli, "printed %llu records, %llu bytes", records, bytes);
    if (exit_status == 0 && records == 0 && !error && !signals_stopped())
        exit_status = EXIT_NOTHING;
    if (scan->cursor)
        seglog_cursor_close(scan->cursor); /* the reader with it */
    else
        seglog_reader_close(scan->reader);
    output_close(&scan->output);
    return exit_status;
}

int scan_cat(const struct selection *sel)
{
    struct scan scan;
    int rc = scan_begin(&scan, sel);

    if (rc != 0) {
        output_close(&scan.output);
        return rc;
    }
    scan.at_most = sel->has_count;
    rc = scan_open(&scan);
    if (rc == 0)
        rc = seek_start(&scan);
    if (rc < 0) {
        scan.exit_status = fail_status(sel->cli, sel->dir, rc);
        return scan_end(&scan);
    }
    if (sel->has_count)
        scan.left = sel->count;
    if (sel->reverse)
        walk_backward(&scan, true, print_view);
    else
        walk_forward(&scan);
    return scan_end(&scan);
}

/* Place the walk of `tail`. returns 0 or a negative status */
static int tail_open(struct scan *scan)
{
    const struct selection *sel = scan->sel;
    const uint64_t count = sel->has_count ? sel->count : 10;
    const bool plain =
        !sel->has_from && !sel->has_to && !sel->has_tag && !sel->grep && !sel->reverse;
    int rc;

    if (plain)
        return scan_open_last(scan, count);
    rc = scan_open(scan);
    if (rc == 0 && (sel->has_count || !sel->has_from))
        rc = find_last(scan, count);
    scan->left = UINT64_MAX;
    return rc < 0 ? rc : seek_start(scan);
}

int scan_tail(const struct selection *sel)
{
    struct scan scan;
    int rc = scan_begin(&scan, sel);

    if (rc != 0) {
        output_close(&scan.output);
        return rc;
    }
    rc = sel->cursor ? scan_cursor_open(&scan, tail_open) : tail_open(&scan);
    if (rc < 0) {
        scan.exit_status =
            sel->cursor ? scan_cursor_fail(&scan, rc) : fail_status(sel->cli, sel->dir, rc);
        return scan_end(&scan);
    }
    if (sel->follow)
        detail(sel->cli, "%s: following from record %llu", sel->dir,
               (unsigned long long)(sel->cursor ? scan.done_seq : scan.from_seq));
    if (sel->reverse)
        walk_backward(&scan, true, print_view);
    else
        walk_forward(&scan);
    return scan_end(&scan);
}
