/*
 * Places inside a segment: stored, noted, searched. See sparse.h.
 */
#include "index/sparse.h"

#include <errno.h>
#include <stdlib.h>

void sparse_reset(struct sparse *sparse)
{
    sparse->count = 0;
    sparse->at = OFF_FRAMES;
    sparse->seq_rel = 0;
    sparse->max_time = 0;
    sparse->unsure.at = 0;
}

void sparse_free(struct sparse *sparse)
{
    free(sparse->anchors);
    *sparse = (struct sparse){0};
}

/* ---- stored --------------------------------------------------------------------------------- */

int sparse_load(struct sparse *sparse, const struct segment *seg, const struct footer_facts *footer)
{
    const size_t count = footer->index_count;
    struct index_entry *entries;
    struct anchor *anchors;
    int rc;

    if (count == 0)
        return SEGLOG_ECORRUPT;
    entries = malloc(count * sizeof(*entries));
    anchors = malloc(count * sizeof(*anchors));
    rc = entries && anchors ? segment_index(seg, footer, entries) : -ENOMEM;
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
    free(sparse->anchors);
    *sparse = (struct sparse){
        .anchors = anchors,
        .count = count,
        .capacity = count,
        .at = footer->frames_end,
        .seq_rel = footer->next_seq - footer->base_seq,
        .max_time = footer->max_time,
    };
    return 0;
}

/* ---- noted ---------------------------------------------------------------------------------- */

static uint64_t stride(uint64_t offset)
{
    return (offset - OFF_FRAMES) / INDEX_STRIDE;
}

int sparse_note(struct sparse *sparse)
{
    const size_t n = sparse->count;

    if (n > 0 && stride(sparse->at) <= stride(sparse->anchors[n - 1].offset))
        return 0;
    if (n == sparse->capacity) {
        const size_t capacity = n ? 2 * n : 64;
        struct anchor *anchors = realloc(sparse->anchors, capacity * sizeof(*anchors));

        if (!anchors)
            return -ENOMEM;
        sparse->anchors = anchors;
        sparse->capacity = capacity;
    }
    sparse->anchors[n] = (struct anchor){
        .offset = (uint32_t)sparse->at,
        .seq_rel = (uint32_t)sparse->seq_rel,
        .max_time = sparse->max_time,
    };
    sparse->count = n + 1;
    return 0;
}

void sparse_pass(struct sparse *sparse, uint64_t end, uint64_t end_seq_rel, uint64_t time_ns)
{
    assert(end > sparse->at);
    sparse->at = end;
    sparse->seq_rel = end_seq_rel;
    if (time_ns > sparse->max_time)
        sparse->max_time = time_ns;
}

void sparse_doubt(struct sparse *sparse)
{
    if (sparse->unsure.at != 0)
        return;
    sparse->unsure.at = sparse->at;
    sparse->unsure.seq_rel = sparse->seq_rel;
    sparse->unsure.max_time = sparse->max_time;
}

void sparse_settle(struct sparse *sparse)
{
    if (sparse->unsure.at == 0)
        return;
    while (sparse->count > 0 && sparse->anchors[sparse->count - 1].offset > sparse->unsure.at)
        sparse->count--;
    sparse->at = sparse->unsure.at;
    sparse->seq_rel = sparse->unsure.seq_rel;
    sparse->max_time = sparse->unsure.max_time;
    sparse->unsure.at = 0;
}

/* ---- searched ------------------------------------------------------------------------------- */

typedef bool anchor_test(const struct anchor *anchor, uint64_t sought);

static bool is_up_to_seq(const struct anchor *anchor, uint64_t seq_rel)
{
    return anchor->seq_rel <= seq_rel;
}

static bool is_behind_older(const struct anchor *anchor, uint64_t time_ns)
{
    return anchor->max_time < time_ns;
}

static bool is_before_offset(const struct anchor *anchor, uint64_t offset)
{
    return anchor->offset < offset;
}

/* The last one for which the test holds: it holds for all before it. */
static const struct anchor *sparse_last(const struct sparse *sparse, anchor_test *test,
                                        uint64_t sought)
{
    size_t low = 0, high = sparse->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (test(&sparse->anchors[middle], sought))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &sparse->anchors[low - 1] : NULL;
}

/* Not behind what may change: its first record may yet come to light. */
static const struct anchor *sparse_sure(const struct sparse *sparse, const struct anchor *anchor)
{
    if (anchor && sparse->unsure.at != 0 && anchor->offset > sparse->unsure.at)
        return sparse_last(sparse, is_before_offset, sparse->unsure.at + 1);
    return anchor;
}

const struct anchor *sparse_by_seq(const struct sparse *sparse, uint64_t seq_rel)
{
    return sparse_sure(sparse, sparse_last(sparse, is_up_to_seq, seq_rel));
}

const struct anchor *sparse_by_time(const struct sparse *sparse, uint64_t time_ns)
{
    return sparse_sure(sparse, sparse_last(sparse, is_behind_older, time_ns));
}

const struct anchor *sparse_by_offset(const struct sparse *sparse, uint64_t offset)
{
    return sparse_last(sparse, is_before_offset, offset);
}
