/*
 * System calls that change files, counted. See steps.h.
 */
#include "log/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct steps steps;

void steps_reset(void)
{
    atomic_store(&steps.count, 0);
    atomic_store(&steps.die_at, 0);
    atomic_store(&steps.die_signal, 0);
    atomic_store(&steps.fail, STEP_NONE);
    atomic_store(&steps.skip, 0);
    atomic_store(&steps.fallocates, 0);
}

/* true: this one is to fail, errno is set. */
static int step(enum step kind)
{
    const uint64_t number = atomic_fetch_add(&steps.count, 1) + 1;

    if (number == atomic_load(&steps.die_at)) {
        const int signal = atomic_load(&steps.die_signal);

        (void)kill(getpid(), signal ? signal : SIGKILL);
    }
    if ((atomic_load(&steps.fail) & kind) == 0)
        return 0;
    if (atomic_load(&steps.skip) > 0) {
        atomic_fetch_sub(&steps.skip, 1);
        return 0;
    }
    errno = atomic_load(&steps.fail_errno);
    return 1;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    return step(STEP_PWRITE) ? -1 : syscall(SYS_pwrite64, fd, buf, n, offset);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
    const unsigned long at = (unsigned long)offset;

    return step(STEP_SYNC) ? -1 : syscall(SYS_pwritev2, fd, parts, n, at, 0ul, flags);
}

int fdatasync(int fd)
{
    return step(STEP_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return step(STEP_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int msync(void *addr, size_t len, int flags)
{
    return step(STEP_SYNC) ? -1 : (int)syscall(SYS_msync, addr, len, flags);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    if (step(STEP_PWRITE))
        return -1;
    return syscall(SYS_pwritev, fd, iov, (long)n, (long)offset, 0L);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    atomic_fetch_add(&steps.fallocates, 1);
    return step(STEP_FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return step(STEP_NAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return step(STEP_NAME) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *name, int flags)
{
    return step(STEP_NAME) ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}
