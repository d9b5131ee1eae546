/*
 * seglog salvage: every readable record of a log, into a new one.
 *
 * The old log is read by pread into private memory, so that a medium that fails is an error and not a
 * signal. Nothing is written to it. Records keep number, time and tag; what is lost becomes void.
 */
#include "args.h"
#include "copier.h"
#include "fail.h"
#include "report.h"
#include "signals.h"
#include "walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_FORCE };

struct salvage {
    const struct cli *cli;
    const char *dir;
    const char *out;
    bool json;
    uint32_t force; /* SEGLOG_READER_FORCE_FS */

    struct walk walk;
    struct copier copier;
    uint64_t places;
    uint64_t numbers; /* lost */
    json_t *losses;   /* with --json */
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {"force", KEY_FORCE, NULL, 0, "Read and write on a network file system too", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct salvage *s = state->input;

    switch (key) {
    case KEY_JSON:
        s->json = true;
        return 0;
    case KEY_FORCE:
        s->force = SEGLOG_READER_FORCE_FS;
        return 0;
    case ARGP_KEY_ARG:
        return args_take_place(s->cli, s->dir && !s->out ? &s->out : &s->dir, arg);
    case ARGP_KEY_END:
        return s->out ? 0 : args_no_place(s->cli, s->dir ? "OUT" : "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR OUT",
    .doc =
        "Copy every readable record of a log into a new one, and say which are lost."
        "\v"
        "OUT is a missing or empty directory. Records keep their sequence numbers, times and "
        "tags; the numbers of those that are lost are void in OUT. DIR is not written to, and may "
        "be in use.\n"
        "\n"
        "Exit status: 0 done, whatever is lost, 1 not one record could be read, 65 the log's own "
        "settings are damaged, 66 no log there, 73 OUT is not empty, or there is no room.\n"
        "\n"
        "Examples:\n"
        "  seglog salvage /mnt/old/events /var/tmp/events\n"
        "  seglog salvage --json events saved | jq '.lost[]'",
};

/* ---- what is lost ----------------------------------------------------------------------------- */

static void lost_json(struct salvage *s, const struct seglog_damage *damage, const char *cause)
{
    json_t *object = json_object();

    report_number(object, "first_seq", damage->first_seq);
    report_number(object, "last_seq", damage->last_seq);
    report_number(object, "segment", damage->segment);
    report_number(object, "offset", damage->offset);
    report_text(object, "cause", cause);
    json_array_append_new(s->losses, object);
}

static void lost(void *context, const struct seglog_damage *damage)
{
    struct salvage *s = context;
    char cause[sizeof(damage->cause) + 1];

    snprintf(cause, sizeof(cause), "%.*s", (int)sizeof(damage->cause), damage->cause);
    if (damage->first_seq > damage->last_seq) {
        detail(s->cli, "segment %" PRIu64 ", offset %" PRIu64 ": %s; no record lost",
               damage->segment, damage->offset, cause);
        return;
    }
    s->places++;
    s->numbers += damage->last_seq - damage->first_seq + 1;
    if (s->json)
        lost_json(s, damage, cause);
    else
        printf("lost %" PRIu64 " to %" PRIu64 ": segment %" PRIu64 ", offset %" PRIu64 ": %s\n",
               damage->first_seq, damage->last_seq, damage->segment, damage->offset, cause);
}

/* ---- copying ---------------------------------------------------------------------------------- */

static int put(void *context, const struct seglog_view *view)
{
    struct salvage *s = context;
    const struct seglog_record record = walk_record(view);

    return copier_put(&s->copier, view->seq, &record);
}

static int settle(void *context)
{
    return copier_flush(&((struct salvage *)context)->copier);
}

/* ---- beginning and end ------------------------------------------------------------------------ */

static int print_report(struct salvage *s)
{
    const struct copier *c = &s->copier;
    char size[REPORT_SIZE_LEN];
    json_t *object;

    if (s->json) {
        object = copier_report(c);
        report_number(object, "lost_numbers", s->numbers);
        json_object_set(object, "lost", s->losses);
        report_flag(object, "complete", !signals_stopped());
        return report_print(s->cli, object);
    }
    report_size(c->bytes, size);
    printf("salvaged %" PRIu64 " records, %s; ", c->records, size);
    if (s->places == 0)
        printf("nothing is lost\n");
    else
        printf("%" PRIu64 " numbers lost in %" PRIu64 " place%s\n", s->numbers, s->places,
               s->places == 1 ? "" : "s");
    return 0;
}

/* returns an exit status */
static int copy(struct salvage *s)
{
    int rc = walk_run(&s->walk);

    if (rc < 0 && !s->walk.is_theirs)
        return fail_status(s->cli, s->dir, rc);
    if (rc == 0 && !signals_stopped())
        rc = copier_skip(&s->copier, s->walk.next_seq);
    return rc < 0 ? copier_failed(&s->copier, rc) : 0;
}

static int salvage_run(struct salvage *s)
{
    int printed, exit_status, rc = walk_open(&s->walk, "salvaging");

    if (rc < 0)
        return fail_status(s->cli, s->dir, rc);
    exit_status = copier_begin_like(&s->copier, s->cli, s->out, &s->walk.settings,
                                    s->walk.first_seq, s->force ? SEGLOG_LOG_FORCE_FS : 0);
    if (exit_status == 0)
        exit_status = copy(s);
    if (!s->copier.log)
        return exit_status;
    exit_status = copier_end(&s->copier, exit_status);
    printed = print_report(s);
    if (printed == 0)
        printed = flush_stdout(s->cli);
    if (signals_stopped())
        note(s->cli, "stopped before the end of %s", s->dir);
    if (exit_status == 0)
        exit_status = printed;
    return exit_status == 0 && s->copier.records == 0 && s->places > 0 ? EXIT_NOTHING : exit_status;
}

int cmd_salvage(struct cli *cli, int argc, char **argv)
{
    struct salvage *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return fail_status(cli, NULL, -ENOMEM);
    s->cli = cli;
    rc = args_parse(cli, &argp, argc, argv, s);
    if (rc == ARGS_RUN && copier_lies_inside(s->dir, s->out)) {
        rc = fail_usage(cli, s->out, "it would lie in %s, which is not written to", s->dir);
    } else if (rc == ARGS_RUN) {
        signals_catch();
        s->walk = (struct walk){.cli = cli,
                                .dir = s->dir,
                                .flags = SEGLOG_READER_COPY | SEGLOG_READER_SKIP_BAD | s->force,
                                .context = s,
                                .put = put,
                                .settle = settle,
                                .lost = lost};
        s->losses = json_array();
        rc = salvage_run(s);
        walk_close(&s->walk);
        json_decref(s->losses);
    }
    free(s);
    return rc;
}
