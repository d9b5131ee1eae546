/*
 * What every command of `seglog` shares: who it is, how much it talks, and where it is listed.
 *
 * A command is a function in a file of its own, cmd_<name>.c, and a line in the table of main.c. It
 * sees the public headers of the library and nothing else of it.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

/* What the place of a command is, for its failures. */
enum cli_place { CLI_LOG = 0, CLI_RING, CLI_STATE };

enum color_when { COLOR_AUTO = 0, COLOR_ALWAYS, COLOR_NEVER };

/* One run of one command. */
struct cli {
    const char *command; /* "cat"; the name in every line on stderr */
    bool creates;        /* makes what is missing: "no such directory" is then "cannot create" */
    enum cli_place place;
    bool quiet;   /* -q: no notes, only failures */
    bool verbose; /* -v: details */
    enum color_when color;
};

/* Each returns an exit status. argv[0] is the command's name. */
int cmd_append(struct cli *cli, int argc, char **argv);
int cmd_archive(struct cli *cli, int argc, char **argv);
int cmd_bench(struct cli *cli, int argc, char **argv);
int cmd_cat(struct cli *cli, int argc, char **argv);
int cmd_cell(struct cli *cli, int argc, char **argv);
int cmd_config(struct cli *cli, int argc, char **argv);
int cmd_create(struct cli *cli, int argc, char **argv);
int cmd_cursor(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_export(struct cli *cli, int argc, char **argv);
int cmd_import(struct cli *cli, int argc, char **argv);
int cmd_info(struct cli *cli, int argc, char **argv);
int cmd_ring(struct cli *cli, int argc, char **argv);
int cmd_salvage(struct cli *cli, int argc, char **argv);
int cmd_compact(struct cli *cli, int argc, char **argv);
int cmd_seal(struct cli *cli, int argc, char **argv);
int cmd_table(struct cli *cli, int argc, char **argv);
int cmd_tail(struct cli *cli, int argc, char **argv);
int cmd_trim(struct cli *cli, int argc, char **argv);
int cmd_verify(struct cli *cli, int argc, char **argv);

#endif
