/*
 * Four processes append to one log, a fifth counts: every record once, each producer's in its order.
 *
 * usage: many DIR
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PRODUCERS 4
#define RECORDS   10000

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

/* A handle does not survive fork(): each process opens its own. */
static void produce(const char *dir, uint32_t tag)
{
    struct seglog_log *log;
    struct seglog_appender *appender;

    must(seglog_log_open(dir, NULL, &log), dir);
    must(seglog_appender_open(log, NULL, &appender), "appender");
    for (uint32_t i = 0; i < RECORDS; i++) {
        const struct seglog_record record = {.data = &i, .len = sizeof(i), .tag = tag};

        must(seglog_appender_append_record(appender, &record, NULL), "append");
    }
    must(seglog_appender_close(appender), "close");
    must(seglog_log_close(log), "close");
}

static void count(const char *dir)
{
    uint32_t next[PRODUCERS] = {0};
    struct seglog_reader *reader;

    must(seglog_reader_open(dir, NULL, &reader), dir);
    for (uint64_t n = 0; n < (uint64_t)PRODUCERS * RECORDS; n++) {
        struct seglog_view view;
        int rc;

        while ((rc = seglog_reader_next(reader, &view)) == -EAGAIN) {
            seglog_reader_release(reader);
            must(seglog_reader_wait(reader, UINT64_C(10000000000)), "wait");
        }
        must(rc, "next");
        if (view.tag >= PRODUCERS || *(const uint32_t *)view.data != next[view.tag]++)
            must(SEGLOG_ECORRUPT, "order");
    }
    seglog_reader_close(reader);
}

int main(int argc, char **argv)
{
    const struct seglog_log_options options = {.segment_size = UINT64_C(1) << 20};
    const char *dir = argc > 1 ? argv[1] : "events";
    int failures = 0;

    must(seglog_log_create(dir, &options), dir);
    for (uint32_t tag = 0; tag < PRODUCERS; tag++) {
        const pid_t child = fork();

        if (child < 0)
            must(-errno, "fork");
        if (child == 0) {
            produce(dir, tag);
            return 0;
        }
    }
    count(dir);
    for (int i = 0; i < PRODUCERS; i++) {
        int status;

        if (wait(&status) < 0 || status != 0)
            failures++;
    }
    printf("%d records of %d processes, in order\n", PRODUCERS * RECORDS, PRODUCERS);
    return failures;
}
