/*
 * cursor_decode(): what it accepts is of this log, and comes back as it was; nothing but zeros is a
 * slot that was never written.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const struct cursor_slot zero;
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct cursor_slot slot, again;
    struct cursor_facts facts;
    int rc;

    take(&in, &slot, sizeof(slot));
    if (mode & MODE_REPAIR) {
        memcpy(slot.magic, MAGIC_CURSOR, sizeof(slot.magic));
        memcpy(slot.uuid, uuid, sizeof(slot.uuid));
        le32_put(&slot.crc, crc_of(&slot, offsetof(struct cursor_slot, crc)));
    }
    rc = cursor_decode(&slot, uuid, &facts);
    must(rc == 0 || rc == -EAGAIN || rc == SEGLOG_ECORRUPT);
    must(rc == 0 || !(mode & MODE_REPAIR));
    must((rc == -EAGAIN) == (memcmp(&slot, &zero, sizeof(slot)) == 0));
    if (rc < 0)
        return 0;
    cursor_encode(&again, uuid, &facts);
    must(memcmp(&slot, &again, sizeof(slot)) == 0);
    return 0;
}
