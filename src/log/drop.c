/*
 * Removing the oldest segment: the floor first, durably, then the name.
 *
 * Stands in for retention until there is one. Readers that stand in the segment keep their mapping;
 * readers that come later find the floor and say "trimmed". The file may become another segment when
 * nobody holds it any more: segment/recycle.c.
 */
#include "log/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The first floor of a log: a whole file or none, for whoever looks meanwhile. */
static int floor_create(struct seglog_log *log, const struct floor_slot slots[2])
{
    const int dirfd = log->view.dirfd;
    int fd, rc;

    file_unlink(dirfd, NAME_FLOOR ".tmp"); /* of one that was killed */
    fd = file_create(dirfd, NAME_FLOOR ".tmp", (mode_t)log->view.settings.mode);
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

static int floor_write(struct seglog_log *log, const struct floor_facts *last, uint64_t number,
                       uint64_t first_seq)
{
    const struct floor_facts facts = {
        .counter = last->counter + 1, .number = number, .first_seq = first_seq};
    struct floor_slot slots[2];
    int rc, fd = file_open(log->view.dirfd, NAME_FLOOR, O_RDWR, 0);

    memset(slots, 0, sizeof(slots));
    floor_encode(&slots[facts.counter % 2], log->view.settings.uuid, &facts);
    if (fd == -ENOENT) {
        rc = floor_create(log, slots);
    } else if (fd < 0) {
        return fd;
    } else {
        const uint64_t place = facts.counter % 2 * sizeof(slots[0]);

        rc = file_pwrite(fd, &slots[facts.counter % 2], sizeof(slots[0]), place);
        if (rc == 0)
            rc = file_sync(fd);
        file_close(fd);
    }
    return rc < 0 ? rc : dir_sync(log->view.dirfd);
}

/* Where a segment begins and, if it is sealed, ends. */
struct extent {
    bool is_active; /* activated; else nothing else is known */
    bool is_sealed;
    uint64_t base_seq;
    uint64_t next_seq;
};

/* 0; -ENOENT: there is no such file */
static int extent_of(struct seglog_log *log, uint64_t number, struct extent *out)
{
    struct activation_facts act;
    struct footer_facts footer;
    struct segment *seg;
    int rc =
        segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_PREAD, &seg, NULL);

    *out = (struct extent){0};
    if (rc < 0)
        return rc;
    rc = segment_activation(seg, &act);
    if (rc == 0) {
        out->is_active = true;
        out->base_seq = act.base_seq;
    }
    if (segment_footer(seg, &footer, NULL) == 0) {
        *out = (struct extent){.is_active = true,
                               .is_sealed = true,
                               .base_seq = footer.base_seq,
                               .next_seq = footer.next_seq};
        rc = 0;
    }
    segment_close(seg);
    return rc == -EAGAIN ? 0 : rc;
}

/*
 * May the segment go? Then *next_seq is the first number behind it. The newest sealed one stays, since
 * the next seal chains to it. Where nobody seals (SEGLOG_SYNC_NONE) a full segment, whose successor is
 * active, may go too; and a sealed one when the one behind it is full.
 */
static int may_go(struct seglog_log *log, uint64_t number, uint64_t *next_seq)
{
    struct extent this, next, after = {0};
    int rc = extent_of(log, number, &this);

    if (rc < 0)
        return rc;
    rc = extent_of(log, number + 1, &next);
    if (rc < 0)
        return rc == -ENOENT ? -EBUSY : rc;
    *next_seq = this.is_sealed ? this.next_seq : next.base_seq;
    if (this.is_sealed && next.is_sealed)
        return 0;
    if (log->view.settings.sync != SEGLOG_SYNC_NONE || !next.is_active)
        return -EBUSY;
    if (!this.is_sealed)
        return 0;
    rc = extent_of(log, number + 2, &after);
    return rc == 0 && after.is_active ? 0 : -EBUSY;
}

int log_drop_oldest(struct seglog_log *log)
{
    struct segment_list list;
    struct floor_facts floor;
    uint64_t number = 0, next_seq = 0;
    size_t i = 0;
    int rc = log_view_floor(&log->view, &floor);

    if (rc == 0)
        rc = segment_list_read(log->view.dirfd, &list);
    if (rc < 0)
        return rc;
    while (i < list.count && list.numbers[i] < floor.number)
        i++; /* left by a removal that was killed: its floor stands */
    if (i < list.count)
        number = list.numbers[i];
    else
        rc = -ENOENT;
    segment_list_free(&list);
    if (rc == 0)
        rc = may_go(log, number, &next_seq);
    if (rc == 0)
        rc = floor_write(log, &floor, number + 1, next_seq);
    if (rc < 0)
        return rc;
    /* D1: the floor is durable, the file still there: nobody reads it any more, recovery removes it. */
    log_table_reap(log); /* if it is one that we have left, we need it no longer */
    return segment_retire(log->view.dirfd, number, log->view.settings.segment_size);
    /* D2: a file in retirement: it is recycled, or the next first opener sweeps it. */
}
