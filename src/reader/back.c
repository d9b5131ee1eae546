/*
 * One record backward.
 *
 * Frames can be walked forward only, so a stride's frames are noted on the way from its anchor, and
 * then taken from the end of that trail. What is damaged is an entry like the others, and is reported
 * when it is stepped over.
 */
#include "reader/handle.h"

#include <errno.h>
#include <stdlib.h>

/* Frames that can begin in a stride, and one for a stretch that begins before it. */
#define TRAIL_MAX (INDEX_STRIDE / FRAME_ALIGN + 2)

static void trail_add(struct trail *trail, uint64_t offset, uint64_t seq_rel)
{
    assert(trail->count < TRAIL_MAX);
    trail->entries[trail->count++] =
        (struct trail_entry){.offset = (uint32_t)offset, .seq_rel = (uint32_t)seq_rel};
}

static void trail_add_damage(struct trail *trail, uint64_t offset, uint64_t seq_rel, uint64_t lost)
{
    trail_add(trail, offset, seq_rel);
    trail->entries[trail->count - 1].is_damage = 1;
    trail->entries[trail->count - 1].lost = (uint32_t)lost;
}

/* Bad bytes at scan->at: note them, and go on behind them if that is before the place. */
static int trail_pass(struct trail *trail, struct held *held, struct scan *scan,
                      const struct place *place)
{
    const uint64_t offset = scan->at, seq_rel = scan->seq_rel;
    uint64_t lost;
    const int rc = held_resync(held, scan, &lost);

    if (rc < 0)
        return rc;
    if (rc == 0) {
        lost = place->seq_rel > seq_rel ? place->seq_rel - seq_rel : 0;
        scan->at = place->at;
        scan->seq_rel = place->seq_rel;
    }
    trail_add_damage(trail, offset, seq_rel, lost);
    return 0;
}

/* Note the frames from the last anchor before the place up to it. */
static int trail_fill(struct trail *trail, struct held *held, const struct place *place)
{
    const struct anchor *anchor = sparse_by_offset(&held->sparse, place->at);
    struct scan scan;

    trail->held = NULL;
    trail->count = 0;
    trail->from = anchor ? anchor->offset : OFF_FRAMES;
    trail->from_seq_rel = anchor ? anchor->seq_rel : 0;
    trail->upto = place->at;
    scan = held_scan(held, trail->from, trail->from_seq_rel, false);
    scan.end = place->at;
    while (scan.at < place->at) {
        const uint64_t offset = scan.at, seq_rel = scan.seq_rel;
        struct scan_frame frame;
        int rc = held_scan_next(held, &scan, &frame);

        if (rc == 1 && frame.facts.state == WORD_DATA)
            trail_add(trail, offset, seq_rel);
        if (rc == 0 && frame.facts.state == WORD_ROLL)
            break;
        if (rc == 0 || rc == SEGLOG_ECORRUPT)
            rc = trail_pass(trail, held, &scan, place);
        if (rc < 0)
            return rc;
        if (trail->count >= TRAIL_MAX - 1)
            break;
    }
    trail->next = trail->count;
    trail->held = held;
    return 0;
}

static bool trail_covers(const struct trail *trail, const struct place *place)
{
    return trail->held == place->held && place->at > trail->from && place->at <= trail->upto;
}

/* Going backward it is the one before that of last time; after steps forward it is looked for. */
static const struct trail_entry *entry_before(struct trail *trail, uint64_t at)
{
    while (trail->next < trail->count && trail->entries[trail->next].offset < at)
        trail->next++;
    while (trail->next > 0 && trail->entries[trail->next - 1].offset >= at)
        trail->next--;
    return trail->next > 0 ? &trail->entries[trail->next - 1] : NULL;
}

/* The entry before the place in its segment; NULL: the place has moved back to where the trail began. */
static int trail_last(struct seglog_reader *r, const struct trail_entry **out)
{
    struct trail *trail = &r->trail;
    struct held *held = r->place.held;

    *out = NULL;
    if (!trail->entries) {
        trail->entries = malloc(TRAIL_MAX * sizeof(*trail->entries));
        if (!trail->entries)
            return -ENOMEM;
    }
    if (!trail_covers(trail, &r->place)) {
        int rc = anchors_cover(held, r->place.at);

        if (rc == 0)
            rc = trail_fill(trail, held, &r->place);
        if (rc < 0)
            return rc;
    }
    *out = entry_before(trail, r->place.at);
    if (*out)
        return 0;
    r->place.at = trail->from;
    r->place.seq_rel = trail->from_seq_rel;
    return 0;
}

/* Step back over one entry. 1 a record of ours, 0 another, or damage. */
static int entry_take(struct seglog_reader *r, const struct trail_entry *entry,
                      struct scan_frame *frame)
{
    struct held *held = r->place.held;
    const uint64_t number = held->seg->facts.number;
    const uint64_t seq = held->base_seq + entry->seq_rel;
    const struct place place = {.at = entry->offset, .seq_rel = entry->seq_rel};
    struct scan scan;
    int rc;

    if (entry->is_damage) {
        r->place.at = entry->offset;
        r->place.seq_rel = entry->seq_rel;
        return reader_report(r, SEGLOG_ECORRUPT, number, entry->offset, seq, seq + entry->lost - 1,
                             "frames do not check out");
    }
    rc = held_look_at(r, held, &place, &scan, frame);
    if (rc < 0 && rc != SEGLOG_ECORRUPT)
        return reader_failed(r, rc, number, entry->offset);
    r->place.at = entry->offset;
    r->place.seq_rel = entry->seq_rel;
    if (rc != 1 || frame->facts.state != WORD_DATA)
        return reader_report(r, SEGLOG_ECORRUPT, number, entry->offset, seq, seq,
                             rc == SEGLOG_ECORRUPT ? scan.why : "frame has changed");
    return !(r->flags & SEGLOG_READER_TAG) || frame->frame.tag == r->tag;
}

/* The segment's beginning is reached, or there is no segment. */
static int back_over(struct seglog_reader *r)
{
    return r->place.held ? path_back(r) : -ENODATA;
}

int back_record(struct seglog_reader *r, struct scan_frame *frame)
{
    for (;;) {
        const struct trail_entry *entry;
        struct held *held = r->place.held;
        int rc;

        if (held && r->place.at > OFF_FRAMES && !held_may_have_tag(r, held))
            place_at_start(&r->place, held);
        if (!held || r->place.at <= OFF_FRAMES) {
            rc = back_over(r);
            if (rc < 0)
                return rc;
            continue;
        }
        rc = trail_last(r, &entry);
        if (rc < 0)
            return reader_failed(r, rc, held->seg->facts.number, r->place.at);
        if (!entry)
            continue;
        rc = entry_take(r, entry, frame);
        if (rc != 0)
            return rc;
    }
}
