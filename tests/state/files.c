/*
 * What the tests of mapped state have in common.
 */
#include "state/files.h"

#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

char *files_dir;

/* What files_path() gave, for the teardown. */
static struct path {
    struct path *next;
    char *text;
} * paths;

char *files_path(const char *name)
{
    struct path *path = malloc(sizeof(*path));

    cr_assert(path != NULL);
    *path = (struct path){.next = paths, .text = tmpdir_path(files_dir, name)};
    paths = path;
    return path->text;
}

void files_setup(void)
{
    files_dir = tmpdir_make();
}

void files_teardown(void)
{
    while (paths) {
        struct path *next = paths->next;

        free(paths->text);
        free(paths);
        paths = next;
    }
    (void)umount2(files_dir, MNT_DETACH);
    tmpdir_remove(files_dir);
}

bool files_small(const char *size)
{
    char options[64];

    (void)snprintf(options, sizeof(options), "size=%s", size);
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", files_dir, "tmpfs", 0, options) == 0;
}

unsigned files_maps(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned n = 0;
    int c;

    cr_assert(f != NULL);
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    (void)fclose(f);
    return n;
}

unsigned files_open(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    cr_assert(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

bool files_durable(void)
{
    struct fs_facts fs;
    const int fd = dir_open(files_dir);

    cr_assert_ok(fd);
    cr_assert_ok(fs_facts(fd, &fs));
    file_close(fd);
    return !fs.is_volatile;
}

void files_damage(const char *path, uint64_t offset)
{
    const int fd = file_open(AT_FDCWD, path, O_RDWR, 0);
    uint8_t byte;

    cr_assert_ok(fd);
    cr_assert_ok(file_pread(fd, &byte, 1, offset));
    byte ^= 0x10;
    cr_assert_ok(file_pwrite(fd, &byte, 1, offset));
    file_close(fd);
}

bool files_quick(void)
{
    return getenv("SEGLOG_TEST_QUICK") != NULL;
}
