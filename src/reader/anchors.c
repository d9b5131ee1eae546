/*
 * Places inside a segment to begin a walk from, one for each stride of frames: from the index of a
 * sealed segment; else, or if that index is damaged, gathered by walking forward once.
 */
#include "reader/handle.h"

#include <errno.h>

/*
 * Note the frames up to `at`. In a segment that is not sealed, a claim may still become a record, and
 * what is bad may be where a recovery will cut: whoever searches forward stops there and looks.
 */
static int anchors_walk(struct held *held, uint64_t at)
{
    struct sparse *sparse = &held->sparse;
    struct scan scan = held_scan(held, sparse->at, sparse->seq_rel, false);

    while (scan.at < at && scan.at < scan.end) {
        struct scan_frame frame;
        uint64_t lost, time_ns = 0;
        int rc = held_scan_next(held, &scan, &frame);

        if (rc == 1) {
            if (frame.facts.state == WORD_DATA)
                time_ns = frame.frame.time_ns;
            if (frame.facts.state == WORD_CLAIMED)
                sparse_doubt(sparse);
            rc = sparse_note(sparse);
            if (rc < 0)
                return rc;
        } else if (rc == SEGLOG_ECORRUPT ||
                   (rc == 0 && held->sealed && frame.facts.state == WORD_EMPTY)) {
            if (!held->sealed)
                sparse_doubt(sparse);
            rc = held_resync(held, &scan, &lost);
            if (rc < 0)
                return rc;
            if (rc == 0)
                break;
        } else if (rc < 0) {
            return rc;
        } else {
            break;
        }
        sparse_pass(sparse, scan.at, scan.seq_rel, time_ns);
    }
    return 0;
}

int anchors_cover(struct held *held, uint64_t at)
{
    if (held->sealed && !held->footer_lost && held->sparse.count == 0) {
        const int rc = sparse_load(&held->sparse, held->seg, &held->footer);

        if (rc != SEGLOG_ECORRUPT)
            return rc;
    }
    return anchors_walk(held, at);
}

bool anchors_ready(struct held *held)
{
    if (held->is_cold || held->gated) /* the end may be anywhere; and may come while we look */
        return false;
    sparse_settle(&held->sparse);
    return anchors_cover(held, UINT64_MAX) == 0;
}

void anchors_skip(struct place *place, const struct anchor *anchor)
{
    if (!anchor || anchor->offset <= place->at)
        return;
    place->at = anchor->offset;
    place->seq_rel = anchor->seq_rel;
}
