/*
 * A ring's file: header, shared words, places, and the words that stand before messages.
 *
 *   0x00000  header    known at creation, never changes once the file has its name
 *   0x01000  shared    the words that producers and consumers change, each group on lines of its own
 *   0x02000  places    one for each producer and consumer
 *   data_off data      `size` bytes, used again and again; mapped twice in a row
 *
 * A position counts bytes since the ring was made, modulo 2^64; the byte at position p lies at
 * offset p % size of the data. Messages lie back to back, each behind a word, at multiples of 8:
 *
 *   bit    0..2   3        4..31        32..63
 *   DATA   2      stamped  0            payload length
 *   DONE   3      stamped  0            payload length      work: a consumer has finished with it
 *
 *          0..2   3..10    11..31       32..63
 *   CLAIM  1      place    generation   span / 8
 *   PAD    4      0                     span / 8            aborted, or the rest of a trimmed claim
 *
 * Zero is "nothing here yet", and the word at the end is always zero: whoever puts a message in
 * stores zero behind it before the message's own word. So nobody needs to zero memory that is used
 * again, and what a payload looks like does not matter. `stamped`: time (8 bytes) and tag (8) stand
 * before the payload.
 *
 * All of it is in the byte order of the machine, which the header names: a ring is shared memory.
 */
#ifndef FORMAT_RING_H
#define FORMAT_RING_H

#include "base/bell.h"
#include "format/layout.h"

#include <seglog/status.h>

#include <stdbool.h>

#define MAGIC_RING "SEGLOGq\n"

#define RING_SIZE_MIN   (UINT64_C(4) << 10)
#define RING_SIZE_MAX   (UINT64_C(1) << 30)
#define RING_PLACES     256u
#define RING_ALIGN      8u
#define RING_WORD       8u
#define RING_STAMP      16u
#define RING_OFF_SHARED 0x1000u
#define RING_OFF_PLACES 0x2000u
#define RING_CTRL_BYTES 0x10000u /* at least; data_off is a multiple of the mapping's page size */

/* ---- header --------------------------------------------------------------------------------- */

struct ring_header {
    struct file_head head;
    le64 size;     /* of the data */
    le64 data_off; /* where they begin; the file ends behind them */
    le64 start;    /* position of the first message */
    le64 created_ns;
    le32 kind;     /* enum seglog_ring_kind */
    le32 overload; /* enum seglog_overload */
    le32 mode;     /* permission bits of the file */
    uint8_t zero[3992];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct ring_header) == PAGE_BYTES, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, size) == 56, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, data_off) == 64, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, start) == 72, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, created_ns) == 80, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, kind) == 88, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, overload) == 92, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, mode) == 96, "FORMAT: ring header");
static_assert(offsetof(struct ring_header, crc) == 4092, "FORMAT: ring header");

struct ring_facts {
    uint8_t uuid[16];
    uint64_t size;
    uint64_t data_off;
    uint64_t start;
    uint64_t created_ns;
    uint32_t kind;
    uint32_t overload;
    uint32_t mode;
};

/* NULL, or why this kind and overload make no ring (static text). */
const char *ring_pair_refusal(uint32_t kind, uint32_t overload);

void ring_header_encode(struct ring_header *page, const struct ring_facts *facts);
/* 0; SEGLOG_ENOTLOG, SEGLOG_EENDIAN, SEGLOG_EVERSION, SEGLOG_ECORRUPT */
int ring_header_decode(const struct ring_header *page, struct ring_facts *out, const char **why);

/* ---- shared words --------------------------------------------------------------------------- */

/* How far something has come. Two copies, of which the last bit of `turn` says the one that counts.
 * */
struct ring_count {
    _Atomic uint64_t pos;
    _Atomic uint64_t records; /* messages before it */
    _Atomic uint64_t bytes;   /* their payload */
};
struct ring_mark {
    _Atomic uint64_t turn;
    struct ring_count at[2];
};

/* Who sleeps until something happens. */
struct ring_bell {
    struct bell bell;
    uint8_t zero[112];
};
static_assert(sizeof(struct ring_bell) == 128, "FORMAT: ring bell");

/* Two lines for each group: processors fetch them in pairs. */
struct ring_shared {
    struct boot_mark boot;
    _Atomic uint64_t ready; /* 1 once its first opener has emptied it */
    uint8_t zero0[80];
    /* +128: many producers. Who may claim (0: anybody; place + 1, generation << 32), and where. */
    _Atomic uint64_t put_lock;
    _Atomic uint64_t tail;
    uint8_t zero1[112];
    /* +256: many consumers. */
    _Atomic uint64_t take_lock;
    _Atomic uint64_t take;
    uint8_t zero2[112];
    struct ring_mark floor; /* +384: what is kept begins here; the producers' to move */
    uint8_t zero3[72];
    struct ring_mark consumer; /* +512: of the one consumer; if nothing is overwritten, the floor */
    uint8_t zero4[72];
    struct ring_bell data; /* +640: consumers sleep */
    struct ring_bell room; /* +768: producers sleep */
    /* +896: seldom written. */
    _Atomic uint64_t dropped;
    _Atomic uint32_t places; /* places that were ever taken: all others are free */
    uint32_t zero5;
    uint8_t zero6[112];
};
static_assert(offsetof(struct ring_shared, ready) == 40, "FORMAT: ring ready");
static_assert(offsetof(struct ring_shared, put_lock) == 128, "FORMAT: ring put");
static_assert(offsetof(struct ring_shared, take_lock) == 256, "FORMAT: ring take");
static_assert(offsetof(struct ring_shared, floor) == 384, "FORMAT: ring floor");
static_assert(offsetof(struct ring_shared, consumer) == 512, "FORMAT: ring consumer");
static_assert(offsetof(struct ring_shared, data) == 640, "FORMAT: ring data bell");
static_assert(offsetof(struct ring_shared, room) == 768, "FORMAT: ring room bell");
static_assert(offsetof(struct ring_shared, dropped) == 896, "FORMAT: ring dropped");
static_assert(sizeof(struct ring_shared) == 1024, "FORMAT: ring shared");

#define RING_PLACE_FREE     0u
#define RING_PLACE_PRODUCER 1u
#define RING_PLACE_CONSUMER 2u
#define RING_GEN_MAX        0x1fffffu

/* The place of one producer or consumer. */
struct ring_place {
    _Atomic uint64_t hold;     /* generation << 2 | RING_PLACE_*; not free and not locked: dead */
    _Atomic uint64_t since_ns; /* wall clock, for people */
    _Atomic uint32_t pid;      /* for people */
    uint32_t zero0;
    _Atomic uint64_t
        from; /* work: positions handed out and not released; broadcast: how far it is */
    _Atomic uint64_t to;
    _Atomic uint64_t again; /* work: 1 when they were handed to somebody else before */
    uint8_t zero1[80];
};
static_assert(sizeof(struct ring_place) == 128, "FORMAT: ring place");
static_assert(offsetof(struct ring_place, from) == 24, "FORMAT: ring place");
static_assert(offsetof(struct ring_place, again) == 40, "FORMAT: ring place");

struct ring_ctrl {
    struct ring_header header;
    struct ring_shared shared;
    uint8_t zero[PAGE_BYTES - sizeof(struct ring_shared)];
    struct ring_place places[RING_PLACES];
};
static_assert(offsetof(struct ring_ctrl, shared) == RING_OFF_SHARED, "FORMAT: ring");
static_assert(offsetof(struct ring_ctrl, places) == RING_OFF_PLACES, "FORMAT: ring");
static_assert(sizeof(struct ring_ctrl) <= RING_CTRL_BYTES, "FORMAT: ring");

/* Locks are on bytes that no file reaches: the kernel does not mind. */
#define RING_LOCK_BASE     (UINT64_C(1) << 40)
#define RING_LOCK_ATTACH   (RING_LOCK_BASE + 0) /* shared by who is attached; exclusive: emptying */
#define RING_LOCK_PRODUCER (RING_LOCK_BASE + 1) /* the one producer */
#define RING_LOCK_CONSUMER (RING_LOCK_BASE + 2) /* the one consumer */
#define RING_LOCK_PLACE0   (RING_LOCK_BASE + 64)

/* ---- words ---------------------------------------------------------------------------------- */

enum ring_word_state {
    RING_EMPTY = 0,
    RING_CLAIMED = 1,
    RING_DATA = 2,
    RING_DONE = 3,
    RING_PAD = 4,
};
#define RING_STAMPED UINT64_C(8)
static_assert(RING_STAMPED << 1 == RING_STAMP, "ring_word_span()");

struct ring_word_facts {
    enum ring_word_state state;
    uint64_t span;
    uint64_t len;   /* DATA, DONE */
    bool stamped;   /* DATA, DONE */
    uint32_t place; /* CLAIMED */
    uint32_t gen;   /* CLAIMED */
};

static inline uint64_t ring_word_data(uint64_t len, bool stamped)
{
    return RING_DATA | (stamped ? RING_STAMPED : 0) | len << 32;
}
static inline uint64_t ring_word_claimed(uint32_t place, uint32_t gen, uint64_t span)
{
    return RING_CLAIMED | (uint64_t)place << 3 | (uint64_t)gen << 11 | span / RING_ALIGN << 32;
}
static inline uint64_t ring_word_pad(uint64_t span)
{
    return RING_PAD | span / RING_ALIGN << 32;
}
/* A plain message: what every hot path asks first. */
static inline bool ring_word_is_data(uint64_t word)
{
    return ((uint32_t)word & ~(uint32_t)RING_STAMPED) == RING_DATA;
}

static inline uint64_t ring_span(uint64_t len, bool stamped)
{
    return align_up(RING_WORD + (stamped ? RING_STAMP : 0) + len, RING_ALIGN);
}

/* Of a plain message; no branches. */
static inline uint64_t ring_word_span(uint64_t word)
{
    return ((word >> 32) + ((word & RING_STAMPED) << 1) + RING_WORD + RING_ALIGN - 1) &
           ~(uint64_t)(RING_ALIGN - 1);
}

/* Believe a word or not; a span that is believed is 8 to size / 2 bytes. 0, SEGLOG_ECORRUPT. */
int ring_word_decode(uint64_t word, uint64_t size, struct ring_word_facts *out);

#endif
