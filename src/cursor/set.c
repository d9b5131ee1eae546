/*
 * Storing and removing cursors from outside. Both take the cursor's lock, as a reader by it would, so
 * that none is moved under a living holder.
 */
#include "cursor/handle.h"

#include <errno.h>

/* Into the file that is there; one that is damaged is written over. */
static int set_existing(const struct log_view *view, const char *name,
                        const struct cursor_facts *facts)
{
    struct stored_place last = {0};
    struct owner owner;
    int fd, rc = cursor_take(view, name, &owner, &fd);

    if (rc < 0)
        return rc;
    rc = stored_read_fd(view, fd, &last.facts);
    if (rc == SEGLOG_ECORRUPT) {
        /* Neither slot counts: both anew, the second with the larger count. */
        last = (struct stored_place){0};
        rc = stored_write(view, fd, &last, facts, true);
    }
    if (rc == 0)
        rc = stored_write(view, fd, &last, facts, true);
    owner_close(&owner);
    file_close(fd);
    return rc;
}

/* Under the lock that keeps segments from being removed: the place is looked up and stored. */
static int set_locked(struct seglog_reader *reader, const char *name,
                      const struct seglog_place *place, uint32_t flags, struct cursor_facts *facts)
{
    int rc = seglog_reader_seek(reader, place);

    if (rc < 0)
        return rc;
    seglog_reader_position(reader, &facts->seq, &facts->epoch);
    if (flags & SEGLOG_CURSOR_DRY_RUN)
        return 0;
    rc = set_existing(&reader->view, name, facts);
    if (rc == -ENODATA) {
        rc = stored_create(&reader->view, name, facts);
        if (rc == -EEXIST)
            rc = -EBUSY;
    }
    return rc;
}

int seglog_cursor_set(const char *dir, const char *name, const struct seglog_place *place,
                      uint32_t flags, struct seglog_cursor_info *out)
{
    struct owner lock = OWNER_NONE;
    struct cursor_facts facts = {0};
    struct seglog_reader *reader;
    int rc;

    if (!stored_name_is_legal(name) || (flags & ~SEGLOG_CURSOR_DRY_RUN) != 0)
        return -EINVAL;
    rc = seglog_reader_open(dir, NULL, &reader);
    if (rc < 0)
        return rc;
    if (!(flags & SEGLOG_CURSOR_DRY_RUN))
        rc = stored_lock(&reader->view, true, &lock);
    if (rc == 0)
        rc = set_locked(reader, name, place, flags, &facts);
    owner_close(&lock);
    if (rc == 0 && out && !(flags & SEGLOG_CURSOR_DRY_RUN))
        rc = stored_read(&reader->view, name, &facts);
    if (rc == 0 && out)
        rc = cursor_report(reader, name, 0, &facts, out);
    seglog_reader_close(reader);
    return rc;
}

int seglog_cursor_remove(const char *dir, const char *name)
{
    char file[STORED_FILE_BYTES];
    struct owner owner = OWNER_NONE;
    struct log_view view;
    int fd = -1, rc;

    if (!stored_name_is_legal(name))
        return -EINVAL;
    rc = log_view_open(dir, true, &view);
    if (rc < 0)
        return rc;
    stored_file_name(name, file);
    rc = cursor_take(&view, name, &owner, &fd);
    if (rc == 0 || rc == SEGLOG_ECORRUPT) {
        rc = file_unlink(view.dirfd, file);
        if (rc == 0)
            rc = dir_sync(view.dirfd);
        owner_close(&owner);
        file_close(fd);
    }
    log_view_close(&view);
    return rc;
}
