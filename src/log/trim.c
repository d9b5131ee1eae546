/*
 * Retention: what goes is the longest run of oldest segments that a rule wants gone, that the log can do
 * without, and that no cursor has still to read.
 *
 * Planning needs to read only. Carrying out happens under a lock that makers of cursors take too.
 */
#include "log/trim.h"

#include <errno.h>
#include <string.h>

#include "retention/plan.h"
#include "sys/clock.h"

#define KNOWN_FLAGS (SEGLOG_TRIM_DRY_RUN | SEGLOG_TRIM_FORCE | SEGLOG_TRIM_BEFORE)

struct trimming {
    const struct log_view *view;
    const struct seglog_trim_options *options;
    struct retention_rules rules;
    struct retention_left left;
    struct floor_facts floor;
    struct segment_list list;
    struct stored_hold hold;
    uint64_t number; /* the first segment to be kept, and what it begins with */
    uint64_t first_seq;
    struct seglog_trim_report report;
};

/* ---- the plan ------------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct log_view *view, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    struct file_facts file;

    segment_name(number, name);
    if (file_facts_named(view->dirfd, name, &file) == 0)
        return file.size;
    segment_archive_name(number, name);
    return file_facts_named(view->dirfd, name, &file) == 0 ? file.size
                                                           : view->settings.segment_size;
}

/* Everything up to the newest active segment counts; spares behind it do not. */
static int trim_gather(struct trimming *t)
{
    size_t end;
    int rc = log_view_floor(t->view, &t->floor);

    if (rc == 0)
        rc = segment_list_read(t->view->dirfd, &t->list);
    if (rc == 0)
        rc = stored_hold(t->view, &t->hold);
    if (rc < 0)
        return rc;
    for (end = t->list.count; end > 0; end--) {
        struct drop_extent extent;

        rc = drop_extent(t->view, t->list.numbers[end - 1], &extent);
        if (rc == 0 && extent.is_active)
            break;
    }
    for (size_t i = 0; i < end; i++) {
        if (t->list.numbers[i] < t->floor.number)
            continue;
        t->left.bytes += bytes_of(t->view, t->list.numbers[i]);
        t->left.segments++;
    }
    t->number = t->floor.number;
    t->first_seq = t->floor.first_seq;
    return 0;
}

/* Is the segment still to be read by a cursor? */
static bool is_held(struct trimming *t, const struct drop_extent *extent)
{
    struct seglog_trim_report *report = &t->report;

    if (!t->hold.is_held || extent->next_seq <= t->hold.seq ||
        (t->options->flags & SEGLOG_TRIM_FORCE))
        return false;
    report->stopped = SEGLOG_TRIM_CURSOR;
    report->cursor_seq = t->hold.seq;
    report->cursor_status = t->hold.status;
    memcpy(report->cursor, t->hold.name, sizeof(report->cursor));
    return true;
}

/* The oldest one left. 1: it goes; 0: the plan ends here */
static int trim_one(struct trimming *t, uint64_t number)
{
    struct drop_extent extent;
    struct seglog_trim_segment segment;
    const int rc = drop_may_go(t->view, number, &extent);
    struct retention_oldest oldest;

    if (rc < 0 && rc != -EBUSY)
        return rc;
    oldest = (struct retention_oldest){.next_seq = rc == 0 ? extent.next_seq : UINT64_MAX,
                                       .sealed_ns = extent.sealed_ns};
    segment = (struct seglog_trim_segment){
        .number = number,
        .first_seq = extent.base_seq,
        .next_seq = extent.next_seq,
        .bytes = bytes_of(t->view, number),
        .sealed_ns = extent.sealed_ns,
        .why = retention_why(&t->rules, &t->left, &oldest, clock_wall_ns()),
    };
    if (segment.why == 0)
        return 0;
    if (rc == -EBUSY) {
        t->report.stopped = SEGLOG_TRIM_IN_USE;
        return 0;
    }
    if (is_held(t, &extent))
        return 0;
    t->left.bytes -= segment.bytes;
    t->left.segments--;
    t->number = number + 1;
    t->first_seq = extent.next_seq;
    t->report.segments++;
    t->report.bytes += segment.bytes;
    if (t->options->on_segment)
        t->options->on_segment(t->options->context, &segment);
    return 1;
}

static int trim_plan(struct trimming *t)
{
    int rc = trim_gather(t);

    for (size_t i = 0; rc >= 0 && i < t->list.count; i++) {
        if (t->list.numbers[i] < t->floor.number)
            continue;
        rc = trim_one(t, t->list.numbers[i]);
        if (rc == 0)
            break;
    }
    t->report.first_seq = t->first_seq;
    t->report.left_segments = t->left.segments;
    t->report.left_bytes = t->left.bytes;
    return rc < 0 ? rc : 0;
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* With no rule given, those of the log. */
static int trim_begin(struct trimming *t, const struct log_view *view,
                      const struct seglog_trim_options *o)
{
    struct settings_facts stored = view->settings;
    int rc;

    if ((o->flags & ~KNOWN_FLAGS) != 0)
        return -EINVAL;
    *t = (struct trimming){.view = view, .options = o};
    t->rules = (struct retention_rules){
        .keep_size = o->keep_size,
        .keep_age_ns = o->keep_age_ns,
        .keep_segments = o->keep_segments,
        .has_before = (o->flags & SEGLOG_TRIM_BEFORE) != 0,
        .before_seq = o->before_seq,
    };
    if (o->keep_size || o->keep_age_ns || o->keep_segments || t->rules.has_before)
        return 0;
    rc = log_view_settings(view, &stored);
    t->rules.keep_size = stored.keep_size;
    t->rules.keep_age_ns = stored.keep_age_ns;
    t->rules.keep_segments = stored.keep_segments;
    return rc;
}

static int trim_run(struct seglog_log *log, const struct seglog_trim_options *o, bool patient,
                    struct seglog_trim_report *report)
{
    struct trimming t;
    struct owner lock;
    int rc = trim_begin(&t, &log->view, o);

    if (rc == 0)
        rc = stored_lock(&log->view, patient, &lock);
    if (rc < 0)
        return rc;
    rc = trim_plan(&t);
    if (rc == 0 && !(o->flags & SEGLOG_TRIM_DRY_RUN))
        rc = drop_below(log, &t.floor, &t.list, t.number, t.first_seq);
    owner_close(&lock);
    segment_list_free(&t.list);
    if (rc == 0 && report)
        *report = t.report;
    return rc;
}

int seglog_log_trim(struct seglog_log *log, const struct seglog_trim_options *options,
                    struct seglog_trim_report *report)
{
    static const struct seglog_trim_options own;

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    return trim_run(log, options ? options : &own, true, report);
}

int seglog_trim_plan(const char *dir, const struct seglog_trim_options *options,
                     struct seglog_trim_report *report)
{
    static const struct seglog_trim_options own;
    struct log_view view;
    struct trimming t;
    int rc = log_view_open(dir, true, &view);

    if (rc < 0)
        return rc;
    rc = trim_begin(&t, &view, options ? options : &own);
    if (rc == 0) {
        rc = trim_plan(&t);
        segment_list_free(&t.list);
    }
    log_view_close(&view);
    if (rc == 0)
        *report = t.report;
    return rc;
}

int log_trim_auto(struct seglog_log *log)
{
    static const struct seglog_trim_options own;
    struct settings_facts stored;
    int rc = log_view_settings(&log->view, &stored);

    if (rc < 0)
        return rc;
    /* So that the next look comes in time. */
    pthread_mutex_lock(&log->lock);
    log->keep_age_ns = stored.keep_age_ns;
    log->archive_after_ns = stored.archive_after_ns;
    pthread_mutex_unlock(&log->lock);
    if (!stored.keep_size && !stored.keep_age_ns && !stored.keep_segments)
        return 0;
    return trim_run(log, &own, false, NULL);
}
