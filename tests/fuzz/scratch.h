/*
 * A directory for targets that need files: made with the first input, emptied before each, gone with the
 * process.
 */
#ifndef TEST_FUZZ_SCRATCH_H
#define TEST_FUZZ_SCRATCH_H

#include <stddef.h>

/* The directory, with nothing in it. */
const char *scratch_empty(void);
/* "dir/name", in one of a few buffers that are used in turn. */
const char *scratch_path(const char *name);

/* Write the file as a whole, the same inode if there is one. */
void scratch_write(const char *name, const void *bytes, size_t size);

#endif
