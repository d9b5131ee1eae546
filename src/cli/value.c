/*
 * What the commands of cells and tables share: options, values from arguments or standard input, and
 * values on standard output.
 */
#include "value.h"

#include "fail.h"
#include "parse.h"
#include "stamp.h"
#include "text.h"

#include <seglog/status.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_SCHEMA = ARGS_KEY_FIRST + 0x100, KEY_FORCE, KEY_MODE };

/* ---- options ---------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"schema", KEY_SCHEMA, "N", 0,
     "What is in it, as its users number it; one with another number is refused. (0: any)", 2},
    {"force", KEY_FORCE, NULL, 0, "Accept a network file system", 2},
    {0},
};

static const struct argp_option print_options[] = {
    {"output", 'o', "FORM", 0, "line (the value and a newline), raw (the value), json, hex", 1},
    {0},
};

static const struct argp_option make_options[] = {
    {"mode", KEY_MODE, "BITS", 0, "Permissions of a new file (0640)", 1},
    {0},
};

static const char *parse_form(const char *name, enum value_form *out)
{
    static const char *const names[] = {"line", "raw", "json", "hex"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum value_form)i;
            return NULL;
        }
    }
    return "known are line, raw, json and hex";
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct value_args *args = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        if (state->child_inputs)
            state->child_inputs[0] = args;
        return 0;
    case KEY_SCHEMA:
        return args_check(args->cli, "--schema", arg, parse_count(arg, &args->schema));
    case KEY_FORCE:
        args->force = true;
        return 0;
    case KEY_MODE:
        return args_check(args->cli, "--mode", arg, parse_mode(arg, &args->mode));
    case 'o':
        return args_check(args->cli, "-o", arg, parse_form(arg, &args->form));
    case ARGP_KEY_ARG:
        args->words[args->count++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp value_argp = {.options = options, .parser = parse};

const struct argp_child value_children[] = {{.argp = &value_argp}, {0}};

static const struct argp print_argp = {
    .options = print_options, .parser = parse, .children = value_children};
static const struct argp make_argp = {
    .options = make_options, .parser = parse, .children = value_children};

const struct argp_child value_print_children[] = {{.argp = &print_argp}, {0}};
const struct argp_child value_make_children[] = {{.argp = &make_argp}, {0}};

int value_args_parse(struct value_args *args, const struct argp *argp, int argc, char **argv,
                     void *input, unsigned min, unsigned max)
{
    static const char *const names[] = {"PATH", "KEY"};
    int rc;

    args->words = calloc((size_t)argc + 1, sizeof(*args->words));
    if (!args->words)
        return fail_status(args->cli, NULL, -ENOMEM);
    rc = args_parse(args->cli, argp, argc, argv, input);
    if (rc == ARGS_RUN && args->count < min)
        rc = fail_usage(args->cli, names[args->count < 1 ? 0 : 1], "which one? It is missing");
    if (rc == ARGS_RUN && args->count > max)
        rc = fail_usage(args->cli, args->words[max], "one argument too many");
    if (rc == ARGS_RUN && !*args->words[0])
        rc = fail_usage(args->cli, "''", "an empty name is no place");
    return rc;
}

/* ---- in --------------------------------------------------------------------------------------- */

int value_read(const struct cli *cli, void **out, size_t *len)
{
    size_t size = 4096, used = 0;
    char *buf = malloc(size);
    ssize_t got = -1;

    while (buf) {
        if (used == size) {
            char *more = size > SIZE_MAX / 2 ? NULL : realloc(buf, size * 2);

            if (!more)
                break;
            buf = more;
            size *= 2;
        }
        got = read(STDIN_FILENO, buf + used, size - used);
        if (got == 0) {
            *out = buf;
            *len = used;
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            const int error = errno;

            free(buf);
            return fail_text(cli, fail_exit_of(cli, -error), "standard input", "%s",
                             seglog_strerror(-error));
        }
        used += got > 0 ? (size_t)got : 0;
    }
    free(buf);
    return fail_status(cli, "standard input", -ENOMEM);
}

/* ---- out -------------------------------------------------------------------------------------- */

void value_put(struct sink *sink, enum value_form form, const void *data, size_t len)
{
    if (form == VALUE_HEX)
        text_put_hex(sink, data, len);
    else
        sink_put(sink, data, len);
}

void value_put_number(struct sink *sink, const char *name, uint64_t number)
{
    sink_put_byte(sink, '"');
    sink_put(sink, name, strlen(name));
    sink_put(sink, "\":", 2);
    sink_took(sink, stamp_decimal(number, sink_room(sink, 20)));
}

int value_end(const struct cli *cli, struct sink *sink)
{
    const int error = sink_flush(sink);

    sink_close(sink);
    if (error == 0 || error == -EPIPE)
        return 0;
    return fail_text(cli, fail_exit_of(cli, error), "standard output", "%s",
                     seglog_strerror(error));
}
