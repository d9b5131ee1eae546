/*
 * Large records and batches that are waited for: written by pwrite instead of through the mapping.
 *
 * A commit leaves the pages it wrote write-protected, so storing through the mapping faults once for
 * each page the next one touches, which costs more than the copying. The page cache is one and the
 * same for pwrite and mapping: the claim and its publication stay stores of word 0, and what lies
 * between them is put in place by the kernel. Readers and protocol see no difference.
 * docs/BENCHMARKS.md, "Durable appends", has the figures.
 */
#include "log/claim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "sys/file.h"

#define STAGE_BYTES  ((size_t)128 << 10)
#define STAGE_PIECES 128
#define DIRECT_MIN   2048u /* payloads this long are written from where they lie */

/* Bytes of the file in order, gathered until it is worth a call. */
struct bulk {
    int fd;
    uint64_t at; /* file offset of the first byte gathered */
    uint8_t *stage;
    size_t used; /* of the stage */
    int pieces;
    struct iovec piece[STAGE_PIECES];
};

static int bulk_flush(struct bulk *b)
{
    uint64_t bytes = 0;
    int rc;

    for (int i = 0; i < b->pieces; i++)
        bytes += b->piece[i].iov_len;
    rc = file_pwritev(b->fd, b->piece, b->pieces, b->at);
    b->at += bytes;
    b->used = 0;
    b->pieces = 0;
    return rc;
}

/* Room for n bytes in the stage, which follow what was gathered before; n is at most STAGE_BYTES. */
static int bulk_room(struct bulk *b, size_t n, uint8_t **out)
{
    struct iovec *last;

    if (b->used + n > STAGE_BYTES || b->pieces == STAGE_PIECES) {
        const int rc = bulk_flush(b);
        if (rc < 0)
            return rc;
    }
    *out = b->stage + b->used;
    last = b->pieces ? &b->piece[b->pieces - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == *out)
        last->iov_len += n;
    else
        b->piece[b->pieces++] = (struct iovec){.iov_base = *out, .iov_len = n};
    b->used += n;
    return 0;
}

static int bulk_refer(struct bulk *b, const void *data, size_t n)
{
    if (b->pieces == STAGE_PIECES) {
        const int rc = bulk_flush(b);
        if (rc < 0)
            return rc;
    }
    b->piece[b->pieces++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    return 0;
}

/* A frame whose payload is copied. skip: bytes of its header that are not to be written. */
static int frame_staged(struct bulk *b, const struct frame_space *space, uint64_t at, size_t skip,
                        const struct seglog_record *r, struct frame_facts *facts, uint64_t word)
{
    const size_t span = (size_t)frame_span(r->len);
    struct frame_header header;
    uint8_t *to;
    const int rc = bulk_room(b, span - skip, &to);

    if (rc < 0)
        return rc;
    facts->pcrc = ~crc32c_copy_hot(space->fast, frame_seed(space, at), to + FRAME_HEADER - skip,
                                   r->data, r->len);
    frame_fill(space, at, &header, word, facts);
    word_store(&header.word, word, memory_order_relaxed);
    memcpy(to, (const uint8_t *)&header + skip, FRAME_HEADER - skip);
    memset(to + FRAME_HEADER - skip + r->len, 0, span - FRAME_HEADER - (size_t)r->len);
    return 0;
}

/* A frame whose payload is written from where it lies. */
static int frame_direct(struct bulk *b, const struct frame_space *space, uint64_t at, size_t skip,
                        const struct seglog_record *r, struct frame_facts *facts, uint64_t word)
{
    const size_t pad = (size_t)(frame_span(r->len) - FRAME_HEADER - r->len);
    struct frame_header header;
    uint8_t *to;
    int rc = bulk_room(b, FRAME_HEADER - skip, &to);

    if (rc < 0)
        return rc;
    facts->pcrc = ~crc32c(frame_seed(space, at), r->data, r->len);
    frame_fill(space, at, &header, word, facts);
    word_store(&header.word, word, memory_order_relaxed);
    memcpy(to, (const uint8_t *)&header + skip, FRAME_HEADER - skip);
    rc = bulk_refer(b, r->data, (size_t)r->len);
    if (rc < 0 || pad == 0)
        return rc;
    rc = bulk_room(b, pad, &to);
    if (rc == 0)
        memset(to, 0, pad);
    return rc;
}

int log_bulk_write(struct seglog_appender *ap, const struct open_claim *c,
                   const struct seglog_record *records, size_t n, uint64_t now,
                   uint64_t *first_word)
{
    struct bulk b = {.fd = ap->in->seg->fd, .at = c->at + sizeof(uint64_t)};
    uint64_t at = c->at;
    int rc = 0;

    if (!ap->stage)
        ap->stage = aligned_alloc(64, STAGE_BYTES);
    if (!ap->stage)
        return -ENOMEM;
    b.stage = ap->stage;
    *first_word = word_data(&ap->space, records[0].len);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct seglog_record *r = &records[i];
        const uint64_t word = word_data(&ap->space, r->len);
        const size_t skip = i == 0 ? sizeof(uint64_t) : 0; /* the claim itself stays */
        struct frame_facts facts = {.time_ns = r->time_ns ? r->time_ns : now,
                                    .seq_rel = (uint32_t)(c->seq_rel + i),
                                    .tag = r->tag};

        if (r->len >= DIRECT_MIN)
            rc = frame_direct(&b, &ap->space, at, skip, r, &facts, word);
        else
            rc = frame_staged(&b, &ap->space, at, skip, r, &facts, word);
        at += frame_span(r->len);
    }
    return rc < 0 ? rc : bulk_flush(&b);
}
