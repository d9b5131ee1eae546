/*
 * What several processes do with one log on the file system whose power will fail: append in every way
 * and at every level, seal, sync, wait, trim, archive, follow it with cursors, and keep a cell and a
 * table each beside it. What they begin and what is acknowledged goes on the tape.
 */
#ifndef TEST_FSCUT_WORK_H
#define TEST_FSCUT_WORK_H

#include "fscut/tape.h"
#include "powercut/dice.h"

#include <stdio.h>
#include <stdlib.h>

#define WORK_PATH 600u

/* Make the log in dir, of a kind that the tape's seed decides. */
void work_make(struct tape *t, const char *dir);

/* Work there until the tape says stop; exit 0 then, 1 when something failed. */
_Noreturn void work(struct tape *t, const char *dir, uint32_t worker, uint64_t seed);

/* Say what is wrong, and end this process. */
#define WORK_MUST(ok, ...)                                     \
    do {                                                       \
        if (!(ok)) {                                           \
            fprintf(stderr, __VA_ARGS__);                      \
            fprintf(stderr, " (%s:%d)\n", __FILE__, __LINE__); \
            _exit(1);                                          \
        }                                                      \
    } while (0)

#define WORK_OK(call)                                                                             \
    do {                                                                                          \
        const int must_rc_ = (int)(call);                                                         \
        WORK_MUST(must_rc_ >= 0, "%s gave %d %s", #call, must_rc_, seglog_status_name(must_rc_)); \
    } while (0)

#endif
