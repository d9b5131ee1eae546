/*
 * Blocks: encoding and decoding of everything in a log's files that is not a frame.
 */
#include "format/blocks.h"

#include <errno.h>

#define CRC_SPAN(p, end) (~crc32c(~0u, (p), (end)))

static void say(const char **why, const char *text)
{
    if (why)
        *why = text;
}

/* ---- what every file begins with ------------------------------------------------------------ */

void head_encode(struct file_head *head, const char *magic, const uint8_t uuid[16])
{
    memset(head, 0, sizeof(*head));
    memcpy(head->magic, magic, sizeof(head->magic));
    le32_put(&head->endian, ENDIAN_MARK);
    le16_put(&head->major, FORMAT_MAJOR);
    le16_put(&head->minor, FORMAT_MINOR);
    memcpy(head->uuid, uuid, 16);
}

/*
 * The order of the questions matters: is it ours, can we read its integers, is it undamaged (the
 * caller's crc), and only then whether its version is one we know - a flipped bit in the version must
 * not be taken for a newer release.
 */
int head_decode(const struct file_head *head, const char *magic, bool crc_is_good, const char **why)
{
    if (memcmp(head->magic, magic, sizeof(head->magic)) != 0) {
        say(why, "not a seglog file (magic)");
        return SEGLOG_ENOTLOG;
    }
    if (le32_get(&head->endian) == __builtin_bswap32(ENDIAN_MARK)) {
        say(why, "written with the other byte order");
        return SEGLOG_EENDIAN;
    }
    if (!crc_is_good) {
        say(why, "checksum of the file's first page");
        return SEGLOG_ECORRUPT;
    }
    if (le32_get(&head->endian) != ENDIAN_MARK) {
        say(why, "byte order mark");
        return SEGLOG_ECORRUPT;
    }
    if (le16_get(&head->major) != FORMAT_MAJOR) {
        say(why, "another major format version");
        return SEGLOG_EVERSION;
    }
    if (le64_get(&head->incompat) != 0) {
        say(why, "a feature that this release does not know");
        return SEGLOG_EVERSION;
    }
    return 0;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

bool segment_size_is_legal(uint64_t size)
{
    return is_power_of_two(size) && size >= SEGMENT_SIZE_MIN && size <= SEGMENT_SIZE_MAX;
}

void segment_shape(uint64_t size, struct segment_shape *out)
{
    out->index_max = size / INDEX_STRIDE;
    out->footer_off = size - PAGE_BYTES;
    out->index_off = out->footer_off - align_up(out->index_max * INDEX_ENTRY_BYTES, PAGE_BYTES);
    out->frames_end = out->index_off;
    out->span_max = size / 4;
}

void frame_space_init(struct frame_space *space, uint64_t size, uint64_t generation)
{
    struct segment_shape shape;
    le64 gen;

    segment_shape(size, &shape);
    le64_put(&gen, generation);
    *space = (struct frame_space){
        .frames_off = OFF_FRAMES,
        .frames_end = shape.frames_end,
        .span_max = shape.span_max,
        .seed = CRC_SPAN(&gen, sizeof(gen)),
        .gen16 = generation & 0xffff,
        .fast = crc32c_is_hardware(),
    };
}

/* ---- settings ------------------------------------------------------------------------------- */

void settings_encode(struct settings_page *page, const struct settings_facts *facts)
{
    memset(page, 0, sizeof(*page));
    head_encode(&page->head, MAGIC_SETTINGS, facts->uuid);
    le64_put(&page->segment_size, facts->segment_size);
    le64_put(&page->created_ns, facts->created_ns);
    le32_put(&page->sync, facts->sync);
    le32_put(&page->mode, facts->mode);
    le32_put(&page->discipline, facts->discipline);
    le64_put(&page->sync_interval_ns, facts->sync_interval_ns);
    le64_put(&page->keep_size, facts->keep_size);
    le64_put(&page->keep_age_ns, facts->keep_age_ns);
    le64_put(&page->keep_segments, facts->keep_segments);
    le64_put(&page->archive_after_ns, facts->archive_after_ns);
    le32_put(&page->archive_level, facts->archive_level);
    le32_put(&page->crc, CRC_SPAN(page, offsetof(struct settings_page, crc)));
}

int settings_decode(const struct settings_page *page, struct settings_facts *out, const char **why)
{
    const uint32_t crc = CRC_SPAN(page, offsetof(struct settings_page, crc));
    const int rc = head_decode(&page->head, MAGIC_SETTINGS, crc == le32_get(&page->crc), why);
    struct settings_facts facts = {
        .segment_size = le64_get(&page->segment_size),
        .created_ns = le64_get(&page->created_ns),
        .sync = le32_get(&page->sync),
        .mode = le32_get(&page->mode),
        .discipline = le32_get(&page->discipline),
        .sync_interval_ns = le64_get(&page->sync_interval_ns),
        .keep_size = le64_get(&page->keep_size),
        .keep_age_ns = le64_get(&page->keep_age_ns),
        .keep_segments = le64_get(&page->keep_segments),
        .archive_after_ns = le64_get(&page->archive_after_ns),
        .archive_level = le32_get(&page->archive_level),
        .read_only = le64_get(&page->head.ro_compat) != 0,
    };

    if (rc < 0)
        return rc;
    if (!segment_size_is_legal(facts.segment_size) || facts.mode > 0777) {
        say(why, "settings out of range");
        return SEGLOG_ECORRUPT;
    }
    if (facts.sync < 1 || facts.sync > 4 || facts.discipline != DISCIPLINE_MAPPED) {
        /* Later releases know more sync levels; what they mean for appending we cannot honour. */
        facts.read_only = true;
    }
    memcpy(facts.uuid, page->head.uuid, 16);
    *out = facts;
    return 0;
}

/* ---- segment header ------------------------------------------------------------------------- */

void segment_header_encode(struct segment_header *page, const struct segment_facts *facts)
{
    struct segment_shape shape;

    segment_shape(facts->size, &shape);
    memset(page, 0, sizeof(*page));
    head_encode(&page->head, MAGIC_SEGMENT, facts->uuid);
    le64_put(&page->head.compat, facts->recycled ? SEGMENT_COMPAT_RECYCLED : 0);
    le64_put(&page->number, facts->number);
    le64_put(&page->generation, facts->generation);
    le64_put(&page->size, facts->size);
    le64_put(&page->frames_end, shape.frames_end);
    le32_put(&page->frames_off, OFF_FRAMES);
    le32_put(&page->discipline, facts->discipline);
    le64_put(&page->created_ns, facts->created_ns);
    le32_put(&page->crc, CRC_SPAN(page, offsetof(struct segment_header, crc)));
}

bool segment_header_is_whole(const struct segment_header *page)
{
    return CRC_SPAN(page, offsetof(struct segment_header, crc)) == le32_get(&page->crc);
}

int segment_header_decode(const struct segment_header *page, struct segment_facts *out,
                          const char **why)
{
    const int rc = head_decode(&page->head, MAGIC_SEGMENT, segment_header_is_whole(page), why);
    struct segment_facts facts = {
        .number = le64_get(&page->number),
        .generation = le64_get(&page->generation),
        .size = le64_get(&page->size),
        .created_ns = le64_get(&page->created_ns),
        .discipline = le32_get(&page->discipline),
        .read_only = le64_get(&page->head.ro_compat) != 0,
        .recycled = (le64_get(&page->head.compat) & SEGMENT_COMPAT_RECYCLED) != 0,
    };

    if (rc < 0)
        return rc;
    if (!segment_size_is_legal(facts.size) || facts.generation == 0) {
        say(why, "segment header out of range");
        return SEGLOG_ECORRUPT;
    }
    segment_shape(facts.size, &facts.shape);
    if (le64_get(&page->frames_end) != facts.shape.frames_end ||
        le32_get(&page->frames_off) != OFF_FRAMES) {
        say(why, "segment header names another layout");
        return SEGLOG_ECORRUPT;
    }
    if (facts.discipline != DISCIPLINE_MAPPED && facts.discipline != DISCIPLINE_GATED) {
        say(why, "unknown write discipline");
        return SEGLOG_EVERSION;
    }
    memcpy(facts.uuid, page->head.uuid, 16);
    frame_space_init(&facts.space, facts.size, facts.generation);
    *out = facts;
    return 0;
}

/* ---- activation ----------------------------------------------------------------------------- */

static uint64_t activation_magic(void)
{
    le64 magic;

    memcpy(&magic, MAGIC_ACTIVATION, sizeof(magic));
    return le64_get(&magic);
}

void activation_store(struct activation_block *block, uint64_t generation,
                      const struct activation_facts *facts)
{
    le64_put(&block->base_seq, facts->base_seq);
    le64_put(&block->epoch, facts->epoch);
    le64_put(&block->pred_generation, facts->pred_generation);
    le64_put(&block->generation, generation);
    le32_put(&block->zero, 0);
    le32_put(&block->crc, CRC_SPAN(block, offsetof(struct activation_block, crc)));
    /* ORDER activation.publish -> activation.observe (activation_load): the fields above. */
    word_store(&block->magic, activation_magic(), memory_order_release);
}

int activation_load(const struct activation_block *block, uint64_t generation,
                    struct activation_facts *out)
{
    const uint64_t magic = word_load(&block->magic, memory_order_acquire);

    if (magic == 0)
        return -EAGAIN;
    if (magic != activation_magic() || le64_get(&block->generation) != generation ||
        CRC_SPAN(block, offsetof(struct activation_block, crc)) != le32_get(&block->crc))
        return SEGLOG_ECORRUPT;
    *out = (struct activation_facts){
        .base_seq = le64_get(&block->base_seq),
        .epoch = le64_get(&block->epoch),
        .pred_generation = le64_get(&block->pred_generation),
    };
    return 0;
}

/* ---- mark and floor ------------------------------------------------------------------------- */

void mark_encode(struct mark_slot *slot, uint64_t generation, const struct mark_facts *facts)
{
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->magic, MAGIC_MARK, sizeof(slot->magic));
    le64_put(&slot->generation, generation);
    le64_put(&slot->counter, facts->counter);
    le64_put(&slot->offset, facts->offset);
    le64_put(&slot->seq_rel, facts->seq_rel);
    le64_put(&slot->wall_ns, facts->wall_ns);
    le32_put(&slot->crc, CRC_SPAN(slot, offsetof(struct mark_slot, crc)));
}

bool mark_is_whole(const struct mark_slot *slot)
{
    return memcmp(slot->magic, MAGIC_MARK, sizeof(slot->magic)) == 0 &&
           CRC_SPAN(slot, offsetof(struct mark_slot, crc)) == le32_get(&slot->crc);
}

int mark_decode(const struct mark_slot *slot, const struct segment_facts *seg,
                struct mark_facts *out)
{
    const struct mark_facts facts = {
        .counter = le64_get(&slot->counter),
        .offset = le64_get(&slot->offset),
        .seq_rel = le64_get(&slot->seq_rel),
        .wall_ns = le64_get(&slot->wall_ns),
    };

    if (bytes_are_zero(slot, sizeof(*slot)))
        return -EAGAIN;
    if (!mark_is_whole(slot) || le64_get(&slot->generation) != seg->generation)
        return SEGLOG_ECORRUPT;
    if (facts.offset < seg->space.frames_off || facts.offset > seg->space.frames_end ||
        facts.offset % FRAME_ALIGN != 0 || facts.seq_rel > UINT32_MAX)
        return SEGLOG_ECORRUPT;
    *out = facts;
    return 0;
}

void floor_encode(struct floor_slot *slot, const uint8_t uuid[16], const struct floor_facts *facts)
{
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->magic, MAGIC_FLOOR, sizeof(slot->magic));
    memcpy(slot->uuid, uuid, 16);
    le64_put(&slot->counter, facts->counter);
    le64_put(&slot->number, facts->number);
    le64_put(&slot->first_seq, facts->first_seq);
    le32_put(&slot->crc, CRC_SPAN(slot, offsetof(struct floor_slot, crc)));
}

int floor_decode(const struct floor_slot *slot, const uint8_t uuid[16], struct floor_facts *out)
{
    if (bytes_are_zero(slot, sizeof(*slot)))
        return -EAGAIN;
    if (memcmp(slot->magic, MAGIC_FLOOR, sizeof(slot->magic)) != 0 ||
        memcmp(slot->uuid, uuid, 16) != 0 ||
        CRC_SPAN(slot, offsetof(struct floor_slot, crc)) != le32_get(&slot->crc))
        return SEGLOG_ECORRUPT;
    *out = (struct floor_facts){
        .counter = le64_get(&slot->counter),
        .number = le64_get(&slot->number),
        .first_seq = le64_get(&slot->first_seq),
    };
    return 0;
}

/* ---- boot and checkpoint -------------------------------------------------------------------- */

/* ---- cursor --------------------------------------------------------------------------------- */

void cursor_encode(struct cursor_slot *slot, const uint8_t uuid[16],
                   const struct cursor_facts *facts)
{
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->magic, MAGIC_CURSOR, sizeof(slot->magic));
    memcpy(slot->uuid, uuid, 16);
    le64_put(&slot->counter, facts->counter);
    le64_put(&slot->epoch, facts->epoch);
    le64_put(&slot->seq, facts->seq);
    le64_put(&slot->wall_ns, facts->wall_ns);
    le32_put(&slot->pid, facts->pid);
    le32_put(&slot->crc, CRC_SPAN(slot, offsetof(struct cursor_slot, crc)));
}

int cursor_decode(const struct cursor_slot *slot, const uint8_t uuid[16], struct cursor_facts *out)
{
    if (bytes_are_zero(slot, sizeof(*slot)))
        return -EAGAIN;
    if (memcmp(slot->magic, MAGIC_CURSOR, sizeof(slot->magic)) != 0 ||
        CRC_SPAN(slot, offsetof(struct cursor_slot, crc)) != le32_get(&slot->crc) ||
        memcmp(slot->uuid, uuid, 16) != 0)
        return SEGLOG_ECORRUPT;
    *out = (struct cursor_facts){
        .counter = le64_get(&slot->counter),
        .epoch = le64_get(&slot->epoch),
        .seq = le64_get(&slot->seq),
        .wall_ns = le64_get(&slot->wall_ns),
        .pid = le32_get(&slot->pid),
    };
    return 0;
}

void boot_mark_encode(struct boot_mark *mark, const struct boot_facts *facts)
{
    memset(mark, 0, sizeof(*mark));
    if (facts->known)
        memcpy(mark->boot_id, facts->boot_id, 16);
    le64_put(&mark->dev, facts->dev);
    le64_put(&mark->ino, facts->ino);
    le32_put(&mark->crc, CRC_SPAN(mark, offsetof(struct boot_mark, crc)));
}

enum boot_relation boot_mark_relation(const struct boot_mark *mark, const struct boot_facts *now)
{
    if (CRC_SPAN(mark, offsetof(struct boot_mark, crc)) != le32_get(&mark->crc))
        return BOOT_OTHER; /* only a power cut, or damage, leaves it so */
    if (!now->known || bytes_are_zero(mark->boot_id, 16))
        return BOOT_UNKNOWN;
    if (memcmp(mark->boot_id, now->boot_id, 16) != 0)
        return BOOT_OTHER;
    if (le64_get(&mark->dev) != now->dev || le64_get(&mark->ino) != now->ino)
        return BOOT_UNKNOWN;
    return BOOT_SAME;
}

static uint64_t checkpoint_crc(const struct frame_space *space, uint64_t word)
{
    le64 bytes;

    le64_put(&bytes, word);
    return ~crc32c(~space->seed, &bytes, sizeof(bytes));
}

void checkpoint_store(struct tail_page *tail, const struct frame_space *space, uint64_t word)
{
    word_store(&tail->checkpoint, word, memory_order_relaxed);
    word_store(&tail->checkpoint_check, checkpoint_crc(space, word), memory_order_release);
}

uint64_t checkpoint_load(const struct tail_page *tail, const struct frame_space *space)
{
    const uint64_t check = word_load(&tail->checkpoint_check, memory_order_acquire);
    const uint64_t word = word_load(&tail->checkpoint, memory_order_relaxed);

    if (word == 0 || check != checkpoint_crc(space, word))
        return 0;
    if (tail_offset(word) < space->frames_off ||
        tail_offset(word) > space->frames_end - FRAME_ALIGN)
        return 0;
    return word;
}
