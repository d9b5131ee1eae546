/*
 * Looking a key up without a lock.
 *
 * Linear probing over slots of {hash, reference}. Three things may happen meanwhile, and each is found out
 * afterwards: the entry is replaced or removed and its block used again (the slot's reference is
 * another then: it carries a count against coming round); the slots move (the shard's word is another);
 * bytes are damaged (the checksum). A reference that is still in its slot after the entry was copied
 * proves that the block had not been given back before.
 *
 * Another key under the same hash is a rare thing, and lost bytes look like one: so there the checksum
 * decides before anybody goes on to the next slot.
 */
#include "state/table.h"

#include <errno.h>

#include <xxhash.h>

#include "base/words.h"

#define TRIES 1000

struct table_key table_key(const struct seglog_table *t, const void *data, size_t len)
{
    return (struct table_key){
        .data = data, .len = len, .hash = XXH3_64bits_withSeed(data, len, t->facts.generation)};
}

bool table_slots(struct seglog_table *t, uint64_t word, struct table_slots *out)
{
    const uint64_t offset = word & ((UINT64_C(1) << 42) - PAGE_BYTES);
    const unsigned bits = word & 63;

    if (bits < 4 || bits > 36 || offset < STATE_OFF_DATA)
        return false;
    out->mask = (UINT64_C(1) << bits) - 1;
    out->at = (struct table_slot *)table_at(t, offset, sizeof(struct table_slot) << bits);
    return out->at != NULL;
}

int table_blank(const struct seglog_table *t, struct table_shard *shard)
{
    if (t->facts.is_marked && shard->mark != table_mark(t->seed, (uint32_t)(shard - t->shards)))
        return SEGLOG_ECORRUPT;
    /* Keys are counted behind the first slots, and there are slots ever after. */
    return atomic_load(&shard->keys) == 0 || atomic_load(&shard->slots) != 0 ? 0 : SEGLOG_ECORRUPT;
}

uint32_t table_class_for(uint64_t bytes)
{
    uint32_t c = 0;

    while (c < TABLE_CLASSES && table_class_bytes(c) < bytes)
        c++;
    return c;
}

bool table_follow(struct seglog_table *t, uint64_t ref, struct table_found *out)
{
    const uint64_t offset = table_ref_place(ref) * 8;
    struct table_entry head;

    if (offset < STATE_OFF_DATA)
        return false;
    out->entry = table_at(t, offset, sizeof(head));
    if (!out->entry)
        return false;
    words_load(&head, out->entry, sizeof(head));
    out->ref = ref;
    out->key_len = head.key_len;
    out->len = head.len;
    out->crc = head.crc;
    out->size_class = head.size_class;
    if (head.size_class !=
        table_class_for(table_value_offset(out->key_len) + align_up(out->len, 8)))
        return false;
    return head.size_class < TABLE_CLASSES &&
           table_at(t, offset, table_class_bytes(head.size_class)) != NULL;
}

uint32_t table_crc_of(const struct seglog_table *t, const struct table_found *found, uint64_t hash)
{
    const uint64_t who[3] = {hash, found->key_len, found->len};
    const uint64_t end = table_value_offset(found->key_len) + found->len;
    uint32_t state = crc32c(~t->seed, who, sizeof(who));
    uint8_t chunk[512];

    /* The key's filling is zero, and covered too. */
    for (uint64_t at = sizeof(struct table_entry), n; at < end; at += n) {
        n = end - at < sizeof(chunk) ? end - at : sizeof(chunk);
        words_load(chunk, found->entry + at, n);
        state = crc32c(state, chunk, n);
    }
    return ~state;
}

/* After the bytes were read: is it still what is there? */
static bool is_still(const struct table_slot *slot, uint64_t ref)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&slot->ref, memory_order_relaxed) ==
           ref;
}

bool table_is_key(const struct table_found *found, const void *key, size_t len)
{
    const uint8_t *at = found->entry + sizeof(struct table_entry);
    uint8_t chunk[256];

    if (found->key_len != len)
        return false;
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < sizeof(chunk) ? len - done : sizeof(chunk);
        words_load(chunk, at + done, n);
        if (memcmp(chunk, (const uint8_t *)key + done, n) != 0)
            return false;
    }
    return true;
}

int table_probe(struct seglog_table *t, const struct table_slots *slots,
                const struct table_key *key, struct table_found *out, struct table_slot **vacant)
{
    struct table_slot *grave = NULL;

    for (uint64_t i = 0; i <= slots->mask; i++) {
        struct table_slot *slot = &slots->at[(key->hash + i) & slots->mask];
        const uint64_t ref = atomic_load_explicit(&slot->ref, memory_order_acquire);

        if (ref == 0) {
            if (vacant)
                *vacant = grave ? grave : slot;
            return -ENOENT;
        }
        if (!table_ref_is_live(ref)) {
            if (!grave)
                grave = slot;
            continue;
        }
        if (atomic_load_explicit(&slot->hash, memory_order_relaxed) != key->hash)
            continue;
        const bool leads = table_follow(t, ref, out);

        if (leads && table_is_key(out, key->data, key->len)) {
            out->slot = slot;
            return 0;
        }
        const bool is_good = leads && table_crc_of(t, out, key->hash) == out->crc;

        /* What was read may be the bytes of another entry by now. */
        if (!is_still(slot, ref))
            return -EAGAIN;
        if (!is_good)
            return SEGLOG_ECORRUPT;
    }
    if (vacant)
        *vacant = grave;
    return -ENOENT;
}

bool table_is_one_key(struct seglog_table *t, uint64_t ref, uint64_t other)
{
    struct table_found a, b;

    return table_follow(t, ref, &a) && table_follow(t, other, &b) &&
           table_is_key(&a, b.entry + sizeof(struct table_entry), (size_t)b.key_len);
}

bool table_is_found_at(struct seglog_table *t, const struct table_slots *slots, uint64_t i)
{
    const uint64_t hash = atomic_load_explicit(&slots->at[i].hash, memory_order_relaxed);
    const uint64_t ref = atomic_load_explicit(&slots->at[i].ref, memory_order_relaxed);

    for (uint64_t at = hash & slots->mask; at != i; at = (at + 1) & slots->mask) {
        struct table_slot *slot = &slots->at[at];
        const uint64_t other = atomic_load_explicit(&slot->ref, memory_order_relaxed);

        if (other == 0 || (table_ref_is_live(other) &&
                           atomic_load_explicit(&slot->hash, memory_order_relaxed) == hash &&
                           table_is_one_key(t, ref, other)))
            return false;
    }
    return true;
}

/* 0 and *found, -ENOENT, -EAGAIN, SEGLOG_ECORRUPT */
static int find_once(struct seglog_table *t, const struct table_key *key, struct table_found *found)
{
    struct table_shard *shard = table_shard_of(t, key->hash);
    const uint64_t word = atomic_load_explicit(&shard->slots, memory_order_acquire);
    struct table_slots slots;
    int rc;

    if (word == 0) {
        rc = table_blank(t, shard);
        return rc < 0 ? rc : -ENOENT;
    }
    rc = table_slots(t, word, &slots) ? table_probe(t, &slots, key, found, NULL) : SEGLOG_ECORRUPT;
    if (rc == 0)
        return 0;
    /* Not there, or not readable: if the slots are still these. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&shard->slots, memory_order_relaxed) == word ? rc : -EAGAIN;
}

/* The slot's reference is the same, but slots that have moved do not change any more. */
static bool counts(struct seglog_table *t, const struct table_key *key,
                   const struct table_found *found, uint64_t word)
{
    struct table_shard *shard = table_shard_of(t, key->hash);

    return is_still(found->slot, found->ref) &&
           atomic_load_explicit(&shard->slots, memory_order_relaxed) == word;
}

static int get_once(struct seglog_table *t, const struct table_key *key, void *buf, size_t cap,
                    size_t *len, struct seglog_table_view *view)
{
    struct table_shard *shard = table_shard_of(t, key->hash);
    const uint64_t word = atomic_load_explicit(&shard->slots, memory_order_acquire);
    struct table_found found;
    int rc = find_once(t, key, &found);
    const uint8_t *value;
    uint32_t crc;

    if (rc < 0)
        return rc;
    crc = table_crc_of(t, &found, key->hash);
    value = found.entry + table_value_offset(found.key_len);
    if (buf && found.len <= cap)
        words_load(buf, value, (size_t)found.len);
    if (!counts(t, key, &found, word))
        return -EAGAIN;
    if (crc != found.crc)
        return SEGLOG_ECORRUPT;
    if (len)
        *len = (size_t)found.len;
    if (view)
        *view = (struct seglog_table_view){
            .data = value,
            .len = found.len,
            .place = {(uintptr_t)found.slot, found.ref, (uintptr_t)shard, word}};
    return view || found.len <= cap ? 0 : -EMSGSIZE;
}

static int get(struct seglog_table *t, const void *data, size_t key_len, void *buf, size_t cap,
               size_t *len, struct seglog_table_view *view)
{
    const struct table_key key = table_key(t, data, key_len);
    int rc = -EAGAIN;

    if (table_is_forked(t))
        return SEGLOG_EFORKED;
    for (int i = 0; i < TRIES && rc == -EAGAIN; i++)
        rc = get_once(t, &key, buf, cap, len, view);
    return table_outcome(t, rc);
}

int seglog_table_get(struct seglog_table *table, const void *key, size_t key_len, void *buf,
                     size_t cap, size_t *len)
{
    uint8_t none;

    /* The checksum is of the entry in place; the copy counts only if nothing changed around both. */
    return get(table, key, key_len, buf ? buf : &none, buf ? cap : 0, len, NULL);
}

int seglog_table_view(struct seglog_table *table, const void *key, size_t key_len,
                      struct seglog_table_view *out)
{
    return get(table, key, key_len, NULL, 0, NULL, out);
}

/* Slots that have moved do not change any more, so they must still be those of the shard. */
static bool view_is_still(const struct seglog_table_view *view)
{
    const struct table_slot *slot = (const struct table_slot *)(uintptr_t)view->place[0];
    struct table_shard *shard = (struct table_shard *)(uintptr_t)view->place[2];

    return is_still(slot, view->place[1]) &&
           atomic_load_explicit(&shard->slots, memory_order_relaxed) == view->place[3];
}

int seglog_table_check_view(struct seglog_table *table, const struct seglog_table_view *view)
{
    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    return table_outcome(table, view_is_still(view) ? 0 : -ESTALE);
}
