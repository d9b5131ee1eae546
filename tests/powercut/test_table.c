/*
 * What a table with a log of its changes promises about power cuts.
 *
 * The log lies in the simulated disk's directory (disk.h), the table's file beside it. The power fails
 * between two calls, in the middle of them, while the table is made, and while it is made anew from the
 * log. Afterwards the table must be what it was after one of its changes, and no earlier one than the
 * last that was acknowledged as durable: so nothing is lost, nothing is invented, and no two changes,
 * of one key or of several, have changed places. A reader is not shown what the cut has left of the file.
 * (A table does not let one choose that its log has no thread; copies.c sees to that for every log here.)
 *
 * SEGLOG_CUTS=N   N/40 images; else 1000, with SEGLOG_TEST_QUICK 100
 * SEGLOG_SEED=N   this seed alone. SEGLOG_FROM=N begins with seed N
 */
#include "powercut/calls.h"
#include "powercut/disk.h"
#include "powercut/images.h"
#include "powercut/oracle.h"

#include "support/check.h"
#include "support/child.h"
#include "support/number.h"
#include "support/tmpdir.h"

#include <seglog/table.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KEYS         8u
#define CHANGES      64u /* that are not durable yet, at most */
#define MOMENTS      6u  /* of one seed */
#define IMAGES       8u  /* of one moment between calls */
#define IMAGES_IN    6u  /* of one in the middle of a call */
#define IMAGES_REC   4u  /* of one while the table is made anew */
#define DEPTH_MAX    2u
#define WORKERS      2u
#define SEED_LIMIT_S 300u

/* The mark from which the value of each key follows; 0: it is not there. */
struct content {
    uint64_t marks[KEYS];
};

/* What the table was after each change; [0] is durable, and the last may be under way. */
struct story {
    struct content states[CHANGES + 1];
    unsigned count;
    uint64_t last_mark;
    uint64_t seed, image; /* for messages */
};

struct tally {
    _Atomic uint64_t images, same, in_making, in_calls, in_recovery, cut_again, lost, trimmed;
    _Atomic int failed;
    uint64_t target, from, only;
};

struct run {
    struct tally *tally;
    struct story story;
    struct seglog_table *table;
    struct dice dice;  /* for what is done */
    struct dice draws; /* for images */
    uint32_t level;
    char dir[IMAGE_PATH];
    struct images images;
};

/* ---- at work ------------------------------------------------------------------------------------- */

static int table_open(const char *dir, uint32_t flags, struct seglog_table **out)
{
    char path[400];
    const struct seglog_table_options options = {
        .flags = flags, .shards = 2, .log = flags ? dir : NULL};

    snprintf(path, sizeof(path), "%s/table", dir);
    return seglog_table_open(path, &options, out);
}

static struct content *now(struct story *s)
{
    return &s->states[s->count];
}

/* From here on the change may be there; with the log's level RECORD it is durable when the call returns. */
static struct content *begin(struct story *s)
{
    s->states[s->count + 1] = s->states[s->count];
    s->count++;
    return now(s);
}

static void is_durable(struct story *s)
{
    s->states[0] = *now(s);
    s->count = 0;
}

struct made {
    uint8_t bytes[DICE_BYTES];
    size_t len;
};

static int set_value(void *context, const void **value, size_t *len)
{
    const struct made *made = context;

    *value = made->bytes;
    *len = made->len;
    return SEGLOG_TABLE_SET;
}

static void put(struct story *s, struct seglog_table *table, struct dice *dice, uint64_t key)
{
    const uint64_t mark = ++s->last_mark;
    struct made made;

    made.len = dice_payload(mark, made.bytes);
    begin(s)->marks[key] = mark;
    if (dice_below(dice, 4) == 0)
        ORACLE_OK(s, seglog_table_update(table, &key, sizeof(key), set_value, &made));
    else
        ORACLE_OK(s, seglog_table_put(table, &key, sizeof(key), made.bytes, made.len));
}

static void take_away(struct story *s, struct seglog_table *table, uint64_t key)
{
    const bool is_there = now(s)->marks[key] != 0;
    int rc;

    begin(s)->marks[key] = 0;
    rc = seglog_table_remove(table, &key, sizeof(key));
    ORACLE_MUST(s, rc == (is_there ? 0 : -ENOENT), "remove: %s", seglog_status_name(rc));
}

static void checkpoint(struct run *r, struct story *s, struct seglog_table *table)
{
    struct seglog_trim_report report;

    ORACLE_OK(s, seglog_table_checkpoint(table, &report));
    is_durable(s);
    atomic_fetch_add(&r->tally->trimmed, report.segments);
}

static void step(struct run *r, struct story *s, struct seglog_table *table, struct dice *dice)
{
    const uint64_t what = dice_below(dice, 40), key = dice_below(dice, KEYS);

    if (s->count == CHANGES || what < 3) {
        ORACLE_OK(s, seglog_table_flush(table));
        is_durable(s);
        return;
    }
    if (what < 5) {
        checkpoint(r, s, table);
        return;
    }
    if (what == 5) {
        memset(begin(s), 0, sizeof(struct content));
        ORACLE_OK(s, seglog_table_clear(table));
    } else if (what < 12) {
        take_away(s, table, key);
    } else {
        put(s, table, dice, key);
    }
    if (r->level == SEGLOG_SYNC_RECORD)
        is_durable(s);
}

/* ---- what is there ------------------------------------------------------------------------------- */

static uint64_t mark_of(const struct story *s, const void *value, size_t len, const char *when)
{
    uint8_t want[DICE_BYTES];
    uint64_t mark = 0;

    memcpy(&mark, value, len < sizeof(mark) ? len : sizeof(mark));
    ORACLE_MUST(s,
                mark != 0 && mark <= s->last_mark && dice_payload(mark, want) == len &&
                    memcmp(value, want, len) == 0,
                "%s: a value that nobody put there", when);
    return mark;
}

/* A walk shows what the keys have, and nothing besides. */
static void walk_over(const struct story *s, struct seglog_table *table,
                      const struct content *content, const char *when)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    unsigned left = 0;
    uint64_t key;
    int rc;

    for (unsigned k = 0; k < KEYS; k++)
        left += content->marks[k] != 0;
    ORACLE_OK(s, seglog_table_walk_open(table, &walk));
    while ((rc = seglog_table_walk_next(walk, &entry)) == 1) {
        ORACLE_MUST(s, entry.key_len == sizeof(key), "%s: a key that nobody put there", when);
        memcpy(&key, entry.key, sizeof(key));
        ORACLE_MUST(s,
                    key < KEYS && left > 0 &&
                        mark_of(s, entry.value, entry.len, when) == content->marks[key],
                    "%s: a walk shows another value of key %llu", when, (unsigned long long)key);
        left--;
    }
    seglog_table_walk_close(walk);
    ORACLE_MUST(s, rc == 0 && left == 0, "%s: a walk leaves %u out: %s", when, left,
                seglog_status_name(rc));
}

static struct content read_all(const struct story *s, struct seglog_table *table, const char *when)
{
    struct content content = {{0}};

    for (uint64_t key = 0; key < KEYS; key++) {
        uint8_t value[DICE_BYTES];
        size_t len;
        const int rc = seglog_table_get(table, &key, sizeof(key), value, sizeof(value), &len);

        ORACLE_MUST(s, rc == 0 || rc == -ENOENT, "%s: key %llu: %s", when, (unsigned long long)key,
                    seglog_status_name(rc));
        if (rc == 0)
            content.marks[key] = mark_of(s, value, len, when);
    }
    walk_over(s, table, &content, when);
    return content;
}

static bool is_same(const struct content *a, const struct content *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* It is what the table was after some change since the last durable one. */
static void check_content(struct run *r, const struct story *s, const struct content *found)
{
    unsigned at = s->count;

    while (at > 0 && !is_same(found, &s->states[at]))
        at--;
    for (uint64_t key = 0; key < KEYS && !is_same(found, &s->states[at]); key++)
        fprintf(stderr, "key %llu: found %llu, durable %llu, last %llu\n", (unsigned long long)key,
                (unsigned long long)found->marks[key], (unsigned long long)s->states[0].marks[key],
                (unsigned long long)s->states[s->count].marks[key]);
    ORACLE_MUST(s, is_same(found, &s->states[at]),
                "no state since the last durable one, of %u changes more", s->count);
    atomic_fetch_add(&r->tally->lost, at != s->count);
}

/* ---- one image ------------------------------------------------------------------------------------ */

static bool make_image(struct run *r, char path[IMAGE_PATH], unsigned index)
{
    uint64_t hash;
    const bool is_new = images_make(&r->images, &r->draws, index, path, &hash);

    atomic_fetch_add(is_new ? &r->tally->images : &r->tally->same, 1);
    return is_new;
}

/* A moment in the middle of something, and what was found after the cuts that came there. */
struct moment {
    struct run *run;
    const struct story *truth;
    unsigned images, depth;
    _Atomic uint64_t *counter;
    struct content found[IMAGES_IN];
    unsigned count;
};

static struct content check_image(struct run *r, const struct story *truth, const char *image,
                                  unsigned depth);

static void cut_now(void *context)
{
    struct moment *m = context;
    char image[IMAGE_PATH];

    for (unsigned i = 0; i < m->images; i++) {
        if (!make_image(m->run, image, i))
            continue;
        atomic_fetch_add(m->counter, 1);
        m->found[m->count++] = check_image(m->run, m->truth, image, m->depth);
        image_remove(image);
    }
}

/* Open it for writing: that makes it anew. Perhaps that is cut in its turn, and begins again. */
static struct content recover(struct run *r, const struct story *truth, const struct story *s,
                              const char *image, unsigned depth, struct seglog_table **table)
{
    struct moment m = {.run = r,
                       .truth = truth,
                       .images = IMAGES_REC,
                       .depth = depth + 1,
                       .counter = depth ? &r->tally->cut_again : &r->tally->in_recovery};
    const bool is_cut = depth < DEPTH_MAX && dice_below(&r->draws, 5) == 0;
    struct content found;
    int rc;

    /* A reader that may not make it anew is told, and is shown nothing. */
    rc = table_open(image, 0, table);
    ORACLE_MUST(s, rc < 0, "a reader is shown what the cut has left");
    if (is_cut) {
        disk_push(image, dice_roll(&r->draws));
        disk_cut_at(1 + dice_below(&r->draws, 40), cut_now, &m);
    }
    rc = table_open(image, SEGLOG_TABLE_WRITE, table);
    if (is_cut) {
        disk_cut_at(0, NULL, NULL);
        disk_pop();
    }
    ORACLE_OK(s, rc);
    found = read_all(s, *table, "made anew");
    check_content(r, s, &found);
    for (unsigned i = 0; i < m.count; i++)
        ORACLE_MUST(s, is_same(&found, &m.found[i]), "cut again, it is made another table of");
    return found;
}

/* It goes on from there, and is made anew once more of what it has become. */
static void go_on(struct run *r, struct story *s, const char *image, struct seglog_table *table)
{
    struct content found;

    for (uint64_t n = dice_below(&r->draws, 4); n > 0; n--)
        step(r, s, table, &r->draws);
    if (dice_below(&r->draws, 4) == 0) {
        seglog_table_close(table);
        ORACLE_OK(s, table_open(image, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD, &table));
    }
    found = read_all(s, table, "gone on with");
    ORACLE_MUST(s, is_same(&found, now(s)), "gone on with, it is not what was done to it");
    seglog_table_close(table);
}

static struct content check_image(struct run *r, const struct story *truth, const char *image,
                                  unsigned depth)
{
    static struct story copies[DEPTH_MAX + 1];
    struct story *s = &copies[depth];
    struct seglog_table *table;
    struct content found;

    *s = *truth;
    s->image = r->images.made;
    found = recover(r, truth, s, image, depth, &table);
    s->states[0] = found;
    s->count = 0;
    go_on(r, s, image, table);
    return found;
}

/* ---- one seed ------------------------------------------------------------------------------------- */

static void start(struct run *r, uint64_t seed)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_RECORD, SEGLOG_SYNC_SEALED, SEGLOG_SYNC_NONE,
                                      SEGLOG_SYNC_RECORD};
    struct moment m = {.run = r,
                       .truth = &r->story,
                       .images = IMAGES_REC,
                       .depth = DEPTH_MAX,
                       .counter = &r->tally->in_making};
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = r->level = levels[seed % 4]};

    sim_begin(seed);
    memset(&r->story, 0, sizeof(r->story));
    r->story.seed = seed;
    r->dice = dice_of(seed);
    r->draws = dice_of(seed ^ UINT64_C(0xD1CE));
    images_begin(&r->images);
    snprintf(r->dir, sizeof(r->dir), "%s/log", r->images.top);
    disk_must(mkdir(r->dir, 0750) == 0, r->dir);
    disk_push(r->dir, seed);
    ORACLE_OK(&r->story, seglog_log_create(r->dir, &options));
    disk_cut_at(1 + dice_below(&r->draws, 20), cut_now, &m);
    ORACLE_OK(&r->story, table_open(r->dir, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE, &r->table));
    disk_cut_at(0, NULL, NULL);
}

static void work(struct run *r)
{
    for (uint64_t n = 1 + dice_below(&r->dice, 60); n > 0; n--) {
        sim_pass(dice_below(&r->dice, 8) * 1000000);
        if (dice_below(&r->dice, 40) == 0) {
            seglog_table_close(r->table);
            ORACLE_OK(&r->story, table_open(r->dir, SEGLOG_TABLE_WRITE, &r->table));
        }
        step(r, &r->story, r->table, &r->dice);
    }
}

/* Go on with an image: everything before was a dream. */
static void adopt(struct run *r, const char *image)
{
    struct story *s = &r->story;

    seglog_table_close(r->table);
    disk_pop();
    image_remove(r->dir);
    snprintf(r->dir, sizeof(r->dir), "%s", image);
    disk_push(r->dir, dice_roll(&r->draws));
    s->image = r->images.made;
    s->states[0] = recover(r, s, s, image, DEPTH_MAX, &r->table);
    s->count = 0;
}

static void one_seed(struct run *r, uint64_t seed)
{
    start(r, seed);
    for (unsigned i = 0; i < MOMENTS && !atomic_load(&r->tally->failed); i++) {
        struct moment m = {
            .run = r, .truth = &r->story, .images = IMAGES_IN, .counter = &r->tally->in_calls};
        char image[IMAGE_PATH], next[IMAGE_PATH] = "";

        disk_cut_at(1 + dice_below(&r->draws, r->level == SEGLOG_SYNC_RECORD ? 60 : 25), cut_now,
                    &m);
        work(r);
        disk_cut_at(0, NULL, NULL);
        for (unsigned k = 0; k < IMAGES; k++) {
            if (!make_image(r, image, k))
                continue;
            if (!*next) {
                snprintf(next, sizeof(next), "%s", image);
                continue;
            }
            (void)check_image(r, &r->story, image, 0);
            image_remove(image);
        }
        if (*next)
            adopt(r, next);
    }
    seglog_table_close(r->table);
    disk_pop();
    image_remove(r->dir);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static _Noreturn void work_off(struct tally *tally, const char *top, unsigned worker)
{
    struct run *r = calloc(1, sizeof(*r));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    disk_must(r != NULL, "memory");
    r->tally = tally;
    images_open(&r->images, top, worker);
    for (uint64_t seed = tally->only ? tally->only : tally->from + worker;; seed += WORKERS) {
        alarm(SEED_LIMIT_S);
        one_seed(r, seed);
        if (tally->only || atomic_load(&tally->images) >= tally->target ||
            atomic_load(&tally->failed))
            _exit(0);
    }
}

static void report(const struct tally *t)
{
    printf("# power cuts of a table with a log, from seed %llu on: %llu images (%llu more like "
           "others), %llu while it was made, %llu in a call, %llu while it was made anew, %llu of "
           "those; %llu lost changes, %llu segments trimmed\n",
           (unsigned long long)(t->only ? t->only : t->from), (unsigned long long)t->images,
           (unsigned long long)t->same, (unsigned long long)t->in_making,
           (unsigned long long)t->in_calls, (unsigned long long)t->in_recovery,
           (unsigned long long)t->cut_again, (unsigned long long)t->lost,
           (unsigned long long)t->trimmed);
    fflush(stdout);
}

Test(powercut, a_table_with_a_log_is_what_it_was_after_one_of_its_changes, .timeout = 7200)
{
    struct tally *tally = child_shared(sizeof(*tally));
    const uint64_t cuts = number_from("SEGLOG_CUTS", 0);
    const unsigned workers = getenv("SEGLOG_SEED") ? 1 : WORKERS;
    pid_t pids[WORKERS];
    char *top;

    top = images_top();
    tally->target = cuts ? cuts / 40 : getenv("SEGLOG_TEST_QUICK") ? 100 : 1000;
    tally->from = number_from("SEGLOG_FROM", 1);
    tally->only = number_from("SEGLOG_SEED", 0);
    fflush(NULL);
    for (unsigned i = 0; i < workers; i++) {
        pids[i] = fork();
        cr_assert_geq(pids[i], 0);
        if (pids[i] == 0)
            work_off(tally, top, i);
    }
    for (unsigned i = 0; i < workers; i++) {
        int status;

        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        if (status != 0)
            atomic_store(&tally->failed, 1 + status);
    }
    tmpdir_remove(top);
    report(tally);
    cr_assert_eq(tally->failed, 0, "status %#x; the seed is above", tally->failed - 1);
    /* What nothing of came up was not tried. */
    cr_assert(tally->only || tally->images < 900 ||
              (tally->in_making && tally->in_calls && tally->in_recovery && tally->cut_again &&
               tally->lost && tally->trimmed));
}
