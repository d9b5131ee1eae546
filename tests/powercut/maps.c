/*
 * The mapped file and its copy: see maps.h. Words lie in pairs, so that some share a sector and some a
 * page, and the file's end lies within a page.
 */
#include "powercut/maps.h"

#include <seglog/map.h>

#include <errno.h>

#define PATH_BYTES 600
#define FIRST_SIZE 5000u
#define GROW_STEP  3000u

static void path_of(const char *dir, const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", dir, name);
}

static uint64_t place_of(uint64_t word)
{
    return word / 2 * 1648 + word % 2 * 8;
}

/* ---- at work -------------------------------------------------------------------------------- */

struct mapping {
    struct bed *b;
    struct map_known *known;
    struct seglog_map *map;
    uint32_t policy;
    bool wrote[MAP_WORDS]; /* by this handle, not flushed */
};

/* The words that lie in these bytes are durable. */
static void flushed(struct mapping *m, uint64_t from, uint64_t to)
{
    for (uint64_t word = 0; word < MAP_WORDS; word++) {
        struct kept *kept = &m->known->words[word];

        if (place_of(word) < from || place_of(word) + 8 > to)
            continue;
        kept_is(kept, kept_now(kept));
        m->wrote[word] = false;
    }
}

static void flush(struct mapping *m)
{
    const uint64_t from = place_of(dice_below(&m->b->dice, MAP_WORDS));
    const uint64_t size = seglog_map_size(m->map);

    if (dice_below(&m->b->dice, 2) == 0 || from >= size) {
        ORACLE_OK(m->b->o, seglog_map_flush(m->map));
        flushed(m, 0, UINT64_MAX);
    } else {
        const uint64_t len = 1 + dice_below(&m->b->dice, size - from);

        ORACLE_OK(m->b->o, seglog_map_flush_range(m->map, from, len));
        flushed(m, from, from + len);
    }
}

/* What the policy has flushed by now. */
static void follow_policy(struct mapping *m)
{
    struct seglog_map_stat stat;

    ORACLE_OK(m->b->o, seglog_map_stat(m->map, &stat));
    if (stat.pending_bytes > 0)
        return;
    for (uint64_t word = 0; word < MAP_WORDS; word++)
        if (m->wrote[word])
            flushed(m, place_of(word), place_of(word) + 8);
}

static void store(struct mapping *m)
{
    const uint64_t word = dice_below(&m->b->dice, MAP_WORDS), at = place_of(word);
    const uint64_t value = ++m->b->o->last_mark;
    struct kept *kept = &m->known->words[word];
    void *place;

    if (kept_is_full(kept)) {
        ORACLE_OK(m->b->o, seglog_map_flush(m->map));
        flushed(m, 0, UINT64_MAX);
    }
    if (at + 8 > seglog_map_size(m->map))
        ORACLE_OK(m->b->o, seglog_map_grow(m->map, at + 8));
    kept_may(kept, value);
    m->wrote[word] = true;
    if (dice_below(&m->b->dice, 2)) {
        ORACLE_OK(m->b->o, seglog_map_write(m->map, at, &value, 8));
    } else {
        ORACLE_OK(m->b->o, seglog_map_edit_begin(m->map, at, 8, &place));
        memcpy(place, &value, 8);
        ORACLE_OK(m->b->o, seglog_map_edit_end(m->map, at, 8));
    }
    follow_policy(m);
    ORACLE_MUST(m->b->o, m->policy != SEGLOG_FLUSH_EVERY_WRITE || !m->wrote[word],
                "a write that was to be durable is not");
}

/* There is a copy, whole and durable, or none. */
static void copy(struct mapping *m)
{
    struct kept *kept = &m->known->copy;
    char from[PATH_BYTES], to[PATH_BYTES];

    path_of(m->b->dir, "map", from);
    path_of(m->b->dir, "map-copy", to);
    if (kept_now(kept) != 0) {
        kept_may(kept, 0);
        ORACLE_OK(m->b->o, seglog_map_delete(to));
        kept_is(kept, 0);
        return;
    }
    for (uint64_t word = 0; word < MAP_WORDS; word++)
        m->known->copied[word] = kept_now(&m->known->words[word]);
    kept_may(kept, 1);
    ORACLE_OK(m->b->o, seglog_map_copy(from, to));
    kept_is(kept, 1);
}

void maps_work(struct bed *b)
{
    const struct seglog_map_options options = {
        .mode = SEGLOG_MAP_WRITE,
        .flags = SEGLOG_MAP_CREATE,
        .size = FIRST_SIZE,
        .grow_step = GROW_STEP,
        .flush = (uint32_t)dice_below(&b->dice, SEGLOG_FLUSH_EVERY_BYTES + 1),
        .flush_amount = 40};
    struct mapping m = {.b = b, .known = &b->o->map, .policy = options.flush};
    char path[PATH_BYTES];

    path_of(b->dir, "map", path);
    ORACLE_OK(b->o, seglog_map_open(path, &options, &m.map));
    for (uint64_t n = 1 + dice_below(&b->dice, 24); n > 0; n--) {
        const uint64_t what = dice_below(&b->dice, 24);

        if (what == 0)
            copy(&m);
        else if (what < 3)
            flush(&m);
        else if (what == 3 && seglog_map_size(m.map) < 2 * place_of(MAP_WORDS))
            ORACLE_OK(b->o, seglog_map_grow(m.map, seglog_map_size(m.map) + 1));
        else
            store(&m);
    }
    ORACLE_OK(b->o, seglog_map_close(m.map));
    for (uint64_t word = 0; word < MAP_WORDS && m.policy != SEGLOG_FLUSH_MANUAL; word++)
        if (m.wrote[word])
            flushed(&m, place_of(word), place_of(word) + 8);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

/* All words of a file; false: there is none. */
static bool words_read(struct oracle *o, const char *dir, const char *name,
                       uint64_t words[MAP_WORDS], const char *when)
{
    struct seglog_map *map;
    char path[PATH_BYTES];
    int rc;

    memset(words, 0, MAP_WORDS * sizeof(words[0]));
    path_of(dir, name, path);
    rc = seglog_map_open(path, NULL, &map);
    ORACLE_MUST(o, rc == 0 || rc == -ENOENT, "%s: %s: %s", when, name, seglog_status_name(rc));
    if (rc < 0)
        return false;
    ORACLE_MUST(o, seglog_map_size(map) >= FIRST_SIZE, "%s: %s has %llu bytes", when, name,
                (unsigned long long)seglog_map_size(map));
    for (uint64_t word = 0; word < MAP_WORDS; word++)
        if (place_of(word) + 8 <= seglog_map_size(map))
            ORACLE_OK(o, seglog_map_read(map, place_of(word), &words[word], 8, NULL));
    ORACLE_OK(o, seglog_map_close(map));
    return true;
}

void maps_check(struct oracle *o, const char *dir, bool writes, const char *when)
{
    uint64_t words[MAP_WORDS];
    bool is_there;

    if (!o->has_maps)
        return;
    (void)words_read(o, dir, "map", words, when);
    for (uint64_t i = 0; i < MAP_WORDS; i++) {
        struct kept *kept = &o->map.words[i];

        ORACLE_MUST(o, kept_allows(kept, words[i]),
                    "%s: word %llu of the map is %llu; durable is %llu, %u more", when,
                    (unsigned long long)i, (unsigned long long)words[i],
                    (unsigned long long)kept->durable, kept->count);
        if (writes)
            kept_is(kept, words[i]);
    }
    is_there = words_read(o, dir, "map-copy", words, when);
    ORACLE_MUST(o, kept_allows(&o->map.copy, is_there), "%s: the copy is%s there", when,
                is_there ? "" : " not");
    ORACLE_MUST(o, !is_there || memcmp(words, o->map.copied, sizeof(words)) == 0,
                "%s: the copy is not what was copied", when);
    if (writes)
        kept_is(&o->map.copy, is_there);
}
