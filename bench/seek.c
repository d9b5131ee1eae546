/*
 * How long it takes to get to a place: in a log of a thousand segments, by number, by time, by tag;
 * and how long opening takes. Beside each, what the system asks for the least of it: one segment
 * opened, its first and last page read and checked, mapped and unmapped.
 */
#include "common.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEGMENTS 1000
#define EACH     10000u
#define RECORDS  (SEGMENTS * (uint64_t)EACH)
#define PAYLOAD  60u
#define SEGMENT  (UINT64_C(1) << 20)
#define SEEKS    1000
#define RARE     7u

/* Record i is of time 1000 i; one in all is of the tag RARE, the others are of the tag 1. */
static void fill(const struct bench_log *log)
{
    struct seglog_log *handle = bench_attach(log, 0);
    struct seglog_appender *ap = bench_appender(handle, SEGLOG_SHARED);

    for (uint64_t i = 0; i < RECORDS; i++) {
        const struct seglog_record record = {
            .data = bench_payload(i),
            .len = PAYLOAD,
            .time_ns = 1000 * (i + 1),
            .tag = i == RECORDS - EACH / 2 ? RARE : 1,
        };

        bench_ok(seglog_appender_append_record(ap, &record, NULL), "append");
        if ((i + 1) % EACH == 0)
            bench_ok(seglog_log_seal(handle, UINT64_MAX), "seal");
    }
    bench_ok(seglog_appender_close(ap), "close");
    bench_ok(seglog_log_close(handle), "close");
}

/* xorshift: the places sought are the same in every run. */
static uint64_t random_below(uint64_t *state, uint64_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % n;
}

/* Mean of SEEKS seeks to random places and one record read there, us. */
static double seeks(struct seglog_reader *reader, uint32_t kind, uint64_t *state)
{
    const uint64_t begun = bench_now();

    for (int i = 0; i < SEEKS; i++) {
        const uint64_t seq = random_below(state, RECORDS);
        const struct seglog_place place = {
            .kind = kind, .value = kind == SEGLOG_PLACE_TIME ? 1000 * (seq + 1) : seq};
        struct seglog_view view;

        bench_ok(seglog_reader_seek(reader, &place), "seek");
        bench_ok(seglog_reader_next(reader, &view), "next");
        if (view.seq != seq)
            bench_die("found %llu, not %llu", (unsigned long long)view.seq,
                      (unsigned long long)seq);
        seglog_reader_release(reader);
    }
    return (double)(bench_now() - begun) / 1e3 / SEEKS;
}

/* What cannot be saved: a file opened, two pages read, mapped, one touched, unmapped; us. */
static double floor_seek(const struct bench_log *log, uint64_t *state)
{
    const uint64_t begun = bench_now();

    for (int i = 0; i < SEEKS; i++) {
        char path[320], page[4096];
        volatile const char *base;
        void *map;
        int fd;

        snprintf(path, sizeof(path), "%s/%016llx.seg", log->dir,
                 (unsigned long long)random_below(state, SEGMENTS));
        fd = (int)bench_sys(open(path, O_RDONLY | O_CLOEXEC), path);
        bench_sys(pread(fd, page, sizeof(page), 0), "pread");
        bench_sys(pread(fd, page, sizeof(page), (off_t)(SEGMENT - sizeof(page))), "pread");
        map = mmap(NULL, SEGMENT, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            bench_die("mmap");
        base = map;
        (void)base[random_below(state, SEGMENT)];
        munmap(map, SEGMENT);
        close(fd);
    }
    return (double)(bench_now() - begun) / 1e3 / SEEKS;
}

static double open_reader(const struct bench_log *log, struct seglog_place from)
{
    const struct seglog_reader_options options = {.from = from};
    struct seglog_reader *reader;
    const uint64_t begun = bench_now();

    bench_ok(seglog_reader_open(log->dir, &options, &reader), "open");
    seglog_reader_close(reader);
    return (double)(bench_now() - begun) / 1e6;
}

static double open_log(const struct bench_log *log)
{
    const uint64_t begun = bench_now();
    struct seglog_log *handle = bench_attach(log, 0);
    const double took = (double)(bench_now() - begun) / 1e6;

    bench_ok(seglog_log_close(handle), "close");
    return took;
}

/* The one record with a tag of its own, through a thousand filters; ms. */
static double find_tag(const struct bench_log *log)
{
    const struct seglog_reader_options options = {.flags = SEGLOG_READER_TAG, .tag = RARE};
    struct seglog_reader *reader;
    struct seglog_view view;
    const uint64_t begun = bench_now();

    bench_ok(seglog_reader_open(log->dir, &options, &reader), "open");
    bench_ok(seglog_reader_next(reader, &view), "next");
    if (view.tag != RARE)
        bench_die("found tag %u", view.tag);
    seglog_reader_close(reader);
    return (double)(bench_now() - begun) / 1e6;
}

static void show(const char *what, const char *unit, const struct bench_series *series,
                 double target)
{
    bench_text("what", "%s", what);
    bench_text("unit", "%s", unit);
    bench_number("median", 2, bench_median(series));
    bench_number("least", 2, bench_least(series));
    bench_number("most", 2, bench_most(series));
    bench_number("target", 0, target);
    bench_end_row();
}

int main(int argc, char **argv)
{
    struct bench_series seq = {0}, when = {0}, least = {0}, first = {0}, end = {0}, attach = {0},
                        tag = {0};
    uint64_t state = 88172645463325252u;
    struct seglog_reader *reader;
    struct bench_log log;

    bench_start(argc, argv, "seek");
    bench_log_make(&log, SEGMENT, SEGLOG_SYNC_SEALED);
    fill(&log);
    reader = bench_reader(&log, 0, 0);
    (void)seeks(reader, SEGLOG_PLACE_SEQ, &state); /* warm: the page cache, and what is known */
    (void)seeks(reader, SEGLOG_PLACE_TIME, &state);
    for (int round = 0; round < bench.rounds; round++) {
        bench_add(&seq, seeks(reader, SEGLOG_PLACE_SEQ, &state));
        bench_add(&when, seeks(reader, SEGLOG_PLACE_TIME, &state));
        bench_add(&least, floor_seek(&log, &state));
        bench_add(&first, open_reader(&log, (struct seglog_place){.kind = SEGLOG_PLACE_FIRST}));
        bench_add(&end, open_reader(&log, (struct seglog_place){.kind = SEGLOG_PLACE_END}));
        bench_add(&attach, open_log(&log));
        bench_add(&tag, find_tag(&log));
    }
    seglog_reader_close(reader);
    bench_table("seek", "places in %llu records in %d segments", (unsigned long long)RECORDS,
                SEGMENTS);
    show("seek by number, next", "us", &seq, 100);
    show("seek by time, next", "us", &when, 100);
    show("floor: open, 2 pages, map, touch", "us", &least, NAN);
    show("open a reader at the beginning", "ms", &first, 20);
    show("open a reader at the end", "ms", &end, 20);
    show("attach for appending, first", "ms", &attach, 20);
    show("one tag, all filters looked at", "ms", &tag, NAN);
    bench_log_remove(&log);
    return 0;
}
