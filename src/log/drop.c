/*
 * Removing the oldest segment: the floor first, durably, then the file.
 *
 * Stands in for retention until there is one. Readers that stand in the segment keep their mapping;
 * readers that come later find the floor and say "trimmed".
 */
#include "log/handle.h"

#include <errno.h>
#include <fcntl.h>

static int floor_write(struct seglog_log *log, const struct floor_facts *last, uint64_t number,
                       uint64_t first_seq)
{
    const struct floor_facts facts = {
        .counter = last->counter + 1, .number = number, .first_seq = first_seq};
    struct floor_slot slot;
    int rc, fd = file_open(log->view.dirfd, NAME_FLOOR, O_RDWR, 0);

    if (fd == -ENOENT)
        fd = file_create(log->view.dirfd, NAME_FLOOR, (mode_t)log->view.settings.mode);
    if (fd < 0)
        return fd;
    floor_encode(&slot, log->view.settings.uuid, &facts);
    rc = file_pwrite(fd, &slot, sizeof(slot), facts.counter % 2 * sizeof(slot));
    if (rc == 0)
        rc = file_sync(fd);
    file_close(fd);
    if (rc == 0)
        rc = dir_sync(log->view.dirfd);
    return rc;
}

/* Is `number` sealed? Its footer, or -EBUSY. */
static int sealed_footer(struct seglog_log *log, uint64_t number, struct footer_facts *out)
{
    struct segment *seg;
    int rc =
        segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_PREAD, &seg, NULL);

    if (rc < 0)
        return rc;
    rc = segment_footer(seg, out, NULL);
    segment_close(seg);
    return rc == -EAGAIN ? -EBUSY : rc;
}

int log_drop_oldest(struct seglog_log *log)
{
    struct segment_list list;
    struct floor_facts floor;
    struct footer_facts oldest, second;
    char name[SEGMENT_NAME_BYTES];
    uint64_t number = 0;
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
        rc = sealed_footer(log, number, &oldest);
    /* The newest sealed one stays: the next seal chains to it. */
    if (rc == 0)
        rc = sealed_footer(log, number + 1, &second);
    if (rc == -ENOENT && number != 0)
        rc = -EBUSY;
    if (rc == 0)
        rc = floor_write(log, &floor, number + 1, oldest.next_seq);
    /* D1: the floor is durable, the file still there: nobody reads it any more, recovery removes it. */
    if (rc == 0) {
        segment_name(number, name);
        rc = file_unlink(log->view.dirfd, name);
    }
    return rc;
}
