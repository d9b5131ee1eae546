/*
 * The segments that this process has mapped for appending, and the one prepared ahead.
 *
 * A segment is mapped once for each process and shared by its appenders. Mapping and making happen
 * outside the lock; whoever needs a segment that is just being prepared waits for it rather than
 * making a second one that would lose the race for the name.
 */
#include "log/handle.h"

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

/* munmap of 64 MiB takes a millisecond: the helper does it if there is one. */
static void table_retire(struct seglog_log *log, struct segment *seg)
{
    const size_t places = sizeof(log->retired) / sizeof(log->retired[0]);

    for (size_t i = 0; log->helper_runs && i < places; i++) {
        if (!log->retired[i]) {
            log->retired[i] = seg;
            pthread_cond_signal(&log->work);
            return;
        }
    }
    segment_close(seg);
}

static void put_locked(struct seglog_log *log, struct log_segment *ls)
{
    if (--ls->refs > 0)
        return;
    table_unlink(log, ls);
    table_retire(log, ls->seg);
    free(ls);
}

void log_table_put(struct seglog_log *log, struct log_segment *ls)
{
    pthread_mutex_lock(&log->lock);
    put_locked(log, ls);
    pthread_mutex_unlock(&log->lock);
}

void log_table_reap(struct seglog_log *log)
{
    const size_t places = sizeof(log->retired) / sizeof(log->retired[0]);

    for (size_t i = 0; i < places; i++) {
        struct segment *seg;

        pthread_mutex_lock(&log->lock);
        seg = log->retired[i];
        log->retired[i] = NULL;
        pthread_mutex_unlock(&log->lock);
        segment_close(seg);
    }
}

void log_table_activate(struct seglog_log *log, struct log_segment *ls)
{
    pthread_mutex_lock(&log->lock);
    if (!log->active || ls->seg->facts.number > log->active->seg->facts.number) {
        if (log->active)
            put_locked(log, log->active);
        log->active = ls;
        ls->refs++;
    }
    if (log->spare && log->spare->seg->facts.number <= log->active->seg->facts.number) {
        struct log_segment *spare = log->spare;
        log->spare = NULL;
        put_locked(log, spare);
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

/* Does another process say that it is preparing the next segment? */
static bool preparer_elsewhere(const struct seglog_log *log)
{
    return owner_probe(log->view.owners_fd, OWNERS_BYTE_PREPARE) == 1;
}

/*
 * Make a segment, unless there was one of that number. A process that was asleep may not know, and
 * the name is free again once retention has removed the file; but the floor was moved before.
 */
static int make(struct seglog_log *log, uint64_t number, bool populate, struct segment **out)
{
    char name[SEGMENT_NAME_BYTES];
    int rc;

    struct prepare_order order = {
        .number = number,
        .size = log->view.settings.segment_size,
        .mode = log->view.settings.mode,
        .populate = populate,
        .boot = &log->view.boot,
    };

    memcpy(order.uuid, log->view.settings.uuid, 16);
    rc = segment_prepare(log->view.dirfd, &order, out);
    if (rc < 0)
        return rc;
    rc = log_view_is_removed(&log->view, number);
    if (rc == 0)
        return 0;
    segment_name(number, name);
    file_unlink(log->view.dirfd, name);
    segment_close(*out);
    *out = NULL;
    return rc < 0 ? rc : -ESTALE;
}

/* Open segment `number`; make it when it is not there and nobody is about to have made it. */
static int open_or_make(struct seglog_log *log, uint64_t number, bool create, struct segment **out)
{
    const uint64_t patience = clock_monotonic_ns() + PREPARER_PATIENCE_NS;

    for (;;) {
        int rc = segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_WRITE, out,
                              NULL);

        if (rc != -ENOENT || !create)
            return rc;
        if (preparer_elsewhere(log) && clock_monotonic_ns() < patience) {
            clock_sleep_ns(50000);
            continue;
        }
        rc = make(log, number, false, out);
        if (rc != -EEXIST)
            return rc;
    }
}

/* Put a mapped segment into the table, or drop it if somebody was faster. Gives a reference. */
static struct log_segment *insert_locked(struct seglog_log *log, struct segment *seg,
                                         struct log_segment *fresh)
{
    struct log_segment *ls = table_find(log, seg->facts.number);

    if (ls) {
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

int log_table_get(struct seglog_log *log, uint64_t number, bool create, struct log_segment **out)
{
    struct log_segment *ls, *fresh;
    struct segment *seg;
    int rc;

    pthread_mutex_lock(&log->lock);
    while (log->preparing == number && number != 0)
        pthread_cond_wait(&log->ready, &log->lock);
    ls = table_find(log, number);
    if (ls)
        ls->refs++;
    pthread_mutex_unlock(&log->lock);
    if (ls) {
        *out = ls;
        return 0;
    }
    fresh = malloc(sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    rc = open_or_make(log, number, create, &seg);
    if (rc < 0) {
        free(fresh);
        return rc;
    }
    pthread_mutex_lock(&log->lock);
    *out = insert_locked(log, seg, fresh);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

/* One process at a time prepares; the others map what it made. The lock tells rollers elsewhere. */
static int make_elected(struct seglog_log *log, uint64_t number, struct segment **out)
{
    struct owner elected = OWNER_NONE;
    int rc = owner_open(log->view.dirfd, NAME_OWNERS, &elected);

    if (rc == 0)
        rc = owner_lock(&elected, OWNERS_BYTE_PREPARE, true);
    if (rc == 0) {
        owner_settle(&elected);
        rc = make(log, number, true, out);
    }
    owner_close(&elected);
    return rc;
}

static int ahead(struct seglog_log *log, uint64_t number, struct segment **out)
{
    for (int tries = 0; tries < 1000; tries++) {
        int rc = segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_WRITE, out,
                              NULL);

        if (rc == 0) {
            /* Pages that another process brought in still fault here once each. */
            map_populate((*out)->base, (*out)->facts.shape.frames_end);
            return 0;
        }
        if (rc != -ENOENT)
            return rc;
        rc = make_elected(log, number, out);
        if (rc != -EEXIST && rc != -EAGAIN)
            return rc;
        clock_sleep_ns(1000000); /* the elected one is at it */
    }
    return -EAGAIN;
}

int log_table_ahead(struct seglog_log *log, uint64_t number)
{
    struct log_segment *fresh = malloc(sizeof(*fresh));
    struct segment *seg = NULL;
    bool needed;
    int rc = 0;

    if (!fresh)
        return -ENOMEM;
    pthread_mutex_lock(&log->lock);
    needed =
        log->preparing == 0 && !table_find(log, number) && log->active->seg->facts.number < number;
    if (needed)
        log->preparing = number;
    pthread_mutex_unlock(&log->lock);
    if (needed)
        rc = ahead(log, number, &seg);

    pthread_mutex_lock(&log->lock);
    if (needed)
        log->preparing = 0;
    if (seg) {
        struct log_segment *ls = insert_locked(log, seg, fresh);

        fresh = NULL;
        if (log->spare || log->active->seg->facts.number >= number) {
            put_locked(log, ls); /* too late: it is in use, or past */
        } else {
            log->spare = ls;
        }
    }
    pthread_cond_broadcast(&log->ready);
    pthread_mutex_unlock(&log->lock);
    free(fresh);
    return rc == -ESTALE ? 0 : rc; /* nobody needs that one any more */
}

/* Without the lock: no thread is left but ours, and in a forked child the lock may be held for ever. */
void log_table_free(struct seglog_log *log)
{
    for (size_t i = 0; i < sizeof(log->retired) / sizeof(log->retired[0]); i++)
        segment_close(log->retired[i]);
    while (log->segments) {
        struct log_segment *ls = log->segments;

        log->segments = ls->next;
        segment_close(ls->seg);
        free(ls);
    }
    log->active = log->spare = NULL;
}
