/*
 * Images of what a power cut leaves: see disk.h.
 *
 * How much of what was not synced reached the disk differs from image to image, from file to file,
 * and in grain: whole pages in one, single words in another.
 */
#include "powercut/disk_state.h"

#include "format/blocks.h"
#include "segment/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#define COMBINATIONS 16u /* of names: up to here all are gone through, beyond it is drawn */

struct disk_counts disk_counts;

/* ---- bytes ---------------------------------------------------------------------------------- */

/* How one file of one image is drawn. */
struct grain {
    size_t unit;
    uint64_t percent_new;
    bool halfway; /* versions between old and new, too */
};

static struct grain grain_draw(struct dice *d)
{
    static const size_t units[] = {4096, 4096, 512, 64, 8};
    static const uint64_t edges[] = {0, 100, 50};
    struct grain g = {.unit = units[dice_below(d, 5)], .halfway = dice_below(d, 3) != 0};

    g.percent_new = dice_below(d, 3) == 0 ? edges[dice_below(d, 3)] : dice_below(d, 101);
    return g;
}

/* The version that a unit of a page takes. */
static const uint8_t *version_draw(const struct disk_file *f, const uint8_t *now, size_t page,
                                   const struct grain *g, struct dice *d)
{
    const uint64_t roll = dice_roll(d) >> 8;

    if (roll % 100 < g->percent_new) {
        disk_counts.units_new++;
        return now;
    }
    if (g->halfway && (roll >> 20) % 2 == 0) {
        const uint8_t *between =
            f->between[page / DISK_PAGE * DISK_BETWEEN + (roll >> 24) % DISK_BETWEEN];

        if (between) {
            disk_counts.units_between++;
            return between;
        }
    }
    disk_counts.units_old++;
    return f->synced + page;
}

/* out: `size` bytes, a multiple of pages of memory. */
static void file_draw(const struct disk_file *f, size_t size, uint8_t *out, struct dice *d)
{
    const struct grain g = grain_draw(d);

    memcpy(out, f->map, size);
    for (size_t page = 0; page < size; page += DISK_PAGE) {
        const uint8_t *now = f->map + page;
        const size_t len = size - page < DISK_PAGE ? size - page : DISK_PAGE;

        if (memcmp(now, f->synced + page, len) == 0 && !f->between[page / DISK_PAGE * DISK_BETWEEN])
            continue;
        for (size_t at = 0; at < len; at += g.unit)
            memcpy(out + page + at, version_draw(f, now, page, &g, d) + at,
                   len - at < g.unit ? len - at : g.unit);
    }
}

/* How long the file is: once synced, at least what it was then. */
static size_t size_draw(const struct disk_file *f, size_t now, struct dice *d)
{
    const size_t least = f->was_synced ? f->synced_size : 0;
    size_t size = now;

    if (least < now && dice_below(d, 6) == 0) {
        size = least + dice_below(d, (now - least) / 512 + 1) * 512;
        disk_counts.sizes_cut += size != now;
    }
    return size;
}

/* ---- another boot --------------------------------------------------------------------------- */

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

void disk_write_file(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[640];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    disk_must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, path);
    close(fd);
}

static uint64_t write_file(const char *into, const char *name, const struct disk_file *f,
                           struct dice *d)
{
    static uint8_t *bytes;
    static size_t capacity;
    struct stat st;
    uint64_t number, hash;
    size_t size;

    disk_must(fstat(f->fd, &st) == 0, "fstat");
    size = size_draw(f, (size_t)st.st_size < f->size ? (size_t)st.st_size : f->size, d);
    if (capacity < f->size + DISK_PAGE) {
        capacity = f->size + DISK_PAGE;
        bytes = realloc(bytes, capacity);
        disk_must(bytes != NULL, "memory");
    }
    if (size > 0)
        file_draw(f, size, bytes, d);
    hash = XXH3_64bits_withSeed(bytes, size, XXH3_64bits(name, strlen(name)));
    if (segment_name_parse(name, &number) && size >= OFF_TAIL + sizeof(struct tail_page))
        other_boot(
            (struct boot_mark *)(void *)(bytes + OFF_TAIL + offsetof(struct tail_page, boot)));
    if (strcmp(name, "live") == 0 && size == sizeof(struct live_file))
        other_boot((struct boot_mark *)(void *)(bytes + offsetof(struct live_file, boot)));
    disk_write_file(into, name, bytes, size);
    return hash;
}

/* ---- names ---------------------------------------------------------------------------------- */

static struct disk_file *bound_to(const struct disk_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return names->list[i].file;
    return NULL;
}

/* All that a name has been bound to since the names were synced, NULL for nothing. */
struct binding {
    const char *name;
    struct disk_file *files[DISK_TABLES];
    size_t count;
};

static void binding_add(const struct disk *disk, const char *name, struct binding *b)
{
    *b = (struct binding){.name = name};
    for (size_t t = 0; t < disk->table_count; t++) {
        struct disk_file *f = bound_to(&disk->tables[t], name);
        bool known = false;

        for (size_t i = 0; i < b->count; i++)
            known = known || b->files[i] == f;
        if (!known)
            b->files[b->count++] = f;
    }
}

/* Every name there has been, with what it stood for. */
static size_t bindings_of(const struct disk *disk, struct binding *out, size_t max)
{
    size_t count = 0;

    for (size_t t = 0; t < disk->table_count; t++) {
        for (size_t i = 0; i < disk->tables[t].count; i++) {
            const char *name = disk->tables[t].list[i].name;
            bool known = false;

            for (size_t k = 0; k < count; k++)
                known = known || strcmp(out[k].name, name) == 0;
            if (known)
                continue;
            disk_must(count < max, "too many names");
            binding_add(disk, name, &out[count++]);
        }
    }
    return count;
}

/* Each name by itself: old, new or between. */
static void names_combine(const struct disk *disk, struct disk_names *out, struct dice *d,
                          unsigned index)
{
    static struct binding all[DISK_NAMES * 2];
    const size_t count = bindings_of(disk, all, sizeof(all) / sizeof(all[0]));
    uint64_t combinations = 1, choice = index;

    for (size_t i = 0; i < count && combinations <= COMBINATIONS; i++)
        combinations *= all[i].count;
    if (combinations > COMBINATIONS)
        choice = dice_roll(d) >> 1;
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct disk_file *f = all[i].files[choice % all[i].count];

        choice /= all[i].count;
        if (!f)
            continue;
        disk_must(out->count < DISK_NAMES, "too many names");
        strcpy(out->list[out->count].name, all[i].name);
        out->list[out->count++].file = f;
    }
}

static void names_draw(const struct disk *disk, struct disk_names *out, struct dice *d,
                       unsigned index)
{
    const uint64_t how = dice_below(d, 8);
    size_t table = disk->table_count - 1;

    if (how < 4 && disk->table_count > 1) {
        names_combine(disk, out, d, index);
        return;
    }
    if (how < 6) /* in the order in which they were made, up to some moment */
        table = dice_below(d, disk->table_count);
    disk_counts.names_old += table != disk->table_count - 1;
    *out = disk->tables[table];
}

uint64_t disk_image(const char *into, struct dice *d, unsigned index)
{
    static struct disk_names names;
    uint64_t hash = 0;

    disk_look();
    names_draw(disk_top(), &names, d, index);
    disk_must(mkdir(into, 0750) == 0, into);
    for (size_t i = 0; i < names.count; i++) /* in any order */
        hash += write_file(into, names.list[i].name, names.list[i].file, d);
    return hash;
}
