/*
 * seglog tail: print the last records, and follow.
 */
#include "fail.h"
#include "scan.h"

#include <errno.h>

enum { KEY_CURSOR = ARGS_KEY_FIRST + 0x100 };

static const struct argp_option options[] = {
    {"follow", 'f', NULL, 0, "Go on printing as records are appended, until stopped", 1},
    {"cursor", KEY_CURSOR, "NAME", 0,
     "Go on from this stored place and move it; a new one begins where -n or --from say", 1},
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
        sel->follow = true;
        return 0;
    case KEY_CURSOR:
        sel->cursor = arg;
        return 0;
    case ARGP_KEY_END:
        if (sel->cursor && sel->reverse) {
            fail_usage(sel->cli, "--reverse", "a cursor moves forward");
            return ARGS_SAID;
        }
        if (sel->follow && sel->reverse) {
            fail_usage(sel->cli, "--reverse", "what is to come cannot be followed backward");
            return ARGS_SAID;
        }
        break;
    default:
        break;
    }
    return args_parse_dir(sel->cli, &sel->dir, key, arg);
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = select_children,
    .args_doc = "DIR",
    .doc = "Print the last 10 records of a log, and follow it with -f."
           "\v"
           "-n N prints the last N instead. With --from and no -n everything from that place on is "
           "printed; --to ends before its place, also when following. With --tag or --grep, "
           "only matching records are counted.\n"
           "\n"
           "--cursor NAME prints what comes after a stored place, to the end, or -n N records of "
           "that. The place is moved when what was printed has been written out: who is killed "
           "prints some records again, and loses none. A cursor that is not there is made, where "
           "the records begin that would be printed without it: 10 before the end.\n"
           "\n"
           "Exit status: 0 done, also when SIGINT or SIGTERM ends -f, 1 no record "
           "printed, 65 damage was met, 66 no log there, 75 a living process holds the cursor.\n"
           "\n"
           "Examples:\n"
           "  seglog tail /var/tmp/events\n"
           "  seglog tail -f -n 0 /var/tmp/events\n"
           "  seglog tail -f /var/tmp/events --from @-5m --tag 7 -o json\n"
           "  seglog tail -f --cursor mailer /var/tmp/events | send-mails",
};

int cmd_tail(struct cli *cli, int argc, char **argv)
{
    return select_run(cli, &argp, argc, argv, scan_tail);
}
