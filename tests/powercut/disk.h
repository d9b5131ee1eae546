/*
 * A disk that can lose power: it remembers what of a directory was synced, and builds images of what
 * a power cut might leave.
 *
 * This program's own fsync(), fdatasync() and msync() (disk.c) note the content of a file or of a part
 * of it, or the names in a directory, at the moment of the call. An image mixes, for each unit of each file (4096 to 8 bytes),
 * what was last synced with what is there now, and for each name that changed since the directory was
 * synced, before with after. Boot marks are given another boot's id, so that the library sees a reboot.
 */
#ifndef TEST_POWERCUT_DISK_H
#define TEST_POWERCUT_DISK_H

#include <stdint.h>

/* A repeatable random number; never 0 seeds. */
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d);
/* 0 .. n-1 */
uint64_t dice_below(struct dice *d, uint64_t n);

/* Begin to watch a directory; what is in it now counts as synced. Ends an earlier watch.
 * NULL: only that. */
void disk_watch(const char *dir);

/* Build the image of a cut in `into`, an empty directory. */
void disk_cut(const char *into, struct dice *d);

/* How often each kind of thing was chosen, for the report. */
extern uint64_t disk_units_old, disk_units_new;

#endif
