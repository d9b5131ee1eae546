/*
 * Places inside a segment to begin a walk from, one for each stride of frames: from the index of a
 * sealed segment; else, or if that index is damaged, gathered by walking forward once.
 */
#include "reader/handle.h"

#include <errno.h>
#include <stdlib.h>

static int anchor_add(struct held *held, uint64_t offset, uint64_t seq_rel)
{
    const size_t n = held->anchor_count;

    if (n > 0 && (offset - OFF_FRAMES) / INDEX_STRIDE <=
                     (held->anchors[n - 1].offset - OFF_FRAMES) / INDEX_STRIDE)
        return 0;
    if (n == held->anchor_capacity) {
        const size_t capacity = n ? 2 * n : 64;
        struct anchor *anchors = realloc(held->anchors, capacity * sizeof(*anchors));

        if (!anchors)
            return -ENOMEM;
        held->anchors = anchors;
        held->anchor_capacity = capacity;
    }
    held->anchors[n] = (struct anchor){.offset = (uint32_t)offset, .seq_rel = (uint32_t)seq_rel};
    held->anchor_count = n + 1;
    return 0;
}

/* 0; SEGLOG_ECORRUPT: walk instead */
static int anchors_load(struct held *held)
{
    const size_t count = held->footer.index_count;
    struct index_entry *entries;
    struct anchor *anchors;
    int rc;

    if (held->footer_lost || count == 0)
        return SEGLOG_ECORRUPT;
    entries = malloc(count * sizeof(*entries));
    anchors = malloc(count * sizeof(*anchors));
    rc = entries && anchors ? segment_index(held->seg, &held->footer, entries) : -ENOMEM;
    if (rc < 0) {
        free(anchors);
        free(entries);
        return rc;
    }
    for (size_t i = 0; i < count; i++)
        anchors[i] = (struct anchor){
            .offset = le32_get(&entries[i].offset),
            .seq_rel = le32_get(&entries[i].seq_rel),
            .max_time = le64_get(&entries[i].max_time),
        };
    free(entries);
    free(held->anchors);
    held->anchors = anchors;
    held->anchors_timed = true;
    held->anchor_count = held->anchor_capacity = count;
    held->anchored_at = held->end;
    held->anchored_seq_rel = held->footer.next_seq - held->base_seq;
    return 0;
}

static int anchors_walk(struct held *held, uint64_t at)
{
    struct scan scan = held_scan(held, held->anchored_at, held->anchored_seq_rel, false);

    while (scan.at < at && scan.at < scan.end) {
        const uint64_t offset = scan.at, seq_rel = scan.seq_rel;
        struct scan_frame frame;
        uint64_t lost;
        int rc = held_scan_next(held, &scan, &frame);

        if (rc == 1) {
            rc = anchor_add(held, offset, seq_rel);
            if (rc < 0)
                return rc;
        } else if (rc == SEGLOG_ECORRUPT ||
                   (rc == 0 && held->sealed && frame.facts.state == WORD_EMPTY)) {
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
        held->anchored_at = scan.at;
        held->anchored_seq_rel = scan.seq_rel;
    }
    return 0;
}

int anchors_cover(struct held *held, uint64_t at)
{
    if (held->sealed && held->anchor_count == 0) {
        const int rc = anchors_load(held);

        if (rc != SEGLOG_ECORRUPT)
            return rc;
    }
    return anchors_walk(held, at);
}

const struct anchor *anchor_before(const struct held *held, uint64_t at)
{
    size_t low = 0, high = held->anchor_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (held->anchors[middle].offset < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &held->anchors[low - 1] : NULL;
}
