/*
 * A walk over a whole log. See walk.h.
 */
#include "walk.h"

#include "signals.h"

#include <errno.h>

#define BATCH_RECORDS 256

int walk_open(struct walk *walk, const char *doing)
{
    const struct seglog_reader_options how = {.flags = walk->flags};
    int rc = seglog_settings_read(walk->dir, &walk->settings);

    walk->meter = meter_begin(walk->cli, doing, walk->dir);
    if (rc == 0)
        rc = seglog_reader_open(walk->dir, &how, &walk->reader);
    if (rc < 0)
        return rc;
    rc = seglog_reader_bounds(walk->reader, &walk->first_seq, &walk->end_seq);
    if (rc < 0) {
        walk->end_seq = UINT64_MAX;
        rc = seglog_reader_position(walk->reader, &walk->first_seq, NULL);
    }
    walk->next_seq = walk->first_seq;
    return rc;
}

void walk_close(struct walk *walk)
{
    seglog_reader_close(walk->reader);
    walk->reader = NULL;
}

static bool is_again(const struct walk *walk, const struct seglog_damage *damage)
{
    return walk->has_last && walk->last.segment == damage->segment &&
           walk->last.offset == damage->offset && walk->last.first_seq == damage->first_seq;
}

/* What the reader gave instead of records. returns 0 to go on, 1 at the end, or a status */
static int trouble(struct walk *walk, int status)
{
    static const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct seglog_damage damage;

    if (status == -EAGAIN)
        return 1;
    if (status != SEGLOG_ECORRUPT && status != SEGLOG_EMISSING && status != SEGLOG_ETRIMMED)
        return status;
    if (seglog_reader_damage(walk->reader, &damage) < 0)
        return status;
    if (is_again(walk, &damage))
        return 1; /* there is no way past it */
    walk->last = damage;
    walk->has_last = true;
    if (damage.first_seq <= damage.last_seq && damage.first_seq >= walk->end_seq)
        return 1;
    if (damage.last_seq >= walk->end_seq)
        damage.last_seq = walk->end_seq - 1;
    meter_clear(&walk->meter);
    walk->lost(walk->context, &damage);
    return status == SEGLOG_ETRIMMED ? seglog_reader_seek(walk->reader, &first) : 0;
}

/* returns 0, 1 at the end, or a status */
static int hand_on(struct walk *walk, const struct seglog_view *views, int n)
{
    for (int i = 0; i < n; i++) {
        int rc;

        if (views[i].seq >= walk->end_seq)
            return 1;
        rc = walk->put(walk->context, &views[i]);
        if (rc < 0) {
            walk->is_theirs = true;
            return rc;
        }
    }
    return 0;
}

static int walk_step(struct walk *walk)
{
    struct seglog_view views[BATCH_RECORDS];
    int n, rc, settled;

    seglog_reader_position(walk->reader, &walk->next_seq, NULL);
    if (walk->next_seq >= walk->end_seq)
        return 1;
    n = seglog_reader_batch(walk->reader, views, BATCH_RECORDS);
    rc = n < 0 ? trouble(walk, n) : hand_on(walk, views, n);
    settled = walk->settle(walk->context);
    seglog_reader_release(walk->reader);
    if (settled < 0 && rc >= 0) {
        walk->is_theirs = true;
        rc = settled;
    }
    if (walk->end_seq != UINT64_MAX)
        meter_show(&walk->meter, walk->next_seq - walk->first_seq, walk->end_seq - walk->first_seq);
    return rc;
}

int walk_run(struct walk *walk)
{
    int rc = 0;

    while (rc == 0 && !signals_stopped())
        rc = walk_step(walk);
    meter_clear(&walk->meter);
    if (rc < 0 || signals_stopped())
        return rc < 0 ? rc : 0;
    /* Numbers at the end that nobody has, or that are lost, are not to be given again. */
    seglog_reader_position(walk->reader, &walk->next_seq, NULL);
    if (walk->end_seq != UINT64_MAX)
        walk->next_seq = walk->end_seq;
    return 0;
}
