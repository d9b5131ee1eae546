/*
 * A crowd of producers and followers. See crowd.h.
 */
#include "stress/crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/handle.h"
#include "sys/clock.h"

#define MS        UINT64_C(1000000)
#define PATIENCE  (60000 * MS) /* somebody may recover the log on a disk that is busy */
#define BATCH     8u
#define LEN_MAX   400u
#define LEN_HUGE  16000u
#define STAMP_MIN sizeof(struct stamp)

/* What a record begins with; the rest of it repeats one byte that follows from these. */
struct stamp {
    uint32_t writer;
    uint32_t index;
};

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void stamp_put(void *to, size_t len, uint32_t writer, uint32_t index)
{
    const struct stamp stamp = {writer, index};

    memcpy(to, &stamp, sizeof(stamp));
    memset((uint8_t *)to + sizeof(stamp), (int)((writer * 31 + index) & 0xff), len - sizeof(stamp));
}

static bool stamp_check(const void *data, uint64_t len, struct stamp *out)
{
    const uint8_t *bytes = data;

    if (len < sizeof(*out))
        return false;
    memcpy(out, data, sizeof(*out));
    for (uint64_t i = sizeof(*out); i < len; i++) {
        if (bytes[i] != ((out->writer * 31 + out->index) & 0xff))
            return false;
    }
    return true;
}

bool crowd_record(const struct seglog_view *view, uint32_t *writer, uint32_t *index)
{
    struct stamp stamp;

    if (!stamp_check(view->data, view->len, &stamp) || stamp.writer >= CROWD_WRITERS)
        return false;
    *writer = stamp.writer;
    *index = stamp.index;
    return true;
}

/* ---- writers ---------------------------------------------------------------------------------- */

struct writing {
    const struct crowd_writer *w;
    struct seglog_appender *ap;
    uint64_t random;
    uint32_t index;
    uint64_t last_seq;
    bool any;
    uint8_t bytes[BATCH][LEN_MAX];
    uint8_t huge[LEN_HUGE];
};

static size_t some_len(struct writing *g)
{
    return STAMP_MIN + next_random(&g->random) % (LEN_MAX - STAMP_MIN);
}

static void raise_durable(struct crowd *crowd, uint64_t to)
{
    uint64_t now = atomic_load(&crowd->durable);

    while (now < to && !atomic_compare_exchange_weak(&crowd->durable, &now, to))
        ;
}

/* n records from `seq` on are published: nobody else may have got these numbers. */
static int published(struct writing *g, uint64_t seq, uint32_t n)
{
    struct crowd *crowd = g->w->crowd;

    if (g->any && seq <= g->last_seq) {
        fprintf(stderr, "writer %u: number %llu after %llu\n", g->w->id, (unsigned long long)seq,
                (unsigned long long)g->last_seq);
        return -ERANGE;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t mine = (uint64_t)g->w->id << 32 | (g->index + 1);

        if (seq + i < CROWD_NUMBERS && atomic_exchange(&crowd->written[seq + i], mine) != 0) {
            fprintf(stderr, "writer %u: number %llu was given twice\n", g->w->id,
                    (unsigned long long)(seq + i));
            return -EEXIST;
        }
        g->index++;
    }
    atomic_store(&crowd->count[g->w->id], g->index);
    if (g->w->sync == SEGLOG_SYNC_RECORD)
        raise_durable(crowd, seq + n);
    g->last_seq = seq + n - 1;
    g->any = true;
    return 0;
}

static int write_copy(struct writing *g)
{
    const size_t len = some_len(g);
    uint64_t seq;
    int rc;

    stamp_put(g->bytes[0], len, g->w->id, g->index);
    rc = seglog_appender_append(g->ap, g->bytes[0], len, &seq);
    return rc < 0 ? rc : published(g, seq, 1);
}

static int write_huge(struct writing *g)
{
    const struct seglog_record record = {.data = g->huge, .len = LEN_HUGE, .tag = 7, .time_ns = 1};
    uint64_t seq;
    int rc;

    stamp_put(g->huge, LEN_HUGE, g->w->id, g->index);
    rc = seglog_appender_append_record(g->ap, &record, &seq);
    return rc < 0 ? rc : published(g, seq, 1);
}

static int write_gathered(struct writing *g)
{
    const size_t len = some_len(g), half = len / 3;
    struct iovec iov[2] = {{g->bytes[0], half}, {g->bytes[0] + half, len - half}};
    uint64_t seq;
    int rc;

    stamp_put(g->bytes[0], len, g->w->id, g->index);
    rc = seglog_appender_appendv(g->ap, iov, 2, 0, 9, &seq);
    return rc < 0 ? rc : published(g, seq, 1);
}

static int write_batch(struct writing *g)
{
    const uint32_t n = 1 + next_random(&g->random) % BATCH;
    struct seglog_record records[BATCH];
    uint64_t seq;
    int rc;

    for (uint32_t i = 0; i < n; i++) {
        records[i] = (struct seglog_record){.data = g->bytes[i], .len = some_len(g)};
        stamp_put(g->bytes[i], records[i].len, g->w->id, g->index + i);
    }
    rc = seglog_appender_append_batch(g->ap, records, n, &seq);
    return rc < 0 ? rc : published(g, seq, n);
}

static void dawdle(struct writing *g)
{
    if (g->w->dawdles && next_random(&g->random) % 50 == 0)
        clock_sleep_ns(next_random(&g->random) % (2 * MS));
}

static int write_in_place(struct writing *g, bool gives_up)
{
    const size_t room = some_len(g);
    const size_t len = STAMP_MIN + next_random(&g->random) % (room - STAMP_MIN + 1);
    struct seglog_claim claim;
    int rc = seglog_appender_claim(g->ap, room, &claim);

    if (rc < 0)
        return rc;
    memset(claim.data, 0xee, room);
    stamp_put(claim.data, len, g->w->id, g->index);
    dawdle(g);
    if (gives_up) {
        atomic_fetch_add(&g->w->crowd->aborted, 1);
        return seglog_appender_abort(g->ap);
    }
    rc = seglog_appender_commit(g->ap, &claim, len);
    return rc < 0 ? rc : published(g, claim.seq, 1);
}

static int write_batch_in_place(struct writing *g)
{
    const uint32_t n = 1 + next_random(&g->random) % BATCH;
    const uint32_t k = next_random(&g->random) % (n + 1);
    struct seglog_claim claims[BATCH];
    size_t lens[BATCH];
    int rc;

    for (uint32_t i = 0; i < n; i++)
        lens[i] = some_len(g);
    rc = seglog_appender_claim_batch(g->ap, lens, n, claims);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < k; i++)
        stamp_put(claims[i].data, lens[i], g->w->id, g->index + i);
    dawdle(g);
    atomic_fetch_add(&g->w->crowd->aborted, n - k);
    rc = seglog_appender_commit_batch(g->ap, claims, k);
    return rc < 0 || k == 0 ? rc : published(g, claims[0].seq, k);
}

static int write_somehow(struct writing *g)
{
    switch (next_random(&g->random) % 16) {
    case 0:
    case 1:
        return write_batch(g);
    case 2:
    case 3:
        return write_in_place(g, false);
    case 4:
        return write_in_place(g, true);
    case 5:
        return write_batch_in_place(g);
    case 6:
    case 7:
        return write_gathered(g);
    case 8:
        return next_random(&g->random) % 64 == 0 ? write_huge(g) : write_copy(g);
    default:
        return write_copy(g);
    }
}

int crowd_write_on(struct seglog_log *log, const struct crowd_writer *w)
{
    const struct seglog_appender_options options = {
        .mode = w->mode, .clock = w->id % 2, .sync = w->sync};
    struct writing *g = calloc(1, sizeof(*g));
    int rc = -ENOMEM;

    if (!g)
        return rc;
    g->w = w;
    g->random = w->id * 77 + 1;
    rc = seglog_appender_open(log, &options, &g->ap);
    while (rc == 0 && g->index < w->records)
        rc = write_somehow(g);
    if (g->ap)
        seglog_appender_close(g->ap);
    free(g);
    return rc;
}

int crowd_write(struct child *parent, void *arg)
{
    const struct crowd_writer *w = arg;
    const struct seglog_log_options options = {.flags = w->flags, .open_timeout_ns = PATIENCE};
    struct seglog_log *log;

    (void)parent;
    child_must(seglog_log_open(w->crowd->dir, &options, &log));
    child_must(crowd_write_on(log, w));
    child_must(seglog_log_close(log));
    return 0;
}

int crowd_drop(struct child *parent, void *arg)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .open_timeout_ns = PATIENCE};
    struct crowd *crowd = arg;
    struct seglog_log *log;

    child_must(seglog_log_open(crowd->dir, &options, &log));
    child_say(parent, 'r');
    while (!atomic_load(&crowd->done)) {
        struct segment_list list;
        int rc;

        child_must(segment_list_read(log->view.dirfd, &list));
        rc = list.count > crowd->segments_kept ? log_drop_oldest(log) : -EBUSY;
        segment_list_free(&list);
        if (rc == -EBUSY || rc == -ENOENT)
            clock_sleep_ns(MS);
        else
            child_must(rc);
        if (rc == 0)
            atomic_fetch_add(&crowd->dropped, 1);
    }
    child_must(seglog_log_close(log));
    return 0;
}

/* ---- followers -------------------------------------------------------------------------------- */

struct following {
    struct crowd_follower *f;
    struct seglog_reader *reader;
    uint64_t next_seq;
    bool lost_track; /* retention was faster: gaps say nothing for a while */
    uint32_t next_index[CROWD_WRITERS];
};

static int saw(struct following *g, const struct seglog_view *view)
{
    struct crowd *crowd = g->f->crowd;
    struct stamp stamp;

    if (view->seq < g->next_seq || !stamp_check(view->data, view->len, &stamp) ||
        stamp.writer >= CROWD_WRITERS) {
        fprintf(stderr, "follower %u: record %llu (expected %llu or later) is not as written\n",
                g->f->id, (unsigned long long)view->seq, (unsigned long long)g->next_seq);
        return -EBADMSG;
    }
    if (stamp.index < g->next_index[stamp.writer] ||
        (stamp.index > g->next_index[stamp.writer] &&
         atomic_load(&crowd->seen[g->f->id].trimmed) == 0)) {
        fprintf(stderr, "follower %u: record %llu is writer %u's %u, not %u\n", g->f->id,
                (unsigned long long)view->seq, stamp.writer, stamp.index,
                g->next_index[stamp.writer]);
        return -EBADMSG;
    }
    if (!g->lost_track)
        atomic_fetch_add(&crowd->seen[g->f->id].voids, view->seq - g->next_seq);
    g->lost_track = false;
    g->next_index[stamp.writer] = stamp.index + 1;
    g->next_seq = view->seq + 1;
    atomic_fetch_add(&crowd->seen[g->f->id].records, 1);
    return 0;
}

/* 0 go on; 1 the end; or what went wrong. */
static int follow_on(struct following *g)
{
    struct crowd *crowd = g->f->crowd;
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    const bool done = atomic_load(&crowd->done);
    struct seglog_view views[32];
    uint64_t next;
    int rc = seglog_reader_wait(g->reader, 20 * MS);

    if (rc == -ETIMEDOUT) {
        seglog_reader_position(g->reader, &next, NULL);
        if (!done || next != atomic_load(&crowd->end))
            return 0;
        if (!g->lost_track)
            atomic_fetch_add(&crowd->seen[g->f->id].voids, next - g->next_seq);
        return 1;
    }
    if (rc < 0)
        return rc;
    rc = seglog_reader_batch(g->reader, views, 32);
    for (int i = 0; i < rc; i++) {
        const int bad = saw(g, &views[i]);
        if (bad < 0)
            return bad;
    }
    seglog_reader_release(g->reader);
    if (rc == SEGLOG_ETRIMMED && crowd->segments_kept != 0) {
        atomic_fetch_add(&crowd->seen[g->f->id].trimmed, 1);
        g->lost_track = true;
        rc = seglog_reader_seek(g->reader, &first);
        return rc == SEGLOG_ETRIMMED ? 0 : rc;
    }
    return rc == -EAGAIN || rc > 0 ? 0 : rc;
}

int crowd_follow(struct child *parent, void *arg)
{
    struct following *g = calloc(1, sizeof(*g));
    int rc;

    if (!g)
        return 1;
    g->f = arg;
    child_must(seglog_reader_open(g->f->crowd->dir, &g->f->options, &g->reader));
    child_say(parent, 'r');
    do {
        rc = follow_on(g);
    } while (rc == 0);
    if (rc < 0) {
        struct seglog_damage damage = {0};

        seglog_reader_damage(g->reader, &damage);
        fprintf(stderr, "follower %u: segment %llu offset %llu: %s\n", g->f->id,
                (unsigned long long)damage.segment, (unsigned long long)damage.offset,
                damage.cause);
    }
    child_must(rc);
    seglog_reader_close(g->reader);
    free(g);
    return 0;
}
