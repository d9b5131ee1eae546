/*
 * A disk that can lose power: it remembers what of a directory was synced and what has changed since,
 * and builds images of what a power cut might leave.
 *
 * The library is linked in, and its system calls go through calls.c, which tells the disk. A sync
 * notes the content of a file, or of a range of it, or the names in the directory. Between two calls
 * the library stores through mappings; so the disk looks at the files now and then, and keeps what
 * pages held in between. An image takes for every unit of every file (4096 to 8 bytes) one of all
 * versions since the last sync; for every name a binding it has had since the directory was synced,
 * or the names as they stood at one moment; for a file that was never synced also a smaller size.
 *
 * Disks are stacked: while one is in the middle of a call, an image of it may be recovered, which is
 * again watched. The calls of the process belong to the one on top.
 */
#ifndef TEST_POWERCUT_DISK_H
#define TEST_POWERCUT_DISK_H

#include "powercut/dice.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct disk;

/* Put a directory on top of the stack; what is in it now counts as synced. It ends with disk_pop().
 * `seed` decides at which calls the disk looks. */
void disk_push(const char *dir, uint64_t seed);
void disk_pop(void);

/* Call fn once, at the n-th event (the begin of a call that changes something, or the end of one that
 * changes names) from now on. The disk sleeps meanwhile. n = 0: never. */
void disk_cut_at(uint64_t n, void (*fn)(void *context), void *context);
/* How many events there were since disk_cut_at(). */
uint64_t disk_events(void);

/* Note what every page holds now. */
void disk_look(void);

/* What an image is made of, for the report. */
struct disk_counts {
    uint64_t units_old, units_new, units_between; /* changed units: lost, kept, half way */
    uint64_t names_old;                           /* images with names that were not the latest */
    uint64_t sizes_cut;                           /* files whose size had not reached the disk */
};
extern struct disk_counts disk_counts;

/*
 * Build an image in `into`, which must not exist. index: images of one moment are numbered; while
 * there are few names to decide about, their combinations are gone through in turn.
 * Gives a hash of all names and bytes, as they are before boot marks become another boot's.
 */
uint64_t disk_image(const char *into, struct dice *dice, unsigned index);

/* ---- for calls.c ---------------------------------------------------------------------------- */

void disk_event(void);
void disk_names_changed(void);
void disk_note_sync(int fd);
void disk_note_sync_range(ino_t ino, uint64_t offset, uint64_t len);

/* Write a file whole, past calls.c. */
void disk_write_file(const char *dir, const char *name, const void *bytes, size_t size);

/* A simulator that cannot go on: not the library's fault. */
void disk_must(bool ok, const char *what);

#endif
