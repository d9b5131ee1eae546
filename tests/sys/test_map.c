/*
 * Mappings, and the word that tells parent from child.
 */
#include "sys/map.h"

#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 16

static char *dir_path;
static size_t page;
static int fd = -1;

static void setup(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    dir_path = tmpdir_make();
    const int dir_fd = dir_open(dir_path);
    cr_assert_ok(dir_fd);
    fd = file_create(dir_fd, "file", 0600);
    cr_assert_ok(fd);
    cr_assert_eq(ftruncate(fd, (off_t)(PAGES * page)), 0);
    file_close(dir_fd);
}

static void teardown(void)
{
    file_close(fd);
    tmpdir_remove(dir_path);
}

TestSuite(map, .init = setup, .fini = teardown);

Test(map, a_store_is_in_the_file_and_in_every_other_mapping)
{
    char text[6];
    void *a;
    void *b;

    cr_assert_ok(map_file(fd, 0, PAGES * page, true, &a));
    cr_assert_ok(map_file(fd, page, page, false, &b));
    memcpy((char *)a + page, "hello", 6);
    cr_assert_str_eq(b, "hello");
    cr_assert_ok(file_pread(fd, text, 6, page));
    cr_assert_str_eq(text, "hello");
    map_drop(a, PAGES * page);
    map_drop(b, page);
}

Test(map, a_read_only_mapping_takes_no_store)
{
    void *base;
    int status;

    cr_assert_ok(map_file(fd, 0, page, false, &base));
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)base = 1;
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "the store went through");
    map_drop(base, page);
}

Test(map, a_failure_leaves_the_result_alone)
{
    void *base = &page;

    cr_assert_status(map_file(-1, 0, page, true, &base), -EBADF);
    cr_assert_status(map_file(fd, 1, page, true, &base), -EINVAL);
    cr_assert_status(map_file(fd, UINT64_MAX, page, true, &base), -EOVERFLOW);
    cr_assert_eq(base, &page);
    map_drop(NULL, 0);
}

Test(map, populating_brings_every_page_in_and_changes_nothing)
{
    unsigned char in_core[PAGES];
    void *base;

    cr_assert_ok(file_pwrite(fd, "here", 4, 3 * page));
    cr_assert_ok(map_file(fd, 0, PAGES * page, true, &base));
    /* Neither end lies on a page boundary. */
    cr_assert_ok(map_populate((char *)base + 100, PAGES * page - 200));
    cr_assert_eq(mincore(base, PAGES * page, in_core), 0);
    for (int i = 0; i < PAGES; i++)
        cr_assert(in_core[i] & 1, "page %d", i);
    cr_assert(memcmp((char *)base + 3 * page, "here", 4) == 0);
    cr_assert_ok(map_populate(base, 0));
    map_drop(base, PAGES * page);
}

Test(fork_guard, reads_1_here_and_0_in_children_and_their_children)
{
    const uint64_t *guard = fork_guard_new();
    int status;

    cr_assert_not_null(guard);
    cr_assert_eq(*guard, 1);
    const pid_t pid = fork();
    if (pid == 0) {
        if (*(const volatile uint64_t *)guard != 0)
            _exit(1);
        const pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(*(const volatile uint64_t *)guard != 0);
        _exit(waitpid(grandchild, &status, 0) != grandchild || status != 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert_eq(*(const volatile uint64_t *)guard, 1);
    fork_guard_free(guard);
    fork_guard_free(NULL);
}
