/*
 * What this machine, and a place on it, offer to a log.
 *
 * Asking beats knowing: kernels are patched, sandboxes forbid, file systems differ by mount option.
 * So what can be tried is tried, on a file of our own at the place, and what the place does not let
 * us try counts as not there.
 */
#include <seglog/inspect.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "io/io.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"
#include "sys/owner.h"
#include "sys/thread.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define TRIAL_BYTES (UINT64_C(64) << 10)
#define TRIAL_BYTE  1u /* of the lock */

/* ---- the kernel ----------------------------------------------------------------------------- */

static bool kernel_has_membarrier(void)
{
    const long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    const long needed = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_GLOBAL_EXPEDITED;

    return commands > 0 && (commands & needed) == needed;
}

static void probe_io(struct seglog_probe *out)
{
    struct io_facts facts;
    int choice;

    io_probe(&facts);
    choice = io_choice_here(&facts);
    out->io_uring = facts.status == 0;
    out->io_uring_status = facts.status;
    out->io_uring_sysctl = facts.disabled;
    snprintf(out->io_uring_why_not, sizeof(out->io_uring_why_not), "%s", facts.reason);
    out->io_engine = choice > 0 ? (uint32_t)choice : 0;
}

static uint64_t limit_of(__rlimit_resource_t resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) < 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

/* ---- /proc ---------------------------------------------------------------------------------- */

/* The text of a small file of the kernel's. Its length; 0 where there is none. */
static size_t proc_read(const char *path, char *out, size_t room)
{
    const int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
    size_t n = 0;
    ssize_t got = 1;

    while (fd >= 0 && n < room - 1 && got > 0) {
        got = read(fd, out + n, room - 1 - n);
        if (got > 0)
            n += (size_t)got;
    }
    file_close(fd);
    out[n] = 0;
    return n;
}

/* The number behind a line's name, 0 without it. */
static uint64_t proc_number(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void probe_proc(struct seglog_probe *out)
{
    char text[8192];

    if (proc_read("/proc/meminfo", text, sizeof(text)) > 0) {
        out->huge_page_size = proc_number(text, "\nHugepagesize:") << 10;
        out->huge_pages_total = proc_number(text, "\nHugePages_Total:");
    }
    if (proc_read("/proc/sys/vm/max_map_count", text, sizeof(text)) > 0)
        out->max_map_count = strtoull(text, NULL, 10);
}

/* ---- the place ------------------------------------------------------------------------------ */

static void trial_populate(struct seglog_probe *out, int fd)
{
    void *base;

    if (map_file(fd, 0, TRIAL_BYTES, true, &base) < 0)
        return;
    out->populate_write = madvise(base, TRIAL_BYTES, MADV_POPULATE_WRITE) == 0;
    map_drop(base, TRIAL_BYTES);
}

/* A lock must stay while the page is mapped, after its descriptor is closed, and go with it. */
static void trial_locks(struct seglog_probe *out, int dirfd, const char *name, int fd)
{
    struct owner owner = OWNER_NONE;
    bool held;

    if (owner_open(dirfd, name, &owner) < 0)
        return;
    held = owner_lock(&owner, TRIAL_BYTE, true) == 0;
    owner_settle(&owner);
    held = held && owner_probe(fd, TRIAL_BYTE) == 1;
    owner_close(&owner);
    out->ofd_locks = held && owner_probe(fd, TRIAL_BYTE) == 0;
}

static int probe_trial(struct seglog_probe *out, int dirfd)
{
    char name[64];
    uint64_t nonce;
    int fd, rc = random_bytes(&nonce, sizeof(nonce));

    if (rc < 0)
        return rc;
    /* .tmp: should we be killed here, the place still counts as empty. */
    snprintf(name, sizeof(name), "probe-%016llx.tmp", (unsigned long long)nonce);
    fd = file_create(dirfd, name, 0600);
    if (fd < 0)
        return 0; /* not writable, for whatever reason */
    out->writable = 1;
    out->fallocate = file_reserve(fd, TRIAL_BYTES) == 0;
    if (out->fallocate)
        trial_populate(out, fd);
    trial_locks(out, dirfd, name, fd);
    rc = file_unlink(dirfd, name);
    file_close(fd);
    return rc;
}

static int probe_place(struct seglog_probe *out, int dirfd)
{
    struct fs_facts fs;
    const int rc = fs_facts(dirfd, &fs);

    if (rc < 0)
        return rc;
    snprintf(out->fs_name, sizeof(out->fs_name), "%s", fs.name);
    out->fs_ok = !fs.is_refused;
    out->fs_volatile = fs.is_volatile;
    out->fs_reserves = fs.reserves;
    out->free_bytes = fs.free_bytes;
    return probe_trial(out, dirfd);
}

/* Where the place cannot be written, memory of our own tells as much about the kernel. */
static bool anonymous_populates(void)
{
    void *base =
        mmap(NULL, TRIAL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool works;

    if (base == MAP_FAILED)
        return false;
    works = madvise(base, TRIAL_BYTES, MADV_POPULATE_WRITE) == 0;
    (void)munmap(base, TRIAL_BYTES);
    return works;
}

int seglog_probe(const char *path, struct seglog_probe *out)
{
    struct seglog_probe probe = {0};
    uint8_t boot_id[16];
    const int dirfd = dir_open(path ? path : ".");
    int rc;

    if (dirfd < 0)
        return dirfd;
    rc = probe_place(&probe, dirfd);
    file_close(dirfd);
    if (rc < 0)
        return rc;
    if (!probe.fallocate)
        probe.populate_write = anonymous_populates();
    probe.membarrier = kernel_has_membarrier();
    probe.boot_id = boot_id_read(boot_id) == 0;
    probe.crc32c_hardware = crc32c_is_hardware();
    probe_io(&probe);
    probe.cpus = thread_cpus();
    probe.page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    probe.memlock_limit = limit_of(RLIMIT_MEMLOCK);
    probe.nofile_limit = limit_of(RLIMIT_NOFILE);
    probe_proc(&probe);
    *out = probe;
    return 0;
}
