/*
 * Damage of every kind in every place of a small log: each bit turned, each length cut to, each page
 * zeroed, swapped and doubled, each file gone, swapped and doubled. Each time it must be told, or it
 * must change nothing. See sweep.h for how that is judged.
 *
 * All of it takes long, so by default a part is drawn:
 *     SEGLOG_SWEEP=n          one in n; 1: every single one
 *     SEGLOG_SWEEP_SEED=n     the part drawn in an earlier run; it prints its seed
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile/sweep.h"
#include "hostile/workers.h"
#include "log/view.h"
#include "support/child.h"
#include "support/number.h"
#include "sys/clock.h"

#define TOLD_MAX 20u /* of what is undetected */
#define NEWEST   2u  /* segment of the image */
/* Of the bits and lengths one in so many is tried. */
#define PART       12000u
#define PART_QUICK 60000u
/* Judged by opening: one in so many of what is told anyway, and of bits in bytes that are zero. */
#define OPEN_TOLD 64u
#define OPEN_ZERO 32u

static const char *const boots[] = {"copied", "same boot", "rebooted"};

struct sweep;

/* What the workers share. */
struct tally {
    _Atomic uint64_t verdicts[VERDICTS];
    const struct image *truth;
    uint64_t seed;
    void (*spoil)(struct sweep *sweep);
};

struct sweep {
    struct stage *stage;
    struct tally *tally;
    const struct worker *worker;
    uint64_t seed;
    uint64_t part; /* 1: all */
    uint64_t count;
};

/* Is the next case this worker's, and drawn? */
static bool mine(struct sweep *sweep, uint64_t part)
{
    const uint64_t n = sweep->count++;
    const uint64_t drawn = workers_mix(sweep->seed ^ workers_mix(n));

    return (part == 1 || drawn % part == 0) &&
           workers_mix(n) % sweep->worker->count == sweep->worker->number;
}

static bool one_in(const struct sweep *sweep, uint64_t n)
{
    return workers_mix(sweep->seed + sweep->count) % n == 0;
}

__attribute__((format(printf, 2, 3))) static void say(struct sweep *sweep, const char *format, ...)
{
    char *now = sweep->worker->now;
    const int n = snprintf(now, WORKER_NOW, "%s, ", boots[sweep->stage->boot]);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(now + n, WORKER_NOW - (size_t)n, format, args);
    va_end(args);
}

static void judge_it(struct sweep *sweep, bool attaches)
{
    const enum verdict verdict = judge(sweep->stage, attaches);

    if (verdict == VERDICT_UNDETECTED &&
        atomic_load(&sweep->tally->verdicts[VERDICT_UNDETECTED]) < TOLD_MAX)
        fprintf(stderr, "undetected: %s: %s\n", sweep->worker->now, sweep->stage->why);
    atomic_fetch_add(&sweep->tally->verdicts[verdict], 1);
}

/* ---- what is spoiled --------------------------------------------------------------------------- */

static void each_bit(struct sweep *sweep)
{
    struct stage *stage = sweep->stage;

    for (size_t i = 0; i < stage->image->count; i++) {
        const struct image_file *file = &stage->image->files[i];

        for (size_t at = 0; at < file->size; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                if (!mine(sweep, sweep->part))
                    continue;
                say(sweep, "%s, byte %zu, bit %u", file->name, at, bit);
                stage->maps[i][at] ^= (uint8_t)(1u << bit);
                judge_it(sweep, one_in(sweep, file->bytes[at] ? OPEN_TOLD / 8 : OPEN_ZERO));
            }
        }
    }
}

static void each_length(struct sweep *sweep)
{
    struct stage *stage = sweep->stage;

    for (size_t i = 0; i < stage->image->count; i++) {
        const size_t size = stage->image->files[i].size;

        for (size_t len = 0; len < size; len++) {
            struct image *spoiled;

            if (!mine(sweep, len % 64 == 0 ? (sweep->part + 7) / 8 : sweep->part))
                continue;
            say(sweep, "%s cut to %zu bytes", stage->image->files[i].name, len);
            spoiled = image_copy(stage->image);
            spoiled->files[i].size = len;
            stage_rewrite(stage, spoiled);
            stage->is_unmarked = len < OFF_FRAMES;
            judge_it(sweep, one_in(sweep, 4));
            image_free(spoiled);
        }
    }
}

static bool is_mark(size_t at)
{
    return at == OFF_MARK0 || at == OFF_MARK1;
}

static void pages_of(struct sweep *sweep, size_t i, size_t j, size_t a, size_t b)
{
    struct stage *stage = sweep->stage;
    const uint8_t *bytes_a = stage->image->files[i].bytes + a;
    const uint8_t *bytes_b = stage->image->files[j].bytes + b;

    if (memcmp(bytes_a, bytes_b, PAGE_BYTES) == 0)
        return;
    if (mine(sweep, sweep->part > PART ? 40 : sweep->part > 1 ? 8 : 1)) {
        say(sweep, "%s page %zu over %s page %zu", stage->image->files[i].name, a / PAGE_BYTES,
            stage->image->files[j].name, b / PAGE_BYTES);
        memcpy(stage->maps[j] + b, bytes_a, PAGE_BYTES);
        judge_it(sweep, true);
    }
    if ((i < j || (i == j && a < b)) && mine(sweep, sweep->part > PART ? 40
                                                    : sweep->part > 1  ? 8
                                                                       : 1)) {
        say(sweep, "%s page %zu and %s page %zu swapped", stage->image->files[i].name,
            a / PAGE_BYTES, stage->image->files[j].name, b / PAGE_BYTES);
        memcpy(stage->maps[j] + b, bytes_a, PAGE_BYTES);
        memcpy(stage->maps[i] + a, bytes_b, PAGE_BYTES);
        stage->is_unmarked = is_mark(a) || is_mark(b);
        judge_it(sweep, true);
    }
}

static bool is_segment(const struct image_file *file)
{
    uint64_t number;

    return segment_name_parse(file->name, &number);
}

/* Zeroed; and swapped with and written over each other page of the segments. */
static void each_page(struct sweep *sweep)
{
    static const uint8_t zero[PAGE_BYTES];
    const struct image *image = sweep->stage->image;

    for (size_t i = 0; i < image->count; i++) {
        for (size_t a = 0; a + PAGE_BYTES <= image->files[i].size; a += PAGE_BYTES) {
            if (memcmp(image->files[i].bytes + a, zero, PAGE_BYTES) != 0 && mine(sweep, 1)) {
                say(sweep, "%s page %zu zeroed", image->files[i].name, a / PAGE_BYTES);
                memset(sweep->stage->maps[i] + a, 0, PAGE_BYTES);
                judge_it(sweep, true);
            }
            for (size_t j = 0; is_segment(&image->files[i]) && j < image->count; j++)
                for (size_t b = 0; is_segment(&image->files[j]) && b < image->files[j].size;
                     b += PAGE_BYTES)
                    pages_of(sweep, i, j, a, b);
        }
    }
}

static void rename_to(struct image_file *file, const char *name)
{
    memcpy(file->name, name, strlen(name) + 1);
}

/*
 * After a reboot and in a copy no other file says that there was a newest segment; in the same boot
 * `live` does. That a file was taken away or replaced as a whole cannot be known then.
 */
static bool takes_newest(const struct stage *stage, size_t i, size_t j)
{
    const struct image_file *newest = image_segment(stage->image, NEWEST);
    const struct image_file *a = &stage->image->files[i], *b = &stage->image->files[j];

    if (a != newest && b != newest)
        return false;
    return stage->boot != IMAGE_SAME_BOOT || strcmp(a->name, NAME_LIVE) == 0 ||
           strcmp(b->name, NAME_LIVE) == 0;
}

/* Gone (j is one too many), or its name changed for another's. */
static void file_moved(struct sweep *sweep, size_t i, size_t j)
{
    struct stage *stage = sweep->stage;
    struct image *spoiled = image_copy(stage->image);
    const bool is_swap = j < spoiled->count;
    const char *other = is_swap ? stage->image->files[j].name : "";

    say(sweep, "%s %s%s", spoiled->files[i].name, is_swap ? "swapped with " : "gone", other);
    if (is_swap)
        rename_to(&spoiled->files[j], spoiled->files[i].name);
    rename_to(&spoiled->files[i], other);
    stage_rewrite(stage, spoiled);
    stage->is_unmarked = true;
    stage->is_gone = takes_newest(stage, i, is_swap ? j : i);
    judge_it(sweep, true);
    image_free(spoiled);
}

static void each_file(struct sweep *sweep)
{
    const size_t count = sweep->stage->image->count;

    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (mine(sweep, 1))
                file_moved(sweep, i, j);
    for (size_t i = 0; i < count; i++)
        if (mine(sweep, 1))
            file_moved(sweep, i, count);
}

/* There a second time under another number. */
static void file_doubled(struct sweep *sweep, size_t i, const char *name)
{
    struct image *spoiled = image_copy(sweep->stage->image);
    struct image_file *extra = &spoiled->files[spoiled->count];

    say(sweep, "%s a second time as %s", spoiled->files[i].name, name);
    *extra = spoiled->files[i];
    rename_to(extra, name);
    spoiled->count++;
    stage_rewrite(sweep->stage, spoiled);
    judge_it(sweep, true);
    spoiled->count--; /* its bytes are those of the other one */
    image_free(spoiled);
}

static void each_double(struct sweep *sweep)
{
    struct image *image = sweep->stage->image;

    for (size_t i = 0; i < image->count; i++) {
        for (uint64_t number = 0; is_segment(&image->files[i]) && number < 6; number++) {
            char name[SEGMENT_NAME_BYTES];

            segment_name(number, name);
            if (!image_find(image, name) && mine(sweep, 1))
                file_doubled(sweep, i, name);
        }
    }
}

/* ---- workers ----------------------------------------------------------------------------------- */

static void work(const struct worker *worker, void *context)
{
    const bool quick = getenv("SEGLOG_TEST_QUICK") != NULL;
    const uint64_t part = number_from("SEGLOG_SWEEP", quick ? PART_QUICK : PART);
    struct tally *tally = context;

    for (int boot = IMAGE_COPIED; boot < IMAGE_BOOTS; boot++) {
        struct stage stage;
        struct sweep sweep = {.stage = &stage,
                              .tally = tally,
                              .worker = worker,
                              .seed = tally->seed + (uint64_t)boot,
                              .part = part};

        stage_open(&stage, tally->truth, (enum image_boot)boot);
        tally->spoil(&sweep);
        stage_close(&stage);
    }
}

static void run(void (*spoil)(struct sweep *sweep), const char *what)
{
    const uint64_t seed = number_from("SEGLOG_SWEEP_SEED", clock_monotonic_ns());
    struct tally *tally = child_shared(sizeof(*tally));
    struct image *truth = image_make_small();
    bool good;

    tally->truth = truth;
    tally->seed = seed;
    tally->spoil = spoil;
    good = workers_run(4, work, tally); /* whoever looks at damage looks again later: most sleep */
    fprintf(stderr,
            "%s (seed %" PRIu64 "): %" PRIu64 " told, %" PRIu64 " cut after a reboot, %" PRIu64
            " harmless, %" PRIu64 " undetected\n",
            what, seed, atomic_load(&tally->verdicts[VERDICT_TOLD]),
            atomic_load(&tally->verdicts[VERDICT_CUT]),
            atomic_load(&tally->verdicts[VERDICT_HARMLESS]),
            atomic_load(&tally->verdicts[VERDICT_UNDETECTED]));
    cr_assert(good, "a worker ended badly; seed %" PRIu64, seed);
    cr_assert_eq(atomic_load(&tally->verdicts[VERDICT_UNDETECTED]), 0, "seed %" PRIu64, seed);
    cr_assert_gt(atomic_load(&tally->verdicts[VERDICT_TOLD]), 0);
    image_free(truth);
}

Test(sweep, every_bit_is_told_or_harmless, .timeout = 7200)
{
    run(each_bit, "bits");
}

Test(sweep, every_length_is_told_or_harmless, .timeout = 7200)
{
    run(each_length, "lengths");
}

Test(sweep, every_page_is_told_or_harmless, .timeout = 7200)
{
    run(each_page, "pages");
}

Test(sweep, every_file_gone_or_swapped_is_told_or_harmless, .timeout = 7200)
{
    run(each_file, "files");
}

Test(sweep, every_segment_doubled_is_told_or_harmless, .timeout = 7200)
{
    run(each_double, "doubled segments");
}
