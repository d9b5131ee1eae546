/*
 * System calls that fail or kill. See calls.h.
 */
#include "support/calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What may fail: with EINTR, short, for want of room. Everything may fail with EIO. */
#define MAY_INTR  1u
#define MAY_SHORT 2u
#define MAY_FILL  4u

static const struct {
    const char *name;
    unsigned may;
} kinds[CALLS] = {
    [CALL_ANY] = {"none", 0},
    [CALL_OPENAT] = {"openat", MAY_INTR | MAY_FILL},
    [CALL_FDOPENDIR] = {"fdopendir", 0},
    [CALL_READDIR] = {"readdir", 0},
    [CALL_MKDIR] = {"mkdir", MAY_FILL},
    [CALL_RENAMEAT] = {"renameat", MAY_FILL},
    [CALL_RENAMEAT2] = {"renameat2", MAY_FILL},
    [CALL_LINKAT] = {"linkat", MAY_FILL},
    [CALL_UNLINKAT] = {"unlinkat", 0},
    [CALL_FSTAT] = {"fstat", 0},
    [CALL_FSTATFS] = {"fstatfs", 0},
    [CALL_FCHMOD] = {"fchmod", 0},
    [CALL_FCNTL] = {"fcntl", 0},
    [CALL_FALLOCATE] = {"fallocate", MAY_INTR | MAY_FILL},
    [CALL_FTRUNCATE] = {"ftruncate", MAY_INTR | MAY_FILL},
    [CALL_PREAD] = {"pread", MAY_INTR | MAY_SHORT},
    [CALL_PWRITE] = {"pwrite", MAY_INTR | MAY_SHORT | MAY_FILL},
    [CALL_PWRITEV] = {"pwritev", MAY_INTR | MAY_SHORT | MAY_FILL},
    [CALL_FDATASYNC] = {"fdatasync", MAY_INTR | MAY_FILL},
    [CALL_FSYNC] = {"fsync", MAY_INTR | MAY_FILL},
    [CALL_MSYNC] = {"msync", 0},
    [CALL_MMAP] = {"mmap", 0},
    [CALL_MADVISE] = {"madvise", 0},
    [CALL_FADVISE] = {"posix_fadvise", 0},
    [CALL_EVENTFD] = {"eventfd", 0},
    [CALL_GETRANDOM] = {"getrandom", MAY_INTR | MAY_SHORT},
    [CALL_SYSCALL] = {"syscall", 0},
};

static struct calls_plan plan;
static atomic_bool armed;
static _Atomic uint64_t counted;
static _Atomic int met;

void calls_arm(const struct calls_plan *with)
{
    plan = *with;
    atomic_store(&counted, 0);
    atomic_store(&met, CALL_ANY);
    atomic_store(&armed, true);
}

void calls_rest(void)
{
    atomic_store(&armed, false);
}

enum call calls_met(void)
{
    return (enum call)atomic_load(&met);
}

const char *calls_name(enum call call)
{
    return kinds[call].name;
}

uint64_t calls_counted(void)
{
    return atomic_load(&counted);
}

static bool may(enum call call)
{
    if (plan.only != CALL_ANY && plan.only != call)
        return false;
    switch (plan.error) {
    case EINTR:
        return kinds[call].may & MAY_INTR;
    case CALL_SHORT:
        return kinds[call].may & MAY_SHORT;
    case ENOSPC:
    case EDQUOT:
        return kinds[call].may & MAY_FILL;
    default:
        return true;
    }
}

/* 0: go on; 1: it fails, errno is set; 2: it is to be short. */
static int hit(enum call call)
{
    if (!atomic_load(&armed) || !may(call) || atomic_fetch_add(&counted, 1) + 1 != plan.nth)
        return 0;
    if (plan.kills && plan.killed)
        atomic_fetch_add(&plan.killed[call], 1);
    if (plan.kills)
        (void)kill(getpid(), SIGKILL);
    atomic_store(&met, call);
    if (plan.error == CALL_SHORT)
        return 2;
    errno = plan.error;
    return 1;
}

static bool pretends(void)
{
    return atomic_load(&armed) && plan.pretends;
}

/* ---- the calls --------------------------------------------------------------------------------- */

/* A call that only fails or succeeds. */
#define PLAIN(call_, type_, fail_, name_, params_, args_)   \
    type_ __real_##name_ params_;                           \
    type_ __wrap_##name_ params_;                           \
    type_ __wrap_##name_ params_                            \
    {                                                       \
        return hit(call_) ? (fail_) : __real_##name_ args_; \
    }

PLAIN(CALL_FDOPENDIR, DIR *, NULL, fdopendir, (int fd), (fd))
PLAIN(CALL_READDIR, struct dirent *, NULL, readdir, (DIR * dir), (dir))
PLAIN(CALL_MKDIR, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
PLAIN(CALL_RENAMEAT, int, -1, renameat, (int a, const char *x, int b, const char *y), (a, x, b, y))
PLAIN(CALL_RENAMEAT2, int, -1, renameat2,
      (int a, const char *x, int b, const char *y, unsigned flags), (a, x, b, y, flags))
PLAIN(CALL_LINKAT, int, -1, linkat, (int a, const char *x, int b, const char *y, int flags),
      (a, x, b, y, flags))
PLAIN(CALL_UNLINKAT, int, -1, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
PLAIN(CALL_FSTAT, int, -1, fstat, (int fd, struct stat *st), (fd, st))
PLAIN(CALL_FCHMOD, int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
PLAIN(CALL_FALLOCATE, int, -1, fallocate, (int fd, int mode, off_t at, off_t len),
      (fd, mode, at, len))
PLAIN(CALL_FTRUNCATE, int, -1, ftruncate, (int fd, off_t len), (fd, len))
PLAIN(CALL_MMAP, void *, MAP_FAILED, mmap,
      (void *at, size_t len, int prot, int flags, int fd, off_t offset),
      (at, len, prot, flags, fd, offset))
PLAIN(CALL_MADVISE, int, -1, madvise, (void *at, size_t len, int advice), (at, len, advice))
PLAIN(CALL_FADVISE, int, errno, posix_fadvise, (int fd, off_t at, off_t len, int advice),
      (fd, at, len, advice))
PLAIN(CALL_EVENTFD, int, -1, eventfd, (unsigned count, int flags), (count, flags))

/* A call that may also do less than it was asked for. */
#define SHORT(call_, name_, params_, args_, n_) \
    ssize_t __real_##name_ params_;             \
    ssize_t __wrap_##name_ params_;             \
    ssize_t __wrap_##name_ params_              \
    {                                           \
        const int how = hit(call_);             \
                                                \
        if (how == 1)                           \
            return -1;                          \
        if (how == 2)                           \
            n_ = (n_ + 1) / 2;                  \
        return __real_##name_ args_;            \
    }

SHORT(CALL_PREAD, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), n)
SHORT(CALL_PWRITE, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at), n)
SHORT(CALL_PWRITEV, pwritev, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at),
      n)
SHORT(CALL_GETRANDOM, getrandom, (void *to, size_t n, unsigned flags), (to, n, flags), n)

/* A sync, which may be pretended. */
#define SYNC(call_, name_, params_, args_)            \
    int __real_##name_ params_;                       \
    int __wrap_##name_ params_;                       \
    int __wrap_##name_ params_                        \
    {                                                 \
        if (hit(call_))                               \
            return -1;                                \
        return pretends() ? 0 : __real_##name_ args_; \
    }

SYNC(CALL_FDATASYNC, fdatasync, (int fd), (fd))
SYNC(CALL_FSYNC, fsync, (int fd), (fd))
SYNC(CALL_MSYNC, msync, (void *at, size_t len, int flags), (at, len, flags))

int __real_fstatfs(int fd, struct statfs *st);
int __wrap_fstatfs(int fd, struct statfs *st);
int __wrap_fstatfs(int fd, struct statfs *st)
{
    const int rc = hit(CALL_FSTATFS) ? -1 : __real_fstatfs(fd, st);

    if (rc == 0 && pretends())
        st->f_type = EXT4_SUPER_MAGIC;
    return rc;
}

int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
    return hit(CALL_OPENAT) ? -1 : __real_openat(dir, name, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    void *arg;

    va_start(args, command);
    arg = va_arg(args, void *);
    va_end(args);
    return hit(CALL_FCNTL) ? -1 : __real_fcntl(fd, command, arg);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    return hit(CALL_SYSCALL) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
