/*
 * What the measurements of `seglog bench` share: a scratch directory, a clock, samples, tables.
 *
 * A measurement is a list of contenders that run in turn within each of BENCH_ROUNDS rounds, so that
 * what the machine does meanwhile hits all of them; a ratio is the median of the rounds' ratios. Each
 * run of a contender is ended by its slice of time or by a bound of bytes, whichever comes first. A
 * row of results is a JSON object; without --json its columns are printed as a line.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli.h"

#include <seglog/log.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BENCH_ROUNDS 3

/* A scratch log's segment, and what a run may put into it: no run meets the segment's end. */
#define BENCH_SEGMENT   ((uint64_t)32 << 20)
#define BENCH_RUN_BYTES ((uint64_t)28 << 20)

struct bench {
    struct cli *cli;
    char *scratch;     /* a directory of our own */
    bool json;         /* gather rows instead of printing them */
    bool volatile_fs;  /* a sync there would mean nothing */
    uint64_t slice_ns; /* one run of one contender */
    json_t *results;   /* one array a section */
};

/* A section of `seglog bench`; returns 0, or an exit status, having said why. */
typedef int (*bench_section)(struct bench *bench);
int bench_append(struct bench *bench);
int bench_latency(struct bench *bench);
int bench_follow(struct bench *bench);
int bench_ring(struct bench *bench);
int bench_durable(struct bench *bench);

static inline uint64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Bytes that a record takes in a segment. */
static inline size_t bench_span(size_t len)
{
    return (32 + len + 31) & ~(size_t)31;
}

/* ---- figures ---------------------------------------------------------------------------------- */

/* One figure a round; NaN where a round has none. */
struct bench_rounds {
    double v[BENCH_ROUNDS];
};
double bench_median(const struct bench_rounds *rounds);
/* The median of a/b, round by round. */
double bench_ratio(const struct bench_rounds *a, const struct bench_rounds *b);

/* Latencies in ns. What does not fit any more is left out. */
struct bench_samples {
    uint64_t *ns;
    size_t n, room;
};
int bench_samples_open(struct bench_samples *samples, size_t room); /* 0 or -ENOMEM */
void bench_samples_close(struct bench_samples *samples);
static inline void bench_sample(struct bench_samples *samples, uint64_t ns)
{
    if (samples->n < samples->room)
        samples->ns[samples->n++] = ns;
}
/* PREFIXp50_ns, p99, p999 and max into the row. Sorts the samples. */
void bench_percentiles(json_t *row, const char *prefix, struct bench_samples *samples);

/* ---- tables ----------------------------------------------------------------------------------- */

struct bench_column {
    const char *key; /* of the row */
    const char *heading;
    int width; /* negative: to the left */
    int decimals;
};
struct bench_table {
    const char *section;
    const char *title;                  /* for people */
    const struct bench_column *columns; /* those for people; up to one without a key */
};

/* Begin a table: title and headings, or an empty array. */
void bench_begin(struct bench *bench, const struct bench_table *table);
/* Rows hold what is put in; NaN becomes null. */
void bench_put(json_t *row, const char *key, double value);
void bench_row(struct bench *bench, const struct bench_table *table, json_t *row);
/* A line below a table; with --json nothing. */
void bench_remark(const struct bench *bench, const char *text);

/* ---- there and back (bench_follow.c) ----------------------------------------------------------- */

enum bench_trip { BENCH_TRIP_LOG, BENCH_TRIP_RING, BENCH_TRIP_LINE };
extern const struct bench_column bench_trip_columns[];
/* Percentiles of one of these beside those of a bare line, in three sizes. returns an exit status */
int bench_trips(struct bench *bench, const struct bench_table *table, enum bench_trip which);

/* ---- the scratch directory -------------------------------------------------------------------- */

/* A path in it, in a buffer of PATH_MAX. */
void bench_path(const struct bench *bench, const char *name, char *out);
/* Remove what lies at a path, whole trees too. */
void bench_remove(const char *path);
/* An empty log of that name with segments of BENCH_SEGMENT, in place of one that is there. */
int bench_log_create(const struct bench *bench, const char *name);
/* A file of that name and size, all of it written once, in place of one that is there. returns its
 * descriptor or a negative status */
int bench_file(const struct bench *bench, const char *name, uint64_t size);

#endif
