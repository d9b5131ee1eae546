/*
 * Durability levels as users write them: none, sealed, interval:DURATION, record.
 */
#ifndef CLI_LEVEL_H
#define CLI_LEVEL_H

#include <stdint.h>

#define LEVEL_LEN 40

/* A level (enum seglog_sync), and its interval or 0. returns NULL or why not, as those of parse.h */
const char *level_parse(const char *text, uint32_t *sync, uint64_t *interval_ns);

/* As level_parse() takes it, in the largest unit that keeps the number whole: "interval:100ms". */
void level_format(uint32_t sync, uint64_t interval_ns, char out[LEVEL_LEN]);

#endif
