/*
 * seglog cat: print records.
 */
#include "fail.h"
#include "scan.h"

#include <errno.h>

static const struct argp_option options[] = {
    {NULL, 'f', "FORMAT", 0, "The same as --format", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct selection *sel = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->child_inputs[1] = sel;
        return 0;
    case 'f':
        select_format(sel, arg);
        return 0;
    default:
        return args_parse_dir(sel->cli, &sel->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = select_children,
    .args_doc = "DIR",
    .doc = "Print the records of a log."
           "\v"
           "Places: first, last, end, a sequence number N, -N (N records before the end), @TIME. "
           "A TIME is RFC 3339, seconds since 1970, or ago: @-10m. --from is printed, --to is not. "
           "With --reverse, -n counts from the end.\n"
           "\n"
           "Exit status: 0 done, 1 no record printed, 65 damage was met (the rest is printed and "
           "the lost range is named on stderr), 66 no log there.\n"
           "\n"
           "Examples:\n"
           "  seglog cat /var/tmp/events\n"
           "  seglog cat /var/tmp/events --from -10 -o json | jq .text\n"
           "  seglog cat /var/tmp/events --from @-1h --grep 'error|warning'\n"
           "  seglog cat /var/tmp/events -f '%T %k %s\\n'",
};

int cmd_cat(struct cli *cli, int argc, char **argv)
{
    return select_run(cli, &argp, argc, argv, scan_cat);
}
