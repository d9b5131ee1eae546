/*
 * seglog ring put: records from files or from standard input, into a ring.
 */
#include "fail.h"
#include "input.h"
#include "ring.h"
#include "signals.h"
#include "stamp.h"

#include <errno.h>
#include <inttypes.h>

#define WAIT_NS UINT64_C(200000000) /* how late being asked to stop may be noticed */

enum { KEY_COUNT = ARGS_KEY_FIRST, KEY_FORCE };

struct put {
    const struct cli *cli;
    const char *path;
    struct input input;
    struct seglog_ring *ring;
    struct seglog_producer *producer;
    bool count;
    bool force;
    bool drops;
    uint64_t records;
    uint64_t bytes;
    uint64_t dropped;
};

static const struct argp_option options[] = {
    {"count", KEY_COUNT, NULL, 0, "Say on stderr how many were put in", 2},
    {"force", KEY_FORCE, NULL, 0, "Put into one on a network file system too", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct put *put = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &put->input;
        return 0;
    case KEY_COUNT:
        put->count = true;
        return 0;
    case KEY_FORCE:
        put->force = true;
        return 0;
    case ARGP_KEY_ARG:
        return input_take_argument(&put->input, &put->path, arg);
    case ARGP_KEY_END:
        return put->path ? 0 : args_no_place(put->cli, "PATH");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = input_children,
    .args_doc = "PATH [FILE...]",
    .doc =
        "Put records from FILEs or from standard input into a ring, with the time of now."
        "\v"
        "When the ring is full: waits for room, drops (and says how many at the end), or "
        "overwrites, as the ring was made.\n"
        "\n"
        "Exit status: 0 done, 2 usage, 65 a record is too large or not understood, 66 no ring or "
        "no such FILE, 75 the ring has one producer and another is attached.\n"
        "\n"
        "Examples:\n"
        "  dmesg -w | seglog ring put /dev/shm/recorder\n"
        "  find . -print0 | seglog ring put -0 /dev/shm/jobs",
};

/* 0; -EINTR: asked to stop; -ENOBUFS: dropped; or a status */
static int put_batch(struct put *put, const struct seglog_record *records, size_t n)
{
    int rc;

    do
        rc = seglog_producer_put_batch(put->producer, records, n, WAIT_NS);
    while ((rc == -ETIMEDOUT || rc == -EINTR || rc == -EAGAIN) && !signals_stopped());
    return rc == -ETIMEDOUT || rc == -EAGAIN ? -EINTR : rc;
}

static int take(void *context, struct seglog_record *records, int n)
{
    struct put *put = context;
    const uint64_t now = stamp_now_ns();
    /* One by one where they are dropped: then what fits is kept. */
    const size_t each = put->drops ? 1 : (size_t)n;

    for (int i = 0; i < n; i++)
        records[i].time_ns = now;
    for (size_t i = 0; i < (size_t)n; i += each) {
        const int rc = put_batch(put, &records[i], each);

        if (rc == -ENOBUFS) {
            put->dropped++;
            continue;
        }
        if (rc < 0)
            return rc;
        put->records += each;
        for (size_t k = i; k < i + each; k++)
            put->bytes += records[k].len;
    }
    return 0;
}

static int settle(void *context)
{
    (void)context;
    return 0;
}

static int failed(void *context, int status)
{
    const struct put *put = context;

    return fail_status(put->cli, put->path, status);
}

static int put_open(struct put *put)
{
    struct seglog_ring_info info;
    int rc = seglog_ring_open(put->path, put->force ? SEGLOG_RING_FORCE_FS : 0, &put->ring);

    if (rc == 0)
        rc = seglog_producer_open(put->ring, NULL, &put->producer);
    if (rc == 0)
        rc = seglog_ring_inspect(put->ring, &info);
    if (rc < 0)
        return fail_status(put->cli, put->path, rc);
    put->drops = info.overload == SEGLOG_OVERLOAD_DROP;
    put->input.framing.max_record = info.max_message - 16; /* they have a time */
    put->input.framing.larger = "a larger ring takes larger ones (seglog ring create --size)";
    put->input.batch_bytes = info.size / 4;
    return 0;
}

static int put_run(struct put *put)
{
    struct input *input = &put->input;
    int exit_status = input_check_files(input);

    if (exit_status != 0)
        return exit_status;
    signals_catch();
    exit_status = put_open(put);
    if (exit_status == 0) {
        input->context = put;
        input->put = take;
        input->settle = settle;
        input->failed = failed;
        exit_status = input_run(input);
        if (put->dropped > 0)
            note(put->cli, "%s: %" PRIu64 " records were dropped: the ring was full", put->path,
                 put->dropped);
        if (put->count || put->cli->verbose || (signals_stopped() && !put->cli->quiet))
            note(put->cli, "put %" PRIu64 " records, %" PRIu64 " bytes", put->records, put->bytes);
    }
    seglog_producer_close(put->producer);
    seglog_ring_close(put->ring);
    return exit_status;
}

int cmd_ring_put(struct cli *cli, int argc, char **argv)
{
    struct put put = {.cli = cli};
    int rc = input_init(&put.input, cli, argc);

    rc = rc < 0 ? fail_status(cli, NULL, rc) : args_parse(cli, &argp, argc, argv, &put);
    if (rc == ARGS_RUN)
        rc = put_run(&put);
    input_free(&put.input);
    return rc;
}
