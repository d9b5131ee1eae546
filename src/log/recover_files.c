/*
 * Recovery: the files. Which of them hold nothing, whether any was ever durable, and what becomes of
 * those below the floor and beyond the end of the log.
 */
#include "log/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "segment/archive.h"

bool recover_has_later(const struct recovering *r, uint64_t number)
{
    return r->list.count > 0 && r->list.numbers[r->list.count - 1] > number;
}

/* Has the file of this segment a mark, whatever became of its header? 1, 0 or a status. */
static int has_mark(const struct recovering *r, uint64_t number)
{
    static const uint64_t places[2] = {OFF_MARK0, OFF_MARK1};
    char name[SEGMENT_NAME_BYTES];
    int fd, rc = 0;

    segment_name(number, name);
    fd = file_open(r->log->view.dirfd, name, O_RDONLY, 0);
    if (fd == -ENOENT) /* what was archived was sealed */
        return archive_exists(r->log->view.dirfd, number);
    if (fd < 0)
        return fd;
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct mark_slot slot;

        rc = file_pread(fd, &slot, sizeof(slot), places[i]);
        if (rc == 0)
            rc = mark_is_whole(&slot);
    }
    file_close(fd);
    return rc == -ENODATA ? 0 : rc;
}

int recover_later_is_durable(const struct recovering *r, uint64_t number)
{
    for (size_t i = r->list.count; i-- > 0 && r->list.numbers[i] > number;) {
        const int rc = has_mark(r, r->list.numbers[i]);

        if (rc != 0)
            return rc;
    }
    return 0;
}

int recover_was_durable_from(const struct recovering *r, uint64_t number)
{
    const int rc = has_mark(r, number);

    return rc != 0 ? rc : recover_later_is_durable(r, number);
}

/* ---- files that hold nothing ------------------------------------------------------------------ */

/* A file that was prepared and never used holds nothing worth keeping. In a recycled one, bytes of the
 * segment that it was before may have come back. */
static int is_unused(const struct segment *seg)
{
    struct activation_facts act;
    uint64_t last;
    int rc = segment_activation(seg, &act);

    if (rc != -EAGAIN)
        return rc == 0 || rc == SEGLOG_ECORRUPT ? 0 : rc;
    rc = recover_is_zero(seg, OFF_FRAMES, seg->facts.size);
    if (rc == 0 && seg->facts.recycled) {
        rc = recover_count_frames(seg, OFF_FRAMES, 0, &last);
        return rc < 0 ? rc : rc == 0;
    }
    return rc;
}

/* Is there nothing in a file but, perhaps, a tail page? 1, 0 or a status. */
static int is_blank(int fd)
{
    static const uint64_t step = UINT64_C(1) << 16;
    uint8_t *bytes = malloc(step);
    struct file_facts file;
    int rc = bytes ? file_facts(fd, &file) : -ENOMEM;
    /* A larger file was never one of ours, and may be too large to be read. */
    bool blank = rc == 0 && file.size <= SEGMENT_SIZE_MAX;

    for (uint64_t at = 0; rc == 0 && blank && at < file.size; at += step) {
        const uint64_t n = file.size - at < step ? file.size - at : step;

        rc = file_pread(fd, bytes, n, at);
        if (rc == 0 && at <= OFF_TAIL && OFF_TAIL + PAGE_BYTES <= at + n)
            memset(bytes + (OFF_TAIL - at), 0, PAGE_BYTES);
        blank = rc == 0 && bytes_are_zero(bytes, n);
    }
    free(bytes);
    return rc < 0 ? rc : blank;
}

/* A file was prepared and never used: as is_unused(), or a power cut took its header. */
static int file_is_unused(const struct recovering *r, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    struct segment *seg;
    int fd, rc = segment_open(r->log->view.dirfd, number, r->log->view.settings.uuid, SEGMENT_PREAD,
                              &seg, NULL);

    if (rc == 0) {
        rc = is_unused(seg);
        segment_close(seg);
        return rc;
    }
    if (rc != SEGLOG_ECORRUPT && rc != SEGLOG_ENOTLOG)
        return rc;
    segment_name(number, name);
    fd = file_open(r->log->view.dirfd, name, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    rc = is_blank(fd);
    file_close(fd);
    return rc;
}

/* ---- files that go ---------------------------------------------------------------------------- */

int recover_drop_below(struct recovering *r, const struct floor_facts *floor)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->list.count; i++) {
        if (r->list.numbers[i] < floor->number) {
            const int rc = segment_unlink(r->log->view.dirfd, r->list.numbers[i]);

            if (rc < 0)
                return rc;
            continue;
        }
        r->list.numbers[kept++] = r->list.numbers[i];
    }
    r->list.count = kept;
    return 0;
}

/* Take a file beyond the end of the log out of the way: by another name, or if unused for good. */
static int set_aside(struct recovering *r, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES], aside[80];
    int rc = file_is_unused(r, number);
    const bool unused = rc == 1;

    if (rc == -EIO || rc == -EACCES || rc == -EMFILE || rc == -ENOMEM)
        return rc;
    segment_name(number, name);
    if (unused)
        return file_unlink(r->log->view.dirfd, name);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(aside, sizeof(aside), "%016llx.aside-%llu-%u", (unsigned long long)number,
                 (unsigned long long)r->act.epoch, i);
        rc = file_rename_new(r->log->view.dirfd, name, aside);
        if (rc == 0)
            r->log->recovery.files_aside++;
        if (rc != -EEXIST)
            return rc;
    }
    return rc;
}

int recover_set_aside_from(struct recovering *r, uint64_t number)
{
    /* Newest first, so that being killed in between leaves a shorter log, never one with a hole. */
    while (r->list.count > 0 && r->list.numbers[r->list.count - 1] >= number) {
        const int rc = set_aside(r, r->list.numbers[r->list.count - 1]);
        if (rc < 0)
            return rc;
        r->list.count--;
    }
    return 0;
}

int recover_all_unused_from(const struct recovering *r, uint64_t number)
{
    for (size_t i = r->list.count; i-- > 0 && r->list.numbers[i] >= number;) {
        const int rc = file_is_unused(r, r->list.numbers[i]);

        if (rc != 1)
            return rc;
    }
    return 1;
}
