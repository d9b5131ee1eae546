/*
 * Files of state: headers and checksums.
 */
#include "format/state.h"

#define CRC_SPAN(p, end) (~crc32c(~0u, (p), (end)))

void state_header_encode(struct state_header *page, const char *magic,
                         const struct state_facts *facts)
{
    memset(page, 0, sizeof(*page));
    head_encode(&page->head, magic, facts->uuid);
    /* Words in the hot page are in the machine's order, so the mark is too. */
    memcpy(&page->head.endian, &(uint32_t){ENDIAN_MARK}, sizeof(page->head.endian));
    le64_put(&page->generation, facts->generation);
    le64_put(&page->schema, facts->schema);
    le64_put(&page->size, facts->size);
    le64_put(&page->created_ns, facts->created_ns);
    le32_put(&page->parts, facts->parts);
    le32_put(&page->extent, facts->extent);
    memcpy(page->log, facts->log, sizeof(page->log));
    if (facts->is_logged)
        le64_put(&page->head.incompat, STATE_LOGGED);
    if (facts->is_marked)
        le64_put(&page->head.compat, STATE_MARKED);
    le32_put(&page->crc, CRC_SPAN(page, offsetof(struct state_header, crc)));
}

int state_header_decode(const struct state_header *page, const char *magic, struct state_facts *out)
{
    const uint32_t crc = CRC_SPAN(page, offsetof(struct state_header, crc));
    const bool is_logged = (le64_get(&page->head.incompat) & STATE_LOGGED) != 0;
    struct state_header copy = *page;
    uint32_t mark;
    int rc;

    memcpy(&mark, &page->head.endian, sizeof(mark));
    le32_put(&copy.head.endian, mark);
    if (is_logged && memcmp(magic, MAGIC_TABLE, sizeof(page->head.magic)) == 0)
        le64_put(&copy.head.incompat, le64_get(&page->head.incompat) & ~STATE_LOGGED);
    rc = head_decode(&copy.head, magic, crc == le32_get(&page->crc), NULL);
    if (rc < 0)
        return rc;
    if (le64_get(&page->head.ro_compat) != 0)
        return SEGLOG_EVERSION; /* these files have no way to be read only */
    *out = (struct state_facts){
        .generation = le64_get(&page->generation),
        .schema = le64_get(&page->schema),
        .size = le64_get(&page->size),
        .created_ns = le64_get(&page->created_ns),
        .parts = le32_get(&page->parts),
        .extent = le32_get(&page->extent),
        .is_logged = is_logged,
        .is_marked = (le64_get(&page->head.compat) & STATE_MARKED) != 0,
    };
    memcpy(out->log, page->log, sizeof(out->log));
    memcpy(out->uuid, page->head.uuid, sizeof(out->uuid));
    return out->generation == 0 ? SEGLOG_ECORRUPT : 0;
}

uint32_t state_seed(uint64_t generation)
{
    return CRC_SPAN(&generation, sizeof(generation));
}

uint32_t table_mark(uint32_t seed, uint32_t shard)
{
    return ~crc32c(~seed, &shard, sizeof(shard)) | 1;
}

uint32_t cell_crc(uint32_t seed, const void *value, uint64_t len, uint64_t version)
{
    const uint64_t who[2] = {version, len};

    return ~crc32c(crc32c(~seed, value, (size_t)len), who, sizeof(who));
}

static uint64_t durable_check(uint32_t seed, uint64_t version)
{
    return ~crc32c(~seed, &version, sizeof(version));
}

void cell_durable_store(struct cell_hot *hot, uint32_t seed, uint64_t version)
{
    atomic_store_explicit(&hot->durable, version, memory_order_relaxed);
    atomic_store_explicit(&hot->durable_check, durable_check(seed, version), memory_order_release);
}

uint64_t cell_durable_load(const struct cell_hot *hot, uint32_t seed)
{
    struct cell_hot *h = (struct cell_hot *)(uintptr_t)hot;
    const uint64_t check = atomic_load_explicit(&h->durable_check, memory_order_acquire);
    const uint64_t version = atomic_load_explicit(&h->durable, memory_order_relaxed);

    return check == durable_check(seed, version) ? version : 0;
}
