/*
 * Buffered output to a descriptor.
 *
 * Short pieces are gathered; a piece larger than the room left goes out together with what was
 * gathered, without a copy.
 */
#include "sink.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define SINK_BYTES ((size_t)256 << 10)

int sink_open(struct sink *sink, int fd)
{
    *sink = (struct sink){.fd = fd, .size = SINK_BYTES, .buf = malloc(SINK_BYTES)};
    return sink->buf ? 0 : -ENOMEM;
}

void sink_close(struct sink *sink)
{
    free(sink->buf);
    sink->buf = NULL;
}

static void sink_write(struct sink *sink, struct iovec *iov, int n)
{
    while (n > 0 && !sink->error) {
        ssize_t done = writev(sink->fd, iov, n);

        if (done < 0 && errno == EAGAIN) {
            struct pollfd fd = {.fd = sink->fd, .events = POLLOUT};

            (void)poll(&fd, 1, -1); /* somebody made our output non-blocking */
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue; /* asked to stop: what was begun is finished first */
        if (done < 0) {
            sink->error = -errno;
            return;
        }
        while (n > 0 && (size_t)done >= iov->iov_len) {
            done -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
}

int sink_flush(struct sink *sink)
{
    struct iovec iov = {.iov_base = sink->buf, .iov_len = sink->used};

    if (sink->used)
        sink_write(sink, &iov, 1);
    sink->used = 0;
    return sink->error;
}

void sink_put_large(struct sink *sink, const void *data, size_t len)
{
    struct iovec iov[2] = {
        {.iov_base = sink->buf, .iov_len = sink->used},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
    };

    if (len < sink->size / 4) {
        (void)sink_flush(sink);
        memcpy(sink->buf, data, len);
        sink->used = len;
        return;
    }
    sink_write(sink, iov, 2);
    sink->used = 0;
}

char *sink_room(struct sink *sink, size_t len)
{
    if (len > sink->size - sink->used)
        (void)sink_flush(sink);
    return sink->buf + sink->used;
}

bool sink_is_gone(struct sink *sink)
{
    struct pollfd out = {.fd = sink->fd};

    if (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLNVAL)) && !sink->error)
        sink->error = -EPIPE;
    return sink->error != 0;
}
