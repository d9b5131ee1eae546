/*
 * Reports: JSON objects and numbers for people.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli.h"
#include "stamp.h"

#include <jansson.h>
#include <seglog/reader.h>
#include <stdint.h>

#define REPORT_SIZE_LEN 24

/* "64.0 MiB". */
void report_size(uint64_t bytes, char out[REPORT_SIZE_LEN]);

void report_number(json_t *object, const char *key, uint64_t value);
void report_flag(json_t *object, const char *key, uint32_t value);
void report_text(json_t *object, const char *key, const char *value);
void report_time(json_t *object, const char *key, uint64_t time_ns, bool known);

/* "records 3 to 7 lost", "no record lost". */
#define REPORT_LOST_LEN 64
void report_lost(const struct seglog_damage *damage, char out[REPORT_LOST_LEN]);

/* Name damage that was met, on stderr. returns EX_DATAERR */
int report_damage(const struct cli *cli, const char *dir, const struct seglog_damage *damage);

/* enum seglog_io as a word: "io_uring", "threads", "none". */
const char *report_engine(uint32_t io_engine);

/* Print the object on a line of its own, and free it. returns 0 or an exit status */
int report_print(const struct cli *cli, json_t *object);

#endif
