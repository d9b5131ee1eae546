/*
 * How much lies between a reader and the end: seals say it of whole segments, the rest is walked.
 */
#include "reader/handle.h"

#include <errno.h>

/* All of a sealed segment that lies before us. */
static bool measure_sealed(struct seglog_reader *r, struct reader_measure *out)
{
    struct held *held = r->place.held;

    if (!held || !held->sealed || held->footer_lost || r->place.at != OFF_FRAMES ||
        (r->flags & SEGLOG_READER_TAG))
        return false;
    if (held->end == OFF_FRAMES) /* a recovery cut it there: its end is where we are */
        return false;
    if (out->records == 0)
        out->first_time_ns = held->footer.first_time;
    out->records += held->footer.record_count;
    out->bytes += held->footer.payload_bytes;
    place_at_end(&r->place, held);
    return true;
}

int reader_measure(struct seglog_reader *r, struct reader_measure *out)
{
    *out = (struct reader_measure){0};
    for (;;) {
        struct scan_frame frame;
        int rc;

        held_release(r, false);
        if (measure_sealed(r, out))
            continue;
        rc = walk(r, &frame);
        if (rc == -EAGAIN)
            return 0;
        if (rc < 0)
            return rc;
        if (rc != 1 || ((r->flags & SEGLOG_READER_TAG) && frame.frame.tag != r->tag))
            continue;
        if (out->records == 0)
            out->first_time_ns = frame.frame.time_ns;
        out->records++;
        out->bytes += frame.facts.len;
    }
}
