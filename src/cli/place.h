/*
 * Places as commands take them: those that the library knows, and `cursor:NAME`, which must be looked
 * up in the log first.
 */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include "cli.h"

#include <seglog/reader.h>

/*
 * Take a place. *cursor gets the name if it is that of a cursor (part of text), else NULL; then *out is
 * what place_of_cursor() will fill.
 *
 * returns  NULL, or why the text is not understood
 */
const char *place_parse(const char *text, struct seglog_place *out, const char **cursor);

/*
 * Where a cursor stands; nothing is done without one (NULL). A place that was removed stays what it
 * is, so that whoever goes there is told; one behind which a recovery has cut is where the log goes on.
 *
 * what     whose place it is, such as "--from"
 * returns  0, or an exit status, having said why
 */
int place_of_cursor(const struct cli *cli, const char *dir, const char *what, const char *cursor,
                    struct seglog_place *out);

/* The number of the record before which a place lies; 0 for one that retention has removed. returns 0
 * or a negative status */
int place_number(const char *dir, const struct seglog_place *place, uint64_t *seq);

#endif
