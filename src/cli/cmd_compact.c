/*
 * seglog compact: the newest record of each key of a log, into a new one.
 *
 * Two passes: the first finds out which record is the newest of each key, in a table beside OUT that goes
 * away again; the second copies those. What is published in between is copied, too.
 */
#include "args.h"
#include "copier.h"
#include "fail.h"
#include "parse.h"
#include "report.h"
#include "signals.h"
#include "walk.h"

#include <seglog/keyed.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_FORCE, KEY_KEY };

struct compact {
    const struct cli *cli;
    const char *dir;
    const char *out;
    bool json;
    bool force;
    bool has_rule;
    unsigned char until; /* the key ends before this byte */
    struct seglog_keyed_options rule;

    struct seglog_keyed *keyed;
    char *table; /* its path */
    struct walk walk;
    struct copier copier;
    uint64_t dropped;
    int damage; /* a status */
};

/* A record up to a byte; without one it has no key. */
static int key_until(void *context, const struct seglog_view *view, const void **key, size_t *len)
{
    const struct compact *c = context;
    const char *end = memchr(view->data, c->until, (size_t)view->len);

    *key = view->data;
    *len = end ? (size_t)(end - (const char *)view->data) : 0;
    return *len > 0 ? SEGLOG_KEYED_SET : SEGLOG_KEYED_NONE;
}

static const char *check_bytes(const char *text, struct seglog_keyed_options *rule)
{
    const char *colon = strchr(text, ':');
    char offset[24];
    const char *why;

    if (!colon || (size_t)(colon - text) >= sizeof(offset))
        return "bytes:OFFSET:LEN";
    memcpy(offset, text, (size_t)(colon - text));
    offset[colon - text] = 0;
    why = parse_count(offset, &rule->offset);
    if (!why)
        why = parse_count(colon + 1, &rule->len);
    return !why && rule->len == 0 ? "at least one byte" : why;
}

static const char *check_key(struct compact *c, const char *text)
{
    c->has_rule = true;
    if (strcmp(text, "tag") == 0)
        return NULL;
    if (strncmp(text, "bytes:", 6) == 0)
        return check_bytes(text + 6, &c->rule);
    if (strncmp(text, "until:", 6) != 0)
        return "tag, bytes:OFFSET:LEN or until:BYTE";
    c->rule.key = key_until;
    c->rule.context = c;
    return parse_byte(text + 6, &c->until);
}

static const struct argp_option options[] = {
    {"key", KEY_KEY, "RULE", 0,
     "What of a record is its key: tag, bytes:OFFSET:LEN, or until:BYTE (all before it)", 1},
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {"force", KEY_FORCE, NULL, 0, "Read and write on a network file system too", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct compact *c = state->input;

    switch (key) {
    case KEY_KEY:
        return args_check(c->cli, "--key", arg, check_key(c, arg));
    case KEY_JSON:
        c->json = true;
        return 0;
    case KEY_FORCE:
        c->force = true;
        return 0;
    case ARGP_KEY_ARG:
        return args_take_place(c->cli, c->dir && !c->out ? &c->out : &c->dir, arg);
    case ARGP_KEY_END:
        return c->out ? 0 : args_no_place(c->cli, c->dir ? "OUT" : "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR OUT",
    .doc =
        "Copy the newest record of each key, and those without a key, into a new log."
        "\v"
        "OUT is a missing or empty directory. Records keep their sequence numbers, times and tags; "
        "the numbers of the others are void in OUT. DIR is not written to, and may be in use; "
        "readers of it are not disturbed, and go on in OUT at the number where they stand.\n"
        "\n"
        "Exit status: 0 done, 65 the log is damaged (see seglog salvage), 66 no log there, 73 OUT "
        "is "
        "not empty, or there is no room.\n"
        "\n"
        "Examples:\n"
        "  seglog compact prices newest --key tag\n"
        "  seglog compact settings small --key until:=",
};

/* ---- copying ---------------------------------------------------------------------------------- */

static int put(void *context, const struct seglog_view *view)
{
    struct compact *c = context;
    const struct seglog_record record = walk_record(view);
    const int rc = seglog_keyed_is_newest(c->keyed, view);

    c->dropped += rc == 0;
    return rc == 1 ? copier_put(&c->copier, view->seq, &record) : rc;
}

static int settle(void *context)
{
    struct compact *c = context;

    return c->damage < 0 ? c->damage : copier_flush(&c->copier);
}

static void lost(void *context, const struct seglog_damage *damage)
{
    ((struct compact *)context)->damage = damage->status;
}

static int copy(struct compact *c)
{
    int rc = walk_run(&c->walk);

    if (c->damage < 0)
        return fail_status(c->cli, c->dir, c->damage);
    if (rc < 0 && !c->walk.is_theirs)
        return fail_status(c->cli, c->dir, rc);
    if (rc == 0 && !signals_stopped())
        rc = copier_skip(&c->copier, c->walk.next_seq);
    return rc < 0 ? copier_failed(&c->copier, rc) : 0;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int print_report(struct compact *c)
{
    char size[REPORT_SIZE_LEN];
    json_t *object;

    if (c->json) {
        object = copier_report(&c->copier);
        report_number(object, "dropped", c->dropped);
        report_flag(object, "complete", !signals_stopped());
        return report_print(c->cli, object);
    }
    report_size(c->copier.bytes, size);
    printf("kept %" PRIu64 " records, %s; %" PRIu64 " had a newer one\n", c->copier.records, size,
           c->dropped);
    return 0;
}

/* The table of the newest, beside OUT. returns an exit status */
static int find_newest(struct compact *c)
{
    int rc;

    if (asprintf(&c->table, "%s.%ld.keys", c->out, (long)getpid()) < 0) {
        c->table = NULL;
        return fail_status(c->cli, NULL, -ENOMEM);
    }
    rc = seglog_keyed_open(c->dir, c->table, &c->rule, &c->keyed);
    if (rc == 0)
        rc = seglog_keyed_update(c->keyed);
    return rc < 0 ? fail_status(c->cli, c->dir, rc) : 0;
}

static int compact_run(struct compact *c)
{
    int printed, rc, exit_status = find_newest(c);

    if (exit_status != 0)
        return exit_status;
    rc = walk_open(&c->walk, "compacting");
    if (rc < 0)
        return fail_status(c->cli, c->dir, rc);
    exit_status = copier_begin_like(&c->copier, c->cli, c->out, &c->walk.settings,
                                    c->walk.first_seq, c->force ? SEGLOG_LOG_FORCE_FS : 0);
    if (exit_status == 0)
        exit_status = copy(c);
    if (!c->copier.log)
        return exit_status;
    exit_status = copier_end(&c->copier, exit_status);
    if (exit_status != 0)
        return exit_status;
    printed = print_report(c);
    if (printed == 0)
        printed = flush_stdout(c->cli);
    if (signals_stopped())
        note(c->cli, "stopped before the end of %s", c->dir);
    return printed;
}

int cmd_compact(struct cli *cli, int argc, char **argv)
{
    struct compact *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return fail_status(cli, NULL, -ENOMEM);
    c->cli = cli;
    rc = args_parse(cli, &argp, argc, argv, c);
    if (rc == ARGS_RUN && !c->has_rule) {
        rc = fail_usage(cli, "--key", "it is missing");
    } else if (rc == ARGS_RUN && copier_lies_inside(c->dir, c->out)) {
        rc = fail_usage(cli, c->out, "it would lie in %s, which is not written to", c->dir);
    } else if (rc == ARGS_RUN) {
        signals_catch();
        c->rule.flags = c->force ? SEGLOG_KEYED_FORCE_FS : 0;
        c->walk = (struct walk){.cli = cli,
                                .dir = c->dir,
                                .flags = c->force ? SEGLOG_READER_FORCE_FS : 0,
                                .context = c,
                                .put = put,
                                .settle = settle,
                                .lost = lost};
        rc = compact_run(c);
        walk_close(&c->walk);
        seglog_keyed_close(c->keyed);
        if (c->table)
            (void)unlink(c->table);
    }
    free(c->table);
    free(c);
    return rc;
}
