/*
 * A cell and a table that lie beside the log while the power may fail: in its directory, whose other
 * files are the user's.
 */
#ifndef TEST_POWERCUT_STATE_H
#define TEST_POWERCUT_STATE_H

#include "powercut/work.h"

/* Publish in the cell, or change and flush the table. */
void state_work(struct bed *b);

/*
 * Hold both in dir against the oracle. The cell, whose versions are durable, has the last one or the one
 * under way. In the table a key that was not changed since the last flush has its value; another one
 * has its new, its old, or none. That this is what they are is then what the oracle knows.
 *
 * writes  open them for writing, which leaves out what was spoiled; else a reader is told of that
 */
void state_check(struct oracle *o, const char *dir, bool writes, const char *when);

#endif
