/*
 * floor_decode(): what it accepts is of this log, and comes back as it was.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct floor_slot slot, again;
    struct floor_facts facts;
    int rc;

    take(&in, &slot, sizeof(slot));
    if (mode & MODE_REPAIR) {
        memcpy(slot.magic, MAGIC_FLOOR, 8);
        memcpy(slot.uuid, uuid, 16);
        le32_put(&slot.crc, crc_of(&slot, offsetof(struct floor_slot, crc)));
    }
    rc = floor_decode(&slot, uuid, &facts);
    must(rc == 0 || rc == -EAGAIN || rc == SEGLOG_ECORRUPT);
    must(rc == 0 || !(mode & MODE_REPAIR));
    if (rc < 0)
        return 0;
    floor_encode(&again, uuid, &facts);
    must(memcmp(&slot, &again, offsetof(struct floor_slot, zero)) == 0);
    return 0;
}
