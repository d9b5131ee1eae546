/*
 * Views: the read-only half of a log. See view.h.
 */
#include "log/view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys/clock.h"
#include "sys/map.h"
#include "sys/owner.h"

/* A floor of which nothing checks out is looked at this often again, this far apart. */
#define FLOOR_LOOKS   4
#define FLOOR_LOOK_NS UINT64_C(1000000)

bool log_floor_is_left(int dirfd)
{
    struct floor_slot slots[2];
    struct file_facts file;
    const int fd = file_open(dirfd, NAME_FLOOR, O_RDONLY | O_NOFOLLOW, 0);
    bool is = fd >= 0 && file_facts(fd, &file) == 0 && file.is_regular &&
              file.size == sizeof(slots) && file_pread(fd, slots, sizeof(slots), 0) == 0;

    file_close(fd);
    return is && bytes_are_zero(&slots[0], sizeof(slots[0])) &&
           memcmp(slots[1].magic, MAGIC_FLOOR, sizeof(slots[1].magic)) == 0 &&
           le64_get(&slots[1].number) == 0;
}

static int any_name(void *context, const char *name)
{
    const size_t n = strlen(name);

    if (strcmp(name, NAME_FLOOR) == 0)
        return !log_floor_is_left(*(const int *)context);
    if (n > 4 && strcmp(name + n - 4, ".tmp") == 0)
        return 0; /* left by a creation that was cut short */
    if (strcmp(name, "lost+found") == 0)
        return 0;
    return 1;
}

int log_dir_is_empty(int dirfd)
{
    const int rc = dir_each(dirfd, any_name, &dirfd);

    return rc < 0 ? rc : rc == 0;
}

/* No settings: an empty directory is "no log yet", another one is not ours. */
static int view_missing(int dirfd)
{
    const int rc = log_dir_is_empty(dirfd);

    if (rc < 0)
        return rc;
    return rc == 1 ? -ENOENT : SEGLOG_ENOTLOG;
}

int log_view_settings(const struct log_view *view, struct settings_facts *out)
{
    struct settings_page page;
    struct file_facts file;
    int fd = file_open(view->dirfd, NAME_SETTINGS, O_RDONLY, 0);
    int rc;

    if (fd == -ENOENT) {
        rc = view_missing(view->dirfd);
        if (rc != SEGLOG_ENOTLOG)
            return rc;
        /* A log may have come between the two looks. */
        fd = file_open(view->dirfd, NAME_SETTINGS, O_RDONLY, 0);
        if (fd == -ENOENT)
            return rc;
    }
    if (fd < 0)
        return fd;
    rc = file_facts(fd, &file);
    if (rc == 0 && (!file.is_regular || file.size != sizeof(page)))
        rc = SEGLOG_ECORRUPT;
    if (rc == 0)
        rc = file_pread(fd, &page, sizeof(page), 0);
    file_close(fd);
    if (rc < 0)
        return rc;
    return settings_decode(&page, out, NULL);
}

static void view_map_live(struct log_view *view)
{
    struct file_facts file;
    bool writable = true;
    void *base;
    int fd = file_open(view->dirfd, NAME_LIVE, O_RDWR, 0);

    if (fd == -EACCES || fd == -EROFS || fd == -EPERM) {
        writable = false;
        fd = file_open(view->dirfd, NAME_LIVE, O_RDONLY, 0);
    }
    if (fd < 0)
        return;
    if (file_facts(fd, &file) == 0 && file.size == sizeof(struct live_file) &&
        map_file(fd, 0, sizeof(struct live_file), writable, &base) == 0) {
        view->live = base;
        view->live_writable = writable;
        view->boot.dev = file.dev;
        view->boot.ino = file.ino;
    }
    file_close(fd);
}

/* Does the name lead elsewhere than to what we have mapped, or nowhere? */
static bool live_is_replaced(const struct log_view *view)
{
    struct file_facts file;
    const int fd = file_open(view->dirfd, NAME_LIVE, O_PATH, 0);
    const int rc = fd < 0 ? fd : file_facts(fd, &file);

    file_close(fd);
    return rc == -ENOENT || (rc == 0 && (file.ino != view->boot.ino || file.dev != view->boot.dev));
}

void log_view_refresh(struct log_view *view)
{
    if (view->live && live_is_replaced(view)) {
        map_drop(view->live, sizeof(struct live_file));
        view->live = NULL;
    }
    if (!view->live)
        view_map_live(view);
    if (view->owners_fd < 0)
        view->owners_fd = file_open(view->dirfd, NAME_OWNERS, O_RDONLY, 0);
}

int log_view_open(const char *dir, bool force_fs, struct log_view *out)
{
    struct log_view view = {.owners_fd = -1};
    int rc;

    view.dirfd = dir_open(dir);
    if (view.dirfd < 0)
        return view.dirfd;
    rc = fs_facts(view.dirfd, &view.fs);
    if (rc == 0 && view.fs.is_refused && !force_fs)
        rc = SEGLOG_EFS;
    if (rc == 0)
        rc = log_view_settings(&view, &view.settings);
    if (rc < 0) {
        log_view_close(&view);
        return rc;
    }
    view.boot.known = boot_id_read(view.boot.boot_id) == 0;
    log_view_refresh(&view);
    *out = view;
    return 0;
}

void log_view_close(struct log_view *view)
{
    if (view->live)
        map_drop(view->live, sizeof(struct live_file));
    view->live = NULL;
    if (view->owners_fd >= 0)
        file_close(view->owners_fd);
    view->owners_fd = -1;
    if (view->dirfd >= 0)
        file_close(view->dirfd);
    view->dirfd = -1;
}

static bool live_is_this_log(const struct log_view *view)
{
    return view->live && memcmp(view->live->magic, MAGIC_LIVE, sizeof(view->live->magic)) == 0 &&
           memcmp(view->live->uuid, view->settings.uuid, 16) == 0;
}

bool log_view_has_live(const struct log_view *view)
{
    return live_is_this_log(view) &&
           boot_mark_relation(&view->live->boot, &view->boot) == BOOT_SAME;
}

bool log_view_is_live(const struct log_view *view)
{
    if (!view->live || view->owners_fd < 0)
        return false;
    /* ORDER ready.publish (recover.c) -> ready.observe: identity and slots of this boot. */
    if (word_load(&view->live->ready, memory_order_acquire) != 1)
        return false;
    /* Where nobody can tell the boot, somebody attached who has seen `ready` can. */
    if (!view->boot.known)
        return live_is_this_log(view) && log_view_attached(view);
    return log_view_has_live(view);
}

bool log_view_attached(const struct log_view *view)
{
    return view->owners_fd >= 0 && owner_probe(view->owners_fd, OWNERS_BYTE_ATTACH) == 1;
}

bool log_view_owner_is_dead(const struct log_view *view, uint32_t slot, uint32_t gen)
{
    const struct live_slot *s = &view->live->slots[slot % LIVE_SLOTS];

    /* Another generation holds the slot now: the one that claimed is gone. The generation only moves
     * under the slot's lock, so "same generation, lock free" is proof too. */
    if (atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&s->generation, memory_order_acquire) !=
        gen)
        return true;
    return owner_probe(view->owners_fd, OWNERS_BYTE_SLOT0 + slot) == 0;
}

/* The better of the two slots, as they are just now. */
static int floor_look(const struct log_view *view, int fd, struct floor_facts *out)
{
    bool found = false, bad = false;

    *out = (struct floor_facts){0};
    for (unsigned i = 0; i < 2; i++) {
        struct floor_slot slot;
        struct floor_facts facts;
        int rc = file_pread(fd, &slot, sizeof(slot), i * sizeof(slot));

        if (rc == 0)
            rc = floor_decode(&slot, view->settings.uuid, &facts);
        if (rc == SEGLOG_ECORRUPT || rc == -ENODATA)
            bad = true;
        else if (rc < 0 && rc != -EAGAIN)
            return rc;
        if (rc == 0 && (!found || facts.counter > out->counter)) {
            *out = facts;
            found = true;
        }
    }
    return found || !bad ? 0 : SEGLOG_ECORRUPT;
}

int log_view_floor(const struct log_view *view, struct floor_facts *out)
{
    const int fd = file_open(view->dirfd, NAME_FLOOR, O_RDONLY, 0);
    int rc;

    *out = (struct floor_facts){0};
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    /* They are written in turn, but both may change between our two looks, each met half written. */
    rc = floor_look(view, fd, out);
    for (int i = 0; i < FLOOR_LOOKS && rc == SEGLOG_ECORRUPT; i++) {
        clock_sleep_ns(FLOOR_LOOK_NS);
        rc = floor_look(view, fd, out);
    }
    file_close(fd);
    return rc;
}

int log_view_is_removed(const struct log_view *view, uint64_t number)
{
    struct floor_facts floor;
    const int rc = log_view_floor(view, &floor);

    return rc < 0 ? rc : number < floor.number;
}

/* ---- verdicts ------------------------------------------------------------------------------- */

/* As segment_boot_relation(), but where the boot is not known the attached writers vouch for it. */
static enum boot_relation view_relation(const struct log_view *view, const struct segment *seg)
{
    const enum boot_relation relation = segment_boot_relation(seg, &view->boot);

    if (relation == BOOT_UNKNOWN && !view->boot.known && log_view_is_live(view))
        return BOOT_SAME;
    return relation;
}

enum claim_verdict log_view_claim(const struct log_view *view, const struct segment *seg,
                                  uint64_t offset, const struct word_facts *claim)
{
    struct mark_facts mark;

    if (segment_mark(seg, &mark) == 0 && offset < mark.offset)
        return CLAIM_ROT;
    switch (view_relation(view, seg)) {
    case BOOT_OTHER:
        return CLAIM_END;
    case BOOT_UNKNOWN:
        return CLAIM_DEAD;
    case BOOT_SAME:
        break;
    }
    if (!log_view_is_live(view)) /* being recovered, or nobody ever attached to this copy */
        return log_view_attached(view) ? CLAIM_WAIT : CLAIM_DEAD;
    return log_view_owner_is_dead(view, claim->slot, claim->gen) ? CLAIM_DEAD : CLAIM_WAIT;
}

enum bad_verdict log_view_bad(const struct log_view *view, const struct segment *seg,
                              uint64_t offset)
{
    struct mark_facts mark;

    if (segment_mark(seg, &mark) == 0 && offset < mark.offset)
        return BAD_DAMAGE;
    /* As recovery has it: without `live` nothing proves who wrote what, and the log ends here. */
    if (view->boot.known && !log_view_has_live(view))
        return BAD_END;
    return view_relation(view, seg) == BOOT_SAME ? BAD_DAMAGE : BAD_END;
}
