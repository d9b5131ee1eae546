/*
 * Options and arguments: argp with error lines of our own.
 *
 * argp is kept silent, because its messages take two lines; what it refused is found again by going
 * through the options with getopt_long(), on that path only.
 */
#include "args.h"

#include "fail.h"
#include "parse.h"

#include <seglog/seglog.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_COLOR = 0x2000, KEY_HELP, KEY_VERSION };

static const struct argp_option common_options[] = {
    {"quiet", 'q', NULL, 0, "No notes on stderr, only failures", -1},
    {"verbose", 'v', NULL, 0, "Say more on stderr", -1},
    {"color", KEY_COLOR, "WHEN", 0, "Colours: auto (on a terminal), always, never", -1},
    {"help", KEY_HELP, NULL, 0, "Show this", -1},
    {"version", KEY_VERSION, NULL, 0, "Show the version", -1},
    {0},
};

struct args_run {
    struct cli *cli;
    void *input;
    bool help;
};

void args_print_version(void)
{
    printf("seglog %s\n", SEGLOG_VERSION);
    if (strcmp(SEGLOG_VERSION, seglog_version()) != 0)
        printf("libseglog %s\n", seglog_version());
    printf("log format %d.%d\n", SEGLOG_FORMAT_MAJOR, SEGLOG_FORMAT_MINOR);
}

static error_t common_parse(int key, char *arg, struct argp_state *state)
{
    static const char *const when[] = {"auto", "always", "never"};
    struct args_run *run = state->input;

    switch (key) {
    case 'q':
        run->cli->quiet = true;
        return 0;
    case 'v':
        run->cli->verbose = true;
        return 0;
    case KEY_COLOR:
        for (int i = 0; i < 3; i++) {
            if (strcmp(arg, when[i]) == 0) {
                run->cli->color = (enum color_when)i;
                return 0;
            }
        }
        fail_usage(run->cli, "--color", "%s: known are auto, always and never", arg);
        return ARGS_SAID;
    case KEY_HELP:
        run->help = true;
        return EALREADY;
    case KEY_VERSION:
        args_print_version();
        return EALREADY;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common_argp = {.options = common_options, .parser = common_parse};

static error_t root_parse(int key, char *arg, struct argp_state *state)
{
    struct args_run *run = state->input;

    (void)arg;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = run->input;
    state->child_inputs[1] = run;
    return 0;
}

/* ---- what was refused ------------------------------------------------------------------------ */

#define KNOWN_MAX 64

struct known {
    struct option longs[KNOWN_MAX + 1];
    char shorts[3 * KNOWN_MAX + 2];
    int count;
    size_t used;
};

static void known_add(struct known *known, const struct argp *argp)
{
    const struct argp_option *opt = argp->options;

    for (; opt && (opt->name || opt->key || opt->doc); opt++) {
        if (opt->key > ' ' && opt->key < 0x7f && known->used + 3 < sizeof(known->shorts)) {
            known->shorts[known->used++] = (char)opt->key;
            if (opt->arg)
                known->shorts[known->used++] = ':';
        }
        if (opt->name && known->count < KNOWN_MAX) {
            known->longs[known->count++] = (struct option){
                .name = opt->name,
                .has_arg = opt->arg ? required_argument : no_argument,
                .val = opt->key,
            };
        }
    }
    for (const struct argp_child *child = argp->children; child && child->argp; child++)
        known_add(known, child->argp);
}

/* Say which option argp did not take, and why. */
static int explain(const struct cli *cli, const struct argp *argp, int argc, char **argv)
{
    struct known known = {.shorts = ":", .used = 1};
    char what[64];
    int key;

    known_add(&known, argp);
    opterr = 0;
    optind = 0; /* start anew */
    do {
        key = getopt_long(argc, argv, known.shorts, known.longs, NULL);
    } while (key != -1 && key != '?' && key != ':');

    if (key == -1)
        return fail_usage(cli, "arguments", "not understood");
    /* optopt is the letter, or for a long option its key, or 0 when it is not known at all. */
    if (optopt > ' ' && optopt < 0x7f && strncmp(argv[optind - 1], "--", 2) != 0)
        snprintf(what, sizeof(what), "-%c", optopt);
    else
        snprintf(what, sizeof(what), "%.60s", argv[optind - 1]);
    if (key == ':')
        return fail_usage(cli, what, "a value is needed");
    if (strchr(what, '=') && optopt)
        return fail_usage(cli, what, "this option takes no value");
    return fail_usage(cli, what, "no such option, or a short form of several");
}

int args_parse(struct cli *cli, const struct argp *argp, int argc, char **argv, void *input)
{
    struct args_run run = {.cli = cli, .input = input};
    const struct argp_child children[] = {
        {.argp = argp},
        {.argp = &common_argp},
        {0},
    };
    const struct argp root = {.parser = root_parse, .children = children};
    const error_t rc =
        argp_parse(&root, argc, argv, ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP, NULL, &run);

    if (run.help) {
        char name[64];

        snprintf(name, sizeof(name), "seglog %s", cli->command);
        (void)setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
        argp_help(&root, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG, name);
    }
    if (rc == EALREADY)
        return flush_stdout(cli);
    if (rc == ARGS_SAID)
        return EXIT_USAGE;
    if (rc == ENOMEM)
        return fail_status(cli, NULL, -ENOMEM);
    if (rc)
        return explain(cli, &root, argc, argv);
    return ARGS_RUN;
}

int args_take_place(const struct cli *cli, const char **place, const char *arg)
{
    if (*place) {
        fail_usage(cli, arg, "one place only, and %s was given", *place);
        return ARGS_SAID;
    }
    if (!*arg) {
        fail_usage(cli, "''", "an empty name is no place");
        return ARGS_SAID;
    }
    *place = arg;
    return 0;
}

int args_check(const struct cli *cli, const char *option, const char *value, const char *why)
{
    if (!why)
        return 0;
    if (why == parse_later)
        fail_text(cli, EXIT_USAGE, option, "%s: %s", value, why);
    else
        fail_usage(cli, option, "%s: %s", value, why);
    return ARGS_SAID;
}

int args_no_place(const struct cli *cli, const char *name)
{
    fail_usage(cli, name, "which one? It is missing");
    return ARGS_SAID;
}

error_t args_parse_dir(const struct cli *cli, const char **dir, int key, const char *arg)
{
    switch (key) {
    case ARGP_KEY_ARG:
        return args_take_place(cli, dir, arg);
    case ARGP_KEY_END:
        return *dir ? 0 : args_no_place(cli, "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}
