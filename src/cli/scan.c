/*
 * Going through a log and printing what was selected.
 *
 * The interval is turned into numbers first, [from, to), with `to` no later than what is published at
 * the start: so `cat` ends, however fast somebody appends meanwhile. Damage is named on stderr,
 * stepped over, and remembered in the exit status.
 */
#include "scan.h"

#include "fail.h"
#include "signals.h"
#include "stamp.h"

#include <seglog/inspect.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define BATCH_RECORDS 256

/* How long one wait for new records may last before the output is looked at. */
#define WAIT_NS UINT64_C(500000000)

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
    int exit_status;
    bool from_first; /* the interval starts where the log starts */
    bool stuck;
};

static bool scan_done(const struct scan *scan)
{
    return scan->left == 0 || scan->stuck || scan->output.sink.error || signals_stopped();
}

/* ---- places ----------------------------------------------------------------------------------- */

static int reader_open(const struct selection *sel, const struct seglog_place *from, bool tagged,
                       struct seglog_reader **out)
{
    struct seglog_reader_options options = {
        .from = *from,
        .flags = sel->flags,
        .wait = SEGLOG_WAIT_AUTO,
    };

    if (tagged && sel->has_tag) {
        options.flags |= SEGLOG_READER_TAG;
        options.tag = sel->tag;
    }
    return seglog_reader_open(sel->dir, &options, out);
}

static bool is_beyond(int rc)
{
    return rc == -ERANGE || rc == SEGLOG_EREWOUND;
}

/*
 * The number that a place stands for. A number that was removed stands for the first one left, one
 * that is not there yet for itself.
 */
static int place_resolve(struct scan *scan, struct seglog_reader *survey,
                         const struct seglog_place *place, const char *option, uint64_t *seq)
{
    const int rc = seglog_reader_seek(survey, place);

    if (is_beyond(rc)) {
        *seq = place->value;
        return 0;
    }
    if (rc == SEGLOG_ETRIMMED) {
        const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
        const int again = seglog_reader_seek(survey, &first);

        if (again < 0)
            return again;
        seglog_reader_position(survey, seq, NULL);
        note(scan->cli, "%s %llu: removed by retention; the first record left is %llu", option,
             (unsigned long long)place->value, (unsigned long long)*seq);
        return 0;
    }
    if (rc < 0)
        return rc;
    return seglog_reader_position(survey, seq, NULL);
}

/* Turn the interval into numbers and open the reader that will walk it. */
static int scan_open(struct scan *scan)
{
    const struct selection *sel = scan->sel;
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct seglog_reader *survey = NULL;
    uint64_t end_seq = UINT64_MAX;
    int rc = reader_open(sel, &first, false, &survey);

    if (rc < 0)
        return rc;
    rc = seglog_reader_bounds(survey, NULL, &end_seq);
    if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING)
        end_seq = UINT64_MAX; /* the walk will meet it, and name it */
    else if (rc < 0)
        goto out;

    scan->to_seq = sel->follow ? UINT64_MAX : end_seq;
    if (sel->has_to && sel->follow && sel->to.kind == SEGLOG_PLACE_TIME &&
        sel->to.value > stamp_now_ns()) {
        scan->to_time_ns = sel->to.value;
    } else if (sel->has_to) {
        uint64_t to_seq;

        rc = place_resolve(scan, survey, &sel->to, "--to", &to_seq);
        if (rc < 0)
            goto out;
        if (to_seq < scan->to_seq)
            scan->to_seq = to_seq;
    }
    rc = place_resolve(scan, survey, &sel->from, "--from", &scan->from_seq);
    if (rc < 0)
        goto out;
    if (scan->from_seq > end_seq && !sel->follow)
        note(scan->cli, "--from %llu: the log ends at %llu", (unsigned long long)scan->from_seq,
             (unsigned long long)end_seq);
    rc = reader_open(sel, &first, true, &scan->reader);
out:
    seglog_reader_close(survey);
    return rc;
}

/* Stand before number seq, or at the end when it is not there yet. */
static int seek_number(struct scan *scan, uint64_t seq)
{
    struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ, .value = seq};
    int rc = seglog_reader_seek(scan->reader, &place);

    if (is_beyond(rc)) {
        place.kind = SEGLOG_PLACE_END;
        rc = seglog_reader_seek(scan->reader, &place);
    }
    if (rc == SEGLOG_ETRIMMED) {
        place.kind = SEGLOG_PLACE_FIRST;
        rc = seglog_reader_seek(scan->reader, &place);
    }
    if (rc >= 0)
        seglog_reader_position(scan->reader, NULL, &scan->epoch);
    return rc;
}

static int seek_first(struct scan *scan)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    const int rc = seglog_reader_seek(scan->reader, &first);

    if (rc >= 0)
        seglog_reader_position(scan->reader, NULL, &scan->epoch);
    return rc;
}

/* Stand where the walk begins. */
static int seek_start(struct scan *scan)
{
    if (scan->sel->reverse)
        return seek_number(scan, scan->to_seq);
    if (!scan->from_first)
        return seek_number(scan, scan->from_seq);
    /* Opened at the first record, or brought back to it: what is damaged there is still to be named. */
    return seek_first(scan);
}

/* ---- trouble ---------------------------------------------------------------------------------- */

static void damage_say(struct scan *scan, const struct seglog_damage *damage)
{
    char lost[64] = "no record lost";

    if (damage->first_seq == damage->last_seq)
        snprintf(lost, sizeof(lost), "record %llu lost", (unsigned long long)damage->first_seq);
    else if (damage->first_seq < damage->last_seq)
        snprintf(lost, sizeof(lost), "records %llu to %llu lost",
                 (unsigned long long)damage->first_seq, (unsigned long long)damage->last_seq);
    fail_text(scan->cli, EX_DATAERR, scan->sel->dir, "segment %llu, offset %llu: %.*s; %s",
              (unsigned long long)damage->segment, (unsigned long long)damage->offset,
              (int)sizeof(damage->cause), damage->cause, lost);
}

/* Damage was met: name it, unless it lies outside of the interval; the reader goes on behind it. */
static void damage_met(struct scan *scan, int status)
{
    struct seglog_damage damage = {.first_seq = 1};

    if (seglog_reader_damage(scan->reader, &damage) < 0) {
        scan->exit_status = fail_status(scan->cli, scan->sel->dir, status);
        scan->stuck = true;
        return;
    }
    if (damage.segment + 1 == scan->bad_segment && damage.offset == scan->bad_offset) {
        scan->stuck = true; /* the same place again: there is no way behind it */
        return;
    }
    scan->bad_segment = damage.segment + 1;
    scan->bad_offset = damage.offset;
    if (damage.first_seq <= damage.last_seq &&
        (damage.first_seq >= scan->to_seq || damage.last_seq < scan->from_seq))
        return;
    damage_say(scan, &damage);
    if (scan->exit_status == 0)
        scan->exit_status = EX_DATAERR;
}

/* The number at which the log goes on after a recovery cut off what was read before. */
static int rewound_to(const struct scan *scan, uint64_t *seq)
{
    struct seglog_info info;
    const int rc = seglog_info_read(scan->sel->dir, &info);

    if (rc < 0)
        return rc;
    *seq = info.next_seq;
    for (size_t i = info.segment_count; i-- > 0;) {
        const struct seglog_segment_info *seg = &info.segments[i];

        if (seg->epoch > scan->epoch && seg->state != SEGLOG_SEGMENT_SPARE &&
            seg->state != SEGLOG_SEGMENT_DAMAGED && seg->first_seq < *seq)
            *seq = seg->first_seq;
    }
    seglog_info_free(&info);
    return 0;
}

/* Retention or a recovery took away what was next: say it and go on where the log goes on. */
static int scan_lost_place(struct scan *scan, int status)
{
    uint64_t seq = 0;
    int rc;

    if (status == SEGLOG_ETRIMMED) {
        rc = seek_first(scan);
        if (rc == 0)
            rc = seglog_reader_position(scan->reader, &seq, NULL);
    } else {
        rc = rewound_to(scan, &seq);
        if (rc == 0)
            rc = seek_number(scan, seq);
    }
    if (rc == 0)
        note(scan->cli, "%s: %s; going on at record %llu", scan->sel->dir, seglog_strerror(status),
             (unsigned long long)seq);
    return rc;
}

/* What a call of the reader gave instead of records. returns 0 to go on, else to stop */
static int scan_trouble(struct scan *scan, int status)
{
    int rc = status;

    if (status == SEGLOG_ECORRUPT || status == SEGLOG_EMISSING) {
        damage_met(scan, status);
        return scan->stuck;
    }
    if (status == -EINTR)
        return 0;
    if (status == SEGLOG_ETRIMMED || status == SEGLOG_EREWOUND) {
        rc = scan_lost_place(scan, status);
        if (rc == 0)
            return 0;
    }
    scan->exit_status = fail_status(scan->cli, scan->sel->dir, rc);
    scan->stuck = true;
    return 1;
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
    struct pollfd out = {.fd = scan->output.sink.fd};
    int rc;

    if (sink_flush(&scan->output.sink) < 0)
        return 0; /* scan_done() sees it */
    if (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLNVAL))) {
        scan->output.sink.error =
            -EPIPE; /* nobody reads any more: do not wait for a record first */
        return 0;
    }
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
        for (int i = 0; i < n && !ended && !scan->output.sink.error; i++)
            ended = print_view(scan, &views[i]);
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
            if (seglog_reader_damage(scan->reader, &damage) < 0 ||
                (damage.segment + 1 == scan->bad_segment && damage.offset == scan->bad_offset))
                return;
            scan->bad_segment = damage.segment + 1;
            scan->bad_offset = damage.offset;
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

    if (count == 0) {
        const struct seglog_place end = {.kind = SEGLOG_PLACE_END};

        rc = seglog_reader_seek(scan->reader, &end);
        if (rc == 0)
            rc = seglog_reader_position(scan->reader, &scan->from_seq, NULL);
        scan->from_first = false;
        return rc;
    }
    rc = seek_number(scan, scan->to_seq);
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
    const int error = sink_flush(&scan->output.sink);
    const unsigned long long records = scan->output.records;
    const unsigned long long bytes = scan->output.bytes;
    int exit_status = scan->exit_status;

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

int scan_tail(const struct selection *sel)
{
    struct scan scan;
    int rc = scan_begin(&scan, sel);

    if (rc != 0) {
        output_close(&scan.output);
        return rc;
    }
    rc = scan_open(&scan);
    if (rc == 0 && (sel->has_count || !sel->has_from))
        rc = find_last(&scan, sel->has_count ? sel->count : 10);
    scan.left = UINT64_MAX;
    if (rc == 0)
        rc = seek_start(&scan);
    if (rc < 0) {
        scan.exit_status = fail_status(sel->cli, sel->dir, rc);
        return scan_end(&scan);
    }
    if (sel->follow)
        detail(sel->cli, "%s: following from record %llu", sel->dir,
               (unsigned long long)scan.from_seq);
    if (sel->reverse)
        walk_backward(&scan, true, print_view);
    else
        walk_forward(&scan);
    return scan_end(&scan);
}
