/*
 * Reading archives. See archive.h.
 */
#include "segment/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sys/file.h"
#include "sys/map.h"

/* Unpacked blocks of one segment that a reader keeps when it gives back its views. */
#define KEEP_BYTES (UINT64_C(16) << 20)

/* What large pages are aligned to, where there are any. */
#define LARGE_BYTES (UINT64_C(2) << 20)

static int bad(const char **why, const char *text)
{
    if (why)
        *why = text;
    return SEGLOG_ECORRUPT;
}

bool archive_exists(int dirfd, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    int fd;

    segment_archive_name(number, name);
    fd = file_open(dirfd, name, O_PATH, 0);
    file_close(fd);
    return fd >= 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int read_ends(struct archive *arc, int fd, uint64_t file_size, const char **why)
{
    struct {
        struct segment_footer footer;
        struct archive_end end;
    } tail;
    int rc;

    if (file_size < sizeof(arc->header) + sizeof(tail))
        return bad(why, "archive is truncated");
    rc = file_pread(fd, &arc->header, sizeof(arc->header), 0);
    if (rc == 0)
        rc = archive_header_decode(&arc->header, &arc->facts, why);
    if (rc == 0)
        rc = file_pread(fd, &tail, sizeof(tail), file_size - sizeof(tail));
    if (rc == 0)
        rc = archive_end_decode(&tail.end, file_size, &arc->facts, why);
    if (rc == 0)
        arc->footer = tail.footer;
    return rc;
}

int archive_open(struct segment *seg, uint64_t file_size, bool mapped, const char **why)
{
    struct archive *arc = calloc(1, sizeof(*arc));
    void *base;
    int rc;

    if (!arc)
        return -ENOMEM;
    rc = read_ends(arc, seg->fd, file_size, why);
    if (rc == 0 && mapped) {
        arc->is_there = calloc(arc->facts.block_count, 1);
        rc = arc->is_there ? map_memory(arc->facts.segment.size, &base) : -ENOMEM;
        if (rc == 0)
            seg->base = base;
    }
    if (rc < 0) {
        archive_close(arc);
        return rc;
    }
    seg->facts = arc->facts.segment;
    seg->arc = arc;
    return 0;
}

void archive_close(struct archive *arc)
{
    if (!arc)
        return;
    free(arc->table);
    free(arc->places);
    free(arc->stored);
    free(arc->is_there);
    free(arc->block);
    free(arc);
}

/* ---- the table ------------------------------------------------------------------------------ */

/* The table has rotted: sizes and checks stand in the LZ4 frame too, each beside its block. */
static int table_gather(struct archive *arc, int fd)
{
    uint64_t at = sizeof(struct archive_header) + LZ4F_HEAD_BYTES;

    for (uint32_t i = 0; i < arc->facts.block_count; i++) {
        struct archive_entry *entry = &arc->table[i];
        int rc = file_pread(fd, &entry->stored, sizeof(entry->stored), at);
        const uint32_t n = archive_stored(entry), len = archive_block_len(&arc->facts, i);
        const bool is_raw = (le32_get(&entry->stored) & LZ4F_RAW) != 0;

        if (rc < 0)
            return rc;
        if (n == 0 || n > len || (is_raw && n != len) ||
            at + n + LZ4F_BLOCK_MORE > arc->facts.table_off)
            return SEGLOG_ECORRUPT;
        rc = file_pread(fd, &entry->check, sizeof(entry->check), at + 4 + n);
        if (rc < 0)
            return rc;
        arc->places[i] = (uint32_t)at + 4;
        at += n + LZ4F_BLOCK_MORE;
    }
    return 0;
}

static int table_read(struct archive *arc, int fd, const char **why)
{
    const struct archive_facts *facts = &arc->facts;
    int rc = file_pread(fd, arc->table, facts->block_count * sizeof(*arc->table),
                        archive_table_at(facts));

    return rc < 0 ? rc : archive_table_check(arc->table, facts, arc->places, why);
}

static int table_need(struct archive *arc, int fd)
{
    const uint32_t n = arc->facts.block_count;
    int rc;

    if (arc->stored)
        return 0;
    free(arc->table);
    free(arc->places);
    arc->table = calloc(n, sizeof(*arc->table));
    arc->places = calloc(n, sizeof(*arc->places));
    if (!arc->table || !arc->places)
        return -ENOMEM;
    rc = table_read(arc, fd, NULL);
    if (rc == SEGLOG_ECORRUPT) {
        rc = table_gather(arc, fd);
        arc->has_bad = true;
        arc->is_lost = rc == SEGLOG_ECORRUPT;
        rc = arc->is_lost ? 0 : rc;
    }
    if (rc < 0)
        return rc;
    arc->stored = malloc(arc->facts.block_bytes);
    return arc->stored ? 0 : -ENOMEM;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static int block_load(struct archive *arc, int fd, uint32_t i, uint8_t *out)
{
    const uint32_t len = archive_block_len(&arc->facts, i);
    int rc = table_need(arc, fd);

    if (rc < 0)
        return rc;
    if (arc->is_lost) {
        memset(out, 0, len);
        return 0;
    }
    rc = file_pread(fd, arc->stored, archive_stored(&arc->table[i]), arc->places[i]);
    if (rc < 0)
        return rc == -ENODATA ? -EIO : rc;
    if (archive_block_unpack(&arc->table[i], arc->stored, out, len) < 0)
        arc->has_bad = true;
    return 0;
}

/*
 * Faulting in fresh memory page by page takes longer than unpacking into it (bench/archive). Who
 * comes from a neighbouring block will want the others too; a single seek had better not clear so much.
 */
static void expect_walk(const struct segment *seg, uint32_t i)
{
    struct archive *arc = seg->arc;

    if (arc->is_walked || ((i == 0 || !arc->is_there[i - 1]) &&
                           (i + 1 == arc->facts.block_count || !arc->is_there[i + 1])))
        return;
    arc->is_walked = true;
    (void)map_advise(seg->base, arc->facts.segment.size, MADV_HUGEPAGE); /* or without */
}

int archive_need(const struct segment *seg, uint64_t offset, uint64_t len)
{
    struct archive *arc = seg->arc;
    const uint64_t step = arc->facts.block_bytes;
    const uint32_t first = (uint32_t)(offset / step);
    uint32_t i;

    for (i = first; (uint64_t)i * step < offset + len; i++) {
        int rc;

        if (arc->is_there[i])
            continue;
        expect_walk(seg, i);
        rc = block_load(arc, seg->fd, i, seg->base + i * step);
        if (rc < 0)
            return rc;
        arc->is_there[i] = 1;
        arc->there++;
    }
    while (i < arc->facts.block_count && arc->is_there[i])
        i++;
    arc->from = first * step;
    arc->to = i == arc->facts.block_count ? arc->facts.segment.size : i * step;
    return 0;
}

uint64_t archive_reach(const struct segment *seg, uint64_t offset)
{
    const struct archive *arc = seg->arc;

    if (offset >= arc->from && offset < arc->to)
        return arc->to;
    if (offset >= arc->facts.segment.size || !arc->is_there[offset / arc->facts.block_bytes])
        return offset;
    (void)archive_need(seg, offset, 1); /* all there: it only looks how far */
    return arc->to;
}

/* Give back the memory of blocks [from, to). */
static void blocks_drop(const struct segment *seg, uint64_t from, uint64_t to)
{
    struct archive *arc = seg->arc;
    const uint64_t step = arc->facts.block_bytes, size = arc->facts.segment.size;
    const uint64_t end = to * step < size ? to * step : size;

    if (from >= to || map_advise(seg->base + from * step, end - from * step, MADV_DONTNEED) < 0)
        return;
    for (uint64_t i = from; i < to; i++) {
        arc->there -= arc->is_there[i];
        arc->is_there[i] = 0;
    }
}

/* All but the large page that offset lies in, of which half would be no gain. */
void archive_release(const struct segment *seg, uint64_t offset)
{
    struct archive *arc = seg->arc;
    const uint64_t step = arc->facts.block_bytes, count = arc->facts.block_count;
    const uint64_t base = (uintptr_t)seg->base;
    const uint64_t page = (base + offset) & ~(LARGE_BYTES - 1);
    const uint64_t from = page > base ? (page - base) / step : 0;
    const uint64_t to = (page + LARGE_BYTES - base + step - 1) / step;

    if (arc->there * step <= KEEP_BYTES)
        return;
    blocks_drop(seg, 0, from);
    blocks_drop(seg, to, count);
    arc->from = arc->to = 0;
}

static int block_keep(struct archive *arc, int fd, uint32_t i)
{
    int rc;

    if (arc->has_block && arc->block_no == i)
        return 0;
    if (!arc->block)
        arc->block = malloc(arc->facts.block_bytes);
    if (!arc->block)
        return -ENOMEM;
    arc->has_block = false;
    rc = block_load(arc, fd, i, arc->block);
    if (rc < 0)
        return rc;
    arc->block_no = i;
    arc->has_block = true;
    return 0;
}

int archive_read(const struct segment *seg, void *buf, uint64_t n, uint64_t offset)
{
    struct archive *arc = seg->arc;
    const uint64_t step = arc->facts.block_bytes;
    uint8_t *out = buf;

    if (offset > arc->facts.segment.size || n > arc->facts.segment.size - offset)
        return -ENODATA;
    while (n > 0) {
        const uint32_t i = (uint32_t)(offset / step);
        const uint64_t within = offset % step, len = archive_block_len(&arc->facts, i);
        const uint64_t part = n < len - within ? n : len - within;
        int rc;

        if (part == len && !(arc->has_block && arc->block_no == i)) {
            rc = block_load(arc, seg->fd, i, out);
        } else {
            rc = block_keep(arc, seg->fd, i);
            if (rc == 0)
                memcpy(out, arc->block + within, part);
        }
        if (rc < 0)
            return rc;
        out += part;
        offset += part;
        n -= part;
    }
    return 0;
}

int archive_index(const struct segment *seg, struct index_entry *out)
{
    return file_pread(seg->fd, out, seg->arc->facts.index_count * sizeof(*out),
                      archive_index_at(&seg->arc->facts));
}

/* ---- checking all of it --------------------------------------------------------------------- */

/* n bytes of the file must be these. */
static int must_be(int fd, const void *bytes, size_t n, uint64_t at)
{
    uint8_t have[LZ4F_HEAD_BYTES + LZ4F_SKIP_BYTES];
    const int rc = file_pread(fd, have, n, at);

    if (rc < 0)
        return rc;
    return memcmp(have, bytes, n) == 0 ? 0 : SEGLOG_ECORRUPT;
}

/* What the stock tool goes by, and we do not. */
static int check_frames(const struct segment *seg, const char **why)
{
    const struct archive_facts *facts = &seg->arc->facts;
    uint8_t head[LZ4F_HEAD_BYTES], tail[LZ4F_SKIP_BYTES];
    int rc;

    archive_lz4_head(head, facts);
    archive_tail_head(tail, facts);
    rc = must_be(seg->fd, head, sizeof(head), sizeof(struct archive_header));
    if (rc == 0)
        rc = must_be(seg->fd, tail, sizeof(tail), facts->table_off);
    return rc == SEGLOG_ECORRUPT ? bad(why, "archive: frame headers") : rc;
}

static int check_block(const struct segment *seg, uint32_t i, uint8_t *raw, const char **why)
{
    struct archive *arc = seg->arc;
    const struct archive_entry *entry = &arc->table[i];
    const uint64_t place = arc->places[i];
    int rc = must_be(seg->fd, &entry->stored, 4, place - 4);

    if (rc == 0)
        rc = must_be(seg->fd, &entry->check, 4, place + archive_stored(entry));
    if (rc == 0)
        rc = file_pread(seg->fd, arc->stored, archive_stored(entry), place);
    if (rc == 0)
        rc = archive_block_unpack(entry, arc->stored, raw, archive_block_len(&arc->facts, i));
    return rc == SEGLOG_ECORRUPT ? bad(why, "archive: a block is not as it was written") : rc;
}

/* Does the image say of itself what the frames around it say? raw holds its last block. */
static int check_last(const struct archive *arc, const uint8_t *raw, const char **why)
{
    const uint32_t len = archive_block_len(&arc->facts, arc->facts.block_count - 1);

    return memcmp(raw + len - sizeof(arc->footer), &arc->footer, sizeof(arc->footer)) == 0
               ? 0
               : bad(why, "archive: footer inside and outside differ");
}

static int check_first(const struct archive *arc, const uint8_t *raw, const char **why)
{
    struct segment_facts facts = arc->facts.segment;
    struct segment_header page;

    /* Of what it was before, only the image speaks. */
    memcpy(&page, raw, sizeof(page));
    facts.recycled = (le64_get(&page.head.compat) & SEGMENT_COMPAT_RECYCLED) != 0;
    segment_header_encode(&page, &facts);
    if (memcmp(raw, &page, sizeof(page)) != 0 && !arc->facts.segment.read_only)
        return bad(why, "archive: headers inside and outside differ");
    return memcmp(raw + OFF_ACTIVATION, arc->header.activation, sizeof(arc->header.activation)) == 0
               ? 0
               : bad(why, "archive: activation inside and outside differ");
}

static int check_blocks(const struct segment *seg, uint8_t *raw, uint64_t *offset, const char **why)
{
    struct archive *arc = seg->arc;
    const uint32_t count = arc->facts.block_count;
    le32 end[2] = {{{0}}};
    XXH32_state_t content;
    int rc = 0;

    XXH32_reset(&content, 0);
    for (uint32_t i = 0; i < count; i++) {
        *offset = (uint64_t)i * arc->facts.block_bytes;
        rc = check_block(seg, i, raw, why);
        if (rc == 0 && i == 0)
            rc = check_first(arc, raw, why);
        if (rc < 0)
            return rc;
        XXH32_update(&content, raw, archive_block_len(&arc->facts, i));
    }
    le32_put(&end[1], XXH32_digest(&content));
    rc = must_be(seg->fd, end, sizeof(end), arc->facts.table_off - sizeof(end));
    if (rc == SEGLOG_ECORRUPT)
        return bad(why, "archive: checksum of the whole");
    return rc < 0 ? rc : check_last(arc, raw, why);
}

/* The index outside: that inside is under the blocks' checks. */
static int check_index(const struct segment *seg, const char **why)
{
    const struct archive *arc = seg->arc;
    struct footer_facts footer;
    struct index_entry *index;
    int rc = footer_decode(&arc->footer, &seg->facts, &footer, why);

    if (rc < 0)
        return rc == -EAGAIN ? bad(why, "archive: no footer") : rc;
    if (footer.index_count != arc->facts.index_count)
        return bad(why, "archive: size of the index");
    index = malloc((footer.index_count + 1) * sizeof(*index));
    if (!index)
        return -ENOMEM;
    rc = archive_index(seg, index);
    if (rc == 0 && index_check(index, &footer, &seg->facts) < 0)
        rc = bad(why, "archive: index");
    free(index);
    return rc;
}

int archive_check(const struct segment *seg, uint64_t *offset, const char **why)
{
    struct archive *arc = seg->arc;
    uint8_t *raw;
    int rc = table_need(arc, seg->fd);

    *offset = arc->facts.segment.size;
    if (rc == 0)
        rc = table_read(arc, seg->fd, why);
    if (rc == 0)
        rc = check_frames(seg, why);
    if (rc == 0)
        rc = check_index(seg, why);
    if (rc < 0)
        return rc;
    raw = malloc(arc->facts.block_bytes);
    if (!raw)
        return -ENOMEM;
    rc = check_blocks(seg, raw, offset, why);
    free(raw);
    return rc;
}
