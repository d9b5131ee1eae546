/*
 * seglog ring snapshot: write what is in a ring into a log, and leave the ring as it is.
 *
 * A flight recorder's other half. What is there when it begins is written; what gives way before it is
 * read is said to be lost.
 */
#include "fail.h"
#include "ring.h"
#include "signals.h"
#include "writer.h"

#include <errno.h>
#include <inttypes.h>

#define BATCH_RECORDS 64

enum { KEY_FORCE = ARGS_KEY_FIRST };

struct snapshot {
    const struct cli *cli;
    const char *path;
    struct writer writer;
    bool force;
    uint64_t lost;
};

static const struct argp_option options[] = {
    {"force", KEY_FORCE, NULL, 0, "On a network file system too", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct snapshot *snapshot = state->input;

    switch (key) {
    case KEY_FORCE:
        snapshot->force = snapshot->writer.force_fs = true;
        return 0;
    case ARGP_KEY_ARG:
        return args_take_place(snapshot->cli,
                               snapshot->path ? &snapshot->writer.dir : &snapshot->path, arg);
    case ARGP_KEY_END:
        return snapshot->writer.dir ? 0
                                    : args_no_place(snapshot->cli, snapshot->path ? "DIR" : "PATH");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PATH DIR",
    .doc = "Write what is in the ring PATH into the log DIR, making the log if need be. The ring "
           "stays as it is; one of before the last boot is shown as it was left."
           "\v"
           "Exit status: 0 done, 65 damaged, 66 no ring there, 73 no room or no log can be made.\n"
           "\n"
           "Example:\n"
           "  seglog ring snapshot /dev/shm/recorder /var/tmp/crash-$(date +%s)",
};

/* Up to n records. The number appended, or a status; *source says whose. */
static int copy_some(struct snapshot *s, struct seglog_consumer *consumer, uint64_t n,
                     const char **source)
{
    struct seglog_view views[BATCH_RECORDS];
    struct seglog_record records[BATCH_RECORDS];
    const int got =
        seglog_consumer_batch(consumer, views, n < BATCH_RECORDS ? (int)n : BATCH_RECORDS);
    int rc = 0;

    *source = s->path;
    if (got < 0)
        return got;
    *source = s->writer.dir;
    for (int i = 0; i < got; i++)
        records[i] = (struct seglog_record){.data = views[i].data,
                                            .len = views[i].len,
                                            .time_ns = views[i].time_ns,
                                            .tag = views[i].tag};
    /* One by one: together they may be more than the log takes at once. */
    for (int i = 0; i < got && rc == 0; i++)
        rc = writer_append(&s->writer, &records[i], 1);
    seglog_consumer_release(consumer);
    return rc < 0 ? rc : got;
}

static int copy_all(struct snapshot *s, struct seglog_consumer *consumer, uint64_t records)
{
    while (records > 0 && !signals_stopped()) {
        struct seglog_ring_loss loss;
        const char *source;
        const int rc = copy_some(s, consumer, records, &source);

        if (rc == -EAGAIN)
            break; /* others took it */
        if (rc == SEGLOG_ELAPPED) {
            seglog_consumer_lost(consumer, &loss);
            s->lost += loss.records;
            records -= loss.records < records ? loss.records : records;
            continue;
        }
        if (rc < 0 && source == s->path)
            return fail_status(s->cli, s->path, rc);
        if (rc < 0)
            return writer_failed(&s->writer, rc);
        records -= (uint64_t)rc;
    }
    return 0;
}

static int snapshot_run(struct snapshot *s)
{
    const struct seglog_consumer_options observe = {.flags = SEGLOG_CONSUMER_OBSERVE};
    struct seglog_consumer *consumer = NULL;
    struct seglog_ring *ring = NULL;
    struct seglog_ring_info info;
    int exit_status;
    int rc = seglog_ring_open(s->path,
                              SEGLOG_RING_READ_ONLY | (s->force ? SEGLOG_RING_FORCE_FS : 0), &ring);

    if (rc == 0)
        rc = seglog_consumer_open(ring, &observe, &consumer);
    if (rc == 0)
        rc = seglog_ring_inspect(ring, &info);
    if (rc < 0) {
        seglog_consumer_close(consumer);
        seglog_ring_close(ring);
        return fail_status(s->cli, s->path, rc);
    }
    signals_catch();
    exit_status = writer_open(&s->writer, s->cli);
    if (exit_status == 0) {
        exit_status = copy_all(s, consumer, info.records);
        if (s->lost > 0)
            note(s->cli, "%s: %" PRIu64 " records gave way before they were read", s->path,
                 s->lost);
        detail(s->cli, "%" PRIu64 " records, %" PRIu64 " bytes", s->writer.records,
               s->writer.bytes);
    }
    exit_status = writer_close(&s->writer, exit_status);
    seglog_consumer_close(consumer);
    seglog_ring_close(ring);
    return exit_status;
}

int cmd_ring_snapshot(struct cli *cli, int argc, char **argv)
{
    struct snapshot snapshot = {.cli = cli};
    const int rc = args_parse(cli, &argp, argc, argv, &snapshot);

    return rc == ARGS_RUN ? snapshot_run(&snapshot) : rc;
}
