/*
 * seglog ring get: take records out of a ring and print them.
 *
 * Records are released only after their text has been written: killed in between, the next get (or
 * for work, another one) prints them again rather than nobody.
 */
#include "fail.h"
#include "parse.h"
#include "ring.h"
#include "select.h"
#include "signals.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define BATCH_RECORDS 256
#define WAIT_NS       UINT64_C(200000000) /* how late the end of the output's reader is noticed */

enum { KEY_FROM = ARGS_KEY_FIRST, KEY_FORCE };

struct get {
    struct selection sel;
    bool has_from;
    bool from_end;
    bool force;
    struct seglog_ring *ring;
    struct seglog_consumer *consumer;
    struct output output;
    uint64_t left;
};

static const struct argp_option options[] = {
    {"follow", 'f', NULL, 0, "Wait for more, until stopped", 1},
    {"from", KEY_FROM, "PLACE", 0,
     "broadcast: first (the oldest record there) or end (the next one). (first)", 1},
    {"force", KEY_FORCE, NULL, 0, "Get from one on a network file system too", 2},
    {0},
};

static const char *check_from(const char *text, bool *end)
{
    struct seglog_place place;
    const char *why = parse_place(text, 0, &place);

    if (why)
        return why;
    if (place.kind != SEGLOG_PLACE_FIRST && place.kind != SEGLOG_PLACE_END)
        return "a ring knows first and end";
    *end = place.kind == SEGLOG_PLACE_END;
    return NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct get *get = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &get->sel;
        return 0;
    case 'f':
        get->sel.follow = true;
        return 0;
    case KEY_FROM:
        get->has_from = true;
        return args_check(get->sel.cli, "--from", arg, check_from(arg, &get->from_end));
    case KEY_FORCE:
        get->force = true;
        return 0;
    default:
        return ring_parse_path(get->sel.cli, &get->sel.dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = select_print_children,
    .args_doc = "PATH",
    .doc = "Take out what is in a ring, print it, and end; with -n COUNT, wait for and end after "
           "COUNT records."
           "\v"
           "Records that --tag or --grep leave out are taken too. One that was too slow for what "
           "is written over says on stderr how much it lost, and goes on.\n"
           "\n"
           "Exit status: 0 done, 1 no record printed, 66 no ring there, 75 the ring has one "
           "consumer and another is attached.\n"
           "\n"
           "Examples:\n"
           "  seglog ring get /dev/shm/pipe\n"
           "  seglog ring get -f /dev/shm/jobs | while read -r job; do work \"$job\"; done\n"
           "  seglog ring get /dev/shm/ticks -n 100 -o json | jq .text",
};

static bool get_done(const struct get *get)
{
    return get->left == 0 || get->output.sink.error || signals_stopped();
}

static void say_lost(const struct get *get)
{
    struct seglog_ring_loss loss;

    seglog_consumer_lost(get->consumer, &loss);
    note(get->sel.cli, "%s: %" PRIu64 " records, %" PRIu64 " bytes gave way before they were read",
         get->sel.dir, loss.records, loss.bytes);
}

/* Nothing is there now. 0, or a status that ends it. */
static int get_wait(struct get *get)
{
    int rc;

    if (sink_is_gone(&get->output.sink))
        return 0;
    rc = seglog_consumer_wait(get->consumer, WAIT_NS);
    return rc == -ETIMEDOUT || rc == -EINTR ? 0 : rc;
}

/* Print and release. */
static void get_print(struct get *get, const struct seglog_view *views, int n)
{
    const struct selection *sel = &get->sel;

    for (int i = 0; i < n && !get->output.sink.error; i++) {
        if ((sel->has_tag && views[i].tag != sel->tag) || !select_matches(sel, &views[i]))
            continue;
        output_record(&get->output, &views[i]);
        get->left--;
    }
    if (sink_flush(&get->output.sink) == 0)
        seglog_consumer_release(get->consumer);
}

/* 0 or a status */
static int get_all(struct get *get)
{
    const bool waits = get->sel.follow || get->sel.has_count;
    struct seglog_view views[BATCH_RECORDS];

    while (!get_done(get)) {
        const int max = get->left < BATCH_RECORDS ? (int)get->left : BATCH_RECORDS;
        int rc = seglog_consumer_batch(get->consumer, views, max);

        if (rc > 0) {
            get_print(get, views, rc);
        } else if (rc == SEGLOG_ELAPPED) {
            say_lost(get);
        } else if (rc == -EAGAIN) {
            /* What a consumer that died has left is there as well. */
            rc = waits ? get_wait(get) : seglog_consumer_wait(get->consumer, 0);
            if (rc < 0)
                return rc == -ETIMEDOUT ? 0 : rc;
        } else {
            return rc;
        }
    }
    return 0;
}

static int get_open(struct get *get)
{
    struct seglog_consumer_options o = {.from =
                                            get->from_end ? SEGLOG_PLACE_END : SEGLOG_PLACE_FIRST};
    struct seglog_ring_info info;
    int rc = seglog_ring_open(get->sel.dir, get->force ? SEGLOG_RING_FORCE_FS : 0, &get->ring);

    if (rc == 0)
        rc = seglog_ring_inspect(get->ring, &info);
    if (rc < 0)
        return fail_status(get->sel.cli, get->sel.dir, rc);
    if (get->has_from && info.kind != SEGLOG_RING_BROADCAST)
        return fail_usage(get->sel.cli, "--from", "goes with rings of kind broadcast only");
    rc = seglog_consumer_open(get->ring, &o, &get->consumer);
    return rc < 0 ? fail_status(get->sel.cli, get->sel.dir, rc) : 0;
}

static int get_run(struct get *get)
{
    const struct cli *cli = get->sel.cli;
    const char *why = output_open(&get->output, STDOUT_FILENO, get->sel.form, get->sel.format);
    int rc, exit_status;

    if (why) {
        output_close(&get->output);
        return fail_usage(cli, "--format", "%s", why);
    }
    signals_catch();
    get->left = get->sel.has_count ? get->sel.count : UINT64_MAX;
    exit_status = get_open(get);
    if (exit_status == 0) {
        rc = get_all(get);
        sink_flush(&get->output.sink);
        if (rc < 0)
            exit_status = fail_status(cli, get->sel.dir, rc);
        else if (get->output.sink.error && get->output.sink.error != -EPIPE)
            exit_status =
                fail_text(cli, fail_exit_of(cli, get->output.sink.error), "standard output", "%s",
                          seglog_strerror(get->output.sink.error));
        else if (get->output.records == 0 && !signals_stopped() && get->left > 0)
            exit_status = EXIT_NOTHING;
    }
    seglog_consumer_close(get->consumer);
    seglog_ring_close(get->ring);
    output_close(&get->output);
    return exit_status;
}

int cmd_ring_get(struct cli *cli, int argc, char **argv)
{
    struct get get = {.sel = {.cli = cli}};
    int rc = args_parse(cli, &argp, argc, argv, &get);

    if (rc == ARGS_RUN)
        rc = get_run(&get);
    select_free(&get.sel);
    return rc;
}
