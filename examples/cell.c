/*
 * A setting that one process changes and all others follow: publish, read, wait for the next.
 */
#include <inttypes.h>
#include <seglog/cell.h>
#include <stdio.h>

struct limits {
    uint32_t orders_per_second;
    uint32_t depth;
};

static int halve(void *context, void *value, size_t *len, size_t cap)
{
    struct limits *limits = value;

    (void)context;
    if (*len != sizeof(*limits) || cap < *len)
        return -1;
    limits->orders_per_second /= 2;
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "limits";
    const struct seglog_cell_options write = {.flags = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE,
                                              .schema = 1,
                                              .size = sizeof(struct limits)};
    const struct seglog_cell_options read = {.schema = 1, .size = sizeof(struct limits)};
    struct seglog_cell *writer = NULL, *reader = NULL;
    struct limits limits = {.orders_per_second = 1000, .depth = 20};
    uint64_t version = 0;
    int rc = seglog_cell_open(path, &write, &writer);

    if (rc == 0)
        rc = seglog_cell_publish(writer, &limits, sizeof(limits));
    if (rc == 0)
        rc = seglog_cell_open(path, &read, &reader); /* in another process, as a rule */
    if (rc == 0)
        rc = seglog_cell_update(writer, sizeof(limits), halve, NULL, NULL, 0);
    if (rc == 0)
        rc = seglog_cell_wait(reader, 1, UINT64_MAX); /* until it is another than version 1 */
    if (rc == 0)
        rc = seglog_cell_read(reader, &limits, sizeof(limits), NULL, &version);
    if (rc == 0)
        printf("version %" PRIu64 ": %" PRIu32 " orders a second\n", version,
               limits.orders_per_second);
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    seglog_cell_close(reader);
    seglog_cell_close(writer);
    return rc < 0;
}
