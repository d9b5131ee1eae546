/*
 * The disk: see disk.h. Kept small: a log here is some dozens of files of 64 KiB.
 */
#include "disk.h"

#include "format/blocks.h"
#include "segment/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 4096

struct synced_file {
    uint64_t key;
    uint8_t *bytes;
    size_t size;
};

struct synced_name {
    char name[64];
    uint64_t key;
};

static char watched[512];
static dev_t watched_dev;
static ino_t watched_ino;
static struct synced_file files[FILES_MAX];
static size_t file_count;
static struct synced_name names[FILES_MAX];
static size_t name_count;
uint64_t disk_units_old, disk_units_new;

uint64_t dice_roll(struct dice *d)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return d->state * UINT64_C(0x2545F4914F6CDD1D);
}

uint64_t dice_below(struct dice *d, uint64_t n)
{
    return (dice_roll(d) >> 16) % n;
}

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "simulated disk: %s: %s\n", what, strerror(errno));
        abort();
    }
}

/*
 * Which file this is: inode numbers are given out again as soon as a file is gone, so the time of its
 * birth and the file system's own count of uses belong to it.
 */
static uint64_t key_of_fd(int fd)
{
    struct statx sx;
    unsigned long uses = 0;

    must(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx) == 0, "statx");
    ioctl(fd, FS_IOC_GETVERSION, &uses); /* where there is none, the birth must do */
    return sx.stx_ino * UINT64_C(0x9E3779B97F4A7C15) ^
           ((uint64_t)sx.stx_btime.tv_sec << 32 | sx.stx_btime.tv_nsec) ^
           (uint64_t)(uses & UINT32_MAX) * UINT64_C(0xC2B2AE3D27D4EB4F);
}

static uint64_t key_of(int dirfd, const char *name)
{
    const int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t key;

    must(fd >= 0, name);
    key = key_of_fd(fd);
    close(fd);
    return key;
}

/* ---- what is synced ------------------------------------------------------------------------- */

static struct synced_file *file_find(uint64_t key)
{
    for (size_t i = 0; i < file_count; i++)
        if (files[i].key == key)
            return &files[i];
    return NULL;
}

static void note_file(int fd, const struct stat *st)
{
    const uint64_t key = key_of_fd(fd);
    struct synced_file *f = file_find(key);

    if (!f) {
        must(file_count < FILES_MAX, "too many files");
        f = &files[file_count++];
        *f = (struct synced_file){.key = key};
    }
    free(f->bytes);
    f->size = (size_t)st->st_size;
    f->bytes = malloc(f->size + 1);
    must(f->bytes && pread(fd, f->bytes, f->size, 0) == (ssize_t)f->size, "read");
}

static void note_names(void)
{
    DIR *dir = opendir(watched);

    must(dir != NULL, "opendir");
    name_count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        must(name_count < FILES_MAX && strlen(e->d_name) < sizeof(names[0].name), "name");
        strcpy(names[name_count].name, e->d_name);
        names[name_count++].key = key_of(dirfd(dir), e->d_name);
    }
    closedir(dir);
}

static int note_sync(int fd)
{
    struct stat st;

    must(fstat(fd, &st) == 0, "fstat");
    if (st.st_dev != watched_dev)
        return 0;
    if (S_ISDIR(st.st_mode) && st.st_ino == watched_ino)
        note_names();
    else if (S_ISREG(st.st_mode))
        note_file(fd, &st);
    return 0;
}

/* The library is linked in: its calls come here. */
int fsync(int fd)
{
    return note_sync(fd);
}

int fdatasync(int fd)
{
    return note_sync(fd);
}

/* The file that is mapped at an address, and where in it that lies. -1: none of ours. */
static int mapped_at(const void *addr, uint64_t *offset)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024], path[512];
    int fd = -1;

    must(maps != NULL, "maps");
    while (fd < 0 && fgets(line, sizeof(line), maps)) {
        unsigned long from, to, at;

        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %511[^\n]", &from, &to, &at, path) == 4 &&
            (unsigned long)(uintptr_t)addr >= from && (unsigned long)(uintptr_t)addr < to) {
            *offset = at + ((unsigned long)(uintptr_t)addr - from);
            fd = open(path, O_RDONLY | O_CLOEXEC);
            break;
        }
    }
    fclose(maps);
    return fd;
}

/* Of what was synced before, these bytes and no others are now as they are. */
int msync(void *addr, size_t len, int flags)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t offset = 0;
    struct synced_file *f;
    const int fd = mapped_at(addr, &offset);

    (void)flags;
    must(fd >= 0, "msync of what is no file");
    f = file_find(key_of_fd(fd));
    must(f != NULL, "a part was synced before the file was");
    len = (len + page - 1) / page * page;
    if (offset + len > f->size)
        len = f->size - offset;
    must(pread(fd, f->bytes + offset, len, (off_t)offset) == (ssize_t)len, "read");
    close(fd);
    return 0;
}

/* RWF_DSYNC: these bytes are synced, and the size. */
ssize_t pwritev2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
    struct synced_file *f;
    struct stat st;
    uint64_t key;
    ssize_t put;

    must(n == 1 && flags == RWF_DSYNC, "a way of writing that is not simulated");
    put = pwrite(fd, parts[0].iov_base, parts[0].iov_len, offset);
    must(fstat(fd, &st) == 0, "fstat");
    if (put < 0 || st.st_dev != watched_dev)
        return put;
    key = key_of_fd(fd);
    f = file_find(key);
    if (!f) {
        must(file_count < FILES_MAX, "too many files");
        f = &files[file_count++];
        *f = (struct synced_file){.key = key};
    }
    if (f->size < (size_t)st.st_size) {
        f->bytes = realloc(f->bytes, (size_t)st.st_size + 1);
        must(f->bytes != NULL, "memory");
        memset(f->bytes + f->size, 0, (size_t)st.st_size - f->size);
        f->size = (size_t)st.st_size;
    }
    memcpy(f->bytes + offset, parts[0].iov_base, (size_t)put);
    return put;
}

void disk_watch(const char *dir)
{
    struct stat st;

    for (size_t i = 0; i < file_count; i++)
        free(files[i].bytes);
    file_count = 0;
    watched_dev = 0; /* inode numbers are used again: a directory that is gone is not watched */
    watched_ino = 0;
    if (!dir)
        return;
    must(strlen(dir) < sizeof(watched), "path");
    strcpy(watched, dir);
    must(stat(dir, &st) == 0, "stat");
    watched_dev = st.st_dev;
    watched_ino = st.st_ino;
    note_names();
    for (size_t i = 0; i < name_count; i++) {
        char path[640];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", dir, names[i].name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd >= 0, "open");
        note_sync(fd);
        close(fd);
    }
}

/* ---- images --------------------------------------------------------------------------------- */

/* What the file at a name holds now; NULL when the inode is not there any more. */
static uint8_t *read_now(const char *name, uint64_t key, size_t *size)
{
    char path[640];
    struct stat st;
    uint8_t *bytes;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", watched, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    must(fstat(fd, &st) == 0, "fstat");
    if (key_of_fd(fd) != key) {
        close(fd);
        return NULL;
    }
    *size = (size_t)st.st_size;
    bytes = malloc(*size + 1);
    must(bytes && pread(fd, bytes, *size, 0) == (ssize_t)*size, "read");
    close(fd);
    return bytes;
}

/* Mix old and new, unit by unit; how likely the new is differs from file to file. */
static void mix(uint8_t *now, const uint8_t *old, size_t size, struct dice *d)
{
    static const size_t units[] = {4096, 4096, 512, 64, 8};
    const size_t unit = units[dice_below(d, 5)];
    const uint64_t percent = dice_below(d, 101);

    for (size_t at = 0; at < size; at += unit) {
        const size_t n = size - at < unit ? size - at : unit;

        if (memcmp(now + at, old + at, n) == 0)
            continue;
        if (dice_below(d, 100) >= percent) {
            memcpy(now + at, old + at, n);
            disk_units_old++;
        } else {
            disk_units_new++;
        }
    }
}

static void other_boot(struct boot_mark *mark)
{
    struct boot_facts facts = {
        .known = true, .dev = le64_get(&mark->dev), .ino = le64_get(&mark->ino)};
    struct boot_mark copy = *mark;

    /* Only a mark that is whole: a torn one is the power cut's own doing. */
    memset(facts.boot_id, 0xB0, 16);
    if (le32_get(&copy.crc) == ~crc32c(~0u, &copy, offsetof(struct boot_mark, crc)))
        boot_mark_encode(mark, &facts);
}

static void write_image(const char *into, const char *name, uint8_t *bytes, size_t size)
{
    char path[640];
    uint64_t number;
    FILE *file;

    if (segment_name_parse(name, &number) && size >= OFF_TAIL + sizeof(struct tail_page))
        other_boot(
            (struct boot_mark *)(void *)(bytes + OFF_TAIL + offsetof(struct tail_page, boot)));
    if (strcmp(name, "live") == 0 && size == sizeof(struct live_file))
        other_boot((struct boot_mark *)(void *)(bytes + offsetof(struct live_file, boot)));
    snprintf(path, sizeof(path), "%s/%s", into, name);
    file = fopen(path, "wb");
    must(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "write");
}

static void cut_file(const char *into, const char *name, uint64_t key, struct dice *d)
{
    const struct synced_file *synced = file_find(key);
    size_t size = 0;
    uint8_t *now = read_now(name, key, &size);

    if (!now) { /* renamed or removed since: what was synced of it is what there is */
        size = synced ? synced->size : 0;
        now = calloc(1, size + 1);
        must(now != NULL, "memory");
        if (synced)
            memcpy(now, synced->bytes, size);
    } else if (!synced && dice_below(d, 8) == 0) {
        size = 0; /* never synced: not even the size need be there */
    } else {
        uint8_t *old = calloc(1, size + 1);

        must(old != NULL, "memory");
        if (synced)
            memcpy(old, synced->bytes, size < synced->size ? size : synced->size);
        mix(now, old, size, d);
        free(old);
    }
    write_image(into, name, now, size);
    free(now);
}

void disk_cut(const char *into, struct dice *d)
{
    DIR *dir = opendir(watched);
    static struct synced_name before[FILES_MAX];
    const size_t before_count = name_count;
    const bool all_old = dice_below(d, 4) == 0, all_new = dice_below(d, 3) == 0;

    must(dir != NULL, "opendir");
    memcpy(before, names, before_count * sizeof(before[0]));
    for (struct dirent *e; (e = readdir(dir));) {
        const uint64_t key = key_of(dirfd(dir), e->d_name);
        bool was = false;

        if (e->d_name[0] == '.')
            continue;
        for (size_t i = 0; i < before_count; i++) {
            if (strcmp(before[i].name, e->d_name) != 0)
                continue;
            was = true;
            /* Another file under the name by now: either of the two. */
            cut_file(into, e->d_name, dice_below(d, 2) ? key : before[i].key, d);
            before[i].name[0] = 0;
        }
        if (!was && !all_old && (all_new || dice_below(d, 2)))
            cut_file(into, e->d_name, key, d);
    }
    closedir(dir);
    for (size_t i = 0; i < before_count; i++)
        if (before[i].name[0] && !all_new && (all_old || dice_below(d, 2)))
            cut_file(into, before[i].name, before[i].key, d);
}
