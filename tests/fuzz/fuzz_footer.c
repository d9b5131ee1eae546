/*
 * footer_decode() and index_check(): a footer that is believed says nothing impossible, and an index
 * that is believed can be walked.
 *
 * Input: mode, how many index entries follow the page, the page, the entries.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

#define ENTRIES_MAX 16u

static void repair(struct segment_footer *page, const struct segment_facts *seg,
                   const struct index_entry *index, uint32_t count)
{
    struct footer_facts facts = {
        .number = seg->number,
        .base_seq = le64_get(&page->base_seq),
        .next_seq = le64_get(&page->next_seq),
        .epoch = le64_get(&page->epoch),
        .frames_end = le64_get(&page->frames_end),
        .frame_count = le64_get(&page->frame_count),
        .record_count = le64_get(&page->record_count),
        .void_count = le64_get(&page->void_count),
        .payload_bytes = le64_get(&page->payload_bytes),
        .flags = le32_get(&page->flags),
        .index_count = count,
        .index_off = (uint32_t)seg->shape.index_off,
        .index_crc = crc_of(index, count * sizeof(*index)),
    };

    memcpy(facts.tag_filter, page->tag_filter, TAG_FILTER_BYTES);
    footer_encode(page, seg->generation, &facts);
}

static void check_index(const struct index_entry *index, const struct footer_facts *f,
                        const struct segment_facts *seg)
{
    uint64_t offset = 0, seq_rel = 0;

    if (f->index_count > ENTRIES_MAX || index_check(index, f, seg) < 0)
        return;
    for (uint32_t i = 0; i < f->index_count; i++) {
        must(le32_get(&index[i].offset) > offset);
        must(le32_get(&index[i].seq_rel) >= seq_rel);
        offset = le32_get(&index[i].offset);
        seq_rel = le32_get(&index[i].seq_rel);
        must(offset >= OFF_FRAMES && offset < f->frames_end && offset % FRAME_ALIGN == 0);
        must(seq_rel <= f->next_seq - f->base_seq);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct segment_facts seg = fuzz_segment(SEGMENT_SIZE_MIN << (mode >> 1) % 5);
    const uint32_t count = (uint32_t)take_int(&in, 1) % ENTRIES_MAX;
    struct index_entry index[ENTRIES_MAX];
    struct segment_footer page, again;
    struct footer_facts f;
    const char *why = NULL;
    int rc;

    take(&in, &page, sizeof(page));
    take(&in, index, sizeof(index));
    if (mode & MODE_REPAIR)
        repair(&page, &seg, index, count);
    rc = footer_decode(&page, &seg, &f, &why);
    must(rc == 0 || rc == -EAGAIN || (rc == SEGLOG_ECORRUPT && why));
    if (rc < 0)
        return 0;
    must(f.next_seq >= f.base_seq && f.next_seq - f.base_seq <= seg.size);
    must(f.frames_end >= OFF_FRAMES && f.frames_end <= seg.shape.frames_end);
    must(f.index_count <= seg.shape.index_max);
    must(f.index_off + f.index_count * sizeof(*index) <= seg.shape.footer_off);
    check_index(index, &f, &seg);
    footer_encode(&again, seg.generation, &f);
    must(memcmp(&page, &again, offsetof(struct segment_footer, zero0)) == 0);
    return 0;
}
