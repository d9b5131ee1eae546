/*
 * A whole log as a stream of bytes: what `export` writes and `import` reads. docs/FORMAT.md, "Export
 * streams", has the bytes.
 *
 * A head, blocks of records, an end. Everything is under a checksum, and a stream without its end was
 * cut off.
 */
#ifndef CLI_PORTABLE_H
#define CLI_PORTABLE_H

#include "sink.h"

#include <seglog/log.h>

#include <stdbool.h>
#include <stdint.h>

#define PORTABLE_MAGIC "SEGLOGx\n"

/* What the stream's head says of the log. */
struct portable_head {
    uint64_t segment_size;
    uint64_t sync_interval_ns;
    uint64_t first_seq;
    uint32_t sync;
    uint32_t mode;
};

struct portable_end {
    uint64_t next_seq;
    uint64_t records;
    uint64_t bytes; /* payload */
};

/* ---- writing ---------------------------------------------------------------------------------- */

struct portable_writer {
    struct sink *sink;
    unsigned char *block; /* being filled */
    size_t used;
    size_t size;
};

/* begin and put return 0 or -ENOMEM; failures of the output are kept in the sink. */
int portable_begin(struct portable_writer *writer, struct sink *sink,
                   const struct portable_head *head);
int portable_put(struct portable_writer *writer, uint64_t seq, const struct seglog_record *record);
void portable_flush(struct portable_writer *writer);
void portable_finish(struct portable_writer *writer, const struct portable_end *end);
void portable_close(struct portable_writer *writer);

/* ---- reading ---------------------------------------------------------------------------------- */

enum portable_kind { PORTABLE_HEAD, PORTABLE_RECORDS, PORTABLE_END };

struct portable_reader {
    int fd;
    unsigned char *block;
    size_t size;
    size_t len;          /* of the block's body */
    size_t at;           /* of the next record in it */
    uint64_t offset;     /* bytes of the stream read */
    const char *problem; /* after -EBADMSG */
    bool has_head;
};

/* first: bytes of the stream that were read already, at most 8. */
void portable_open(struct portable_reader *reader, int fd, const void *first, size_t n);

/*
 * The next part of the stream. returns enum portable_kind; -EBADMSG: reader->problem says what is wrong
 * at reader->offset; -EINTR: asked to stop; -ENOMEM, -EIO ...
 */
int portable_next(struct portable_reader *reader);

/* Of the part that was read last. */
void portable_head_take(const struct portable_reader *reader, struct portable_head *out);
void portable_end_take(const struct portable_reader *reader, struct portable_end *out);
/* 1: *out points into the part, until the next portable_next(); 0: there is none left; -EBADMSG */
int portable_record_take(struct portable_reader *reader, uint64_t *seq, struct seglog_record *out);

void portable_stop(struct portable_reader *reader);

#endif
