/*
 * What the commands of `seglog table` have in common.
 */
#ifndef CLI_CMD_TABLE_H
#define CLI_CMD_TABLE_H

#include "input.h"
#include "value.h"

#include <seglog/table.h>

/* Keys of their options. */
enum { KEY_SYNC = ARGS_KEY_FIRST, KEY_NEW, KEY_SHARDS, KEY_ROOM, KEY_JSON, KEY_KEYS, KEY_LOG };

struct table_run {
    struct value_args args;
    struct seglog_table *table;
    bool sync;
    bool is_new;
    bool json;
    bool keys_only;
    uint64_t shards;
    uint64_t room;
    const char *log;
    struct sink sink;
    struct input input; /* put: lines of standard input */
};

/* An argp parser of all their options; the state's input is a struct table_run. */
error_t table_parse(int key, char *arg, struct argp_state *state);
/* Open the table of run->args.words[0]. 0 or a status */
int table_open(struct table_run *run, uint32_t flags);
/* Say what went wrong with it. returns the exit status */
int table_fail(const struct table_run *run, int rc);
/* Close all; a flush first, if one was asked for and all went well. returns the exit status */
int table_end(struct table_run *run, int exit_status);
void table_put_json(struct sink *sink, const struct seglog_table_entry *entry, bool key_only);

/* cmd_table_whole.c */
int cmd_table_ls(struct cli *cli, int argc, char **argv);
int cmd_table_stat(struct cli *cli, int argc, char **argv);
int cmd_table_checkpoint(struct cli *cli, int argc, char **argv);
int cmd_table_rebuild(struct cli *cli, int argc, char **argv);

#endif
