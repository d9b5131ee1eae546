/*
 * Follow a log from its beginning: read what is there, wait for more, end after some records.
 *
 * So that there is something to follow, a child process appends a record every few milliseconds. The
 * reader neither knows nor cares who appends, and needs no permission to write.
 *
 * usage: follow DIR [COUNT]
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

static void append_slowly(const char *dir, uint64_t count)
{
    const struct timespec pause = {.tv_nsec = 3000000};
    struct seglog_log *log;
    struct seglog_appender *appender;

    must(seglog_log_open(dir, NULL, &log), dir);
    must(seglog_appender_open(log, NULL, &appender), "appender");
    for (uint64_t i = 0; i < count; i++) {
        char text[32];
        const int n = snprintf(text, sizeof(text), "event %" PRIu64, i);

        must(seglog_appender_append(appender, text, (size_t)n, NULL), "append");
        nanosleep(&pause, NULL);
    }
    must(seglog_appender_close(appender), "close");
    must(seglog_log_close(log), "close");
}

static void follow(const char *dir, uint64_t count)
{
    struct seglog_reader *reader;

    must(seglog_reader_open(dir, NULL, &reader), dir);
    while (count > 0) {
        struct seglog_view view;
        int rc = seglog_reader_next(reader, &view);

        if (rc == 0) {
            /* The bytes lie in the log; they are ours to look at until the release. */
            printf("%" PRIu64 ": %.*s\n", view.seq, (int)view.len, (const char *)view.data);
            count--;
            continue;
        }
        if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) {
            struct seglog_damage damage;

            must(seglog_reader_damage(reader, &damage), "damage");
            fprintf(stderr, "records %" PRIu64 " to %" PRIu64 " are lost: %s\n", damage.first_seq,
                    damage.last_seq, damage.cause);
            continue; /* the next call goes on behind it */
        }
        if (rc != -EAGAIN)
            must(rc, "next");
        /* Nothing there yet: let go of what was read, then sleep until there is more. */
        seglog_reader_release(reader);
        rc = seglog_reader_wait(reader, UINT64_C(10000000000));
        if (rc != -EINTR)
            must(rc, "wait");
    }
    seglog_reader_close(reader);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "events";
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10;
    int status;
    pid_t child;

    must(seglog_log_create(dir, NULL), dir);
    child = fork();
    if (child < 0)
        must(-errno, "fork");
    if (child == 0) {
        append_slowly(dir, count);
        return 0;
    }
    follow(dir, count);
    if (waitpid(child, &status, 0) < 0)
        must(-errno, "waitpid");
    return status != 0;
}
