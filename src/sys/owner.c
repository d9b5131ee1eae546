/*
 * Proof of life: locks that end with an address space.
 *
 * The hard part is fork(). The mapping stays out of children by MADV_DONTFORK, but until it has that
 * advice, and for as long as the descriptor is open, a child made by another thread would get a
 * reference to the description and keep the locks alive for as long as it runs: a crashed producer
 * that looks alive. So descriptors that are still open are listed, a fork waits while one is
 * being opened and mapped, and the child closes what is listed before its fork() returns (until it
 * has been run that far, the locks are held by it too).
 * A child made by a bare clone() or _Fork() keeps what is open at that time until it execs or exits.
 */
#include "sys/owner.h"

#include "sys/file.h"
#include "sys/map.h"

#include <seglog/status.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A descriptor that children of fork() must close. */
struct owner_pending {
    struct owner_pending *next;
    int fd;     /* -1: closed already, by this being a child */
    bool stays; /* until the owner closes: the mapping does not keep the description */
};

static pthread_mutex_t pending_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct owner_pending *pending_first;
static pthread_once_t pending_once = PTHREAD_ONCE_INIT;
static int pending_rc; /* of the registration */

static void fork_prepare(void)
{
    (void)pthread_mutex_lock(&pending_mutex);
}

static void fork_parent(void)
{
    (void)pthread_mutex_unlock(&pending_mutex);
}

static void fork_child(void)
{
    for (struct owner_pending *p = pending_first; p; p = p->next) {
        file_close(p->fd);
        p->fd = -1;
    }
    (void)pthread_mutex_unlock(&pending_mutex);
}

static void pending_register(void)
{
    pending_rc = -pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* Open and map, the descriptor in p. Under the mutex, so that no child sees it half done. */
static int open_and_map(int dirfd, const char *name, int flags, struct owner_pending *p,
                        void **page, size_t *size)
{
    struct fs_facts fs;
    void *base;
    int rc;

    p->fd = file_open(dirfd, name, flags, 0);
    if (p->fd < 0)
        return p->fd;
    rc = fs_facts(p->fd, &fs);
    if (rc < 0)
        goto fail_close;
    p->stays = fs.is_layered;
    *size = map_page_size_of(p->fd);
    base = mmap(NULL, *size, PROT_NONE, MAP_SHARED, p->fd, 0);
    if (base == MAP_FAILED) {
        rc = -errno;
        goto fail_close;
    }
    if (madvise(base, *size, MADV_DONTFORK) < 0) {
        rc = -errno;
        goto fail_unmap;
    }
    p->next = pending_first;
    pending_first = p;
    *page = base;
    return 0;

fail_unmap:
    (void)munmap(base, *size);
fail_close:
    file_close(p->fd);
    return rc;
}

static int open_new(int dirfd, const char *name, int flags, struct owner *out)
{
    struct owner_pending *pending;
    const uint64_t *guard;
    void *page = NULL;
    size_t size = 0;
    int rc;

    (void)pthread_once(&pending_once, pending_register);
    if (pending_rc < 0)
        return pending_rc;

    pending = calloc(1, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    guard = fork_guard_new();
    if (!guard) {
        rc = -ENOMEM;
        goto fail_free;
    }
    (void)pthread_mutex_lock(&pending_mutex);
    rc = open_and_map(dirfd, name, flags, pending, &page, &size);
    (void)pthread_mutex_unlock(&pending_mutex);
    if (rc < 0)
        goto fail_guard;

    *out = (struct owner){
        .fd = pending->fd, .page = page, .page_size = size, .guard = guard, .pending = pending};
    return 0;

fail_guard:
    fork_guard_free(guard);
fail_free:
    free(pending);
    return rc;
}

int owner_open(int dirfd, const char *name, struct owner *out)
{
    return open_new(dirfd, name, O_RDWR | O_NOFOLLOW, out);
}

int owner_open_again(int fd, bool writable, struct owner *out)
{
    char name[40];

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return open_new(AT_FDCWD, name, writable ? O_RDWR : O_RDONLY, out);
}

static bool is_child(const struct owner *owner)
{
    return *(const volatile uint64_t *)owner->guard == 0;
}

static int byte_lock(struct owner *owner, uint64_t byte, short type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)byte,
        .l_len = 1,
    };

    assert(owner->page && owner->fd >= 0);
    assert(byte < INT64_MAX);
    if (is_child(owner))
        return SEGLOG_EFORKED;
    while (fcntl(owner->fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EACCES)
            return -EAGAIN;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int owner_lock(struct owner *owner, uint64_t byte, bool exclusive)
{
    return byte_lock(owner, byte, exclusive ? F_WRLCK : F_RDLCK);
}

int owner_unlock(struct owner *owner, uint64_t byte)
{
    return byte_lock(owner, byte, F_UNLCK);
}

static void descriptor_close(struct owner *owner)
{
    struct owner_pending *pending = owner->pending;
    struct owner_pending **link = &pending_first;

    if (!pending)
        return;
    (void)pthread_mutex_lock(&pending_mutex);
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    /* Before the mutex goes: a child that does not find it listed must not have it open. */
    file_close(pending->fd);
    (void)pthread_mutex_unlock(&pending_mutex);

    free(pending);
    owner->pending = NULL;
    owner->fd = -1;
}

void owner_settle(struct owner *owner)
{
    if (owner->pending && owner->pending->stays)
        owner->fd = -1; /* nothing is asked of it any more, but it is what keeps the locks */
    else
        descriptor_close(owner);
}

void owner_close(struct owner *owner)
{
    if (!owner->page)
        return;
    descriptor_close(owner);
    /* In a child the mapping is not there, and the address may by now be something else's. */
    if (!is_child(owner))
        (void)munmap(owner->page, owner->page_size);
    fork_guard_free(owner->guard);
    *owner = OWNER_NONE;
}

int owner_probe(int fd, uint64_t byte)
{
    /* Asking for a write lock needs no writable descriptor as long as it is only asked about. */
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)byte,
        .l_len = 1,
    };

    assert(byte < INT64_MAX);
    while (fcntl(fd, F_OFD_GETLK, &lock) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return lock.l_type != F_UNLCK;
}
