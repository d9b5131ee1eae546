/*
 * Places as commands take them, resolved in a log.
 */
#ifndef CLI_INTERVAL_H
#define CLI_INTERVAL_H

#include <seglog/reader.h>

/* The number of the record before which a place lies; 0 for one that retention has removed. returns 0 or a negative status */
int place_number(const char *dir, const struct seglog_place *place, uint64_t *seq);

#endif
