/*
 * seglog doctor: what this machine offers to a log, and what a missing thing means.
 */
#include "args.h"
#include "fail.h"
#include "report.h"

#include <seglog/inspect.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST };

struct doctor {
    const struct cli *cli;
    const char *place;
    bool json;
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct doctor *doctor = state->input;

    switch (key) {
    case KEY_JSON:
        doctor->json = true;
        return 0;
    case ARGP_KEY_ARG:
        return args_take_place(doctor->cli, &doctor->place, arg);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[PLACE]",
    .doc = "Say what this machine, and the file system of PLACE, offer to a log."
           "\v"
           "PLACE is a directory, the current one if it is left out.\n"
           "\n"
           "Exit status: 0 a log can live there, 66 no such directory, 69 no log can live there.\n"
           "\n"
           "Examples:\n"
           "  seglog doctor /var/tmp\n"
           "  seglog doctor --json /dev/shm | jq .ok",
};

enum verdict { VERDICT_NONE, VERDICT_READ, VERDICT_VOLATILE, VERDICT_LIVE };

/* true: place is a log that can be read. */
static bool is_readable_log(const char *place)
{
    struct seglog_reader *reader;

    if (seglog_reader_open(place, NULL, &reader) < 0)
        return false;
    seglog_reader_close(reader);
    return true;
}

/* What the place is good for. All that is not asked about here has a fallback. */
static enum verdict judge(const char *place, const struct seglog_probe *probe)
{
    if (!probe->fs_ok)
        return VERDICT_NONE;
    if (!probe->writable || !probe->ofd_locks)
        return is_readable_log(place) ? VERDICT_READ : VERDICT_NONE;
    return probe->fs_volatile ? VERDICT_VOLATILE : VERDICT_LIVE;
}

/* ---- text ------------------------------------------------------------------------------------- */

struct finding {
    const char *name;
    bool good;
    const char *have; /* what it gives */
    const char *lack; /* what its absence means */
};

static void print_finding(const struct finding *finding, bool color)
{
    const char *mark = finding->good ? "yes" : "no";
    const char *paint = !color ? "" : finding->good ? "\033[32m" : "\033[33m";

    printf("%-20s %s%-4s%s %s\n", finding->name, paint, mark, color ? "\033[0m" : "",
           finding->good ? finding->have : finding->lack);
}

static void print_place(const struct seglog_probe *probe, bool color)
{
    const struct finding findings[] = {
        {"local file system", probe->fs_ok, "mappings are coherent",
         "a network or FUSE file system: refused, unless --force is given"},
        {"keeps data", !probe->fs_volatile, "a sync survives a power cut",
         "a power cut empties it: nothing here is durable"},
        {"reserves room", probe->fs_reserves, "a full disk is an error, never a crash",
         "a full disk may kill appenders with SIGBUS: keep room free"},
        {"fallocate", probe->fallocate, "segments are prepared quickly",
         "cannot be used or tried here: no log can be appended to"},
        {"locks that end", probe->ofd_locks, "dead producers are recognised at once",
         "dead producers cannot be recognised: no log can be appended to"},
        {"writable", probe->writable, "logs can be made and appended to", "for reading only"},
    };

    for (size_t i = 0; i < sizeof(findings) / sizeof(findings[0]); i++)
        print_finding(&findings[i], color);
}

/* Which of the two a log will use, and whether somebody asked for it. */
static void print_engine(const struct seglog_probe *probe)
{
    const char *asked = getenv("SEGLOG_IO");

    printf("%-20s %s", "disk work", report_engine(probe->io_engine));
    if (probe->io_engine == 0)
        printf(": SEGLOG_IO=%s cannot be had, no log can be opened for appending", asked);
    else if (asked && *asked)
        printf(" (SEGLOG_IO=%s)", asked);
    printf("\n");
}

static void print_machine(const struct seglog_probe *probe, bool color)
{
    char why[160];
    const struct finding findings[] = {
        {"checksums by CPU", probe->crc32c_hardware, "CRC-32C by instruction",
         "CRC-32C by table: several times slower"},
        {"membarrier", probe->membarrier, "appending needs no fence for sleeping readers",
         "every append pays a fence of some ns"},
        {"populate by advice", probe->populate_write, "segments are mapped ahead of need",
         "kernel older than 5.14: pages are touched one by one"},
        {"boot id", probe->boot_id, "a crash of a process and a power cut are told apart",
         "no /proc: after every restart the log is checked as after a power cut"},
        {"io_uring", probe->io_uring, "seals and syncs can be left to the kernel", why},
        {"huge pages", probe->huge_page_size && probe->huge_pages_total, "reserved",
         "none reserved; logs do not need them"},
    };

    snprintf(why, sizeof(why), "%.*s; threads do as well", (int)sizeof(probe->io_uring_why_not),
             probe->io_uring_why_not);
    for (size_t i = 0; i < sizeof(findings) / sizeof(findings[0]); i++)
        print_finding(&findings[i], color);
    print_engine(probe);
}

static void print_limit(const char *name, uint64_t value, const char *meaning)
{
    if (value == UINT64_MAX)
        printf("%-20s %-12s %s\n", name, "no limit", meaning);
    else
        printf("%-20s %-12" PRIu64 " %s\n", name, value, meaning);
}

static void print_probe(const struct cli *cli, const char *place, const struct seglog_probe *probe,
                        enum verdict verdict)
{
    static const char *const words[] = {
        [VERDICT_NONE] = "No log can live here.",
        [VERDICT_READ] = "The log that is here can be read.",
        [VERDICT_VOLATILE] = "A log can live here, until the power fails.",
        [VERDICT_LIVE] = "A log can live here.",
    };
    const bool color = color_on(cli, STDOUT_FILENO);
    char room[REPORT_SIZE_LEN];

    report_size(probe->free_bytes, room);
    printf("%s: %.*s, %s free\n", place, (int)sizeof(probe->fs_name), probe->fs_name, room);
    print_place(probe, color);
    printf("\nthis machine: %" PRIu32 " processors, pages of %" PRIu64 " bytes\n", probe->cpus,
           probe->page_size);
    print_machine(probe, color);
    printf("\n");
    print_limit("open files", probe->nofile_limit, "a reader holds one for each segment in use");
    print_limit("mappings", probe->max_map_count, "vm.max_map_count; one for each segment in use");
    print_limit("locked memory", probe->memlock_limit, "bytes");
    printf("\n%s\n", words[verdict]);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static json_t *probe_json(const struct seglog_probe *probe, enum verdict verdict)
{
    json_t *object = json_object();
    char name[sizeof(probe->fs_name) + 1];

    snprintf(name, sizeof(name), "%.*s", (int)sizeof(probe->fs_name), probe->fs_name);
    report_flag(object, "ok", verdict != VERDICT_NONE);
    report_text(object, "file_system", name);
    report_flag(object, "fs_ok", probe->fs_ok);
    report_flag(object, "volatile", probe->fs_volatile);
    report_flag(object, "reserves", probe->fs_reserves);
    report_flag(object, "fallocate", probe->fallocate);
    report_flag(object, "ofd_locks", probe->ofd_locks);
    report_flag(object, "writable", probe->writable);
    report_number(object, "free_bytes", probe->free_bytes);
    report_flag(object, "crc32c_hardware", probe->crc32c_hardware);
    report_flag(object, "membarrier", probe->membarrier);
    report_flag(object, "populate_write", probe->populate_write);
    report_flag(object, "boot_id", probe->boot_id);
    report_flag(object, "io_uring", probe->io_uring);
    if (probe->io_uring) {
        json_object_set_new(object, "io_uring_why_not", json_null());
        json_object_set_new(object, "io_uring_errno", json_null());
    } else {
        report_text(object, "io_uring_why_not", probe->io_uring_why_not);
        report_text(object, "io_uring_errno", seglog_status_name(probe->io_uring_status));
    }
    if (probe->io_uring_sysctl < 0)
        json_object_set_new(object, "io_uring_disabled", json_null());
    else
        report_number(object, "io_uring_disabled", (uint64_t)probe->io_uring_sysctl);
    report_text(object, "io_engine", report_engine(probe->io_engine));
    report_number(object, "cpus", probe->cpus);
    report_number(object, "page_size", probe->page_size);
    report_number(object, "huge_page_size", probe->huge_page_size);
    report_number(object, "huge_pages_total", probe->huge_pages_total);
    report_number(object, "nofile_limit", probe->nofile_limit);
    report_number(object, "max_map_count", probe->max_map_count);
    report_number(object, "memlock_limit", probe->memlock_limit); /* null: none */
    return object;
}

int cmd_doctor(struct cli *cli, int argc, char **argv)
{
    struct doctor doctor = {.cli = cli};
    struct seglog_probe probe;
    enum verdict verdict;
    int rc = args_parse(cli, &argp, argc, argv, &doctor);

    if (rc != ARGS_RUN)
        return rc;
    if (!doctor.place)
        doctor.place = ".";
    rc = seglog_probe(doctor.place, &probe);
    if (rc < 0)
        return fail_text(cli, fail_exit_of(cli, rc), doctor.place, "%s", seglog_strerror(rc));
    verdict = judge(doctor.place, &probe);
    rc = 0;
    if (doctor.json)
        rc = report_print(cli, probe_json(&probe, verdict));
    else
        print_probe(cli, doctor.place, &probe, verdict);
    if (rc == 0)
        rc = flush_stdout(cli);
    if (rc == 0 && verdict == VERDICT_NONE)
        rc = fail_text(cli, EX_UNAVAILABLE, doctor.place, "no log can live here; choose %s",
                       probe.fs_ok ? "a place that can be written" : "a local file system");
    return rc;
}
