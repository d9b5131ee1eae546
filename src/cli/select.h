/*
 * Which records to print and how: the options that `cat` and `tail` share.
 */
#ifndef CLI_SELECT_H
#define CLI_SELECT_H

#include "args.h"
#include "output.h"

#include <seglog/reader.h>

#include <regex.h>

struct selection {
    const struct cli *cli;
    const char *dir;
    struct seglog_place from; /* zero: the first record */
    struct seglog_place to;   /* with has_to */
    const char *from_cursor;  /* the cursor whose place it is, or NULL; the same of `to` */
    const char *to_cursor;
    const char *cursor; /* `tail`: the one to continue from and move, or NULL */
    bool has_from;
    bool has_to;
    bool has_count;
    bool has_tag;
    bool reverse;
    bool follow;
    uint32_t flags; /* SEGLOG_READER_* */
    uint32_t tag;
    uint64_t count;
    const char *grep; /* NULL: no pattern */
    bool grep_plain;  /* the pattern is a plain string */
    regex_t regex;
    enum output_form form;
    const char *format;
};

/* The children of the command's argp; they get what its parser has at ARGP_KEY_INIT as input. */
extern const struct argp_child select_children[2 + 1];
/* Those that do not depend on where the records are: -n, --tag, --grep, -o, --format. */
extern const struct argp_child select_print_children[1 + 1];

/* Free what the options made. */
void select_free(struct selection *sel);

/* Run a command: parse its arguments into a selection, scan. returns an exit status */
int select_run(struct cli *cli, const struct argp *argp, int argc, char **argv,
               int (*scan)(const struct selection *sel));

/* -f FORMAT of `cat`. */
void select_format(struct selection *sel, const char *format);

/* true: the payload matches --grep, or there is none. */
bool select_matches(const struct selection *sel, const struct seglog_view *view);

#endif
