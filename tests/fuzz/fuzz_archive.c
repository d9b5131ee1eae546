/*
 * Archives: a header and an end that are believed say nothing impossible, a block table that is
 * believed leads to no byte outside the file, and no stored block unpacks beyond its room.
 *
 * Input: mode, header, end, up to four table entries, then the stored bytes of a block.
 */
#include "format/archive.h"

#include "fuzz/fuzz.h"

#define ENTRIES 4u
#define STORED  4096u

static void repair(struct archive_header *page, struct archive_end *end,
                   const struct archive_entry *table, uint64_t mode)
{
    const struct segment_facts seg = fuzz_segment(SEGMENT_SIZE_MIN << (mode >> 1) % 3);
    struct archive_facts facts = {.segment = seg,
                                  .block_bytes = archive_block_bytes(seg.size, (mode >> 3) & 1),
                                  .index_count = le32_get(&end->index_count) % 3,
                                  .table_off = le64_get(&end->table_off)};
    uint8_t activation[sizeof(page->activation)];

    memcpy(activation, page->activation, sizeof(activation));
    facts.block_count = archive_block_count(&facts);
    facts.table_crc = crc_of(table, facts.block_count % (ENTRIES + 1) * sizeof(*table));
    facts.file_size = archive_end_at(&facts) + sizeof(*end);
    archive_header_encode(page, &facts, activation);
    archive_end_encode(end, &facts);
}

static void check_table(const struct archive_entry *table, const struct archive_facts *facts)
{
    uint32_t places[ENTRIES];
    uint64_t last = sizeof(struct archive_header) + LZ4F_HEAD_BYTES;

    if (facts->block_count > ENTRIES || archive_table_check(table, facts, places, NULL) < 0)
        return;
    for (uint32_t i = 0; i < facts->block_count; i++) {
        must(places[i] >= last);
        last = (uint64_t)places[i] + archive_stored(&table[i]);
        must(archive_stored(&table[i]) <= archive_block_len(facts, i));
    }
    must(last < facts->table_off);
}

static void check_block(struct archive_entry *entry, struct input *in, uint64_t mode)
{
    static uint8_t stored[STORED], out[64 << 10];
    const uint32_t n = 1 + (uint32_t)take_int(in, 2) % STORED;

    take(in, stored, n);
    le32_put(&entry->stored, n);
    if (mode & MODE_REPAIR)
        le32_put(&entry->check, archive_block_check(stored, n));
    (void)archive_block_unpack(entry, stored, out, sizeof(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct archive_entry table[ENTRIES];
    struct archive_facts facts;
    struct archive_header page;
    struct archive_end end;
    const char *why = NULL;
    uint64_t file_size;
    int rc;

    take(&in, &page.number, 96);
    take(&in, &end, sizeof(end));
    take(&in, table, sizeof(table));
    file_size = le64_get(&end.file_size);
    if (mode & MODE_REPAIR) {
        repair(&page, &end, table, mode);
        file_size = le64_get(&end.file_size);
    } else {
        memset((uint8_t *)&page + 160, 0, sizeof(page) - 160);
        memset(&page, 0, 64);
    }
    rc = archive_header_decode(&page, &facts, &why);
    must(rc == 0 || why);
    if (rc == 0 && archive_end_decode(&end, file_size, &facts, &why) == 0) {
        must(archive_end_at(&facts) + sizeof(end) == file_size);
        must(facts.index_count <= facts.segment.shape.index_max);
        check_table(table, &facts);
    }
    check_block(&table[0], &in, mode);
    return 0;
}
