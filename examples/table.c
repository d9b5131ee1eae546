/*
 * Numbers for names: each name gets the next number the first time it is seen, whoever sees it.
 */
#include <inttypes.h>
#include <seglog/table.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char *const names[] = {"AAPL", "MSFT", "AAPL", "GOOG", "MSFT"};
    const struct seglog_table_options options = {.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE};
    struct seglog_table *table = NULL;
    struct seglog_table_walk *walk = NULL;
    struct seglog_table_entry entry;
    uint64_t next = 1, number = 0;
    int rc = seglog_table_open(argc > 1 ? argv[1] : "symbols", &options, &table);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rc >= 0; i++) {
        rc = seglog_table_add(table, names[i], strlen(names[i]), &next, sizeof(next));
        if (rc == 1)
            next++;
        if (rc >= 0)
            rc = seglog_table_get(table, names[i], strlen(names[i]), &number, sizeof(number), NULL);
        if (rc >= 0)
            printf("%s is %" PRIu64 "\n", names[i], number);
    }
    if (rc >= 0)
        rc = seglog_table_walk_open(table, &walk);
    while (rc >= 0 && (rc = seglog_table_walk_next(walk, &entry)) == 1)
        printf("%.*s has %zu bytes\n", (int)entry.key_len, (const char *)entry.key, entry.len);
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    seglog_table_walk_close(walk);
    seglog_table_close(table);
    return rc < 0;
}
