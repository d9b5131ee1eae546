/*
 * A percentage on stderr while something long runs; on terminals only.
 */
#ifndef CLI_METER_H
#define CLI_METER_H

#include "cli.h"

#include <stdint.h>

struct meter {
    const char *doing; /* "verifying" */
    const char *what;
    bool is_on;
    bool is_shown;
    unsigned percent; /* shown last, plus one */
};

struct meter meter_begin(const struct cli *cli, const char *doing, const char *what);
void meter_show(struct meter *meter, uint64_t done, uint64_t total);
/* Before anything else is written to a terminal. */
void meter_clear(struct meter *meter);

#endif
