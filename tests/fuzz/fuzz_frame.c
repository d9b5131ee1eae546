/*
 * A frame as readers check it, word 0 first, then header, then payload: no byte behind the input is
 * looked at, the quick checksum and the tables agree, and what is accepted is what frame_fill() writes.
 */
#include "format/frame.h"

#include "fuzz/fuzz.h"

static void repair(const struct frame_space *space, uint64_t offset, uint8_t *bytes, size_t len)
{
    struct frame_header *header = (struct frame_header *)(void *)bytes;
    const uint64_t word = word_data(space, len - FRAME_HEADER);
    struct frame_facts facts;

    frame_peek(header, &facts);
    facts.pcrc = ~crc32c(frame_seed(space, offset), header + 1, len - FRAME_HEADER);
    frame_fill(space, offset, header, word, &facts);
    word_store(&header->word, word, memory_order_relaxed);
}

/* bytes are those of the frame and no more. */
static int check(const struct frame_space *space, uint64_t offset, const uint8_t *bytes, size_t len,
                 struct frame_facts *facts)
{
    const struct frame_header *header = (const struct frame_header *)(const void *)bytes;
    const uint64_t word = word_load(&header->word, memory_order_relaxed);
    struct word_facts w;
    int rc = word_decode(space, offset, word, &w);

    if (rc < 0 || w.state != WORD_DATA || FRAME_HEADER + w.len > len)
        return SEGLOG_ECORRUPT;
    rc = frame_check(space, offset, word, header, facts);
    if (rc < 0)
        return rc;
    return frame_check_payload(space, offset, header + 1, w.len, facts->pcrc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct segment_facts seg = fuzz_segment(SEGMENT_SIZE_MIN);
    struct frame_space tables = seg.space;
    const uint64_t offset = OFF_FRAMES + take_int(&in, 1) * FRAME_ALIGN;
    const size_t n = in.left > FRAME_HEADER ? in.left : FRAME_HEADER;
    uint8_t *bytes = malloc(n); /* 16-byte aligned, and exactly as long */
    struct frame_facts facts, again;
    int rc;

    must(bytes != NULL);
    take(&in, bytes, n);
    tables.fast = false;
    if (mode & MODE_REPAIR)
        repair(&seg.space, offset, bytes, n);
    rc = check(&seg.space, offset, bytes, n, &facts);
    must(rc == 0 || rc == SEGLOG_ECORRUPT);
    must(rc == check(&tables, offset, bytes, n, &again));
    must(rc == 0 || !(mode & MODE_REPAIR) || frame_span(n - FRAME_HEADER) > seg.space.span_max);
    if (rc == 0) {
        must(check(&seg.space, offset + FRAME_ALIGN, bytes, n, &again) < 0);
        must(facts.pcrc == again.pcrc || facts.tag == again.tag);
    }
    free(bytes);
    return 0;
}
