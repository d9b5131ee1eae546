/*
 * See images.h.
 */
#include "powercut/images.h"

#include "powercut/disk.h"
#include "support/tmpdir.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

char *images_top(void)
{
    char *path = strdup("/dev/shm/seglog-powercut-XXXXXX");
    struct statfs st;

    if (path && statfs("/dev/shm", &st) == 0 && st.f_type == TMPFS_MAGIC &&
        (uint64_t)st.f_bavail * (uint64_t)st.f_bsize > UINT64_C(256) << 20 && mkdtemp(path))
        return path;
    free(path);
    return tmpdir_make();
}

void images_open(struct images *images, const char *top, unsigned worker)
{
    snprintf(images->top, sizeof(images->top), "%s/%u", top, worker);
    disk_must(mkdir(images->top, 0750) == 0, images->top);
}

void images_begin(struct images *images)
{
    images->seen_count = 0;
    images->made = 0;
}

static bool is_new(struct images *images, uint64_t hash)
{
    for (size_t i = 0; i < images->seen_count; i++)
        if (images->seen[i] == hash)
            return false;
    if (images->seen_count < sizeof(images->seen) / sizeof(images->seen[0]))
        images->seen[images->seen_count++] = hash;
    return true;
}

bool images_make(struct images *images, struct dice *dice, unsigned index, char path[IMAGE_PATH],
                 uint64_t *hash)
{
    snprintf(path, IMAGE_PATH, "%s/%llu", images->top, (unsigned long long)++images->made);
    *hash = disk_image(path, dice, index);
    if (is_new(images, *hash))
        return true;
    image_remove(path);
    return false;
}

void image_remove(const char *path)
{
    tmpdir_remove(strdup(path));
}
