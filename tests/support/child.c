/*
 * Other processes for a test. See child.h.
 */
#include "support/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

static bool in_child;

static void fail(const char *text)
{
    if (in_child) {
        fprintf(stderr, "child %d: %s\n", (int)getpid(), text);
        _exit(1);
    }
    cr_assert(false, "%s", text);
}

void child_start(struct child *out, child_main *run, void *arg)
{
    int down[2], up[2];
    const pid_t parent = getpid();

    if (pipe(down) < 0 || pipe(up) < 0)
        fail("pipe failed");
    fflush(NULL);
    out->pid = fork();
    if (out->pid < 0)
        fail("fork failed");
    if (out->pid == 0) {
        struct child self = {.pid = parent, .in = down[0], .out = up[1]};

        in_child = true;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        (void)close(down[1]);
        (void)close(up[0]);
        _exit(run(&self, arg));
    }
    (void)close(down[0]);
    (void)close(up[1]);
    out->in = up[0];
    out->out = down[1];
}

void child_say(const struct child *other, char byte)
{
    if (write(other->out, &byte, 1) != 1)
        fail("the other side does not listen");
}

int child_hear(const struct child *other)
{
    struct pollfd ready = {.fd = other->in, .events = POLLIN};
    char byte;
    int n;

    do
        n = poll(&ready, 1, PATIENCE_MS);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        fail("the other side says nothing");
    return read(other->in, &byte, 1) == 1 ? byte : -1;
}

static void forget(struct child *child)
{
    (void)close(child->in);
    (void)close(child->out);
    child->pid = -1;
}

int child_status(struct child *child)
{
    int status;

    while (waitpid(child->pid, &status, 0) < 0)
        cr_assert(errno == EINTR, "waitpid: %s", strerror(errno));
    forget(child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void child_end(struct child *child)
{
    const int status = child_status(child);

    cr_assert(status == 0, "a child ended with %d", status);
}

void child_kill(struct child *child)
{
    (void)kill(child->pid, SIGKILL);
    (void)child_status(child);
}

void child_stop(struct child *child)
{
    int status;

    cr_assert(kill(child->pid, SIGSTOP) == 0);
    while (waitpid(child->pid, &status, WUNTRACED) < 0)
        cr_assert(errno == EINTR, "waitpid: %s", strerror(errno));
    cr_assert(WIFSTOPPED(status), "a child ended instead of stopping");
}

void child_continue(struct child *child)
{
    cr_assert(kill(child->pid, SIGCONT) == 0);
}

int child_check(int got, int want, const char *call, const char *file, int line)
{
    if (want == 0 ? got >= 0 : got == want)
        return got;
    fprintf(stderr, "%s:%d: in child %d: %s gave %d %s, not %d\n", file, line, (int)getpid(), call,
            got, seglog_status_name(got), want);
    _exit(1);
}

void *child_shared(size_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert(base != MAP_FAILED);
    return base;
}
