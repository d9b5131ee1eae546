/*
 * Attaching to a ring, detaching, and a look at how it stands.
 *
 * What lies in the shared words holds for one boot, one file system and one inode. Whoever finds
 * them to be of another boot, and is alone, empties the ring; the attach lock says who is alone.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include "sys/clock.h"
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define OPEN_TIMEOUT_NS UINT64_C(10000000000)
#define PREFAULT_MAX    (UINT64_C(64) << 20) /* larger rings fault in as they are used */

/*
 * ThreadSanitizer knows words by their addresses: for it, all accesses of a process go through one
 * mapping, writable for consumers too.
 */
#if defined(__SANITIZE_THREAD__)
#define ONE_MAPPING true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONE_MAPPING true
#endif
#endif
#ifndef ONE_MAPPING
#define ONE_MAPPING false
#endif

/* ---- attaching ------------------------------------------------------------------------------ */

static void mark_reset(struct ring_mark *mark, uint64_t pos)
{
    memset((void *)mark, 0, sizeof(*mark));
    atomic_store_explicit(&mark->at[0].pos, pos, memory_order_relaxed);
    atomic_store_explicit(&mark->at[1].pos, pos, memory_order_relaxed);
}

/* Nobody else is attached. Killed in between, `ready` is 0 and the next one does it again. */
static int ring_empty(struct seglog_ring *ring, const struct boot_facts *now)
{
    struct ring_shared *shared = &ring->ctrl->shared;
    const uint64_t start = ring->facts.start;
    int rc = ring_map_writable(ring);

    if (rc < 0)
        return rc;
    atomic_store_explicit(&shared->ready, 0, memory_order_release);
    memset((void *)shared, 0, sizeof(*shared));
    memset((void *)ring->ctrl->places, 0, sizeof(ring->ctrl->places));
    mark_reset(&shared->floor, start);
    mark_reset(&shared->consumer, start);
    atomic_store_explicit(&shared->tail, start, memory_order_relaxed);
    atomic_store_explicit(&shared->take, start, memory_order_relaxed);
    word_prepare(ring_word_at(ring->data_rw, ring->facts.size - 1, start), 0);
    boot_mark_encode(&shared->boot, now);
    atomic_store_explicit(&shared->ready, 1, memory_order_release);
    return 0;
}

static int boot_now(const struct seglog_ring *ring, struct boot_facts *now)
{
    struct file_facts file;
    const int rc = file_facts(ring->fd, &file);

    if (rc < 0)
        return rc;
    *now = (struct boot_facts){.dev = file.dev, .ino = file.ino};
    return boot_id_find(now->boot_id, &now->known);
}

/* Are the shared words of this boot? Where nobody can tell: if somebody is attached already. */
static bool is_current(const struct seglog_ring *ring, const struct boot_facts *now, bool alone)
{
    const struct ring_shared *shared = &ring->ctrl->shared;

    if (atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&shared->ready, memory_order_acquire) !=
        1)
        return false;
    switch (boot_mark_relation(&shared->boot, now)) {
    case BOOT_SAME:
        return true;
    case BOOT_UNKNOWN:
        return !alone && !now->known;
    default:
        return false;
    }
}

static int attach_once(struct seglog_ring *ring, const struct boot_facts *now)
{
    struct owner owner = OWNER_NONE;
    int rc = owner_open_again(ring->fd, true, &owner);

    if (rc < 0)
        return rc;
    rc = owner_lock(&owner, RING_LOCK_ATTACH, true);
    if (rc == 0) {
        if (!is_current(ring, now, true))
            rc = ring_empty(ring, now);
        if (rc == 0)
            rc = owner_lock(&owner, RING_LOCK_ATTACH, false);
    } else if (rc == -EAGAIN) {
        rc = owner_lock(&owner, RING_LOCK_ATTACH, false);
        if (rc == 0 && !is_current(ring, now, false))
            rc = -EAGAIN; /* somebody empties it, or died doing so */
    }
    if (rc < 0) {
        owner_close(&owner);
        return rc;
    }
    owner_settle(&owner);
    ring->attach = owner;
    return 0;
}

int ring_attach(struct seglog_ring *ring)
{
    const uint64_t start = clock_monotonic_ns();
    struct boot_facts now;
    uint64_t pause = 100000;
    int rc = boot_now(ring, &now);

    if (rc < 0)
        return rc;
    if (ring->flags & SEGLOG_RING_READ_ONLY) {
        /* One that nobody has used yet is empty, and of no boot. */
        ring->stale = atomic_load_explicit(&ring->ctrl->shared.ready, memory_order_acquire) == 1 &&
                      !is_current(ring, &now, owner_probe(ring->fd, RING_LOCK_ATTACH) == 0);
        return 0;
    }
    ring->fence = !barrier_register();
    for (;;) {
        rc = attach_once(ring, &now);
        if (rc != -EAGAIN)
            return rc;
        if (clock_monotonic_ns() - start >= OPEN_TIMEOUT_NS)
            return -EBUSY;
        clock_sleep_ns(pause);
        if (pause < 5000000)
            pause += pause / 2;
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static int read_header(struct seglog_ring *ring)
{
    struct ring_header *header;
    struct file_facts file;
    int rc = file_facts(ring->fd, &file);

    if (rc < 0)
        return rc;
    if (!file.is_regular || file.size < sizeof(*header))
        return SEGLOG_ENOTLOG;
    header = malloc(sizeof(*header));
    if (!header)
        return -ENOMEM;
    rc = file_pread(ring->fd, header, sizeof(*header), 0);
    if (rc == 0)
        rc = ring_header_decode(header, &ring->facts, NULL);
    free(header);
    if (rc == -ENODATA)
        return SEGLOG_ENOTLOG;
    if (rc < 0)
        return rc;
    if (file.size != ring->facts.data_off + ring->facts.size)
        return SEGLOG_ECORRUPT;
    if (ring->facts.data_off % ring->page != 0 || ring->facts.size % ring->page != 0)
        return SEGLOG_ECORRUPT; /* made where pages were smaller */
    return 0;
}

static void set_kind(struct seglog_ring *ring)
{
    const uint32_t kind = ring->facts.kind;

    ring->many_producers = kind == SEGLOG_RING_MPSC || kind == SEGLOG_RING_WORK;
    ring->many_consumers = kind == SEGLOG_RING_BROADCAST || kind == SEGLOG_RING_WORK;
    if (ring->facts.overload == SEGLOG_OVERLOAD_OVERWRITE)
        ring->floor = FLOOR_ANY;
    else if (kind == SEGLOG_RING_BROADCAST)
        ring->floor = FLOOR_READERS;
    else if (kind == SEGLOG_RING_WORK)
        ring->floor = FLOOR_DONE;
    else
        ring->floor = FLOOR_CONSUMER;
}

static int check_fs(struct seglog_ring *ring)
{
    struct fs_facts fs;
    int rc = fs_facts(ring->fd, &fs);

    if (rc < 0)
        return rc;
    if (ring_fs_refused(&fs, ring->flags))
        return SEGLOG_EFS;
    ring->page = map_page_size_of(ring->fd);
    return 0;
}

static int map_all(struct seglog_ring *ring)
{
    const bool writable = !(ring->flags & SEGLOG_RING_READ_ONLY);
    const struct ring_facts *f = &ring->facts;
    void *base;
    int rc;

    ring->ctrl_size = f->data_off;
    rc = map_file(ring->fd, 0, ring->ctrl_size, writable, &base);
    if (rc < 0)
        return rc;
    ring->ctrl = base;
    rc = map_file_twice(ring->fd, f->data_off, f->size, ring->page, ONE_MAPPING && writable, &base);
    if (rc < 0)
        return rc;
    ring->data = base;
    if (ONE_MAPPING && writable)
        ring->data_rw = base;
    if (f->size <= PREFAULT_MAX) {
        map_prefault(ring->ctrl, ring->ctrl_size);
        map_prefault(base, 2 * f->size);
    }
    return 0;
}

int ring_map_writable(struct seglog_ring *ring)
{
    const struct ring_facts *f = &ring->facts;
    void *base;
    int rc = 0;

    pthread_mutex_lock(&ring->lock);
    if (!ring->data_rw) {
        rc = map_file_twice(ring->fd, f->data_off, f->size, ring->page, true, &base);
        if (rc == 0) {
            ring->data_rw = base;
            if (f->size <= PREFAULT_MAX)
                (void)map_populate(base, 2 * f->size);
        }
    }
    pthread_mutex_unlock(&ring->lock);
    return rc;
}

static void ring_free(struct seglog_ring *ring)
{
    owner_close(&ring->attach);
    map_drop(ring->ctrl, ring->ctrl_size);
    if (ring->data_rw != ring->data)
        map_drop(ring->data_rw, 2 * ring->facts.size);
    map_drop((void *)(uintptr_t)ring->data, 2 * ring->facts.size);
    file_close(ring->fd);
    fork_guard_free(ring->guard);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
}

/* Takes fd over. */
static int open_file(int fd, uint32_t flags, struct seglog_ring **out)
{
    struct seglog_ring *ring = calloc(1, sizeof(*ring));
    int rc;

    if (!ring) {
        file_close(fd);
        return -ENOMEM;
    }
    ring->fd = fd;
    ring->flags = flags;
    ring->attach = OWNER_NONE;
    pthread_mutex_init(&ring->lock, NULL);
    ring->guard = fork_guard_new();
    rc = ring->guard ? check_fs(ring) : -ENOMEM;
    if (rc == 0)
        rc = read_header(ring);
    if (rc == 0) {
        set_kind(ring);
        rc = map_all(ring);
    }
    if (rc == 0)
        rc = ring_attach(ring);
    if (rc < 0) {
        ring_free(ring);
        return rc;
    }
    *out = ring;
    return 0;
}

static int open_path(const char *path, uint32_t flags, struct seglog_ring **out)
{
    int fd;

    if (flags & ~(SEGLOG_RING_READ_ONLY | SEGLOG_RING_FORCE_FS))
        return -EINVAL;
    fd = file_open(AT_FDCWD, path, flags & SEGLOG_RING_READ_ONLY ? O_RDONLY : O_RDWR, 0);
    if (fd == -EISDIR)
        return SEGLOG_ENOTLOG;
    return fd < 0 ? fd : open_file(fd, flags, out);
}

int seglog_ring_open(const char *path, uint32_t flags, struct seglog_ring **out)
{
    return open_path(path, flags, out);
}

int seglog_ring_open_fd(int fd, uint32_t flags, struct seglog_ring **out)
{
    char name[32];

    if (fd < 0)
        return -EBADF;
    /* A description of our own, whatever becomes of the caller's. */
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return open_path(name, flags, out);
}

int seglog_ring_close(struct seglog_ring *ring)
{
    if (!ring)
        return 0;
    if (!ring_is_forked(ring->guard)) {
        unsigned users;

        pthread_mutex_lock(&ring->lock);
        users = ring->users;
        pthread_mutex_unlock(&ring->lock);
        if (users > 0)
            return -EBUSY;
    }
    ring_free(ring);
    return 0;
}

void ring_user(struct seglog_ring *ring, int change)
{
    pthread_mutex_lock(&ring->lock);
    ring->users += (unsigned)change;
    pthread_mutex_unlock(&ring->lock);
}

/* ---- a look --------------------------------------------------------------------------------- */

static void count_places(const struct seglog_ring *ring, struct seglog_ring_info *out)
{
    uint32_t n = atomic_load_explicit(&ring->ctrl->shared.places, memory_order_relaxed);

    for (uint32_t i = 0; i < n && i < RING_PLACES; i++) {
        const uint64_t hold =
            atomic_load_explicit(&ring->ctrl->places[i].hold, memory_order_acquire);

        if ((hold & 3) == RING_PLACE_FREE || ring_is_dead(ring, i, (uint32_t)(hold >> 2)))
            continue;
        if ((hold & 3) == RING_PLACE_PRODUCER)
            out->producers++;
        else
            out->consumers++;
    }
}

int seglog_ring_inspect(struct seglog_ring *ring, struct seglog_ring_info *out)
{
    const struct ring_facts *f = &ring->facts;
    struct ring_shared *shared = &ring->ctrl->shared;
    struct ring_tally floor, end;
    struct seglog_ring_info info = {
        .size = f->size,
        .max_message = f->size / 2 - RING_WORD,
        .created_ns = f->created_ns,
        .kind = f->kind,
        .overload = f->overload,
        .mode = f->mode,
        .stale = ring->stale,
    };
    int rc;

    if (ring_is_forked(ring->guard))
        return SEGLOG_EFORKED;
    rc = ring_walk_to_end(ring, &floor, &end);
    if (rc < 0)
        return rc;
    info.head = floor.pos;
    info.tail = end.pos;
    info.used = end.pos - floor.pos;
    info.records = end.records - floor.records;
    info.dropped = atomic_load_explicit(&shared->dropped, memory_order_relaxed);
    info.overwritten = ring->floor == FLOOR_ANY ? floor.records : 0;
    if (!ring->stale)
        count_places(ring, &info);
    *out = info;
    return 0;
}
