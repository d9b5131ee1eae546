/*
 * The tape of one life of a file system: what its disk was asked, and what its users were told.
 *
 * The disk (disk.h) appends each write and each flush that it has done; the processes at work (work.h)
 * note what they begin, what was acknowledged to them and when. "When" is a stamp: how many events the
 * disk had done. A call that returned at stamp s was acknowledged to everybody whose power fails after
 * event s or a later one. All of it is one shared mapping of one file, so that a life whose image broke
 * a promise can be kept and looked at again.
 */
#ifndef TEST_FSCUT_TAPE_H
#define TEST_FSCUT_TAPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TAPE_DISK   (UINT64_C(320) << 20)
#define TAPE_BLOCK  4096u /* sectors of the disk: written whole or not at all */
#define TAPE_DATA   (UINT64_C(192) << 20)
#define TAPE_EVENTS (1u << 18)
#define TAPE_NOTES  (1u << 19)
#define TAPE_SEQS   (1u << 20)
#define TAPE_LOST   64u
#define TAPE_KEYS   24u /* of each worker's table */
#define TAPE_WORK   3u  /* workers */
#define TAPE_BATCH  4u  /* records under way at once */

#define TAPE_MAGIC   UINT64_C(0x3154554353464753)
#define TAPE_UNKNOWN UINT64_MAX

enum tape_kind { TAPE_WRITE = 1, TAPE_FLUSH = 2 };

struct tape_event {
    uint64_t offset; /* of a write: on the disk */
    uint64_t at; /* of a write: in data; of a flush: the stamp when it was asked for, so that it is
                        about the writes up to there */
    uint32_t len, kind;
};

/* What a note is about. Cursors, cells and tables belong to one worker each. */
enum tape_object {
    TAPE_MADE,                                    /* the log is there */
    TAPE_DURABLE,                                 /* numbers below the value are durable */
    TAPE_FLOOR,                                   /* numbers below the value are gone */
    TAPE_TRIM,                                    /* numbers below the value may go */
    TAPE_CURSOR,                                  /* + worker: place + 1, 0: there is none */
    TAPE_CELL = TAPE_CURSOR + TAPE_WORK,          /* + worker: the mark of its value */
    TAPE_KEY = TAPE_CELL + TAPE_WORK,             /* + worker * TAPE_KEYS + key: the same */
    TAPE_SLOW = TAPE_KEY + TAPE_WORK * TAPE_KEYS, /* a call that took its time (slow.h) */
};

struct tape_note {
    _Atomic uint64_t value;
    _Atomic uint64_t begin; /* stamp + 1; 0: not written yet */
    _Atomic uint64_t end;   /* 0: the call has not returned */
    uint32_t object;
    uint32_t durable; /* having returned, it survives */
};

struct tape {
    uint64_t magic, seed, disk_size;
    _Atomic uint64_t stamp;
    uint64_t end;          /* the stamp when its users had ended */
    uint64_t used;         /* of data */
    _Atomic uint32_t full; /* nothing more is taken down */
    _Atomic uint32_t stop; /* workers are to end */
    _Atomic uint64_t torn; /* blocks, in images of it */
    _Atomic uint64_t note_count;
    _Atomic uint64_t lost_count;
    _Atomic uint64_t under_way[TAPE_WORK]; /* the highest mark that a worker has begun to append */
    uint64_t lost[TAPE_LOST];              /* the same of workers that were killed */
    _Atomic uint64_t marks[TAPE_SEQS];     /* what a number holds; 0: void, or was never told */
    struct tape_note notes[TAPE_NOTES];
    struct tape_event events[TAPE_EVENTS];
    uint8_t base_used[TAPE_DISK / TAPE_BLOCK];
    uint8_t data[TAPE_DATA];
    _Alignas(TAPE_BLOCK) uint8_t base[TAPE_DISK]; /* the disk at the beginning */
};

/* A worker's marks: distinct, and never 0. */
static inline uint64_t tape_mark(uint32_t worker, uint64_t n)
{
    return n << 8 | (worker + 1);
}

/* Map the tape at path, made anew from the disk image `base`, or as it lies there (base: NULL).
 * NULL: errno says why not. */
struct tape *tape_open(const char *path, const char *base);
void tape_close(struct tape *t);

/* ---- at work -------------------------------------------------------------------------------- */

uint64_t tape_stamp(const struct tape *t);

/* Something begins. Gives what tape_is() takes; NULL: the tape is full. */
struct tape_note *tape_may(struct tape *t, uint32_t object, uint64_t value, bool durable);
/* It has returned. The value may have become known only now. */
void tape_is(const struct tape *t, struct tape_note *note, uint64_t value);
/* Something that is so now, and stays. */
void tape_say(struct tape *t, uint32_t object, uint64_t value);

/* ---- afterwards: what is known of a power cut behind event `cut` ----------------------------- */

/* The highest value of an object that was acknowledged, or (may) begun; 0: none was. */
uint64_t tape_highest(const struct tape *t, uint32_t object, uint64_t cut, bool may);
/* Somewhere in what begins and ends with one of the notes of an object, drawn by `roll`; 0: there is none. */
uint64_t tape_within(const struct tape *t, uint32_t object, uint64_t roll);
/* Is this the last value that was durable, or one since? loose: 0 is, too, when there is one since. */
bool tape_allows(const struct tape *t, uint32_t object, uint64_t cut, uint64_t value, bool loose);
/* May a number hold this mark? */
bool tape_has_mark(const struct tape *t, uint64_t seq, uint64_t mark);

#endif
