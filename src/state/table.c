/*
 * Tables: making and opening them, and the check after a power cut.
 *
 * After one, pages of the file may be of different moments: slots may lead to blocks that hold something
 * else by now, free lists to entries. So whoever comes first in a boot, alone, checks every entry by its
 * checksum, puts the good ones into new slots, and forgets which blocks were free.
 */
#include "state/table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/words.h"
#include "state/place.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#define SHARDS_DEFAULT 64u
#define KEYS_MAX       (UINT64_C(1) << 36)
#define NAP_NS         UINT64_C(1000000)

/* ---- making ---------------------------------------------------------------------------------- */

static int check_options(const struct seglog_table_options *o)
{
    const uint32_t all = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE | SEGLOG_TABLE_NO_GUARD |
                         SEGLOG_TABLE_FORCE_FS | SEGLOG_TABLE_REBUILD;

    if ((o->flags & ~all) || o->reserved != 0 || o->file_mode > 0777 || o->keys > KEYS_MAX)
        return -EINVAL;
    if (o->shards != 0 && (!is_power_of_two(o->shards) || o->shards > TABLE_SHARDS_MAX))
        return -EINVAL;
    if ((o->flags & SEGLOG_TABLE_REBUILD) && !o->log)
        return -EINVAL;
    return ((o->flags & SEGLOG_TABLE_CREATE) || o->log) && !(o->flags & SEGLOG_TABLE_WRITE)
               ? -EINVAL
               : 0;
}

static uint64_t data_offset(uint32_t shards)
{
    return align_up(STATE_OFF_DATA + shards * sizeof(struct table_shard), PAGE_BYTES);
}

static int fill_shards(const struct state_facts *facts, int fd)
{
    const uint32_t seed = state_seed(facts->generation);
    struct table_shard *shards = calloc(facts->parts, sizeof(*shards));
    int rc;

    if (!shards)
        return -ENOMEM;
    for (uint32_t i = 0; i < facts->parts; i++)
        shards[i].mark = table_mark(seed, i);
    rc = file_pwrite(fd, shards, facts->parts * sizeof(*shards), STATE_OFF_DATA);
    free(shards);
    return rc;
}

static int fill(void *context, int fd)
{
    const struct state_facts *facts = context;
    const uint64_t end = data_offset(facts->parts);
    struct state_header page;
    int rc = fill_shards(facts, fd);

    state_header_encode(&page, MAGIC_TABLE, facts);
    if (rc == 0)
        rc = file_pwrite(fd, &page, sizeof(page), 0);
    return rc < 0 ? rc
                  : file_pwrite(fd, &end, sizeof(end),
                                STATE_OFF_HOT + offsetof(struct table_hot, end));
}

static int make(const struct place *place, const struct seglog_table_options *o,
                const struct table_log *log)
{
    struct state_facts facts = {
        .schema = o->schema,
        .size = o->keys,
        .created_ns = clock_wall_ns(),
        .parts = o->shards ? o->shards : SHARDS_DEFAULT,
        .is_logged = log != NULL,
        .is_marked = true,
    };
    int rc = random_bytes(facts.uuid, sizeof(facts.uuid));

    if (rc == 0)
        rc = random_bytes(&facts.generation, sizeof(facts.generation));
    if (rc < 0)
        return rc;
    facts.generation |= 1;
    if (log)
        memcpy(facts.log, table_log_uuid(log), sizeof(facts.log));
    return place_create(place, o->file_mode ? o->file_mode : 0640, data_offset(facts.parts), fill,
                        &facts);
}

/* ---- the check ------------------------------------------------------------------------------- */

/* Slots of one moment may lie where another shard's were at another. */
static bool entry_is_good(struct seglog_table *t, const struct table_shard *shard, uint64_t hash,
                          uint64_t ref)
{
    struct table_found found;

    return shard == table_shard_of(t, hash) && table_follow(t, ref, &found) &&
           table_crc_of(t, &found, hash) == found.crc;
}

static int check_shard(struct seglog_table *t, struct table_shard *shard)
{
    struct table_slots slots;
    uint64_t keys;
    int rc;

    atomic_store(&shard->lock, 0); /* of a boot that is over */
    memset(shard->free, 0, sizeof(shard->free));
    shard->fresh = shard->fresh_end = shard->spare = 0;
    if (atomic_load(&shard->slots) == 0) {
        /* Its first slots may be lost, but not the mark, which was synced before the file had a name. */
        t->dropped += atomic_load(&shard->keys);
        atomic_store(&shard->keys, 0);
        atomic_store(&shard->used, 0);
        return table_blank(t, shard);
    }
    if (!table_slots(t, atomic_load(&shard->slots), &slots))
        return SEGLOG_ECORRUPT; /* it was synced before it was named: that is damage */
    table_recount(t, shard);
    keys = atomic_load(&shard->keys);
    rc = table_rehash(t, shard, keys > 8 ? keys : 8, entry_is_good);
    if (rc < 0)
        return rc;
    t->dropped += keys - atomic_load(&shard->keys);
    shard->spare = 0;
    return 0;
}

static bool is_of_this_boot(const struct seglog_table *t, const struct boot_facts *boot)
{
    struct boot_mark mark;

    words_load(&mark, &t->hot->boot, sizeof(mark));
    return boot_mark_relation(&mark, boot) == BOOT_SAME;
}

/* As it was made, and never changed. */
static bool is_pristine(const struct seglog_table *t, uint64_t file_size)
{
    bool pristine =
        file_size == data_offset(t->facts.parts) && atomic_load(&t->hot->end) == file_size;

    for (uint32_t s = 0; s < t->facts.parts; s++)
        pristine = pristine && atomic_load(&t->shards[s].slots) == 0 &&
                   table_blank(t, &t->shards[s]) == 0 && t->shards[s].fresh == 0;
    return pristine;
}

/* Alone with the table. Killed anywhere in here, the next one does it again. -ESTALE: it has a log, and
 * what it is made from that must begin with an empty file. */
static int check_entries(struct seglog_table *t, uint64_t file_size, const struct boot_facts *boot)
{
    struct boot_mark mark;
    int rc = 0;

    if (is_of_this_boot(t, boot))
        return 0;
    if (t->log) {
        rc = is_pristine(t, file_size) ? table_replay(t) : -ESTALE;
    } else {
        atomic_store(&t->hot->end, align_up(file_size, PAGE_BYTES));
        for (uint32_t i = 0; i < t->facts.parts && rc == 0; i++)
            rc = check_shard(t, &t->shards[i]);
    }
    if (rc < 0)
        return rc;
    boot_mark_encode(&mark, boot);
    words_store(&t->hot->boot, &mark, sizeof(mark));
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int read_header(struct seglog_table *t, const struct seglog_table_options *o, uint64_t *size,
                       struct boot_facts *boot)
{
    struct state_header page;
    struct file_facts file;
    int rc = file_facts(t->fd, &file);

    if (rc == 0)
        rc = file_pread(t->fd, &page, sizeof(page), 0);
    if (rc == 0)
        rc = state_header_decode(&page, MAGIC_TABLE, &t->facts);
    if (rc < 0)
        return rc == -ENODATA ? SEGLOG_ENOTLOG : rc;
    if (!is_power_of_two(t->facts.parts) || t->facts.parts > TABLE_SHARDS_MAX ||
        t->facts.size > KEYS_MAX)
        return SEGLOG_ECORRUPT;
    if (file.size < data_offset(t->facts.parts))
        return SEGLOG_ETRUNCATED;
    if (o->schema != 0 && o->schema != t->facts.schema)
        return SEGLOG_EMISMATCH;
    if (t->is_writable && t->facts.is_logged != (t->log != NULL))
        return SEGLOG_EMISMATCH;
    if (t->log && memcmp(t->facts.log, table_log_uuid(t->log), sizeof(t->facts.log)) != 0)
        return SEGLOG_EMISMATCH;
    t->seed = state_seed(t->facts.generation);
    *size = file.size;
    *boot = (struct boot_facts){.dev = file.dev, .ino = file.ino};
    return boot_id_find(boot->boot_id, &boot->known);
}

/* Beside others, but whoever was alone has not done what had to be done: it failed, or was killed. */
static bool is_unchecked(const struct seglog_table *t, const struct boot_facts *boot)
{
    return boot->known && !is_of_this_boot(t, boot);
}

static int attach(struct seglog_table *t, uint64_t size, const struct boot_facts *boot)
{
    struct file_facts file;
    bool alone;
    int rc = table_attach(t, &alone);

    while (rc == 0 && !alone && !t->log && is_unchecked(t, boot)) {
        owner_close(&t->owner);
        t->owner = OWNER_NONE;
        clock_sleep_ns(NAP_NS);
        rc = table_attach(t, &alone);
    }
    if (rc == 0 && alone)
        rc = check_entries(t, size, boot);
    if (rc == 0 && t->log) {
        /* Or somebody has made it anew meanwhile, in another file. */
        rc = file_facts(t->fd, &file);
        if (rc == 0 && (file.names == 0 || (!alone && is_unchecked(t, boot))))
            rc = -ESTALE;
    }
    rc = table_outcome(t, rc);
    return rc == 0 ? table_share(t) : rc;
}

static void table_release(struct seglog_table *t)
{
    owner_close(&t->owner);
    region_close(&t->region);
    file_close(t->fd);
    fork_guard_free(t->guard);
    free(t);
}

/* Take fd over; it is closed on failure. */
static int table_make(int fd, const struct seglog_table_options *o, bool is_volatile,
                      struct table_log *log, struct seglog_table **out)
{
    struct region_options region = {
        .writable = (o->flags & SEGLOG_TABLE_WRITE) != 0,
        .guarded = !(o->flags & SEGLOG_TABLE_NO_GUARD),
    };
    struct seglog_table *t = calloc(1, sizeof(*t));
    struct boot_facts boot;
    int rc;

    if (!t) {
        file_close(fd);
        return -ENOMEM;
    }
    t->fd = fd;
    t->is_writable = region.writable;
    t->is_volatile = is_volatile;
    t->is_synced = !is_volatile && !log;
    t->log = log;
    t->owner = OWNER_NONE;
    t->guard = fork_guard_new();
    rc = t->guard ? read_header(t, o, &region.size, &boot) : -ENOMEM;
    if (rc == 0)
        rc = region_open(&t->region, fd, &region);
    if (rc < 0) {
        file_close(fd);
        fork_guard_free(t->guard);
        free(t);
        return rc;
    }
    t->hot = (struct table_hot *)region_at(&t->region, STATE_OFF_HOT, PAGE_BYTES);
    t->shards = (struct table_shard *)region_at(&t->region, STATE_OFF_DATA, 0);
    if (t->is_writable)
        rc = attach(t, region.size, &boot);
    else if (t->facts.is_logged && is_unchecked(t, &boot))
        rc = -ESTALE;
    if (rc < 0)
        table_release(t);
    else
        *out = t;
    return rc;
}

/* Find the file or make it. */
static int find(const struct place *place, const struct seglog_table_options *o,
                const struct table_log *log)
{
    int fd = place_find(place, o->flags & SEGLOG_TABLE_WRITE);

    if (fd == -ENOENT && (o->flags & SEGLOG_TABLE_CREATE)) {
        fd = make(place, o, log);
        if (fd == -EEXIST)
            fd = place_find(place, true); /* others were faster */
    }
    return fd;
}

/* What the next file is to be, from the one before, if that can be read. SEGLOG_EMISMATCH: it has nothing
 * to do with this log. */
static int inherit(int fd, const struct table_log *log, struct seglog_table_options *o)
{
    struct state_header page;
    struct state_facts facts;
    struct file_facts file;

    if (file_facts(fd, &file) == 0 && o->file_mode == 0)
        o->file_mode = file.mode & 0777;
    if (file_pread(fd, &page, sizeof(page), 0) < 0 ||
        state_header_decode(&page, MAGIC_TABLE, &facts) < 0 || !is_power_of_two(facts.parts) ||
        facts.parts > TABLE_SHARDS_MAX || facts.size > KEYS_MAX)
        return 0;
    if (!facts.is_logged || memcmp(facts.log, table_log_uuid(log), sizeof(facts.log)) != 0)
        return SEGLOG_EMISMATCH;
    o->shards = o->shards ? o->shards : facts.parts;
    o->keys = o->keys ? o->keys : facts.size;
    o->schema = o->schema ? o->schema : facts.schema;
    return 0;
}

/* Take the name from a file that its log has outlived, and that nobody writes. -EBUSY: somebody does */
static int discard(const struct place *place, const struct table_log *log,
                   struct seglog_table_options *o)
{
    struct owner owner = OWNER_NONE;
    struct file_facts ours, named;
    int fd = place_find(place, true), rc;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    rc = inherit(fd, log, o);
    if (rc == 0)
        rc = owner_open_again(fd, true, &owner);
    if (rc == 0)
        rc = table_lock_alone(&owner);
    if (rc == 0)
        rc = file_facts(fd, &ours);
    if (rc == 0)
        rc = file_facts_named(place->dirfd, place->name, &named);
    if (rc == 0 && ours.ino == named.ino && ours.dev == named.dev)
        rc = file_unlink(place->dirfd, place->name);
    owner_close(&owner);
    file_close(fd);
    return rc == -EAGAIN ? -EBUSY : rc == -ENOENT ? 0 : rc;
}

static int open_logged(const struct place *place, struct seglog_table_options *o,
                       struct seglog_table **out)
{
    struct table_log *log = NULL;
    int fd, rc = table_log_open(o->log, o->flags & SEGLOG_TABLE_CREATE,
                                o->flags & SEGLOG_TABLE_FORCE_FS, &log);

    if (rc == 0 && (o->flags & SEGLOG_TABLE_REBUILD))
        rc = discard(place, log, o);
    if (rc < 0) {
        table_log_close(log);
        return rc;
    }
    o->flags |= SEGLOG_TABLE_CREATE; /* the log is there, and that is the table */
    do {
        fd = find(place, o, log);
        rc = fd < 0 ? fd : table_make(fd, o, place->is_volatile, log, out);
        if (rc == -ESTALE) {
            rc = discard(place, log, o);
            rc = rc == 0 || rc == -EBUSY ? -ESTALE : rc; /* they are at it */
        }
    } while (rc == -ESTALE);
    if (rc < 0)
        table_log_close(log);
    return rc;
}

int seglog_table_open(const char *path, const struct seglog_table_options *options,
                      struct seglog_table **out)
{
    static const struct seglog_table_options plain;
    struct seglog_table_options o = options ? *options : plain;
    struct place place;
    int fd, rc = check_options(&o);

    if (rc == 0)
        rc = place_open(path, o.flags & SEGLOG_TABLE_FORCE_FS, &place);
    if (rc < 0)
        return rc;
    if (o.log) {
        rc = open_logged(&place, &o, out);
    } else {
        fd = find(&place, &o, NULL);
        rc = fd < 0 ? fd : table_make(fd, &o, place.is_volatile, NULL, out);
    }
    place_close(&place);
    return rc;
}

void seglog_table_close(struct seglog_table *table)
{
    if (!table)
        return;
    table_log_close(table->log);
    table_release(table);
}

/* ---- the whole ------------------------------------------------------------------------------- */

int table_outcome(struct seglog_table *t, int rc)
{
    struct file_facts facts;

    if (!region_is_hit(&t->region))
        return rc;
    if (file_facts(t->fd, &facts) == 0 && facts.size < atomic_load(&t->region.size))
        return SEGLOG_ETRUNCATED;
    return -EIO;
}

uint8_t *table_at(struct seglog_table *t, uint64_t offset, uint64_t len)
{
    uint8_t *at = region_at(&t->region, offset, len);
    struct file_facts facts;

    if (at || offset > INT64_MAX || len > INT64_MAX || file_facts(t->fd, &facts) < 0)
        return at;
    if (offset + len > facts.size || region_extend(&t->region, facts.size) < 0)
        return NULL;
    return region_at(&t->region, offset, len);
}

int seglog_table_flush(struct seglog_table *table)
{
    int rc;

    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    if (!table->is_writable)
        return -EPERM;
    if (atomic_load(&table->failed) != 0)
        return SEGLOG_EPOISONED;
    if (table->log)
        return table_outcome(table, table_log_sync(table->log));
    rc = table_outcome(table, file_datasync(table->fd));
    if (rc < 0)
        atomic_store(&table->failed, rc);
    return rc == 0 && table->is_volatile ? SEGLOG_EVOLATILE : rc;
}

int seglog_table_stat(struct seglog_table *table, struct seglog_table_stat *out)
{
    struct seglog_table_stat stat = {.shards = table->facts.parts,
                                     .dropped = table->dropped,
                                     .is_volatile = table->is_volatile,
                                     .replayed = table->replayed,
                                     .is_logged = table->facts.is_logged};
    struct file_facts facts;
    int rc;

    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    rc = file_facts(table->fd, &facts);
    if (rc < 0)
        return rc;
    stat.file_size = facts.size;
    for (uint32_t s = 0; s < table->facts.parts; s++) {
        struct table_shard *shard = &table->shards[s];
        struct table_slots slots;

        if (!table_slots(table, atomic_load(&shard->slots), &slots)) {
            if (atomic_load(&shard->slots) == 0 && table_blank(table, shard) < 0)
                return table_outcome(table, SEGLOG_ECORRUPT);
            continue;
        }
        stat.slots += slots.mask + 1;
        for (uint64_t i = 0; i <= slots.mask; i++) {
            const uint64_t ref = atomic_load_explicit(&slots.at[i].ref, memory_order_acquire);
            const uint64_t hash = atomic_load_explicit(&slots.at[i].hash, memory_order_relaxed);
            const uint64_t probes = ((i - hash) & slots.mask) + 1;

            if (!table_ref_is_live(ref))
                continue;
            stat.keys++;
            stat.probes_sum += probes;
            if (probes > stat.probes_max)
                stat.probes_max = probes;
        }
    }
    *out = stat;
    return table_outcome(table, 0);
}
