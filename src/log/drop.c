/*
 * Removing the oldest segments: the floor first, durably, then the names, oldest first.
 *
 * Readers that stand in a removed segment keep their mapping; readers that come later find the floor
 * and say "trimmed". The file may become another segment when nobody holds it any more:
 * segment/recycle.c. What may go, and why, is trim.c's.
 */
#include "log/trim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The first floor of a log: a whole file or none, for whoever looks meanwhile. */
static int floor_create(const struct log_view *view, const struct floor_slot slots[2])
{
    const int dirfd = view->dirfd;
    int fd, rc;

    file_unlink(dirfd, NAME_FLOOR ".tmp"); /* of one that was killed */
    fd = file_create(dirfd, NAME_FLOOR ".tmp", (mode_t)view->settings.mode);
    if (fd < 0)
        return fd;
    rc = file_pwrite(fd, slots, 2 * sizeof(slots[0]), 0);
    if (rc == 0)
        rc = file_sync(fd);
    file_close(fd);
    if (rc == 0)
        rc = file_rename_new(dirfd, NAME_FLOOR ".tmp", NAME_FLOOR);
    if (rc < 0)
        file_unlink(dirfd, NAME_FLOOR ".tmp");
    return rc;
}

static int floor_write(const struct log_view *view, const struct floor_facts *last, uint64_t number,
                       uint64_t first_seq)
{
    const struct floor_facts facts = {
        .counter = last->counter + 1, .number = number, .first_seq = first_seq};
    struct floor_slot slots[2];
    int rc, fd = file_open(view->dirfd, NAME_FLOOR, O_RDWR, 0);

    memset(slots, 0, sizeof(slots));
    floor_encode(&slots[facts.counter % 2], view->settings.uuid, &facts);
    if (fd == -ENOENT) {
        rc = floor_create(view, slots);
    } else if (fd < 0) {
        return fd;
    } else {
        const uint64_t place = facts.counter % 2 * sizeof(slots[0]);

        rc = file_pwrite(fd, &slots[facts.counter % 2], sizeof(slots[0]), place);
        if (rc == 0)
            rc = file_sync(fd);
        file_close(fd);
    }
    return rc < 0 ? rc : dir_sync(view->dirfd);
}

/* 0; -ENOENT, SEGLOG_ECORRUPT ... */
int drop_extent(const struct log_view *view, uint64_t number, struct drop_extent *out)
{
    struct activation_facts act;
    struct footer_facts footer;
    struct segment *seg;
    int rc = segment_open(view->dirfd, number, view->settings.uuid, SEGMENT_PREAD, &seg, NULL);

    *out = (struct drop_extent){0};
    if (rc < 0)
        return rc;
    rc = segment_activation(seg, &act);
    if (rc == 0) {
        out->is_active = true;
        out->base_seq = act.base_seq;
    }
    if (segment_footer(seg, &footer, NULL) == 0) {
        *out = (struct drop_extent){.is_active = true,
                                    .is_sealed = true,
                                    .base_seq = footer.base_seq,
                                    .next_seq = footer.next_seq,
                                    .sealed_ns = footer.sealed_ns};
        rc = 0;
    }
    segment_close(seg);
    return rc == -EAGAIN ? 0 : rc;
}

/*
 * The newest sealed one stays, since the next seal chains to it. Where nobody seals (SEGLOG_SYNC_NONE)
 * a full segment, whose successor is active, may go too; and a sealed one when the one behind it is
 * full.
 */
int drop_may_go(const struct log_view *view, uint64_t number, struct drop_extent *out)
{
    struct drop_extent next, after;
    int rc = drop_extent(view, number, out);
    const bool is_damaged = rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG;

    if (rc < 0 && !is_damaged)
        return rc;
    rc = drop_extent(view, number + 1, &next);
    if (rc < 0)
        return rc == -ENOENT ? -EBUSY : rc;
    if (!out->is_sealed)
        out->next_seq = next.base_seq;
    if (is_damaged) /* nobody could read it, and it must not be in the way for ever */
        return next.is_sealed ? 0 : -EBUSY;
    if (out->is_sealed && next.is_sealed)
        return 0;
    if (view->settings.sync != SEGLOG_SYNC_NONE || !next.is_active)
        return -EBUSY;
    if (!out->is_sealed)
        return 0;
    rc = drop_extent(view, number + 2, &after);
    return rc == 0 && after.is_active ? 0 : -EBUSY;
}

int drop_below(struct seglog_log *log, const struct floor_facts *floor,
               const struct segment_list *list, uint64_t number, uint64_t first_seq)
{
    int first = 0, rc = 0;

    if (number > floor->number)
        rc = floor_write(&log->view, floor, number, first_seq);
    if (rc < 0)
        return rc;
    /* D1: the floor is durable, files still there: nobody reads them any more; whoever removes next, or
     * recovers, removes them. */
    log_table_reap(log); /* if one of them is one that we have left, we need it no longer */
    for (size_t i = 0; i < list->count && list->numbers[i] < number; i++) {
        rc = segment_retire(log->view.dirfd, list->numbers[i], log->view.settings.segment_size);
        if (rc == 0 || rc == -ENOENT)
            rc = segment_unlink(log->view.dirfd, list->numbers[i]); /* its archive, if it has one */
        first = first ? first : rc;
        /* D2: a file in retirement: it is recycled, or the next first opener sweeps it. */
    }
    return first;
}

int log_drop_oldest(struct seglog_log *log)
{
    struct segment_list list = {0};
    struct drop_extent extent;
    struct floor_facts floor;
    struct owner lock;
    uint64_t number = 0;
    size_t i = 0;
    int rc = stored_lock(&log->view, true, &lock);

    if (rc < 0)
        return rc;
    rc = log_view_floor(&log->view, &floor);
    if (rc == 0)
        rc = segment_list_read(log->view.dirfd, &list);
    while (rc == 0 && i < list.count && list.numbers[i] < floor.number)
        i++; /* left by a removal that was killed: its floor stands */
    if (rc == 0 && i < list.count)
        number = list.numbers[i];
    else if (rc == 0)
        rc = -ENOENT;
    if (rc == 0)
        rc = drop_may_go(&log->view, number, &extent);
    if (rc == 0)
        rc = drop_below(log, &floor, &list, number + 1, extent.next_seq);
    segment_list_free(&list);
    owner_close(&lock);
    return rc;
}
