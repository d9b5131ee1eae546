/*
 * Commands that make a log of another one, `salvage`, `import` and `compact`, and the power fails half way.
 *
 * What is there then is no log yet, and the same command can begin again; or a log with the first of
 * the records that were to be copied, and nothing else, which the command refuses to touch. Once it has
 * ended, all of them are there. The log that is copied is never changed, damaged or not.
 */
#ifndef TEST_POWERCUT_COPIES_H
#define TEST_POWERCUT_COPIES_H

#include "powercut/oracle.h"

struct copies {
    struct oracle *o;
    struct dice *dice;
    const char *dir; /* the log to be copied, which nobody has open */
    const char *top; /* a directory for others */
    /* The next image of the disk on top, at `path`; false: there was such a one already. */
    bool (*image)(void *context, char path[300], unsigned index);
    void (*remove)(const char *path);
    void *context;
    uint64_t images; /* out */
};

/* One command, as the dice want it, whole and cut at one moment. Perhaps damages the log before. */
void copies_try(struct copies *c);

#endif
