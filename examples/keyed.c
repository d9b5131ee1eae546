/*
 * The newest record of each key: prices go into a log, and the last one of each name is asked for.
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/keyed.h>
#include <seglog/log.h>
#include <stdio.h>
#include <string.h>

struct price {
    char name[8];
    uint64_t cents;
};

static int append_prices(const char *dir)
{
    static const struct price prices[] = {
        {"AAPL", 19000}, {"MSFT", 41000}, {"AAPL", 19050}, {"GOOG", 17500}, {"AAPL", 19020}};
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_CREATE};
    struct seglog_appender *appender = NULL;
    struct seglog_log *log = NULL;
    int rc = seglog_log_open(dir, &options, &log);

    if (rc >= 0)
        rc = seglog_appender_open(log, NULL, &appender);
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]) && rc >= 0; i++)
        rc = seglog_appender_append(appender, &prices[i], sizeof(prices[i]), NULL);
    seglog_appender_close(appender);
    seglog_log_close(log);
    return rc;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "prices";
    const struct seglog_keyed_options options = {.offset = 0, .len = 8}; /* the name */
    struct seglog_keyed *keyed = NULL;
    struct seglog_view view;
    char path[4096];
    int rc = append_prices(dir);

    snprintf(path, sizeof(path), "%s.newest", dir);
    if (rc >= 0)
        rc = seglog_keyed_open(dir, path, &options, &keyed);
    if (rc >= 0)
        rc = seglog_keyed_update(keyed);
    for (const char *name = "AAPL\0\0\0\0MSFT\0\0\0\0IBM\0\0\0\0\0"; *name && rc >= 0; name += 8) {
        rc = seglog_keyed_get(keyed, name, 8, &view);
        if (rc == 0)
            printf("%s: %" PRIu64 " (record %" PRIu64 ")\n", name,
                   ((const struct price *)view.data)->cents, view.seq);
        else if (rc == -ENOENT)
            rc = printf("%s: no price\n", name) < 0 ? rc : 0;
    }
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    seglog_keyed_close(keyed);
    return rc < 0;
}
