/*
 * Logs for the tests of archives: small segments, records whose text, time and tag follow from their
 * numbers, some void numbers; and what must be true of every record that a reader hands out.
 */
#ifndef TEST_ARCHIVED_LOGS_H
#define TEST_ARCHIVED_LOGS_H

#include <seglog/seglog.h>

#include "support/check.h"
#include "support/tmpdir.h"

#define TIME0 UINT64_C(1700000000000000000)

/* A log with so many records, sealed; every 50th number is void. */
char *archived_log(uint64_t records, uint64_t segment_size);
bool archived_is_void(uint64_t seq);
uint64_t archived_time(uint64_t seq);

/* Fail unless the view is what was appended under its number. */
void archived_expect(const struct seglog_view *view);

/* Read all there is; *damages counts failures of next(). Gives the number of records. */
uint64_t archived_read(const char *dir, uint32_t flags, unsigned *damages);

/* The same from the end to the beginning. */
uint64_t archived_read_back(const char *dir, unsigned *damages);

/* The path of segment `number`: "seg" or "arc". The caller's. */
char *archived_path(const char *dir, uint64_t number, const char *ending);
bool archived_has(const char *dir, uint64_t number, const char *ending);

/* A whole file. The caller's. */
uint8_t *archived_load(const char *path, size_t *size);
void archived_store(const char *path, const uint8_t *bytes, size_t size);

#endif
