/*
 * Records out of a stream of bytes.
 *
 * The buffer holds [start, end). What is handed out moves start; a record that is not complete yet is
 * moved to the front before the next read, which therefore goes to the same, cached, memory again.
 */
#include "framing.h"

#include "json.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES  ((size_t)1 << 20)
#define PREFIX_BYTES 4

/* How far the end of a line that is too long is looked for, to tell its length. */
#define MEASURE_BYTES_MAX ((uint64_t)1 << 30)
#define MEASURE_WAIT_MS   1000

/* How long the rest of a record is waited for when asked to stop. */
#define FINISH_WAIT_MS 100

int framing_open(struct framing *framing, int fd)
{
    struct stat st;

    framing->fd = fd;
    framing->ended = false;
    framing->start = framing->end = framing->scanned = 0;
    framing->count = 0;
    framing->pending = 0;
    framing->polls = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
    if (framing->polls)
        (void)fcntl(fd, F_SETPIPE_SZ, (int)BLOCK_BYTES); /* fewer, larger reads; if it may be */
    else
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (!framing->buf) {
        framing->buf = malloc(BLOCK_BYTES);
        framing->size = BLOCK_BYTES;
    }
    return framing->buf ? 0 : -ENOMEM;
}

void framing_close(struct framing *framing)
{
    free(framing->buf);
    framing->buf = NULL;
}

/* The longest record as it comes in, without its line end. A JSON string may need six bytes for one. */
static uint64_t raw_max(const struct framing *framing)
{
    return framing->kind == FRAMING_JSON ? 6 * framing->max_record + 4096 : framing->max_record;
}

static unsigned char line_end(const struct framing *framing)
{
    return framing->kind == FRAMING_JSON ? '\n' : framing->delimiter;
}

static int too_large(struct framing *framing, const char *least, uint64_t len)
{
    snprintf(framing->problem, sizeof(framing->problem),
             "%s%llu bytes, but a record here holds at most %llu; %s", least,
             (unsigned long long)len, (unsigned long long)framing->max_record,
             framing->larger
                 ? framing->larger
                 : "larger segments take larger records (seglog create --segment-size)");
    return -EMSGSIZE;
}

static int bad_data(struct framing *framing, const char *why)
{
    snprintf(framing->problem, sizeof(framing->problem), "%s", why);
    return -EBADMSG;
}

/* Read into the buffer, at most len bytes. returns 1, 0 at the end of input, or negative errno */
static int source_read(struct framing *framing, size_t len, int wait_ms)
{
    ssize_t got;

    if (framing->polls) {
        int rc;

        do {
            rc = signals_wait_readable(framing->fd, wait_ms);
        } while (rc == 0 && wait_ms < 0);
        if (rc <= 0)
            return rc == 0 ? -ETIMEDOUT : rc;
    }
    got = read(framing->fd, framing->buf + framing->end, len);
    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    framing->end += (size_t)got;
    return got > 0;
}

/* The next record has no end yet and is already too long: tell how long it is. */
static int measure(struct framing *framing)
{
    const bool lines = framing->kind != FRAMING_WHOLE;
    const size_t keep = framing->start;
    uint64_t len = framing->end - framing->start;

    while (len < MEASURE_BYTES_MAX) {
        const unsigned char *found = NULL;
        int rc;

        framing->end = keep;
        rc = source_read(framing, framing->size - keep, MEASURE_WAIT_MS);
        if (rc == 0)
            return too_large(framing, "", len);
        if (rc < 0)
            break;
        if (lines)
            found = memchr(framing->buf + keep, line_end(framing), framing->end - keep);
        if (found)
            return too_large(framing, "", len + (uint64_t)(found - framing->buf) - keep);
        len += framing->end - keep;
    }
    return too_large(framing, "more than ", len);
}

/* The next record: len bytes at skip behind start, total with what stands around it. */
struct frame_place {
    size_t skip;
    size_t len;
    size_t total;
};

/* The record is too long and its end is not in sight. */
#define FRAME_ENDLESS (-ERANGE)

static int find_prefixed(struct framing *framing, struct frame_place *place)
{
    const unsigned char *const at = framing->buf + framing->start;
    const size_t have = framing->end - framing->start;

    if (have == 0)
        return 0;
    if (have < PREFIX_BYTES)
        return framing->ended ? bad_data(framing, "the input ends inside a length") : 0;
    place->skip = PREFIX_BYTES;
    place->len = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    place->total = PREFIX_BYTES + place->len;
    if (place->len > framing->max_record)
        return too_large(framing, "", place->len);
    if (have >= place->total)
        return 1;
    return framing->ended ? bad_data(framing, "the input ends inside the record") : 0;
}

static int find_whole(struct framing *framing, struct frame_place *place)
{
    place->len = place->total = framing->end - framing->start;
    if (place->len > framing->max_record)
        return FRAME_ENDLESS;
    return framing->ended && framing->count == 0;
}

static int find_line(struct framing *framing, struct frame_place *place)
{
    const unsigned char *const at = framing->buf + framing->start;
    const size_t have = framing->end - framing->start;
    const unsigned char *found = NULL;

    if (have > framing->scanned)
        found = memchr(at + framing->scanned, line_end(framing), have - framing->scanned);
    framing->scanned = found ? 0 : have;
    place->len = found ? (size_t)(found - at) : have;
    place->total = place->len + (found != NULL);
    if (place->len > raw_max(framing))
        return found || framing->ended ? too_large(framing, "", place->len) : FRAME_ENDLESS;
    return found || (framing->ended && have > 0);
}

/* returns 1, 0 when the record is not complete, or a problem; asked again it says the same */
static int frame_find(struct framing *framing, struct frame_place *place)
{
    *place = (struct frame_place){0};
    switch (framing->kind) {
    case FRAMING_PREFIXED:
        return find_prefixed(framing, place);
    case FRAMING_WHOLE:
        return find_whole(framing, place);
    case FRAMING_DELIMITED:
    case FRAMING_JSON:
        break;
    }
    return find_line(framing, place);
}

/* Put the payload of a JSON line in the line's place. returns 0, JSON_BLANK or a problem */
static int json_decode(struct framing *framing, struct seglog_record *record, unsigned char *line)
{
    struct json_facts facts = {.tag = record->tag, .seq = framing->next_seq};
    size_t len = record->len;
    const int rc = json_take_record(line, &len, framing->is_whole, &facts, framing->problem,
                                    sizeof(framing->problem));

    if (rc != 0)
        return rc;
    if (len > framing->max_record)
        return too_large(framing, "", len);
    record->len = len;
    record->time_ns = facts.time_ns;
    framing->next_seq = facts.seq;
    if (!framing->has_tag)
        record->tag = facts.tag;
    return 0;
}

int framing_take(struct framing *framing, struct seglog_record *out, int max, size_t budget)
{
    uint64_t stored = 0;
    int n = 0;

    if (framing->pending)
        return framing->pending;
    while (n < max) {
        struct frame_place place;
        unsigned char *data;
        int rc = frame_find(framing, &place);

        if (rc <= 0 && n > 0)
            break; /* a problem is found again when what stands before it is appended */
        if (rc == 0)
            break;
        if (rc == FRAME_ENDLESS)
            rc = measure(framing);
        if (rc < 0) {
            framing->count++; /* the ordinal of the bad one */
            return framing->pending = rc;
        }
        stored += framing_span(place.len);
        if (n > 0 && stored > budget)
            break;

        data = framing->buf + framing->start + place.skip;
        out[n] = (struct seglog_record){.data = data, .len = place.len, .tag = framing->tag};
        framing->start += place.total;
        framing->count++;
        if (framing->kind == FRAMING_JSON) {
            rc = json_decode(framing, &out[n], data);
            if (rc == JSON_BLANK)
                continue;
            if (rc < 0) {
                framing->pending = rc;
                return n > 0 ? n : rc;
            }
        }
        n++;
    }
    return n;
}

/* Make room to read. returns 0 or -ENOMEM */
static int make_room(struct framing *framing)
{
    const size_t have = framing->end - framing->start;

    if (framing->start > 0 && have > 0)
        memmove(framing->buf, framing->buf + framing->start, have);
    framing->start = 0;
    framing->end = have;
    if (framing->size - have < framing->size / 4) {
        const size_t size = framing->size * 2;
        unsigned char *buf = realloc(framing->buf, size);

        if (!buf)
            return -ENOMEM;
        framing->buf = buf;
        framing->size = size;
    }
    return 0;
}

int framing_fill(struct framing *framing)
{
    int rc = make_room(framing);

    if (rc < 0)
        return rc;
    if (signals_stopped())
        return -EINTR;
    rc = source_read(framing, framing->size - framing->end, -1);
    if (rc == 0)
        framing->ended = true;
    if (rc == -ETIMEDOUT)
        return 0;
    return rc < 0 ? rc : 0;
}

/* How many bytes the record that has begun is known to lack; 1 when only its end will tell. */
static size_t bytes_missing(const struct framing *framing)
{
    const unsigned char *const at = framing->buf + framing->start;
    const size_t have = framing->end - framing->start;
    size_t len;

    if (framing->kind != FRAMING_PREFIXED)
        return 1;
    if (have < PREFIX_BYTES)
        return PREFIX_BYTES - have;
    len = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    return len + PREFIX_BYTES - have;
}

void framing_finish(struct framing *framing)
{
    while (!framing->ended && framing->start < framing->end && framing->kind != FRAMING_WHOLE) {
        struct pollfd fd = {.fd = framing->fd, .events = POLLIN};
        struct frame_place place;
        size_t len = bytes_missing(framing);
        ssize_t got;

        if (frame_find(framing, &place) != 0 || make_room(framing) < 0)
            return;
        if (len > framing->size - framing->end)
            len = framing->size - framing->end;
        got = poll(&fd, 1, FINISH_WAIT_MS) == 1
                  ? read(framing->fd, framing->buf + framing->end, len)
                  : -1;
        if (got <= 0)
            break;
        framing->end += (size_t)got;
    }
    /* A last line without its end counts, as at the end of a file. */
    if (framing->kind == FRAMING_DELIMITED)
        framing->ended = true;
}

size_t framing_leftover(const struct framing *framing)
{
    return framing->end - framing->start;
}
