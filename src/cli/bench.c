/*
 * What the measurements of `seglog bench` share.
 */
#include "bench.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- figures ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(const struct bench_rounds *rounds)
{
    double sorted[BENCH_ROUNDS];
    size_t n = 0;

    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        if (!isnan(rounds->v[i]))
            sorted[n++] = rounds->v[i];
    }
    qsort(sorted, n, sizeof(sorted[0]), by_value);
    return n ? sorted[n / 2] : NAN;
}

double bench_ratio(const struct bench_rounds *a, const struct bench_rounds *b)
{
    struct bench_rounds ratios;

    for (size_t i = 0; i < BENCH_ROUNDS; i++)
        ratios.v[i] = a->v[i] / b->v[i];
    return bench_median(&ratios);
}

int bench_samples_open(struct bench_samples *samples, size_t room)
{
    *samples = (struct bench_samples){.room = room, .ns = malloc(room * sizeof(*samples->ns))};
    if (!samples->ns)
        return -ENOMEM;
    memset(samples->ns, 0, room * sizeof(*samples->ns)); /* no page fault while measuring */
    return 0;
}

void bench_samples_close(struct bench_samples *samples)
{
    free(samples->ns);
    samples->ns = NULL;
}

static int by_count(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void bench_percentiles(json_t *row, const char *prefix, struct bench_samples *samples)
{
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50_ns", 0.5}, {"p99_ns", 0.99}, {"p999_ns", 0.999}, {"max_ns", 1}};

    qsort(samples->ns, samples->n, sizeof(*samples->ns), by_count);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const double rank = ceil(parts[i].part * (double)samples->n);
        char key[40];

        snprintf(key, sizeof(key), "%s%s", prefix, parts[i].name);
        bench_put(row, key, samples->n ? (double)samples->ns[(size_t)rank - 1] : NAN);
    }
}

/* ---- tables ----------------------------------------------------------------------------------- */

void bench_begin(struct bench *bench, const struct bench_table *table)
{
    json_object_set_new(bench->results, table->section, json_array());
    if (bench->json)
        return;
    printf("\n%s: %s\n", table->section, table->title);
    for (const struct bench_column *column = table->columns; column->key; column++)
        printf("%*s%s", column->width, column->heading, column[1].key ? "  " : "\n");
    fflush(stdout);
}

void bench_put(json_t *row, const char *key, double value)
{
    json_object_set_new(row, key, isfinite(value) ? json_real(value) : json_null());
}

static void print_cell(const struct bench_column *column, const json_t *value)
{
    if (json_is_string(value))
        printf("%*s", column->width, json_string_value(value));
    else if (json_is_number(value))
        printf("%*.*f", column->width, column->decimals, json_number_value(value));
    else
        printf("%*s", column->width, "-");
}

void bench_row(struct bench *bench, const struct bench_table *table, json_t *row)
{
    json_array_append_new(json_object_get(bench->results, table->section), row);
    if (bench->json)
        return;
    for (const struct bench_column *column = table->columns; column->key; column++) {
        print_cell(column, json_object_get(row, column->key));
        fputs(column[1].key ? "  " : "\n", stdout);
    }
    fflush(stdout);
}

void bench_remark(const struct bench *bench, const char *text)
{
    if (!bench->json)
        printf("  %s\n", text);
}

/* ---- the scratch directory -------------------------------------------------------------------- */

void bench_path(const struct bench *bench, const char *name, char *out)
{
    snprintf(out, PATH_MAX, "%s/%s", bench->scratch, name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void bench_remove(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int bench_log_create(const struct bench *bench, const char *name)
{
    const struct seglog_log_options options = {
        .segment_size = BENCH_SEGMENT,
        .sync = SEGLOG_SYNC_NONE, /* nothing but what is measured touches the disk */
    };
    char path[PATH_MAX];

    bench_path(bench, name, path);
    bench_remove(path);
    return seglog_log_create(path, &options);
}

int bench_file(const struct bench *bench, const char *name, uint64_t size)
{
    static const uint8_t block[1 << 16];
    char path[PATH_MAX];
    int fd;

    bench_path(bench, name, path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    for (uint64_t at = 0; at < size;) {
        const uint64_t left = size - at;
        const ssize_t done =
            pwrite(fd, block, left < sizeof(block) ? (size_t)left : sizeof(block), (off_t)at);

        if (done <= 0) {
            const int rc = done < 0 ? -errno : -EIO;

            close(fd);
            return rc;
        }
        at += (uint64_t)done;
    }
    return fd;
}
