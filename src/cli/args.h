/*
 * Options and arguments: argp with error lines of our own.
 *
 * Options and arguments may be mixed, `--` ends options, long options may be shortened. Every command
 * also has -q, -v, --color, --help and --version. A wrong use is one line on stderr and exit 2.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "cli.h"

#include <argp.h>
#include <stdint.h>

/* Keys of options without a letter; each command counts on from here. */
#define ARGS_KEY_FIRST 0x1000

/* What a parser function returns when it has already said what is wrong. */
#define ARGS_SAID ECANCELED

/* What args_parse() returns when the command is to be run. */
#define ARGS_RUN (-1)

/*
 * Parse the arguments of one command into input, which argp hands to the parser as state->input.
 *
 * returns  ARGS_RUN, or the exit status to end with (0 after --help)
 */
int args_parse(struct cli *cli, const struct argp *argp, int argc, char **argv, void *input);

/* Take the one argument that is a place. returns 0 or ARGS_SAID */
int args_take_place(const struct cli *cli, const char **place, const char *arg);

/* Say that an option's value is wrong, unless why is NULL. returns 0 or ARGS_SAID */
int args_check(const struct cli *cli, const char *option, const char *value, const char *why);

/* Say that a place is missing. returns ARGS_SAID */
int args_no_place(const struct cli *cli, const char *name);

/* The end of a parser whose one argument is a log: what is no option of its own. */
error_t args_parse_dir(const struct cli *cli, const char **dir, int key, const char *arg);

/* The text of --version; the library's own version is named when it is another. */
void args_print_version(void);

#endif
