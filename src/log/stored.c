/*
 * Cursors as they lie in a log's directory. See stored.h.
 */
#include "log/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/clock.h"

#define PREFIX "cursor-"

#define LOCK_LOOKS   5000
#define LOCK_LOOK_NS UINT64_C(1000000)

/* ---- names ---------------------------------------------------------------------------------- */

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool stored_name_is_legal(const char *name)
{
    const size_t n = strnlen(name, STORED_NAME_MAX + 1);

    if (n == 0 || n > STORED_NAME_MAX || !is_plain(name[0]))
        return false;
    if (n > 4 && strcmp(name + n - 4, ".tmp") == 0)
        return false; /* that is what unfinished files are called */
    for (size_t i = 1; i < n; i++)
        if (!is_plain(name[i]) && name[i] != '.' && name[i] != '-')
            return false;
    return true;
}

void stored_file_name(const char *name, char out[STORED_FILE_BYTES])
{
    snprintf(out, STORED_FILE_BYTES, PREFIX "%s", name);
}

struct each {
    int (*fn)(void *context, const char *name);
    void *context;
};

static int each_name(void *context, const char *name)
{
    const struct each *each = context;

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !stored_name_is_legal(name + strlen(PREFIX)))
        return 0;
    return each->fn(each->context, name + strlen(PREFIX));
}

int stored_each(const struct log_view *view, int (*fn)(void *context, const char *name),
                void *context)
{
    struct each each = {.fn = fn, .context = context};

    return dir_each(view->dirfd, each_name, &each);
}

/* ---- reading -------------------------------------------------------------------------------- */

int stored_read_fd(const struct log_view *view, int fd, struct cursor_facts *out)
{
    bool found = false;

    for (unsigned i = 0; i < 2; i++) {
        struct cursor_slot slot;
        struct cursor_facts facts;
        int rc = file_pread(fd, &slot, sizeof(slot), (uint64_t)i * PAGE_BYTES);

        if (rc == 0)
            rc = cursor_decode(&slot, view->settings.uuid, &facts);
        if (rc < 0 && rc != -EAGAIN && rc != -ENODATA && rc != SEGLOG_ECORRUPT)
            return rc;
        if (rc == 0 && (!found || facts.counter > out->counter)) {
            *out = facts;
            found = true;
        }
    }
    return found ? 0 : SEGLOG_ECORRUPT;
}

int stored_read(const struct log_view *view, const char *name, struct cursor_facts *out)
{
    char file[STORED_FILE_BYTES];
    int fd, rc;

    stored_file_name(name, file);
    /* A FIFO must not make us wait, nor a link lead elsewhere. */
    fd = file_open(view->dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd == -ENOENT)
        return -ENODATA;
    if (fd == -ELOOP)
        return SEGLOG_ECORRUPT;
    if (fd < 0)
        return fd;
    rc = stored_read_fd(view, fd, out);
    file_close(fd);
    return rc == -ESPIPE || rc == -EISDIR ? SEGLOG_ECORRUPT : rc;
}

struct holding {
    const struct log_view *view;
    struct stored_hold *out;
};

static int hold_by(void *context, const char *name)
{
    const struct holding *holding = context;
    struct stored_hold *out = holding->out;
    struct cursor_facts facts;
    int rc = stored_read(holding->view, name, &facts);

    if (rc == -ENODATA) /* removed between two looks */
        return 0;
    if (rc < 0 && rc != SEGLOG_ECORRUPT)
        return rc;
    if (rc == SEGLOG_ECORRUPT)
        facts.seq = 0;
    if (out->is_held && out->seq <= facts.seq)
        return 0;
    *out = (struct stored_hold){.is_held = true, .seq = facts.seq, .status = rc};
    memcpy(out->name, name, strlen(name) + 1);
    return 0;
}

int stored_hold(const struct log_view *view, struct stored_hold *out)
{
    struct holding holding = {.view = view, .out = out};

    *out = (struct stored_hold){0};
    return stored_each(view, hold_by, &holding);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Only a slot that a power cut can do without is written: while there are commits that were not
 * synced, all of them go to the same one. */
static int slot_for(int fd, struct stored_place *last, uint64_t *counter)
{
    int rc = 0;

    if (last->sync == STORED_UNKNOWN) { /* costs little if it is there already */
        rc = file_datasync(fd);
        if (rc == 0)
            last->sync = STORED_DURABLE;
    }
    *counter = last->facts.counter + (last->sync == STORED_PENDING ? 2 : 1);
    return rc;
}

int stored_write(const struct log_view *view, int fd, struct stored_place *last,
                 const struct cursor_facts *facts, bool durable)
{
    struct cursor_facts next = *facts;
    struct cursor_slot slot;
    int rc = slot_for(fd, last, &next.counter);

    next.wall_ns = clock_wall_ns();
    next.pid = (uint32_t)getpid();
    cursor_encode(&slot, view->settings.uuid, &next);
    if (rc == 0)
        rc = file_pwrite(fd, &slot, sizeof(slot), next.counter % 2 * PAGE_BYTES);
    /* K1: this slot may be torn by a power cut; the other one is whole, synced, and older. */
    if (rc == 0) {
        last->facts = next;
        last->sync = STORED_PENDING;
    }
    if (rc == 0 && durable)
        rc = stored_sync(fd, last);
    return rc;
}

int stored_sync(int fd, struct stored_place *last)
{
    const int rc = last->sync == STORED_DURABLE ? 0 : file_datasync(fd);

    if (rc == 0)
        last->sync = STORED_DURABLE;
    return rc;
}

struct filling {
    const struct log_view *view;
    const struct cursor_facts *facts;
};

/* Both slots are good from the beginning, so that a torn write always leaves one. */
static int fill_cursor(const void *what, int fd)
{
    const struct filling *filling = what;
    struct stored_place last = {.sync = STORED_DURABLE}; /* there is nothing to lose yet */
    int rc = file_reserve(fd, CURSOR_BYTES);

    if (rc == -EOPNOTSUPP)
        rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = stored_write(filling->view, fd, &last, filling->facts, false);
        last.sync = STORED_DURABLE;
    }
    return rc < 0 ? rc : file_sync(fd);
}

int stored_create(const struct log_view *view, const char *name, const struct cursor_facts *facts)
{
    const struct filling filling = {.view = view, .facts = facts};
    char file[STORED_FILE_BYTES];
    int rc = -ENOENT;

    stored_file_name(name, file);
    /* -ENOENT: a first opener has swept away what looked left over. */
    for (int i = 0; i < 3 && rc == -ENOENT; i++)
        rc = file_make_whole(view->dirfd, file, (mode_t)view->settings.mode, fill_cursor, &filling);
    return rc < 0 ? rc : dir_sync(view->dirfd);
}

int stored_lock(const struct log_view *view, bool patient, struct owner *out)
{
    int rc = owner_open(view->dirfd, NAME_OWNERS, out);

    if (rc == -ENOENT) { /* nobody ever attached: nobody can remove anything */
        *out = OWNER_NONE;
        return 0;
    }
    if (rc < 0)
        return rc;
    rc = owner_lock(out, OWNERS_BYTE_TRIM, true);
    for (int i = 0; patient && i < LOCK_LOOKS && rc == -EAGAIN; i++) {
        clock_sleep_ns(LOCK_LOOK_NS);
        rc = owner_lock(out, OWNERS_BYTE_TRIM, true);
    }
    if (rc < 0) {
        owner_close(out);
        return rc == -EAGAIN ? -EBUSY : rc;
    }
    owner_settle(out);
    return 0;
}
