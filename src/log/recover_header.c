/*
 * Header pages that rotted, in segments that no seal covers yet.
 *
 * Without its header a segment cannot be opened, and the log could not go on behind it. All that the
 * page said also follows from elsewhere (segment/rebuild.c), so it is written anew, where three
 * things are certain: that the page was there once (the segment or a later one has a mark, or this
 * boot's memory lost it; a page that a power cut kept from ever being written ends the log instead),
 * that it is rot and not another's page (its checksum fails), and that the segment is this log's (its
 * activation block names the segment before). Torn by a kill or a power cut, the page is rotten as
 * before.
 */
#include "log/recover.h"

#include <errno.h>

/* Not to be opened for what its header says. */
static bool is_unreadable(int rc)
{
    return rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG || rc == SEGLOG_EENDIAN;
}

static int open_listed(const struct recovering *r, size_t i, struct segment **out)
{
    return segment_open(r->log->view.dirfd, r->list.numbers[i], r->log->view.settings.uuid,
                        SEGMENT_PREAD, out, NULL);
}

/* The first listed segment that no seal covers; *found: some of them cannot be opened. */
static int find_unsealed(const struct recovering *r, size_t *first, bool *found)
{
    struct footer_facts footer;
    size_t i = r->list.count;

    *found = false;
    for (; i > 0; i--) {
        struct segment *seg;
        int rc = open_listed(r, i - 1, &seg);

        *found |= is_unreadable(rc);
        if (is_unreadable(rc) || rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        rc = segment_footer(seg, &footer, NULL);
        segment_close(seg);
        if (rc == 0)
            break;
    }
    *first = i;
    return 0;
}

/* Does this block continue the segment before, or begin the log? */
static bool is_ours(const struct activation_facts *act, uint64_t number, uint64_t pred_generation,
                    const struct floor_facts *floor)
{
    if (pred_generation != 0)
        return act->pred_generation == pred_generation;
    return number == floor->number && act->base_seq == floor->first_seq &&
           (number != 0 || act->pred_generation == 0);
}

/* 1: written anew, *generation is that of the segment; 0: it cannot be; or a status. */
static int header_rebuild(struct recovering *r, uint64_t number, const struct floor_facts *floor,
                          uint64_t *generation)
{
    struct activation_facts act;
    struct segment *seg;
    int rc = r->same_boot ? 1 : recover_was_durable_from(r, number);

    if (rc != 1)
        return rc;
    rc = segment_rebuild(r->log->view.dirfd, &r->log->view.settings, number, SEGMENT_PREAD_WRITE,
                         &seg, &act);
    if (rc < 0)
        return is_unreadable(rc) || rc == -ENOENT ? 0 : rc;
    if (is_ours(&act, number, *generation, floor)) {
        rc = segment_header_write(seg);
        *generation = seg->facts.generation;
        rc = rc < 0 ? rc : 1;
    }
    segment_close(seg);
    return rc;
}

int recover_headers(struct recovering *r, const struct floor_facts *floor)
{
    uint64_t before = 0, generation = 0; /* of the segment before, if that was readable */
    bool found;
    size_t i;
    int rc = find_unsealed(r, &i, &found);

    if (rc < 0 || !found)
        return rc;
    for (i = i > 0 ? i - 1 : 0; i < r->list.count; i++) {
        const uint64_t number = r->list.numbers[i];
        struct segment *seg;

        if (number != before + 1)
            generation = 0;
        before = number;
        rc = open_listed(r, i, &seg);
        if (rc == 0) {
            generation = seg->facts.generation;
            segment_close(seg);
            continue;
        }
        if (is_unreadable(rc))
            rc = header_rebuild(r, number, floor, &generation);
        if (rc != 1)
            return rc == -ENOENT ? 0 : rc; /* the walk says what that means */
        r->log->recovery.headers_mended++;
    }
    return 0;
}
