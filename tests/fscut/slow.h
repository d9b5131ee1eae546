/*
 * Calls that change names, and take their time to return.
 *
 * What a file system writes of a name and of the bytes that belong to it comes to the disk together as a
 * rule, because a process takes microseconds from the one to the other. Here some processes take
 * milliseconds, in which the journal is written for somebody else; so a cut may come in between.
 */
#ifndef TEST_FSCUT_SLOW_H
#define TEST_FSCUT_SLOW_H

#include "fscut/tape.h"

/* From now on, in this process; the tape says when. */
void slow_begin(struct tape *t, uint64_t seed);

#endif
