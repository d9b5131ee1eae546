/*
 * Archives: a sealed segment compressed, in a file that the stock `lz4 -d` unpacks.
 *
 *   0       skippable frame, one page   what the segment was: struct archive_header
 *   4096    LZ4 frame                   its image, in independent blocks of one size
 *   table   skippable frame             block table, the segment's index and footer as they were
 *   -64     (its last bytes)            struct archive_end: where all of that lies
 *
 * The image is the segment file byte for byte, but for what no checksum covers: the live pages, what
 * lies in ABORTED, PAD and ROLL frames, padding and all behind the last frame are zeros. So a seek
 * unpacks the one block that it needs, and index and footer are read without unpacking anything.
 *
 * Bytes in, facts out, as everything here; segment/archive.c reads files, archive/pack.c writes them.
 */
#ifndef FORMAT_ARCHIVE_H
#define FORMAT_ARCHIVE_H

#include "format/footer.h"

#define MAGIC_ARCHIVE     "SEGLOGz\n"
#define MAGIC_ARCHIVE_END "SEGLOGy\n"

/* Of the LZ4 frame format. */
#define LZ4F_MAGIC      0x184D2204u
#define LZ4F_MAGIC_SKIP 0x184D2A50u /* first of sixteen; ours are these two */
#define LZ4F_MAGIC_TAIL 0x184D2A51u
#define LZ4F_RAW        0x80000000u /* bit of a block's size: it is stored as it is */
#define LZ4F_HEAD_BYTES 15u
#define LZ4F_SKIP_BYTES 8u
#define LZ4F_BLOCK_MORE 8u /* around each block: its size before it, its checksum behind it */
#define LZ4F_END_BYTES  8u /* a size of zero, and the XXH32 of the image */

struct archive_header {
    le32 lz4_magic;        /* LZ4F_MAGIC_SKIP */
    le32 lz4_size;         /* of what follows in this frame */
    struct file_head head; /* of the log, as in every file */
    le64 number;           /* these five as in the segment's header */
    le64 generation;
    le64 size;
    le64 created_ns;
    le32 discipline;
    le32 block_bytes; /* of the image in each block but the last */
    le64 archived_ns;
    uint8_t activation[sizeof(struct activation_block)]; /* as it was */
    uint8_t zero[3932];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct archive_header) == PAGE_BYTES, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, head) == 8, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, number) == 64, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, discipline) == 96, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, archived_ns) == 104, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, activation) == 112, "FORMAT: archive header");
static_assert(offsetof(struct archive_header, crc) == 4092, "FORMAT: archive header");

/* One for each block, in order. */
struct archive_entry {
    le32 stored; /* as in the LZ4 frame: bytes, and LZ4F_RAW */
    le32 check;  /* as in the LZ4 frame: XXH32 of the stored bytes */
};
static_assert(sizeof(struct archive_entry) == 8, "FORMAT: archive table");

struct archive_end {
    uint8_t magic[8];
    le64 generation; /* the segment's */
    le64 file_size;  /* of the archive */
    le64 table_off;  /* of the skippable frame that ends with this */
    le32 block_count;
    le32 index_count; /* as in the footer */
    le32 table_crc;   /* CRC-32C of the block table */
    uint8_t zero[16];
    le32 crc; /* CRC-32C of bytes 0..59 */
};
static_assert(sizeof(struct archive_end) == 64, "FORMAT: archive end");
static_assert(offsetof(struct archive_end, table_off) == 24, "FORMAT: archive end");
static_assert(offsetof(struct archive_end, block_count) == 32, "FORMAT: archive end");
static_assert(offsetof(struct archive_end, table_crc) == 40, "FORMAT: archive end");
static_assert(offsetof(struct archive_end, crc) == 60, "FORMAT: archive end");

struct archive_facts {
    struct segment_facts segment;
    uint64_t archived_ns;
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t index_count;
    uint32_t table_crc;
    uint64_t file_size;
    uint64_t table_off;
};

/*
 * The block size for a segment: the larger ones pack better, the smaller ones seek faster. is_hard: at
 * a level that takes long for a small file, which begins anew in each block and loses most by it.
 */
uint32_t archive_block_bytes(uint64_t segment_size, bool is_hard);
uint32_t archive_block_count(const struct archive_facts *facts);

/* Where the parts of the file lie. */
static inline uint64_t archive_table_at(const struct archive_facts *facts)
{
    return facts->table_off + LZ4F_SKIP_BYTES;
}
static inline uint64_t archive_index_at(const struct archive_facts *facts)
{
    return archive_table_at(facts) + facts->block_count * sizeof(struct archive_entry);
}
static inline uint64_t archive_footer_at(const struct archive_facts *facts)
{
    return archive_index_at(facts) + (uint64_t)facts->index_count * INDEX_ENTRY_BYTES;
}
static inline uint64_t archive_end_at(const struct archive_facts *facts)
{
    return archive_footer_at(facts) + sizeof(struct segment_footer);
}
/* Bytes of the image in block i. */
static inline uint32_t archive_block_len(const struct archive_facts *facts, uint32_t i)
{
    const uint64_t rest = facts->segment.size - (uint64_t)i * facts->block_bytes;

    return rest < facts->block_bytes ? (uint32_t)rest : facts->block_bytes;
}

/* From facts->segment, block_bytes and archived_ns. */
void archive_header_encode(struct archive_header *page, const struct archive_facts *facts,
                           const uint8_t activation[sizeof(struct activation_block)]);
/* Fills segment, block_bytes, block_count, archived_ns. As segment_header_decode(). */
int archive_header_decode(const struct archive_header *page, struct archive_facts *out,
                          const char **why);

void archive_end_encode(struct archive_end *end, const struct archive_facts *facts);
/* Fills the rest: facts has what the header said, file_size is what the file has.
 * 0 or SEGLOG_ECORRUPT with *why */
int archive_end_decode(const struct archive_end *end, uint64_t file_size,
                       struct archive_facts *facts, const char **why);

/* The head of the LZ4 frame, and those of the skippable frames: they follow from the facts. */
void archive_lz4_head(uint8_t out[LZ4F_HEAD_BYTES], const struct archive_facts *facts);
void archive_tail_head(uint8_t out[LZ4F_SKIP_BYTES], const struct archive_facts *facts);

/*
 * Is the block table possible? places[i] becomes where the stored bytes of block i begin.
 * 0; SEGLOG_ECORRUPT with *why: checksum, or sizes that do not add up
 */
int archive_table_check(const struct archive_entry *table, const struct archive_facts *facts,
                        uint32_t *places, const char **why);

static inline uint32_t archive_stored(const struct archive_entry *entry)
{
    return le32_get(&entry->stored) & ~LZ4F_RAW;
}

/* The check of a block's stored bytes. */
uint32_t archive_block_check(const void *stored, uint32_t n);

/*
 * Unpack one block: len bytes of the image. 0; SEGLOG_ECORRUPT: the stored bytes are not those that
 * were written; then out has what they give all the same, and zeros behind.
 */
int archive_block_unpack(const struct archive_entry *entry, const void *stored, void *out,
                         uint32_t len);

#endif
