/*
 * Making a ring: a file of its full size, its header, and only then its name.
 *
 * Everything is written through a mapping, because hugetlbfs knows no write(2); and reserved first,
 * because a store into a hole of a full file system would be a SIGBUS.
 */
#include "ring/handle.h"

#include "sys/clock.h"
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int check_options(const struct seglog_ring_options *o)
{
    if (ring_pair_refusal(o->kind, o->overload) || (o->flags & ~SEGLOG_RING_FORCE_FS) ||
        o->mode > 0777)
        return -EINVAL;
    if (o->size != 0 && (!is_power_of_two(o->size) || o->size < SEGLOG_RING_SIZE_MIN ||
                         o->size > SEGLOG_RING_SIZE_MAX))
        return -EINVAL;
    return 0;
}

static int fill_facts(const struct seglog_ring_options *o, int fd, uint64_t start,
                      struct ring_facts *out)
{
    const uint64_t page = map_page_size_of(fd);
    struct ring_facts f = {
        .size = o->size,
        .data_off = align_up(RING_CTRL_BYTES, page),
        .start = start,
        .created_ns = clock_wall_ns(),
        .kind = o->kind,
        .overload = o->overload,
        .mode = o->mode ? o->mode : 0640,
    };

    if (f.size == 0)
        f.size = page > SEGLOG_RING_SIZE_DEFAULT ? page : SEGLOG_RING_SIZE_DEFAULT;
    if (f.size % page != 0 || f.size > SEGLOG_RING_SIZE_MAX)
        return -EINVAL;
    *out = f;
    return random_bytes(out->uuid, sizeof(out->uuid));
}

static int fill_file(int fd, const struct ring_facts *facts)
{
    void *ctrl;
    int rc = file_reserve(fd, facts->data_off + facts->size);

    if (rc < 0)
        return rc;
    rc = map_file(fd, 0, facts->data_off, true, &ctrl);
    if (rc < 0)
        return rc;
    ring_header_encode(ctrl, facts);
    map_drop(ctrl, facts->data_off);
    return 0;
}

static int make_file(int fd, const struct seglog_ring_options *o, uint64_t start)
{
    struct ring_facts facts;
    struct fs_facts fs;
    int rc = fs_facts(fd, &fs);

    if (rc == 0 && ring_fs_refused(&fs, o->flags))
        rc = SEGLOG_EFS;
    if (rc == 0)
        rc = fill_facts(o, fd, start, &facts);
    return rc < 0 ? rc : fill_file(fd, &facts);
}

/* "dir" and "name" of a path, in memory to free. */
static int split_path(const char *path, char **dir, const char **name)
{
    const char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if (**name == 0)
        return *path ? -EISDIR : -ENOENT;
    *dir = !slash          ? strdup(".")
           : slash == path ? strdup("/")
                           : strndup(path, (size_t)(slash - path));
    return *dir ? 0 : -ENOMEM;
}

static int create_in(int dirfd, const char *name, const struct seglog_ring_options *o,
                     uint64_t start)
{
    char temp[64];
    uint64_t nonce;
    int fd, rc = random_bytes(&nonce, sizeof(nonce));

    if (rc < 0)
        return rc;
    if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    snprintf(temp, sizeof(temp), ".seglog-ring-%016llx.tmp", (unsigned long long)nonce);
    fd = file_create(dirfd, temp, (mode_t)(o->mode ? o->mode : 0640));
    if (fd < 0)
        return fd;
    rc = make_file(fd, o, start);
    file_close(fd);
    if (rc == 0)
        rc = file_rename_new(dirfd, temp, name);
    if (rc < 0)
        (void)file_unlink(dirfd, temp);
    return rc;
}

int ring_create_at(const char *path, const struct seglog_ring_options *options, uint64_t start)
{
    static const struct seglog_ring_options plain;
    const struct seglog_ring_options *o = options ? options : &plain;
    const char *name;
    char *dir;
    int dirfd, rc = check_options(o);

    if (rc < 0)
        return rc;
    rc = split_path(path, &dir, &name);
    if (rc < 0)
        return rc;
    dirfd = dir_open(dir);
    free(dir);
    if (dirfd < 0)
        return dirfd;
    rc = create_in(dirfd, name, o, start);
    file_close(dirfd);
    return rc;
}

int seglog_ring_create(const char *path, const struct seglog_ring_options *options)
{
    return ring_create_at(path, options, 0);
}

int seglog_ring_create_memfd(const struct seglog_ring_options *options)
{
    static const struct seglog_ring_options plain;
    const struct seglog_ring_options *o = options ? options : &plain;
    int fd, rc = check_options(o);

    if (rc < 0)
        return rc;
    fd = memfd_create("seglog-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("seglog-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    rc = make_file(fd, o, 0);
    if (rc == 0 && fchmod(fd, (mode_t)(o->mode ? o->mode : 0640)) < 0)
        rc = -errno;
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        rc = -errno;
    if (rc < 0) {
        file_close(fd);
        return rc;
    }
    return fd;
}

static int check_attached(int fd)
{
    const int held = owner_probe(fd, RING_LOCK_ATTACH);

    return held < 0 ? held : held ? -EBUSY : 0;
}

int seglog_ring_remove(const char *path, int force)
{
    struct ring_header *header;
    struct ring_facts facts;
    struct file_facts file;
    int rc, fd = file_open(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0);

    if (fd < 0)
        return fd == -ELOOP ? SEGLOG_ENOTLOG : fd;
    header = malloc(sizeof(*header));
    rc = header ? file_facts(fd, &file) : -ENOMEM;
    if (rc == 0 && !file.is_regular)
        rc = SEGLOG_ENOTLOG;
    if (rc == 0)
        rc = file_pread(fd, header, sizeof(*header), 0);
    if (rc == -ENODATA)
        rc = SEGLOG_ENOTLOG;
    if (rc == 0) {
        /* A damaged or newer ring is a ring. */
        rc = ring_header_decode(header, &facts, NULL);
        rc = rc == SEGLOG_ENOTLOG ? rc : 0;
    }
    if (rc == 0 && !force)
        rc = check_attached(fd);
    file_close(fd);
    free(header);
    if (rc < 0)
        return rc;
    return unlink(path) < 0 ? -errno : 0;
}
