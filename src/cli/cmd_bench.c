/*
 * seglog bench: what appending, following, rings and durability cost on this machine and in this place.
 *
 * For figures that are to be compared between versions there is bench/ in the sources; this command
 * answers "how fast is it here", in seconds, on a machine where only the package is installed.
 */
#include "args.h"
#include "bench.h"
#include "fail.h"
#include "parse.h"
#include "report.h"
#include "signals.h"

#include <seglog/inspect.h>
#include <seglog/seglog.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The log of a section, its floor's file, and what the sections in C may leave beside them. */
#define ROOM_BYTES   ((uint64_t)512 << 20)
#define SLICES       230 /* runs of all sections together, roughly */
#define SLICE_MIN_NS UINT64_C(100000)

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_TIME, KEY_ONLY };

struct section {
    const char *name;
    bench_section run;
};

static const struct section sections[] = {
    {"append", bench_append}, {"latency", bench_latency}, {"follow", bench_follow},
    {"ring", bench_ring},     {"durable", bench_durable},
};
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

struct bench_args {
    struct bench bench;
    const char *place;
    const struct section *only;
    uint64_t time_ns;
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object, an array of rows for each section", 1},
    {"time", KEY_TIME, "DURATION", 0, "Measure for about so long in all (10s)", 1},
    {"only", KEY_ONLY, "SECTION", 0, "append, latency, follow, ring or durable alone", 1},
    {0},
};

static const char *section_parse(const char *text, const struct section **out)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        if (strcmp(text, sections[i].name) == 0) {
            *out = &sections[i];
            return NULL;
        }
    }
    return "known are append, latency, follow, ring and durable";
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_args *args = state->input;
    const struct cli *cli = args->bench.cli;

    switch (key) {
    case KEY_JSON:
        args->bench.json = true;
        return 0;
    case KEY_TIME:
        return args_check(cli, "--time", arg, parse_duration(arg, &args->time_ns));
    case KEY_ONLY:
        return args_check(cli, "--only", arg, section_parse(arg, &args->only));
    case ARGP_KEY_ARG:
        return args_take_place(cli, &args->place, arg);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[DIR]",
    .doc =
        "Measure what appending, following, rings and durability cost on this machine, in "
        "directory "
        "DIR, next to floors: the least that the machine could do it in."
        "\v"
        "DIR is the current directory if it is left out. A directory seglog-bench-XXXXXX is made "
        "in it and removed at the end; it takes up to 512 MiB at a time. The processor should "
        "have nothing else to do.\n"
        "\n"
        "Exit status: 0 done, 66 no such directory, 69 no log can live there, 73 no room.\n"
        "\n"
        "Examples:\n"
        "  seglog bench /var/tmp\n"
        "  seglog bench --only durable --json /var/tmp | jq '.durable[] | .of_floor'",
};

/* Can a log live there, and is there room? returns 0 or an exit status */
static int place_check(struct bench_args *args)
{
    const struct cli *cli = args->bench.cli;
    struct seglog_probe probe;
    char need[REPORT_SIZE_LEN];
    const int rc = seglog_probe(args->place, &probe);

    if (rc < 0)
        return fail_text(cli, fail_exit_of(cli, rc), args->place, "%s", seglog_strerror(rc));
    if (!probe.fs_ok || !probe.ofd_locks)
        return fail_text(cli, EX_UNAVAILABLE, args->place,
                         "no log can live here; seglog doctor says why");
    report_size(ROOM_BYTES, need);
    if (probe.free_bytes < ROOM_BYTES)
        return fail_text(cli, EX_CANTCREAT, args->place, "not enough room: %s are needed", need);
    args->bench.volatile_fs = probe.fs_volatile;
    return 0;
}

static int run_sections(struct bench_args *args)
{
    struct bench *bench = &args->bench;
    int rc = 0;

    for (size_t i = 0; i < SECTIONS && rc == 0 && !signals_stopped(); i++) {
        if (!args->only || args->only == &sections[i])
            rc = sections[i].run(bench);
    }
    report_flag(bench->results, "complete", rc == 0 && !signals_stopped());
    return rc;
}

/* Make the scratch directory, measure, remove it. returns an exit status */
static int measure(struct bench_args *args)
{
    struct bench *bench = &args->bench;
    int rc;

    if (asprintf(&bench->scratch, "%s/seglog-bench-XXXXXX", args->place) < 0)
        return fail_status(bench->cli, NULL, -ENOMEM);
    if (!mkdtemp(bench->scratch)) {
        rc = -errno;
        free(bench->scratch);
        return fail_text(bench->cli, fail_exit_of(bench->cli, rc), args->place, "%s",
                         seglog_strerror(rc));
    }
    bench->results = json_object();
    report_text(bench->results, "version", seglog_version());
    report_text(bench->results, "place", args->place);
    report_flag(bench->results, "volatile", bench->volatile_fs);
    rc = run_sections(args);
    bench_remove(bench->scratch);
    free(bench->scratch);
    if (bench->json && rc == 0)
        return report_print(bench->cli, bench->results);
    json_decref(bench->results);
    return rc;
}

int cmd_bench(struct cli *cli, int argc, char **argv)
{
    struct bench_args args = {.bench = {.cli = cli}, .time_ns = UINT64_C(10000000000)};
    int rc = args_parse(cli, &argp, argc, argv, &args);

    if (rc != ARGS_RUN)
        return rc;
    if (!args.place)
        args.place = ".";
    args.bench.slice_ns = args.time_ns / SLICES;
    if (args.bench.slice_ns < SLICE_MIN_NS)
        args.bench.slice_ns = SLICE_MIN_NS;
    signals_catch();
    rc = place_check(&args);
    if (rc == 0)
        rc = measure(&args);
    return rc ? rc : flush_stdout(cli);
}
