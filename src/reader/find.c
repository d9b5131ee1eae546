/*
 * Places by time. Writers' clocks are not ordered by number, so what is searched is the largest time
 * so far, which is: the first record with a time or a later one is where that steps over it.
 */
#include "reader/handle.h"

#include <errno.h>

static bool reaches_time(struct seglog_reader *r, uint64_t number, uint64_t time_ns)
{
    struct activation_facts act;
    struct footer_facts footer;
    bool sealed = false;

    return path_peek(r, number, &act, &footer, &sealed) != 0 || !sealed ||
           footer.log_max_time >= time_ns;
}

/* At the beginning of a segment: pass what the seal says is older. */
static void skip_older(struct seglog_reader *r, uint64_t time_ns)
{
    struct held *held = r->place.held;
    size_t low = 0, high;

    if (!held->sealed || held->footer_lost)
        return;
    if (held->footer.max_time < time_ns || held->footer.record_count == 0) {
        place_at_end(&r->place, held);
        return;
    }
    if (anchors_cover(held, UINT64_MAX) < 0 || !held->anchors_timed)
        return;
    high = held->anchor_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (held->anchors[middle].max_time < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        r->place.at = held->anchors[low - 1].offset;
        r->place.seq_rel = held->anchors[low - 1].seq_rel;
    }
}

static int walk_to_time(struct seglog_reader *r, uint64_t time_ns)
{
    for (;;) {
        struct scan_frame frame;
        struct place before;
        int rc;

        if (r->place.held && r->place.at == OFF_FRAMES)
            skip_older(r, time_ns);
        before = r->place;
        rc = walk(r, &frame);
        if (rc == 1 && frame.frame.time_ns >= time_ns) {
            r->place = before;
            return 0;
        }
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc; /* none: the end */
    }
}

int find_time(struct seglog_reader *r, uint64_t time_ns)
{
    struct segment_list list;
    size_t sealed, i;
    int rc = seek_list(r, &list);

    if (rc < 0)
        return rc;
    rc = seek_tail(r, &list, &sealed);
    i = rc < 0 ? 0 : seek_first(r, &list, sealed, reaches_time, time_ns);
    if (rc == 0 && i < sealed) {
        rc = path_to(r, list.numbers[i]);
        if (rc < 0)
            rc = path_first(r, &r->place); /* it is damaged: the long way */
    }
    segment_list_free(&list);
    return rc < 0 ? rc : walk_to_time(r, time_ns);
}
