/*
 * Torn blocks: see tear.h.
 */
#include "fscut/tear.h"

#include "fscut/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTOR  512u
#define EXTENTS 64u /* asked for at a time */

/* ---- which blocks --------------------------------------------------------------------------- */

static void note_extent(const struct fiemap_extent *extent, struct tear_map *out)
{
    const uint32_t elsewhere = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                               FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_NOT_ALIGNED;

    if (extent->fe_flags & elsewhere)
        return;
    for (uint64_t at = 0; at < extent->fe_length; at += TAPE_BLOCK)
        if (extent->fe_physical + at < TAPE_DISK)
            out->is_data[(extent->fe_physical + at) / TAPE_BLOCK] = 1;
}

static void map_file(int fd, struct tear_map *out)
{
    union {
        struct fiemap map;
        uint8_t room[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
    } ask;
    uint64_t from = 0;
    bool more = true;

    while (more) {
        memset(&ask, 0, sizeof(ask));
        ask.map.fm_start = from;
        ask.map.fm_length = FIEMAP_MAX_OFFSET - from;
        ask.map.fm_extent_count = EXTENTS;
        if (ioctl(fd, FS_IOC_FIEMAP, &ask.map) < 0 || ask.map.fm_mapped_extents == 0)
            return;
        for (uint32_t i = 0; i < ask.map.fm_mapped_extents; i++) {
            const struct fiemap_extent *extent = &ask.map.fm_extents[i];

            note_extent(extent, out);
            from = extent->fe_logical + extent->fe_length;
            more = !(extent->fe_flags & FIEMAP_EXTENT_LAST);
        }
    }
}

int tear_map(const char *dir, struct tear_map *out)
{
    DIR *list = opendir(dir);
    const struct dirent *entry;

    memset(out, 0, sizeof(*out));
    if (!list)
        return errno == ENOENT ? 0 : -errno; /* cut before the log was made */
    while ((entry = readdir(list)) != NULL) {
        const int fd =
            entry->d_type == DT_REG ? openat(dirfd(list), entry->d_name, O_RDONLY | O_CLOEXEC) : -1;

        if (fd >= 0) {
            map_file(fd, out);
            close(fd);
        }
    }
    closedir(list);
    return 0;
}

/* ---- tearing -------------------------------------------------------------------------------- */

static bool covers(const struct tape_event *e, uint64_t block)
{
    return e->kind == TAPE_WRITE && block >= e->offset && block + TAPE_BLOCK <= e->offset + e->len;
}

/* What a block held for good. */
static const uint8_t *flushed_block(const struct tape *t, uint64_t flushed, uint64_t block)
{
    for (uint64_t i = flushed; i-- > 0;)
        if (covers(&t->events[i], block))
            return t->data + t->events[i].at + (block - t->events[i].offset);
    return t->base + block;
}

static int tear_block(const uint8_t *before, const uint8_t *after, uint8_t *at, struct dice *dice)
{
    if (memcmp(at, after, TAPE_BLOCK) != 0 || dice_below(dice, 2))
        return 0; /* that write is not what is there */
    for (uint32_t i = 0; i < TAPE_BLOCK; i += SECTOR)
        if (dice_below(dice, 2))
            memcpy(at + i, before + i, SECTOR);
    return 1;
}

int tear_image(const struct tape *t, uint64_t cut, const struct tear_map *map, struct dice *dice,
               const char *image)
{
    const int fd = open(image, O_RDWR | O_CLOEXEC);
    const uint64_t flushed = disk_flushed(t, cut);
    uint8_t *bytes;
    int count = 0;

    if (fd < 0)
        return -errno;
    bytes = mmap(NULL, t->disk_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return -errno;
    for (uint64_t i = flushed; i < cut; i++) {
        const struct tape_event *e = &t->events[i];

        for (uint64_t at = 0; e->kind == TAPE_WRITE && at + TAPE_BLOCK <= e->len;
             at += TAPE_BLOCK) {
            const uint64_t block = e->offset + at;

            if (map->is_data[block / TAPE_BLOCK])
                count += tear_block(flushed_block(t, flushed, block), t->data + e->at + at,
                                    bytes + block, dice);
        }
    }
    munmap(bytes, t->disk_size);
    return count;
}
