/*
 * Looking at cursors: where they stand, who holds them, how far behind they are.
 */
#include "cursor/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sys/clock.h"

static bool is_held(const struct log_view *view, const char *name)
{
    char file[STORED_FILE_BYTES];
    bool held;
    int fd;

    stored_file_name(name, file);
    fd = file_open(view->dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return false;
    held = owner_probe(fd, CURSOR_BYTE_HOLDER) == 1;
    file_close(fd);
    return held;
}

int cursor_report(struct seglog_reader *reader, const char *name, int rc,
                  const struct cursor_facts *facts, struct seglog_cursor_info *out)
{
    struct reader_measure measure;
    const uint64_t now = clock_wall_ns();
    int status;

    *out = (struct seglog_cursor_info){.held = is_held(&reader->view, name), .status = rc};
    memcpy(out->name, name, strlen(name) + 1);
    if (rc == SEGLOG_ECORRUPT)
        return 0;
    if (rc < 0)
        return rc;
    out->pid = facts->pid;
    out->seq = facts->seq;
    out->epoch = facts->epoch;
    out->stored_ns = facts->wall_ns;
    rc = cursor_place(reader, facts, &status);
    if (rc < 0)
        return rc;
    out->status = status;
    seglog_reader_position(reader, &out->resume_seq, NULL);
    rc = reader_measure(reader, &measure);
    if (rc < 0)
        return rc;
    out->lag_records = measure.records;
    out->lag_bytes = measure.bytes;
    if (measure.records > 0 && measure.first_time_ns < now)
        out->lag_ns = now - measure.first_time_ns;
    return 0;
}

static int report_one(struct seglog_reader *reader, const char *name,
                      struct seglog_cursor_info *out)
{
    struct cursor_facts facts = {0};
    const int rc = stored_read(&reader->view, name, &facts);

    return rc == -ENODATA ? rc : cursor_report(reader, name, rc, &facts, out);
}

int seglog_cursor_info_read(const char *dir, const char *name, struct seglog_cursor_info *out)
{
    struct seglog_reader *reader;
    int rc;

    if (!stored_name_is_legal(name))
        return -EINVAL;
    rc = seglog_reader_open(dir, NULL, &reader);
    if (rc < 0)
        return rc;
    rc = report_one(reader, name, out);
    seglog_reader_close(reader);
    return rc;
}

struct listing {
    struct seglog_reader *reader;
    struct seglog_cursor_info *all;
    size_t count;
    size_t capacity;
};

static int list_one(void *context, const char *name)
{
    struct listing *listing = context;
    int rc;

    if (listing->count == listing->capacity) {
        const size_t capacity = listing->capacity ? 2 * listing->capacity : 8;
        struct seglog_cursor_info *all = realloc(listing->all, capacity * sizeof(*all));

        if (!all)
            return -ENOMEM;
        listing->all = all;
        listing->capacity = capacity;
    }
    rc = report_one(listing->reader, name, &listing->all[listing->count]);
    listing->count += rc == 0;
    return rc == -ENODATA ? 0 : rc; /* removed between two looks */
}

static int by_name(const void *a, const void *b)
{
    const struct seglog_cursor_info *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int seglog_cursor_list(const char *dir, struct seglog_cursor_info **out)
{
    struct listing listing = {0};
    int rc = seglog_reader_open(dir, NULL, &listing.reader);

    if (rc < 0)
        return rc;
    rc = stored_each(&listing.reader->view, list_one, &listing);
    seglog_reader_close(listing.reader);
    if (rc < 0) {
        free(listing.all);
        return rc;
    }
    if (listing.count > 0)
        qsort(listing.all, listing.count, sizeof(*listing.all), by_name);
    *out = listing.all;
    return (int)listing.count;
}
