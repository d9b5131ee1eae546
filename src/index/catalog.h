/*
 * The segments of a log as one reader knows them, so that a seek opens the one it goes to and not a
 * dozen on the way.
 *
 * What a seal says never changes, so it is asked for once. Names come from the directory, which is
 * listed again only when it has changed. A catalog that is behind costs time and nothing else: who
 * seeks goes on from what is known by walking.
 */
#ifndef INDEX_CATALOG_H
#define INDEX_CATALOG_H

#include "format/blocks.h"

struct catalog_facts {
    uint64_t base_seq;
    uint64_t epoch;
    bool sealed;
    uint64_t next_seq;     /* sealed only, as all below */
    uint64_t log_max_time; /* the largest up to the end of this segment */
};

struct catalog_entry {
    uint64_t number;
    struct catalog_facts facts; /* sealed is false: not known, or not final */
};

struct catalog {
    struct catalog_entry *entries; /* ascending */
    size_t count;
    size_t sealed;       /* one more than the place of the last one known to be sealed */
    uint64_t changed_ns; /* of the directory, when it was listed */
    bool is_listed;      /* and that was long enough ago to tell a later change from it */
};

/*
 * The segments from number `floor` on. Keeps what was learned of those that are still there.
 * 0; -EIO, -ENOMEM ...: it is as it was
 */
int catalog_refresh(struct catalog *catalog, int dirfd, uint64_t floor);
void catalog_free(struct catalog *catalog);

/* What was found out about entry i; kept if it is sealed. */
void catalog_learn(struct catalog *catalog, size_t i, const struct catalog_facts *facts);

/* The first of the entries [0, n) for which the test holds, n if none: it holds for all behind. */
typedef bool catalog_test(void *context, size_t i, uint64_t sought);
size_t catalog_first(size_t n, catalog_test *test, void *context, uint64_t sought);

#endif
