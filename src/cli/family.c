/*
 * Commands that have commands of their own: ring, cell, table.
 */
#include "family.h"

#include "args.h"
#include "fail.h"

#include <stdio.h>
#include <string.h>

static int usage(const struct cli *cli, const struct family *family)
{
    printf("Usage: seglog %s COMMAND [OPTIONS] PATH [ARGS]\n%s\n\n", family->name, family->what);
    for (size_t i = 0; i < family->count; i++)
        printf("  %-8s %s\n", family->commands[i].name, family->commands[i].help);
    printf("\n"
           "  seglog %s COMMAND --help    options and examples of a command\n"
           "\n"
           "Examples:\n%s",
           family->name, family->examples);
    return flush_stdout(cli);
}

int family_run(struct cli *cli, const struct family *family, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name)
        return fail_usage(cli, "COMMAND", "which one? It is missing");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return usage(cli, family);
    if (strcmp(name, "--version") == 0) {
        args_print_version();
        return flush_stdout(cli);
    }
    for (size_t i = 0; i < family->count; i++) {
        const struct family_command *command = &family->commands[i];

        if (strcmp(name, command->name) != 0)
            continue;
        cli->command = command->full;
        cli->creates = command->creates;
        return command->run(cli, argc - 1, argv + 1);
    }
    return fail_usage(cli, name, "no such %s%s", *name == '-' ? "option" : "command of ",
                      *name == '-' ? "" : family->name);
}
