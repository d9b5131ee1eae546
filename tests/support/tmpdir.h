/*
 * A directory of its own for a test, under $TMPDIR or /tmp.
 */
#ifndef TEST_SUPPORT_TMPDIR_H
#define TEST_SUPPORT_TMPDIR_H

/*
 * Make an empty directory. Fails the test when it cannot.
 *
 * The path belongs to the caller until tmpdir_remove().
 */
char *tmpdir_make(void);

/* Remove the directory with everything in it, never following links out of it, and free the path.
 * path may be NULL. */
void tmpdir_remove(char *path);

/* "dir/name" in memory that the caller frees. */
char *tmpdir_path(const char *dir, const char *name);

#endif
