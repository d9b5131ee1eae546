/*
 * seglog seal: end the active segment now, so that it is durable and never changes again.
 */
#include "args.h"
#include "fail.h"
#include "parse.h"

#include <seglog/inspect.h>
#include <seglog/log.h>

#include <errno.h>

enum { KEY_TIMEOUT = ARGS_KEY_FIRST, KEY_EVICT_AFTER, KEY_FORCE };

#define TIMEOUT_NS_DEFAULT UINT64_C(10000000000)

struct seal {
    const struct cli *cli;
    const char *dir;
    uint64_t timeout_ns;
    struct seglog_log_options options;
};

static const struct argp_option options[] = {
    {"timeout", KEY_TIMEOUT, "DURATION", 0,
     "How long to wait for records that living producers have begun (10s)", 1},
    {"evict-after", KEY_EVICT_AFTER, "DURATION", 0,
     "Take records that were begun longer ago than this away from their producers", 1},
    {"force", KEY_FORCE, NULL, 0, "Seal on a network file system too", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct seal *seal = state->input;
    const struct cli *cli = seal->cli;

    switch (key) {
    case KEY_TIMEOUT:
        return args_check(cli, "--timeout", arg, parse_duration(arg, &seal->timeout_ns));
    case KEY_EVICT_AFTER:
        return args_check(cli, "--evict-after", arg,
                          parse_duration(arg, &seal->options.evict_after_ns));
    case KEY_FORCE:
        seal->options.flags |= SEGLOG_LOG_FORCE_FS;
        return 0;
    default:
        return args_parse_dir(cli, &seal->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc = "Seal the active segment now: synced, indexed, never to change again."
           "\v"
           "Appending goes on in the next segment. Nothing to seal is no failure; -v says what was "
           "sealed.\n"
           "\n"
           "Exit status: 0 done, 66 no log there, 73 no room, 74 the sync failed, 75 a record that "
           "a living producer has begun holds it up, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog seal -v /var/tmp/events\n"
           "  seglog seal --timeout 1m --evict-after 30s /var/tmp/events",
};

/* Say who holds the seal up. */
static int say_held_up(const struct seal *seal)
{
    struct seglog_info info;
    int exit_status;

    if (seglog_info_read(seal->dir, &info) < 0)
        return fail_status(seal->cli, seal->dir, -ETIMEDOUT);
    if (info.has_waiting_claim)
        exit_status = fail_text(
            seal->cli, EX_TEMPFAIL, seal->dir,
            "process %u has begun record %llu and not finished it; end it, or use --evict-after",
            info.waiting_pid, (unsigned long long)info.waiting_seq);
    else
        exit_status = fail_text(seal->cli, EX_TEMPFAIL, seal->dir,
                                "a record was begun and not finished; try again");
    seglog_info_free(&info);
    return exit_status;
}

int cmd_seal(struct cli *cli, int argc, char **argv)
{
    struct seal seal = {
        .cli = cli,
        .timeout_ns = TIMEOUT_NS_DEFAULT,
        .options = {.flags = SEGLOG_LOG_NO_HELPER},
    };
    struct seglog_log *log;
    int rc = args_parse(cli, &argp, argc, argv, &seal);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_log_open(seal.dir, &seal.options, &log);
    if (rc < 0)
        return fail_open(cli, seal.dir, rc);
    rc = seglog_log_seal(log, seal.timeout_ns);
    if (rc > 0)
        detail(cli, "%s: sealed %d segment%s", seal.dir, rc, rc == 1 ? "" : "s");
    else if (rc == 0)
        detail(cli, "%s: nothing to seal", seal.dir);
    seglog_log_close(log);
    if (rc == -ETIMEDOUT)
        return say_held_up(&seal);
    return rc < 0 ? fail_status(cli, seal.dir, rc) : 0;
}
