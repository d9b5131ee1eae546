/*
 * Packing: a second thread makes it faster, and no other.
 */
#include "archived/logs.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/archive.h"

#define RECORDS      26000u
#define SEGMENT_SIZE (UINT64_C(4) << 20)

static void archive(const char *dir, uint32_t level)
{
    const struct seglog_archive_options options = {.level = level};
    struct seglog_archive_report report;

    cr_assert_ok(seglog_archive(dir, &options, &report));
    cr_assert_gt(report.segments, 0);
}

/* One processor, one of those that we had. */
static void stay_on_one(void)
{
    cpu_set_t had, one;
    size_t i = 0;

    cr_assert_eq(sched_getaffinity(0, sizeof(had), &had), 0);
    while (!CPU_ISSET(i, &had))
        i++;
    CPU_ZERO(&one);
    CPU_SET(i, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Archive segment 0 at this level, with the processors there are and with one. */
static void compare(uint32_t level, uint32_t block_bytes)
{
    char *dir = archived_log(RECORDS, SEGMENT_SIZE);
    char *seg = archived_path(dir, 0, "seg"), *arc = archived_path(dir, 0, "arc");
    size_t size, with_size, without_size;
    uint8_t *image = archived_load(seg, &size), *with, *without;
    unsigned damages;

    archive(dir, level);
    with = archived_load(arc, &with_size);
    cr_assert_eq(unlink(arc), 0);
    archived_store(seg, image, size);
    stay_on_one();
    archive(dir, level);
    without = archived_load(arc, &without_size);

    cr_assert_eq(le32_get(&((const struct archive_header *)(const void *)with)->block_bytes),
                 block_bytes);
    cr_assert_eq(with_size, without_size);
    cr_assert_eq(memcmp(with + PAGE_BYTES, without + PAGE_BYTES, with_size - PAGE_BYTES), 0,
                 "all but the header, which has the time");
    cr_assert_eq(archived_read(dir, 0, &damages), RECORDS - RECORDS / 50);
    cr_assert_eq(damages, 0);
    free(without);
    free(with);
    free(image);
    free(arc);
    free(seg);
    tmpdir_remove(dir);
}

Test(archived_pack, one_processor_gives_the_same_archive_as_several)
{
    compare(1, UINT32_C(256) << 10);
}

Test(archived_pack, and_so_it_does_at_a_hard_level_in_larger_blocks)
{
    compare(4, UINT32_C(1) << 20);
}

static int stop_at(void *context, uint64_t done, uint64_t total)
{
    uint64_t *bytes = context;

    (void)total;
    return done >= *bytes;
}

Test(archived_pack, stopped_at_any_block_it_leaves_the_segment_as_it_is)
{
    const uint64_t step = UINT64_C(256) << 10;
    char *dir = archived_log(RECORDS, SEGMENT_SIZE);
    uint64_t bytes;
    const struct seglog_archive_options options = {.on_progress = stop_at, .context = &bytes};
    unsigned damages;

    for (bytes = step; bytes <= SEGMENT_SIZE; bytes += 3 * step) {
        cr_assert_eq(seglog_archive(dir, &options, NULL), -ECANCELED);
        cr_assert(archived_has(dir, 0, "seg") && !archived_has(dir, 0, "arc"));
    }
    archive(dir, 1);
    cr_assert_eq(archived_read(dir, 0, &damages), RECORDS - RECORDS / 50);
    tmpdir_remove(dir);
}
