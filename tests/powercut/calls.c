/*
 * The system calls that a power cut can come between.
 *
 * The library is linked in, so its calls come here: each is told to the simulated disk before it is
 * done, and its effect afterwards. Syncs only tell: nothing here waits for a real disk. Time and
 * random numbers are made up while sim_begin() is in force, so that a seed is one run for good: marks
 * and intervals go by the clock.
 */
#include "powercut/calls.h"
#include "powercut/dice.h"
#include "powercut/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAPPINGS 1024

static struct {
    bool on;
    uint64_t now_ns;
    struct dice random;
} sim;

void sim_begin(uint64_t seed)
{
    sim.on = true;
    sim.now_ns = UINT64_C(1000000000);
    sim.random = dice_of(seed ^ UINT64_C(0x5EED));
}

void sim_pass(uint64_t ns)
{
    sim.now_ns += ns;
}

/* ---- files and names ------------------------------------------------------------------------ */

int openat(int dirfd, const char *path, int flags, ...)
{
    const bool creates = (flags & O_CREAT) != 0;
    mode_t mode = 0;
    int fd;

    if (creates || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (creates)
        disk_event();
    fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    if (creates && fd >= 0) {
        disk_names_changed();
        disk_event();
    }
    return fd;
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    disk_event();
    return syscall(SYS_pwrite64, fd, from, n, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t at)
{
    disk_event();
    return syscall(SYS_pwritev, fd, pieces, n, at, 0);
}

/* RWF_DSYNC: these bytes are synced, and the size. */
ssize_t pwritev2(int fd, const struct iovec *pieces, int n, off_t at, int flags)
{
    ssize_t put;
    struct stat st;

    disk_event();
    disk_must((flags & ~RWF_DSYNC) == 0, "a way of writing that is not simulated");
    put = syscall(SYS_pwritev, fd, pieces, n, at, 0);
    disk_event(); /* not durable before it has returned */
    if (put > 0 && (flags & RWF_DSYNC) && fstat(fd, &st) == 0)
        disk_note_sync_range(st.st_ino, (uint64_t)at, (uint64_t)put);
    return put;
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    disk_event();
    return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int ftruncate(int fd, off_t size)
{
    disk_event();
    return (int)syscall(SYS_ftruncate, fd, size);
}

static int names_moved(long rc)
{
    if (rc == 0) {
        disk_names_changed();
        disk_event();
    }
    return (int)rc;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    disk_event();
    return names_moved(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    disk_event();
    return names_moved(syscall(SYS_linkat, from_dir, from, to_dir, to, flags));
}

int unlinkat(int dirfd, const char *path, int flags)
{
    disk_event();
    return names_moved(syscall(SYS_unlinkat, dirfd, path, flags));
}

/* A file system of memory that says it is of disk. */
int fstatfs(int fd, struct statfs *out)
{
    const int rc = (int)syscall(SYS_fstatfs, fd, out);

    if (rc == 0 && sim.on && out->f_type == TMPFS_MAGIC)
        out->f_type = EXT4_SUPER_MAGIC;
    return rc;
}

/* ---- syncs ---------------------------------------------------------------------------------- */

int fsync(int fd)
{
    disk_event();
    disk_note_sync(fd);
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

/* Which file is mapped where. */
static struct mapping {
    uintptr_t from, to;
    ino_t ino;
    uint64_t offset;
} mappings[MAPPINGS];
static size_t mapping_count;

static void mapping_forget(uintptr_t from, uintptr_t to)
{
    for (size_t i = mapping_count; i-- > 0;)
        if (mappings[i].from < to && from < mappings[i].to)
            mappings[i] = mappings[--mapping_count];
}

void *mmap(void *wish, size_t n, int prot, int flags, int fd, off_t at)
{
    void *base = (void *)syscall(SYS_mmap, wish, n, prot, flags, fd, at);
    struct stat st;

    if (base == MAP_FAILED || (flags & MAP_ANONYMOUS) || !sim.on || fstat(fd, &st) < 0)
        return base;
    mapping_forget((uintptr_t)base, (uintptr_t)base + n);
    disk_must(mapping_count < MAPPINGS, "too many mappings");
    mappings[mapping_count++] = (struct mapping){.from = (uintptr_t)base,
                                                 .to = (uintptr_t)base + n,
                                                 .ino = st.st_ino,
                                                 .offset = (uint64_t)at};
    return base;
}

int munmap(void *base, size_t n)
{
    mapping_forget((uintptr_t)base, (uintptr_t)base + n);
    return (int)syscall(SYS_munmap, base, n);
}

/* Of what was synced before, these bytes and no others are now as they are. */
int msync(void *base, size_t n, int flags)
{
    const uintptr_t at = (uintptr_t)base;

    (void)flags;
    disk_event();
    for (size_t i = 0; i < mapping_count; i++)
        if (mappings[i].from <= at && at < mappings[i].to)
            disk_note_sync_range(mappings[i].ino, mappings[i].offset + (at - mappings[i].from), n);
    return 0;
}

/* ---- time and chance ------------------------------------------------------------------------ */

int clock_gettime(clockid_t id, struct timespec *out)
{
    if (!sim.on || id == CLOCK_PROCESS_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, id, out);
    sim.now_ns += 1000;
    out->tv_sec = (time_t)(sim.now_ns / 1000000000u);
    out->tv_nsec = (long)(sim.now_ns % 1000000000u);
    return 0;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *until, struct timespec *left)
{
    const uint64_t ns = (uint64_t)until->tv_sec * 1000000000u + (uint64_t)until->tv_nsec;

    if (!sim.on)
        return syscall(SYS_clock_nanosleep, id, flags, until, left) < 0 ? errno : 0;
    if (!(flags & TIMER_ABSTIME))
        sim.now_ns += ns;
    else if (ns > sim.now_ns)
        sim.now_ns = ns;
    return 0;
}

ssize_t getrandom(void *out, size_t n, unsigned flags)
{
    uint8_t *at = out;

    if (!sim.on)
        return syscall(SYS_getrandom, out, n, flags);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(dice_roll(&sim.random) >> 32);
    return (ssize_t)n;
}
