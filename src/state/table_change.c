/*
 * Changing a shard, under its lock.
 *
 * Each change is one store that readers see: a slot's reference, or the shard's word when its slots
 * move. What is stored before it nobody refers to; what is done after it (giving the old block back,
 * counting) can be lost with the process: a block then stays unused, and the counts are worked out anew
 * by whoever takes the lock over.
 *
 * With a log the record of the change comes right before that store, when nothing can fail any more but
 * the process: so the log has the changes of a shard in their order, and at most the last one is not
 * made yet. Which shard that may be, it says itself (table_log.c).
 */
#include "state/table.h"

#include <errno.h>

#include "base/words.h"
#include "sys/file.h"

#define FRESH_BYTES  (UINT64_C(64) << 10)
#define SLOTS_OFFSET ((UINT64_C(1) << 42) - PAGE_BYTES)

static uint64_t relaxed(const _Atomic uint64_t *p)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)p, memory_order_relaxed);
}

static void count(_Atomic uint64_t *p, uint64_t n)
{
    atomic_store_explicit(p, relaxed(p) + n, memory_order_relaxed);
}

/* ---- room ------------------------------------------------------------------------------------ */

int table_room(struct seglog_table *t, uint64_t size, uint64_t *offset)
{
    struct file_facts facts;
    uint64_t at;
    int rc;

    size = align_up(size, PAGE_BYTES);
    /* Nobody makes the file longer than that, so if it is, the word is damaged, and it must not lead to
     * room that is in use. */
    rc = file_facts(t->fd, &facts);
    if (rc < 0)
        return rc;
    at = atomic_load(&t->hot->end);
    while (at < facts.size &&
           !atomic_compare_exchange_weak(&t->hot->end, &at, align_up(facts.size, PAGE_BYTES)))
        continue;
    /* Others take room for other shards at the same time. */
    at = atomic_fetch_add(&t->hot->end, size);
    if (at % PAGE_BYTES != 0 || at < STATE_OFF_DATA || at + size > SLOTS_OFFSET)
        return at > SLOTS_OFFSET - size ? -EFBIG : SEGLOG_ECORRUPT;
    rc = file_lengthen(t->fd, at, size);
    if (rc < 0) {
        /* Give it back, if nobody has taken more meanwhile. */
        uint64_t end = at + size;

        (void)atomic_compare_exchange_strong(&t->hot->end, &end, at);
        return rc;
    }
    *offset = at;
    return table_at(t, at, size) ? 0 : -ENOMEM;
}

/* A block that nobody refers to. */
static int block_take(struct seglog_table *t, struct table_shard *shard, uint32_t c,
                      uint64_t *offset)
{
    const uint64_t bytes = table_class_bytes(c);
    const uint64_t head = shard->free[c];
    _Atomic uint64_t *at;
    int rc;

    if (head != 0) {
        at = head >= STATE_OFF_DATA && head % 8 == 0 ? (_Atomic uint64_t *)table_at(t, head, bytes)
                                                     : NULL;
        if (!at)
            return SEGLOG_ECORRUPT;
        shard->free[c] = relaxed(at);
        *offset = head;
        return 0;
    }
    if (shard->fresh % 8 != 0 || shard->fresh_end - shard->fresh > (UINT64_C(1) << 40) ||
        shard->fresh_end - shard->fresh < bytes) {
        const uint64_t size = bytes > FRESH_BYTES ? bytes : FRESH_BYTES;
        uint64_t room;

        rc = table_room(t, size, &room);
        if (rc < 0)
            return rc;
        /* Killed between any two of these, what is left is none at all: an end below the beginning. */
        shard->fresh_end = shard->fresh;
        atomic_signal_fence(memory_order_seq_cst);
        shard->fresh = room;
        atomic_signal_fence(memory_order_seq_cst);
        shard->fresh_end = room + align_up(size, PAGE_BYTES);
    }
    *offset = shard->fresh;
    if (*offset < STATE_OFF_DATA || !table_at(t, *offset, bytes))
        return SEGLOG_ECORRUPT;
    shard->fresh += bytes;
    return 0;
}

static void block_return(struct seglog_table *t, struct table_shard *shard, uint64_t offset,
                         uint32_t c)
{
    _Atomic uint64_t *at = (_Atomic uint64_t *)table_at(t, offset, 8);

    if (!at)
        return;
    atomic_store_explicit(at, shard->free[c], memory_order_relaxed);
    shard->free[c] = offset;
}

/* The block of an entry that no slot refers to any more. */
static void block_give(struct seglog_table *t, struct table_shard *shard,
                       const struct table_found *old)
{
    block_return(t, shard, table_ref_place(old->ref) * 8, old->size_class);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int entry_write(struct seglog_table *t, struct table_shard *shard,
                       const struct table_key *key, const void *value, size_t len, uint64_t *offset,
                       uint32_t *size_class)
{
    const uint64_t value_at = table_value_offset(key->len);
    struct table_entry head = {.key_len = (uint32_t)key->len, .len = (uint32_t)len};
    struct table_found made = {.key_len = key->len, .len = len};
    uint8_t *at;
    int rc;

    head.size_class = *size_class = table_class_for(value_at + align_up(len, 8));
    rc = block_take(t, shard, head.size_class, offset);
    if (rc < 0)
        return rc;
    at = table_at(t, *offset, table_class_bytes(head.size_class));
    words_store(at + sizeof(head), key->data, key->len);
    words_store(at + value_at, value, len);
    made.entry = at;
    head.crc = table_crc_of(t, &made, key->hash);
    words_store(at, &head, sizeof(head));
    return 0;
}

/* ---- slots ----------------------------------------------------------------------------------- */

void table_recount(struct seglog_table *t, struct table_shard *shard)
{
    struct table_slots slots;
    uint64_t keys = 0, used = 0;

    if (table_slots(t, relaxed(&shard->slots), &slots)) {
        for (uint64_t i = 0; i <= slots.mask; i++) {
            const uint64_t ref = relaxed(&slots.at[i].ref);

            keys += table_ref_is_live(ref);
            used += ref != 0;
        }
    }
    atomic_store(&shard->keys, keys);
    atomic_store(&shard->used, used);
}

/* once: a key that is there already is left out (a power cut may have left it in two slots). */
static unsigned slots_add(struct seglog_table *t, const struct table_slots *slots, uint64_t hash,
                          uint64_t ref, bool once)
{
    uint64_t i = hash & slots->mask;

    for (; relaxed(&slots->at[i].ref) != 0; i = (i + 1) & slots->mask) {
        if (once && relaxed(&slots->at[i].hash) == hash &&
            table_is_one_key(t, ref, relaxed(&slots->at[i].ref)))
            return 0;
    }
    atomic_store_explicit(&slots->at[i].hash, hash, memory_order_relaxed);
    atomic_store_explicit(&slots->at[i].ref, ref, memory_order_relaxed);
    return 1;
}

/* Take along what passes; without `pass`, what can be found where it is: one that damage has put elsewhere
 * may have been put anew since. Gives how many. */
static uint64_t slots_move(struct seglog_table *t, const struct table_shard *shard,
                           const struct table_slots *from, const struct table_slots *to,
                           uint64_t keys, table_pass *pass)
{
    uint64_t moved = 0;

    for (uint64_t i = 0; i <= from->mask; i++) {
        const uint64_t ref = relaxed(&from->at[i].ref);
        const uint64_t hash = relaxed(&from->at[i].hash);

        if (table_ref_is_live(ref) && moved < keys &&
            (pass ? pass(t, shard, hash, ref)
                  : shard == table_shard_of(t, hash) && table_is_found_at(t, from, i)))
            moved += slots_add(t, to, hash, ref, pass != NULL);
    }
    return moved;
}

/* The slots before these, if they are of the right number: readers have long left them, or find out. */
static int slots_make(struct seglog_table *t, struct table_shard *shard, unsigned bits,
                      uint64_t *offset)
{
    struct table_slots old;

    if (shard->spare != 0 && (shard->spare & 63) == bits && table_slots(t, shard->spare, &old)) {
        *offset = shard->spare & SLOTS_OFFSET;
        shard->spare = 0;
        for (uint64_t i = 0; i <= old.mask; i++)
            atomic_store_explicit(&old.at[i].ref, 0, memory_order_relaxed);
        return 0;
    }
    return table_room(t, sizeof(struct table_slot) << bits, offset);
}

int table_rehash(struct seglog_table *t, struct table_shard *shard, uint64_t keys, table_pass *pass)
{
    const uint64_t word = relaxed(&shard->slots);
    struct table_slots from, to;
    uint64_t offset = 0, moved = 0, next;
    unsigned bits = 4;
    int rc = 0;

    while ((UINT64_C(1) << bits) < keys * 2)
        bits++;
    /* On the disk the word may still name the slots that are spare now: it is synced first. */
    if (t->is_synced && shard->spare != 0)
        rc = file_datasync(t->fd);
    if (rc == 0)
        rc = slots_make(t, shard, bits, &offset);
    if (rc < 0)
        return rc;
    next = offset | bits | ((word >> 42) + 1) << 42;
    if (!table_slots(t, next, &to))
        return SEGLOG_ECORRUPT;
    if (word != 0 && table_slots(t, word, &from))
        moved = slots_move(t, shard, &from, &to, keys, pass);
    /* And the new slots before the word that leads to them; the first ones too, which hold nothing to
     * lose: the file's new length must be there. */
    if (t->is_synced)
        rc = file_datasync(t->fd);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&shard->slots, next, memory_order_release);
    shard->spare = word & ((UINT64_C(1) << 42) - 1);
    atomic_store(&shard->keys, moved);
    atomic_store(&shard->used, moved);
    return 0;
}

/* A slot for a new key. */
static int slot_find(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                     struct table_slot **slot)
{
    const uint64_t used = relaxed(&shard->used);
    struct table_slots slots;
    struct table_found found;
    bool fits = table_slots(t, relaxed(&shard->slots), &slots);
    int rc;

    if (relaxed(&shard->slots) != 0 && !fits)
        return SEGLOG_ECORRUPT;
    /* The counts are hints, and may be anything; a move takes as many keys along as it is told. */
    if (!fits || used > slots.mask || (used + 1) * 10 > (slots.mask + 1) * 7) {
        const uint64_t first = t->facts.size / t->facts.parts * 5 / 4;
        const uint64_t claimed = relaxed(&shard->keys);
        uint64_t keys;

        table_recount(t, shard);
        keys = relaxed(&shard->keys);
        rc = table_rehash(t, shard, keys + 1 + (fits ? keys / 2 : first), NULL);
        /* Keys that are lost are still missed by whoever looks at all of them. */
        atomic_store_explicit(&shard->keys, claimed, memory_order_relaxed);
        if (rc < 0)
            return rc;
        if (!table_slots(t, relaxed(&shard->slots), &slots))
            return SEGLOG_ECORRUPT;
    }
    rc = table_probe(t, &slots, key, &found, slot);
    if (rc != -ENOENT)
        return rc < 0 ? rc : SEGLOG_ECORRUPT;
    return *slot ? 0 : SEGLOG_ECORRUPT;
}

int table_store(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                const struct table_found *there, const void *value, size_t len, uint64_t *seq)
{
    struct table_slot *slot = there ? there->slot : NULL;
    uint64_t offset, before;
    uint32_t size_class;
    int rc;

    if (key->len > SEGLOG_TABLE_ENTRY_MAX || len > SEGLOG_TABLE_ENTRY_MAX ||
        table_value_offset(key->len) + align_up(len, 8) > SEGLOG_TABLE_ENTRY_MAX + 32)
        return -EMSGSIZE;
    if (!slot) {
        rc = slot_find(t, shard, key, &slot);
        if (rc < 0)
            return rc;
    }
    rc = entry_write(t, shard, key, value, len, &offset, &size_class);
    if (rc < 0)
        return rc;
    if (region_is_hit(&t->region))
        return -EIO; /* the caller says why */
    if (t->log && seq) {
        rc = table_log_put(t, shard, key, value, len, seq);
        if (rc < 0) {
            block_return(t, shard, offset, size_class);
            return rc;
        }
    }
    before = relaxed(&slot->ref);
    if (!there)
        atomic_store_explicit(&slot->hash, key->hash, memory_order_relaxed);
    /*
     * ORDER ref.publish -> table_probe()
     * Makes visible: the entry, and the slot's hash. Without it a reader follows it to old bytes.
     * The count makes it another word each time, also when the same block comes back to the same slot;
     * it comes round after 2^24 changes of the slot.
     */
    atomic_store_explicit(&slot->ref, table_ref_next(before, offset / 8), memory_order_release);
    if (t->log && seq)
        table_log_done(shard);
    if (there) {
        block_give(t, shard, there);
    } else {
        count(&shard->keys, 1);
        if (before == 0)
            count(&shard->used, 1);
    }
    return 0;
}

/* The store, and what may be lost after it. */
static void bury(struct seglog_table *t, struct table_shard *shard, const struct table_found *there)
{
    atomic_store_explicit(&there->slot->ref, table_ref_next(there->ref, 1), memory_order_release);
    block_give(t, shard, there);
    count(&shard->keys, UINT64_MAX); /* one less */
}

/* Is there another entry of this key behind the one that was found? Without that it would come back. */
static bool is_doubled(struct seglog_table *t, struct table_shard *shard,
                       const struct table_found *there)
{
    const uint64_t hash = relaxed(&there->slot->hash);
    struct table_slots slots;
    uint64_t at, ref;

    if (!table_slots(t, relaxed(&shard->slots), &slots))
        return true;
    at = (uint64_t)(there->slot - slots.at);
    for (uint64_t n = slots.mask; n > 0; n--) {
        at = (at + 1) & slots.mask;
        ref = relaxed(&slots.at[at].ref);
        if (ref == 0)
            return false;
        if (table_ref_is_live(ref) && relaxed(&slots.at[at].hash) == hash &&
            table_is_one_key(t, ref, there->ref))
            return true;
    }
    return false;
}

int table_bury(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
               const struct table_found *there, uint64_t *seq)
{
    if (is_doubled(t, shard, there))
        return SEGLOG_ECORRUPT;
    if (t->log && seq) {
        const int rc = table_log_remove(t, shard, key, seq);

        if (rc < 0)
            return rc;
    }
    bury(t, shard, there);
    if (t->log && seq)
        table_log_done(shard);
    return 0;
}

void table_empty(struct seglog_table *t, struct table_shard *shard)
{
    struct table_slots slots;

    if (table_slots(t, relaxed(&shard->slots), &slots)) {
        for (uint64_t i = 0; i <= slots.mask; i++) {
            struct table_found found;
            const uint64_t ref = relaxed(&slots.at[i].ref);

            if (!table_ref_is_live(ref))
                continue;
            found.slot = &slots.at[i];
            if (table_follow(t, ref, &found))
                bury(t, shard, &found);
            else
                atomic_store(&slots.at[i].ref, table_ref_next(ref, 1));
        }
    }
    table_recount(t, shard);
}

int table_look(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
               struct table_found *out)
{
    const uint64_t word = relaxed(&shard->slots);
    struct table_slots slots;

    if (word == 0)
        return -ENOENT;
    return table_slots(t, word, &slots) ? table_probe(t, &slots, key, out, NULL) : SEGLOG_ECORRUPT;
}

/* ---- what users call ------------------------------------------------------------------------- */

/* Lock the key's shard and look. 0 or -ENOENT with the lock held; else without. */
static int enter(struct seglog_table *t, const struct table_key *key, struct table_shard **shard,
                 struct table_found *found)
{
    int rc;

    if (table_is_forked(t))
        return SEGLOG_EFORKED;
    if (!t->is_writable)
        return -EPERM;
    *shard = table_shard_of(t, key->hash);
    rc = table_lock_whole(t, *shard);
    if (rc < 0)
        return table_outcome(t, rc);
    rc = table_look(t, *shard, key, found);
    if (rc == 0 || rc == -ENOENT)
        rc = table_outcome(t, rc);
    if (rc < 0 && rc != -ENOENT)
        table_unlock(*shard);
    return rc;
}

/* seq: of the change that was made, if one was logged. */
static int leave(struct seglog_table *t, struct table_shard *shard, int rc, uint64_t seq)
{
    table_unlock(shard);
    rc = table_outcome(t, rc);
    if (rc >= 0 && seq != TABLE_NO_SEQ) {
        const int settled = table_log_settle(t->log, seq);

        rc = settled < 0 ? settled : rc;
    }
    return rc;
}

int seglog_table_put(struct seglog_table *table, const void *key, size_t key_len, const void *value,
                     size_t len)
{
    const struct table_key k = table_key(table, key, key_len);
    uint64_t seq = TABLE_NO_SEQ;
    struct table_shard *shard;
    struct table_found found;
    int rc = enter(table, &k, &shard, &found);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = table_store(table, shard, &k, rc == 0 ? &found : NULL, value, len, &seq);
    return leave(table, shard, rc, seq);
}

int seglog_table_add(struct seglog_table *table, const void *key, size_t key_len, const void *value,
                     size_t len)
{
    const struct table_key k = table_key(table, key, key_len);
    uint64_t seq = TABLE_NO_SEQ;
    struct table_shard *shard;
    struct table_found found;
    int rc = enter(table, &k, &shard, &found);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT) {
        rc = table_store(table, shard, &k, NULL, value, len, &seq);
        rc = rc == 0 ? 1 : rc;
    }
    return leave(table, shard, rc, seq);
}

int seglog_table_update(struct seglog_table *table, const void *key, size_t key_len,
                        seglog_table_change *change, void *context)
{
    const struct table_key k = table_key(table, key, key_len);
    uint64_t seq = TABLE_NO_SEQ;
    const void *value = NULL;
    struct table_shard *shard;
    struct table_found found;
    size_t len = 0;
    int verdict, rc = enter(table, &k, &shard, &found);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0 && table_crc_of(table, &found, k.hash) != found.crc)
        return leave(table, shard, SEGLOG_ECORRUPT, seq);
    if (rc == 0) {
        value = found.entry + table_value_offset(found.key_len);
        len = (size_t)found.len;
    }
    verdict = change(context, &value, &len);
    if (verdict == SEGLOG_TABLE_SET) {
        rc = table_store(table, shard, &k, rc == 0 ? &found : NULL, value, len, &seq);
        verdict = rc < 0 ? rc : verdict;
    } else if (verdict == SEGLOG_TABLE_REMOVE && rc == 0) {
        rc = table_bury(table, shard, &k, &found, &seq);
        verdict = rc < 0 ? rc : verdict;
    } else if (verdict > SEGLOG_TABLE_REMOVE) {
        verdict = -EINVAL;
    }
    return leave(table, shard, verdict, seq);
}

int seglog_table_remove(struct seglog_table *table, const void *key, size_t key_len)
{
    const struct table_key k = table_key(table, key, key_len);
    uint64_t seq = TABLE_NO_SEQ;
    struct table_shard *shard;
    struct table_found found;
    int rc = enter(table, &k, &shard, &found);

    if (rc == 0)
        rc = table_bury(table, shard, &k, &found, &seq);
    else if (rc != -ENOENT)
        return rc;
    return leave(table, shard, rc, seq);
}

/* All shards at once, for one record says that all are empty. Nobody else holds more than one. */
static int clear_logged(struct seglog_table *t)
{
    uint64_t seq = TABLE_NO_SEQ;
    uint32_t locked = 0;
    int rc = 0;

    while (rc == 0 && locked < t->facts.parts) {
        rc = table_lock_whole(t, &t->shards[locked]);
        locked += rc == 0;
    }
    if (rc == 0)
        rc = table_log_clear(t, &seq);
    for (uint32_t s = 0; s < locked; s++) {
        if (rc == 0) {
            table_empty(t, &t->shards[s]);
            table_log_done(&t->shards[s]);
        }
        table_unlock(&t->shards[s]);
    }
    return rc == 0 ? table_log_settle(t->log, seq) : rc;
}

int seglog_table_clear(struct seglog_table *table)
{
    int rc = 0;

    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    if (!table->is_writable)
        return -EPERM;
    if (table->log)
        return table_outcome(table, clear_logged(table));
    for (uint32_t s = 0; s < table->facts.parts && rc == 0; s++) {
        rc = table_lock_whole(table, &table->shards[s]);
        if (rc < 0)
            break;
        table_empty(table, &table->shards[s]);
        table_unlock(&table->shards[s]);
    }
    return table_outcome(table, rc);
}
