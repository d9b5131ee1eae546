/*
 * Files and directories.
 */
#include "sys/file.h"

#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char *dir_path;
static int dir = -1;

static void setup(void)
{
    dir_path = tmpdir_make();
    dir = dir_open(dir_path);
    cr_assert_ok(dir);
}

static void teardown(void)
{
    file_close(dir);
    tmpdir_remove(dir_path);
}

TestSuite(file, .init = setup, .fini = teardown, .timeout = 60);

/* A file with this text in it; its descriptor. */
static int create(const char *name, const char *text)
{
    const int fd = file_create(dir, name, 0600);

    cr_assert_ok(fd);
    cr_assert_ok(file_pwrite(fd, text, strlen(text), 0));
    return fd;
}

/* The file of this name begins with this text. */
static void assert_content(const char *name, const char *text)
{
    char got[64] = {0};
    const int fd = file_open(dir, name, O_RDONLY, 0);

    cr_assert_ok(fd);
    cr_assert_ok(file_pread(fd, got, strlen(text), 0));
    cr_assert_str_eq(got, text);
    file_close(fd);
}

static uint64_t size_of(int fd)
{
    struct file_facts facts;

    cr_assert_ok(file_facts(fd, &facts));
    return facts.size;
}

Test(file, a_new_file_has_exactly_the_mode_asked_for)
{
    const mode_t modes[] = {0666, 0640, 0600, 0444, 0};
    struct file_facts facts;

    umask(077);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const int fd = file_create(dir, "file", modes[i]);
        cr_assert_ok(fd);
        cr_assert_ok(file_facts(fd, &facts));
        cr_assert_eq(facts.mode, modes[i], "%o, not %o", facts.mode, modes[i]);
        cr_assert(facts.is_regular);
        cr_assert_eq(facts.size, 0);
        cr_assert_ok(file_pwrite(fd, "x", 1, 0));
        file_close(fd);
        cr_assert_ok(file_unlink(dir, "file"));
    }
}

Test(file, creating_what_exists_fails_and_touches_nothing)
{
    file_close(create("file", "old"));
    cr_assert_status(file_create(dir, "file", 0666), -EEXIST);
    assert_content("file", "old");
}

Test(file, descriptors_do_not_survive_exec)
{
    const int fd = create("file", "");
    const int other = file_open(dir, "file", O_RDONLY, 0);

    cr_assert_eq(fcntl(dir, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(fcntl(other, F_GETFD), FD_CLOEXEC);
    file_close(fd);
    file_close(other);
}

Test(file, what_is_not_there_is_not_opened)
{
    cr_assert_status(file_open(dir, "missing", O_RDONLY, 0), -ENOENT);
    cr_assert_status(dir_open("/nonexistent/seglog"), -ENOENT);
    file_close(create("file", ""));
    char *path = tmpdir_path(dir_path, "file");
    cr_assert_status(dir_open(path), -ENOTDIR);
    free(path);
}

Test(file, reading_beyond_the_end_is_enodata)
{
    char buf[8];
    const int fd = create("file", "12345");

    cr_assert_ok(file_pread(fd, buf, 5, 0));
    cr_assert_status(file_pread(fd, buf, 6, 0), -ENODATA);
    cr_assert_status(file_pread(fd, buf, 1, 5), -ENODATA);
    cr_assert_ok(file_pread(fd, buf, 0, 5));
    file_close(fd);
}

Test(file, an_offset_the_kernel_cannot_say_is_refused)
{
    char buf[8] = {0};
    const int fd = create("file", "");

    cr_assert_status(file_pread(fd, buf, 1, UINT64_MAX), -EOVERFLOW);
    cr_assert_status(file_pwrite(fd, buf, 8, INT64_MAX - 7), -EOVERFLOW);
    cr_assert_status(file_reserve(fd, UINT64_MAX), -EFBIG);
    file_close(fd);
}

Test(file, a_reservation_sets_the_size_and_has_blocks)
{
    struct stat st;
    const int fd = create("file", "");
    const int rc = file_reserve(fd, 1 << 20);

    if (rc == -EOPNOTSUPP)
        cr_skip_test("this file system cannot reserve");
    cr_assert_ok(rc);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_size, 1 << 20);
    cr_assert_geq(st.st_blocks * 512, 1 << 20);
    file_close(fd);
}

Test(file, a_reservation_shortens_what_was_longer_and_keeps_the_rest)
{
    const int fd = create("file", "keep");

    cr_assert_ok(file_pwrite(fd, "x", 1, 100000));
    const int rc = file_reserve(fd, 4096);
    if (rc == -EOPNOTSUPP)
        cr_skip_test("this file system cannot reserve");
    cr_assert_ok(rc);
    cr_assert_eq(size_of(fd), 4096);
    assert_content("file", "keep");
    file_close(fd);
}

static void on_alarm(int signal)
{
    (void)signal;
}

Test(file, a_reservation_ends_although_signals_keep_coming)
{
    const struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
    const struct itimerval never = {.it_value.tv_usec = 0};
    const struct sigaction action = {.sa_handler = on_alarm};
    struct fs_facts facts;

    /* tmpfs undoes an interrupted reservation, and this one takes longer than the pauses. */
    const int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || fs_facts(fd, &facts) < 0 || facts.free_bytes < (UINT64_C(256) << 20))
        cr_skip_test("no roomy /dev/shm");
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    cr_assert_ok(file_reserve(fd, UINT64_C(64) << 20));
    cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    cr_assert_eq(size_of(fd), UINT64_C(64) << 20);
    file_close(fd);
}

#define STEPS       300u
#define ENOUGH      20u /* where each takes long */
#define ENOUGH_NS   UINT64_C(2000000000)
#define PATIENCE_NS UINT64_C(60000000000)

/* What the two sides of a file that is made longer know of each other. */
struct growth {
    int fd;
    char *base; /* its mapping */
    _Atomic uint64_t stored_up_to;
    atomic_bool over;
};

/* Store a byte behind what was the end, as soon as the file is seen to be longer; which it may become in
 * more than one step. */
static int store_behind_the_end(struct child *parent, void *arg)
{
    struct growth *g = arg;
    struct file_facts facts;

    (void)parent;
    for (uint64_t end = 1;; end = facts.size) {
        while (child_must(file_facts(g->fd, &facts)), facts.size == end) {
            if (atomic_load(&g->over))
                return 0;
            sched_yield();
        }
        file_size_settle(g->fd);
        g->base[end + 9] = 'x';
        atomic_store(&g->stored_up_to, facts.size);
    }
}

Test(file, what_is_stored_once_a_growth_has_settled_is_kept)
{
    const uint64_t until = clock_monotonic_ns() + ENOUGH_NS;
    struct growth *g = child_shared(sizeof(*g));
    struct child child;
    unsigned steps = 0, lost = 0;

    g->fd = create("grows", "1");
    g->base = mmap(NULL, (STEPS + 1) * 4096u, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
    cr_assert_neq(g->base, MAP_FAILED);
    child_start(&child, store_behind_the_end, g);
    for (uint64_t end = 1; steps < STEPS && (steps < ENOUGH || clock_monotonic_ns() < until);
         end += 4096, steps++) {
        const int rc = file_lengthen(g->fd, end, 4096);

        if (rc == -EOPNOTSUPP && end == 1) {
            child_kill(&child);
            cr_skip_test("this file system cannot reserve");
        }
        cr_assert_ok(rc);
        while (atomic_load(&g->stored_up_to) != end + 4096) {
            cr_assert_lt(clock_monotonic_ns(), until + PATIENCE_NS, "nobody stores any more");
            sched_yield();
        }
        lost += g->base[end + 9] != 'x';
    }
    atomic_store(&g->over, true);
    child_end(&child);
    cr_assert_eq(lost, 0, "%u of %u are lost", lost, steps);
    munmap(g->base, (STEPS + 1) * 4096u);
    file_close(g->fd);
}

Test(file, syncs_succeed)
{
    const int fd = create("file", "text");

    cr_assert_ok(file_datasync(fd));
    cr_assert_ok(file_sync(fd));
    cr_assert_ok(dir_sync(dir));
    cr_assert_status(file_sync(-1), -EBADF);
    cr_assert_status(file_datasync(-1), -EBADF);
    file_close(fd);
}

Test(file, a_new_name_is_given_once)
{
    file_close(create("a", "from a"));
    file_close(create("b", "from b"));

    cr_assert_ok(file_rename_new(dir, "a", "c"));
    cr_assert_status(file_rename_new(dir, "a", "d"), -ENOENT);
    cr_assert_status(file_rename_new(dir, "b", "c"), -EEXIST);
    assert_content("b", "from b");
    assert_content("c", "from a");
}

Test(file, renaming_over_replaces)
{
    file_close(create("a", "from a"));
    file_close(create("b", "from b"));

    cr_assert_ok(file_rename_over(dir, "a", "b"));
    assert_content("b", "from a");
    cr_assert_status(file_unlink(dir, "a"), -ENOENT);
    cr_assert_status(file_rename_over(dir, "a", "b"), -ENOENT);
}

Test(file, facts_tell_one_file_from_another)
{
    const int a = create("a", "123");
    const int b = create("b", "");
    struct file_facts facts_a;
    struct file_facts facts_b;
    struct file_facts facts_dir;

    cr_assert_ok(file_facts(a, &facts_a));
    cr_assert_ok(file_facts(b, &facts_b));
    cr_assert_ok(file_facts(dir, &facts_dir));
    cr_assert_eq(facts_a.size, 3);
    cr_assert_eq(facts_a.dev, facts_b.dev);
    cr_assert_neq(facts_a.ino, facts_b.ino);
    cr_assert(!facts_dir.is_regular);
    cr_assert_status(file_facts(-1, &facts_a), -EBADF);
    file_close(a);
    file_close(b);
}

struct names {
    int count;
    int stop_at;
    int letters;
};

static int count_name(void *context, const char *name)
{
    struct names *names = context;

    names->count++;
    names->letters += name[0] >= 'a' && name[0] <= 'z' && name[1] == 0;
    return names->count == names->stop_at ? 42 : 0;
}

Test(file, each_name_comes_once_and_dots_never)
{
    struct names names = {0};

    cr_assert_status(dir_each(dir, count_name, &names), 0);
    cr_assert_eq(names.count, 0);
    for (char c = 'a'; c <= 'z'; c++)
        file_close(create((char[]){c, 0}, ""));
    file_close(create(".hidden", ""));
    file_close(create("..hidden", ""));

    /* Twice: the second does not begin where the first one ended. */
    for (int i = 0; i < 2; i++) {
        names = (struct names){0};
        cr_assert_status(dir_each(dir, count_name, &names), 0);
        cr_assert_eq(names.count, 28);
        cr_assert_eq(names.letters, 26);
    }
    names = (struct names){.stop_at = 5};
    cr_assert_status(dir_each(dir, count_name, &names), 42);
    cr_assert_eq(names.count, 5);
    cr_assert_status(dir_each(-1, count_name, &names), -EBADF);
}

Test(file, the_file_system_has_a_name)
{
    struct fs_facts facts;

    cr_assert_ok(fs_facts(dir, &facts));
    cr_assert_neq(facts.name[0], 0);
    cr_assert_gt(facts.free_bytes, 0);
    cr_assert_status(fs_facts(-1, &facts), -EBADF);
}

Test(file, tmpfs_reserves_but_keeps_nothing)
{
    struct fs_facts facts;
    const int fd = dir_open("/dev/shm");

    if (fd < 0 || fs_facts(fd, &facts) < 0 || strcmp(facts.name, "tmpfs") != 0)
        cr_skip_test("/dev/shm is no tmpfs");
    cr_assert(facts.is_volatile);
    cr_assert(facts.reserves);
    cr_assert(!facts.is_refused);
    file_close(fd);
}

Test(file, an_unknown_file_system_is_named_by_its_number_and_promises_nothing)
{
    struct fs_facts facts;
    const int fd = dir_open("/proc");

    if (fd < 0)
        cr_skip_test("no /proc");
    cr_assert_ok(fs_facts(fd, &facts));
    cr_assert_str_eq(facts.name, "0x00009fa0");
    cr_assert(!facts.is_volatile);
    cr_assert(!facts.reserves);
    file_close(fd);
}

/* ---- whole or not at all ---------------------------------------------------------------------- */

static int fill_with(const void *text, int fd)
{
    return *(const char *)text ? file_pwrite(fd, text, strlen(text), 0) : -ENOSPC;
}

Test(file, is_made_whole_or_leaves_nothing)
{
    struct names names = {0};

    cr_assert_status(file_make_whole(dir, "a", 0600, fill_with, ""), -ENOSPC);
    cr_assert_status(dir_each(dir, count_name, &names), 0);
    cr_assert_eq(names.count, 0);
    cr_assert_ok(file_make_whole(dir, "a", 0600, fill_with, "here"));
    cr_assert_status(file_make_whole(dir, "a", 0600, fill_with, "else"), -EEXIST);
    cr_assert_status(dir_each(dir, count_name, &names), 0);
    cr_assert_eq(names.count, 1);
    assert_content("a", "here");
}
