/*
 * System calls of durability and room. See calls.h.
 */
#include "state/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct calls calls;

void calls_reset(void)
{
    atomic_store(&calls.msyncs, 0);
    atomic_store(&calls.asyncs, 0);
    atomic_store(&calls.datasyncs, 0);
    atomic_store(&calls.sync_errno, 0);
    atomic_store(&calls.room_errno, 0);
    atomic_store(&calls.room_skip, 0);
}

static int fails(void)
{
    const int error = atomic_load(&calls.sync_errno);

    if (error)
        errno = error;
    return error != 0;
}

int msync(void *addr, size_t len, int flags)
{
    atomic_fetch_add(flags == MS_SYNC ? &calls.msyncs : &calls.asyncs, 1);
    return fails() ? -1 : (int)syscall(SYS_msync, addr, len, flags);
}

int fdatasync(int fd)
{
    atomic_fetch_add(&calls.datasyncs, 1);
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    atomic_fetch_add(&calls.datasyncs, 1);
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    const int error = atomic_load(&calls.room_errno);

    if (error && atomic_load(&calls.room_skip) == 0) {
        errno = error;
        return -1;
    }
    if (error)
        atomic_fetch_sub(&calls.room_skip, 1);
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}
