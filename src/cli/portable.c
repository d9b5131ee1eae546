/*
 * A whole log as a stream of bytes. See portable.h.
 *
 * Every part is {kind, length, checksum} and a body. The length is believed before the checksum can be
 * looked at, so memory grows with what has come and not with what is promised.
 */
#include "portable.h"

#include "signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define KIND_HEAD    0x44414548u /* "HEAD" */
#define KIND_RECORDS 0x53434552u /* "RECS" */
#define KIND_END     0x21444E45u /* "END!" */

#define PART_BYTES   16 /* kind, length, checksum */
#define HEAD_BYTES   48
#define END_BYTES    32
#define RECORD_BYTES 24

/* A block is written when it has so much; one that holds a single record may be larger. */
#define BLOCK_FULL ((size_t)256 << 10)
#define BLOCK_MAX  ((uint64_t)SEGLOG_SEGMENT_SIZE_MAX / 4 + BLOCK_FULL + RECORD_BYTES)
#define BLOCK_STEP ((size_t)1 << 20)

#define VERSION 1u

/* ---- bytes ------------------------------------------------------------------------------------ */

static void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static void put64(unsigned char *at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const unsigned char *at)
{
    return (uint64_t)get32(at + 4) << 32 | get32(at);
}

static uint64_t part_check(uint32_t kind, const void *body, size_t len)
{
    return XXH3_64bits_withSeed(body, len, (uint64_t)len << 32 | kind);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void part_put(struct sink *sink, uint32_t kind, const void *body, size_t len)
{
    unsigned char part[PART_BYTES];

    put32(part, kind);
    put32(part + 4, (uint32_t)len);
    put64(part + 8, part_check(kind, body, len));
    sink_put(sink, part, sizeof(part));
    sink_put(sink, body, len);
}

int portable_begin(struct portable_writer *writer, struct sink *sink,
                   const struct portable_head *head)
{
    unsigned char body[HEAD_BYTES] = {0};

    *writer = (struct portable_writer){.sink = sink, .size = BLOCK_STEP};
    writer->block = malloc(writer->size);
    if (!writer->block)
        return -ENOMEM;
    put32(body, VERSION);
    put32(body + 4, head->sync);
    put32(body + 8, head->mode);
    put64(body + 16, head->segment_size);
    put64(body + 24, head->sync_interval_ns);
    put64(body + 32, head->first_seq);
    sink_put(sink, PORTABLE_MAGIC, 8);
    part_put(sink, KIND_HEAD, body, sizeof(body));
    return 0;
}

void portable_flush(struct portable_writer *writer)
{
    if (writer->used > 0)
        part_put(writer->sink, KIND_RECORDS, writer->block, writer->used);
    writer->used = 0;
}

int portable_put(struct portable_writer *writer, uint64_t seq, const struct seglog_record *record)
{
    const size_t need = RECORD_BYTES + (size_t)record->len;
    unsigned char *at;

    if (writer->used > 0 && writer->used + need > BLOCK_FULL)
        portable_flush(writer);
    if (writer->used + need > writer->size) {
        unsigned char *block = realloc(writer->block, writer->used + need);

        if (!block)
            return -ENOMEM;
        writer->block = block;
        writer->size = writer->used + need;
    }
    at = writer->block + writer->used;
    put64(at, seq);
    put64(at + 8, record->time_ns);
    put32(at + 16, record->tag);
    put32(at + 20, (uint32_t)record->len);
    if (record->len)
        memcpy(at + RECORD_BYTES, record->data, (size_t)record->len);
    writer->used += need;
    return 0;
}

void portable_finish(struct portable_writer *writer, const struct portable_end *end)
{
    unsigned char body[END_BYTES] = {0};

    portable_flush(writer);
    put64(body, end->next_seq);
    put64(body + 8, end->records);
    put64(body + 16, end->bytes);
    part_put(writer->sink, KIND_END, body, sizeof(body));
}

void portable_close(struct portable_writer *writer)
{
    free(writer->block);
    writer->block = NULL;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static int bad(struct portable_reader *reader, const char *why)
{
    reader->problem = why;
    return -EBADMSG;
}

/* len bytes; fewer only at the end of the stream. returns how many, or a negative errno */
static ssize_t read_some(struct portable_reader *reader, unsigned char *to, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t got;
        int rc;

        do {
            rc = signals_wait_readable(reader->fd, -1);
        } while (rc == 0);
        if (rc < 0)
            return rc;
        got = read(reader->fd, to + have, len - have);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    reader->offset += have;
    return (ssize_t)have;
}

void portable_open(struct portable_reader *reader, int fd, const void *first, size_t n)
{
    *reader = (struct portable_reader){.fd = fd, .offset = n};
    if (n != 8 || memcmp(first, PORTABLE_MAGIC, 8) != 0)
        reader->problem = "neither a stream of seglog export nor lines of JSON";
}

/* The body, in steps: a length that was never meant must not take memory. */
static int read_body(struct portable_reader *reader, size_t len)
{
    size_t have = 0;

    while (have < len) {
        const size_t part = len - have < BLOCK_STEP ? len - have : BLOCK_STEP;
        ssize_t got;

        if (have + part > reader->size) {
            const size_t size = have + part > 2 * reader->size ? have + part : 2 * reader->size;
            unsigned char *block = realloc(reader->block, size);

            if (!block)
                return -ENOMEM;
            reader->block = block;
            reader->size = size;
        }
        got = read_some(reader, reader->block + have, part);
        if (got < 0)
            return (int)got;
        have += (size_t)got;
        if ((size_t)got < part)
            return bad(reader, "the stream was cut off");
    }
    reader->len = len;
    reader->at = 0;
    return 0;
}

static int head_check(struct portable_reader *reader)
{
    struct portable_head head;

    if (get32(reader->block) != VERSION)
        return bad(reader, "made by a newer seglog");
    portable_head_take(reader, &head);
    if (head.segment_size < SEGLOG_SEGMENT_SIZE_MIN ||
        head.segment_size > SEGLOG_SEGMENT_SIZE_MAX ||
        (head.segment_size & (head.segment_size - 1)) != 0 || head.sync < SEGLOG_SYNC_NONE ||
        head.sync > SEGLOG_SYNC_RECORD || (head.mode & ~0777u) != 0 ||
        head.first_seq > SEGLOG_FIRST_SEQ_MAX ||
        (head.sync == SEGLOG_SYNC_INTERVAL ? head.sync_interval_ns < SEGLOG_SYNC_INTERVAL_MIN ||
                                                 head.sync_interval_ns > SEGLOG_SYNC_INTERVAL_MAX
                                           : head.sync_interval_ns != 0))
        return bad(reader, "no log has such settings");
    reader->has_head = true;
    return PORTABLE_HEAD;
}

int portable_next(struct portable_reader *reader)
{
    unsigned char part[PART_BYTES];
    uint32_t kind, len;
    ssize_t got;
    int rc;

    if (reader->problem)
        return -EBADMSG;
    got = read_some(reader, part, sizeof(part));
    if (got < 0)
        return (int)got;
    if (got < PART_BYTES)
        return bad(reader, "the stream was cut off");
    kind = get32(part);
    len = get32(part + 4);
    if (reader->has_head ? kind != KIND_RECORDS && kind != KIND_END : kind != KIND_HEAD)
        return bad(reader, "damaged: no part of a stream begins so");
    if (kind == KIND_HEAD  ? len != HEAD_BYTES
        : kind == KIND_END ? len != END_BYTES
                           : len < RECORD_BYTES || len > BLOCK_MAX)
        return bad(reader, "damaged: length");
    rc = read_body(reader, len);
    if (rc < 0)
        return rc;
    if (part_check(kind, reader->block, len) != get64(part + 8))
        return bad(reader, "damaged: checksum");
    if (kind == KIND_HEAD)
        return head_check(reader);
    return kind == KIND_END ? PORTABLE_END : PORTABLE_RECORDS;
}

void portable_head_take(const struct portable_reader *reader, struct portable_head *out)
{
    const unsigned char *at = reader->block;

    *out = (struct portable_head){.sync = get32(at + 4),
                                  .mode = get32(at + 8),
                                  .segment_size = get64(at + 16),
                                  .sync_interval_ns = get64(at + 24),
                                  .first_seq = get64(at + 32)};
}

void portable_end_take(const struct portable_reader *reader, struct portable_end *out)
{
    const unsigned char *at = reader->block;

    *out = (struct portable_end){
        .next_seq = get64(at), .records = get64(at + 8), .bytes = get64(at + 16)};
}

int portable_record_take(struct portable_reader *reader, uint64_t *seq, struct seglog_record *out)
{
    const unsigned char *at = reader->block + reader->at;
    const size_t left = reader->len - reader->at;

    if (left == 0)
        return 0;
    if (left < RECORD_BYTES || left - RECORD_BYTES < get32(at + 20))
        return bad(reader, "damaged: a record runs past its block");
    *seq = get64(at);
    *out = (struct seglog_record){.data = at + RECORD_BYTES,
                                  .len = get32(at + 20),
                                  .time_ns = get64(at + 8),
                                  .tag = get32(at + 16)};
    reader->at += RECORD_BYTES + (size_t)out->len;
    return 1;
}

void portable_stop(struct portable_reader *reader)
{
    free(reader->block);
    reader->block = NULL;
}
