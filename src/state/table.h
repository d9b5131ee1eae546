/*
 * What a table is inside.
 *
 *   table.c         making and opening, the check after a power cut, facts
 *   table_lock.c    the locks of the shards
 *   table_find.c    looking keys up without a lock
 *   table_change.c  changing a shard under its lock: blocks, slots, growth
 *   table_walk.c    all entries
 *   table_log.c     the log of changes, if it has one
 *   table_replay.c  and what becomes of the table by it
 */
#ifndef STATE_TABLE_H
#define STATE_TABLE_H

#include <seglog/table.h>

#include "format/state.h"
#include "sys/owner.h"
#include "sys/region.h"

struct seglog_table {
    const uint64_t *guard; /* reads 0 in a forked child */
    struct region region;
    struct table_hot *hot;
    struct table_shard *shards;
    struct state_facts facts;
    uint32_t seed;
    int fd;
    bool is_writable;
    bool is_volatile;
    bool is_synced;        /* what is in the file must be durable in order: there is no log */
    struct table_log *log; /* NULL: none */
    uint64_t replayed;
    _Atomic int failed; /* a flush did, for good */
    uint64_t dropped;
    struct owner owner;
    uint32_t me; /* what we put into locks */
};

static inline bool table_is_forked(const struct seglog_table *t)
{
    return *(const volatile uint64_t *)t->guard == 0;
}

/* rc, unless pages were lost: then why. */
int table_outcome(struct seglog_table *t, int rc);
/* Bytes of the file, mapping what others have added. NULL: it does not have them. */
uint8_t *table_at(struct seglog_table *t, uint64_t offset, uint64_t len);

/* ---- locks ----------------------------------------------------------------------------------- */

/* Take a place among the writers, and the check upon us if nobody else is there: *alone. */
int table_attach(struct seglog_table *t, bool *alone);
/* For somebody who has not attached: nobody writes, and nobody will. -EAGAIN */
int table_lock_alone(struct owner *owner);
/* The check is done: let others in. */
int table_share(struct seglog_table *t);
/* Lock a shard; 1: its holder had died in the middle of something. Never fails for long. */
int table_lock(struct seglog_table *t, struct table_shard *shard);
/* Lock it and make good what a dead holder left: 0, or without the lock why that cannot be done, or that
 * the shard is wiped. */
int table_lock_whole(struct seglog_table *t, struct table_shard *shard);
void table_unlock(struct table_shard *shard);

/* ---- looking up ------------------------------------------------------------------------------ */

struct table_key {
    const void *data;
    size_t len;
    uint64_t hash;
};
struct table_key table_key(const struct seglog_table *t, const void *data, size_t len);

static inline struct table_shard *table_shard_of(struct seglog_table *t, uint64_t hash)
{
    /* The high bits; where in the shard is decided by the low ones. */
    return &t->shards[(hash >> 48) & (t->facts.parts - 1)];
}

/* The slots that a word stands for; NULL for none, or a word that leads nowhere. */
struct table_slots {
    struct table_slot *at;
    uint64_t mask;
};
bool table_slots(struct seglog_table *t, uint64_t word, struct table_slots *out);

/* A shard without slots: has it never had any? SEGLOG_ECORRUPT: its words were wiped. */
int table_blank(const struct seglog_table *t, struct table_shard *shard);

/* An entry as its slot names it. */
struct table_found {
    struct table_slot *slot;
    uint64_t ref;
    const uint8_t *entry; /* struct table_entry */
    uint64_t key_len;
    uint64_t len;
    uint32_t crc;
    uint32_t size_class;
};
/* Whether it leads to a block inside the file; what is in there is not looked at. */
bool table_follow(struct seglog_table *t, uint64_t ref, struct table_found *out);
/* The least class of blocks that holds so much; TABLE_CLASSES: none does. */
uint32_t table_class_for(uint64_t bytes);
bool table_is_key(const struct table_found *found, const void *key, size_t len);
/* Its checksum, by way of words that others may be changing. */
uint32_t table_crc_of(const struct seglog_table *t, const struct table_found *found, uint64_t hash);
/* The key's slot in these slots. 0; -ENOENT: and *vacant, if not NULL, where it may go; SEGLOG_ECORRUPT */
int table_probe(struct seglog_table *t, const struct table_slots *slots,
                const struct table_key *key, struct table_found *out, struct table_slot **vacant);
/* Do two whole entries have one key? */
bool table_is_one_key(struct seglog_table *t, uint64_t ref, uint64_t other);
/* Of a locked shard: is the entry of slot i what who looks for its key finds? Damage may have put it where
 * nobody looks, or behind another of that key. */
bool table_is_found_at(struct seglog_table *t, const struct table_slots *slots, uint64_t i);

/* ---- changing, the shard locked -------------------------------------------------------------- */

/* Put an entry into the shard: `there` is what table_probe() found, NULL for a new key. seq gets the
 * number that the change has in the log, if there is one; NULL: it is made from the log. */
int table_store(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                const struct table_found *there, const void *value, size_t len, uint64_t *seq);
int table_bury(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
               const struct table_found *there, uint64_t *seq);
void table_empty(struct seglog_table *t, struct table_shard *shard);
/* What the shard has for a key: as table_probe() */
int table_look(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
               struct table_found *out);
/* Room in the file, from a page on, zero. 0 and *offset */
int table_room(struct seglog_table *t, uint64_t size, uint64_t *offset);
/* New slots for at least `keys` keys, with those entries of the old ones that pass (NULL: all). */
typedef bool table_pass(struct seglog_table *t, const struct table_shard *shard, uint64_t hash,
                        uint64_t ref);
int table_rehash(struct seglog_table *t, struct table_shard *shard, uint64_t keys,
                 table_pass *pass);
/*
 * Call visit with each entry of a locked shard, once its checksum is looked at.
 * 0; SEGLOG_ECORRUPT: one fails it, or cannot be found by its key, or there are not as many as there
 * should be; else what `visit` said
 */
typedef int table_visit(void *context, const struct table_found *found);
int table_each(struct seglog_table *t, struct table_shard *shard, table_visit *visit,
               void *context);
/* Work the counts out from the slots. */
void table_recount(struct seglog_table *t, struct table_shard *shard);

/* ---- the log of changes ---------------------------------------------------------------------- */

/* Tags of its records. */
enum table_record {
    TABLE_PUT = 1,    /* u32 length of the key, key, value */
    TABLE_REMOVE = 2, /* key */
    TABLE_CLEAR = 3,
    TABLE_CHECKPOINT = 4, /* u64: a number from which on the table can be made */
};
#define TABLE_NO_SEQ UINT64_MAX

int table_log_open(const char *dir, bool create, bool force_fs, struct table_log **out);
void table_log_close(struct table_log *log);
const uint8_t *table_log_uuid(const struct table_log *log);
const char *table_log_dir(const struct table_log *log);
/* Number of the next record, claims included. */
int table_log_end(struct table_log *log, uint64_t *seq);

/* Append a change. Until table_log_done() the shard says that it may be behind the log. */
int table_log_put(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                  const void *value, size_t len, uint64_t *seq);
int table_log_remove(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                     uint64_t *seq);
int table_log_clear(struct seglog_table *t, uint64_t *seq); /* every shard locked */
void table_log_done(struct table_shard *shard);
/* After the locks are given back: wait, if the log is to be waited for. */
int table_log_settle(struct table_log *log, uint64_t seq);
int table_log_sync(struct table_log *log);

/* Alone with a table that has nothing in it: make it from the log. */
int table_replay(struct seglog_table *t);
/* The shard locked, whose last change may be in the log only. */
int table_mend(struct seglog_table *t, struct table_shard *shard);

#endif
