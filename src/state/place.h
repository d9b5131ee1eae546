/*
 * A file of ours by its path: its directory and its name, so that it can be made whole or not at all.
 */
#ifndef STATE_PLACE_H
#define STATE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

struct place {
    int dirfd;
    char name[256];
    bool is_volatile; /* the file system keeps nothing across a power cut */
};

/* -EINVAL: no name in it; -ENAMETOOLONG; SEGLOG_EFS unless forced; as the system says */
int place_open(const char *path, bool force_fs, struct place *out);
/* The same for a file that is mapped and nothing else: it may lie on hugetlbfs. */
int place_open_for_map(const char *path, bool force_fs, struct place *out);
void place_close(struct place *place);

/*
 * Make the file: `fill` writes what it begins with into a descriptor of `size` zero bytes, all reserved.
 * The name appears when that is done and, unless the place is volatile, synced; then the name is synced.
 * A process that is killed leaves a whole file or none (where files without a name are not to be had:
 * perhaps one called NAME.*.tmp).
 *
 * returns  the descriptor (0 or more); -EEXIST; -ENOSPC ... as the system says
 */
int place_create(const struct place *place, uint32_t mode, uint64_t size,
                 int (*fill)(void *context, int fd), void *context);

/* Open for reading, or for both. What is not a regular file is -EINVAL. */
int place_find(const struct place *place, bool writable);

#endif
