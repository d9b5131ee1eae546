/*
 * See scratch.h.
 */
#include "fuzz/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "support/dir_empty.h"

static char dir[64];

static void at_exit(void)
{
    dir_empty(dir);
    (void)rmdir(dir);
}

const char *scratch_empty(void)
{
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "%s/seglog-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        must(mkdtemp(dir) != NULL);
        must(atexit(at_exit) == 0);
    }
    dir_empty(dir);
    return dir;
}

const char *scratch_path(const char *name)
{
    static char paths[4][sizeof(dir) + 64];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    must((size_t)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name) < sizeof(paths[0]));
    return path;
}

void scratch_write(const char *name, const void *bytes, size_t size)
{
    const int fd = open(scratch_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0640);

    must(fd >= 0);
    must(pwrite(fd, bytes, size, 0) == (ssize_t)size);
    must(ftruncate(fd, (off_t)size) == 0);
    close(fd);
}
