/*
 * Maps of files on hugetlbfs, whose pages are what the file is made of. Where no huge pages are to be had,
 * or no such file system to be mounted, it is left out.
 */
#include <seglog/cell.h>
#include <seglog/map.h>

#include "state/files.h"
#include "support/huge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>

#define WANTED   8 /* four for the files here, and as many for whoever else asks meanwhile */
#define LEFT_OUT 77

TestSuite(map_huge, .init = files_setup, .fini = files_teardown, .timeout = 120);

/* A part that begins and ends anywhere shows the same bytes. */
static void look_at_a_part(const char *path, uint64_t offset, uint64_t len, const void *want)
{
    const struct seglog_map_options options = {
        .offset = offset, .len = len, .huge = SEGLOG_HUGE_REQUIRE};
    const void *at;
    struct seglog_map *map;

    child_must(seglog_map_open(path, &options, &map));
    child_must(seglog_map_view(map, 0, len, &at));
    child_assert(memcmp(at, want, len) == 0);
    child_must(seglog_map_close(map));
}

static int uses_huge_maps(struct child *parent, void *arg)
{
    static const char text[] = "across two huge pages";
    char path[512], cell_path[512];
    struct seglog_map_options options = {.mode = SEGLOG_MAP_WRITE,
                                         .flags = SEGLOG_MAP_CREATE | SEGLOG_MAP_EXCLUSIVE,
                                         .huge = SEGLOG_HUGE_REQUIRE};
    const struct seglog_cell_options cell = {.flags = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE};
    struct seglog_map_stat stat;
    struct seglog_cell *c;
    struct statfs fs;
    struct seglog_map *map;
    uint64_t page, at;
    const void *before;

    (void)parent;
    if (!huge_mount(arg))
        return LEFT_OUT;
    snprintf(path, sizeof(path), "%s/map", (const char *)arg);
    snprintf(cell_path, sizeof(cell_path), "%s/cell", (const char *)arg);
    child_assert(statfs(arg, &fs) == 0);
    page = (uint64_t)fs.f_bsize;
    options.size = 2 * page;
    child_must(seglog_map_open(path, &options, &map));
    child_must(seglog_map_stat(map, &stat));
    child_assert(stat.huge == SEGLOG_HUGE_GRANTED && stat.page_size == page &&
                 stat.size == 2 * page);
    at = page - 7;
    child_must(seglog_map_write(map, at, text, sizeof(text)));
    child_must_be(seglog_map_write(map, 2 * page - 1, text, sizeof(text)), -ERANGE);
    look_at_a_part(path, at, sizeof(text), text);
    look_at_a_part(path, at + 3, sizeof(text) - 5, text + 3);

    /* It grows by whole pages, and views stay where they are. */
    child_must(seglog_map_view(map, at, sizeof(text), &before));
    child_must(seglog_map_grow(map, 2 * page + 1));
    child_must(seglog_map_stat(map, &stat));
    child_assert(stat.size > 2 * page && memcmp(before, text, sizeof(text)) == 0);
    child_must(seglog_map_write(map, 2 * page, text, 1));
    child_must_be(seglog_map_flush(map), SEGLOG_EVOLATILE);
    child_must(seglog_map_close(map));
    look_at_a_part(path, at, sizeof(text), text);

    /* What is not only mapped cannot lie there. */
    child_must_be(seglog_cell_open(cell_path, &cell, &c), SEGLOG_EFS);
    return seglog_map_delete(path);
}

Test(map_huge, a_file_on_huge_pages_is_mapped_by_them)
{
    struct huge_pages pages;
    struct child child;
    int status;

    if (!huge_pages_take(&pages, WANTED))
        cr_skip("no huge pages to be had");
    child_start(&child, uses_huge_maps, files_dir);
    status = child_status(&child);
    huge_pages_give(&pages);
    if (status == LEFT_OUT)
        cr_skip("no mount of hugetlbfs to be had");
    cr_assert_eq(status, 0);
}
