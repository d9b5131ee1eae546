/*
 * Preparing segments ahead of need, as many as the rate asks for.
 *
 * The hard part is to know how many. A spare costs the disk a whole segment, a roll without one costs
 * its appender the time of a preparation, and nothing tells beforehand how fast a log will be filled.
 * So a roll is looked at: one that found its segment not ready, or ready only just now, asks for one
 * more; several in a row that had more than enough ask for one less. Who appends a line now and then
 * never asks at all (soft_end() in roll.c).
 */
#include "log/order.h"
#include "log/table.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/map.h"

/* All spares together take no more of a disk than this, or two segments. */
#define SPARES_BYTES_MAX (UINT64_C(1) << 30)

/* Ready for less than so many times what it took to prepare is "only just"; for more than so many,
 * for so many rolls in a row, is "more than enough". */
#define SPARE_TIGHT 2u
#define SPARE_SLACK 16u
#define SPARE_ROLLS 8u

static unsigned spares_max(const struct seglog_log *log)
{
    const uint64_t fit = SPARES_BYTES_MAX / log->view.settings.segment_size;

    return fit < 2 ? 2 : fit < SPARES_MAX ? (unsigned)fit : SPARES_MAX;
}

static unsigned spares_above(const struct seglog_log *log, uint64_t number)
{
    unsigned count = 0;

    for (const struct log_segment *ls = log->segments; ls; ls = ls->next)
        count += ls->is_spare && ls->seg->facts.number > number;
    return count;
}

void log_ahead_adapt(struct seglog_log *log, const struct log_segment *next)
{
    const unsigned others = spares_above(log, next->seg->facts.number);
    const uint64_t ready_for = next->ready_ns ? clock_monotonic_ns() - next->ready_ns : 0;

    if (log->spares_goal == 0)
        return;
    if (others == 0 && ready_for < SPARE_TIGHT * log->prepare_ns + 1) {
        log->spares_calm = 0;
        if (log->spares_goal < spares_max(log))
            log->spares_goal++;
    } else if (others + 1 < log->spares_goal || ready_for < SPARE_SLACK * log->prepare_ns) {
        log->spares_calm = 0;
    } else if (++log->spares_calm >= SPARE_ROLLS && log->spares_goal > 1) {
        log->spares_calm = 0;
        log->spares_goal--;
    }
}

/* ---- making --------------------------------------------------------------------------------- */

struct prepare_order log_prepare_order(const struct seglog_log *log, uint64_t number, bool ahead)
{
    struct prepare_order order = {
        .number = number,
        .size = log->view.settings.segment_size,
        .mode = log->view.settings.mode,
        .how = ahead ? PREPARE_AHEAD : PREPARE_QUICK,
        .boot = &log->view.boot,
    };

    memcpy(order.uuid, log->view.settings.uuid, 16);
    /* A segment that is not made for commits makes each of them dearer: it is made so in any case. */
    if (log->view.settings.sync > SEGLOG_SYNC_SEALED)
        order.how = PREPARE_COMMITS;
    return order;
}

/* Tell everybody how it went, and the user of this handle when that is news: a full disk is best known
 * before the active segment is full. */
static void note_status(struct seglog_log *log, int rc)
{
    const int status = rc < 0 ? rc : 0;
    int told;

    if (rc == -EEXIST)
        return; /* others were faster */
    atomic_store_explicit(&log->view.live->prepare_status, (uint32_t)-status, memory_order_relaxed);
    told = atomic_exchange_explicit(&log->prepare_told, status, memory_order_relaxed);
    if (told == status)
        return;
    log_notify(log, status < 0 ? SEGLOG_EVENT_PREPARE_FAILED : SEGLOG_EVENT_PREPARED, status);
}

static int make_file(struct seglog_log *log, const struct prepare_order *order, struct recycler *r,
                     struct segment **out)
{
    struct recycler once = {0};
    int rc = -ENOENT;

    if (r)
        rc = segment_recycle(log->view.dirfd, order, r, out);
    if (rc == 0 || rc == -EEXIST)
        return rc;
    rc = segment_prepare(log->view.dirfd, order, out);
    /* No room for a new one: an old one is slower to have than a quick new one, but is there. */
    if (!r && (rc == -ENOSPC || rc == -EDQUOT)) {
        const int again = segment_recycle(log->view.dirfd, order, &once, out);

        rc = again == 0 || again == -EEXIST ? again : rc;
    }
    return rc;
}

/*
 * Make a segment, unless there was one of that number. A process that was asleep may not know, and
 * the name is free again once retention has removed the file; but the floor was moved before.
 */
int log_ahead_make(struct seglog_log *log, uint64_t number, struct recycler *r,
                   struct segment **out)
{
    const struct prepare_order order = log_prepare_order(log, number, r != NULL);
    char name[SEGMENT_NAME_BYTES];
    int rc = make_file(log, &order, r, out);

    note_status(log, rc);
    if (rc < 0)
        return rc;
    rc = log_view_is_removed(&log->view, number);
    if (rc == 0)
        return 0;
    segment_name(number, name);
    file_unlink(log->view.dirfd, name);
    segment_close(*out);
    return rc < 0 ? rc : -ESTALE;
}

/* One process at a time prepares; the others map what it made. The lock tells rollers elsewhere. */
static int make_elected(struct seglog_log *log, uint64_t number, struct segment **out)
{
    struct owner elected = OWNER_NONE;
    int rc = owner_open(log->view.dirfd, NAME_OWNERS, &elected);

    if (rc == 0)
        rc = owner_lock(&elected, OWNERS_BYTE_PREPARE, true);
    if (rc == 0) {
        const uint64_t start = clock_monotonic_ns();

        owner_settle(&elected);
        rc = log_ahead_make(log, number, &log->recycler, out);
        if (rc == 0) {
            pthread_mutex_lock(&log->lock);
            log->prepare_ns = clock_monotonic_ns() - start;
            pthread_mutex_unlock(&log->lock);
        }
    }
    owner_close(&elected);
    return rc;
}

/* Pages that another process brought in still fault here once each. */
static void populate(const struct seglog_log *log, const struct segment *seg)
{
    if (log->view.settings.sync > SEGLOG_SYNC_SEALED)
        map_populate_read(seg->base, seg->facts.shape.frames_end);
    else
        map_populate(seg->base, seg->facts.shape.frames_end);
}

static int open_or_prepare(struct seglog_log *log, uint64_t number, struct segment **out)
{
    for (int tries = 0; tries < 1000; tries++) {
        int rc = segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_WRITE, out,
                              NULL);

        if (rc == 0)
            populate(log, *out);
        if (rc != -ENOENT)
            return rc;
        rc = make_elected(log, number, out);
        if (rc != -EEXIST && rc != -EAGAIN)
            return rc;
        clock_sleep_ns(1000000); /* the elected one is at it */
    }
    return -EAGAIN;
}

/* ---- how many ------------------------------------------------------------------------------- */

/* The first spare that is missing, 0: none. It is ours to prepare. */
static uint64_t take_missing(struct seglog_log *log)
{
    const uint64_t active = log->active->seg->facts.number;

    if (log->preparing != 0)
        return 0; /* by another thread, which goes on until none is missing */
    for (uint64_t number = active + 1; number <= active + log->spares_goal; number++) {
        if (!log_table_has(log, number)) {
            log->preparing = number;
            return number;
        }
    }
    return 0;
}

static void keep_spare(struct seglog_log *log, struct segment *seg, struct log_segment *fresh)
{
    struct log_segment *ls = log_table_insert(log, seg, fresh);

    if (ls->is_spare || log->active->seg->facts.number >= ls->seg->facts.number) {
        log_table_put_locked(log, ls); /* too late: it is in use, or past */
        return;
    }
    ls->is_spare = true;
    ls->ready_ns = clock_monotonic_ns();
}

static int prepare_missing(struct seglog_log *log, uint64_t number)
{
    struct log_segment *fresh = malloc(sizeof(*fresh));
    struct segment *seg;
    int rc = fresh ? open_or_prepare(log, number, &seg) : -ENOMEM;

    pthread_mutex_lock(&log->lock);
    log->preparing = 0;
    if (rc == 0)
        keep_spare(log, seg, fresh);
    else
        free(fresh);
    pthread_cond_broadcast(&log->ready);
    pthread_mutex_unlock(&log->lock);
    return rc;
}

/* The active segment itself, if nobody prepared it: its first, or one that was made in a hurry. */
static void populate_active(struct seglog_log *log)
{
    struct log_segment *ls;
    bool ready;

    pthread_mutex_lock(&log->lock);
    ls = log->active;
    ls->refs++;
    ready = ls->ready_ns != 0;
    if (!ready)
        ls->ready_ns = clock_monotonic_ns();
    pthread_mutex_unlock(&log->lock);
    if (!ready)
        populate(log, ls->seg);
    log_table_put(log, ls);
}

int log_table_ahead(struct seglog_log *log)
{
    uint64_t number;
    int rc = 0;

    while (rc == 0) {
        pthread_mutex_lock(&log->lock);
        number = take_missing(log);
        pthread_mutex_unlock(&log->lock);
        if (number == 0)
            break;
        rc = prepare_missing(log, number);
    }
    populate_active(log);
    /* Removed already: this handle's appenders are far behind. They ask again where the log is now. */
    return rc == -ESTALE ? 0 : rc;
}
