/*
 * The header of a file of state, and the version that a cell's hot page calls durable: what is accepted
 * encodes to what was decoded.
 */
#include "fuzz/fuzz.h"

#include "format/state.h"

static const char *const magics[] = {MAGIC_CELL, MAGIC_STRUCT, MAGIC_TABLE};

static void header(struct input *in, uint64_t mode)
{
    const char *magic = magics[mode / 2 % 3];
    struct state_header page, again;
    struct state_facts facts, same;
    int rc;

    take(in, &page, sizeof(page));
    if (mode & MODE_REPAIR) {
        memcpy(page.head.magic, magic, 8);
        memcpy(&page.head.endian, &(uint32_t){ENDIAN_MARK}, sizeof(page.head.endian));
        le32_put(&page.crc, crc_of(&page, offsetof(struct state_header, crc)));
    }
    rc = state_header_decode(&page, magic, &facts);
    must(rc == 0 || rc == SEGLOG_ENOTLOG || rc == SEGLOG_EENDIAN || rc == SEGLOG_ECORRUPT ||
         rc == SEGLOG_EVERSION);
    if (rc < 0)
        return;
    must(facts.generation != 0);
    state_header_encode(&again, magic, &facts);
    must(state_header_decode(&again, magic, &same) == 0);
    must(same.is_logged == facts.is_logged && (!same.is_logged || mode / 2 % 3 == 2));
    must(memcmp(&again.generation, &page.generation, offsetof(struct state_header, zero) - 56) ==
         0);
    for (size_t i = 0; i < 3; i++) /* nor is it a file of another kind */
        must(magics[i] == magic || state_header_decode(&again, magics[i], &same) < 0);
}

static void durable(struct input *in, uint64_t mode)
{
    static struct cell_hot hot;
    const uint32_t seed = state_seed(FUZZ_GENERATION);
    const uint64_t version = take_int(in, 8);
    uint64_t loaded;

    if (mode & MODE_REPAIR) {
        cell_durable_store(&hot, seed, version);
        must(cell_durable_load(&hot, seed) == version);
    }
    atomic_store(&hot.durable, version);
    atomic_store(&hot.durable_check, take_int(in, 8));
    loaded = cell_durable_load(&hot, seed);
    must(loaded == 0 || loaded == version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);

    durable(&in, mode);
    header(&in, mode);
    return 0;
}
