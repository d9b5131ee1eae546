/*
 * What the commands of cells and tables share: options, values from arguments or standard input, and
 * values on standard output.
 */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include "args.h"
#include "sink.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_form { VALUE_LINE = 0, VALUE_RAW, VALUE_JSON, VALUE_HEX };

/* Of one command; words that are no options in order. */
struct value_args {
    struct cli *cli;
    char **words; /* PATH first */
    unsigned count;
    enum value_form form;
    uint64_t schema;
    uint32_t mode;
    bool force;
};

/* The children of the command's argp; they get a struct value_args at ARGP_KEY_INIT. */
extern const struct argp_child value_children[];       /* --schema, --force */
extern const struct argp_child value_print_children[]; /* and -o */
extern const struct argp_child value_make_children[];  /* and --mode */

/* ARGS_RUN and room for the words, which the caller frees; or an exit status. At least `min` words, PATH
 * one of them, and at most `max`. */
int value_args_parse(struct value_args *args, const struct argp *argp, int argc, char **argv,
                     void *input, unsigned min, unsigned max);

/* All of standard input. 0 and *out, which the caller frees; or an exit status, having said why */
int value_read(const struct cli *cli, void **out, size_t *len);

/* Bytes as one word of a line, a raw piece, or digits. Not for VALUE_JSON. */
void value_put(struct sink *sink, enum value_form form, const void *data, size_t len);
void value_put_number(struct sink *sink, const char *name, uint64_t number);

/* Flush and close. An exit status: 0 also when the reader of it went away */
int value_end(const struct cli *cli, struct sink *sink);

#endif
