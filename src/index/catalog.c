/*
 * The segments of a log as one reader knows them. See catalog.h.
 */
#include "index/catalog.h"

#include <errno.h>
#include <stdlib.h>

#include "segment/build.h"
#include "sys/clock.h"
#include "sys/file.h"

/* A change of the directory within a tick of the one before leaves the same time behind; a listing is
 * only believed to be whole when that time was this long ago. */
#define TICK_NS UINT64_C(50000000)

/* Forget those below the floor. */
static void catalog_cut(struct catalog *catalog, uint64_t floor)
{
    size_t gone = 0;

    while (gone < catalog->count && catalog->entries[gone].number < floor)
        gone++;
    if (gone == 0)
        return;
    catalog->count -= gone;
    memmove(catalog->entries, catalog->entries + gone, catalog->count * sizeof(*catalog->entries));
    catalog->sealed = catalog->sealed > gone ? catalog->sealed - gone : 0;
}

/* Both are ascending: what was learned goes over to the same number. */
static void catalog_keep(struct catalog_entry *entries, size_t count, const struct catalog *old,
                         size_t *sealed)
{
    size_t from = 0;

    *sealed = 0;
    for (size_t i = 0; i < count; i++) {
        while (from < old->count && old->entries[from].number < entries[i].number)
            from++;
        if (from == old->count)
            return;
        if (old->entries[from].number != entries[i].number || !old->entries[from].facts.sealed)
            continue;
        entries[i].facts = old->entries[from].facts;
        *sealed = i + 1;
    }
}

static int catalog_list(struct catalog *catalog, int dirfd, uint64_t floor)
{
    struct catalog_entry *entries;
    struct segment_list list;
    size_t count = 0, sealed;
    int rc = segment_list_read(dirfd, &list);

    if (rc < 0)
        return rc;
    entries = calloc(list.count + 1, sizeof(*entries));
    for (size_t i = 0; entries && i < list.count; i++)
        if (list.numbers[i] >= floor)
            entries[count++].number = list.numbers[i];
    segment_list_free(&list);
    if (!entries)
        return -ENOMEM;
    catalog_keep(entries, count, catalog, &sealed);
    free(catalog->entries);
    catalog->entries = entries;
    catalog->count = count;
    catalog->sealed = sealed;
    return 0;
}

int catalog_refresh(struct catalog *catalog, int dirfd, uint64_t floor)
{
    const uint64_t now = clock_wall_coarse_ns();
    uint64_t changed_ns;
    int rc = dir_changed(dirfd, &changed_ns);

    if (rc < 0)
        return rc;
    if (!catalog->is_listed || catalog->changed_ns != changed_ns) {
        rc = catalog_list(catalog, dirfd, floor);
        if (rc < 0)
            return rc;
        catalog->changed_ns = changed_ns;
        catalog->is_listed = now > changed_ns && now - changed_ns > TICK_NS;
    }
    catalog_cut(catalog, floor);
    return 0;
}

void catalog_free(struct catalog *catalog)
{
    free(catalog->entries);
    *catalog = (struct catalog){0};
}

void catalog_learn(struct catalog *catalog, size_t i, const struct catalog_facts *facts)
{
    if (!facts->sealed)
        return;
    catalog->entries[i].facts = *facts;
    if (catalog->sealed < i + 1)
        catalog->sealed = i + 1;
}

size_t catalog_first(size_t n, catalog_test *test, void *context, uint64_t sought)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (test(context, middle, sought))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
