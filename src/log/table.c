/*
 * The segments that this process has open for appending: active ones, those prepared ahead, and those
 * that its appenders have left.
 *
 * A segment is mapped once for each process and shared by its appenders. Mapping, making and
 * unmapping happen outside the lock; whoever needs a segment that is just being prepared waits for it
 * rather than making a second one that would lose the race for the name. How segments are prepared
 * ahead is in ahead.c.
 */
#include "log/table.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/map.h"

/* How long a roller lets another process finish the segment that it prepares. */
#define PREPARER_PATIENCE_NS UINT64_C(100000000)

static struct log_segment *table_find(struct seglog_log *log, uint64_t number)
{
    struct log_segment *ls = log->segments;

    while (ls && ls->seg->facts.number != number)
        ls = ls->next;
    return ls;
}

static void table_unlink(struct seglog_log *log, struct log_segment *ls)
{
    struct log_segment **link = &log->segments;

    while (*link != ls)
        link = &(*link)->next;
    *link = ls->next;
}

static void table_drop(struct seglog_log *log, struct log_segment *ls)
{
    table_unlink(log, ls);
    segment_close(ls->seg);
    free(ls);
}

/* ---- left segments -------------------------------------------------------------------------- */

/* The oldest left one, if there are more than are kept open. */
static struct log_segment *left_too_many(struct seglog_log *log)
{
    struct log_segment *oldest = NULL;
    unsigned count = 0;

    for (struct log_segment *ls = log->segments; ls; ls = ls->next) {
        if (ls->refs != 0)
            continue;
        count++;
        if (!ls->is_leaving && (!oldest || ls->seg->facts.number < oldest->seg->facts.number))
            oldest = ls;
    }
    return count > LEFT_MAX ? oldest : NULL;
}

void log_table_put_locked(struct seglog_log *log, struct log_segment *ls)
{
    if (--ls->refs > 0)
        return;
    if (log->active && ls->seg->facts.number > log->active->seg->facts.number) {
        table_drop(log, ls); /* never written to: nothing in it is waited for */
        return;
    }
    log_left(log);
    if (log->preparer_runs || log->helper_runs)
        return;
    ls = left_too_many(log); /* nobody else unmaps, but for seglog_log_tend() */
    if (ls)
        table_drop(log, ls);
}

void log_table_put(struct seglog_log *log, struct log_segment *ls)
{
    pthread_mutex_lock(&log->lock);
    log_table_put_locked(log, ls);
    pthread_mutex_unlock(&log->lock);
}

/* Will no sync of this segment be waited for any more, by whatever process? */
static bool is_settled(const struct segment *seg, uint64_t floor)
{
    struct footer_facts footer;
    struct mark_facts mark;

    return seg->facts.number < floor || segment_footer(seg, &footer, NULL) == 0 ||
           (segment_mark(seg, &mark) == 0 && mark.offset == seg->facts.space.frames_end);
}

/* One that was left, has not been looked at in this pass, and is nobody's now. */
static struct log_segment *next_left(struct seglog_log *log, uint64_t from)
{
    struct log_segment *least = NULL;

    for (struct log_segment *ls = log->segments; ls; ls = ls->next) {
        const uint64_t number = ls->seg->facts.number;

        if (ls->refs == 0 && !ls->is_leaving && number >= from &&
            (!least || number < least->seg->facts.number))
            least = ls;
    }
    return least;
}

void log_table_reap(struct seglog_log *log)
{
    struct floor_facts floor = {0};
    struct log_segment *ls;
    uint64_t from = 0;

    pthread_mutex_lock(&log->lock);
    log->left = false;
    while ((ls = next_left(log, from)) != NULL) {
        struct segment *seg = ls->seg;
        bool settled;

        ls->is_leaving = true;
        pthread_mutex_unlock(&log->lock);
        if (from == 0 && log_view_floor(&log->view, &floor) < 0)
            floor.number = 0;
        from = seg->facts.number + 1;
        segment_unmap(seg);
        settled = is_settled(seg, floor.number);
        pthread_mutex_lock(&log->lock);
        ls->is_leaving = false;
        pthread_cond_broadcast(&log->ready);
        if (ls->refs != 0 || !(settled || left_too_many(log) == ls))
            continue;
        table_unlink(log, ls);
        free(ls);
        pthread_mutex_unlock(&log->lock);
        segment_close(seg); /* of one that was removed: this may free all of its blocks */
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
}

/* ---- the active one ------------------------------------------------------------------------- */

/* A spare that the log has come to, or past. */
static struct log_segment *spare_used(struct seglog_log *log, uint64_t active)
{
    struct log_segment *ls = log->segments;

    while (ls && !(ls->is_spare && ls->seg->facts.number <= active))
        ls = ls->next;
    return ls;
}

void log_table_activate(struct seglog_log *log, struct log_segment *ls)
{
    const uint64_t number = ls->seg->facts.number;

    pthread_mutex_lock(&log->lock);
    if (!log->active || number > log->active->seg->facts.number) {
        struct log_segment *before = log->active, *spare;

        if (before && number == before->seg->facts.number + 1)
            log_ahead_adapt(log, ls);
        log->active = ls;
        ls->refs++;
        if (before)
            log_table_put_locked(log, before);
        while ((spare = spare_used(log, number)) != NULL) {
            spare->is_spare = false;
            log_table_put_locked(log, spare);
        }
    }
    pthread_mutex_unlock(&log->lock);
}

struct log_segment *log_table_held(struct seglog_log *log, uint64_t number)
{
    struct log_segment *ls;

    pthread_mutex_lock(&log->lock);
    ls = table_find(log, number);
    if (ls)
        ls->refs++;
    pthread_mutex_unlock(&log->lock);
    return ls;
}

struct log_segment *log_table_active(struct seglog_log *log)
{
    struct log_segment *ls;

    pthread_mutex_lock(&log->lock);
    ls = log->active;
    ls->refs++;
    pthread_mutex_unlock(&log->lock);
    return ls;
}

/* ---- getting one ---------------------------------------------------------------------------- */

/* Does another process say that it is preparing the next segment? */
static bool preparer_elsewhere(const struct seglog_log *log)
{
    return owner_probe(log->view.owners_fd, OWNERS_BYTE_PREPARE) == 1;
}

/* Open segment `number`; make it when it is not there and nobody is about to have made it. */
static int open_or_make(struct seglog_log *log, uint64_t number, bool create, struct segment **out)
{
    const uint64_t patience = clock_monotonic_ns() + PREPARER_PATIENCE_NS;

    for (;;) {
        int rc = segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_WRITE, out,
                              NULL);

        if (rc != -ENOENT || !create) /* -ESTALE: in an archive by now */
            return rc;
        if (preparer_elsewhere(log) && clock_monotonic_ns() < patience) {
            clock_sleep_ns(50000);
            continue;
        }
        rc = log_ahead_make(log, number, NULL, out);
        if (rc != -EEXIST)
            return rc;
    }
}

/* Like table_find(), but not while it is being unmapped. */
static struct log_segment *table_settle(struct seglog_log *log, uint64_t number)
{
    struct log_segment *ls;

    while ((ls = table_find(log, number)) != NULL && ls->is_leaving)
        pthread_cond_wait(&log->ready, &log->lock);
    return ls;
}

struct log_segment *log_table_insert(struct seglog_log *log, struct segment *seg,
                                     struct log_segment *fresh)
{
    struct log_segment *ls = table_settle(log, seg->facts.number);

    if (ls) {
        if (!ls->seg->base) { /* unmapped, and open for longer: its descriptor stays */
            ls->seg->base = seg->base;
            seg->base = NULL;
        }
        free(fresh);
        segment_close(seg);
    } else {
        ls = fresh;
        *ls = (struct log_segment){.seg = seg, .next = log->segments};
        log->segments = ls;
    }
    ls->refs++;
    return ls;
}

/* One that is in the table, mapped. 1 and *out with a reference; 0: it is not; -ENOMEM. */
static int table_have(struct seglog_log *log, uint64_t number, struct log_segment **out)
{
    struct log_segment *ls;
    int rc = 0;

    pthread_mutex_lock(&log->lock);
    while (log->preparing == number && number != 0)
        pthread_cond_wait(&log->ready, &log->lock);
    ls = table_settle(log, number);
    if (ls && !ls->seg->base) /* left, and needed again: through the descriptor it had */
        rc = segment_map(ls->seg);
    if (ls && rc == 0) {
        ls->refs++;
        *out = ls;
        rc = 1;
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

int log_table_get(struct seglog_log *log, uint64_t number, bool create, struct log_segment **out)
{
    struct log_segment *fresh;
    struct segment *seg;
    int rc = table_have(log, number, out);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    fresh = malloc(sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    rc = open_or_make(log, number, create, &seg);
    if (rc < 0) {
        free(fresh);
        return rc;
    }
    pthread_mutex_lock(&log->lock);
    *out = log_table_insert(log, seg, fresh);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

bool log_table_has(struct seglog_log *log, uint64_t number)
{
    return table_find(log, number) != NULL;
}

/* Without the lock: no thread is left but ours, and in a forked child the lock may be held for ever. */
void log_table_free(struct seglog_log *log)
{
    while (log->segments) {
        struct log_segment *ls = log->segments;

        log->segments = ls->next;
        segment_close(ls->seg);
        free(ls);
    }
    log->active = NULL;
}
