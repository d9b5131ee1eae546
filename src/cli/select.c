/*
 * Which records to print and how: the options that `cat` and `tail` share.
 *
 * Patterns see bytes: the program keeps the C locale, so that a record which is not UTF-8 can be
 * searched like any other, and REG_STARTEND carries zero bytes.
 */
#include "select.h"

#include "fail.h"
#include "parse.h"
#include "place.h"

#include <string.h>

enum {
    KEY_FROM = ARGS_KEY_FIRST,
    KEY_TO,
    KEY_REVERSE,
    KEY_TAG,
    KEY_GREP,
    KEY_FORMAT,
    KEY_NO_VERIFY,
    KEY_DROP_BEHIND,
    KEY_FORCE,
    KEY_PACE,
    KEY_PCAP,
};

static const struct argp_option place_options[] = {
    {0, 0, NULL, 0, "Which records:", 1},
    {"from", KEY_FROM, "PLACE", 0, "Start there: first, last, end, N, -N, @TIME or cursor:NAME", 1},
    {"to", KEY_TO, "PLACE", 0, "End before that place", 1},
    {"reverse", KEY_REVERSE, NULL, 0, "The last one first", 1},
    {"no-verify", KEY_NO_VERIFY, NULL, 0, "Do not check payload checksums", 2},
    {"force", KEY_FORCE, NULL, 0, "Read on a network file system too", 2},
    {"pace", KEY_PACE, "FACTOR", OPTION_HIDDEN, NULL, 2},
    {"pcap", KEY_PCAP, NULL, OPTION_HIDDEN, NULL, 2},
    {0},
};

static const struct argp_option print_options[] = {
    {"count", 'n', "COUNT", 0, "At most COUNT records", 1},
    {"tag", KEY_TAG, "N", 0, "Only records with this tag", 1},
    {"grep", KEY_GREP, "REGEX", 0, "Only those that match (POSIX extended, bytes)", 1},
    {0, 0, NULL, 0, "How:", 2},
    {"output", 'o', "FORM", 0,
     "line (payload and newline), raw (payload), json, hex, lp (32-bit length before it), none", 2},
    {"format", KEY_FORMAT, "FORMAT", 0,
     "%s payload, %o sequence number, %t time in ns, %T RFC 3339, %k tag, %S length, %%, "
     "\\n \\t \\r \\0 \\\\ \\xHH",
     2},
    {"drop-behind", KEY_DROP_BEHIND, NULL, 0,
     "Leave nothing of the sealed segments that were read in the page cache", 2},
    {0},
};

static bool is_plain(const char *pattern)
{
    return *pattern && !strpbrk(pattern, "\\^$.[]|()*+?{}");
}

static int take_grep(struct selection *sel, const char *pattern)
{
    char why[128];
    int rc;

    if (sel->grep && !sel->grep_plain)
        regfree(&sel->regex);
    sel->grep = NULL;
    sel->grep_plain = is_plain(pattern);
    if (!sel->grep_plain) {
        rc = regcomp(&sel->regex, pattern, REG_EXTENDED | REG_NOSUB);
        if (rc != 0) {
            regerror(rc, &sel->regex, why, sizeof(why));
            return args_check(sel->cli, "--grep", pattern, why);
        }
    }
    sel->grep = pattern;
    return 0;
}

void select_format(struct selection *sel, const char *format)
{
    sel->form = OUTPUT_FORMAT;
    sel->format = format;
}

static error_t select_parse(int key, char *arg, struct argp_state *state)
{
    struct selection *sel = state->input;
    const struct cli *cli = sel ? sel->cli : NULL;

    switch (key) {
    case KEY_FROM:
        sel->has_from = true;
        return args_check(cli, "--from", arg, place_parse(arg, &sel->from, &sel->from_cursor));
    case KEY_TO:
        sel->has_to = true;
        return args_check(cli, "--to", arg, place_parse(arg, &sel->to, &sel->to_cursor));
    case 'n':
        sel->has_count = true;
        return args_check(cli, "-n", arg, parse_count(arg, &sel->count));
    case KEY_REVERSE:
        sel->reverse = true;
        return 0;
    case KEY_TAG:
        sel->has_tag = true;
        return args_check(cli, "--tag", arg, parse_tag(arg, &sel->tag));
    case KEY_GREP:
        return take_grep(sel, arg);
    case 'o':
        return args_check(cli, "-o", arg, output_form_parse(arg, &sel->form));
    case KEY_FORMAT:
        select_format(sel, arg);
        return 0;
    case KEY_NO_VERIFY:
        sel->flags |= SEGLOG_READER_NO_VERIFY;
        return 0;
    case KEY_DROP_BEHIND:
        sel->flags |= SEGLOG_READER_DROP_BEHIND;
        return 0;
    case KEY_FORCE:
        sel->flags |= SEGLOG_READER_FORCE_FS;
        return 0;
    case KEY_PACE:
        fail_later(cli, "--pace");
        return ARGS_SAID;
    case KEY_PCAP:
        fail_later(cli, "--pcap");
        return ARGS_SAID;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp place_argp = {.options = place_options, .parser = select_parse};
static const struct argp print_argp = {.options = print_options, .parser = select_parse};

const struct argp_child select_children[] = {{.argp = &place_argp}, {.argp = &print_argp}, {0}};
const struct argp_child select_print_children[] = {{.argp = &print_argp}, {0}};

bool select_matches(const struct selection *sel, const struct seglog_view *view)
{
    regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)view->len};

    if (!sel->grep)
        return true;
    if (sel->grep_plain)
        return memmem(view->data, view->len, sel->grep, strlen(sel->grep)) != NULL;
    return regexec(&sel->regex, view->len ? view->data : "", 1, &range, REG_STARTEND) == 0;
}

void select_free(struct selection *sel)
{
    if (sel->grep && !sel->grep_plain)
        regfree(&sel->regex);
    sel->grep = NULL;
}

int select_run(struct cli *cli, const struct argp *argp, int argc, char **argv,
               int (*scan)(const struct selection *sel))
{
    struct selection sel = {.cli = cli};
    int rc = args_parse(cli, argp, argc, argv, &sel);

    if (rc != ARGS_RUN) {
        select_free(&sel);
        return rc;
    }
    rc = place_of_cursor(cli, sel.dir, "--from", sel.from_cursor, &sel.from);
    if (rc == 0)
        rc = place_of_cursor(cli, sel.dir, "--to", sel.to_cursor, &sel.to);
    if (rc == 0)
        rc = scan(&sel);
    select_free(&sel);
    return rc;
}
