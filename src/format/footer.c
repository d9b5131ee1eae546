/*
 * Seals: one pass over the frames gives footer, index and hashes. See footer.h.
 */
#include "format/footer.h"

#include <errno.h>

/* ---- tag filter ----------------------------------------------------------------------------- */

/* Three bits of 2048, from three 11-bit pieces of a multiplicative hash (Knuth's constant, 64 bits). */
static uint64_t tag_hash(uint32_t tag)
{
    return ((uint64_t)tag + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

void tag_filter_add(uint8_t filter[TAG_FILTER_BYTES], uint32_t tag)
{
    const uint64_t h = tag_hash(tag);

    for (unsigned shift = 31; shift <= 53; shift += 11) {
        const unsigned bit = h >> shift & 2047;
        filter[bit / 8] = (uint8_t)(filter[bit / 8] | 1u << bit % 8);
    }
}

bool tag_filter_may_have(const uint8_t filter[TAG_FILTER_BYTES], uint32_t tag)
{
    const uint64_t h = tag_hash(tag);

    for (unsigned shift = 31; shift <= 53; shift += 11) {
        const unsigned bit = h >> shift & 2047;
        if ((filter[bit / 8] & 1u << bit % 8) == 0)
            return false;
    }
    return true;
}

/* ---- building ------------------------------------------------------------------------------- */

void seal_begin(struct seal_builder *b, const struct segment_facts *seg,
                const struct activation_facts *act, const struct footer_facts *prev,
                struct index_entry *index)
{
    memset(&b->facts, 0, sizeof(b->facts));
    b->facts.number = seg->number;
    b->facts.base_seq = act->base_seq;
    b->facts.next_seq = act->base_seq;
    b->facts.epoch = act->epoch;
    b->facts.index_off = (uint32_t)seg->shape.index_off;
    if (prev) {
        b->facts.log_max_time = prev->log_max_time;
        memcpy(b->facts.prev_seal, prev->seal_hash, 16);
    }
    b->index = index;
    b->index_max = seg->shape.index_max;
    XXH3_128bits_reset(&b->hash);
}

/* The first frame that begins in each stride gets an entry. */
static void seal_index(struct seal_builder *b, uint64_t offset)
{
    const uint64_t stride = (offset - OFF_FRAMES) / INDEX_STRIDE;
    const uint32_t n = b->facts.index_count;
    struct index_entry *entry;

    if (n > 0 && stride <= (le32_get(&b->index[n - 1].offset) - OFF_FRAMES) / INDEX_STRIDE)
        return;
    assert(n < b->index_max);
    entry = &b->index[n];
    le32_put(&entry->seq_rel, (uint32_t)(b->facts.next_seq - b->facts.base_seq));
    le32_put(&entry->offset, (uint32_t)offset);
    le64_put(&entry->max_time, b->facts.max_time);
    b->facts.index_count = n + 1;
}

static void seal_record(struct seal_builder *b, uint64_t len, const struct frame_header *header)
{
    struct footer_facts *f = &b->facts;
    struct frame_facts frame;

    frame_peek(header, &frame);
    if (f->record_count == 0) {
        f->min_time = f->max_time = f->first_time = frame.time_ns;
    }
    if (frame.time_ns < f->min_time)
        f->min_time = frame.time_ns;
    if (frame.time_ns > f->max_time)
        f->max_time = frame.time_ns;
    f->last_time = frame.time_ns;
    f->record_count++;
    f->payload_bytes += len;
    tag_filter_add(f->tag_filter, frame.tag);
    XXH3_128bits_update(&b->hash, &header->seq_rel, FRAME_HEADER - sizeof(uint64_t) + len);
}

void seal_add(struct seal_builder *b, uint64_t offset, uint64_t word,
              const struct word_facts *facts, const struct frame_header *header)
{
    le64 bytes;

    seal_index(b, offset);
    le64_put(&bytes, word);
    XXH3_128bits_update(&b->hash, &bytes, sizeof(bytes));
    b->facts.frame_count++;
    b->facts.next_seq += facts->count;
    if (facts->state == WORD_DATA)
        seal_record(b, facts->len, header);
    else
        b->facts.void_count += facts->count;
}

void seal_finish(struct seal_builder *b, uint64_t end, uint32_t flags)
{
    const XXH128_hash_t hash = XXH3_128bits_digest(&b->hash);
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(b->facts.content_hash, canonical.digest, 16);
    b->facts.frames_end = end;
    b->facts.flags = flags;
    b->facts.index_crc = ~crc32c(~0u, b->index, b->facts.index_count * INDEX_ENTRY_BYTES);
    if (b->facts.max_time > b->facts.log_max_time)
        b->facts.log_max_time = b->facts.max_time;
}

/* ---- page ----------------------------------------------------------------------------------- */

static void seal_hash(const struct segment_footer *page, uint8_t out[16])
{
    XXH3_state_t state;
    XXH128_canonical_t canonical;

    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, page, offsetof(struct segment_footer, seal_hash));
    XXH3_128bits_update(&state, page->tag_filter, TAG_FILTER_BYTES);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(out, canonical.digest, 16);
}

void footer_encode(struct segment_footer *page, uint64_t generation, struct footer_facts *facts)
{
    memset(page, 0, sizeof(*page));
    memcpy(page->magic, MAGIC_FOOTER, sizeof(page->magic));
    le64_put(&page->generation, generation);
    le64_put(&page->number, facts->number);
    le64_put(&page->base_seq, facts->base_seq);
    le64_put(&page->next_seq, facts->next_seq);
    le64_put(&page->epoch, facts->epoch);
    le64_put(&page->frames_end, facts->frames_end);
    le64_put(&page->frame_count, facts->frame_count);
    le64_put(&page->record_count, facts->record_count);
    le64_put(&page->void_count, facts->void_count);
    le64_put(&page->payload_bytes, facts->payload_bytes);
    le64_put(&page->min_time, facts->min_time);
    le64_put(&page->max_time, facts->max_time);
    le64_put(&page->first_time, facts->first_time);
    le64_put(&page->last_time, facts->last_time);
    le64_put(&page->log_max_time, facts->log_max_time);
    le64_put(&page->sealed_ns, facts->sealed_ns);
    le64_put(&page->bytes_dropped, facts->bytes_dropped);
    le64_put(&page->frames_dropped, facts->frames_dropped);
    le32_put(&page->flags, facts->flags);
    le32_put(&page->index_count, facts->index_count);
    le32_put(&page->index_off, facts->index_off);
    le32_put(&page->index_crc, facts->index_crc);
    memcpy(page->content_hash, facts->content_hash, 16);
    memcpy(page->prev_seal, facts->prev_seal, 16);
    memcpy(page->tag_filter, facts->tag_filter, TAG_FILTER_BYTES);
    seal_hash(page, facts->seal_hash);
    memcpy(page->seal_hash, facts->seal_hash, 16);
    le32_put(&page->crc, ~crc32c(~0u, page, offsetof(struct segment_footer, crc)));
}

static void footer_read(const struct segment_footer *page, struct footer_facts *out)
{
    *out = (struct footer_facts){
        .number = le64_get(&page->number),
        .base_seq = le64_get(&page->base_seq),
        .next_seq = le64_get(&page->next_seq),
        .epoch = le64_get(&page->epoch),
        .frames_end = le64_get(&page->frames_end),
        .frame_count = le64_get(&page->frame_count),
        .record_count = le64_get(&page->record_count),
        .void_count = le64_get(&page->void_count),
        .payload_bytes = le64_get(&page->payload_bytes),
        .min_time = le64_get(&page->min_time),
        .max_time = le64_get(&page->max_time),
        .first_time = le64_get(&page->first_time),
        .last_time = le64_get(&page->last_time),
        .log_max_time = le64_get(&page->log_max_time),
        .sealed_ns = le64_get(&page->sealed_ns),
        .bytes_dropped = le64_get(&page->bytes_dropped),
        .frames_dropped = le64_get(&page->frames_dropped),
        .flags = le32_get(&page->flags),
        .index_count = le32_get(&page->index_count),
        .index_off = le32_get(&page->index_off),
        .index_crc = le32_get(&page->index_crc),
    };
    memcpy(out->content_hash, page->content_hash, 16);
    memcpy(out->prev_seal, page->prev_seal, 16);
    memcpy(out->seal_hash, page->seal_hash, 16);
    memcpy(out->tag_filter, page->tag_filter, TAG_FILTER_BYTES);
}

static bool footer_is_possible(const struct footer_facts *f, const struct segment_facts *seg)
{
    const uint64_t numbers = f->next_seq - f->base_seq;

    if (f->number != seg->number || f->index_off != seg->shape.index_off)
        return false;
    if (f->frames_end < OFF_FRAMES || f->frames_end > seg->shape.frames_end ||
        f->frames_end % FRAME_ALIGN != 0)
        return false;
    if (f->next_seq < f->base_seq || numbers > seg->size || f->record_count > numbers)
        return false;
    return f->void_count <= numbers && f->payload_bytes <= seg->size &&
           f->index_count <= seg->shape.index_max;
}

int footer_decode(const struct segment_footer *page, const struct segment_facts *seg,
                  struct footer_facts *out, const char **why)
{
    const char *text = NULL;
    struct footer_facts facts;
    uint8_t hash[16];

    if (bytes_are_zero(page, sizeof(*page)))
        return -EAGAIN;
    footer_read(page, &facts);
    seal_hash(page, hash);
    if (memcmp(page->magic, MAGIC_FOOTER, sizeof(page->magic)) != 0)
        text = "footer: magic";
    else if (~crc32c(~0u, page, offsetof(struct segment_footer, crc)) != le32_get(&page->crc))
        text = "footer: checksum";
    else if (le64_get(&page->generation) != seg->generation && seg->recycled)
        return -EAGAIN; /* that of the file's last life, which a power cut brought back */
    else if (le64_get(&page->generation) != seg->generation)
        text = "footer of another segment";
    else if (memcmp(hash, facts.seal_hash, 16) != 0)
        text = "footer: seal hash";
    else if (!footer_is_possible(&facts, seg))
        text = "footer out of range";
    if (text) {
        if (why)
            *why = text;
        return SEGLOG_ECORRUPT;
    }
    *out = facts;
    return 0;
}

int index_check(const struct index_entry *entries, const struct footer_facts *footer,
                const struct segment_facts *seg)
{
    const uint64_t numbers = footer->next_seq - footer->base_seq;

    if (footer->index_count > seg->shape.index_max ||
        ~crc32c(~0u, entries, footer->index_count * INDEX_ENTRY_BYTES) != footer->index_crc)
        return SEGLOG_ECORRUPT;
    for (uint32_t i = 0; i < footer->index_count; i++) {
        const uint32_t offset = le32_get(&entries[i].offset);
        const uint32_t seq_rel = le32_get(&entries[i].seq_rel);

        if (offset < OFF_FRAMES || offset >= footer->frames_end || offset % FRAME_ALIGN != 0 ||
            seq_rel > numbers)
            return SEGLOG_ECORRUPT;
        if (i > 0 && (offset <= le32_get(&entries[i - 1].offset) ||
                      seq_rel < le32_get(&entries[i - 1].seq_rel)))
            return SEGLOG_ECORRUPT;
    }
    return 0;
}
