/*
 * From a status to a line that helps and an exit status that scripts can rely on.
 *
 * The line is `seglog: COMMAND: WHAT: WHY; HINT`, always one line: a path may hold any byte, so
 * control characters are written as \xNN.
 */
#include "fail.h"

#include <seglog/status.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reason {
    int status;
    int exit_status;
    const char *hint; /* what the user can do; NULL: nothing to add */
};

static const struct reason reason_table[] = {
    {-ENOENT, EX_NOINPUT, "seglog create makes a log"},
    {-ENOTDIR, EX_NOINPUT, "a log is a directory"},
    {-ELOOP, EX_NOINPUT, NULL},
    {-ENAMETOOLONG, EX_NOINPUT, NULL},
    {SEGLOG_ENOTLOG, EX_NOINPUT, "give the directory that seglog create made"},
    {-EACCES, EX_NOPERM, "ask the log's owner for permission"},
    {-EPERM, EX_NOPERM, "ask the log's owner for permission"},
    {-EROFS, EX_CANTCREAT, "choose a place that can be written"},
    {-ENOSPC, EX_CANTCREAT, "make room; what was appended stays"},
    {-EDQUOT, EX_CANTCREAT, "make room; what was appended stays"},
    {-EFBIG, EX_CANTCREAT, "raise the limit on file sizes (ulimit -f)"},
    {-EEXIST, EX_CANTCREAT, "a log is there already; seglog append adds to it"},
    {-ENOTEMPTY, EX_CANTCREAT, "choose a missing or an empty directory"},
    {-EIO, EX_IOERR, "the medium failed; see the kernel's log"},
    {SEGLOG_EPOISONED, EX_IOERR, "the log can still be read; seglog info tells more"},
    {SEGLOG_ECORRUPT, EX_DATAERR, "seglog verify says what is lost"},
    {SEGLOG_EMISSING, EX_DATAERR, "seglog verify says what is lost"},
    {SEGLOG_EVERSION, EX_DATAERR, "use a newer seglog"},
    {SEGLOG_EREADONLY, EX_DATAERR, "use a newer seglog to append"},
    {SEGLOG_EENDIAN, EX_DATAERR, "read it on a little-endian machine"},
    {-EMSGSIZE, EX_DATAERR, "larger segments take larger records"},
    {SEGLOG_ETRIMMED, EX_DATAERR, "start at --from first"},
    {SEGLOG_EREWOUND, EX_DATAERR, "start at --from first"},
    {-EBUSY, EX_TEMPFAIL, "another process is at work on it; try again"},
    {-ETIMEDOUT, EX_TEMPFAIL, "another process is at work on it; try again"},
    {SEGLOG_EEVICTED, EX_TEMPFAIL, "try again"},
    {-EAGAIN, EX_TEMPFAIL, "try again"},
    {SEGLOG_EFS, EX_UNAVAILABLE, "choose a local file system; --force accepts the risk"},
    {-EOPNOTSUPP, EX_UNAVAILABLE, "this file system lacks what a log needs; choose another"},
    {SEGLOG_EVOLATILE, EX_UNAVAILABLE, "choose a file system on a disk"},
    {-EUSERS, EX_UNAVAILABLE, "too many appenders are attached; let some end"},
    {-EMFILE, EX_UNAVAILABLE, "raise the limit on open files (ulimit -n)"},
    {-ENFILE, EX_UNAVAILABLE, "too many files are open on this machine"},
    {-ENOMEM, EX_UNAVAILABLE, "too little memory, or too many mappings (vm.max_map_count)"},
    {SEGLOG_EMISMATCH, EXIT_USAGE, "leave the setting out; seglog info shows what is stored"},
    {-EINVAL, EXIT_USAGE, NULL},
};

/* What means something else, or wants another hint, when the place is a ring. */
static const struct reason ring_reason_table[] = {
    {-ENOENT, EX_NOINPUT, "seglog ring create makes a ring"},
    {-ENOTDIR, EX_NOINPUT, NULL},
    {SEGLOG_ENOTLOG, EX_NOINPUT, "give the file that seglog ring create made"},
    {-EACCES, EX_NOPERM, "ask the ring's owner for permission"},
    {-EPERM, EX_NOPERM, "ask the ring's owner for permission"},
    {-ENOSPC, EX_CANTCREAT, "make room, or make a smaller ring"},
    {-EDQUOT, EX_CANTCREAT, "make room, or make a smaller ring"},
    {-EEXIST, EX_CANTCREAT, "something has that name; seglog ring rm removes a ring"},
    {SEGLOG_ECORRUPT, EX_DATAERR, "make a new ring"},
    {SEGLOG_EENDIAN, EX_DATAERR, "it is for the machine that made it"},
    {-EMSGSIZE, EX_DATAERR, "a larger ring takes larger records"},
    {-EBUSY, EX_TEMPFAIL, "another process has that place or is attached; try again"},
    {-EUSERS, EX_UNAVAILABLE, "too many processes are attached; let some end"},
    {-EINVAL, EXIT_USAGE, "a ring is a power of two of whole pages, from 4K to 1G"},
};

/* The same for cells and tables. */
static const struct reason state_reason_table[] = {
    {-ENOENT, EX_NOINPUT, "seglog cell set and seglog table put make one"},
    {-ENOTDIR, EX_NOINPUT, NULL},
    {-EISDIR, EX_NOINPUT, "cells and tables are files"},
    {SEGLOG_ENOTLOG, EX_NOINPUT, "give a file that this command has made"},
    {-EACCES, EX_NOPERM, "ask the file's owner for permission"},
    {-EPERM, EX_NOPERM, "ask the file's owner for permission"},
    {-ENOSPC, EX_CANTCREAT, "make room; what was there stays"},
    {-EDQUOT, EX_CANTCREAT, "make room; what was there stays"},
    {SEGLOG_ECORRUPT, EX_DATAERR, "what it held is lost"},
    {SEGLOG_ETRUNCATED, EX_DATAERR, "somebody made the file shorter"},
    {SEGLOG_EENDIAN, EX_DATAERR, "it is for the machine that made it"},
    {-EMSGSIZE, EX_DATAERR, "that is larger than it takes"},
    {SEGLOG_EPOISONED, EX_IOERR, "it can still be read"},
    {-EBUSY, EX_TEMPFAIL, "another process is the writer; try again"},
    {-ETIMEDOUT, EX_TEMPFAIL, "another process is the writer; try again"},
    {-EUSERS, EX_UNAVAILABLE, "too many processes are attached; let some end"},
    {SEGLOG_EMISMATCH, EXIT_USAGE, "it has another schema"},
    {-EINVAL, EXIT_USAGE, NULL},
};

#define COUNT(table_) (sizeof(table_) / sizeof((table_)[0]))

static const struct reason *reason_in(const struct reason *table, size_t count, int status)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].status == status)
            return &table[i];
    }
    return NULL;
}

static const struct reason *reason_of(int status)
{
    return reason_in(reason_table, COUNT(reason_table), status);
}

/* What a status means for the one file that a ring, a cell or a table is. */
static const struct reason *reason_of_file(const struct cli *cli, int status)
{
    static const struct reason no_parent = {-ENOENT, EX_CANTCREAT, "its directory must exist"};
    static const struct reason occupied = {SEGLOG_ENOTLOG, EX_CANTCREAT,
                                           "another file lies there; choose another name"};

    if (cli->creates && (status == -ENOENT || status == -ENOTDIR))
        return &no_parent;
    if (cli->place == CLI_RING)
        return reason_in(ring_reason_table, COUNT(ring_reason_table), status);
    if (cli->creates && status == SEGLOG_ENOTLOG)
        return &occupied;
    return reason_in(state_reason_table, COUNT(state_reason_table), status);
}

/* What a missing or occupied directory means to a command that would make it. */
static const struct reason *reason_of_creation(int status)
{
    static const struct reason no_parent = {-ENOENT, EX_CANTCREAT, "its parent must exist"};
    static const struct reason no_dir = {-ENOTDIR, EX_CANTCREAT,
                                         "choose a missing or an empty directory"};
    static const struct reason occupied = {SEGLOG_ENOTLOG, EX_CANTCREAT,
                                           "other files lie there; choose an empty directory"};

    switch (status) {
    case -ENOENT:
        return &no_parent;
    case -ENOTDIR:
        return &no_dir;
    case SEGLOG_ENOTLOG:
        return &occupied;
    default:
        return reason_of(status);
    }
}

static const struct reason *reason_for(const struct cli *cli, int status)
{
    const struct reason *of_file = cli->place != CLI_LOG ? reason_of_file(cli, status) : NULL;

    if (of_file)
        return of_file;
    return cli->creates ? reason_of_creation(status) : reason_of(status);
}

int fail_exit_of(const struct cli *cli, int status)
{
    const struct reason *reason = reason_for(cli, status);

    return reason ? reason->exit_status : EX_IOERR;
}

bool color_on(const struct cli *cli, int fd)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    if (cli->color != COLOR_AUTO)
        return cli->color == COLOR_ALWAYS;
    if (no_color && *no_color)
        return false;
    return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

/* A line in one write, so that lines of several processes on one terminal do not mix. */
static void line_write(const struct cli *cli, bool failure, const char *text)
{
    const bool color = failure && color_on(cli, STDERR_FILENO);
    const size_t room = 4 * strlen(text) + strlen(cli->command) + 64;
    char *line = malloc(room);
    size_t used;

    if (!line) {
        fprintf(stderr, "seglog: %s: out of memory\n", cli->command);
        return;
    }
    used = (size_t)snprintf(line, room, "%sseglog:%s %s%s", color ? "\033[1;31m" : "",
                            color ? "\033[0m" : "", cli->command, *cli->command ? ": " : "");
    for (const char *at = text; *at; at++) {
        const unsigned char c = (unsigned char)*at;

        if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(line + used, room - used, "\\x%02x", c);
        else
            line[used++] = *at;
    }
    line[used++] = '\n';
    fwrite(line, 1, used, stderr);
    fflush(stderr);
    free(line);
}

static void line_format(const struct cli *cli, bool failure, const char *what, const char *tail,
                        const char *format, va_list args)
{
    char *why = NULL;
    char *text = NULL;

    if (vasprintf(&why, format, args) < 0)
        why = NULL;
    if (asprintf(&text, "%s%s%s%s", what ? what : "", what ? ": " : "", why ? why : "out of memory",
                 tail) < 0)
        text = NULL;
    line_write(cli, failure, text ? text : "out of memory");
    free(text);
    free(why);
}

int fail_status(const struct cli *cli, const char *what, int status)
{
    const struct reason *reason = reason_for(cli, status);

    if (reason && reason->hint)
        return fail_text(cli, reason->exit_status, what, "%s; %s", seglog_strerror(status),
                         reason->hint);
    return fail_text(cli, reason ? reason->exit_status : EX_IOERR, what, "%s",
                     seglog_strerror(status));
}

int fail_open(const struct cli *cli, const char *dir, int status)
{
    const char *asked = getenv("SEGLOG_IO");
    const bool demands_uring = asked && strcmp(asked, "uring") == 0;

    if (asked && *asked && status == -EINVAL && !demands_uring && strcmp(asked, "threads") != 0 &&
        strcmp(asked, "auto") != 0)
        return fail_text(cli, EXIT_USAGE, "SEGLOG_IO", "'%s' is none of uring, threads, auto",
                         asked);
    if (demands_uring && (status == -EPERM || status == -ENOSYS || status == -EOPNOTSUPP))
        return fail_text(cli, EX_UNAVAILABLE, "SEGLOG_IO=uring",
                         "no io_uring to be had; seglog doctor says why");
    return fail_status(cli, dir, status);
}

int fail_text(const struct cli *cli, int exit_status, const char *what, const char *why, ...)
{
    va_list args;

    va_start(args, why);
    line_format(cli, true, what, "", why, args);
    va_end(args);
    return exit_status;
}

int fail_usage(const struct cli *cli, const char *what, const char *why, ...)
{
    char tail[64];
    va_list args;

    snprintf(tail, sizeof(tail), "; see seglog %.32s%s--help", cli->command,
             *cli->command ? " " : "");
    va_start(args, why);
    line_format(cli, true, what, tail, why, args);
    va_end(args);
    return EXIT_USAGE;
}

int fail_later(const struct cli *cli, const char *what)
{
    return fail_text(cli, EXIT_USAGE, what, "not in this release");
}

int flush_stdout(const struct cli *cli)
{
    int error = 0;

    if (fflush(stdout) != 0)
        error = errno;
    else if (ferror(stdout))
        error = EIO; /* an earlier part failed, and why is forgotten */
    if (error == 0 || error == EPIPE)
        return 0;
    return fail_text(cli, fail_exit_of(cli, -error), "standard output", "%s",
                     seglog_strerror(-error));
}

void note(const struct cli *cli, const char *text, ...)
{
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, text);
    line_format(cli, false, NULL, "", text, args);
    va_end(args);
}

void detail(const struct cli *cli, const char *text, ...)
{
    va_list args;

    if (!cli->verbose || cli->quiet)
        return;
    va_start(args, text);
    line_format(cli, false, NULL, "", text, args);
    va_end(args);
}
