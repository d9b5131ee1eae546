/*
 * Places by number, by count from the end, and at the ends.
 *
 * Only sealed segments are searched. The unsealed ones are walked from the last seal on, because
 * whether a later segment belongs to the log depends on where the walk stops: beyond a cut that a
 * recovery has still to make there may be segments that look perfectly good.
 */
#include "reader/handle.h"

#include <errno.h>

/* ---- finding a segment ---------------------------------------------------------------------- */

int seek_list(struct seglog_reader *r, struct segment_list *out)
{
    struct floor_facts floor;
    struct segment_list list;
    size_t kept = 0;
    int rc = log_view_floor(&r->view, &floor);

    if (rc < 0)
        return rc;
    rc = segment_list_read(r->view.dirfd, &list);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < list.count; i++)
        if (list.numbers[i] >= floor.number)
            list.numbers[kept++] = list.numbers[i];
    list.count = kept;
    *out = list;
    return 0;
}

size_t seek_first(struct seglog_reader *r, const struct segment_list *list, size_t n,
                  seek_test *test, uint64_t sought)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (test(r, list->numbers[middle], sought))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int seek_tail(struct seglog_reader *r, const struct segment_list *list, size_t *sealed)
{
    for (size_t i = list->count; i-- > 0;) {
        struct footer_facts footer;
        struct activation_facts act;
        bool is_sealed = false;

        if (path_peek(r, list->numbers[i], &act, &footer, &is_sealed) != 0 || !is_sealed)
            continue;
        if (path_to(r, list->numbers[i]) != 0 || !r->place.held->sealed)
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
 * there. *before: how many segments of the list come before it.
 */
static int seek_newest(struct seglog_reader *r, const struct segment_list *list, size_t *before)
{
    log_view_refresh(&r->view);
    for (size_t i = list->count; i-- > 0 && log_view_is_live(&r->view);) {
        struct activation_facts act;

        if (path_peek(r, list->numbers[i], &act, NULL, NULL) != 0)
            continue; /* a spare */
        if (path_to(r, list->numbers[i]) != 0 || r->place.held->sealed ||
            segment_boot_relation(r->place.held->seg, &r->view.boot) != BOOT_SAME)
            break;
        place_at_start(&r->place, r->place.held);
        *before = i;
        return 0;
    }
    return seek_tail(r, list, before);
}

static bool begins_behind(struct seglog_reader *r, uint64_t number, uint64_t seq)
{
    struct activation_facts act;

    return path_peek(r, number, &act, NULL, NULL) != 0 || act.base_seq > seq;
}

static bool is_later_epoch(struct seglog_reader *r, uint64_t number, uint64_t epoch)
{
    struct activation_facts act;

    return path_peek(r, number, &act, NULL, NULL) != 0 || act.epoch > epoch;
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
    struct segment_list list;
    size_t before;
    uint64_t stop;
    unsigned chased = 0;
    int rc = seek_list(r, &list);

    if (rc < 0)
        return rc;
    rc = seek_newest(r, &list, &before);
    segment_list_free(&list);
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

/* Inside a sealed segment the index saves most of the walk. */
static void skip_by_anchor(struct seglog_reader *r, uint64_t seq)
{
    struct held *held = r->place.held;
    size_t low = 0, high;

    if (!held || !held->sealed || place_seq(&r->place) >= seq || r->place.at != OFF_FRAMES ||
        anchors_cover(held, UINT64_MAX) < 0)
        return;
    high = held->anchor_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (held->base_seq + held->anchors[middle].seq_rel <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        r->place.at = held->anchors[low - 1].offset;
        r->place.seq_rel = held->anchors[low - 1].seq_rel;
    }
}

/* ---- by number ------------------------------------------------------------------------------ */

/* Was what `place` names cut off? The first segment of a later epoch begins at the cut. */
static int check_epoch(struct seglog_reader *r, const struct segment_list *list,
                       const struct seglog_place *place)
{
    struct activation_facts act;
    size_t i;

    if (!place->check_epoch)
        return 0;
    for (i = seek_first(r, list, list->count, is_later_epoch, place->epoch); i < list->count; i++) {
        if (path_peek(r, list->numbers[i], &act, NULL, NULL) == 0 && act.epoch > place->epoch)
            return act.base_seq < place->value ? SEGLOG_EREWOUND : 0;
    }
    return 0;
}

/* To a place at or before the number, as near as can be had without walking. */
static int seek_near(struct seglog_reader *r, const struct segment_list *list, uint64_t seq)
{
    size_t before, i;
    int rc = seek_newest(r, list, &before);

    if (rc < 0 || place_seq(&r->place) <= seq)
        return rc;
    for (i = seek_first(r, list, before, begins_behind, seq); i > 0; i--) {
        if (path_to(r, list->numbers[i - 1]) == 0) {
            skip_by_anchor(r, seq);
            return 0;
        }
    }
    return path_first(r, &r->place);
}

static int seek_seq(struct seglog_reader *r, const struct seglog_place *place)
{
    struct segment_list list;
    struct place first;
    int rc = path_first(r, &first);

    if (rc < 0)
        return rc;
    if (place->value < first.seq)
        return SEGLOG_ETRIMMED;
    rc = seek_list(r, &list);
    if (rc < 0)
        return rc;
    rc = check_epoch(r, &list, place);
    if (rc == 0)
        rc = seek_near(r, &list, place->value);
    segment_list_free(&list);
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
