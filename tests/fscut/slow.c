/*
 * Slow calls: see slow.h. The library is linked in, so its calls come here.
 */
#include "fscut/slow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOW_EVERY 2u
#define SLOW_US    12000u

static struct tape *tape;
static _Atomic uint64_t state; /* 0: not begun */

void slow_begin(struct tape *t, uint64_t seed)
{
    tape = t;
    atomic_store(&state, seed | 1);
}

/* As somebody else would who has a file of his own made durable: the journal goes to the disk, and with
 * it the name that has just been changed. */
static void commit_journal(int dirfd, uint64_t x)
{
    const int fd = (int)syscall(SYS_openat, dirfd, "..", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        return;
    if (write(fd, &x, sizeof(x)) == sizeof(x))
        (void)fsync(fd);
    close(fd);
}

/* The threads of a process take turns as they come. */
static int and_wait(long rc, int dirfd)
{
    const uint64_t x =
        atomic_load(&state) == 0 ? 0 : atomic_fetch_add(&state, UINT64_C(0x9E3779B97F4A7C16)) >> 32;
    const int error = errno;

    if (rc == 0 && x != 0 && x % SLOW_EVERY == 0) {
        struct tape_note *note = tape_may(tape, TAPE_SLOW, 1, false);

        commit_journal(dirfd, x);
        usleep((useconds_t)(x / SLOW_EVERY % SLOW_US));
        tape_is(tape, note, 1);
    }
    errno = error;
    return (int)rc;
}

int unlinkat(int dirfd, const char *path, int flags)
{
    return and_wait(syscall(SYS_unlinkat, dirfd, path, flags), dirfd);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return and_wait(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), to_dir);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return and_wait(syscall(SYS_linkat, from_dir, from, to_dir, to, flags), to_dir);
}
