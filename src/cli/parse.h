/*
 * What users write for sizes, durations, times, places and the like.
 *
 * Every function takes the whole text or refuses it: nothing is trimmed, nothing is guessed, and
 * *out is touched on success only. They know no files and print nothing.
 *
 * returns  NULL, or in plain words why the text is not understood (a static string)
 */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include <seglog/reader.h>

#include <stdint.h>

/* The reason for something that later releases understand; compare the pointer. */
extern const char parse_later[];

/* Bytes: `4096`, `64K`, `1M`, `2G` (powers of 1024, either case). */
const char *parse_size(const char *text, uint64_t *out);

/* The size of a segment: a power of two in its bounds. */
const char *parse_segment_size(const char *text, uint64_t *out);

/* Nanoseconds: a number, perhaps with a fraction, and ns, us, ms, s, m, h or d; `0` alone too. */
const char *parse_duration(const char *text, uint64_t *out);

/*
 * Nanoseconds since the epoch: RFC 3339 (`2026-11-21T04:05:06.123456789Z`, or with an offset),
 * seconds since the epoch with or without a fraction, or ago (`-10m`, counted from now_ns).
 */
const char *parse_time(const char *text, uint64_t now_ns, uint64_t *out);

/* A place in a log: `first`, `last`, `end`, `N`, `-N`, `@TIME`. Cursors: place.h. */
const char *parse_place(const char *text, uint64_t now_ns, struct seglog_place *out);

/* How old a segment must be to be archived: a duration, of which 0 means at once, that is 1. */
const char *parse_archive_after(const char *text, uint64_t *out);

/* A level of LZ4: 1 to 12. */
const char *parse_archive_level(const char *text, uint32_t *out);

/* Plain decimal numbers. */
const char *parse_count(const char *text, uint64_t *out);
const char *parse_tag(const char *text, uint32_t *out);

/* Thousandths of a record per second: `N`, `N/s`, `0.5/s`; more than 0. */
const char *parse_rate(const char *text, uint64_t *out);

/* One byte: itself, or `\n` `\t` `\r` `\0` `\\` `\xHH`. */
const char *parse_byte(const char *text, unsigned char *out);

/* What follows a backslash, for texts that hold several: *used characters after it. */
const char *parse_escape(const char *text, unsigned char *out, unsigned *used);

/* Permission bits in octal: `640`, `0640`. Not 0, which would mean "the default". */
const char *parse_mode(const char *text, uint32_t *out);

#endif
