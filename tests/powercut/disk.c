/*
 * The disk's memory: see disk.h. Kept small: a log here is some files of 64 KiB.
 *
 * Every file is mapped as long as the disk knows it, so that content outlives names, and no inode
 * number is given out twice.
 */
#include "powercut/disk_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_EVERY 5 /* events between two looks, on the average */

static struct disk *top;

void disk_must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "simulated disk: %s: %s\n", what, strerror(errno));
        _exit(3);
    }
}

struct disk *disk_top(void)
{
    return top;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void file_versions_free(struct disk_file *f)
{
    for (size_t i = 0; i < f->size / DISK_PAGE * DISK_BETWEEN; i++)
        free(f->between[i]);
    free(f->between);
    free(f->synced);
    free(f->seen);
}

static void file_free(struct disk_file *f)
{
    if (f->size)
        (void)syscall(SYS_munmap, f->map, f->size);
    file_versions_free(f);
    close(f->fd);
    free(f);
}

/* The file has another size by now: of what it held, all stays known. */
static void file_resize(struct disk_file *f, size_t size)
{
    const size_t pages = (size + DISK_PAGE - 1) / DISK_PAGE;
    struct disk_file old = *f;

    f->size = pages * DISK_PAGE; /* no file of a log ends within a page for long */
    disk_must(f->size >= old.size, "a file became smaller");
    if (f->size == old.size)
        return;
    f->map = (void *)syscall(SYS_mmap, NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
    f->synced = calloc(1, f->size);
    f->seen = calloc(1, f->size);
    f->between = calloc(pages * DISK_BETWEEN, sizeof(*f->between));
    disk_must(f->map != MAP_FAILED && f->synced && f->seen && f->between, "memory");
    if (old.size) {
        memcpy(f->synced, old.synced, old.size);
        memcpy(f->seen, old.seen, old.size);
        memcpy(f->between, old.between, old.size / DISK_PAGE * DISK_BETWEEN * sizeof(*f->between));
        memset(old.between, 0, old.size / DISK_PAGE * DISK_BETWEEN * sizeof(*f->between));
        (void)syscall(SYS_munmap, old.map, old.size);
        file_versions_free(&old);
    }
}

static size_t file_size(const struct disk_file *f)
{
    struct stat st;

    disk_must(fstat(f->fd, &st) == 0, "fstat");
    return (size_t)st.st_size;
}

/* Bytes behind the end of a file must not be touched. */
static size_t page_bytes(size_t size, size_t at)
{
    return size <= at ? 0 : size - at < DISK_PAGE ? size - at : DISK_PAGE;
}

static void file_look(struct disk_file *f, struct dice *dice)
{
    const size_t size = file_size(f);

    file_resize(f, size);
    for (size_t at = 0; at < size; at += DISK_PAGE) {
        const size_t n = page_bytes(size, at);
        uint8_t **between, *page;

        if (memcmp(f->map + at, f->seen + at, n) == 0)
            continue;
        between = &f->between[at / DISK_PAGE * DISK_BETWEEN + dice_below(dice, DISK_BETWEEN)];
        page = *between ? *between : malloc(DISK_PAGE);
        disk_must(page != NULL, "memory");
        memcpy(page, f->seen + at, DISK_PAGE);
        *between = page;
        memcpy(f->seen + at, f->map + at, n);
    }
}

/* These bytes are on the disk now. */
static void file_synced(struct disk_file *f, size_t from, size_t to)
{
    const size_t size = file_size(f);

    file_resize(f, size);
    from = from / DISK_PAGE * DISK_PAGE;
    to = to < size ? to : size;
    for (size_t at = from; at < to; at += DISK_PAGE) {
        const size_t n = page_bytes(size, at);

        memcpy(f->synced + at, f->map + at, n);
        memcpy(f->seen + at, f->map + at, n);
        for (size_t i = 0; i < DISK_BETWEEN; i++) {
            free(f->between[at / DISK_PAGE * DISK_BETWEEN + i]);
            f->between[at / DISK_PAGE * DISK_BETWEEN + i] = NULL;
        }
    }
    f->synced_size = size;
    f->was_synced = true;
}

static struct disk_file *file_find(ino_t ino)
{
    for (size_t i = top->file_count; i-- > 0;)
        if (top->files[i]->ino == ino)
            return top->files[i];
    return NULL;
}

static struct disk_file *file_get(int dirfd, const char *name, ino_t ino)
{
    struct disk_file *f = file_find(ino);

    if (f)
        return f;
    disk_must(top->file_count < DISK_FILES, "too many files");
    f = calloc(1, sizeof(*f));
    disk_must(f != NULL, "memory");
    f->ino = ino;
    f->fd = (int)syscall(SYS_openat, dirfd, name, O_RDONLY | O_CLOEXEC, 0);
    disk_must(f->fd >= 0, name);
    top->files[top->file_count++] = f;
    return f;
}

/* ---- names ---------------------------------------------------------------------------------- */

static void names_read(struct disk_names *names)
{
    DIR *dir = opendir(top->dir);

    disk_must(dir != NULL, "opendir");
    names->count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        struct disk_name *name = &names->list[names->count];

        if (e->d_name[0] == '.')
            continue;
        disk_must(names->count < DISK_NAMES && strlen(e->d_name) < sizeof(name->name), "name");
        strcpy(name->name, e->d_name);
        name->file = file_get(top->dirfd, e->d_name, e->d_ino);
        names->count++;
    }
    closedir(dir);
}

static bool is_named(const struct disk_file *f)
{
    for (size_t t = 0; t < top->table_count; t++)
        for (size_t i = 0; i < top->tables[t].count; i++)
            if (top->tables[t].list[i].file == f)
                return true;
    return false;
}

/* The names are on the disk: what has none any more cannot come back. */
static void names_synced(void)
{
    size_t kept = 0;

    names_read(&top->tables[0]);
    top->table_count = 1;
    for (size_t i = 0; i < top->file_count; i++) {
        if (is_named(top->files[i]))
            top->files[kept++] = top->files[i];
        else
            file_free(top->files[i]);
    }
    top->file_count = kept;
}

void disk_names_changed(void)
{
    if (!top || top->sleeps)
        return;
    if (top->table_count == DISK_TABLES) { /* forget one in the middle */
        const size_t gone = 1 + dice_below(&top->dice, DISK_TABLES - 2);

        memmove(&top->tables[gone], &top->tables[gone + 1],
                (DISK_TABLES - 1 - gone) * sizeof(top->tables[0]));
        top->table_count--;
    }
    names_read(&top->tables[top->table_count]);
    top->table_count++;
}

/* ---- what happens --------------------------------------------------------------------------- */

void disk_push(const char *dir, uint64_t seed)
{
    struct disk *d = calloc(1, sizeof(*d));
    struct stat st;

    disk_must(d != NULL && strlen(dir) < sizeof(d->dir), "memory");
    strcpy(d->dir, dir);
    d->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    disk_must(d->dirfd >= 0 && fstat(d->dirfd, &st) == 0, dir);
    d->ino = st.st_ino;
    d->dice = dice_of(seed);
    d->below = top;
    top = d;
    names_synced();
    for (size_t i = 0; i < d->file_count; i++)
        file_synced(d->files[i], 0, SIZE_MAX);
}

void disk_pop(void)
{
    struct disk *d = top;

    for (size_t i = 0; i < d->file_count; i++)
        file_free(d->files[i]);
    close(d->dirfd);
    top = d->below;
    free(d);
}

void disk_cut_at(uint64_t n, void (*fn)(void *context), void *context)
{
    top->events = 0;
    top->cut_at = n;
    top->on_cut = fn;
    top->context = context;
}

uint64_t disk_events(void)
{
    return top->events;
}

void disk_look(void)
{
    for (size_t i = 0; i < top->file_count; i++)
        file_look(top->files[i], &top->dice);
}

void disk_event(void)
{
    struct disk *d = top;

    if (!d || d->sleeps)
        return;
    d->events++;
    if (dice_below(&d->dice, LOOK_EVERY) == 0)
        disk_look();
    if (d->events == d->cut_at) {
        d->sleeps = true;
        d->on_cut(d->context);
        d->sleeps = false;
    }
}

void disk_note_sync(int fd)
{
    struct stat st;
    struct disk_file *f;

    if (!top || top->sleeps || fstat(fd, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode) && st.st_ino == top->ino) {
        names_synced();
        return;
    }
    f = S_ISREG(st.st_mode) ? file_find(st.st_ino) : NULL;
    if (!f && S_ISREG(st.st_mode) && st.st_nlink == 0) { /* its name comes later */
        char path[40];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        f = file_get(AT_FDCWD, path, st.st_ino);
    }
    if (f)
        file_synced(f, 0, SIZE_MAX);
}

void disk_note_sync_range(ino_t ino, uint64_t offset, uint64_t len)
{
    struct disk_file *f;

    if (!top || top->sleeps)
        return;
    f = file_find(ino);
    if (f)
        file_synced(f, (size_t)offset, (size_t)(offset + len));
}
