/*
 * Many records at once: one claim for all of them, one call to read many.
 *
 * The records of a batch get consecutive numbers, nobody's records come between them, and readers see
 * all of them or none.
 *
 * usage: batch DIR
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCHES 100
#define RECORDS 32

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

static void append(const char *dir)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *appender;

    must(seglog_log_open(dir, &options, &log), dir);
    must(seglog_appender_open(log, NULL, &appender), "appender");
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        struct seglog_record records[RECORDS];
        uint32_t values[RECORDS];
        uint64_t first;

        for (uint32_t i = 0; i < RECORDS; i++) {
            values[i] = batch * RECORDS + i;
            records[i] =
                (struct seglog_record){.data = &values[i], .len = sizeof(values[i]), .tag = batch};
        }
        must(seglog_appender_append_batch(appender, records, RECORDS, &first), "append");
        if (first != (uint64_t)batch * RECORDS)
            must(SEGLOG_ECORRUPT, "numbers");
    }
    must(seglog_appender_close(appender), "close");
    must(seglog_log_close(log), "close");
}

static uint64_t sum(const char *dir)
{
    struct seglog_reader *reader;
    struct seglog_view views[64];
    uint64_t total = 0;
    int n;

    must(seglog_reader_open(dir, NULL, &reader), dir);
    while ((n = seglog_reader_batch(reader, views, 64)) > 0) {
        for (int i = 0; i < n; i++)
            total += *(const uint32_t *)views[i].data; /* payloads are 32-byte aligned */
        seglog_reader_release(reader);
    }
    if (n != -EAGAIN)
        must(n, "read");
    seglog_reader_close(reader);
    return total;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "events";
    const uint64_t count = BATCHES * RECORDS;
    uint64_t total;

    append(dir);
    total = sum(dir);
    printf("%" PRIu64 " records, sum %" PRIu64 "\n", count, total);
    return total != count * (count - 1) / 2;
}
