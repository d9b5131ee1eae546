/*
 * Emptying a directory. Without Criterion, so that fuzz targets can have it, too.
 */
#ifndef TEST_SUPPORT_DIR_EMPTY_H
#define TEST_SUPPORT_DIR_EMPTY_H

/* Remove everything in the directory and not the directory, never following links out of it. What cannot
 * be removed stays. */
void dir_empty(const char *dir);

#endif
