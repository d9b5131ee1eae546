/*
 * What is done to a log besides appending: a cursor follows it, its oldest segments go by rule, its
 * sealed ones are archived. And what of that must have survived.
 */
#ifndef TEST_POWERCUT_KEEP_H
#define TEST_POWERCUT_KEEP_H

#include "powercut/work.h"

/* One of these. */
void keep_work(struct bed *b);

/*
 * Hold the cursor in dir against the oracle: it stands where the last durable commit put it or where a
 * later one did, never elsewhere. found: what the log holds. That it stands there is then what the
 * oracle knows.
 */
void keep_check(struct oracle *o, const char *dir, struct found found, const char *when);

#endif
