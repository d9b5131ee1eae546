/*
 * Reading by a cursor: who holds it, and what is stored when.
 *
 * A commit is one write of 64 bytes. What it may say is bounded by `reached`, which follows the reader:
 * so no mistake of the caller's stores a place beyond what was handed out.
 */
#include "cursor/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/clock.h"

#define AUTO_NS_DEFAULT UINT64_C(100000000)
#define KNOWN_FLAGS \
    (SEGLOG_CURSOR_CREATE | SEGLOG_CURSOR_AUTO | SEGLOG_CURSOR_DURABLE | SEGLOG_CURSOR_SKIP)

/* ---- whose it is ---------------------------------------------------------------------------- */

/* Is what we locked still what the name leads to? It may have been removed and made anew. */
static int still_named(const struct log_view *view, const char *file, int fd)
{
    struct file_facts mine, named;
    int rc = file_facts(fd, &mine);

    if (rc == 0)
        rc = file_facts_named(view->dirfd, file, &named);
    if (rc < 0)
        return rc;
    return mine.ino == named.ino && mine.dev == named.dev ? 0 : -ENOENT;
}

int cursor_take(const struct log_view *view, const char *name, struct owner *owner, int *fd)
{
    char file[STORED_FILE_BYTES];
    struct file_facts facts;
    int rc;

    stored_file_name(name, file);
    *fd = file_open(view->dirfd, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    if (*fd < 0)
        return *fd == -ENOENT ? -ENODATA : *fd == -ELOOP || *fd == -EISDIR ? SEGLOG_ECORRUPT : *fd;
    rc = file_facts(*fd, &facts);
    if (rc == 0 && !facts.is_regular)
        rc = SEGLOG_ECORRUPT;
    if (rc == 0)
        rc = owner_open(view->dirfd, file, owner);
    if (rc == 0) {
        rc = owner_lock(owner, CURSOR_BYTE_HOLDER, true);
        if (rc == 0)
            rc = still_named(view, file, *fd);
        if (rc < 0)
            owner_close(owner);
        else
            owner_settle(owner);
    }
    if (rc < 0) {
        file_close(*fd);
        *fd = -1;
    }
    return rc == -EAGAIN ? -EBUSY : rc == -ENOENT ? -ENODATA : rc;
}

/* ---- where it stands ------------------------------------------------------------------------ */

int cursor_place(struct seglog_reader *reader, const struct cursor_facts *facts, int *status)
{
    struct seglog_place place = {
        .kind = SEGLOG_PLACE_SEQ, .check_epoch = 1, .value = facts->seq, .epoch = facts->epoch};
    uint64_t cut;
    int rc = seglog_reader_seek(reader, &place);

    /* Not there: after a power cut, before a recovery has said so. */
    *status = rc == -ERANGE ? SEGLOG_EREWOUND : rc;
    if (rc == 0 || (*status != SEGLOG_ETRIMMED && *status != SEGLOG_EREWOUND))
        return rc;
    if (*status == SEGLOG_ETRIMMED)
        place = (struct seglog_place){.kind = SEGLOG_PLACE_FIRST};
    else if (seek_cut(reader, facts->epoch, &cut) == 1 && cut < facts->seq)
        place = (struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = cut};
    else
        place = (struct seglog_place){.kind = SEGLOG_PLACE_END};
    rc = seglog_reader_seek(reader, &place);
    if (rc == -ERANGE) { /* nor that: the next power cut took what led there */
        place = (struct seglog_place){.kind = SEGLOG_PLACE_END};
        rc = seglog_reader_seek(reader, &place);
    }
    if (rc == SEGLOG_ETRIMMED) { /* what lay behind the cut was removed, too */
        place = (struct seglog_place){.kind = SEGLOG_PLACE_FIRST};
        rc = seglog_reader_seek(reader, &place);
    }
    return rc;
}

/* ---- open ----------------------------------------------------------------------------------- */

/* A new cursor, where the reader stands. Nothing may be removed between the two looks. */
static int cursor_make(struct seglog_cursor *c, const char *name)
{
    struct cursor_facts facts = {0};
    struct owner lock;
    int rc = stored_lock(&c->reader->view, true, &lock);

    if (rc < 0)
        return rc;
    seglog_reader_position(c->reader, &facts.seq, &facts.epoch);
    rc = cursor_place(c->reader, &facts, &(int){0});
    if (rc == 0) {
        seglog_reader_position(c->reader, &facts.seq, &facts.epoch);
        rc = stored_create(&c->reader->view, name, &facts);
    }
    owner_close(&lock);
    return rc == -EEXIST ? 0 : rc; /* somebody else was faster: whose it is is settled next */
}

static int cursor_begin(struct seglog_cursor *c, const char *name)
{
    const struct log_view *view = &c->reader->view;
    int status, rc = cursor_take(view, name, &c->owner, &c->fd);

    if (rc == -ENODATA && (c->flags & SEGLOG_CURSOR_CREATE)) {
        rc = cursor_make(c, name);
        if (rc == 0)
            rc = cursor_take(view, name, &c->owner, &c->fd);
    }
    if (rc < 0) {
        c->fd = -1;
        return rc;
    }
    rc = stored_read_fd(view, c->fd, &c->stored.facts);
    if (rc == 0)
        rc = cursor_place(c->reader, &c->stored.facts, &status);
    if (rc == 0 && status < 0 && !(c->flags & SEGLOG_CURSOR_SKIP))
        rc = status;
    if (rc == 0 && c->stored.facts.pid != (uint32_t)getpid()) {
        /* The same place, with our name: who looks is told who holds it. Not worth failing for. */
        const struct cursor_facts facts = c->stored.facts;

        (void)stored_write(view, c->fd, &c->stored, &facts, false);
    }
    return rc;
}

int seglog_cursor_open(const char *dir, const char *name,
                       const struct seglog_cursor_options *options, struct seglog_cursor **out)
{
    static const struct seglog_cursor_options plain;
    const struct seglog_cursor_options *o = options ? options : &plain;
    struct seglog_cursor *c;
    int rc;

    if (!stored_name_is_legal(name) || (o->flags & ~KNOWN_FLAGS) != 0)
        return -EINVAL;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->fd = -1;
    c->owner = OWNER_NONE;
    c->flags = o->flags;
    c->auto_ns = o->auto_ns ? o->auto_ns : AUTO_NS_DEFAULT;
    rc = seglog_reader_open(dir, &o->reader, &c->reader);
    if (rc == 0)
        rc = cursor_begin(c, name);
    if (rc < 0) {
        c->flags = 0; /* nothing is stored by a close of this */
        seglog_cursor_close(c);
        return rc;
    }
    seglog_reader_position(c->reader, &c->reached, &c->epoch);
    c->due_ns = clock_monotonic_ns() + c->auto_ns;
    *out = c;
    return 0;
}

/* ---- reading and storing -------------------------------------------------------------------- */

struct seglog_reader *seglog_cursor_reader(struct seglog_cursor *cursor)
{
    return cursor->reader;
}

/* How far the reader has been. Behind a cut the numbers begin again. */
static void cursor_follow(struct seglog_cursor *c)
{
    uint64_t seq, epoch;

    seglog_reader_position(c->reader, &seq, &epoch);
    if (seq > c->reached || epoch != c->epoch)
        c->reached = seq;
    c->epoch = epoch;
}

int seglog_cursor_commit(struct seglog_cursor *c, uint64_t next_seq)
{
    const bool durable = (c->flags & SEGLOG_CURSOR_DURABLE) != 0;
    struct cursor_facts facts = {0};

    if (reader_is_forked(c->reader))
        return SEGLOG_EFORKED;
    cursor_follow(c);
    if (next_seq == UINT64_MAX)
        next_seq = c->reached;
    if (next_seq > c->reached)
        return -ERANGE;
    if (next_seq == c->stored.facts.seq && c->epoch == c->stored.facts.epoch) {
        /* Who stored it may not have asked for more than that. */
        return durable ? stored_sync(c->fd, &c->stored) : 0;
    }
    facts.seq = next_seq;
    facts.epoch = c->epoch;
    return stored_write(&c->reader->view, c->fd, &c->stored, &facts, durable);
}

int seglog_cursor_next(struct seglog_cursor *c, struct seglog_view *out)
{
    uint64_t before;
    int rc, committed;

    if (!(c->flags & SEGLOG_CURSOR_AUTO) || reader_is_forked(c->reader))
        return seglog_reader_next(c->reader, out);
    cursor_follow(c);
    before = c->reached;
    if (before != c->stored.facts.seq && clock_monotonic_ns() >= c->due_ns) {
        rc = seglog_cursor_commit(c, before);
        if (rc < 0)
            return rc;
        c->due_ns = clock_monotonic_ns() + c->auto_ns;
    }
    rc = seglog_reader_next(c->reader, out);
    if (rc != -EAGAIN)
        return rc;
    committed = seglog_cursor_commit(c, before); /* there is time */
    return committed < 0 ? committed : rc;
}

int seglog_cursor_close(struct seglog_cursor *c)
{
    int rc = 0;

    if (!c)
        return 0;
    if (c->reader && !reader_is_forked(c->reader) && (c->flags & SEGLOG_CURSOR_AUTO))
        rc = seglog_cursor_commit(c, UINT64_MAX);
    seglog_reader_close(c->reader);
    owner_close(&c->owner);
    file_close(c->fd);
    free(c);
    return rc;
}
