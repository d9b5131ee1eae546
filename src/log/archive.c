/*
 * Which sealed segments are archived, and one archiver at a time.
 *
 * Nothing here is attached to the log: sealed segments change no more, so all that must be agreed on
 * is who archives (byte 5 of `owners`) and what was removed meanwhile (the floor).
 */
#include <seglog/archive.h>

#include <errno.h>

#include "archive/archive.h"
#include "log/handle.h"
#include "sys/clock.h"

/* When to look again after a failure: doubled each time. And when something is to come of age. */
#define RETRY_NS        UINT64_C(1000000000)
#define RETRY_DOUBLINGS 6u
#define LOOK_MIN_NS     UINT64_C(1000000)
#define LOOK_MAX_NS     UINT64_C(3600000000000)

struct archiving {
    const struct log_view *view;
    const struct seglog_archive_options *options;
    struct seglog_archive_report *report;
    struct archive_order order;
    uint64_t *numbers; /* to do */
    size_t count;
    uint64_t done; /* bytes */
    uint64_t total;
    uint64_t from;    /* below this number nothing is left to do */
    uint64_t settled; /* nor below this one, when all that was chosen is done */
    uint64_t due_ns;  /* wall clock: when the next one is old enough; 0: none is sealed */
};

static_assert(SEGLOG_ARCHIVE_LEVEL_DEFAULT == ARCHIVE_LEVEL_DEFAULT, "one default");
static_assert(SEGLOG_ARCHIVE_LEVEL_MAX == ARCHIVE_LEVEL_MAX, "one scale");

/* ---- choosing ------------------------------------------------------------------------------- */

/* 1: sealed, and a segment file; 2: an archive; 0: not sealed, or unreadable. */
static int look(const struct log_view *view, uint64_t number, uint64_t *sealed_ns)
{
    struct footer_facts footer;
    struct segment *seg;
    int rc = segment_open(view->dirfd, number, view->settings.uuid, SEGMENT_PREAD, &seg, NULL);

    if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG || rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    rc = segment_footer(seg, &footer, NULL);
    if (rc == 0) {
        *sealed_ns = footer.sealed_ns;
        rc = seg->arc ? 2 : 1;
    } else if (rc == -EAGAIN || rc == SEGLOG_ECORRUPT) {
        rc = 0;
    }
    segment_close(seg);
    return rc;
}

/* From the newest to the oldest: which of the list are to be done. They stay in the list. */
static int choose_from(struct archiving *a, struct segment_list *list, uint64_t floor)
{
    const uint64_t now = clock_wall_ns();
    uint64_t kept = 0;
    size_t first = list->count;

    a->settled = list->count ? list->numbers[list->count - 1] + 1 : 0;
    floor = floor > a->from ? floor : a->from;
    for (size_t i = list->count; i-- > 0 && list->numbers[i] >= floor;) {
        uint64_t sealed_ns = 0;
        const int rc = look(a->view, list->numbers[i], &sealed_ns);

        const bool is_spared = rc > 0 && kept++ < a->options->keep;

        if (rc < 0)
            return rc;
        if (rc == 2)
            continue;
        if (rc == 1 && !is_spared) {
            if (sealed_ns <= now && now - sealed_ns >= a->options->older_than_ns) {
                list->numbers[--first] = list->numbers[i];
                continue;
            }
            if (__builtin_add_overflow(sealed_ns, a->options->older_than_ns, &a->due_ns))
                a->due_ns = UINT64_MAX;
        }
        a->settled = list->numbers[i];
    }
    a->numbers = list->numbers + first;
    a->count = list->count - first;
    a->total = a->count * a->view->settings.segment_size;
    return 0;
}

/* ---- doing ---------------------------------------------------------------------------------- */

static bool tick(void *context, uint64_t bytes)
{
    struct archiving *a = context;

    return a->options->on_progress &&
           a->options->on_progress(a->options->context, a->done + bytes, a->total) != 0;
}

/* Retention may have taken it while we were at it, and does not come back for what was not there. */
static int sweep_removed(const struct archiving *a, uint64_t number)
{
    const int rc = log_view_is_removed(a->view, number);

    return rc == 1 ? segment_unlink(a->view->dirfd, number) : rc;
}

static int archive_one(struct archiving *a, uint64_t number)
{
    struct archive_result result = {0};
    struct seglog_archived told = {.number = number};
    int rc;

    a->order.number = number;
    rc = archive_swap(a->view->dirfd, &a->order, &result);
    if (rc == -ENOENT || rc == -EALREADY)
        return sweep_removed(a, number);
    if (rc < 0 && rc != SEGLOG_ECORRUPT)
        return rc;
    told.status = rc;
    told.segment_bytes = result.segment_size;
    if (rc == 0 && result.file_size > 0) {
        told.archive_bytes = result.file_size;
        a->report->segments++;
        a->report->segment_bytes += result.segment_size;
        a->report->archive_bytes += result.file_size;
    }
    a->report->damaged += rc < 0;
    rc = sweep_removed(a, number);
    if (rc == 0 && a->options->on_segment && a->options->on_segment(a->options->context, &told))
        rc = -ECANCELED;
    return rc;
}

static int archive_all(struct archiving *a)
{
    int rc = 0;

    for (size_t i = 0; i < a->count && rc == 0; i++) {
        rc = archive_one(a, a->numbers[i]);
        a->done += a->view->settings.segment_size;
    }
    /* A5: the names that are gone are gone for good. */
    if (a->report->segments > 0) {
        const int synced = dir_sync(a->view->dirfd);

        rc = rc < 0 ? rc : synced;
    }
    return rc == 0 && a->report->damaged > 0 ? SEGLOG_ECORRUPT : rc;
}

static int archive_elected(struct archiving *a)
{
    struct segment_list list;
    struct floor_facts floor;
    int rc = log_view_floor(a->view, &floor);

    if (rc == 0)
        rc = segment_list_read(a->view->dirfd, &list);
    if (rc < 0)
        return rc;
    rc = choose_from(a, &list, floor.number);
    if (rc == 0)
        rc = archive_all(a);
    segment_list_free(&list);
    return rc;
}

/* With view, options, report and from: choose and do, unless somebody else is at it. */
static int archive_run(struct archiving *a, struct io_engine *io)
{
    const struct log_view *view = a->view;
    struct owner elected = OWNER_NONE;
    int rc;

    a->order = (struct archive_order){
        .mode = view->settings.mode,
        .level = a->options->level ? (int)a->options->level : ARCHIVE_LEVEL_DEFAULT,
        .io = io,
        .tick = tick,
        .context = a,
    };
    memcpy(a->order.uuid, view->settings.uuid, sizeof(a->order.uuid));
    rc = log_make_owners(view);
    if (rc == 0)
        rc = owner_open(view->dirfd, NAME_OWNERS, &elected);
    if (rc == 0)
        rc = owner_lock(&elected, OWNERS_BYTE_ARCHIVE, true);
    if (rc == 0) {
        owner_settle(&elected);
        rc = archive_elected(a);
    } else if (rc == -EAGAIN) {
        rc = -EBUSY;
    }
    owner_close(&elected);
    return rc;
}

int log_archive(const struct log_view *view, struct io_engine *io,
                const struct seglog_archive_options *options, struct seglog_archive_report *report)
{
    struct archiving a = {.view = view, .options = options, .report = report};

    if (options->level > SEGLOG_ARCHIVE_LEVEL_MAX || options->reserved != 0)
        return -EINVAL;
    return archive_run(&a, io);
}

/* ---- by itself ------------------------------------------------------------------------------ */

static int is_stopped(void *context, uint64_t done, uint64_t total)
{
    struct seglog_log *log = context;

    (void)done;
    (void)total;
    return atomic_load_explicit(&log->archive_stops, memory_order_relaxed);
}

/* How long until the next look; 0: no seal, no look. Wall clocks step, so that far times are looked at
 * again before. */
static uint64_t pause_after(struct seglog_log *log, const struct archiving *a, int rc)
{
    const uint64_t now = clock_wall_ns();
    uint64_t pause;

    if (rc < 0 && rc != SEGLOG_ECORRUPT) { /* such as a full disk, or another archiver */
        const uint32_t doublings = rc == -EBUSY ? 0 : log->archive_failures;

        log->archive_failures += doublings < RETRY_DOUBLINGS && rc != -EBUSY;
        return RETRY_NS << doublings;
    }
    log->archive_failures = 0;
    if (a->due_ns == 0)
        return 0;
    pause = a->due_ns > now ? a->due_ns - now : 0;
    return pause < LOOK_MIN_NS ? LOOK_MIN_NS : pause > LOOK_MAX_NS ? LOOK_MAX_NS : pause;
}

int log_archive_auto(struct seglog_log *log)
{
    struct seglog_archive_options options = {.on_progress = is_stopped, .context = log};
    struct seglog_archive_report report = {0};
    struct archiving a = {.view = &log->view, .options = &options, .report = &report};
    struct settings_facts stored;
    uint64_t pause;
    int rc = log_view_settings(&log->view, &stored);

    if (rc == 0 && stored.archive_after_ns != 0) {
        options.older_than_ns = stored.archive_after_ns;
        options.level = stored.archive_level <= SEGLOG_ARCHIVE_LEVEL_MAX ? stored.archive_level : 0;
        pthread_mutex_lock(&log->lock);
        a.from = log->archive_settled;
        pthread_mutex_unlock(&log->lock);
        rc = archive_run(&a, log->io);
    }
    pause = pause_after(log, &a, rc);
    pthread_mutex_lock(&log->lock);
    log->archive_after_ns = stored.archive_after_ns;
    log->archive_due_ns = pause ? clock_monotonic_ns() + pause : 0;
    if ((rc == 0 || rc == SEGLOG_ECORRUPT) && a.settled > log->archive_settled)
        log->archive_settled = a.settled; /* a damaged one is not tried again and again */
    pthread_mutex_unlock(&log->lock);
    return rc;
}

int seglog_archive(const char *dir, const struct seglog_archive_options *options,
                   struct seglog_archive_report *report)
{
    static const struct seglog_archive_options plain;
    struct seglog_archive_report unasked;
    struct io_engine *io = NULL;
    struct log_view view;
    int rc;

    if (!report)
        report = &unasked;
    *report = (struct seglog_archive_report){0};
    rc = log_view_open(dir, false, &view);
    if (rc < 0)
        return rc;
    rc = io_engine_open(&(struct io_options){.choice = IO_AUTO}, &io);
    if (rc == 0)
        rc = log_archive(&view, io, options ? options : &plain, report);
    io_engine_close(io);
    log_view_close(&view);
    return rc;
}
