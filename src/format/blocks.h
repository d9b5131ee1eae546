/*
 * The blocks of a log's files that are not frames: settings, floor, segment header, activation, mark,
 * boot mark. Encoding makes bytes from facts, decoding facts from bytes; a decoder believes nothing
 * that it has not checked, and says in *why (static text, may be NULL) what was wrong.
 */
#ifndef FORMAT_BLOCKS_H
#define FORMAT_BLOCKS_H

#include "format/word.h"

struct settings_facts {
    uint8_t uuid[16];
    uint64_t segment_size;
    uint64_t created_ns;
    uint32_t sync;
    uint32_t mode;
    uint32_t discipline;
    uint64_t sync_interval_ns; /* 0 unless sync is SEGLOG_SYNC_INTERVAL */
    uint64_t keep_size;        /* retention; each 0: no such rule */
    uint64_t keep_age_ns;
    uint64_t keep_segments;
    uint64_t archive_after_ns; /* since the seal; 0: never */
    uint32_t archive_level;    /* 0: the usual one */
    bool read_only;            /* a ro_compat bit that is unknown here */
};

/* Where a segment's parts lie; follows from its size alone. */
struct segment_shape {
    uint64_t frames_end; /* of the region, the unit for ROLL included */
    uint64_t index_off;
    uint64_t index_max; /* entries there is room for */
    uint64_t footer_off;
    uint64_t span_max;
};

struct segment_facts {
    uint8_t uuid[16];
    uint64_t number;
    uint64_t generation;
    uint64_t size;
    uint64_t created_ns;
    uint32_t discipline;
    bool read_only;
    bool recycled; /* SEGMENT_COMPAT_RECYCLED */
    struct segment_shape shape;
    struct frame_space space;
};

struct activation_facts {
    uint64_t base_seq;
    uint64_t epoch;
    uint64_t pred_generation;
};

struct mark_facts {
    uint64_t counter;
    uint64_t offset;
    uint64_t seq_rel;
    uint64_t wall_ns;
};

struct floor_facts {
    uint64_t counter;
    uint64_t number;
    uint64_t first_seq;
};

struct cursor_facts {
    uint64_t counter;
    uint64_t epoch;
    uint64_t seq;
    uint64_t wall_ns;
    uint32_t pid;
};

struct boot_facts {
    uint8_t boot_id[16];
    uint64_t dev;
    uint64_t ino;
    bool known; /* the boot id could be read */
};

/* size: a power of two within the limits. false otherwise. */
bool segment_size_is_legal(uint64_t size);
void segment_shape(uint64_t size, struct segment_shape *out);
void frame_space_init(struct frame_space *space, uint64_t size, uint64_t generation);

/* What every file begins with. crc_is_good: the caller's, of the page that this stands in. */
void head_encode(struct file_head *head, const char *magic, const uint8_t uuid[16]);
int head_decode(const struct file_head *head, const char *magic, bool crc_is_good,
                const char **why);

void settings_encode(struct settings_page *page, const struct settings_facts *facts);
/* 0; SEGLOG_ENOTLOG, SEGLOG_EENDIAN, SEGLOG_EVERSION, SEGLOG_ECORRUPT */
int settings_decode(const struct settings_page *page, struct settings_facts *out, const char **why);

void segment_header_encode(struct segment_header *page, const struct segment_facts *facts);
/* Does its checksum fit, whatever it says? */
bool segment_header_is_whole(const struct segment_header *page);
/* As settings_decode(). */
int segment_header_decode(const struct segment_header *page, struct segment_facts *out,
                          const char **why);

/* Store the block into shared memory, the magic last. */
void activation_store(struct activation_block *block, uint64_t generation,
                      const struct activation_facts *facts);
/* 0; -EAGAIN: not activated; SEGLOG_ECORRUPT */
int activation_load(const struct activation_block *block, uint64_t generation,
                    struct activation_facts *out);

void mark_encode(struct mark_slot *slot, uint64_t generation, const struct mark_facts *facts);
/* 0; -EAGAIN: never written (all zero); SEGLOG_ECORRUPT */
int mark_decode(const struct mark_slot *slot, const struct segment_facts *seg,
                struct mark_facts *out);
/* Is this some segment's mark? For segments whose header is lost. */
bool mark_is_whole(const struct mark_slot *slot);

void floor_encode(struct floor_slot *slot, const uint8_t uuid[16], const struct floor_facts *facts);
/* 0; -EAGAIN: never written; SEGLOG_ECORRUPT */
int floor_decode(const struct floor_slot *slot, const uint8_t uuid[16], struct floor_facts *out);

void cursor_encode(struct cursor_slot *slot, const uint8_t uuid[16],
                   const struct cursor_facts *facts);
/* 0; -EAGAIN: never written; SEGLOG_ECORRUPT */
int cursor_decode(const struct cursor_slot *slot, const uint8_t uuid[16], struct cursor_facts *out);

void boot_mark_encode(struct boot_mark *mark, const struct boot_facts *facts);

enum boot_relation {
    BOOT_SAME = 0,    /* page cache and locks are still those of the writers */
    BOOT_OTHER = 1,   /* the machine was started anew since */
    BOOT_UNKNOWN = 2, /* a copy, or nobody can tell */
};
/* How a stored mark relates to what is true of the file now. */
enum boot_relation boot_mark_relation(const struct boot_mark *mark, const struct boot_facts *now);

/* Checkpoint in the tail page: both words by themselves are atomic, together they are checked. */
void checkpoint_store(struct tail_page *tail, const struct frame_space *space, uint64_t word);
/* The word, or 0 when there is none to believe. */
uint64_t checkpoint_load(const struct tail_page *tail, const struct frame_space *space);

static inline uint64_t tail_word(uint64_t seq_rel, uint64_t offset)
{
    return seq_rel << 32 | offset / FRAME_ALIGN;
}
static inline uint64_t tail_offset(uint64_t word)
{
    return (word & UINT32_MAX) * FRAME_ALIGN;
}
static inline uint64_t tail_seq_rel(uint64_t word)
{
    return word >> 32;
}

#endif
