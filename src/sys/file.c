/*
 * Files and directories.
 *
 * Thin on purpose: what is added to the system calls is that they are finished (short transfers,
 * EINTR), that a status is returned instead of errno, and that nothing is ever emulated. In
 * particular posix_fallocate() is not used: where the file system cannot reserve, it writes into
 * every block, which is neither a reservation nor safe beside other writers.
 */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/clock.h"

/* Below this, interruptions do not make a reservation ask for less at a time. */
#define RESERVE_STEP_MIN (UINT64_C(64) << 10)

int dir_open(const char *path)
{
    return file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int file_open(int dirfd, const char *name, int flags, mode_t mode)
{
    int fd;

    /* Not to be kept waiting by a FIFO under one of our names; it changes nothing for real files. */
    do
        fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int file_create(int dirfd, const char *name, mode_t mode)
{
    const int fd = file_open(dirfd, name, O_RDWR | O_CREAT | O_EXCL, mode);
    int rc = 0;

    if (fd < 0)
        return fd;
    /* The umask has taken bits away, never added any: the file was not open to more than it is now. */
    if (fchmod(fd, mode) < 0) {
        rc = -errno;
        (void)unlinkat(dirfd, name, 0);
        file_close(fd);
        return rc;
    }
    return fd;
}

int file_create_hidden(int dirfd, mode_t mode)
{
    const int fd = file_open(dirfd, ".", O_RDWR | O_TMPFILE, mode);
    int rc;

    if (fd == -EISDIR || fd == -EINVAL)
        return -EOPNOTSUPP; /* before file systems knew it */
    if (fd >= 0 && fchmod(fd, mode) < 0) {
        rc = -errno;
        file_close(fd);
        return rc;
    }
    return fd;
}

int file_publish(int fd, int dirfd, const char *name)
{
    char path[40];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int file_in_memory(bool huge)
{
    const int fd =
        memfd_create("seglog", MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));

    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
        const int rc = -errno;

        file_close(fd);
        return rc;
    }
    return fd;
}

/* Through memory of ours: for pairs of file systems between which the kernel cannot copy. */
static int copy_by_hand(int from, int to, uint64_t at, uint64_t size)
{
    uint8_t buf[16384];

    while (at < size) {
        const size_t n = size - at < sizeof(buf) ? (size_t)(size - at) : sizeof(buf);
        int rc = file_pread(from, buf, n, at);

        if (rc == 0)
            rc = file_pwrite(to, buf, n, at);
        if (rc < 0)
            return rc;
        at += n;
    }
    return 0;
}

int file_copy(int from, int to, uint64_t size)
{
    uint64_t at = 0;

    if (size > INT64_MAX)
        return -EFBIG;
    while (at < size) {
        off_t in = (off_t)at, out = (off_t)at;
        const ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(size - at), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
            return copy_by_hand(from, to, at, size);
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENODATA;
        at += (uint64_t)n;
    }
    return 0;
}

int file_duplicate(int fd)
{
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return own < 0 ? -errno : own;
}

void file_close(int fd)
{
    /* Whatever close() says, the descriptor is gone: trying again could close another's. */
    if (fd >= 0)
        (void)close(fd);
}

int file_pread(int fd, void *buf, size_t n, uint64_t offset)
{
    uint8_t *at = buf;

    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return -EOVERFLOW;
    while (n > 0) {
        const ssize_t got = pread(fd, at, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

int file_pwrite(int fd, const void *buf, size_t n, uint64_t offset)
{
    const uint8_t *at = buf;

    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return -EOVERFLOW;
    while (n > 0) {
        const ssize_t put = pwrite(fd, at, n, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (put == 0)
            return -EIO; /* no progress and no reason: do not spin on it */
        at += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

int file_pwritev(int fd, struct iovec *pieces, int n, uint64_t offset)
{
    while (n > 0) {
        const ssize_t done = pwritev(fd, pieces, n, (off_t)offset);
        size_t left = done < 0 ? 0 : (size_t)done;

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done == 0)
            return -EIO; /* no progress and no reason: do not spin on it */
        offset += left;
        while (n > 0 && left >= pieces->iov_len) {
            left -= pieces->iov_len;
            pieces++;
            n--;
        }
        if (n > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + left;
            pieces->iov_len -= left;
        }
    }
    return 0;
}

int file_lengthen(int fd, uint64_t offset, uint64_t len)
{
    uint64_t step = len;
    uint64_t at = 0;

    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return -EFBIG;
    /*
     * One call as a rule. tmpfs gives up and undoes its work at any signal, so that a profiler's timer
     * alone could keep a large reservation from ever ending: after an interruption ask for less.
     */
    while (at < len) {
        const uint64_t n = len - at < step ? len - at : step;

        if (fallocate(fd, 0, (off_t)(offset + at), (off_t)n) == 0)
            at += n;
        else if (errno == ENOSYS)
            return -EOPNOTSUPP;
        else if (errno != EINTR)
            return -errno;
        else if (step > RESERVE_STEP_MIN)
            step = step / 2 > RESERVE_STEP_MIN ? step / 2 : RESERVE_STEP_MIN;
    }
    return 0;
}

/* Writing nothing changes nothing and has its turn after them. */
void file_size_settle(int fd)
{
    (void)!pwrite(fd, "", 0, 0);
}

int file_reserve(int fd, uint64_t size)
{
    struct stat st;
    const int rc = file_lengthen(fd, 0, size);

    if (rc < 0)
        return rc;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size == size)
        return 0;
    while (ftruncate(fd, (off_t)size) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int file_advise(int fd, uint64_t offset, uint64_t len, int advice)
{
    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return -EOVERFLOW;
    return -posix_fadvise(fd, (off_t)offset, (off_t)len, advice);
}

int file_forget(int fd, uint64_t offset, uint64_t len)
{
    return file_advise(fd, offset, len, POSIX_FADV_DONTNEED);
}

int file_datasync(int fd)
{
    while (fdatasync(fd) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int file_sync(int fd)
{
    while (fsync(fd) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* As pwritev2() has it from Linux 4.7 on; elsewhere all of the file is synced. */
int file_pwrite_durable(int fd, const void *buf, size_t n, uint64_t offset)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = n};
    ssize_t put;
    int rc;

    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return -EOVERFLOW;
    do
        put = pwritev2(fd, &part, 1, (off_t)offset, RWF_DSYNC);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)n)
        return 0;
    if (put < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return -errno;
    rc = file_pwrite(fd, buf, n, offset);
    return rc < 0 ? rc : file_datasync(fd);
}

int file_zero(int fd, uint64_t from, uint64_t to, uint64_t step)
{
    uint8_t *zeros = calloc(1, step);
    int rc = zeros ? 0 : -ENOMEM;

    while (rc == 0 && from < to) {
        const uint64_t up_to = from + step - from % step; /* pieces lie at multiples of step */
        const uint64_t n = (up_to < to ? up_to : to) - from;

        rc = file_pwrite(fd, zeros, n, from);
        from += n;
    }
    free(zeros);
    return rc;
}

int file_unshare(int fd, uint64_t size)
{
    while (fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, (off_t)size) < 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
            return 0; /* where nothing can be shared */
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int file_lock(int fd, bool alone)
{
    while (flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static void facts_of(const struct stat *st, struct file_facts *out)
{
    *out = (struct file_facts){
        .size = (uint64_t)st->st_size,
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .names = (uint64_t)st->st_nlink,
        .mode = (uint32_t)(st->st_mode & 07777),
        .block = (uint32_t)st->st_blksize,
        .is_regular = S_ISREG(st->st_mode),
    };
}

int file_facts(int fd, struct file_facts *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    facts_of(&st, out);
    return 0;
}

int file_facts_named(int dirfd, const char *name, struct file_facts *out)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, 0) < 0)
        return -errno;
    facts_of(&st, out);
    return 0;
}

/* For file systems without RENAME_NOREPLACE. A crash between the two steps leaves both names on the
 * one file. */
static int link_and_unlink(int dirfd, const char *from, const char *to)
{
    if (linkat(dirfd, from, dirfd, to, 0) < 0)
        return -errno;
    if (unlinkat(dirfd, from, 0) < 0) {
        const int rc = -errno;

        (void)unlinkat(dirfd, to, 0);
        return rc;
    }
    return 0;
}

int file_rename_new(int dirfd, const char *from, const char *to)
{
    if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS)
        return link_and_unlink(dirfd, from, to);
    return -errno;
}

static int make_whole(int dirfd, const char *name, mode_t mode,
                      int (*fill)(const void *what, int fd), const void *what,
                      int (*rename)(int dirfd, const char *from, const char *to))
{
    char temp[128];
    uint64_t nonce;
    int rc = random_bytes(&nonce, sizeof(nonce));
    int fd;

    if (rc < 0)
        return rc;
    snprintf(temp, sizeof(temp), "%s-%016" PRIx64 ".tmp", name, nonce);
    fd = file_create(dirfd, temp, mode);
    if (fd < 0)
        return fd;
    rc = fill(what, fd);
    file_close(fd);
    if (rc == 0)
        rc = rename(dirfd, temp, name);
    if (rc < 0)
        file_unlink(dirfd, temp);
    return rc;
}

int file_make_whole(int dirfd, const char *name, mode_t mode, int (*fill)(const void *what, int fd),
                    const void *what)
{
    return make_whole(dirfd, name, mode, fill, what, file_rename_new);
}

int file_replace_whole(int dirfd, const char *name, mode_t mode,
                       int (*fill)(const void *what, int fd), const void *what)
{
    return make_whole(dirfd, name, mode, fill, what, file_rename_over);
}

int file_rename_over(int dirfd, const char *from, const char *to)
{
    return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

int file_unlink(int dirfd, const char *name)
{
    return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int dir_sync(int dirfd)
{
    return file_sync(dirfd);
}

int dir_changed(int dirfd, uint64_t *out)
{
    struct stat st;

    if (fstat(dirfd, &st) < 0)
        return -errno;
    *out = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    return 0;
}

int dir_each(int dirfd, int (*fn)(void *context, const char *name), void *context)
{
    /* A description of its own: the position in a directory is shared with every dup(). */
    const int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
    const struct dirent *entry;
    DIR *dir;
    int rc = 0;

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir) {
        rc = -errno;
        file_close(fd);
        return rc;
    }
    while (rc == 0) {
        errno = 0;
        entry = readdir(dir);
        if (!entry) {
            rc = -errno; /* 0 at the end */
            break;
        }
        if (entry->d_name[0] == '.' &&
            (entry->d_name[1] == 0 || (entry->d_name[1] == '.' && entry->d_name[2] == 0)))
            continue;
        rc = fn(context, entry->d_name);
    }
    (void)closedir(dir);
    return rc;
}
