/*
 * Records with times of their own: start at a time, go forward, then backward from the end.
 *
 * usage: replay DIR
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(1700000000) * SECOND) /* 2023-11-14T22:13:20Z */
#define TICKS  1000

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

/* A price every second, with the time at which it was quoted. */
static void record(const char *dir)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *appender;

    must(seglog_log_open(dir, &options, &log), dir);
    must(seglog_appender_open(log, NULL, &appender), "appender");
    for (uint64_t i = 0; i < TICKS; i++) {
        const uint32_t price = (uint32_t)(10000 + i * i % 97);
        const struct seglog_record tick = {
            .data = &price, .len = sizeof(price), .time_ns = START + i * SECOND};

        must(seglog_appender_append_record(appender, &tick, NULL), "append");
    }
    must(seglog_appender_close(appender), "close");
    must(seglog_log_close(log), "close");
}

static void print(const struct seglog_view *view)
{
    printf("second %" PRIu64 ": %" PRIu32 "\n", (view->time_ns - START) / SECOND,
           *(const uint32_t *)view->data);
}

int main(int argc, char **argv)
{
    const struct seglog_place later = {.kind = SEGLOG_PLACE_TIME, .value = START + 600 * SECOND};
    const struct seglog_place end = {.kind = SEGLOG_PLACE_END};
    const struct seglog_reader_options options = {.from = later};
    const char *dir = argc > 1 ? argv[1] : "events";
    struct seglog_reader *reader;
    struct seglog_view view;

    record(dir);
    must(seglog_reader_open(dir, &options, &reader), dir);
    for (int i = 0; i < 3; i++) {
        must(seglog_reader_next(reader, &view), "next");
        if (view.time_ns != START + (600 + (uint64_t)i) * SECOND)
            must(SEGLOG_ECORRUPT, "time");
        print(&view);
    }
    must(seglog_reader_seek(reader, &end), "seek");
    if (seglog_reader_next(reader, &view) != -EAGAIN)
        must(SEGLOG_ECORRUPT, "end");
    for (uint64_t i = 1; i <= 3; i++) {
        must(seglog_reader_prev(reader, &view), "prev");
        if (view.time_ns != START + (TICKS - i) * SECOND)
            must(SEGLOG_ECORRUPT, "time");
        print(&view);
    }
    seglog_reader_close(reader);
    return 0;
}
