/*
 * Removing the oldest segment: the floor first, durably, then the file.
 *
 * Stands in for retention until there is one. Readers that stand in the segment keep their mapping;
 * readers that come later find the floor and say "trimmed".
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
