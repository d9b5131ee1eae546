/*
 * Write records where they will lie: claim room, fill it, commit what was needed of it.
 *
 * Saves the copy, and the buffer to copy from. Readers stop at an open claim, so what takes long
 * (computing, waiting) is done before it, not in it.
 *
 * usage: claim DIR
 */
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_CREATE};
    const char *dir = argc > 1 ? argv[1] : "events";
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    struct seglog_claim claim;
    struct seglog_view view;
    int n;

    must(seglog_log_open(dir, &options, &log), dir);
    must(seglog_appender_open(log, NULL, &appender), "appender");

    /* Room for the worst case; what is left over is given back by the commit. */
    must(seglog_appender_claim(appender, 100, &claim), "claim");
    n = snprintf(claim.data, claim.len, "the answer is %d", 6 * 7);
    claim.tag = 42;
    must(seglog_appender_commit(appender, &claim, (size_t)n), "commit");

    /* Given up: the number is void, and readers never hear of it. */
    must(seglog_appender_claim(appender, 100, &claim), "claim");
    printf("number %" PRIu64 " is given up\n", claim.seq);
    must(seglog_appender_abort(appender), "abort");

    must(seglog_appender_append(appender, "next", 4, NULL), "append");
    must(seglog_appender_close(appender), "close");
    must(seglog_log_close(log), "close");

    must(seglog_reader_open(dir, NULL, &reader), dir);
    while (seglog_reader_next(reader, &view) == 0)
        printf("%" PRIu64 ", tag %" PRIu32 ": %.*s\n", view.seq, view.tag, (int)view.len,
               (const char *)view.data);
    seglog_reader_close(reader);
    return 0;
}
