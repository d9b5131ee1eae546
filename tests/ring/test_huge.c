/*
 * A ring on hugetlbfs, whose pages are what its file is made of. A file system of that kind is mounted
 * where nobody else sees it, on pages that are given back; where that may not be done it is left out.
 */
#include "ring/rings.h"
#include "support/huge.h"

#define WANTED   4 /* the words' page, the data's, and as many to spare */
#define LEFT_OUT 77

/* The child has a view of the mounts of its own: whatever happens to it, nothing stays mounted. */
static int uses_a_huge_ring(struct child *parent, void *arg)
{
    const char *dir = arg;
    const struct seglog_ring_options options = {.size = 4096};
    struct seglog_ring_info info;
    struct seglog_producer *p;
    struct seglog_consumer *c;
    struct seglog_ring *ring;
    struct seglog_view view;
    char path[512];

    (void)parent;
    if (!huge_mount(dir))
        return LEFT_OUT;
    snprintf(path, sizeof(path), "%s/ring", dir);
    /* Sizes are whole pages, and those are huge here. */
    child_must_be(seglog_ring_create(path, &options), -EINVAL);
    child_must(seglog_ring_create(path, NULL));
    child_must(seglog_ring_open(path, 0, &ring));
    child_must(seglog_ring_inspect(ring, &info));
    child_assert(info.size >= UINT64_C(2) << 20);
    child_must(seglog_producer_open(ring, NULL, &p));
    child_must(seglog_consumer_open(ring, NULL, &c));
    /* Several times round, so that messages lie across the end. */
    for (uint64_t i = 0; i < info.size * 3 / 100000; i++) {
        static uint8_t bytes[100000];

        memset(bytes, (int)(i + 1), sizeof(bytes));
        child_must(seglog_producer_put(p, bytes, sizeof(bytes), 0));
        child_must(seglog_consumer_next(c, &view));
        child_assert(view.len == sizeof(bytes) && memcmp(view.data, bytes, view.len) == 0);
        seglog_consumer_release(c);
    }
    child_must(seglog_producer_close(p));
    child_must(seglog_consumer_close(c));
    child_must(seglog_ring_close(ring));
    child_must(seglog_ring_remove(path, 0));
    return 0;
}

Test(ring_huge, a_ring_lies_on_huge_pages)
{
    struct huge_pages pages;
    struct child child;
    int status;
    char *dir;

    if (!huge_pages_take(&pages, WANTED))
        cr_skip("no huge pages to be had");
    dir = tmpdir_make();
    child_start(&child, uses_a_huge_ring, dir);
    status = child_status(&child);
    huge_pages_give(&pages);
    tmpdir_remove(dir);
    if (status == LEFT_OUT)
        cr_skip("no mount of hugetlbfs to be had");
    cr_assert_eq(status, 0);
}
