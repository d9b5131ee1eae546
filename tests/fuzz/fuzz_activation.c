/*
 * activation_load(): what it accepts is what activation_store() writes, bit for bit.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct activation_block block, again;
    struct activation_facts facts;
    uint64_t generation = FUZZ_GENERATION;
    int rc;

    take(&in, &block, sizeof(block));
    if (mode & MODE_REPAIR) {
        generation = le64_get(&block.generation);
        le32_put(&block.zero, 0);
        le32_put(&block.crc, crc_of(&block, offsetof(struct activation_block, crc)));
        memcpy(&block.magic, MAGIC_ACTIVATION, 8);
    }
    rc = activation_load(&block, generation, &facts);
    must(rc == 0 || rc == -EAGAIN || rc == SEGLOG_ECORRUPT);
    must(rc == 0 || !(mode & MODE_REPAIR));
    if (rc < 0)
        return 0;
    memset(&again, 0, sizeof(again));
    activation_store(&again, generation, &facts);
    if (le32_get(&block.zero) == 0)
        must(memcmp(&block, &again, sizeof(block)) == 0);
    return 0;
}
