/*
 * Append one record to a log, making the log if need be. The example of README.md.
 */
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log = NULL;
    struct seglog_appender *appender = NULL;
    uint64_t seq = 0;
    int rc = seglog_log_open(argc > 1 ? argv[1] : "events", &options, &log);

    if (rc == 0)
        rc = seglog_appender_open(log, NULL, &appender);
    if (rc == 0)
        rc = seglog_appender_append(appender, "hello", 5, &seq);
    if (rc == 0)
        printf("appended record %" PRIu64 "\n", seq);
    if (rc == 0)
        rc = seglog_appender_close(appender);
    if (rc == 0)
        rc = seglog_log_close(log);
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    return rc < 0;
}
