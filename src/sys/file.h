/*
 * Files and directories: the only place, with map.h, wait.h and owner.h, that asks the kernel for
 * anything. EINTR and short transfers end here; every function returns 0 or a negative errno.
 */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Open a directory for *at() calls. Gives the descriptor (>= 0) or a negative errno. */
int dir_open(const char *path);

/* Open name in a directory, close-on-exec. Gives the descriptor or a negative errno. */
int file_open(int dirfd, const char *name, int flags, mode_t mode);

/* Create a file that must not exist with exactly this mode, whatever the umask. Descriptor or error. */
int file_create(int dirfd, const char *name, mode_t mode);

/*
 * A file without a name, for reading and writing, with exactly this mode; nothing is left of it if the
 * process dies. file_publish() gives it a name that must not exist (-EEXIST).
 * -EOPNOTSUPP, -ENOENT (publish, no /proc): not to be had here.
 */
int file_create_hidden(int dirfd, mode_t mode);
int file_publish(int fd, int dirfd, const char *name);

/* A file in memory that has no name, in huge pages if asked for; nobody can make it shorter. */
int file_in_memory(bool huge);

/* Copy bytes [0, size) of one file to another; -ENODATA: the source is shorter. */
int file_copy(int from, int to, uint64_t size);

/* Another descriptor of the same open file, close-on-exec. */
int file_duplicate(int fd);

void file_close(int fd);

/* Read or write n bytes at offset, all of them. A file that ends early is -ENODATA for reads. */
int file_pread(int fd, void *buf, size_t n, uint64_t offset);
int file_pwrite(int fd, const void *buf, size_t n, uint64_t offset);
/* The same from n pieces, which it may change. */
int file_pwritev(int fd, struct iovec *pieces, int n, uint64_t offset);

/*
 * Reserve real blocks for [0, size) and set the size. On failure the file may have grown: the
 * caller unlinks it. -EOPNOTSUPP where the file system cannot reserve.
 */
int file_reserve(int fd, uint64_t size);

/* Reserve len bytes from offset on; the size grows with them and never shrinks. A failure may leave it
 * longer. */
int file_lengthen(int fd, uint64_t offset, uint64_t len);

/*
 * Wait for whoever is making the file longer right now. fd is open for writing.
 *
 * The new size is to be seen before that call is over: ext4 sets it first and zeroes the rest of what
 * was the last block afterwards, so that bytes stored there on the strength of the new size are lost.
 */
void file_size_settle(int fd);

/* Let the page cache forget a range that is written. */
int file_forget(int fd, uint64_t offset, uint64_t len);

/* Tell the kernel how a range will be used: POSIX_FADV_* */
int file_advise(int fd, uint64_t offset, uint64_t len, int advice);

int file_datasync(int fd);
int file_sync(int fd);

/* Write n bytes at offset and make just them durable, with what is needed to find them again. */
int file_pwrite_durable(int fd, const void *buf, size_t n, uint64_t offset);

/* Write zeros over [from, to), `step` bytes at a time: what is written at once the page cache tends to
 * keep in one piece. */
int file_zero(int fd, uint64_t from, uint64_t to, uint64_t step);

/* Give blocks that are shared with another file (reflink) copies of their own, where that exists. */
int file_unshare(int fd, uint64_t size);

/*
 * flock(2) on the open file description, never waiting: shared, or alone. Converts what is held. It
 * lasts for as long as any descriptor or mapping of the description, in forked children too.
 * 0; -EAGAIN: refused.
 */
int file_lock(int fd, bool alone);

struct file_facts {
    uint64_t size;
    uint64_t dev;
    uint64_t ino;
    uint64_t names; /* hard links */
    uint32_t mode;  /* permission bits */
    uint32_t block; /* preferred I/O size; on hugetlbfs the size of a huge page */
    bool is_regular;
};
int file_facts(int fd, struct file_facts *out);

/* The same for what has this name. */
int file_facts_named(int dirfd, const char *name, struct file_facts *out);

/* Give a finished file its name; -EEXIST if the name is taken. Falls back to link and unlink. */
int file_rename_new(int dirfd, const char *from, const char *to);

/*
 * Make a file whole under a temporary name, "NAME-<random>.tmp", and give it its name then: whoever
 * looks finds all of it or nothing. `fill` is given the descriptor; what it fails with is the status.
 * Nothing of a failure is left behind. -EEXIST if the name is taken
 */
int file_make_whole(int dirfd, const char *name, mode_t mode, int (*fill)(const void *what, int fd),
                    const void *what);

/* The same in place of the file that is there. */
int file_replace_whole(int dirfd, const char *name, mode_t mode,
                       int (*fill)(const void *what, int fd), const void *what);

/* Rename over whatever is there. */
int file_rename_over(int dirfd, const char *from, const char *to);

int file_unlink(int dirfd, const char *name);

/* Make the names in a directory survive a power cut. */
int dir_sync(int dirfd);

/* When names last came into a directory or went from it, ns since the epoch, a tick coarse. */
int dir_changed(int dirfd, uint64_t *out);

/* Call fn for every name but "." and ".."; a nonzero answer of fn stops and is returned. */
int dir_each(int dirfd, int (*fn)(void *context, const char *name), void *context);

/* What the file system of a descriptor is. */
struct fs_facts {
    char name[32];
    bool is_refused;  /* network or FUSE: shared mappings are not coherent; or maps_only */
    bool maps_only;   /* hugetlbfs: no write(2); what is only mapped may live there */
    bool is_volatile; /* tmpfs and its kin */
    bool is_layered;  /* overlay: a mapping keeps a file below open, and not ours */
    bool reserves;    /* fallocate guarantees later stores */
    uint64_t free_bytes;
};
int fs_facts(int fd, struct fs_facts *out);

#endif
