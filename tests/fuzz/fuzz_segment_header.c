/*
 * segment_header_decode(): what it accepts has a layout that holds together.
 */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct segment_header page, again;
    struct segment_facts facts;
    const char *why = NULL;
    int rc;

    take(&in, &page, sizeof(page));
    if (mode & MODE_REPAIR) {
        struct segment_shape shape;

        memcpy(page.head.magic, MAGIC_SEGMENT, 8);
        if (segment_size_is_legal(le64_get(&page.size)) && (mode & 2)) {
            segment_shape(le64_get(&page.size), &shape);
            le64_put(&page.frames_end, shape.frames_end);
            le32_put(&page.frames_off, OFF_FRAMES);
        }
        le32_put(&page.crc, crc_of(&page, offsetof(struct segment_header, crc)));
    }
    rc = segment_header_decode(&page, &facts, &why);
    if (rc < 0) {
        must(why != NULL);
        must(rc == SEGLOG_ENOTLOG || rc == SEGLOG_EENDIAN || rc == SEGLOG_ECORRUPT ||
             rc == SEGLOG_EVERSION);
        return 0;
    }
    must(segment_size_is_legal(facts.size));
    must(facts.generation != 0);
    must(facts.shape.footer_off + PAGE_BYTES == facts.size);
    must(facts.space.frames_end == facts.shape.frames_end);
    must(facts.space.frames_end < facts.size);
    segment_header_encode(&again, &facts);
    must(memcmp(&page.number, &again.number,
                offsetof(struct segment_header, zero) - offsetof(struct segment_header, number)) ==
         0);
    return 0;
}
