/*
 * Files that programs store into as they like, beside a log whose power may fail: a mapped file, a copy
 * of it, and a struct with fields of every kind.
 *
 * Of each word of 8 bytes the oracle knows what it was when it was last flushed, in whatever way, and
 * what it has been since: one of these it must be. A file has its name and all its bytes or none. Of a
 * vector in a struct what was flushed is there, what else is there was put there, and it grows on.
 */
#ifndef TEST_POWERCUT_MAPS_H
#define TEST_POWERCUT_MAPS_H

#include "powercut/work.h"

/* A few stores, flushes, growths; copies and their removal. */
void maps_work(struct bed *b);
void structs_work(struct bed *b);

/* Hold the files of an image against the oracle. `writes`: what is there counts from now on. */
void maps_check(struct oracle *o, const char *dir, bool writes, const char *when);
void structs_check(struct oracle *o, const char *dir, bool writes, const char *when);

#endif
