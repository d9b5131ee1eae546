/*
 * Being asked to stop: a flag for loops that run, and a descriptor for those that wait.
 *
 * A flag alone loses the signal that arrives between looking at it and going to sleep.
 */
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static int wake_fd = -1;

static void on_signal(int number)
{
    const int saved = errno;
    const uint64_t one = 1;

    if (stopped) {
        /* Unblocked on return from here, and then it ends us. */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    stopped = 1;
    if (wake_fd >= 0 && write(wake_fd, &one, sizeof(one)) < 0)
        errno = saved; /* the flag is set; whoever polls looks at it too */
    errno = saved;
}

void signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL); /* no SA_RESTART: what waits must return */
    sigaction(SIGTERM, &action, NULL);
}

bool signals_stopped(void)
{
    return stopped != 0;
}

int signals_fd(void)
{
    return wake_fd;
}

int signals_wait_readable(int fd, int timeout_ms)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN},
    };
    int rc;

    if (stopped)
        return -EINTR;
    rc = poll(fds, 2, timeout_ms);
    if (stopped)
        return -EINTR;
    if (rc < 0)
        return errno == EINTR ? 0 : -errno;
    return fds[0].revents ? 1 : 0;
}
