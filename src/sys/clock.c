/*
 * Time and identity of this boot.
 */
#include "sys/clock.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/* clock_gettime() cannot fail for the clocks asked for here. */
static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec t = {0};

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

uint64_t clock_wall_coarse_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME_COARSE);
}

uint64_t clock_monotonic_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

void clock_sleep_ns(uint64_t ns)
{
    const uint64_t now = clock_monotonic_ns();
    const uint64_t end = ns < INT64_MAX - now ? now + ns : INT64_MAX;
    const struct timespec t = {
        .tv_sec = (time_t)(end / NS_PER_S),
        .tv_nsec = (long)(end % NS_PER_S),
    };

    /* To an absolute time: interruptions do not add up. */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* "01234567-89ab-cdef-0123-456789abcdef" */
static int uuid_parse(const char text[36], uint8_t out[16])
{
    uint8_t id[16];
    size_t at = 0;

    for (size_t i = 0; i < sizeof(id); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (text[at++] != '-')
                return -ENOENT;
        }
        const int high = hex_digit(text[at++]);
        const int low = hex_digit(text[at++]);
        if (high < 0 || low < 0)
            return -ENOENT;
        id[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, id, sizeof(id));
    return 0;
}

int boot_id_read(uint8_t out[16])
{
    char text[36];
    int fd;
    int rc;

    fd = file_open(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    /* No /proc, or one that a sandbox has emptied or closed. Any other failure may pass. */
    if (fd == -ENOTDIR || fd == -EACCES || fd == -EPERM)
        return -ENOENT;
    if (fd < 0)
        return fd;
    rc = file_pread(fd, text, sizeof(text), 0);
    file_close(fd);
    if (rc < 0)
        return rc == -ENODATA ? -ENOENT : rc;
    return uuid_parse(text, out);
}

int boot_id_find(uint8_t out[16], bool *known)
{
    const int rc = boot_id_read(out);

    *known = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

int random_bytes(void *out, size_t n)
{
    uint8_t *at = out;

    while (n > 0) {
        const ssize_t got = getrandom(at, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}
