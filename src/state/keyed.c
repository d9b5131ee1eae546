/*
 * The newest record of each key: a table from keys to numbers, and how far it has come.
 *
 * How far is an entry of the table itself, under the empty key, which no record has. It is written after
 * what it speaks of, so whoever is killed leaves it too low, and records are taken in once more: they
 * are taken in order, so the end is the same. It also says for what it holds: this log, this rule, this
 * boot. In another boot pages of the file may be of different moments, and no checksum tells an old
 * number from a new one; then, as whenever the place is not there any more, the table is made anew.
 */
#include <seglog/keyed.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <seglog/log.h>

#include "state/table.h"
#include "sys/clock.h"
#include "sys/file.h"

#define SCHEMA     UINT64_C(0x64657965676c6773) /* "sgl keyed": numbers by key, and the place below */
#define BYTE_KEYED ((UINT64_C(1) << 62) + 8)    /* whoever updates has it locked */
#define NAP_NS     UINT64_C(1000000)
#define NAPS       10000u
#define STORE_EACH 4096u

/* The entry of the empty key. */
struct place_entry {
    struct boot_mark boot;
    uint8_t log[16];
    uint64_t rule, offset, len;
    uint64_t next_seq;
    uint64_t epoch;
};

struct seglog_keyed {
    struct seglog_keyed_options o;
    struct seglog_table *table;
    struct seglog_reader *reader; /* for seglog_keyed_get() and updates alike */
    struct boot_facts boot;
    uint8_t log[16];
    uint64_t remade, applied, skipped;
};

/* ---- keys ------------------------------------------------------------------------------------ */

static int key_of(const struct seglog_keyed *k, const struct seglog_view *view, const void **key,
                  size_t *len)
{
    int verdict = SEGLOG_KEYED_SET;

    if (k->o.key) {
        verdict = k->o.key(k->o.context, view, key, len);
    } else if (k->o.len == 0) {
        *key = &view->tag;
        *len = sizeof(view->tag);
    } else if (k->o.offset > view->len || k->o.len > view->len - k->o.offset) {
        verdict = SEGLOG_KEYED_NONE;
    } else {
        *key = (const uint8_t *)view->data + k->o.offset;
        *len = (size_t)k->o.len;
    }
    if (verdict > SEGLOG_KEYED_REMOVE || (verdict > SEGLOG_KEYED_NONE && *len == 0))
        return -EINVAL;
    return verdict;
}

static int apply(struct seglog_keyed *k, const struct seglog_view *view)
{
    const void *key = NULL;
    size_t len = 0;
    int rc = key_of(k, view, &key, &len);

    if (rc == SEGLOG_KEYED_SET)
        rc = seglog_table_put(k->table, key, len, &view->seq, sizeof(view->seq));
    else if (rc == SEGLOG_KEYED_REMOVE)
        rc = seglog_table_remove(k->table, key, len);
    k->applied++;
    return rc == -ENOENT ? 0 : rc;
}

/* ---- how far --------------------------------------------------------------------------------- */

static struct place_entry place_here(const struct seglog_keyed *k)
{
    struct place_entry place = {.rule = k->o.rule, .offset = k->o.offset, .len = k->o.len};

    boot_mark_encode(&place.boot, &k->boot);
    memcpy(place.log, k->log, sizeof(place.log));
    return place;
}

static int place_store(struct seglog_keyed *k)
{
    struct place_entry place = place_here(k);
    int rc = seglog_reader_position(k->reader, &place.next_seq, &place.epoch);

    return rc < 0 ? rc : seglog_table_put(k->table, NULL, 0, &place, sizeof(place));
}

/* false: there is none, or it is not for this log, rule and boot. */
static bool place_load(struct seglog_keyed *k, struct place_entry *out)
{
    const struct place_entry here = place_here(k);
    size_t len;

    return k->boot.known && seglog_table_get(k->table, NULL, 0, out, sizeof(*out), &len) == 0 &&
           len == sizeof(*out) && boot_mark_relation(&out->boot, &k->boot) == BOOT_SAME &&
           memcmp(out->log, here.log, sizeof(here.log)) == 0 && out->rule == here.rule &&
           out->offset == here.offset && out->len == here.len;
}

/* Stand where the table has come to, or empty it and stand at the beginning. */
static int resume(struct seglog_keyed *k)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct place_entry entry;
    int rc = -ESTALE;

    if (place_load(k, &entry)) {
        const struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ,
                                           .check_epoch = 1,
                                           .value = entry.next_seq,
                                           .epoch = entry.epoch};

        rc = seglog_reader_seek(k->reader, &place);
        if (rc != SEGLOG_ETRIMMED && rc != SEGLOG_EREWOUND && rc != -ERANGE)
            return rc;
    }
    k->remade++;
    rc = seglog_table_remove(k->table, NULL, 0); /* first, for clearing takes its time */
    if (rc == 0 || rc == -ENOENT)
        rc = seglog_table_clear(k->table);
    return rc < 0 ? rc : seglog_reader_seek(k->reader, &first);
}

/* ---- updating -------------------------------------------------------------------------------- */

static int take_in(struct seglog_keyed *k)
{
    struct seglog_view view;
    uint64_t end, at, count = 0;
    int rc = seglog_reader_bounds(k->reader, NULL, &end);

    while (rc == 0) {
        rc = seglog_reader_next(k->reader, &view);
        if (rc == 0) {
            rc = apply(k, &view);
        } else if ((rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) &&
                   (k->o.flags & SEGLOG_KEYED_SKIP_DAMAGE)) {
            k->skipped++;
            rc = 0;
        }
        if (rc < 0)
            break;
        if (++count % STORE_EACH == 0) {
            rc = place_store(k);
            seglog_reader_release(k->reader);
        }
        if (rc == 0)
            rc = seglog_reader_position(k->reader, &at, NULL);
        if (rc == 0 && at >= end)
            break;
    }
    if (rc == -EAGAIN)
        rc = 0; /* what is left is being appended */
    return rc == 0 ? place_store(k) : rc;
}

int seglog_keyed_update(struct seglog_keyed *keyed)
{
    struct owner owner = OWNER_NONE;
    int rc;

    if (table_is_forked(keyed->table))
        return SEGLOG_EFORKED;
    rc = owner_open_again(keyed->table->fd, true, &owner);
    if (rc < 0)
        return rc;
    for (unsigned naps = 0; (rc = owner_lock(&owner, BYTE_KEYED, true)) == -EAGAIN; naps++) {
        if (naps == NAPS)
            break;
        clock_sleep_ns(NAP_NS);
    }
    if (rc == 0)
        rc = resume(keyed);
    if (rc == 0)
        rc = take_in(keyed);
    if (rc == SEGLOG_ETRIMMED ||
        rc == SEGLOG_EREWOUND) { /* just now: once more, from the beginning */
        rc = resume(keyed);
        if (rc == 0)
            rc = take_in(keyed);
    }
    owner_close(&owner);
    return rc == -EAGAIN ? -EBUSY : rc;
}

/* ---- looking --------------------------------------------------------------------------------- */

int seglog_keyed_seq(struct seglog_keyed *keyed, const void *key, size_t len, uint64_t *seq)
{
    uint64_t found;
    size_t got;
    int rc;

    if (len == 0)
        return table_is_forked(keyed->table) ? SEGLOG_EFORKED : -ENOENT;
    rc = seglog_table_get(keyed->table, key, len, &found, sizeof(found), &got);
    if (rc == 0 && got != sizeof(found))
        rc = SEGLOG_ECORRUPT;
    if (rc == 0)
        *seq = found;
    return rc == -EMSGSIZE ? SEGLOG_ECORRUPT : rc;
}

int seglog_keyed_get(struct seglog_keyed *keyed, const void *key, size_t len,
                     struct seglog_view *out)
{
    struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ};
    const void *has = NULL;
    size_t has_len = 0;
    int rc = seglog_keyed_seq(keyed, key, len, &place.value);

    if (rc < 0)
        return rc;
    seglog_reader_release(keyed->reader);
    rc = seglog_reader_seek(keyed->reader, &place);
    if (rc == 0)
        rc = seglog_reader_next(keyed->reader, out);
    if (rc < 0)
        return rc == -ERANGE || rc == -EAGAIN ? -ESTALE : rc;
    rc = key_of(keyed, out, &has, &has_len);
    if (rc < 0)
        return rc;
    return rc == SEGLOG_KEYED_SET && out->seq == place.value && has_len == len &&
                   memcmp(has, key, len) == 0
               ? 0
               : -ESTALE;
}

int seglog_keyed_is_newest(struct seglog_keyed *keyed, const struct seglog_view *record)
{
    struct place_entry place;
    const void *key = NULL;
    size_t len = 0;
    uint64_t seq;
    int rc = key_of(keyed, record, &key, &len);

    if (rc == SEGLOG_KEYED_NONE)
        return 1;
    if (rc < 0)
        return rc;
    rc = rc == SEGLOG_KEYED_REMOVE ? -ENOENT : seglog_keyed_seq(keyed, key, len, &seq);
    if (rc == -ENOENT) /* gone; or the table has not seen it yet */
        return place_load(keyed, &place) && record->seq >= place.next_seq;
    return rc < 0 ? rc : seq <= record->seq;
}

int seglog_keyed_stat(struct seglog_keyed *keyed, struct seglog_keyed_stat *out)
{
    struct seglog_table_stat stat;
    struct place_entry place;
    int rc = seglog_table_stat(keyed->table, &stat);

    if (rc < 0)
        return rc;
    *out = (struct seglog_keyed_stat){.keys = stat.keys,
                                      .remade = keyed->remade,
                                      .applied = keyed->applied,
                                      .skipped = keyed->skipped};
    if (place_load(keyed, &place))
        out->next_seq = place.next_seq;
    if (seglog_table_get(keyed->table, NULL, 0, NULL, 0, NULL) != -ENOENT)
        out->keys--; /* the place */
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int boot_read(struct seglog_keyed *k)
{
    struct file_facts file;
    const int rc = file_facts(k->table->fd, &file);

    if (rc < 0)
        return rc;
    k->boot = (struct boot_facts){.dev = file.dev, .ino = file.ino};
    return boot_id_find(k->boot.boot_id, &k->boot.known);
}

int seglog_keyed_open(const char *dir, const char *path, const struct seglog_keyed_options *options,
                      struct seglog_keyed **out)
{
    const uint32_t all = SEGLOG_KEYED_SKIP_DAMAGE | SEGLOG_KEYED_FORCE_FS;
    struct seglog_table_options table = {.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE,
                                         .schema = SCHEMA};
    struct seglog_reader_options reader = {0};
    struct seglog_log_settings settings;
    struct seglog_keyed *k;
    int rc;

    if (options && (options->flags & ~all))
        return -EINVAL;
    k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    if (options)
        k->o = *options;
    table.file_mode = k->o.file_mode;
    if (k->o.flags & SEGLOG_KEYED_FORCE_FS) {
        table.flags |= SEGLOG_TABLE_FORCE_FS;
        reader.flags = SEGLOG_READER_FORCE_FS;
    }
    rc = seglog_settings_read(dir, &settings);
    if (rc == 0)
        rc = seglog_reader_open(dir, &reader, &k->reader);
    if (rc == 0)
        rc = seglog_table_open(path, &table, &k->table);
    if (rc == 0) {
        memcpy(k->log, settings.uuid, sizeof(k->log));
        rc = boot_read(k);
    }
    if (rc < 0)
        seglog_keyed_close(k);
    else
        *out = k;
    return rc;
}

void seglog_keyed_close(struct seglog_keyed *keyed)
{
    if (!keyed)
        return;
    seglog_reader_close(keyed->reader);
    seglog_table_close(keyed->table);
    free(keyed);
}
