/*
 * A directory of its own for a test.
 *
 * Criterion runs each test in a process of its own; a test that crashes leaves its directory behind,
 * named after the project so that it is easy to find.
 */
#include "support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *tmpdir_path(const char *dir, const char *name)
{
    char *path = NULL;

    cr_assert(asprintf(&path, "%s/%s", dir, name) >= 0, "out of memory");
    return path;
}

char *tmpdir_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = tmpdir_path(base && *base ? base : "/tmp", "seglog-test-XXXXXX");

    cr_assert(mkdtemp(path) != NULL, "mkdtemp(%s): %s", path, strerror(errno));
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0; /* go on: what is left over shows when the directory itself goes */
}

void tmpdir_remove(char *path)
{
    if (!path)
        return;
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cr_assert(access(path, F_OK) != 0, "%s could not be removed", path);
    free(path);
}
