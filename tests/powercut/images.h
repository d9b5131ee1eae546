/*
 * The images of one seed: where they lie, what they are called, and which of them there were before.
 */
#ifndef TEST_POWERCUT_IMAGES_H
#define TEST_POWERCUT_IMAGES_H

#include "powercut/dice.h"

#include <stdbool.h>
#include <stddef.h>

#define IMAGE_PATH 300

struct images {
    char top[256];
    uint64_t made;       /* of this seed, for their names */
    uint64_t seen[4096]; /* hashes of this seed */
    size_t seen_count;
};

/* Where workers put them: a directory in memory, where there is room, since most of the work is that of
 * the file system. It goes by tmpdir_remove(). */
char *images_top(void);
/* A worker's directory below that. */
void images_open(struct images *images, const char *top, unsigned worker);
/* Another seed: none was seen yet. */
void images_begin(struct images *images);
/* The next image of the disk on top, at `path`. false: there was such a one, and it is gone again. */
bool images_make(struct images *images, struct dice *dice, unsigned index, char path[IMAGE_PATH],
                 uint64_t *hash);
void image_remove(const char *path);

#endif
