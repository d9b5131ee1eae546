/*
 * A file of ours by its path.
 *
 * What is being made has no name (O_TMPFILE), so that the kernel removes it when its maker dies, and
 * gets its name by link(2), which never replaces anything: of several makers one wins.
 */
#include "state/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <seglog/status.h>

#include "sys/clock.h"
#include "sys/file.h"

static int open_place(const char *path, bool force_fs, bool is_mapped, struct place *out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const size_t up = slash ? (size_t)(slash - path) : 0;
    char dir[4096];
    struct fs_facts fs;
    int rc;

    if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return *path == 0 ? -ENOENT : -EISDIR;
    if (strlen(name) >= sizeof(out->name) || up >= sizeof(dir))
        return -ENAMETOOLONG;
    memcpy(dir, path, up);
    dir[up] = 0;
    if (!slash)
        strcpy(dir, ".");
    else if (up == 0)
        strcpy(dir, "/");

    out->dirfd = dir_open(dir);
    if (out->dirfd < 0)
        return out->dirfd;
    strcpy(out->name, name);
    rc = fs_facts(out->dirfd, &fs);
    if (rc == 0 && fs.is_refused && !force_fs && !(is_mapped && fs.maps_only))
        rc = SEGLOG_EFS;
    if (rc < 0) {
        place_close(out);
        return rc;
    }
    out->is_volatile = fs.is_volatile;
    return 0;
}

int place_open(const char *path, bool force_fs, struct place *out)
{
    return open_place(path, force_fs, false, out);
}

int place_open_for_map(const char *path, bool force_fs, struct place *out)
{
    return open_place(path, force_fs, true, out);
}

void place_close(struct place *place)
{
    file_close(place->dirfd);
    place->dirfd = -1;
}

/* Gives the descriptor; temp[0] is 0 if it has no name. */
static int begin(const struct place *place, uint32_t mode, char temp[static 300])
{
    uint64_t nonce;
    int fd = file_create_hidden(place->dirfd, (mode_t)mode);
    int rc;

    temp[0] = 0;
    if (fd != -EOPNOTSUPP)
        return fd;
    rc = random_bytes(&nonce, sizeof(nonce));
    if (rc < 0)
        return rc;
    (void)snprintf(temp, 300, "%.255s.%08x.tmp", place->name, (unsigned)nonce);
    return file_create(place->dirfd, temp, (mode_t)mode);
}

int place_create(const struct place *place, uint32_t mode, uint64_t size,
                 int (*fill)(void *context, int fd), void *context)
{
    char temp[300];
    const int fd = begin(place, mode, temp);
    int rc;

    if (fd < 0)
        return fd;
    rc = size > 0 ? file_reserve(fd, size) : 0;
    if (rc == 0 && fill)
        rc = fill(context, fd);
    if (rc == 0 && !place->is_volatile)
        rc = file_sync(fd);
    if (rc == 0)
        rc = temp[0] ? file_rename_new(place->dirfd, temp, place->name)
                     : file_publish(fd, place->dirfd, place->name);
    if (rc == 0 && !place->is_volatile) {
        rc = dir_sync(place->dirfd);
        temp[0] = 0;
    }
    if (rc < 0) {
        if (temp[0])
            (void)file_unlink(place->dirfd, temp);
        file_close(fd);
        return rc;
    }
    return fd;
}

int place_find(const struct place *place, bool writable)
{
    const int fd = file_open(place->dirfd, place->name, writable ? O_RDWR : O_RDONLY, 0);
    struct file_facts facts;
    int rc;

    if (fd < 0)
        return fd;
    rc = file_facts(fd, &facts);
    if (rc == 0 && !facts.is_regular)
        rc = -EINVAL;
    if (rc < 0) {
        file_close(fd);
        return rc;
    }
    return fd;
}
