/*
 * What a log promises about power cuts, against very many of them.
 *
 * A workload (work.h) runs on a simulated disk (disk.h). The power fails between two operations, and
 * in the middle of them, at any system call that changes something: many different images of what may
 * be left are built of each such moment. Every image is read as it lies, recovered, read again and
 * appended to, and held against the oracle (oracle.h); of some, the recovery is cut in its turn, and
 * the recovery of that; some are damaged before. The workload goes on with one of the images.
 *
 * Images are counted by what they hold: two alike count once. Workers, one for each processor, take
 * seed after seed; a seed alone decides what happens in it.
 *
 * SEGLOG_CUTS=N   distinct images (default 3000; with SEGLOG_TEST_QUICK 300)
 * SEGLOG_SEED=N   this seed alone; without SEGLOG_CUTS. SEGLOG_FROM=N begins with seed N
 * SEGLOG_JOBS=N   workers
 * SEGLOG_KEEP=1   leaves the image on which a seed failed
 */
#include "log/handle.h"
#include "powercut/calls.h"
#include "powercut/copies.h"
#include "powercut/disk.h"
#include "powercut/harm.h"
#include "powercut/images.h"
#include "powercut/keep.h"
#include "powercut/maps.h"
#include "powercut/state.h"

#include "support/check.h"
#include "support/number.h"
#include "support/tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MOMENTS      6u  /* of one seed, between operations */
#define IMAGES       14u /* of one moment between operations */
#define IMAGES_IN    10u /* of one moment in the middle of one */
#define IMAGES_REC   5u  /* of one moment in the middle of a recovery */
#define DEPTH_MAX    2u  /* recoveries of recoveries */
#define STATE_EVERY  8u  /* seeds of which one has a cell and a table: they make images large */
#define COPY_EVERY   16u /* seeds of which one is copied by a command at the end */
#define MAPS_AT      5u  /* of so many: with a map and a struct */
#define SEED_LIMIT_S 300u
#define WORKERS_MAX  64u

/* What all workers count together. */
struct tally {
    _Atomic uint64_t seed, images, same, in_making, in_calls, in_recovery, cut_again, harmed,
        cuts_off, in_copies;
    _Atomic uint64_t recycled, archived, units_old, units_new, units_between, names_old, sizes_cut;
    _Atomic uint64_t at[WORKERS_MAX]; /* the seed that a worker is at */
    _Atomic int failed;
    uint64_t target, capacity;
    uint64_t hashes[];
};

struct run {
    struct tally *tally;
    struct oracle o;
    struct bed bed;
    struct dice dice; /* for images */
    uint8_t uuid[16];
    struct images images;
};

/* ---- one image ------------------------------------------------------------------------------ */

/* The next image of the disk on top, at `path`. false: there was such a one, and it is gone again. */
static bool make_image(struct run *r, char path[IMAGE_PATH], unsigned index)
{
    uint64_t hash, place;

    if (!images_make(&r->images, &r->dice, index, path, &hash)) {
        atomic_fetch_add(&r->tally->same, 1);
        return false;
    }
    place = atomic_fetch_add(&r->tally->images, 1);
    if (place < r->tally->capacity)
        r->tally->hashes[place] = hash;
    return true;
}

static void check_image(struct run *r, const struct oracle *truth, const char *image,
                        const struct found *due, unsigned depth);

/* A moment in the middle of something. */
struct moment {
    struct run *run;
    const struct oracle *truth;
    struct seglog_log *const *log; /* where that happens; NULL: nothing is acknowledged there */
    const struct found *due;
    unsigned images;
    unsigned depth;
    _Atomic uint64_t *counter;
};

static void cut_now(void *context)
{
    const struct moment *m = context;
    struct oracle known = *m->truth;
    char image[IMAGE_PATH];

    /* What every process can read of durability counts as acknowledged from that moment on. */
    if (m->log && *m->log) {
        const uint64_t durable =
            word_load(&(*m->log)->view.live->durable_seq, memory_order_acquire);

        if (durable > known.durable)
            known.durable = durable;
    }
    for (unsigned i = 0; i < m->images; i++) {
        if (!make_image(m->run, image, i))
            continue;
        atomic_fetch_add(m->counter, 1);
        check_image(m->run, &known, image, m->due, m->depth);
        image_remove(image);
    }
}

/* As a reader sees it. */
static struct found look(struct oracle *o, const char *image)
{
    const struct found found = oracle_read(o, image, NULL, "before recovery");

    oracle_check_durable(o, found, "before recovery");
    keep_check(o, image, found, "before recovery");
    state_check(o, image, false, "before recovery");
    maps_check(o, image, false, "before recovery");
    structs_check(o, image, false, "before recovery");
    return found;
}

/* The first opener recovers the image; what that says must fit. The log's end becomes the oracle's. */
static void recover(struct run *r, struct bed *b, struct found before, struct harmed *harmed)
{
    struct oracle *o = b->o;
    struct seglog_recovery recovery;
    struct found after;
    uint64_t next = 0;

    work_attach(b);
    ORACLE_OK(o, seglog_log_recovery(b->logs[0], &recovery));
    /* 0: no segment was left that could have told. */
    ORACLE_MUST(o, recovery.ran == 1 && recovery.boot <= 1, "recovery: ran %u, boot %u",
                recovery.ran, recovery.boot);
    if (recovery.bytes_dropped || recovery.files_aside) {
        atomic_fetch_add(&r->tally->cuts_off, 1);
        o->was_cut = true;
    }
    after = oracle_read(o, b->dir, harmed, "after recovery");
    ORACLE_MUST(o, after.first == before.first && after.end == before.end,
                "%llu to %llu before, %llu to %llu after recovery",
                (unsigned long long)before.first, (unsigned long long)before.end,
                (unsigned long long)after.first, (unsigned long long)after.end);
    ORACLE_OK(o, seglog_log_progress(b->logs[0], NULL, &next));
    ORACLE_MUST(o, next >= after.end && next <= o->limit,
                "next number %llu behind %llu, below %llu", (unsigned long long)next,
                (unsigned long long)after.end, (unsigned long long)o->limit);
    o->next = o->limit = next;
    o->floor = o->floor_may = after.first;
    keep_check(o, b->dir, after, "after recovery");
    state_check(o, b->dir, true, "after recovery");
    maps_check(o, b->dir, true, "after recovery");
    structs_check(o, b->dir, true, "after recovery");
    if (o->durable > next)
        o->durable = next;
}

/* The log goes on. */
static void go_on(struct run *r, struct bed *b, struct harmed *harmed)
{
    struct seglog_verify_report report;
    struct found found;
    int rc;

    for (uint64_t n = 1 + dice_below(&r->dice, 4); n > 0; n--)
        work_append(b);
    if (!harmed && dice_below(&r->dice, 4) == 0)
        keep_work(b);
    if (b->o->has_state && dice_below(&r->dice, 4) == 0)
        state_work(b);
    if (b->o->has_maps && dice_below(&r->dice, 4) == 0)
        maps_work(b);
    if (b->o->has_maps && dice_below(&r->dice, 3) == 0)
        structs_work(b);
    if (dice_below(&r->dice, 4) != 0)
        return;
    found = oracle_read(b->o, b->dir, harmed, "after appending");
    ORACLE_MUST(b->o, found.first == b->o->floor && found.end == b->o->next,
                "appended up to %llu, found up to %llu", (unsigned long long)b->o->next,
                (unsigned long long)found.end);
    rc = seglog_verify(b->dir, NULL, &report);
    ORACLE_MUST(b->o, rc == (harmed ? 1 : 0), "verify gave %d, %llu damages", rc,
                (unsigned long long)report.damage_count);
}

/* Turn a bit in it first? NULL: no. */
static struct harmed *harm(struct run *r, const char *image, struct found before,
                           struct harmed *harmed)
{
    if (dice_below(&r->dice, 12) != 0 || !harm_image(image, r->uuid, &r->dice, harmed))
        return NULL;
    if (harmed->seq < before.first) /* of a file that is as good as gone */
        return NULL;
    atomic_fetch_add(&r->tally->harmed, 1);
    return harmed;
}

/* due: what must be found, if that is known. */
static void check_image(struct run *r, const struct oracle *truth, const char *image,
                        const struct found *due, unsigned depth)
{
    static struct oracle copies[DEPTH_MAX + 1];
    struct oracle *o = &copies[depth];
    struct bed b = {.o = o, .level = r->bed.level, .dice = {dice_roll(&r->dice) | 1}};
    struct harmed bad, *harmed = NULL;
    struct found before;
    bool watched = false;

    *o = *truth;
    o->image = r->images.made;
    snprintf(b.dir, sizeof(b.dir), "%s", image);
    before = look(o, image);
    ORACLE_MUST(o, !due || (due->first == before.first && due->end == before.end),
                "cut again, %llu to %llu are there instead of %llu to %llu",
                (unsigned long long)before.first, (unsigned long long)before.end,
                (unsigned long long)(due ? due->first : 0),
                (unsigned long long)(due ? due->end : 0));
    if (depth < DEPTH_MAX && dice_below(&r->dice, 6) == 0) {
        const struct moment m = {.run = r,
                                 .truth = truth,
                                 .due = &before,
                                 .images = IMAGES_REC,
                                 .depth = depth + 1,
                                 .counter = depth ? &r->tally->cut_again : &r->tally->in_recovery};

        watched = true;
        disk_push(image, dice_roll(&r->dice));
        disk_cut_at(1 + dice_below(&r->dice, 24), cut_now, (void *)(uintptr_t)&m);
        recover(r, &b, before, NULL);
        disk_cut_at(0, NULL, NULL);
    } else {
        harmed = harm(r, image, before, &bad);
        recover(r, &b, before, harmed);
        ORACLE_MUST(o, !harmed || harmed->reported, "damage at %llu was not reported",
                    (unsigned long long)bad.seq);
    }
    go_on(r, &b, harmed);
    work_detach(&b);
    if (watched)
        disk_pop();
}

/* ---- one seed ------------------------------------------------------------------------------- */

/* Cut while the log is made: there is one, or making it can simply begin again. */
static void cut_making(void *context)
{
    struct run *r = context;
    char image[IMAGE_PATH];

    for (unsigned i = 0; i < IMAGES_REC; i++) {
        struct seglog_log *log;
        int rc;

        if (!make_image(r, image, i))
            continue;
        atomic_fetch_add(&r->tally->in_making, 1);
        rc = seglog_log_create(image, NULL);
        ORACLE_MUST(&r->o, rc == 0 || rc == -EEXIST, "create after a cut: %s",
                    seglog_status_name(rc));
        ORACLE_OK(&r->o, seglog_log_open(image, NULL, &log));
        ORACLE_OK(&r->o, seglog_log_close(log));
        image_remove(image);
    }
}

static void begin(struct run *r, uint64_t seed)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_NONE, SEGLOG_SYNC_SEALED, SEGLOG_SYNC_RECORD,
                                      SEGLOG_SYNC_INTERVAL};
    struct bed *b = &r->bed;
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = levels[seed % 4]};
    struct seglog_log_settings settings;

    sim_begin(seed);
    memset(&r->o, 0, sizeof(r->o));
    r->o.seed = seed;
    r->o.has_state = seed % STATE_EVERY == 0;
    r->o.has_maps = seed % STATE_EVERY == MAPS_AT;
    r->dice = dice_of(seed ^ UINT64_C(0xD1CE));
    images_begin(&r->images);
    *b = (struct bed){.o = &r->o, .dice = dice_of(seed), .level = options.sync};
    snprintf(b->dir, sizeof(b->dir), "%s/log", r->images.top);
    disk_must(mkdir(b->dir, 0750) == 0, b->dir);
    disk_push(b->dir, seed);
    disk_cut_at(1 + dice_below(&r->dice, 16), cut_making, r);
    ORACLE_OK(&r->o, seglog_log_create(b->dir, &options));
    disk_cut_at(0, NULL, NULL);
    work_attach(b);
    work_attach_second(b);
    ORACLE_OK(&r->o, seglog_log_settings(b->logs[0], &settings));
    memcpy(r->uuid, settings.uuid, 16);
}

/* The workload goes on with an image: everything before was a dream. */
static void adopt(struct run *r, const char *image)
{
    struct bed *b = &r->bed;
    struct found before;

    disk_cut_at(0, NULL, NULL);
    disk_pop();
    work_detach(b);
    image_remove(b->dir);
    snprintf(b->dir, sizeof(b->dir), "%s", image);
    disk_push(b->dir, dice_roll(&r->dice));
    before = look(b->o, image);
    recover(r, b, before, NULL);
    work_attach_second(b);
}

static bool image_of_copy(void *context, char path[IMAGE_PATH], unsigned index)
{
    return make_image(context, path, index);
}

/* A command makes a log of this one, which nobody has open any more. */
static void copy(struct run *r)
{
    struct copies c = {.o = &r->o,
                       .dice = &r->dice,
                       .dir = r->bed.dir,
                       .top = r->images.top,
                       .image = image_of_copy,
                       .remove = image_remove,
                       .context = r};

    copies_try(&c);
    atomic_fetch_add(&r->tally->in_copies, c.images);
}

static void one_seed(struct run *r, uint64_t seed)
{
    begin(r, seed);
    for (unsigned moment = 0; moment < MOMENTS && !atomic_load(&r->tally->failed); moment++) {
        const struct moment in_call = {.run = r,
                                       .truth = &r->o,
                                       .log = &r->bed.logs[0],
                                       .images = IMAGES_IN,
                                       .counter = &r->tally->in_calls};
        char image[IMAGE_PATH], next[IMAGE_PATH] = "";

        disk_cut_at(1 + dice_below(&r->dice, 60), cut_now, (void *)(uintptr_t)&in_call);
        work(&r->bed);
        disk_cut_at(0, NULL, NULL);
        atomic_fetch_add(&r->tally->recycled, work_recycled(&r->bed));
        for (unsigned i = 0; i < IMAGES; i++) {
            if (!make_image(r, image, i))
                continue;
            if (!*next) {
                snprintf(next, sizeof(next), "%s", image);
                continue;
            }
            check_image(r, &r->o, image, NULL, 0);
            image_remove(image);
        }
        if (*next)
            adopt(r, next);
    }
    atomic_fetch_add(&r->tally->archived, r->bed.archived);
    work_detach(&r->bed);
    disk_pop();
    if (seed % COPY_EVERY / 4 == 2 && seed % 4 == seed / COPY_EVERY % 4)
        copy(r);
    image_remove(r->bed.dir);
}

/* ---- workers -------------------------------------------------------------------------------- */

static void count_up(struct tally *t)
{
    atomic_fetch_add(&t->units_old, disk_counts.units_old);
    atomic_fetch_add(&t->units_new, disk_counts.units_new);
    atomic_fetch_add(&t->units_between, disk_counts.units_between);
    atomic_fetch_add(&t->names_old, disk_counts.names_old);
    atomic_fetch_add(&t->sizes_cut, disk_counts.sizes_cut);
}

static _Noreturn void work_off(struct tally *tally, const char *top, unsigned worker, uint64_t only)
{
    struct run *r = calloc(1, sizeof(*r));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    disk_must(r != NULL, "memory");
    r->tally = tally;
    images_open(&r->images, top, worker);
    do {
        const uint64_t seed = only ? only : atomic_fetch_add(&tally->seed, 1);

        atomic_store(&tally->at[worker], seed);
        alarm(SEED_LIMIT_S);
        one_seed(r, seed);
    } while (!only && atomic_load(&tally->images) < tally->target && !atomic_load(&tally->failed));
    count_up(tally);
    _exit(0);
}

static struct tally *tally_make(uint64_t target)
{
    const uint64_t capacity = target + target / 8 + 100000;
    struct tally *t =
        mmap(NULL, sizeof(*t) + capacity * sizeof(t->hashes[0]), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    cr_assert_neq(t, MAP_FAILED);
    t->target = target;
    t->capacity = capacity;
    atomic_store(&t->seed, number_from("SEGLOG_FROM", 1));
    return t;
}

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t distinct(struct tally *t)
{
    const uint64_t n = t->images < t->capacity ? t->images : t->capacity;
    uint64_t count = 0;

    qsort(t->hashes, n, sizeof(t->hashes[0]), compare_hashes);
    for (uint64_t i = 0; i < n; i++)
        count += i == 0 || t->hashes[i] != t->hashes[i - 1];
    return count;
}

static void say(const char *what, uint64_t n)
{
    printf("#   %-32s %10llu\n", what, (unsigned long long)n);
}

static void report(struct tally *t, uint64_t from)
{
    printf("# power cuts, seeds %llu to %llu\n", (unsigned long long)from,
           (unsigned long long)t->seed - 1);
    say("different images", distinct(t));
    say("left out, like another", t->same);
    say("while the log was made", t->in_making);
    say("in the middle of a call", t->in_calls);
    say("in a recovery", t->in_recovery);
    say("in a recovery of those", t->cut_again);
    say("in the making of a copy", t->in_copies);
    say("of which something was cut off", t->cuts_off);
    say("damaged below the watermark", t->harmed);
    say("recycled segments met", t->recycled);
    say("segments archived", t->archived);
    say("images with older names", t->names_old);
    say("files cut short", t->sizes_cut);
    say("changed units lost", t->units_old);
    say("changed units kept", t->units_new);
    say("changed units in between", t->units_between);
    fflush(stdout);
}

/* Wait for one worker. */
static void join(struct tally *t, const pid_t *pids, unsigned workers)
{
    int status;
    const pid_t pid = wait(&status);

    for (unsigned i = 0; i < workers; i++) {
        if (pids[i] != pid || status == 0)
            continue;
        atomic_store(&t->failed, 1);
        if (WIFSIGNALED(status))
            fprintf(stderr, "seed %llu: killed by signal %d (%s)\n", (unsigned long long)t->at[i],
                    WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
}

Test(powercut, what_was_acknowledged_survives_and_nothing_is_invented, .timeout = 7200)
{
    const uint64_t only = number_from("SEGLOG_SEED", 0);
    const uint64_t images = number_from("SEGLOG_CUTS", getenv("SEGLOG_TEST_QUICK") ? 300 : 3000);
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = (unsigned)number_from("SEGLOG_JOBS", cpus > 0 ? (uint64_t)cpus : 1);
    struct tally *tally = tally_make(images);
    const uint64_t from = tally->seed;
    char *top = images_top();
    pid_t pids[WORKERS_MAX];

    if (only || workers == 0)
        workers = 1;
    if (workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    fflush(NULL);
    for (unsigned i = 0; i < workers; i++) {
        pids[i] = fork();
        cr_assert_geq(pids[i], 0);
        if (pids[i] == 0)
            work_off(tally, top, i, only);
    }
    for (unsigned i = 0; i < workers; i++)
        join(tally, pids, workers);
    if (tally->failed && getenv("SEGLOG_KEEP"))
        fprintf(stderr, "the images are in %s\n", top);
    else
        tmpdir_remove(top);
    report(tally, from);
    cr_assert_eq(tally->failed, 0, "a power cut broke a promise; the seed is above");
    if (only)
        return;
    /* Two seeds may come to the same image. */
    cr_assert_geq(distinct(tally), images - images / 50);
    /* What nothing of came up was not tried. */
    cr_assert(images < 3000 ||
              (tally->in_making && tally->in_calls && tally->in_recovery && tally->cut_again &&
               tally->cuts_off && tally->harmed && tally->recycled && tally->archived &&
               tally->in_copies && tally->sizes_cut));
}
