/*
 * From samples to figures to tables or JSON: see common.h.
 */
#include "common.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- samples ---------------------------------------------------------------------------------- */

void bench_add(struct bench_series *series, double value)
{
    if (series->n < BENCH_ROUNDS_MAX)
        series->v[series->n++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double part_of(const struct bench_series *series, double part)
{
    double sorted[BENCH_ROUNDS_MAX];
    int n = 0;

    for (int i = 0; i < series->n; i++) {
        if (!isnan(series->v[i]))
            sorted[n++] = series->v[i];
    }
    if (n == 0)
        return NAN;
    qsort(sorted, (size_t)n, sizeof(sorted[0]), compare_doubles);
    return sorted[(int)(part * (n - 1) + 0.5)];
}

double bench_median(const struct bench_series *series)
{
    return part_of(series, 0.5);
}

double bench_least(const struct bench_series *series)
{
    return part_of(series, 0);
}

double bench_most(const struct bench_series *series)
{
    return part_of(series, 1);
}

double bench_ratio(const struct bench_series *a, const struct bench_series *b)
{
    struct bench_series ratios = {0};

    for (int i = 0; i < a->n && i < b->n; i++)
        bench_add(&ratios, a->v[i] / b->v[i]);
    return bench_median(&ratios);
}

/* 128 exact buckets, then 64 for each doubling. */
static size_t hist_bucket(uint64_t ns)
{
    unsigned shift;

    if (ns < 128)
        return ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    return 64u * (shift + 1) + (ns >> shift) - 64u;
}

/* The largest value of a bucket. */
static uint64_t hist_top(size_t bucket)
{
    uint64_t shift;

    if (bucket < 128)
        return bucket;
    shift = bucket / 64 - 1;
    return ((bucket % 64 + 64 + 1) << shift) - 1;
}

void bench_hist_add(struct bench_hist *hist, uint64_t ns)
{
    hist->count[hist_bucket(ns)]++;
    hist->n++;
    if (ns > hist->most)
        hist->most = ns;
}

double bench_hist_at(const struct bench_hist *hist, double part)
{
    const double wanted = part * (double)hist->n;
    uint64_t seen = 0;

    if (hist->n == 0)
        return NAN;
    for (size_t i = 0; i < BENCH_HIST_BUCKETS; i++) {
        seen += hist->count[i];
        if (seen > 0 && (double)seen >= wanted) {
            const uint64_t top = hist_top(i);
            return (double)(top < hist->most ? top : hist->most);
        }
    }
    return (double)hist->most;
}

/* ---- output ----------------------------------------------------------------------------------- */

#define CELLS_MAX 16

static struct {
    char section[64];
    bool headed;
    int n;
    struct {
        const char *name;
        char text[96];
        bool is_number;
    } cell[CELLS_MAX];
} row;

void bench_table(const char *section, const char *format, ...)
{
    va_list args;

    snprintf(row.section, sizeof(row.section), "%s", section);
    row.headed = false;
    if (bench.json)
        return;
    printf("\n%s: ", section);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static char *cell_new(const char *name, bool is_number)
{
    if (row.n == CELLS_MAX)
        bench_die("a row with too many cells");
    row.cell[row.n].name = name;
    row.cell[row.n].is_number = is_number;
    return row.cell[row.n++].text;
}

void bench_text(const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(cell_new(name, false), sizeof(row.cell[0].text), format, args);
    va_end(args);
}

void bench_number(const char *name, int decimals, double value)
{
    char *text = cell_new(name, true);

    if (isnan(value))
        strcpy(text, bench.json ? "null" : "-");
    else
        snprintf(text, sizeof(row.cell[0].text), "%.*f", decimals, value);
}

static int cell_width(int i)
{
    const int name = (int)strlen(row.cell[i].name) + 2;

    if (i == 0)
        return 44;
    return name > 9 ? name : 9;
}

void bench_end_row(void)
{
    if (bench.json) {
        printf("{\"section\": \"%s\"", row.section);
        for (int i = 0; i < row.n; i++)
            printf(row.cell[i].is_number ? ", \"%s\": %s" : ", \"%s\": \"%s\"", row.cell[i].name,
                   row.cell[i].text);
        printf("}\n");
        row.n = 0;
        return;
    }
    for (int i = 0; i < row.n && !row.headed; i++)
        printf(i == 0 ? "%-*s" : "%*s", cell_width(i), row.cell[i].name);
    if (!row.headed)
        printf("\n");
    row.headed = true;
    for (int i = 0; i < row.n; i++)
        printf(i == 0 ? "%-*s" : "%*s", cell_width(i), row.cell[i].text);
    printf("\n");
    row.n = 0;
}

void bench_note(const char *format, ...)
{
    va_list args;

    if (bench.json)
        return;
    va_start(args, format);
    printf("  ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}
