/*
 * Buffered output to a descriptor, for data: large writes, sticky errors.
 */
#ifndef CLI_SINK_H
#define CLI_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct sink {
    int fd;
    int error; /* the first negative errno; from then on nothing is written */
    char *buf;
    size_t used;
    size_t size;
};

/* returns 0 or -ENOMEM */
int sink_open(struct sink *sink, int fd);

/* Free the buffer. What is in it is lost: flush first. */
void sink_close(struct sink *sink);

/* Write all that is buffered. returns 0 or the sticky error */
int sink_flush(struct sink *sink);

/*
 * Does nobody read any more what is written there? Asked while there is nothing to write, which alone
 * would tell. From then on the error is -EPIPE.
 */
bool sink_is_gone(struct sink *sink);

/* The part of sink_put() that leaves the buffer. */
void sink_put_large(struct sink *sink, const void *data, size_t len);

static inline void sink_put(struct sink *sink, const void *data, size_t len)
{
    if (len > sink->size - sink->used) {
        sink_put_large(sink, data, len);
        return;
    }
    if (len)
        memcpy(sink->buf + sink->used, data, len);
    sink->used += len;
}

static inline void sink_put_byte(struct sink *sink, char byte)
{
    sink_put(sink, &byte, 1);
}

/* Room for len bytes (at most 4096) in the buffer; sink_took() says how many were used. */
char *sink_room(struct sink *sink, size_t len);

static inline void sink_took(struct sink *sink, size_t len)
{
    sink->used += len;
}

#endif
