/*
 * What the tests of mapped state have in common: a directory, a place that is full, facts of this
 * process.
 */
#ifndef TEST_STATE_FILES_H
#define TEST_STATE_FILES_H

#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"

#include <stdbool.h>
#include <stdint.h>

/* A directory for the test, and "dir/name" in it, both for its life. */
extern char *files_dir;
char *files_path(const char *name);
void files_setup(void);
void files_teardown(void);

/* A tmpfs of this size over files_dir; false where that needs rights that are not there. */
bool files_small(const char *size);

/* Lines of /proc/self/maps, and open descriptors. */
unsigned files_maps(void);
unsigned files_open(void);

/* The test directory's file system keeps what is flushed. */
bool files_durable(void);

/* Flip one byte of a file. */
void files_damage(const char *path, uint64_t offset);

/* A step of a pseudo-random walk. */
static inline uint64_t files_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A sanitizer that counts pages of its own, and lets mlock() do nothing. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FILES_SANITIZED 1
#else
#define FILES_SANITIZED 0
#endif

/* The tests with this set take less time. */
bool files_quick(void);

#endif
