/*
 * Every struct that lies in a file or in shared memory, each a drawing that compiles.
 *
 * docs/FORMAT.md describes the same bytes for readers in other languages; the static asserts keep
 * both honest. Fields that several processes change while mapped are _Atomic and little-endian by
 * word_load() and its kin (word.h); everything else is le16/le32/le64.
 *
 * A segment file of size S (a power of two, 64 KiB to 1 GiB):
 *
 *   0x0000  header page        known at creation, never changes once the file has its name
 *   0x1000  activation block   what is known when the segment becomes active
 *   0x2000  tail page          hot words of this segment; believed only in the boot that wrote them
 *   0x3000  mark slot 0        durable watermark, written by pwrite, in turn
 *   0x4000  mark slot 1
 *   0x5000  frames ...         up to frames_end
 *   ...     index              written at the seal: 16 bytes for each 64 KiB of segment, in pages
 *   S-4096  footer page        written at the seal
 */
#ifndef FORMAT_LAYOUT_H
#define FORMAT_LAYOUT_H

#include "base/bytes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_MAJOR 1u
#define FORMAT_MINOR 0u

#define PAGE_BYTES  4096u
#define ENDIAN_MARK 0x01020304u

#define SEGMENT_SIZE_MIN     (UINT64_C(64) << 10)
#define SEGMENT_SIZE_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_SIZE_MAX     (UINT64_C(1) << 30)

#define OFF_HEADER     0x0000u
#define OFF_ACTIVATION 0x1000u
#define OFF_TAIL       0x2000u
#define OFF_MARK0      0x3000u
#define OFF_MARK1      0x4000u
#define OFF_FRAMES     0x5000u

#define FRAME_ALIGN  32u
#define FRAME_HEADER 32u

/* An index entry for each stride of frames. */
#define INDEX_STRIDE      (UINT64_C(64) << 10)
#define INDEX_ENTRY_BYTES 16u

#define DISCIPLINE_MAPPED 1u /* everything is written through mappings */
#define DISCIPLINE_GATED  2u /* frames are written by pwrite; readers honour `published` */

#define MAGIC_SETTINGS   "SEGLOGc\n"
#define MAGIC_SEGMENT    "SEGLOGs\n"
#define MAGIC_ACTIVATION "SEGLOGa\n"
#define MAGIC_MARK       "SEGLOGm\n"
#define MAGIC_FOOTER     "SEGLOGf\n"
#define MAGIC_LIVE       "SEGLOGl\n"
#define MAGIC_FLOOR      "SEGLOGr\n"
#define MAGIC_CURSOR     "SEGLOGk\n"

/* ---- what every file begins with ------------------------------------------------------------ */

/*  0       8        12      14      16         24          32       40     56
 *  | magic | endian | major | minor | incompat | ro_compat | compat | uuid | */
struct file_head {
    uint8_t magic[8];
    le32 endian; /* ENDIAN_MARK; reversed: a foreign byte order */
    le16 major;  /* a larger one: refuse */
    le16 minor;
    le64 incompat;  /* a set bit we do not know: refuse */
    le64 ro_compat; /* a set bit we do not know: read only */
    le64 compat;    /* a set bit we do not know: ignore */
    uint8_t uuid[16];
};
static_assert(sizeof(struct file_head) == 56, "FORMAT: file head");
static_assert(offsetof(struct file_head, endian) == 8, "FORMAT: endian");
static_assert(offsetof(struct file_head, major) == 12, "FORMAT: major");
static_assert(offsetof(struct file_head, minor) == 14, "FORMAT: minor");
static_assert(offsetof(struct file_head, incompat) == 16, "FORMAT: incompat");
static_assert(offsetof(struct file_head, ro_compat) == 24, "FORMAT: ro_compat");
static_assert(offsetof(struct file_head, compat) == 32, "FORMAT: compat");
static_assert(offsetof(struct file_head, uuid) == 40, "FORMAT: uuid");

/* ---- settings: one page, the file `settings`; its name makes a directory a log --------------- */

struct settings_page {
    struct file_head head;
    le64 segment_size;
    le64 created_ns;
    le32 sync;       /* enum seglog_sync */
    le32 mode;       /* permission bits of the files */
    le32 discipline; /* of new segments */
    le32 zero0;
    le64 sync_interval_ns; /* SEGLOG_SYNC_INTERVAL: a record is durable after so long; else 0 */
    le64 keep_size;        /* retention, each 0: no such rule; bytes of segment files */
    le64 keep_age_ns;      /* since the seal */
    le64 keep_segments;
    le64 archive_after_ns; /* since the seal; 0: segments are not archived by themselves */
    le32 archive_level;    /* of LZ4; 0 and what is unknown: the usual one */
    uint8_t zero[3960];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct settings_page) == PAGE_BYTES, "FORMAT: settings");
static_assert(offsetof(struct settings_page, segment_size) == 56, "FORMAT: settings");
static_assert(offsetof(struct settings_page, created_ns) == 64, "FORMAT: settings");
static_assert(offsetof(struct settings_page, sync) == 72, "FORMAT: settings");
static_assert(offsetof(struct settings_page, mode) == 76, "FORMAT: settings");
static_assert(offsetof(struct settings_page, discipline) == 80, "FORMAT: settings");
static_assert(offsetof(struct settings_page, sync_interval_ns) == 88, "FORMAT: settings");
static_assert(offsetof(struct settings_page, keep_size) == 96, "FORMAT: settings");
static_assert(offsetof(struct settings_page, keep_segments) == 112, "FORMAT: settings");
static_assert(offsetof(struct settings_page, archive_after_ns) == 120, "FORMAT: settings");
static_assert(offsetof(struct settings_page, archive_level) == 128, "FORMAT: settings");
static_assert(offsetof(struct settings_page, crc) == 4092, "FORMAT: settings");

/* ---- floor: the file `floor`, two pages written in turn; absent: nothing was ever removed ----- */

struct floor_slot {
    uint8_t magic[8];
    uint8_t uuid[16];
    le64 counter;   /* the larger of two valid slots counts */
    le64 number;    /* first segment kept; smaller ones were removed on purpose */
    le64 first_seq; /* its base sequence number */
    uint8_t zero[4044];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct floor_slot) == PAGE_BYTES, "FORMAT: floor");
static_assert(offsetof(struct floor_slot, counter) == 24, "FORMAT: floor");
static_assert(offsetof(struct floor_slot, number) == 32, "FORMAT: floor");
static_assert(offsetof(struct floor_slot, first_seq) == 40, "FORMAT: floor");
static_assert(offsetof(struct floor_slot, crc) == 4092, "FORMAT: floor");

/* ---- cursor: a file `cursor-NAME`, two pages, of each the first 64 bytes; written in turn -------- */

struct cursor_slot {
    uint8_t magic[8];
    uint8_t uuid[16];
    le64 counter; /* the larger of two valid slots counts */
    le64 epoch;   /* in which the number was read */
    le64 seq;     /* of the record to be read next */
    le64 wall_ns; /* when it was stored */
    le32 pid;     /* who stored it, for people */
    le32 crc;     /* CRC-32C of bytes 0..59 */
};
static_assert(sizeof(struct cursor_slot) == 64, "FORMAT: cursor");
static_assert(offsetof(struct cursor_slot, counter) == 24, "FORMAT: cursor");
static_assert(offsetof(struct cursor_slot, epoch) == 32, "FORMAT: cursor");
static_assert(offsetof(struct cursor_slot, seq) == 40, "FORMAT: cursor");
static_assert(offsetof(struct cursor_slot, wall_ns) == 48, "FORMAT: cursor");
static_assert(offsetof(struct cursor_slot, crc) == 60, "FORMAT: cursor");
#define CURSOR_BYTES (2u * PAGE_BYTES)

#define CURSOR_BYTE_HOLDER 0u /* of the cursor's file: locked by the reader that moves it */

/* ---- segment -------------------------------------------------------------------------------- */

/* compat: the file was another segment before. Until its first sync a power cut may bring back, behind
 * the last frame, bytes of that one; they are of another generation and never check out. */
#define SEGMENT_COMPAT_RECYCLED 1u

struct segment_header {
    struct file_head head;
    le64 number;     /* also the file's name, 16 hex digits */
    le64 generation; /* random, never 0; seeds every checksum in the file */
    le64 size;       /* of the file */
    le64 frames_end; /* first byte after the frames */
    le32 frames_off; /* first byte of the frames */
    le32 discipline; /* DISCIPLINE_* */
    le64 created_ns;
    uint8_t zero[3988];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct segment_header) == PAGE_BYTES, "FORMAT: segment header");
static_assert(offsetof(struct segment_header, number) == 56, "FORMAT: number");
static_assert(offsetof(struct segment_header, generation) == 64, "FORMAT: generation");
static_assert(offsetof(struct segment_header, size) == 72, "FORMAT: size");
static_assert(offsetof(struct segment_header, frames_end) == 80, "FORMAT: frames_end");
static_assert(offsetof(struct segment_header, frames_off) == 88, "FORMAT: frames_off");
static_assert(offsetof(struct segment_header, discipline) == 92, "FORMAT: discipline");
static_assert(offsetof(struct segment_header, created_ns) == 96, "FORMAT: created_ns");
static_assert(offsetof(struct segment_header, crc) == 4092, "FORMAT: segment header crc");

/*
 * Written identically by whoever rolls to this segment, as often as they like: every field follows
 * from the predecessor's frames. `magic` is stored last (release), so its presence means the rest.
 */
struct activation_block {
    le64 base_seq;        /* sequence number of the first frame */
    le64 epoch;           /* recoveries so far that cut something off */
    le64 pred_generation; /* of the segment before; 0 for the first */
    le64 generation;      /* of this segment */
    le32 zero;
    le32 crc;               /* CRC-32C of bytes 0..35 */
    _Atomic uint64_t magic; /* MAGIC_ACTIVATION */
};
static_assert(sizeof(struct activation_block) == 48, "FORMAT: activation");
static_assert(offsetof(struct activation_block, epoch) == 8, "FORMAT: activation");
static_assert(offsetof(struct activation_block, pred_generation) == 16, "FORMAT: activation");
static_assert(offsetof(struct activation_block, generation) == 24, "FORMAT: activation");
static_assert(offsetof(struct activation_block, crc) == 36, "FORMAT: activation");
static_assert(offsetof(struct activation_block, magic) == 40, "FORMAT: activation");

/* Who wrote the hot words: they mean something only in this boot and on this inode. */
struct boot_mark {
    uint8_t boot_id[16];
    le64 dev;
    le64 ino;
    le32 zero;
    le32 crc; /* CRC-32C of bytes 0..35 */
};
static_assert(sizeof(struct boot_mark) == 40, "FORMAT: boot mark");
static_assert(offsetof(struct boot_mark, dev) == 16, "FORMAT: boot mark");
static_assert(offsetof(struct boot_mark, ino) == 24, "FORMAT: boot mark");
static_assert(offsetof(struct boot_mark, crc) == 36, "FORMAT: boot mark");

struct tail_page {
    /* seq_rel << 32 | offset / 32: some frame's place at or before the end. A hint. */
    _Atomic uint64_t tail;
    uint8_t pad0[56];
    /* GATED only: bytes below this offset may be read. */
    _Atomic uint64_t published;
    uint8_t pad1[56];
    struct boot_mark boot;
    uint8_t pad2[24];
    /* As tail: all before it is resolved. Believed only with its check. */
    _Atomic uint64_t checkpoint;
    _Atomic uint64_t checkpoint_check; /* CRC-32C of checkpoint, seeded by the generation */
    uint8_t pad3[48];
};
static_assert(sizeof(struct tail_page) == 256, "FORMAT: tail page");
static_assert(offsetof(struct tail_page, published) == 64, "FORMAT: published");
static_assert(offsetof(struct tail_page, boot) == 128, "FORMAT: boot mark");
static_assert(offsetof(struct tail_page, checkpoint) == 192, "FORMAT: checkpoint");

/* Everything below `offset` was once synced. Two slots, written in turn by pwrite. */
struct mark_slot {
    uint8_t magic[8];
    le64 generation; /* of this segment */
    le64 counter;    /* the larger of two valid slots counts */
    le64 offset;     /* a frame boundary */
    le64 seq_rel;    /* relative sequence number at it */
    le64 wall_ns;
    uint8_t zero[12];
    le32 crc; /* CRC-32C of bytes 0..59 */
};
static_assert(sizeof(struct mark_slot) == 64, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, generation) == 8, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, counter) == 16, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, offset) == 24, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, seq_rel) == 32, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, wall_ns) == 40, "FORMAT: mark slot");
static_assert(offsetof(struct mark_slot, crc) == 60, "FORMAT: mark slot");

/*  0       8         12     16     24     28    32
 *  | word0 | seq_rel | hcrc | time | pcrc | tag |  payload ... */
struct frame_header {
    _Atomic uint64_t word; /* word.h; stored last */
    le32 seq_rel;          /* sequence number less the segment's base */
    le32 hcrc;             /* CRC-32C of bytes 0..7, 16..31, 8..11 */
    le64 time_ns;
    le32 pcrc; /* CRC-32C of the payload */
    le32 tag;
};
static_assert(sizeof(struct frame_header) == FRAME_HEADER, "FORMAT: frame header");
static_assert(offsetof(struct frame_header, seq_rel) == 8, "FORMAT: seq_rel");
static_assert(offsetof(struct frame_header, hcrc) == 12, "FORMAT: hcrc");
static_assert(offsetof(struct frame_header, time_ns) == 16, "FORMAT: time_ns");
static_assert(offsetof(struct frame_header, pcrc) == 24, "FORMAT: pcrc");
static_assert(offsetof(struct frame_header, tag) == 28, "FORMAT: tag");

/* For each INDEX_STRIDE of frames, the first frame that begins in it. */
struct index_entry {
    le32 seq_rel;  /* at that frame */
    le32 offset;   /* of that frame */
    le64 max_time; /* largest time of all records before it in this segment; 0: none */
};
static_assert(sizeof(struct index_entry) == INDEX_ENTRY_BYTES, "FORMAT: index entry");
static_assert(offsetof(struct index_entry, offset) == 4, "FORMAT: index entry");
static_assert(offsetof(struct index_entry, max_time) == 8, "FORMAT: index entry");

#define FOOTER_TORN    (1u << 0) /* sealed at a recovery's cut */
#define FOOTER_DAMAGED (1u << 1) /* sealed around damage found while it was not yet durable */

#define TAG_FILTER_BYTES 256u

struct segment_footer {
    uint8_t magic[8];
    le64 generation;
    le64 number;
    le64 base_seq;
    le64 next_seq; /* number after the last one of this segment */
    le64 epoch;
    le64 frames_end;    /* first byte after the last frame (a final ROLL included) */
    le64 frame_count;   /* of every kind */
    le64 record_count;  /* COMMITTED */
    le64 void_count;    /* numbers in ABORTED frames */
    le64 payload_bytes; /* of the records */
    le64 min_time;      /* of the records; 0 without any */
    le64 max_time;
    le64 first_time;
    le64 last_time;
    le64 log_max_time;        /* largest time of this and all earlier segments */
    le64 sealed_ns;           /* wall clock at the seal */
    le64 bytes_dropped;       /* FOOTER_TORN: what lay beyond the cut */
    le64 frames_dropped;      /* FOOTER_TORN: frames there that checked out */
    le32 flags;               /* FOOTER_* */
    le32 index_count;         /* entries */
    le32 index_off;           /* of the index in the file */
    le32 index_crc;           /* CRC-32C of its entries */
    uint8_t content_hash[16]; /* XXH3-128: word 0 of each frame, and the rest of COMMITTED ones */
    uint8_t prev_seal[16];    /* seal_hash of the segment before; zero for the first */
    uint8_t seal_hash[16];    /* XXH3-128 of bytes 0..199 of this page and of the tag filter */
    uint8_t zero0[40];
    uint8_t tag_filter[TAG_FILTER_BYTES]; /* a Bloom filter of the records' tags */
    uint8_t zero1[3580];
    le32 crc; /* CRC-32C of bytes 0..4091 */
};
static_assert(sizeof(struct segment_footer) == PAGE_BYTES, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, next_seq) == 32, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, frames_end) == 48, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, payload_bytes) == 80, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, log_max_time) == 120, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, flags) == 152, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, content_hash) == 168, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, prev_seal) == 184, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, seal_hash) == 200, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, tag_filter) == 256, "FORMAT: footer");
static_assert(offsetof(struct segment_footer, crc) == 4092, "FORMAT: footer");

/* ---- live: the file `live`; shared words of one boot ----------------------------------------- */

#define LIVE_SLOTS 1024u

#define ATTENTION_POISON 2u /* a sync failed */

#define SLOT_FREE      0u
#define SLOT_SHARED    1u
#define SLOT_EXCLUSIVE 2u
#define SLOT_SYNCER    3u /* appends nothing: a handle that takes part in group commits */

#define LIVE_ENGINE_NONE    0u
#define LIVE_ENGINE_URING   1u
#define LIVE_ENGINE_THREADS 2u

/* One producer's place. Whoever holds the lock on the slot's byte in `owners` may write it. */
struct live_slot {
    _Atomic uint32_t generation; /* 1 .. SLOT_GEN_MAX; moved on by each new holder */
    _Atomic uint32_t state;      /* SLOT_*; not free and not locked: the holder died */
    _Atomic uint32_t pid;        /* for people */
    uint32_t zero0;
    _Atomic uint64_t since_ns; /* wall clock, for people */
    uint8_t zero1[40];
};
static_assert(sizeof(struct live_slot) == 64, "FORMAT: live slot");

struct live_file {
    uint8_t magic[8];
    uint8_t uuid[16];
    struct boot_mark boot;  /* of this file */
    _Atomic uint64_t ready; /* 1 once the first opener has recovered */
    uint8_t zero0[56];
    /* Line 128: read by every append; written when somebody goes to sleep, is woken, or poisons. */
    _Atomic uint32_t attention; /* ATTENTION_* */
    _Atomic uint32_t waiters;   /* readers that went to sleep on `wake`, ever */
    _Atomic uint32_t served;    /* how many of them have been woken; may lag, never lead */
    uint8_t zero1[52];
    /* Line 192: the word that sleepers wait on. */
    _Atomic uint32_t wake;
    uint8_t zero2[60];
    /* Line 256: seldom written. */
    _Atomic uint64_t durable_seq; /* a copy of what seals and marks say */
    uint8_t zero6[16];
    _Atomic uint32_t poison_status;  /* negated errno that poisoned */
    _Atomic uint32_t prepare_status; /* negated errno of the last preparation; 0: it succeeded */
    _Atomic uint32_t io_engine;      /* LIVE_ENGINE_* of the process that attached last */
    uint8_t zero3[28];
    /* Line 320: group commit, see log/sync.c. Written once or twice a round. */
    _Atomic uint64_t sync_leader; /* slot + 1 and generation << 32 of who syncs now; 0: nobody */
    _Atomic uint64_t sync_sample; /* the round in flight covers all numbers below it */
    _Atomic uint32_t sync_round;  /* counts rounds */
    /* A waiter that round r covers sleeps on sync_wake[r % 2], any other on the other one. */
    _Atomic uint32_t sync_wake[2];
    _Atomic uint32_t durable_wake;     /* moved on, and woken, whenever durable_seq grows */
    _Atomic uint32_t durable_watchers; /* who wants that; may be too large, never too small */
    uint8_t zero4[28];
    uint8_t zero5[PAGE_BYTES - 384];
    struct live_slot slots[LIVE_SLOTS];
};
static_assert(offsetof(struct live_file, boot) == 24, "FORMAT: live");
static_assert(offsetof(struct live_file, ready) == 64, "FORMAT: live");
static_assert(offsetof(struct live_file, attention) == 128, "FORMAT: live");
static_assert(offsetof(struct live_file, waiters) == 132, "FORMAT: live");
static_assert(offsetof(struct live_file, served) == 136, "FORMAT: live");
static_assert(offsetof(struct live_file, wake) == 192, "FORMAT: live");
static_assert(offsetof(struct live_file, durable_seq) == 256, "FORMAT: live");
static_assert(offsetof(struct live_file, prepare_status) == 284, "FORMAT: live");
static_assert(offsetof(struct live_file, sync_leader) == 320, "FORMAT: live");
static_assert(offsetof(struct live_file, sync_wake) == 340, "FORMAT: live");
static_assert(offsetof(struct live_file, durable_watchers) == 352, "FORMAT: live");
static_assert(offsetof(struct live_file, io_engine) == 288, "FORMAT: live");
static_assert(offsetof(struct live_file, slots) == PAGE_BYTES, "FORMAT: live");
static_assert(sizeof(struct live_file) == PAGE_BYTES + 64 * LIVE_SLOTS, "FORMAT: live");

/* ---- owners: the file `owners`; one page of which no byte matters, only the locks on them ----- */

#define OWNERS_BYTE_ATTACH  0u  /* shared by every attached handle; exclusive while recovering */
#define OWNERS_BYTE_MODE    1u  /* shared by shared appenders, exclusive by an exclusive one */
#define OWNERS_BYTE_PREPARE 2u  /* whoever prepares the next segment */
#define OWNERS_BYTE_SEAL    3u  /* whoever seals */
#define OWNERS_BYTE_TRIM    4u  /* whoever removes segments, sets cursors or changes settings */
#define OWNERS_BYTE_ARCHIVE 5u  /* whoever archives */
#define OWNERS_BYTE_SLOT0   64u /* one for each slot */

#endif
