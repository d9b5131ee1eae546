/*
 * Archives: encoding, decoding, unpacking a block. See archive.h.
 */
#include "format/archive.h"

#include <lz4.h>

#define BLOCK_SMALL (UINT32_C(64) << 10)
#define BLOCK_LARGE (UINT32_C(256) << 10)
#define BLOCK_HARD  (UINT32_C(1) << 20)

/* The table's skippable frame, without its own head. */
#define TAIL_BYTES_MIN (sizeof(struct segment_footer) + sizeof(struct archive_end))

static int bad(const char **why, const char *text)
{
    if (why)
        *why = text;
    return SEGLOG_ECORRUPT;
}

uint32_t archive_block_bytes(uint64_t segment_size, bool is_hard)
{
    if (is_hard && segment_size >= BLOCK_HARD)
        return BLOCK_HARD;
    return segment_size < BLOCK_LARGE ? BLOCK_SMALL : BLOCK_LARGE;
}

uint32_t archive_block_count(const struct archive_facts *facts)
{
    return (uint32_t)((facts->segment.size + facts->block_bytes - 1) / facts->block_bytes);
}

/* ---- header --------------------------------------------------------------------------------- */

static uint32_t page_crc(const struct archive_header *page)
{
    return ~crc32c(~0u, page, offsetof(struct archive_header, crc));
}

void archive_header_encode(struct archive_header *page, const struct archive_facts *facts,
                           const uint8_t activation[sizeof(struct activation_block)])
{
    const struct segment_facts *seg = &facts->segment;

    memset(page, 0, sizeof(*page));
    le32_put(&page->lz4_magic, LZ4F_MAGIC_SKIP);
    le32_put(&page->lz4_size, sizeof(*page) - LZ4F_SKIP_BYTES);
    head_encode(&page->head, MAGIC_ARCHIVE, seg->uuid);
    le64_put(&page->number, seg->number);
    le64_put(&page->generation, seg->generation);
    le64_put(&page->size, seg->size);
    le64_put(&page->created_ns, seg->created_ns);
    le32_put(&page->discipline, seg->discipline);
    le32_put(&page->block_bytes, facts->block_bytes);
    le64_put(&page->archived_ns, facts->archived_ns);
    memcpy(page->activation, activation, sizeof(page->activation));
    le32_put(&page->crc, page_crc(page));
}

static bool block_bytes_is_legal(uint32_t n)
{
    return n == BLOCK_SMALL || n == BLOCK_LARGE || n == BLOCK_HARD || n == BLOCK_HARD << 2;
}

int archive_header_decode(const struct archive_header *page, struct archive_facts *out,
                          const char **why)
{
    struct archive_facts facts = {.block_bytes = le32_get(&page->block_bytes),
                                  .archived_ns = le64_get(&page->archived_ns)};
    struct segment_facts *seg = &facts.segment;
    const int rc =
        head_decode(&page->head, MAGIC_ARCHIVE, le32_get(&page->crc) == page_crc(page), why);

    if (rc < 0)
        return rc;
    if (le32_get(&page->lz4_magic) != LZ4F_MAGIC_SKIP ||
        le32_get(&page->lz4_size) != sizeof(*page) - LZ4F_SKIP_BYTES)
        return bad(why, "archive header: not a frame of its own");
    memcpy(seg->uuid, page->head.uuid, sizeof(seg->uuid));
    seg->number = le64_get(&page->number);
    seg->generation = le64_get(&page->generation);
    seg->size = le64_get(&page->size);
    seg->created_ns = le64_get(&page->created_ns);
    seg->discipline = le32_get(&page->discipline);
    seg->read_only = le64_get(&page->head.ro_compat) != 0;
    if (!segment_size_is_legal(seg->size) || seg->generation == 0)
        return bad(why, "archive header: segment size or generation");
    if (seg->discipline != DISCIPLINE_MAPPED && seg->discipline != DISCIPLINE_GATED)
        return bad(why, "archive header: discipline");
    if (!block_bytes_is_legal(facts.block_bytes))
        return bad(why, "archive header: block size");
    segment_shape(seg->size, &seg->shape);
    frame_space_init(&seg->space, seg->size, seg->generation);
    facts.block_count = archive_block_count(&facts);
    *out = facts;
    return 0;
}

/* ---- end ------------------------------------------------------------------------------------ */

static uint32_t end_crc(const struct archive_end *end)
{
    return ~crc32c(~0u, end, offsetof(struct archive_end, crc));
}

void archive_end_encode(struct archive_end *end, const struct archive_facts *facts)
{
    memset(end, 0, sizeof(*end));
    memcpy(end->magic, MAGIC_ARCHIVE_END, sizeof(end->magic));
    le64_put(&end->generation, facts->segment.generation);
    le64_put(&end->file_size, facts->file_size);
    le64_put(&end->table_off, facts->table_off);
    le32_put(&end->block_count, facts->block_count);
    le32_put(&end->index_count, facts->index_count);
    le32_put(&end->table_crc, facts->table_crc);
    le32_put(&end->crc, end_crc(end));
}

int archive_end_decode(const struct archive_end *end, uint64_t file_size,
                       struct archive_facts *facts, const char **why)
{
    struct archive_facts f = *facts;

    if (memcmp(end->magic, MAGIC_ARCHIVE_END, sizeof(end->magic)) != 0)
        return bad(why, "archive: its end is missing");
    if (le32_get(&end->crc) != end_crc(end))
        return bad(why, "archive: checksum of its end");
    f.file_size = le64_get(&end->file_size);
    f.table_off = le64_get(&end->table_off);
    f.index_count = le32_get(&end->index_count);
    f.table_crc = le32_get(&end->table_crc);
    if (le64_get(&end->generation) != f.segment.generation ||
        le32_get(&end->block_count) != f.block_count || f.index_count > f.segment.shape.index_max)
        return bad(why, "archive: its end is another's");
    if (f.file_size != file_size || f.table_off > file_size ||
        f.table_off < sizeof(struct archive_header) + LZ4F_HEAD_BYTES + LZ4F_END_BYTES ||
        archive_end_at(&f) + sizeof(*end) != file_size)
        return bad(why, "archive: not as long as it says");
    *facts = f;
    return 0;
}

/* ---- what LZ4 wants to see ------------------------------------------------------------------ */

/*
 * Version 1, independent blocks, each with a checksum, the content's size, and a checksum of all of
 * it. Without that last one lz4 1.9.4 reads four bytes too many of a frame with block checksums, and
 * finds no frame behind it.
 */
#define FLG 0x7Cu

void archive_lz4_head(uint8_t out[LZ4F_HEAD_BYTES], const struct archive_facts *facts)
{
    uint8_t bd = 4; /* 64 KiB; each next one is four times as large */
    le32 magic;
    le64 size;

    for (uint32_t n = BLOCK_SMALL; n < facts->block_bytes; n *= 4)
        bd++;
    le32_put(&magic, LZ4F_MAGIC);
    le64_put(&size, facts->segment.size);
    memcpy(out, &magic, 4);
    out[4] = FLG;
    out[5] = (uint8_t)(bd << 4);
    memcpy(out + 6, &size, 8);
    out[14] = (uint8_t)(XXH32(out + 4, 10, 0) >> 8);
}

void archive_tail_head(uint8_t out[LZ4F_SKIP_BYTES], const struct archive_facts *facts)
{
    le32 magic, size;

    le32_put(&magic, LZ4F_MAGIC_TAIL);
    le32_put(&size, (uint32_t)(TAIL_BYTES_MIN + facts->block_count * sizeof(struct archive_entry) +
                               facts->index_count * INDEX_ENTRY_BYTES));
    memcpy(out, &magic, 4);
    memcpy(out + 4, &size, 4);
}

/* ---- blocks --------------------------------------------------------------------------------- */

int archive_table_check(const struct archive_entry *table, const struct archive_facts *facts,
                        uint32_t *places, const char **why)
{
    uint64_t at = sizeof(struct archive_header) + LZ4F_HEAD_BYTES;

    if (~crc32c(~0u, table, facts->block_count * sizeof(*table)) != facts->table_crc)
        return bad(why, "archive: checksum of the block table");
    for (uint32_t i = 0; i < facts->block_count; i++) {
        const uint32_t len = archive_block_len(facts, i), stored = archive_stored(&table[i]);
        const bool is_raw = (le32_get(&table[i].stored) & LZ4F_RAW) != 0;

        if (stored == 0 || stored > len || (is_raw && stored != len))
            return bad(why, "archive: size of a block");
        places[i] = (uint32_t)at + 4;
        at += stored + LZ4F_BLOCK_MORE;
        if (at > facts->table_off)
            break;
    }
    return at + LZ4F_END_BYTES == facts->table_off ? 0 : bad(why, "archive: sizes of the blocks");
}

uint32_t archive_block_check(const void *stored, uint32_t n)
{
    return XXH32(stored, n, 0);
}

int archive_block_unpack(const struct archive_entry *entry, const void *stored, void *out,
                         uint32_t len)
{
    const uint32_t n = archive_stored(entry);
    const bool is_whole = archive_block_check(stored, n) == le32_get(&entry->check);
    int got;

    if (le32_get(&entry->stored) & LZ4F_RAW) {
        memcpy(out, stored, len);
        return is_whole ? 0 : SEGLOG_ECORRUPT;
    }
    if (is_whole) {
        got = LZ4_decompress_safe(stored, out, (int)n, (int)len);
        if (got == (int)len)
            return 0;
    }
    /* As much as can be had of it: every record has a checksum of its own. */
    memset(out, 0, len);
    (void)LZ4_decompress_safe(stored, out, (int)n, (int)len);
    return SEGLOG_ECORRUPT;
}
