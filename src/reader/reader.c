/*
 * Readers: the public calls, and the hot loop.
 *
 * The hot loop takes plain records from a mapped segment: it checks word 0, number and checksums and
 * steps on. Whatever does not pass its checks is left where it is and looked at again, with more
 * patience, by step.c; so the hot loop never has to know why.
 */
#include "reader/handle.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/map.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define KNOWN_FLAGS                                                                              \
    (SEGLOG_READER_NO_VERIFY | SEGLOG_READER_COPY | SEGLOG_READER_TAG | SEGLOG_READER_FORCE_FS | \
     SEGLOG_READER_DROP_BEHIND | SEGLOG_READER_SKIP_BAD)

/* ---- the hot loop --------------------------------------------------------------------------- */

/*
 * Small records: every line is asked for this far ahead, once, as whoever reads a batch wants the
 * payloads too and the processor sees a walk over headers only. Large ones it follows by itself, and
 * one line is asked for so that the next header is there when its turn comes.
 *
 * Not by a follower on its producer's heels: there the lines ahead are those that the producer is
 * about to write, and would have to fetch back. Only after so many bytes without catching up.
 */
#define AHEAD_AFTER UINT64_C(16384)
#define AHEAD_NEVER UINT64_MAX
#define AHEAD_BYTES 2048
#define AHEAD_LARGE 512
#define LINE_BYTES  64

/* *ahead: how far lines were asked for, or AHEAD_NEVER. */
ALWAYS_INLINE void look_ahead(const struct held *held, uint64_t at, uint64_t span, uint64_t *ahead)
{
    const uint8_t *base = held->seg->base;

    if (*ahead == AHEAD_NEVER)
        return;
    if (span > AHEAD_LARGE) {
        __builtin_prefetch(base + at + AHEAD_LARGE);
        return;
    }
    if (*ahead < at + AHEAD_BYTES)
        *ahead = at + AHEAD_BYTES;
    for (; *ahead < at + AHEAD_BYTES + span; *ahead += LINE_BYTES)
        __builtin_prefetch(base + *ahead);
}

/*
 * The record at *at, if it is a plain one. false: nothing has changed.
 *
 * ORDER word.publish -> word.observe: header and payload of what this word commits. Without it a
 * weakly ordered processor could see the word and the bytes that were there before.
 */
ALWAYS_INLINE bool take(const struct held *held, uint64_t *at, uint64_t *seq_rel, uint64_t *ahead,
                        bool verify, struct seglog_view *out)
{
    const struct frame_space *space = &held->seg->facts.space;
    const struct frame_header *header;
    struct frame_facts frame;
    uint64_t word, len, span;

    if (*at >= held->limit)
        return false;
    header = segment_frame(held->seg, *at);
    word = word_load(&header->word, memory_order_acquire);
    if ((uint32_t)word != held->data_low)
        return false;
    len = word >> 32;
    span = frame_span(len);
    if (span > space->span_max || span > held->limit - *at)
        return false;
    look_ahead(held, *at, span, ahead);
    frame_peek(header, &frame);
    if (frame.seq_rel != *seq_rel)
        return false;
    if (verify && (frame_check(space, *at, word, header, &frame) < 0 ||
                   frame_check_payload(space, *at, header + 1, len, frame.pcrc) < 0))
        return false;
    *out = (struct seglog_view){
        .data = header + 1,
        .len = len,
        .seq = held->base_seq + *seq_rel,
        .time_ns = frame.time_ns,
        .tag = frame.tag,
    };
    *at += span;
    *seq_rel += 1;
    return true;
}

/* As many as can be taken without leaving the segment. A tag that is not ours is passed. */
ALWAYS_INLINE int take_some(struct seglog_reader *r, struct seglog_view *out, int max, bool verify,
                            bool by_tag)
{
    struct held *held = r->place.held;
    uint64_t at = r->place.at, seq_rel = r->place.seq_rel;
    uint64_t ahead = at - r->caught_up_at < AHEAD_AFTER ? AHEAD_NEVER : 0;
    int n = 0;

    while (n < max && take(held, &at, &seq_rel, &ahead, verify, &out[n]))
        n += !by_tag || out[n].tag == r->tag;
    r->place.at = at;
    r->place.seq_rel = seq_rel;
    held->lent = held->lent || n > 0;
    return n;
}

static inline int take_hot(struct seglog_reader *r, struct seglog_view *out, int max)
{
    struct held *held = r->place.held;

    if (!held || !held->seg->base)
        return 0;
    if (held->seg->arc)
        held_look_unpacked(held, r->place.at);
    if (r->flags & SEGLOG_READER_TAG)
        return take_some(r, out, max, held_is_checked(r, held), true);
    if (held_is_checked(r, held))
        return take_some(r, out, max, true, false);
    return take_some(r, out, max, false, false);
}

/* ---- forward -------------------------------------------------------------------------------- */

/* One record the slow way. 1, or as seglog_reader_next(). */
static int take_slow(struct seglog_reader *r, struct seglog_view *out)
{
    const struct place before = r->place;
    struct scan_frame frame;
    int rc;

    if (r->pending) {
        rc = r->pending;
        r->pending = 0;
        return rc;
    }
    rc = step_record(r, &frame);
    if (rc == -EAGAIN)
        r->caught_up_at = r->place.at;
    if (rc != 1)
        return rc;
    rc = step_view(r, &frame, out);
    if (rc < 0)
        r->place = before;
    return rc < 0 ? rc : 1;
}

int seglog_reader_batch(struct seglog_reader *reader, struct seglog_view *out, int max)
{
    int n = 0;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    if (max <= 0)
        return -EINVAL;
    while (n < max) {
        int rc;

        if (!reader->pending)
            n += take_hot(reader, out + n, max - n);
        if (n == max)
            break;
        rc = take_slow(reader, out + n);
        if (rc < 0 && n > 0 && rc != -EAGAIN)
            reader->pending = rc;
        if (rc < 0)
            return n > 0 ? n : rc;
        n++;
    }
    return n;
}

int seglog_reader_next(struct seglog_reader *reader, struct seglog_view *out)
{
    int rc;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    if (!reader->pending && take_hot(reader, out, 1) == 1)
        return 0;
    rc = take_slow(reader, out);
    return rc < 0 ? rc : 0;
}

int seglog_reader_prev(struct seglog_reader *reader, struct seglog_view *out)
{
    struct scan_frame frame;
    struct place before;
    int rc;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    reader->pending = 0;
    before = reader->place;
    rc = back_record(reader, &frame);
    if (rc < 0)
        return rc;
    rc = step_view(reader, &frame, out);
    if (rc < 0)
        reader->place = before;
    return rc;
}

void seglog_reader_release(struct seglog_reader *reader)
{
    if (reader_is_forked(reader))
        return;
    if (reader->arena)
        arena_free(reader);
    if (reader->segments && (reader->segments->older || reader->segments != reader->place.held))
        held_release(reader, true);
    if (reader->place.held && reader->place.held->seg->base && reader->place.held->seg->arc)
        archive_release(reader->place.held->seg, reader->place.at);
}

/* ---- places --------------------------------------------------------------------------------- */

int seglog_reader_seek(struct seglog_reader *reader, const struct seglog_place *place)
{
    const struct place before = reader->place;
    const struct seglog_damage damage = reader->damage;
    const bool had_damage = reader->has_damage;
    int rc;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    reader->check_payload = false; /* places are found by headers alone */
    rc = seek_place(reader, place);
    reader->check_payload =
        (reader->flags & SEGLOG_READER_COPY) || !(reader->flags & SEGLOG_READER_NO_VERIFY);
    if (rc < 0)
        reader->place = before;
    else
        reader->pending = 0;
    if (rc != -EIO) { /* what was met on the way is met again by whoever reads there */
        reader->damage = damage;
        reader->has_damage = had_damage;
    }
    reader->reported_held = NULL;
    reader->gap_held = NULL;
    probe_reset(reader);
    held_release(reader, false);
    return rc;
}

int seglog_reader_position(const struct seglog_reader *reader, uint64_t *next_seq, uint64_t *epoch)
{
    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    if (next_seq)
        *next_seq = place_seq(&reader->place);
    if (epoch)
        *epoch = reader->place.held ? reader->place.held->epoch : reader->place.epoch;
    return 0;
}

int seglog_reader_bounds(struct seglog_reader *reader, uint64_t *first_seq, uint64_t *end_seq)
{
    static const struct seglog_place end = {.kind = SEGLOG_PLACE_END};
    const struct place before = reader->place;
    const int32_t pending = reader->pending;
    struct place first;
    uint64_t end_at;
    int rc;

    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    rc = path_first(reader, &first);
    if (rc < 0)
        return rc;
    if (before.held)
        before.held->lent = true; /* we come back to it */
    rc = seglog_reader_seek(reader, &end);
    if (rc < 0)
        return rc;
    end_at = place_seq(&reader->place);
    reader->place = before;
    reader->pending = pending;
    if (first_seq)
        *first_seq = first.seq;
    if (end_seq)
        *end_seq = end_at;
    return 0;
}

int seglog_reader_damage(const struct seglog_reader *reader, struct seglog_damage *out)
{
    if (reader_is_forked(reader))
        return SEGLOG_EFORKED;
    if (!reader->has_damage)
        return -ENODATA;
    *out = reader->damage;
    return 0;
}

/* ---- open and close ------------------------------------------------------------------------- */

static int reader_begin(struct seglog_reader *r, const char *dir,
                        const struct seglog_reader_options *options)
{
    int rc;

    r->guard = fork_guard_new();
    if (!r->guard)
        return -ENOMEM;
    rc = log_view_open(dir, (options->flags & SEGLOG_READER_FORCE_FS) != 0, &r->view);
    if (rc < 0)
        return rc;
    r->flags = options->flags;
    r->tag = options->tag;
    r->wait = options->wait;
    probe_reset(r);
    return seglog_reader_seek(r, &options->from);
}

int seglog_reader_open(const char *dir, const struct seglog_reader_options *options,
                       struct seglog_reader **out)
{
    static const struct seglog_reader_options defaults;
    struct seglog_reader *r;
    int rc;

    if (!options)
        options = &defaults;
    if (options->wait > SEGLOG_WAIT_SLEEP || (options->flags & ~KNOWN_FLAGS) != 0 ||
        options->from.kind > SEGLOG_PLACE_TIME)
        return -EINVAL;
    if ((options->flags & SEGLOG_READER_SKIP_BAD) &&
        (options->flags & (SEGLOG_READER_COPY | SEGLOG_READER_NO_VERIFY)) != SEGLOG_READER_COPY)
        return -EINVAL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->view.dirfd = r->view.owners_fd = -1;
    rc = reader_begin(r, dir, options);
    if (rc < 0) {
        seglog_reader_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void seglog_reader_close(struct seglog_reader *reader)
{
    if (!reader)
        return;
    held_close_all(reader);
    arena_free(reader);
    catalog_free(&reader->catalog);
    free(reader->trail.entries);
    log_view_close(&reader->view);
    fork_guard_free(reader->guard);
    free(reader);
}
