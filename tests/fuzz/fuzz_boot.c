/*
 * The tail page of one boot: boot_mark_relation() and checkpoint_load().
 */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct segment_facts seg = fuzz_segment(SEGMENT_SIZE_MIN);
    const struct boot_facts now = {.boot_id = {1, 2, 3}, .dev = 4, .ino = 5, .known = mode & 2};
    union {
        struct tail_page page;
        uint8_t bytes[sizeof(struct tail_page)];
    } tail;
    struct boot_mark mark;
    enum boot_relation relation;
    uint64_t word;

    take(&in, tail.bytes, sizeof(tail.bytes));
    if (mode & MODE_REPAIR) {
        le32_put(&tail.page.boot.crc, crc_of(&tail.page.boot, offsetof(struct boot_mark, crc)));
        checkpoint_store(&tail.page, &seg.space,
                         word_load(&tail.page.checkpoint, memory_order_relaxed));
    }
    relation = boot_mark_relation(&tail.page.boot, &now);
    must(relation == BOOT_SAME || relation == BOOT_OTHER || relation == BOOT_UNKNOWN);
    if (relation == BOOT_SAME && le32_get(&tail.page.boot.zero) == 0) {
        must(now.known);
        boot_mark_encode(&mark, &now);
        must(memcmp(&mark, &tail.page.boot, sizeof(mark)) == 0);
    }
    word = checkpoint_load(&tail.page, &seg.space);
    if (word != 0) {
        must(tail_offset(word) >= OFF_FRAMES && tail_offset(word) < seg.shape.frames_end);
        must(word == word_load(&tail.page.checkpoint, memory_order_relaxed));
    }
    return 0;
}
