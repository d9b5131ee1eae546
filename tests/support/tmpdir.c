/*
 * A directory of its own for a test.
 *
 * Criterion runs each test in a process of its own; a test that crashes leaves its directory behind,
 * named after the project so that it is easy to find.
 */
#include "support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/dir_empty.h"

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

void tmpdir_remove(char *path)
{
    if (!path)
        return;
    dir_empty(path);
    (void)remove(path);
    cr_assert(access(path, F_OK) != 0, "%s could not be removed", path);
    free(path);
}
