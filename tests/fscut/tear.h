/*
 * Writes torn within a block of the file system, where the disk has smaller sectors: of files' data alone.
 * A file system writes its own blocks in the belief that they reach the disk whole or not at all; what
 * it does when they do not is not asked here.
 */
#ifndef TEST_FSCUT_TEAR_H
#define TEST_FSCUT_TEAR_H

#include "fscut/tape.h"
#include "powercut/dice.h"

/* Which blocks of the disk hold data of files. */
struct tear_map {
    uint8_t is_data[TAPE_DISK / TAPE_BLOCK];
};

/* Find out what those of the files in a directory are, which is on that disk. returns 0 or -errno */
int tear_map(const char *dir, struct tear_map *out);

/*
 * In the image of a cut behind event `cut`, journal played back and unmounted, tear some of the blocks of
 * the map that were written since the last flush. returns how many, or -errno
 */
int tear_image(const struct tape *t, uint64_t cut, const struct tear_map *map, struct dice *dice,
               const char *image);

#endif
