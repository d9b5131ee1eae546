/*
 * Places in a segment, stored, noted and searched; and what a reader remembers of a log's segments.
 */
#include <criterion/criterion.h>

#include <errno.h>

#include "index/catalog.h"
#include "index/sparse.h"
#include "support/build_log.h"
#include "support/check.h"

/* n frames of one stride each, the k-th at stride k with number 10 k and time times[k] in it. */
static void note(struct sparse *sparse, const uint64_t *times, size_t n)
{
    sparse_reset(sparse);
    for (size_t i = 0; i < n; i++) {
        cr_assert_ok(sparse_note(sparse));
        sparse_pass(sparse, OFF_FRAMES + (i + 1) * INDEX_STRIDE, 10 * (i + 1), times[i]);
    }
}

Test(sparse, places_are_found_by_number_offset_and_largest_time_so_far)
{
    static const uint64_t times[] = {50, 900, 60, 70, 1000};
    struct sparse sparse = {0};

    note(&sparse, times, 5);
    cr_assert_eq(sparse.count, 5);
    cr_assert_eq(sparse_by_seq(&sparse, 0)->offset, OFF_FRAMES);
    cr_assert_eq(sparse_by_seq(&sparse, 29)->seq_rel, 20);
    cr_assert_eq(sparse_by_seq(&sparse, 30)->seq_rel, 30);
    cr_assert_eq(sparse_by_seq(&sparse, UINT64_MAX)->seq_rel, 40);
    /* Time 65 is reached by the frame of time 900 already, though one of 60 comes later. */
    cr_assert_eq(sparse_by_time(&sparse, 65)->seq_rel, 10);
    cr_assert_eq(sparse_by_time(&sparse, 50)->seq_rel, 0);
    cr_assert_eq(sparse_by_time(&sparse, 901)->seq_rel, 40);
    cr_assert_null(sparse_by_time(&sparse, 0));
    cr_assert_null(sparse_by_offset(&sparse, OFF_FRAMES));
    cr_assert_eq(sparse_by_offset(&sparse, OFF_FRAMES + 1)->seq_rel, 0);
    sparse_free(&sparse);
}

Test(sparse, one_place_for_each_stride)
{
    struct sparse sparse = {0};

    sparse_reset(&sparse);
    for (uint64_t i = 0; i < 3 * INDEX_STRIDE / FRAME_ALIGN; i++) {
        cr_assert_ok(sparse_note(&sparse));
        sparse_pass(&sparse, sparse.at + FRAME_ALIGN, i + 1, i);
    }
    cr_assert_eq(sparse.count, 3);
    cr_assert_eq(sparse.anchors[2].offset, OFF_FRAMES + 2 * INDEX_STRIDE);
    sparse_free(&sparse);
}

Test(sparse, a_search_never_goes_behind_what_may_still_change)
{
    static const uint64_t times[] = {1, 2};
    struct sparse sparse = {0};

    note(&sparse, times, 2);
    sparse_doubt(&sparse);
    for (uint64_t i = 2; i < 6; i++) {
        cr_assert_ok(sparse_note(&sparse));
        sparse_pass(&sparse, OFF_FRAMES + (i + 1) * INDEX_STRIDE, 10 * (i + 1), i + 1);
    }
    cr_assert_eq(sparse_by_seq(&sparse, 55)->seq_rel, 20);
    cr_assert_eq(sparse_by_time(&sparse, 6)->seq_rel, 20);
    cr_assert_eq(sparse_by_offset(&sparse, UINT32_MAX)->seq_rel, 50, "backward it may");
    sparse_settle(&sparse);
    cr_assert_eq(sparse.at, OFF_FRAMES + 2 * INDEX_STRIDE);
    cr_assert_eq(sparse.seq_rel, 20);
    cr_assert_eq(sparse.max_time, 2);
    cr_assert_eq(sparse.count, 3);
    sparse_free(&sparse);
}

Test(sparse, what_a_seal_stored_is_taken_over_and_damage_is_refused)
{
    struct build_log log;
    struct build_segment seg;
    struct sparse sparse = {0};

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 500);
    build_roll(&seg);
    build_seal(&seg, NULL);
    cr_assert_ok(sparse_load(&sparse, seg.seg, &seg.footer));
    cr_assert_eq(sparse.count, seg.footer.index_count);
    cr_assert_eq(sparse.at, seg.footer.frames_end);
    cr_assert_eq(sparse.seq_rel, 500);
    cr_assert_eq(sparse.anchors[0].offset, OFF_FRAMES);
    sparse_reset(&sparse);
    build_damage(&seg, seg.footer.index_off + offsetof(struct index_entry, max_time));
    cr_assert_status(sparse_load(&sparse, seg.seg, &seg.footer), SEGLOG_ECORRUPT);
    cr_assert_eq(sparse.count, 0);
    sparse_free(&sparse);
    build_close(&seg);
    build_log_remove(&log);
}

/* ---- the catalog ---------------------------------------------------------------------------- */

static bool ends_behind(void *context, size_t i, uint64_t seq)
{
    const struct catalog *catalog = context;

    return catalog->entries[i].facts.next_seq > seq;
}

Test(catalog, keeps_what_is_final_through_new_segments_and_a_moving_floor)
{
    struct build_log log;
    struct build_segment segs[5];
    struct catalog catalog = {0};

    build_log_make(&log);
    for (unsigned i = 0; i < 3; i++) {
        build_begin(&log, i > 0 ? &segs[i - 1] : NULL, &segs[i]);
        build_records(&segs[i], 10);
        build_roll(&segs[i]);
    }
    cr_assert_ok(catalog_refresh(&catalog, log.dirfd, 0));
    cr_assert_eq(catalog.count, 3);
    cr_assert_eq(catalog.sealed, 0);
    for (size_t i = 0; i < 2; i++) {
        const struct catalog_facts facts = {
            .base_seq = 10 * i, .next_seq = 10 * (i + 1), .sealed = true};
        catalog_learn(&catalog, i, &facts);
    }
    catalog_learn(&catalog, 2, &(struct catalog_facts){.base_seq = 20});
    cr_assert_eq(catalog.sealed, 2, "what is not sealed may change and is not kept");
    cr_assert_eq(catalog_first(catalog.sealed, ends_behind, &catalog, 9), 0);
    cr_assert_eq(catalog_first(catalog.sealed, ends_behind, &catalog, 10), 1);
    cr_assert_eq(catalog_first(catalog.sealed, ends_behind, &catalog, 20), 2);

    /* At once: within the tick in which the directory was listed. */
    for (unsigned i = 3; i < 5; i++) {
        build_begin(&log, &segs[i - 1], &segs[i]);
        build_roll(&segs[i]);
    }
    cr_assert_ok(catalog_refresh(&catalog, log.dirfd, 1));
    cr_assert_eq(catalog.count, 4);
    cr_assert_eq(catalog.entries[0].number, 1);
    cr_assert_eq(catalog.entries[0].facts.next_seq, 20);
    cr_assert_eq(catalog.entries[3].number, 4);
    cr_assert_eq(catalog.sealed, 1);
    cr_assert_ok(catalog_refresh(&catalog, log.dirfd, 3));
    cr_assert_eq(catalog.count, 2);
    cr_assert_eq(catalog.sealed, 0);
    catalog_free(&catalog);
    for (unsigned i = 0; i < 5; i++)
        build_close(&segs[i]);
    build_log_remove(&log);
}

Test(catalog, a_directory_that_is_gone_changes_nothing)
{
    struct catalog catalog = {0};

    cr_assert_status(catalog_refresh(&catalog, -1, 0), -EBADF);
    cr_assert_eq(catalog.count, 0);
}
