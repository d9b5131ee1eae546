/*
 * The command `seglog`: a table of commands.
 */
#include "args.h"
#include "cli.h"
#include "fail.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    bool creates;
    const char *help;
};

static const struct command command_table[] = {
    {"create", cmd_create, true, "make a new log"},
    {"append", cmd_append, true, "append records from files or stdin"},
    {"cat", cmd_cat, false, "print records"},
    {"tail", cmd_tail, false, "print the last records, and follow"},
    {"info", cmd_info, false, "what is in a log"},
    {"verify", cmd_verify, false, "check every checksum"},
    {"salvage", cmd_salvage, false, "copy every readable record into a new log"},
    {"compact", cmd_compact, false, "copy the newest record of each key into a new log"},
    {"export", cmd_export, false, "write a whole log as a portable stream"},
    {"import", cmd_import, false, "make a log from such a stream"},
    {"seal", cmd_seal, false, "seal the active segment now"},
    {"archive", cmd_archive, false, "compress sealed segments"},
    {"ring", cmd_ring, false, "queues between processes: create, put, get ..."},
    {"cell", cmd_cell, false, "one value shared by processes: get, set, watch"},
    {"table", cmd_table, false, "keys and values shared by processes: get, put, del ..."},
    {"trim", cmd_trim, false, "remove the oldest segments"},
    {"cursor", cmd_cursor, false, "stored places of readers"},
    {"config", cmd_config, false, "show or change a log's settings"},
    {"doctor", cmd_doctor, false, "what this machine offers"},
    {"bench", cmd_bench, false, "what appending and durability cost here"},
};

/* Known names that this release has no command for yet. */
static const char *const later_table[] = {
    "stat",
    "top",
};

#define COUNT(array_) (sizeof(array_) / sizeof((array_)[0]))

static int usage(const struct cli *cli)
{
    fputs("Usage: seglog COMMAND [OPTIONS] DIR [ARGS]\n"
          "Append-only event logs in mapped segments.\n\n",
          stdout);
    for (size_t i = 0; i < COUNT(command_table); i++)
        printf("  %-8s %s\n", command_table[i].name, command_table[i].help);
    fputs("\n"
          "  seglog COMMAND --help    options and examples of a command\n"
          "  seglog --version\n"
          "\n"
          "Examples:\n"
          "  dmesg | seglog append /var/tmp/events\n"
          "  seglog cat /var/tmp/events --from -10 -o json\n"
          "  seglog tail -f /var/tmp/events\n"
          "\n"
          "Exit status: 0 done, 1 found nothing or found damage, 2 usage, 65 bad data,\n"
          "66 no such input, 69 unavailable, 73 cannot create, 74 I/O error, 75 try again,\n"
          "77 permission.\n",
          stdout);
    return flush_stdout(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = {.command = ""};
    const char *name = argc > 1 ? argv[1] : NULL;

    /* A reader that went away and a limit on file sizes are errors like others, not deaths. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (!name)
        return fail_usage(&cli, "COMMAND", "which one? It is missing");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return usage(&cli);
    if (strcmp(name, "--version") == 0) {
        args_print_version();
        return flush_stdout(&cli);
    }
    for (size_t i = 0; i < COUNT(command_table); i++) {
        const struct command *command = &command_table[i];

        if (strcmp(name, command->name) != 0)
            continue;
        cli.command = command->name;
        cli.creates = command->creates;
        return command->run(&cli, argc - 1, argv + 1);
    }
    for (size_t i = 0; i < COUNT(later_table); i++) {
        if (strcmp(name, later_table[i]) == 0)
            return fail_later(&cli, name);
    }
    return fail_usage(&cli, name, "no such %s", *name == '-' ? "option" : "command");
}
