/*
 * Times as text: RFC 3339, UTC, nine digits.
 */
#ifndef CLI_STAMP_H
#define CLI_STAMP_H

#include <stdint.h>

#define STAMP_LEN 30 /* "2026-11-21T04:05:06.123456789Z", without a final zero */

/* Write a time; out gets a final zero. Not for several threads: the last second is remembered. */
void stamp_format(uint64_t time_ns, char out[STAMP_LEN + 1]);

/* Decimal digits of value, without a final zero. returns how many, at most 20 */
unsigned stamp_decimal(uint64_t value, char *out);

/* The wall clock. */
uint64_t stamp_now_ns(void);

/* One that never steps, from any beginning: for how long something takes. */
uint64_t stamp_steady_ns(void);

#endif
