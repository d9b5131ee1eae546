/*
 * Walking over all entries of a table.
 *
 * A shard is copied under its lock, then handed out entry by entry: what changes meanwhile can neither
 * hide a key nor show it twice, and nobody waits for whoever walks.
 */
#include "state/table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/words.h"

struct seglog_table_walk {
    struct seglog_table *table;
    uint32_t shard; /* the next one */
    uint8_t *bytes; /* entries of the one before, as they lie in the file */
    uint64_t size, used, at;
};

int seglog_table_walk_open(struct seglog_table *table, struct seglog_table_walk **out)
{
    struct seglog_table_walk *walk;

    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    if (!table->is_writable)
        return -EPERM; /* the locks */
    walk = calloc(1, sizeof(*walk));
    if (!walk)
        return -ENOMEM;
    walk->table = table;
    *out = walk;
    return 0;
}

void seglog_table_walk_close(struct seglog_table_walk *walk)
{
    if (!walk)
        return;
    free(walk->bytes);
    free(walk);
}

/* ---- a shard ----------------------------------------------------------------------------------- */

int table_each(struct seglog_table *t, struct table_shard *shard, table_visit *visit, void *context)
{
    const uint64_t word = atomic_load(&shard->slots);
    struct table_slots slots;
    uint64_t keys = 0;

    if (word == 0)
        return table_blank(t, shard);
    if (!table_slots(t, word, &slots))
        return SEGLOG_ECORRUPT;
    for (uint64_t i = 0; i <= slots.mask; i++) {
        const uint64_t ref = atomic_load(&slots.at[i].ref);
        const uint64_t hash = atomic_load(&slots.at[i].hash);
        struct table_found found;
        int rc;

        if (table_ref_is_live(ref)) {
            if (shard != table_shard_of(t, hash) || !table_is_found_at(t, &slots, i) ||
                !table_follow(t, ref, &found) || table_crc_of(t, &found, hash) != found.crc)
                return SEGLOG_ECORRUPT;
            rc = visit(context, &found);
            if (rc < 0)
                return rc;
            keys++;
        }
    }
    /* Slots that are wiped, or others than those of the shard, have nothing that fails a checksum. */
    return keys == atomic_load(&shard->keys) ? 0 : SEGLOG_ECORRUPT;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static int take_entry(void *context, const struct table_found *found)
{
    struct seglog_table_walk *walk = context;
    const uint64_t n = align_up(table_value_offset(found->key_len) + found->len, 8);

    if (walk->used + n > walk->size) {
        const uint64_t size = (walk->used + n) * 2;
        uint8_t *more = realloc(walk->bytes, size);

        if (!more)
            return -ENOMEM;
        walk->bytes = more;
        walk->size = size;
    }
    words_load(walk->bytes + walk->used, found->entry, n);
    walk->used += n;
    return 0;
}

static int take_shard(struct seglog_table_walk *walk)
{
    struct seglog_table *t = walk->table;
    struct table_shard *shard = &t->shards[walk->shard];
    int rc = table_lock_whole(t, shard);

    walk->used = walk->at = 0;
    if (rc < 0)
        return table_outcome(t, rc);
    rc = table_each(t, shard, take_entry, walk);
    table_unlock(shard);
    rc = table_outcome(t, rc);
    if (rc == 0)
        walk->shard++;
    else
        walk->used = 0;
    return rc;
}

int seglog_table_walk_next(struct seglog_table_walk *walk, struct seglog_table_entry *out)
{
    const struct table_entry *entry;

    if (table_is_forked(walk->table))
        return SEGLOG_EFORKED;
    while (walk->at == walk->used) {
        int rc;

        if (walk->shard == walk->table->facts.parts)
            return 0;
        rc = take_shard(walk);
        if (rc < 0)
            return rc;
    }
    entry = (const struct table_entry *)(const void *)(walk->bytes + walk->at);
    *out = (struct seglog_table_entry){
        .key = entry + 1,
        .key_len = entry->key_len,
        .value = (const uint8_t *)entry + table_value_offset(entry->key_len),
        .len = entry->len,
    };
    walk->at += align_up(table_value_offset(entry->key_len) + entry->len, 8);
    return 1;
}
