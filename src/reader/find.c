/*
 * Places by time. Writers' clocks are not ordered by number, so what is searched is the largest time
 * so far, which is: the first record with a time or a later one is where that steps over it.
 */
#include "reader/handle.h"

#include <errno.h>

static bool reaches_time(void *context, size_t i, uint64_t time_ns)
{
    struct catalog_facts facts;

    return seek_look(context, i, &facts) != 0 || !facts.sealed || facts.log_max_time >= time_ns;
}

/* At the beginning of a segment: pass what is older. */
static void skip_older(struct seglog_reader *r, uint64_t time_ns)
{
    struct held *held = r->place.held;

    if (held->footer_lost)
        return;
    if (held->sealed && (held->footer.max_time < time_ns || held->footer.record_count == 0))
        place_at_end(&r->place, held);
    else if (anchors_ready(held))
        anchors_skip(&r->place, sparse_by_time(&held->sparse, time_ns));
    if (!held->sealed)
        r->newest = held;
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

/* To the segment where the search begins. */
static int find_segment(struct seglog_reader *r, uint64_t time_ns)
{
    const struct catalog *catalog = &r->catalog;
    size_t sealed = catalog->sealed, i;
    int rc = 0;

    /* What is sealed already may answer it; else the end has to be looked for. */
    if (sealed == 0 || catalog->entries[sealed - 1].facts.log_max_time < time_ns) {
        rc = seek_tail(r, &sealed);
        if (rc < 0)
            return rc;
    }
    i = catalog_first(sealed, reaches_time, r, time_ns);
    if (i < sealed)
        rc = path_to(r, catalog->entries[i].number);
    return rc < 0 ? path_first(r, &r->place) : 0; /* it is damaged: the long way */
}

int find_time(struct seglog_reader *r, uint64_t time_ns)
{
    struct place first;
    int rc = seek_refresh(r, &first);

    if (rc == 0)
        rc = find_segment(r, time_ns);
    return rc < 0 ? rc : walk_to_time(r, time_ns);
}
