/*
 * seglog ring: a table of commands of its own; and the small ones of them.
 */
#include "ring.h"

#include "fail.h"
#include "family.h"
#include "parse.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array_) (sizeof(array_) / sizeof((array_)[0]))

static const struct family_command ring_commands[] = {
    {"create", "ring create", cmd_ring_create, true, "make a new ring"},
    {"put", "ring put", cmd_ring_put, false, "put in records from files or stdin"},
    {"get", "ring get", cmd_ring_get, false, "take records out and print them"},
    {"info", "ring info", cmd_ring_info, false, "what a ring is and how it stands"},
    {"snapshot", "ring snapshot", cmd_ring_snapshot, false, "write what is in a ring into a log"},
    {"rm", "ring rm", cmd_ring_rm, false, "remove a ring"},
};

static const struct family ring_family = {
    .name = "ring",
    .what = "Bounded queues between processes, each in one mapped file.",
    .commands = ring_commands,
    .count = COUNT(ring_commands),
    .examples = "  seglog ring create /dev/shm/jobs --kind work --size 16M\n"
                "  find . -name '*.jpg' | seglog ring put /dev/shm/jobs\n"
                "  seglog ring get -f /dev/shm/jobs | xargs -n 1 optimize\n",
};

int cmd_ring(struct cli *cli, int argc, char **argv)
{
    cli->place = CLI_RING;
    return family_run(cli, &ring_family, argc, argv);
}

error_t ring_parse_path(const struct cli *cli, const char **path, int key, const char *arg)
{
    switch (key) {
    case ARGP_KEY_ARG:
        return args_take_place(cli, path, arg);
    case ARGP_KEY_END:
        return *path ? 0 : args_no_place(cli, "PATH");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- names ------------------------------------------------------------------------------------ */

static const char *const kind_names[] = {"spsc", "mpsc", "broadcast", "work"};
static const char *const overload_names[] = {"wait", "drop", "overwrite"};

const char *ring_kind_name(uint32_t kind)
{
    return kind < COUNT(kind_names) ? kind_names[kind] : "?";
}

const char *ring_overload_name(uint32_t overload)
{
    return overload < COUNT(overload_names) ? overload_names[overload] : "?";
}

static bool name_find(const char *const *names, size_t count, const char *text, uint32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (uint32_t)i;
            return true;
        }
    }
    return false;
}

/* ---- create ----------------------------------------------------------------------------------- */

enum { KEY_SIZE = ARGS_KEY_FIRST, KEY_KIND, KEY_OVERLOAD, KEY_MODE, KEY_FORCE, KEY_JSON };

struct create {
    const struct cli *cli;
    const char *path;
    struct seglog_ring_options options;
};

static const struct argp_option create_options[] = {
    {"size", KEY_SIZE, "SIZE", 0,
     "Bytes for messages: a power of two from 4K to 1G (1M). A message is at most half of it", 1},
    {"kind", KEY_KIND, "KIND", 0,
     "spsc: one producer, one consumer; mpsc: many producers, one consumer; broadcast: one "
     "producer, many consumers, and each gets everything; work: many of both, and each message "
     "goes to one. (spsc)",
     1},
    {"overload", KEY_OVERLOAD, "WHAT", 0,
     "When there is no room: wait for it; drop the message; overwrite the oldest (not with work). "
     "(wait)",
     1},
    {"mode", KEY_MODE, "BITS", 0, "Permissions of the file (0640)", 1},
    {"force", KEY_FORCE, NULL, 0, "Accept a network file system", 1},
    {0},
};

static const char *check_size(const char *text, uint64_t *out)
{
    uint64_t size;
    const char *why = parse_size(text, &size);

    if (why)
        return why;
    if (size < SEGLOG_RING_SIZE_MIN || size > SEGLOG_RING_SIZE_MAX || (size & (size - 1)))
        return "a ring is a power of two from 4K to 1G";
    *out = size;
    return NULL;
}

static error_t create_parse(int key, char *arg, struct argp_state *state)
{
    struct create *create = state->input;
    const struct cli *cli = create->cli;
    struct seglog_ring_options *o = &create->options;

    switch (key) {
    case KEY_SIZE:
        return args_check(cli, "--size", arg, check_size(arg, &o->size));
    case KEY_KIND:
        return args_check(cli, "--kind", arg,
                          name_find(kind_names, COUNT(kind_names), arg, &o->kind)
                              ? NULL
                              : "known are spsc, mpsc, broadcast and work");
    case KEY_OVERLOAD:
        return args_check(cli, "--overload", arg,
                          name_find(overload_names, COUNT(overload_names), arg, &o->overload)
                              ? NULL
                              : "known are wait, drop and overwrite");
    case KEY_MODE:
        return args_check(cli, "--mode", arg, parse_mode(arg, &o->mode));
    case KEY_FORCE:
        o->flags |= SEGLOG_RING_FORCE_FS;
        return 0;
    default:
        return ring_parse_path(cli, &create->path, key, arg);
    }
}

static const struct argp create_argp = {
    .options = create_options,
    .parser = create_parse,
    .args_doc = "PATH",
    .doc = "Make a new ring: a file in /dev/shm, on a hugetlbfs mount, or anywhere on a local file "
           "system."
           "\v"
           "Exit status: 0 done, 2 usage or a kind and an overload that do not go together, 69 a "
           "network file system, 73 something lies there or there is no room, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog ring create /dev/shm/ticks --kind broadcast --overload overwrite --size 64M\n"
           "  seglog ring create /dev/shm/pipe",
};

int cmd_ring_create(struct cli *cli, int argc, char **argv)
{
    struct create create = {.cli = cli};
    int rc = args_parse(cli, &create_argp, argc, argv, &create);

    if (rc != ARGS_RUN)
        return rc;
    if (create.options.kind == SEGLOG_RING_WORK &&
        create.options.overload == SEGLOG_OVERLOAD_OVERWRITE)
        return fail_usage(cli, "--overload overwrite",
                          "does not go with --kind work: a consumer may be at what would be "
                          "written over");
    rc = seglog_ring_create(create.path, &create.options);
    if (rc < 0)
        return fail_status(cli, create.path, rc);
    detail(cli, "%s: created", create.path);
    return 0;
}

/* ---- info ------------------------------------------------------------------------------------- */

struct place {
    const struct cli *cli;
    const char *path;
    bool json;
    bool force;
};

static const struct argp_option info_options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {"force", KEY_FORCE, NULL, 0, "Look at one on a network file system too", 1},
    {0},
};

static error_t place_parse(int key, char *arg, struct argp_state *state)
{
    struct place *place = state->input;

    switch (key) {
    case KEY_JSON:
        place->json = true;
        return 0;
    case KEY_FORCE:
        place->force = true;
        return 0;
    default:
        return ring_parse_path(place->cli, &place->path, key, arg);
    }
}

static const struct argp info_argp = {
    .options = info_options,
    .parser = place_parse,
    .args_doc = "PATH",
    .doc = "Say what a ring is, what is in it and who is attached. Changes nothing."
           "\v"
           "Exit status: 0 done, 65 damaged, 66 no ring there, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog ring info /dev/shm/ticks\n"
           "  seglog ring info --json /dev/shm/ticks | jq .used",
};

static json_t *info_json(const struct seglog_ring_info *info)
{
    json_t *o = json_object();

    report_text(o, "kind", ring_kind_name(info->kind));
    report_text(o, "overload", ring_overload_name(info->overload));
    report_number(o, "size", info->size);
    report_number(o, "max_message", info->max_message);
    report_number(o, "head", info->head);
    report_number(o, "tail", info->tail);
    report_number(o, "used", info->used);
    report_number(o, "records", info->records);
    report_number(o, "producers", info->producers);
    report_number(o, "readers", info->consumers);
    report_number(o, "dropped", info->dropped);
    report_number(o, "overwritten", info->overwritten);
    report_time(o, "created", info->created_ns, true);
    report_flag(o, "stale", info->stale);
    return o;
}

static void info_print(const struct seglog_ring_info *info)
{
    char size[REPORT_SIZE_LEN], used[REPORT_SIZE_LEN];

    report_size(info->size, size);
    report_size(info->used, used);
    printf("%-12s %s, %s\n", "kind", ring_kind_name(info->kind),
           ring_overload_name(info->overload));
    printf("%-12s %s, messages up to %" PRIu64 " bytes\n", "size", size, info->max_message);
    printf("%-12s %s in %" PRIu64 " messages, from %" PRIu64 " to %" PRIu64 "\n", "used", used,
           info->records, info->head, info->tail);
    printf("%-12s %" PRIu32 "\n%-12s %" PRIu32 "\n", "producers", info->producers, "readers",
           info->consumers);
    printf("%-12s %" PRIu64 "\n%-12s %" PRIu64 "\n", "dropped", info->dropped, "overwritten",
           info->overwritten);
    if (info->stale)
        printf("%-12s %s\n", "state", "from before the last boot, or a copy");
}

int cmd_ring_info(struct cli *cli, int argc, char **argv)
{
    struct place place = {.cli = cli};
    struct seglog_ring_info info;
    struct seglog_ring *ring;
    int rc = args_parse(cli, &info_argp, argc, argv, &place);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_ring_open(place.path,
                          SEGLOG_RING_READ_ONLY | (place.force ? SEGLOG_RING_FORCE_FS : 0), &ring);
    if (rc < 0)
        return fail_status(cli, place.path, rc);
    rc = seglog_ring_inspect(ring, &info);
    seglog_ring_close(ring);
    if (rc < 0)
        return fail_status(cli, place.path, rc);
    if (place.json)
        rc = report_print(cli, info_json(&info));
    else
        info_print(&info);
    return rc ? rc : flush_stdout(cli);
}

/* ---- rm --------------------------------------------------------------------------------------- */

static const struct argp_option rm_options[] = {
    {"force", KEY_FORCE, NULL, 0, "Also while processes are attached; they keep what they have", 1},
    {0},
};

static const struct argp rm_argp = {
    .options = rm_options,
    .parser = place_parse,
    .args_doc = "PATH",
    .doc = "Remove a ring. A file that is no ring is left alone."
           "\v"
           "Exit status: 0 done, 66 no ring there, 75 processes are attached, 77 permission.\n"
           "\n"
           "Example:\n"
           "  seglog ring rm /dev/shm/ticks",
};

int cmd_ring_rm(struct cli *cli, int argc, char **argv)
{
    struct place place = {.cli = cli};
    int rc = args_parse(cli, &rm_argp, argc, argv, &place);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_ring_remove(place.path, place.force);
    return rc < 0 ? fail_status(cli, place.path, rc) : 0;
}
