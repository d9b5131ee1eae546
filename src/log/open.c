/*
 * Attaching to a log and detaching.
 *
 * The hard part is the first opener: it must be alone while it recovers, and everybody who comes
 * meanwhile must wait; and if it is killed in the middle the next must begin anew. One lock does it:
 * whoever gets OWNERS_BYTE_ATTACH exclusively is alone, recovers, says `ready`, and turns the lock
 * into a shared one in a single step. Whoever gets it shared and does not find `ready` lets go and
 * tries again.
 */
#include "log/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "sys/clock.h"
#include "sys/map.h"
#include "sys/wait.h"

#define OPEN_TIMEOUT_NS UINT64_C(10000000000)

/* ---- the two files that carry no records ---------------------------------------------------- */

static int fill_with_zeros(const void *size, int fd)
{
    return file_reserve(fd, *(const uint64_t *)size);
}

static int ensure_file_once(const struct log_view *view, const char *name, uint64_t size)
{
    const int fd = file_open(view->dirfd, name, O_RDONLY, 0);
    struct file_facts facts;
    int rc;

    if (fd >= 0) {
        rc = file_facts(fd, &facts);
        file_close(fd);
        return rc < 0 ? rc : facts.size == size ? 0 : SEGLOG_ECORRUPT;
    }
    if (fd != -ENOENT)
        return fd;
    rc = file_make_whole(view->dirfd, name, (mode_t)view->settings.mode, fill_with_zeros, &size);
    return rc == -EEXIST ? 0 : rc;
}

/* Make a file of this size, whole, unless it is there. */
static int ensure_file(const struct log_view *view, const char *name, uint64_t size)
{
    int rc = -ENOENT;

    /* Before we are attached, the first opener may take our temporary file for one of the dead. */
    for (int tries = 0; tries < 100 && rc == -ENOENT; tries++)
        rc = ensure_file_once(view, name, size);
    return rc;
}

int log_make_owners(const struct log_view *view)
{
    const int rc = ensure_file(view, NAME_OWNERS, PAGE_BYTES);

    /* A power cut may have taken its size. Only the inode matters, and others may hold locks on it. */
    return rc == SEGLOG_ECORRUPT ? 0 : rc;
}

/* `live` holds nothing that outlives a boot: one that makes no sense is replaced. */
static int ensure_live(struct log_view *view)
{
    int rc = ensure_file(view, NAME_LIVE, sizeof(struct live_file));

    if (rc == SEGLOG_ECORRUPT) {
        rc = file_unlink(view->dirfd, NAME_LIVE);
        if (rc == 0)
            rc = ensure_file(view, NAME_LIVE, sizeof(struct live_file));
    }
    if (rc < 0)
        return rc;
    log_view_refresh(view);
    if (!view->live)
        return -ENOMEM;
    return view->live_writable ? 0 : -EACCES;
}

/* ---- attaching ------------------------------------------------------------------------------ */

/* One try. 0 attached; -EAGAIN: somebody recovers, or died doing it. */
static int attach_once(struct seglog_log *log)
{
    struct owner owner = OWNER_NONE;
    int rc = owner_open(log->view.dirfd, NAME_OWNERS, &owner);

    if (rc < 0)
        return rc;
    rc = owner_lock(&owner, OWNERS_BYTE_ATTACH, true);
    if (rc == 0) {
        rc = ensure_live(&log->view);
        if (rc == 0)
            rc = log_recover(log);
        if (rc == 0)
            rc = owner_lock(&owner, OWNERS_BYTE_ATTACH, false);
    } else if (rc == -EAGAIN) {
        rc = owner_lock(&owner, OWNERS_BYTE_ATTACH, false);
        log_view_refresh(&log->view);
        if (rc == 0 && !log_view_is_live(&log->view))
            rc = -EAGAIN;
        if (rc == 0 && !log->view.live_writable)
            rc = -EACCES;
    }
    if (rc < 0) {
        owner_close(&owner);
        return rc;
    }
    owner_settle(&owner);
    log->attach = owner;
    return 0;
}

static int attach(struct seglog_log *log, uint64_t timeout_ns)
{
    const uint64_t start = clock_monotonic_ns();
    uint64_t pause = 200000;

    for (;;) {
        const int rc = attach_once(log);

        if (rc != -EAGAIN)
            return rc;
        if (clock_monotonic_ns() - start >= timeout_ns)
            return -EBUSY;
        clock_sleep_ns(pause);
        if (pause < 5000000)
            pause += pause / 2;
    }
}

/* The newest active one of those listed. SEGLOG_EMISSING: none of them is, or they were removed. */
static int find_active_in(struct seglog_log *log, const struct segment_list *list)
{
    int rc = SEGLOG_EMISSING;

    for (size_t i = list->count; i-- > 0 && rc == SEGLOG_EMISSING;) {
        struct activation_facts act;
        struct log_segment *ls;

        rc = log_table_get(log, list->numbers[i], false, &ls);
        if (rc == -ENOENT || rc == -ESTALE)
            rc = SEGLOG_EMISSING; /* removed or archived meanwhile */
        if (rc < 0)
            continue;
        if (segment_activation(ls->seg, &act) == 0)
            log_table_activate(log, ls);
        else
            rc = SEGLOG_EMISSING; /* a spare */
        log_table_put(log, ls);
    }
    return rc;
}

int log_find_active(struct seglog_log *log)
{
    int rc = SEGLOG_EMISSING;

    /* A list grows old while others roll, seal and remove. */
    for (int tries = 0; tries < 10 && rc == SEGLOG_EMISSING; tries++) {
        struct segment_list list;

        rc = segment_list_read(log->view.dirfd, &list);
        if (rc < 0)
            return rc;
        rc = find_active_in(log, &list);
        segment_list_free(&list);
    }
    return rc;
}

/* The first segment that may still want a seal: sealers of other processes know it by now. */
static uint64_t find_seal_next(struct seglog_log *log)
{
    uint64_t number = log->active->seg->facts.number;

    while (number > 0) {
        struct footer_facts footer;
        struct segment *seg;
        int rc = segment_open(log->view.dirfd, number - 1, log->view.settings.uuid, SEGMENT_PREAD,
                              &seg, NULL);

        if (rc < 0)
            break;
        rc = segment_footer(seg, &footer, NULL);
        segment_close(seg);
        if (rc == 0)
            break;
        number--;
    }
    return number;
}

static int settings_agree(const struct settings_facts *have, const struct seglog_log_options *want)
{
    if (want->segment_size != 0 && want->segment_size != have->segment_size)
        return SEGLOG_EMISMATCH;
    if (want->sync != 0 && want->sync != have->sync)
        return SEGLOG_EMISMATCH;
    if (want->sync_interval_ns != 0 && want->sync_interval_ns != have->sync_interval_ns)
        return SEGLOG_EMISMATCH;
    if (want->mode != 0 && want->mode != have->mode)
        return SEGLOG_EMISMATCH;
    if ((want->keep_size != 0 && want->keep_size != have->keep_size) ||
        (want->keep_age_ns != 0 && want->keep_age_ns != have->keep_age_ns) ||
        (want->keep_segments != 0 && want->keep_segments != have->keep_segments))
        return SEGLOG_EMISMATCH;
    if ((want->archive_after_ns != 0 && want->archive_after_ns != have->archive_after_ns) ||
        (want->archive_level != 0 && want->archive_level != have->archive_level))
        return SEGLOG_EMISMATCH;
    return 0;
}

static_assert(IO_URING == (int)SEGLOG_IO_URING && IO_URING == (int)LIVE_ENGINE_URING,
              "one numbering for options, engines and FORMAT: live");
static_assert(IO_THREADS == (int)SEGLOG_IO_THREADS && IO_THREADS == (int)LIVE_ENGINE_THREADS,
              "one numbering for options, engines and FORMAT: live");

void log_note_engine(struct seglog_log *log)
{
    atomic_store_explicit(&log->view.live->io_engine, (uint32_t)io_engine_choice(log->io),
                          memory_order_relaxed);
}

static int open_attached(struct seglog_log *log, const struct seglog_log_options *o)
{
    int rc = settings_agree(&log->view.settings, o);

    if (rc == 0 && log->view.settings.read_only)
        rc = SEGLOG_EREADONLY;
    if (rc == 0)
        rc = log_make_owners(&log->view);
    if (rc < 0)
        return rc;
    log_view_refresh(&log->view);
    log->fence = !barrier_register();
    rc = io_engine_open(&(struct io_options){.choice = (enum io_choice)o->io}, &log->io);
    if (rc < 0)
        return rc;
    rc = attach(log, o->open_timeout_ns ? o->open_timeout_ns : OPEN_TIMEOUT_NS);
    if (rc < 0)
        return rc;
    log_note_engine(log);
    if (!log->active) {
        rc = log_find_active(log);
        if (rc < 0)
            return rc;
        log->seal_next = find_seal_next(log);
    }
    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    /* Segments that filled while nobody sealed, retention, archiving, and the deadline's timer want the
     * helper. */
    if (log->seal_next < log->active->seg->facts.number || log->evict_after_ns != 0 ||
        log->view.settings.keep_size != 0 || log->view.settings.keep_age_ns != 0 ||
        log->view.settings.keep_segments != 0 || log->view.settings.archive_after_ns != 0)
        log_ask(log, 0, true);
    return 0;
}

static struct seglog_log *log_new(const struct seglog_log_options *o)
{
    struct seglog_log *log = calloc(1, sizeof(*log));
    pthread_condattr_t attr;

    if (!log)
        return NULL;
    log->guard = fork_guard_new();
    if (!log->guard) {
        free(log);
        return NULL;
    }
    log->view = (struct log_view){.dirfd = -1, .owners_fd = -1};
    log->attach = OWNER_NONE;
    log->flags = o->flags;
    log->evict_after_ns = o->evict_after_ns;
    log->notify = o->notify;
    log->notify_context = o->notify_context;
    log->durable_fd = -1;
    log->place = (struct place_held){.owner = OWNER_NONE};
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->seal_lock, NULL);
    pthread_mutex_init(&log->sync_lock, NULL);
    pthread_mutex_init(&log->place_lock, NULL);
    pthread_mutex_init(&log->pace_lock, NULL);
    pthread_cond_init(&log->pace_stop, &attr);
    pthread_cond_init(&log->ready, NULL);
    pthread_cond_init(&log->prepare, NULL);
    pthread_cond_init(&log->work, &attr);
    pthread_cond_init(&log->archive, &attr);
    pthread_condattr_destroy(&attr);
    return log;
}

static void log_free(struct seglog_log *log)
{
    io_engine_close(log->io);
    log_table_free(log);
    file_close(log->durable_fd);
    owner_close(&log->place.owner);
    owner_close(&log->attach);
    log_view_close(&log->view);
    fork_guard_free(log->guard);
    free(log);
}

static int open_view(const char *dir, const struct seglog_log_options *o, struct log_view *view)
{
    const bool force = (o->flags & SEGLOG_LOG_FORCE_FS) != 0;
    int rc = log_view_open(dir, force, view);

    if (rc != -ENOENT || !(o->flags & SEGLOG_LOG_CREATE))
        return rc;
    rc = seglog_log_create(dir, o);
    if (rc < 0 && rc != -EEXIST)
        return rc;
    return log_view_open(dir, force, view);
}

int seglog_log_open(const char *dir, const struct seglog_log_options *options,
                    struct seglog_log **out)
{
    static const struct seglog_log_options plain;
    const struct seglog_log_options *o = options ? options : &plain;
    struct seglog_log *log;
    int rc = o->first_seq == 0 ? log_check_options(o) : -EINVAL;

    if (rc < 0)
        return rc;
    log = log_new(o);
    if (!log)
        return -ENOMEM;
    rc = open_view(dir, o, &log->view);
    if (rc == 0)
        rc = open_attached(log, o);
    if (rc < 0) {
        log_helper_stop(log);
        log_free(log);
        return rc;
    }
    *out = log;
    return 0;
}

int seglog_log_close(struct seglog_log *log)
{
    int rc;

    if (!log)
        return 0;
    if (*log->guard != 1) { /* in a forked child: neither thread nor locks are ours */
        log_free(log);
        return 0;
    }
    if (log->appenders != 0)
        return -EBUSY;
    /* The pacer first: what it does may ask for the helper, as what an appender does may. */
    rc = log_pace_stop(log);
    log_helper_stop(log);
    /* What filled up and was not sealed in time: nobody else may be there to do it. */
    if (log->view.settings.sync >= SEGLOG_SYNC_SEALED &&
        log->seal_next < log->active->seg->facts.number)
        log_seal_full(log);
    /* The next to attach in this boot need not walk over what we did. */
    log_resolve_head(log, false);
    log_place_give(log, &log->place);
    pthread_mutex_destroy(&log->lock);
    pthread_mutex_destroy(&log->seal_lock);
    pthread_mutex_destroy(&log->sync_lock);
    pthread_mutex_destroy(&log->place_lock);
    pthread_mutex_destroy(&log->pace_lock);
    pthread_cond_destroy(&log->pace_stop);
    pthread_cond_destroy(&log->ready);
    pthread_cond_destroy(&log->prepare);
    pthread_cond_destroy(&log->work);
    pthread_cond_destroy(&log->archive);
    log_free(log);
    return rc;
}

int seglog_log_recovery(const struct seglog_log *log, struct seglog_recovery *out)
{
    *out = log->recovery;
    return 0;
}
