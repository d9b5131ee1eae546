/*
 * What the probe says of a place, and that it leaves nothing there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/forbid.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/file.h"

#include <seglog/inspect.h>
#include <seglog/log.h>

static int count_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
    return 0;
}

static unsigned names_in(const char *dir)
{
    unsigned count = 0;
    const int fd = dir_open(dir);

    cr_assert_ok(fd);
    cr_assert_ok(dir_each(fd, count_name, &count));
    file_close(fd);
    return count;
}

Test(probe, a_directory_of_ours)
{
    char *dir = tmpdir_make();
    struct seglog_probe probe;

    cr_assert_status(seglog_probe(dir, &probe), 0);
    cr_assert_eq(probe.writable, 1);
    cr_assert_eq(probe.fallocate, 1);
    cr_assert_eq(probe.ofd_locks, 1);
    cr_assert_gt(probe.cpus, 0);
    cr_assert_eq(probe.page_size, (uint64_t)sysconf(_SC_PAGESIZE));
    cr_assert_gt(probe.nofile_limit, 0);
    cr_assert_gt(probe.max_map_count, 0);
    cr_assert_eq(probe.io_uring, probe.io_uring_status == 0);
    cr_assert_leq(probe.io_uring_status, 0);
    cr_assert_eq(probe.io_uring_why_not[0] == 0, probe.io_uring);
    cr_assert_neq(probe.fs_name[0], 0);
    cr_assert_eq(names_in(dir), 0);
    tmpdir_remove(dir);
}

Test(probe, a_directory_that_cannot_be_written)
{
    char *dir = tmpdir_make();
    struct seglog_probe probe;

    cr_assert_eq(chmod(dir, 0555), 0);
    if (geteuid() == 0 && seteuid(65534) != 0)
        cr_skip_test("cannot become nobody");
    cr_assert_status(seglog_probe(dir, &probe), 0);
    cr_assert_eq(probe.writable, 0);
    cr_assert_eq(probe.fallocate, 0);
    cr_assert_eq(probe.ofd_locks, 0);
    cr_assert_gt(probe.cpus, 0);
    if (geteuid() != getuid())
        cr_assert_eq(seteuid(getuid()), 0);
    tmpdir_remove(dir);
}

Test(probe, the_engine_that_a_log_would_get)
{
    struct seglog_probe probe;

    unsetenv("SEGLOG_IO");
    cr_assert_ok(seglog_probe(NULL, &probe));
    cr_assert_eq(probe.io_engine, probe.io_uring ? SEGLOG_IO_URING : SEGLOG_IO_THREADS);
    setenv("SEGLOG_IO", "threads", 1);
    cr_assert_ok(seglog_probe(NULL, &probe));
    cr_assert_eq(probe.io_engine, SEGLOG_IO_THREADS);
    setenv("SEGLOG_IO", "uring", 1);
    cr_assert_ok(seglog_probe(NULL, &probe));
    cr_assert_eq(probe.io_engine, probe.io_uring ? SEGLOG_IO_URING : 0);
    setenv("SEGLOG_IO", "nonsense", 1);
    cr_assert_ok(seglog_probe(NULL, &probe));
    cr_assert_eq(probe.io_engine, 0);
}

static int forbidden_main(struct child *parent, void *arg)
{
    struct seglog_probe probe;

    (void)parent;
    (void)arg;
    unsetenv("SEGLOG_IO");
    child_must(forbid_io_uring());
    child_must(seglog_probe(NULL, &probe));
    child_must_be(probe.io_uring, 0);
    child_must_be(probe.io_uring_status, -EPERM);
    child_must_be(probe.io_engine, SEGLOG_IO_THREADS);
    child_assert(probe.io_uring_why_not[0] != 0);
    return 0;
}

Test(probe, a_process_that_may_not_use_io_uring)
{
    struct child child;

    child_start(&child, forbidden_main, NULL);
    child_end(&child);
}

Test(probe, the_current_directory)
{
    struct seglog_probe probe;

    cr_assert_status(seglog_probe(NULL, &probe), 0);
}

Test(probe, no_such_directory)
{
    struct seglog_probe probe;

    cr_assert_status(seglog_probe("/nonexistent/place", &probe), -ENOENT);
}
