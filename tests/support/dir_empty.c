/*
 * See dir_empty.h.
 */
#include "support/dir_empty.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    if (ftw->level > 0)
        (void)remove(path);
    return 0; /* go on: what is left over shows when the directory itself goes */
}

void dir_empty(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
