/*
 * A file that is read and written in place: a table of hits per hour that every process sees at once
 * and that is durable when the program says so.
 */
#include <seglog/map.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const struct seglog_map_options options = {
        .mode = SEGLOG_MAP_WRITE, .flags = SEGLOG_MAP_CREATE, .size = 24 * sizeof(uint64_t)};
    struct seglog_map *map = NULL;
    uint64_t hits = 0;
    int rc = seglog_map_open(argc > 1 ? argv[1] : "hits", &options, &map);

    if (rc == 0)
        rc = seglog_map_read(map, 17 * sizeof(hits), &hits, sizeof(hits), NULL);
    hits++;
    if (rc == 0)
        rc = seglog_map_write(map, 17 * sizeof(hits), &hits, sizeof(hits));
    if (rc == 0)
        rc = seglog_map_flush(map);
    if (rc == SEGLOG_EVOLATILE) /* on tmpfs: visible to all, and that is all there is to have */
        rc = 0;
    if (rc == 0)
        printf("%llu hits at five o'clock\n", (unsigned long long)hits);
    if (seglog_map_close(map) < 0 || rc < 0) {
        fprintf(stderr, "%s\n", seglog_strerror(rc));
        return 1;
    }
    return 0;
}
