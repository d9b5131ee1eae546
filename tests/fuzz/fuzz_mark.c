/*
 * mark_decode(): a mark that is believed lies on a frame boundary of its segment.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct segment_facts seg =
        fuzz_segment(SEGMENT_SIZE_MIN << (mode >> 1) % 15); /* to 1 GiB */
    struct mark_slot slot, again;
    struct mark_facts facts;
    int rc;

    take(&in, &slot, sizeof(slot));
    if (mode & MODE_REPAIR) {
        memcpy(slot.magic, MAGIC_MARK, 8);
        le64_put(&slot.generation, seg.generation);
        memset(slot.zero, 0, sizeof(slot.zero));
        le32_put(&slot.crc, crc_of(&slot, offsetof(struct mark_slot, crc)));
    }
    rc = mark_decode(&slot, &seg, &facts);
    must(rc == 0 || rc == -EAGAIN || rc == SEGLOG_ECORRUPT);
    if (rc < 0)
        return 0;
    must(facts.offset >= OFF_FRAMES && facts.offset <= seg.shape.frames_end);
    must(facts.offset % FRAME_ALIGN == 0);
    must(facts.seq_rel <= UINT32_MAX);
    mark_encode(&again, seg.generation, &facts);
    if (bytes_are_zero(slot.zero, sizeof(slot.zero)))
        must(memcmp(&slot, &again, sizeof(slot)) == 0);
    return 0;
}
