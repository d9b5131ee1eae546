/*
 * Records out of a stream of bytes: lines, NUL-separated, length-prefixed, whole files, JSON.
 *
 * A source reads large blocks and hands out what is complete in them, without copying: the records
 * point into its buffer until the next framing_fill(). So whatever has arrived can be appended
 * before the next wait.
 */
#ifndef CLI_FRAMING_H
#define CLI_FRAMING_H

#include <seglog/log.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum framing_kind { FRAMING_DELIMITED = 0, FRAMING_PREFIXED, FRAMING_WHOLE, FRAMING_JSON };

struct framing {
    enum framing_kind kind;
    unsigned char delimiter; /* of FRAMING_DELIMITED */
    bool has_tag;            /* records get `tag`; else JSON may bring its own */
    uint32_t tag;
    bool is_whole;     /* JSON brings number and time, too: take one record at a time */
    uint64_t next_seq; /* in: the number of a record that brings none; out: that of the record */
    uint64_t max_record;
    const char *larger; /* how to get room for larger ones; NULL: of a log */

    /* The source. */
    int fd;
    bool polls; /* a pipe, socket or terminal: wait for it and for signals */
    bool ended; /* nothing more comes */
    unsigned char *buf;
    size_t size;
    size_t start;   /* first byte not handed out */
    size_t end;     /* behind the last byte read */
    size_t scanned; /* bytes from start on that hold no delimiter */
    uint64_t count; /* records handed out from this source, lines for JSON */
    int pending;    /* a problem met behind records that were handed out */

    char problem[192]; /* what is wrong with the data, after -EBADMSG or -EMSGSIZE */
};

/* Start on a file. The buffer of the source before is used again. returns 0 or -ENOMEM */
int framing_open(struct framing *framing, int fd);
void framing_close(struct framing *framing);

/*
 * Take complete records from what was read, at most max of them and at most budget bytes as stored
 * (one record always fits).
 *
 * returns  1 or more   that many are in out[], good until the next framing_fill()
 *          0           none is complete: framing_fill(), or the end if ended is set
 *          -EBADMSG    the data are not what they should be; see problem and count
 *          -EMSGSIZE   the next record is larger than max_record; see problem and count
 */
int framing_take(struct framing *framing, struct seglog_record *out, int max, size_t budget);

/*
 * Read more.
 *
 * returns  0 (perhaps `ended` is set now); -EINTR when asked to stop; -ENOMEM; -EIO ...
 */
int framing_fill(struct framing *framing);

/*
 * After being asked to stop: read the rest of a record that has begun, not a byte more, as long as
 * it is there already. Then framing_take() once more.
 */
void framing_finish(struct framing *framing);

/* Bytes that were read and belong to a record that did not become complete. */
size_t framing_leftover(const struct framing *framing);

/* Bytes that a record takes in a segment. */
static inline uint64_t framing_span(uint64_t len)
{
    return (32 + len + 31) & ~UINT64_C(31);
}

#endif
