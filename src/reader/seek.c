/*
 * Places by number, by count from the end, and at the ends.
 *
 * Only sealed segments are searched. From the last seal on all is walked, because whether a later
 * segment belongs to the log depends on where the walk stops: beyond a cut that a recovery has still
 * to make there may be segments that look perfectly good. What is known of the sealed ones, and how
 * little of it has to be read again, is in index/catalog.h.
 */
#include "reader/handle.h"

#include <errno.h>

/* ---- finding a segment ---------------------------------------------------------------------- */

int seek_refresh(struct seglog_reader *r, struct place *first)
{
    const int rc = path_first(r, first);

    return rc < 0 ? rc : catalog_refresh(&r->catalog, r->view.dirfd, first->number);
}

int seek_look(struct seglog_reader *r, size_t i, struct catalog_facts *out)
{
    const struct catalog_entry *entry = &r->catalog.entries[i];
    struct activation_facts act;
    struct footer_facts footer;
    bool sealed = false;
    int rc;

    *out = entry->facts;
    if (out->sealed)
        return 0;
    rc = path_peek(r, entry->number, &act, &footer, &sealed);
    if (rc < 0)
        return rc;
    *out = (struct catalog_facts){.base_seq = act.base_seq, .epoch = act.epoch};
    if (sealed && footer.base_seq == act.base_seq) {
        out->sealed = true;
        out->next_seq = footer.next_seq;
        out->log_max_time = footer.log_max_time;
        catalog_learn(&r->catalog, i, out);
    }
    return 0;
}

int seek_tail(struct seglog_reader *r, size_t *sealed)
{
    for (size_t i = r->catalog.count; i-- > 0;) {
        struct catalog_facts facts;

        if (seek_look(r, i, &facts) != 0 || !facts.sealed)
            continue;
        if (path_to(r, r->catalog.entries[i].number) != 0 || !r->place.held->sealed)
            continue;
        place_at_end(&r->place, r->place.held);
        *sealed = i + 1;
        return 0;
    }
    *sealed = 0;
    return path_first(r, &r->place);
}

/*
 * As seek_tail(), but nearer to the end if that is allowed: while writers of this boot vouch for the
 * log no cut is pending, so that the newest active segment is part of it, and the walk may begin
 * there. *before: how many segments of the catalog come before it.
 */
static int seek_newest(struct seglog_reader *r, size_t *before)
{
    log_view_refresh(&r->view);
    for (size_t i = r->catalog.count; i-- > 0 && log_view_is_live(&r->view);) {
        struct catalog_facts facts;

        if (seek_look(r, i, &facts) != 0)
            continue; /* a spare */
        if (path_to(r, r->catalog.entries[i].number) != 0 || r->place.held->sealed ||
            segment_boot_relation(r->place.held->seg, &r->view.boot) != BOOT_SAME)
            break;
        place_at_start(&r->place, r->place.held);
        *before = i;
        return 0;
    }
    return seek_tail(r, before);
}

static bool begins_behind(void *context, size_t i, uint64_t seq)
{
    struct catalog_facts facts;

    return seek_look(context, i, &facts) != 0 || facts.base_seq > seq;
}

static bool is_later_epoch(void *context, size_t i, uint64_t epoch)
{
    struct catalog_facts facts;

    return seek_look(context, i, &facts) != 0 || facts.epoch > epoch;
}

/* ---- walking -------------------------------------------------------------------------------- */

int walk(struct seglog_reader *r, struct scan_frame *frame)
{
    const struct place before = r->place;
    const int rc = step(r, frame);

    if (rc != SEGLOG_ECORRUPT && rc != SEGLOG_EMISSING)
        return rc;
    return memcmp(&before, &r->place, sizeof(before)) != 0 ? 2 : -EAGAIN;
}

/* At the beginning of an unsealed segment: frames before a mark or checkpoint need no look. */
static void skip_to_hint(struct seglog_reader *r)
{
    struct held *held = r->place.held;
    struct mark_facts mark;
    uint64_t word;

    if (segment_mark(held->seg, &mark) == 0 && mark.offset <= held->gate) {
        r->place.at = mark.offset;
        r->place.seq_rel = mark.seq_rel;
    }
    if (!held->seg->base || segment_boot_relation(held->seg, &r->view.boot) != BOOT_SAME)
        return;
    word = checkpoint_load(segment_tail(held->seg), &held->seg->facts.space);
    if (word != 0 && tail_offset(word) > r->place.at && tail_offset(word) <= held->gate) {
        r->place.at = tail_offset(word);
        r->place.seq_rel = tail_seq_rel(word);
    }
}

/* How many frames past the end that was there at the call a walk goes on: the writers' word on it may
 * lag by some, and a log that grows as fast as we walk would never be caught up with. */
#define CHASE_FRAMES 65536u

/* The end as its writers see it now. */
static uint64_t end_now(const struct seglog_reader *r)
{
    const struct held *held = r->place.held;

    if (!held || held->sealed || !held->seg->base)
        return UINT64_MAX;
    return held->base_seq +
           tail_seq_rel(word_load(&segment_tail(held->seg)->tail, memory_order_relaxed));
}

int seek_end(struct seglog_reader *r)
{
    struct place first;
    size_t before;
    uint64_t stop;
    unsigned chased = 0;
    int rc = seek_refresh(r, &first);

    if (rc < 0)
        return rc;
    rc = seek_newest(r, &before);
    stop = end_now(r);
    while (rc >= 0 && chased < CHASE_FRAMES) {
        struct scan_frame frame;

        if (r->place.held && r->place.at == OFF_FRAMES && !r->place.held->sealed)
            skip_to_hint(r);
        rc = walk(r, &frame);
        chased += place_seq(&r->place) >= stop;
    }
    return rc == -EAGAIN || rc > 0 ? 0 : rc;
}

/* Forward to `seq`, or to the next number that is a record. */
static int walk_to(struct seglog_reader *r, uint64_t seq)
{
    for (;;) {
        const struct place before = r->place;
        struct scan_frame frame;
        int rc;

        if (place_seq(&before) >= seq)
            return 0;
        rc = walk(r, &frame);
        if (rc < 0)
            return rc == -EAGAIN ? -ERANGE : rc;
        if (rc == 2 && place_seq(&r->place) > seq) {
            r->place = before; /* next() will tell that it is lost */
            return 0;
        }
    }
}

/* Inside a segment its anchors save most of the walk. */
static void skip_by_anchor(struct seglog_reader *r, uint64_t seq)
{
    struct held *held = r->place.held;

    if (!held || place_seq(&r->place) >= seq || r->place.at != OFF_FRAMES || !anchors_ready(held))
        return;
    anchors_skip(&r->place, sparse_by_seq(&held->sparse, seq - held->base_seq));
    if (!held->sealed)
        r->newest = held;
}

/* ---- by number ------------------------------------------------------------------------------ */

/* The first segment of a later epoch begins at the cut. */
int seek_cut(struct seglog_reader *r, uint64_t epoch, uint64_t *seq)
{
    const size_t count = r->catalog.count;
    struct catalog_facts facts;

    for (size_t i = catalog_first(count, is_later_epoch, r, epoch); i < count; i++) {
        if (seek_look(r, i, &facts) != 0 || facts.epoch <= epoch)
            continue;
        *seq = facts.base_seq;
        return 1;
    }
    return 0;
}

/* Was what `place` names cut off? */
static int check_epoch(struct seglog_reader *r, const struct seglog_place *place)
{
    uint64_t cut;

    if (!place->check_epoch || seek_cut(r, place->epoch, &cut) == 0)
        return 0;
    return cut < place->value ? SEGLOG_EREWOUND : 0;
}

/* To a place at or before the number, as near as can be had without walking. */
static int seek_near(struct seglog_reader *r, uint64_t seq)
{
    const struct catalog *catalog = &r->catalog;
    size_t before = catalog->sealed, i;

    /* What is sealed already may have it; else the end has to be looked for. */
    if (before == 0 || catalog->entries[before - 1].facts.next_seq <= seq) {
        const int rc = seek_newest(r, &before);

        if (rc < 0)
            return rc;
        if (place_seq(&r->place) <= seq) {
            skip_by_anchor(r, seq);
            return 0;
        }
    }
    for (i = catalog_first(before, begins_behind, r, seq); i > 0; i--) {
        if (path_to(r, catalog->entries[i - 1].number) == 0) {
            skip_by_anchor(r, seq);
            return 0;
        }
    }
    return path_first(r, &r->place);
}

static int seek_seq(struct seglog_reader *r, const struct seglog_place *place)
{
    struct place first;
    int rc = seek_refresh(r, &first);

    if (rc < 0)
        return rc;
    if (place->value < first.seq)
        return SEGLOG_ETRIMMED;
    rc = check_epoch(r, place);
    if (rc == 0)
        rc = seek_near(r, place->value);
    if (rc < 0)
        return rc;
    if (place_seq(&r->place) > place->value)
        return SEGLOG_ETRIMMED; /* just now */
    return walk_to(r, place->value);
}

/* ---- by count ------------------------------------------------------------------------------- */

/* All records of the sealed segment whose end we stand at, or 0 when they must be counted. */
static uint64_t records_at_once(const struct seglog_reader *r)
{
    const struct held *held = r->place.held;

    if (!held || !held->sealed || held->footer_lost || r->place.at != held->end ||
        (r->flags & SEGLOG_READER_TAG))
        return 0;
    return held->footer.record_count;
}

/* One record back, or something else. 1, 0; -ENODATA: nothing is before */
static int walk_back(struct seglog_reader *r)
{
    const struct place before = r->place;
    struct scan_frame frame;
    const int rc = before.held && before.at == OFF_FRAMES ? path_back(r) : back_record(r, &frame);

    if (rc == SEGLOG_ETRIMMED)
        return -ENODATA;
    if (rc != SEGLOG_ECORRUPT && rc != SEGLOG_EMISSING)
        return rc;
    return memcmp(&before, &r->place, sizeof(before)) != 0 ? 0 : -ENODATA;
}

static int seek_back(struct seglog_reader *r, uint64_t n)
{
    int rc = seek_end(r);

    while (rc >= 0 && n > 0) {
        const uint64_t records = records_at_once(r);

        if (records > 0 && records <= n) {
            place_at_start(&r->place, r->place.held);
            n -= records;
            continue;
        }
        rc = walk_back(r);
        n -= rc == 1;
    }
    return rc == -ENODATA || rc > 0 ? 0 : rc; /* fewer than n: the first */
}

/* ---- all places ----------------------------------------------------------------------------- */

int seek_place(struct seglog_reader *r, const struct seglog_place *place)
{
    struct scan_frame frame;
    struct place first;
    int rc;

    probe_reset(r);
    switch (place->kind) {
    case SEGLOG_PLACE_FIRST:
        rc = path_first(r, &first);
        if (rc < 0)
            return rc;
        /* Enter the segment if it is there; if not, or if it is damaged, next() will say so. */
        r->place = first;
        if (step(r, &frame) != 0)
            r->place = first;
        return 0;
    case SEGLOG_PLACE_LAST:
        return seek_back(r, 1);
    case SEGLOG_PLACE_END:
        return seek_end(r);
    case SEGLOG_PLACE_SEQ:
        return seek_seq(r, place);
    case SEGLOG_PLACE_BACK:
        return seek_back(r, place->value);
    case SEGLOG_PLACE_TIME:
        return find_time(r, place->value);
    default:
        return -EINVAL;
    }
}
