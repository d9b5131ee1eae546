/*
 * Files of state: what a cell, a struct and a table lie in. As layout.h does for logs.
 *
 *   0x0000  header page   known at creation, never changes
 *   0x1000  hot page      words of this boot and of the present; different for each kind
 *   0x2000  data
 *
 * Everything is in the byte order of the machine that made the file; the header says which, and a
 * machine of the other kind refuses.
 */
#ifndef FORMAT_STATE_H
#define FORMAT_STATE_H

#include "base/bell.h"
#include "format/blocks.h"

#define MAGIC_CELL   "SEGLOGv\n"
#define MAGIC_STRUCT "SEGLOGt\n"
#define MAGIC_TABLE  "SEGLOGh\n"

#define STATE_OFF_HOT  0x1000u
#define STATE_OFF_DATA 0x2000u

struct state_header {
    struct file_head head;
    le64 generation; /* random, never 0; seeds every checksum in the file */
    le64 schema;     /* what the user says the content is */
    le64 size;       /* cell: bytes of every value, 0: any. struct: bytes of it */
    le64 created_ns;
    le32 parts;  /* cell: slots. table: shards */
    le32 extent; /* struct: bytes of the text that describes it, in the page behind the hot one */
    uint8_t log[16]; /* table with STATE_LOGGED: uuid of the log that has its changes */
    uint8_t zero[3980];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct state_header) == PAGE_BYTES, "FORMAT: state header");
static_assert(offsetof(struct state_header, generation) == 56, "FORMAT: state header");
static_assert(offsetof(struct state_header, schema) == 64, "FORMAT: state header");
static_assert(offsetof(struct state_header, size) == 72, "FORMAT: state header");
static_assert(offsetof(struct state_header, created_ns) == 80, "FORMAT: state header");
static_assert(offsetof(struct state_header, parts) == 88, "FORMAT: state header");
static_assert(offsetof(struct state_header, extent) == 92, "FORMAT: state header");
static_assert(offsetof(struct state_header, log) == 96, "FORMAT: state header");
static_assert(offsetof(struct state_header, crc) == 4092, "FORMAT: state header");

/* A bit of incompat: the file is made from a log, and who changes one without the other spoils it. */
#define STATE_LOGGED UINT64_C(1)
/* A bit of compat, in tables: each shard has its mark, table_mark(). */
#define STATE_MARKED UINT64_C(1)

struct state_facts {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t schema;
    uint64_t size;
    uint64_t created_ns;
    uint32_t parts;
    uint32_t extent;
    uint8_t log[16];
    bool is_logged;
    bool is_marked;
};

void state_header_encode(struct state_header *page, const char *magic,
                         const struct state_facts *facts);
/* 0; SEGLOG_ENOTLOG, SEGLOG_EENDIAN, SEGLOG_EVERSION, SEGLOG_ECORRUPT */
int state_header_decode(const struct state_header *page, const char *magic,
                        struct state_facts *out);

/* ---- cell ------------------------------------------------------------------------------------ */

#define CELL_SLOTS_MIN 2u
#define CELL_SLOTS_MAX 48u

/*
 * One version of the value, or one that is being written. Version v lies in slot v % slots.
 * Where the bytes are is decided by the writer of each version: behind the hot page at first, at the
 * end of the file once they have outgrown that.
 */
struct cell_slot {
    _Atomic uint64_t seq;      /* version << 1; bit 0: being written. 0: never */
    _Atomic uint64_t offset;   /* of the bytes, in the file; a multiple of 8 */
    _Atomic uint64_t capacity; /* there; a multiple of 8 */
    _Atomic uint64_t len;
    _Atomic uint64_t crc; /* cell_crc() */
    uint8_t zero[24];
};
static_assert(sizeof(struct cell_slot) == 64, "FORMAT: cell slot");

struct cell_hot {
    _Atomic uint64_t current; /* the version that readers see; 0: none yet */
    uint8_t zero0[56];
    struct bell bell;
    uint8_t zero1[48];
    _Atomic uint64_t durable; /* a version that was synced, believed only with its check */
    _Atomic uint64_t durable_check;
    _Atomic uint32_t poison; /* negated errno of a sync that failed in this boot */
    uint32_t zero2;
    struct boot_mark boot; /* who wrote `current` and `poison` */
    uint8_t zero3[320];
    struct cell_slot slots[CELL_SLOTS_MAX];
};
static_assert(offsetof(struct cell_hot, bell) == 64, "FORMAT: cell");
static_assert(offsetof(struct cell_hot, durable) == 128, "FORMAT: cell");
static_assert(offsetof(struct cell_hot, poison) == 144, "FORMAT: cell");
static_assert(offsetof(struct cell_hot, boot) == 152, "FORMAT: cell");
static_assert(offsetof(struct cell_hot, slots) == 512, "FORMAT: cell");
static_assert(sizeof(struct cell_hot) <= PAGE_BYTES, "FORMAT: cell");

/* Over a value, its version and its length; seed: state_seed() of the file. */
uint32_t cell_crc(uint32_t seed, const void *value, uint64_t len, uint64_t version);
uint32_t state_seed(uint64_t generation);

void cell_durable_store(struct cell_hot *hot, uint32_t seed, uint64_t version);
/* 0 when there is none to believe. */
uint64_t cell_durable_load(const struct cell_hot *hot, uint32_t seed);

/* ---- table ----------------------------------------------------------------------------------- */

#define TABLE_SHARDS_MAX 256u
#define TABLE_OWNERS     256u
#define TABLE_CLASSES    40u /* of blocks: 32, 48, 64, 96 ... bytes */

/* One part of the table, with a lock of its own. Changed by whoever holds that; read by all. */
struct table_shard {
    _Atomic uint32_t lock; /* 0, or who holds it; see table_lock.c */
    uint32_t mark;         /* table_mark(), never changed: a shard that was wiped has none */
    /* Where the slots are: offset in the file (a multiple of 4096, below 2^42) | log2 of how many, and
     * from bit 42 on a count of how often they moved. 0: there are none yet. */
    _Atomic uint64_t slots;
    _Atomic uint64_t keys;
    _Atomic uint64_t used;        /* slots that are not empty: keys and graves */
    uint64_t spare;               /* the slots before, as `slots`; 0: none */
    uint64_t fresh, fresh_end;    /* room that was never used */
    uint64_t free[TABLE_CLASSES]; /* blocks to be used again; each names the next. 0: none */
    uint64_t
        intent; /* with a log: 1 + a number below that of a change begun and not yet made here; 0: none */
    uint8_t zero1[128];
};
static_assert(offsetof(struct table_shard, intent) == 376, "FORMAT: table shard");
static_assert(sizeof(struct table_shard) == 512, "FORMAT: table shard");

/* Of a shard of the file with this state_seed(); never 0. */
uint32_t table_mark(uint32_t seed, uint32_t shard);

struct table_hot {
    struct boot_mark boot; /* the boot in which the entries were last checked */
    uint8_t zero0[24];
    _Atomic uint64_t end; /* of what is given away of the file */
    uint8_t zero1[56];
    _Atomic uint32_t owners[TABLE_OWNERS]; /* moved on by each new holder of the place */
};
static_assert(sizeof(struct table_hot) <= PAGE_BYTES, "FORMAT: table");

/* One place for a key. */
struct table_slot {
    _Atomic uint64_t hash;
    _Atomic uint64_t ref; /* 0: never used; else table_ref_* of it */
};
static_assert(sizeof(struct table_slot) == 16, "FORMAT: table slot");

/* A key and its value: never changed while a slot refers to it. */
struct table_entry {
    uint32_t key_len;
    uint32_t len;
    uint32_t crc; /* table_crc() */
    uint32_t size_class;
    /* the key, filled up to 8; the value */
};
static_assert(sizeof(struct table_entry) == 16, "FORMAT: table entry");

/*
 * A reference: where its entry is in units of 8 bytes, or 1 for a grave; above that how often the slot has
 * changed, so that the same block in the same slot is another word.
 */
#define TABLE_REF_BITS 40

static inline uint64_t table_ref_place(uint64_t ref)
{
    return ref & ((UINT64_C(1) << TABLE_REF_BITS) - 1);
}
static inline bool table_ref_is_live(uint64_t ref)
{
    return table_ref_place(ref) > 1;
}
static inline uint64_t table_ref_next(uint64_t ref, uint64_t place)
{
    return (((ref >> TABLE_REF_BITS) + 1) << TABLE_REF_BITS) | place;
}

static inline uint64_t table_value_offset(uint64_t key_len)
{
    return sizeof(struct table_entry) + align_up(key_len, 8);
}

static inline uint64_t table_class_bytes(uint32_t size_class)
{
    return (size_class % 2 ? UINT64_C(48) : UINT64_C(32)) << size_class / 2;
}

#endif
