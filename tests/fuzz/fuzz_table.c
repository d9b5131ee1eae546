/*
 * A table with a log of its changes.
 *
 * First a log of records as the input says, most of them changes, some nonsense: the table that is made
 * from it is what a list of pairs becomes by the same records, or it is refused. Then calls, held against
 * the list, too. Then the table's file is spoiled, with checksums made right if the mode says so: nothing
 * may crash, hang, or give an undefined status, and made anew from its log the table is what the calls
 * said. (That no wrong value comes out before that is tests/hostile's to say.)
 *
 * Input: mode (bit 0 repair, bit 1 checkpoints of the spoiled table, too), number of records and the
 * records, number of calls and the calls, then edits to the end.
 */
#include <errno.h>
#include <seglog/log.h>
#include <seglog/table.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/state.h"
#include "fuzz/fuzz.h"
#include "fuzz/scratch.h"
#include "state/table.h"

#define RECORDS 24u
#define BYTES   48u /* of a record's payload, at most */
#define PAIRS   64u
#define CALLS   24u
#define EDITS   8u

/* Values of keys; one of which a change has failed may be anything that it was set to. */
struct pair {
    uint8_t key[BYTES], value[BYTES];
    size_t key_len, len;
    bool is_there, is_unsure;
};

struct list {
    struct pair pairs[PAIRS];
    unsigned count;
};

struct record {
    uint32_t tag;
    uint8_t bytes[BYTES];
    size_t len;
};

static void defined(int rc)
{
    must(rc >= 0 || strcmp(seglog_status_name(rc), "?") != 0);
}

/* ---- the list ------------------------------------------------------------------------------------ */

static struct pair *pair_of(struct list *list, const uint8_t *key, size_t len)
{
    struct pair *pair;

    for (unsigned i = 0; i < list->count; i++)
        if (list->pairs[i].key_len == len && memcmp(list->pairs[i].key, key, len) == 0)
            return &list->pairs[i];
    must(list->count < PAIRS && len <= BYTES);
    pair = &list->pairs[list->count++];
    *pair = (struct pair){.key_len = len};
    memcpy(pair->key, key, len);
    return pair;
}

static void pair_set(struct pair *pair, const uint8_t *value, size_t len)
{
    memcpy(pair->value, value, len);
    pair->len = len;
    pair->is_there = true;
    pair->is_unsure = false;
}

/* false: no such record is in the log of a table. */
static bool apply(struct list *list, const struct record *record)
{
    uint64_t key_len;

    switch (record->tag) {
    case TABLE_PUT:
        key_len = le32_get((const le32 *)(const void *)record->bytes);
        if (record->len < 4 || key_len > record->len - 4)
            return false;
        pair_set(pair_of(list, record->bytes + 4, key_len), record->bytes + 4 + key_len,
                 record->len - 4 - key_len);
        return true;
    case TABLE_REMOVE:
        pair_of(list, record->bytes, record->len)->is_there = false;
        return true;
    case TABLE_CLEAR:
        for (unsigned i = 0; i < list->count; i++)
            list->pairs[i].is_there = false;
        return true;
    default:
        return record->tag == TABLE_CHECKPOINT;
    }
}

/* What the records make: 0, SEGLOG_EMISMATCH, or 1: the table begins behind its end. */
static int apply_all(struct list *list, const struct record *records, unsigned count)
{
    const struct record *last = NULL;
    uint64_t begin = 0;

    for (unsigned i = 0; i < count; i++)
        last = records[i].tag == TABLE_CHECKPOINT ? &records[i] : last;
    if (last && last->len != sizeof(le64))
        return SEGLOG_EMISMATCH;
    if (last)
        begin = le64_get((const le64 *)(const void *)last->bytes);
    for (uint64_t i = begin; i < count; i++)
        if (!apply(list, &records[i]))
            return SEGLOG_EMISMATCH;
    return begin > count;
}

/* ---- the input ----------------------------------------------------------------------------------- */

/* A key of few, so that they meet. */
static size_t take_key(struct input *in, uint8_t *key)
{
    const uint64_t which = take_int(in, 1);

    memset(key, 'a' + (int)(which / 4 % 4), 4);
    return which % 4;
}

static struct record take_record(struct input *in)
{
    struct record record = {.tag = TABLE_PUT};
    const uint64_t what = take_int(in, 1) % 8;

    switch (what) {
    case 0: /* a checkpoint; its beginning is mostly there */
        record.tag = TABLE_CHECKPOINT;
        record.len = sizeof(le64);
        le64_put((le64 *)(void *)record.bytes, take_int(in, 1));
        break;
    case 1: /* anything */
        record.tag = (uint32_t)take_int(in, 1) % 6;
        record.len = take_int(in, 1) % (BYTES + 1);
        take(in, record.bytes, record.len);
        break;
    case 2:
        record.tag = TABLE_CLEAR;
        break;
    case 3:
        record.tag = TABLE_REMOVE;
        record.len = take_key(in, record.bytes);
        break;
    default:
        record.len = 4 + take_key(in, record.bytes + 4);
        le32_put((le32 *)(void *)record.bytes, (uint32_t)record.len - 4);
        for (uint64_t n = take_int(in, 1) % 36; n > 0; n--)
            record.bytes[record.len++] = (uint8_t)take_int(in, 1);
    }
    return record;
}

/* ---- the log and the table ----------------------------------------------------------------------- */

static void make_log(const struct record *records, unsigned count)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_SEALED};
    const struct seglog_log_options alone = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *appender;
    struct seglog_log *log;

    must(seglog_log_create(scratch_path("log"), &options) == 0);
    must(seglog_log_open(scratch_path("log"), &alone, &log) == 0);
    must(seglog_appender_open(log, NULL, &appender) == 0);
    for (unsigned i = 0; i < count; i++) {
        const struct seglog_record record = {
            .data = records[i].bytes, .len = records[i].len, .tag = records[i].tag};
        uint64_t seq;

        must(seglog_appender_append_record(appender, &record, &seq) == 0 && seq == i);
    }
    must(seglog_appender_close(appender) == 0);
    must(seglog_log_close(log) == 0);
}

static int table_open(uint32_t flags, struct seglog_table **out)
{
    char path[160];
    const struct seglog_table_options options = {
        .flags = flags, .shards = 2, .log = flags ? scratch_path("log") : NULL};

    snprintf(path, sizeof(path), "%s", scratch_path("table"));
    return seglog_table_open(path, &options, out);
}

/* Every pair is there, and nothing else; what is unsure may be either way. */
static void compare(struct seglog_table *table, const struct list *list)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    unsigned least = 0, most = 0, walked = 0;
    int rc;

    for (unsigned i = 0; i < list->count; i++) {
        const struct pair *pair = &list->pairs[i];
        uint8_t value[BYTES];
        size_t len = 0;

        least += pair->is_there && !pair->is_unsure;
        most += pair->is_there || pair->is_unsure;
        rc = seglog_table_get(table, pair->key, pair->key_len, value, sizeof(value), &len);
        must(rc == 0 || rc == -ENOENT);
        if (!pair->is_unsure)
            must((rc == 0) == pair->is_there &&
                 (rc < 0 || (len == pair->len && memcmp(value, pair->value, len) == 0)));
    }
    must(seglog_table_walk_open(table, &walk) == 0);
    while ((rc = seglog_table_walk_next(walk, &entry)) == 1)
        walked++;
    must(rc == 0 && walked >= least && walked <= most);
    seglog_table_walk_close(walk);
}

/* One call. It may fail only if the file is spoiled. */
static void call(struct seglog_table *table, struct list *list, struct input *in, bool is_spoiled,
                 bool checkpoints)
{
    const uint64_t what = take_int(in, 1) % 16;
    uint8_t key[BYTES], value[BYTES];
    const size_t key_len = take_key(in, key), len = take_int(in, 1) % BYTES;
    struct pair *pair = pair_of(list, key, key_len);
    int rc;

    take(in, value, len);
    if (what == 0) {
        rc = checkpoints ? seglog_table_checkpoint(table, NULL) : 0;
    } else if (what == 1) {
        rc = seglog_table_clear(table);
        for (unsigned i = 0; i < list->count; i++) {
            list->pairs[i].is_there = list->pairs[i].is_there && rc < 0;
            list->pairs[i].is_unsure = rc < 0;
        }
    } else if (what < 5) {
        rc = seglog_table_remove(table, key, key_len);
        must(is_spoiled || pair->is_unsure || rc == (pair->is_there ? 0 : -ENOENT));
        /* Not found in a spoiled table, it may still be in the log. */
        pair->is_unsure = rc < 0 && (is_spoiled || pair->is_unsure);
        pair->is_there = rc == 0 ? false : pair->is_there;
        rc = rc == -ENOENT ? 0 : rc;
    } else if (what < 8) {
        rc = seglog_table_add(table, key, key_len, value, len);
        must(is_spoiled || pair->is_unsure || rc == !pair->is_there);
        if (rc == 1)
            pair_set(pair, value, len);
        else
            pair->is_unsure = pair->is_unsure || rc < 0;
    } else {
        rc = seglog_table_put(table, key, key_len, value, len);
        if (rc == 0)
            pair_set(pair, value, len);
        else
            pair->is_unsure = true;
    }
    defined(rc);
    must(rc >= 0 || is_spoiled);
}

/* ---- spoiling ------------------------------------------------------------------------------------ */

struct image {
    uint8_t *bytes;
    size_t size;
};

static struct image image_take(void)
{
    struct image image;
    struct stat st;
    FILE *file = fopen(scratch_path("table"), "rb");

    must(file && fstat(fileno(file), &st) == 0);
    image.size = (size_t)st.st_size;
    image.bytes = calloc(1, image.size + BYTES);
    must(image.bytes && fread(image.bytes, 1, image.size, file) == image.size);
    fclose(file);
    return image;
}

static void edit(struct image *image, struct input *in)
{
    const uint64_t what = take_int(in, 1) % 6, n = take_int(in, 1);
    /* Header, words, shards, then slots and entries. */
    const size_t at = (take_int(in, 2) * 8 + n % 8) % (image->size ? image->size : 1);
    const size_t other = take_int(in, 2) * 8;

    switch (what) {
    case 0:
    case 1:
        take(in, image->bytes + at, n / 8 % 16 + 1);
        break;
    case 2:
        image->bytes[at] ^= (uint8_t)(1u << n / 8 % 8);
        break;
    case 3:
        memset(image->bytes + at, 0, at + 8 * n < image->size ? 8 * n : image->size - at);
        break;
    case 4:
        if (n == 0)
            image->size = at;
        break;
    default:
        if (at + 8 * n <= image->size && other + 8 * n <= image->size)
            memmove(image->bytes + at, image->bytes + other, 8 * n);
    }
}

/* Right checksums; but no lock of ours, for which we would wait, and no wish for a file of gigabytes. */
static void settle(struct image *image, bool repairs)
{
    struct state_header *page = (struct state_header *)(void *)image->bytes;

    if (image->size >= STATE_OFF_DATA + 2 * sizeof(struct table_shard)) {
        for (unsigned s = 0; s < 2; s++) {
            struct table_shard *shard =
                (struct table_shard *)(void *)(image->bytes + STATE_OFF_DATA) + s;

            if (atomic_load(&shard->lock) != 0)
                atomic_fetch_or(&shard->lock, 0x1ff);
        }
    }
    if (repairs && image->size >= sizeof(*page)) {
        memcpy(page->head.magic, MAGIC_TABLE, 8);
        le64_put(&page->size, le64_get(&page->size) % 1024);
        le32_put(&page->crc, crc_of(page, offsetof(struct state_header, crc)));
    }
}

static void look(const struct list *list)
{
    struct seglog_table *table;
    struct seglog_table_stat stat;
    const int rc = table_open(0, &table);

    defined(rc);
    if (rc < 0)
        return;
    for (unsigned i = 0; i < list->count; i++) {
        uint8_t value[BYTES];

        defined(seglog_table_get(table, list->pairs[i].key, list->pairs[i].key_len, value,
                                 sizeof(value), NULL));
    }
    defined(seglog_table_stat(table, &stat));
    seglog_table_close(table);
}

static void use(struct list *list, struct input *in, bool checkpoints)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    struct seglog_table *table;
    int rc = table_open(SEGLOG_TABLE_WRITE, &table);

    defined(rc);
    if (rc < 0)
        return;
    must(seglog_table_walk_open(table, &walk) == 0);
    for (unsigned calls = 0; (rc = seglog_table_walk_next(walk, &entry)) == 1; calls++)
        must(calls < 100000);
    defined(rc);
    seglog_table_walk_close(walk);
    for (unsigned i = 0; i < CALLS; i++)
        call(table, list, in, true, checkpoints);
    seglog_table_close(table);
}

static void spoil(struct list *list, struct input *in, uint64_t mode)
{
    const bool checkpoints = (mode & 2) != 0;
    struct image image = image_take();
    struct seglog_table *table;
    int rc;

    for (unsigned i = 0; i < EDITS && in->left > 0; i++)
        edit(&image, in);
    settle(&image, (mode & MODE_REPAIR) != 0);
    scratch_write("table", image.bytes, image.size);
    free(image.bytes);
    look(list);
    use(list, in, checkpoints);
    rc = table_open(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, &table);
    if (rc == SEGLOG_EMISMATCH) /* its header names another log, or another schema */
        return;
    must(rc == 0);
    if (!checkpoints) /* what was damaged and is under no checksum may have gone to the log */
        compare(table, list);
    seglog_table_close(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    static struct record records[RECORDS];
    static struct list list;
    struct seglog_table *table;
    unsigned count = (unsigned)take_int(&in, 1) % (RECORDS + 1);
    int rc, due;

    (void)scratch_empty();
    list.count = 0;
    for (unsigned i = 0; i < count; i++)
        records[i] = take_record(&in);
    due = apply_all(&list, records, count);
    make_log(records, count);
    rc = table_open(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE, &table);
    defined(rc);
    must(due > 0 || rc == due);
    if (rc < 0)
        return 0;
    if (due != 0) { /* the list does not know */
        list.count = 0;
        must(seglog_table_clear(table) == 0);
    }
    compare(table, &list);
    for (count = (unsigned)take_int(&in, 1) % CALLS; count > 0; count--)
        call(table, &list, &in, false, true);
    compare(table, &list);
    seglog_table_close(table);
    must(table_open(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, &table) == 0);
    compare(table, &list);
    seglog_table_close(table);
    if (in.left > 0)
        spoil(&list, &in, mode);
    return 0;
}
