/*
 * The commands of `seglog ring`.
 */
#ifndef CLI_RING_H
#define CLI_RING_H

#include "args.h"

#include <seglog/ring.h>

/* Each returns an exit status. */
int cmd_ring_create(struct cli *cli, int argc, char **argv);
int cmd_ring_put(struct cli *cli, int argc, char **argv);
int cmd_ring_get(struct cli *cli, int argc, char **argv);
int cmd_ring_info(struct cli *cli, int argc, char **argv);
int cmd_ring_snapshot(struct cli *cli, int argc, char **argv);
int cmd_ring_rm(struct cli *cli, int argc, char **argv);

/* The end of a parser whose one argument is a ring: what is no option of its own. */
error_t ring_parse_path(const struct cli *cli, const char **path, int key, const char *arg);

const char *ring_kind_name(uint32_t kind);
const char *ring_overload_name(uint32_t overload);

#endif
