/*
 * Commands that have commands of their own: ring, cell, table.
 */
#ifndef CLI_FAMILY_H
#define CLI_FAMILY_H

#include "cli.h"

#include <stddef.h>

struct family_command {
    const char *name;
    const char *full; /* as it stands in lines on stderr */
    int (*run)(struct cli *cli, int argc, char **argv);
    bool creates;
    const char *help;
};

struct family {
    const char *name; /* "ring" */
    const char *what; /* a line about it */
    const struct family_command *commands;
    size_t count;
    const char *examples; /* lines, each with its end */
};

/* Run the command that argv[1] names. returns an exit status */
int family_run(struct cli *cli, const struct family *family, int argc, char **argv);

#endif
