/*
 * Counters that several processes share, and a rate in basis points worked out from them: the fields of
 * one struct in a file, declared once.
 */
#include <seglog/struct.h>
#include <stdio.h>

#define SITE_FIELDS(F, S)                 \
    F(SEGLOG_ATOMIC(uint64_t), views)     \
    F(SEGLOG_ATOMIC(uint64_t), sales)     \
    F(SEGLOG_ATOMIC(uint64_t), sale_rate) \
    F(SEGLOG_STRING(32), name)            \
    F(SEGLOG_SEGMENTED(uint64_t), times)
SEGLOG_STRUCT(site, SITE_FIELDS);

int main(int argc, char **argv)
{
    const struct seglog_struct_options options = {.flags =
                                                      SEGLOG_STRUCT_WRITE | SEGLOG_STRUCT_CREATE};
    struct seglog_struct *file = NULL;
    const char *name = NULL;
    size_t len = 0;
    int rc = seglog_struct_open(argc > 1 ? argv[1] : "site", SEGLOG_SCHEMA(site), &options, &file);

    if (rc == 0) {
        struct site *site = seglog_struct_data(file);

        for (uint64_t i = 0; i < 1000 && rc == 0; i++) {
            atomic_fetch_add(&site->views, 1);
            if (i % 40 == 0) {
                atomic_fetch_add(&site->sales, 1);
                rc = SEGLOG_SEGMENTED_PUSH(file, &site->times, &i);
            }
        }
        atomic_store(&site->sale_rate,
                     atomic_load(&site->sales) * 10000 / atomic_load(&site->views));
        if (rc == 0)
            rc = SEGLOG_STRING_SET(&site->name, "example.org", 11);
        if (rc == 0)
            rc = SEGLOG_STRING_GET(&site->name, &name, &len);
        if (rc == 0)
            printf("%.*s: %llu sales, %llu basis points\n", (int)len, name,
                   (unsigned long long)SEGLOG_SEGMENTED_COUNT(&site->times),
                   (unsigned long long)atomic_load(&site->sale_rate));
    }
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    seglog_struct_close(file);
    return rc < 0;
}
