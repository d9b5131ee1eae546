/* What disk.c remembers and image.c draws from. */
#ifndef TEST_POWERCUT_DISK_STATE_H
#define TEST_POWERCUT_DISK_STATE_H

#include "powercut/disk.h"

#define DISK_PAGE    4096u
#define DISK_BETWEEN 3u /* versions of a page that are kept between the last sync and now */
#define DISK_FILES   160u
#define DISK_NAMES   64u
#define DISK_TABLES  24u

struct disk_file {
    ino_t ino;
    int fd;
    const uint8_t *map; /* what the file holds now */
    size_t size;
    uint8_t *synced; /* `size` bytes, zero beyond synced_size */
    size_t synced_size;
    bool was_synced;
    uint8_t *seen;     /* at the last look */
    uint8_t **between; /* DISK_BETWEEN for each page, NULL where there is none */
};

struct disk_name {
    char name[64];
    struct disk_file *file;
};

struct disk_names {
    struct disk_name list[DISK_NAMES];
    size_t count;
};

struct disk {
    char dir[512];
    int dirfd;
    ino_t ino;
    struct disk_file *files[DISK_FILES];
    size_t file_count;
    struct disk_names
        tables[DISK_TABLES]; /* the names since the last sync: [0] synced, last: now */
    size_t table_count;
    struct disk *below;
    struct dice dice;
    uint64_t events, cut_at;
    void (*on_cut)(void *context);
    void *context;
    bool sleeps;
};

/* The one on top, NULL if there is none. */
struct disk *disk_top(void);

#endif
