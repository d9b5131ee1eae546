/*
 * seglog cursor: stored places, and how far behind they are.
 */
#include "args.h"
#include "cursors.h"
#include "fail.h"
#include "place.h"
#include "report.h"

#include <seglog/cursor.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_DRY_RUN = ARGS_KEY_FIRST, KEY_JSON };

struct cursor_args {
    const struct cli *cli;
    const char *words[4]; /* ls|show|set|rm, DIR, NAME, PLACE */
    unsigned count;
    bool dry_run;
    bool json;
};

static const struct argp_option options[] = {
    {"dry-run", KEY_DRY_RUN, NULL, 0, "set: only say where that would be", 1},
    {"json", KEY_JSON, NULL, 0, "ls, show: JSON", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cursor_args *args = state->input;

    switch (key) {
    case KEY_DRY_RUN:
        args->dry_run = true;
        return 0;
    case KEY_JSON:
        args->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (args->count == 4) {
            fail_usage(args->cli, arg, "one argument too many");
            return ARGS_SAID;
        }
        args->words[args->count++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "ls DIR\nshow DIR NAME\nset DIR NAME PLACE\nrm DIR NAME",
    .doc =
        "Named places that are stored in a log, for readers that go on where they stopped."
        "\v"
        "Retention keeps what a cursor has still to read. A place is first, last, end, N, -N, "
        "@TIME or cursor:NAME.\n"
        "\n"
        "Exit status: 0 done, 1 no such cursor, or (ls) none at all, 2 usage, 66 no log there, or "
        "no such place, 75 a living process holds it, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog cursor ls /var/tmp/events\n"
        "  seglog cursor set /var/tmp/events mailer @-1h",
};

static int list(const struct cursor_args *args)
{
    struct seglog_cursor_info *all;
    const int n = seglog_cursor_list(args->words[1], &all);
    json_t *array;
    int rc = 0;

    if (n < 0)
        return fail_status(args->cli, args->words[1], n);
    array = args->json ? json_array() : NULL;
    if (!args->json && n > 0)
        cursors_print_head("", "");
    for (int i = 0; i < n; i++) {
        if (args->json)
            json_array_append_new(array, cursors_json(&all[i]));
        else
            cursors_print(&all[i]);
    }
    if (args->json)
        rc = report_print(args->cli, array);
    free(all);
    if (rc == 0)
        rc = flush_stdout(args->cli);
    return rc == 0 && n == 0 ? EXIT_NOTHING : rc;
}

/* What a call on one cursor gave. */
static int one(const struct cursor_args *args, int rc, const struct seglog_cursor_info *info)
{
    if (rc == -ENODATA)
        return fail_text(args->cli, EXIT_NOTHING, args->words[2], "no such cursor");
    if (rc == -EBUSY)
        return fail_text(args->cli, EX_TEMPFAIL, args->words[2], "a living process holds it");
    if (rc == -EINVAL)
        return fail_usage(args->cli, args->words[2], "no cursor can have that name");
    if (rc == -ERANGE)
        return fail_text(args->cli, EX_NOINPUT, args->words[3], "the log has not come that far");
    if (rc < 0)
        return fail_status(args->cli, args->words[1], rc);
    if (!info)
        return 0;
    if (args->json)
        return report_print(args->cli, cursors_json(info));
    cursors_print_head("", "");
    cursors_print(info);
    return flush_stdout(args->cli);
}

static int set(const struct cursor_args *args)
{
    struct seglog_cursor_info info;
    struct seglog_place place;
    const char *cursor, *why = place_parse(args->words[3], &place, &cursor);
    int rc;

    if (why)
        return fail_usage(args->cli, args->words[3], "%s", why);
    rc = place_of_cursor(args->cli, args->words[1], "PLACE", cursor, &place);
    if (rc != 0)
        return rc;
    rc = seglog_cursor_set(args->words[1], args->words[2], &place,
                           args->dry_run ? SEGLOG_CURSOR_DRY_RUN : 0, &info);
    return one(args, rc, args->dry_run || args->json ? &info : NULL);
}

int cmd_cursor(struct cli *cli, int argc, char **argv)
{
    struct cursor_args args = {.cli = cli};
    struct seglog_cursor_info info;
    const char *verb;
    int rc = args_parse(cli, &argp, argc, argv, &args);

    if (rc != ARGS_RUN)
        return rc;
    verb = args.count > 0 ? args.words[0] : "";
    if (strcmp(verb, "ls") == 0 && args.count == 2)
        return list(&args);
    if (strcmp(verb, "set") == 0 && args.count == 4)
        return set(&args);
    if (strcmp(verb, "show") == 0 && args.count == 3) {
        rc = seglog_cursor_info_read(args.words[1], args.words[2], &info);
        return one(&args, rc, &info);
    }
    if (strcmp(verb, "rm") == 0 && args.count == 3)
        return one(&args, seglog_cursor_remove(args.words[1], args.words[2]), NULL);
    return fail_usage(cli, *verb ? verb : "cursor",
                      "ls DIR, show DIR NAME, set DIR NAME PLACE or rm DIR NAME is expected");
}
