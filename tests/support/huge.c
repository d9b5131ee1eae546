/*
 * Huge pages: see huge.h. How many the machine has is one number for everybody, so tests take turns, by a
 * lock that ends with its holder.
 */
#include "support/huge.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#define PAGES "/proc/sys/vm/nr_hugepages"

static long pages_read(void)
{
    FILE *file = fopen(PAGES, "re");
    long n = -1;

    if (file && fscanf(file, "%ld", &n) != 1)
        n = -1;
    if (file)
        (void)fclose(file);
    return n;
}

static bool pages_write(long n)
{
    FILE *file = fopen(PAGES, "we");

    if (!file)
        return false;
    (void)fprintf(file, "%ld\n", n);
    return fclose(file) == 0 && pages_read() == n;
}

bool huge_pages_take(struct huge_pages *pages, long wanted)
{
    pages->turn = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pages->turn < 0)
        return false;
    if (flock(pages->turn, LOCK_EX) == 0) {
        pages->before = pages_read();
        if (pages->before >= 0 && pages_write(pages->before + wanted))
            return true;
        if (pages->before >= 0)
            (void)pages_write(pages->before);
    }
    close(pages->turn);
    return false;
}

void huge_pages_give(struct huge_pages *pages)
{
    (void)pages_write(pages->before);
    close(pages->turn);
}

bool huge_mount(const char *dir)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", dir, "hugetlbfs", 0, NULL) == 0;
}
