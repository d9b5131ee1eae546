/*
 * Saying what went wrong: one line on stderr, one exit status.
 */
#ifndef CLI_FAIL_H
#define CLI_FAIL_H

#include "cli.h"

#include <sysexits.h>

/* Beside those of <sysexits.h>. */
#define EXIT_NOTHING 1 /* found nothing, or verify found damage */
#define EXIT_USAGE   2

#define FAIL_PRINTF(at_) __attribute__((format(printf, at_, at_ + 1)))

/* The exit status that belongs to a status of the library. */
int fail_exit_of(const struct cli *cli, int status);

/* `seglog: COMMAND: what: WHY; HINT` for a status of the library. returns its exit status */
int fail_status(const struct cli *cli, const char *what, int status);

/* The same for a log that could not be opened for appending: $SEGLOG_IO may be to blame. */
int fail_open(const struct cli *cli, const char *dir, int status);

/* `seglog: COMMAND: what: why`. returns exit_status */
int fail_text(const struct cli *cli, int exit_status, const char *what, const char *why, ...)
    FAIL_PRINTF(4);

/* The same for a wrong use, pointing to --help. returns EXIT_USAGE */
int fail_usage(const struct cli *cli, const char *what, const char *why, ...) FAIL_PRINTF(3);

/* Something that later releases have. returns EXIT_USAGE */
int fail_later(const struct cli *cli, const char *what);

/* Flush stdout and say it when that fails, unless its reader went away. returns 0 or an exit status */
int flush_stdout(const struct cli *cli);

/* A line that is no failure, left out with -q; and one that is shown with -v only. */
void note(const struct cli *cli, const char *text, ...) FAIL_PRINTF(2);
void detail(const struct cli *cli, const char *text, ...) FAIL_PRINTF(2);

/* true: write colours to this descriptor. */
bool color_on(const struct cli *cli, int fd);

#endif
