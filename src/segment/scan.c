/*
 * The walk over frames, and the search for the next good one behind damage. See scan.h.
 */
#include "segment/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "segment/archive.h"

#define WINDOW_BYTES (UINT64_C(1) << 20)

/* ---- source --------------------------------------------------------------------------------- */

void source_init(struct source *src, const struct segment *seg)
{
    *src = (struct source){.seg = seg};
}

void source_free(struct source *src)
{
    free(src->window);
    src->window = NULL;
    src->window_len = src->window_cap = 0;
}

void source_forget(struct source *src)
{
    src->window_len = 0;
}

/*
 * Page by page, to the end of the last one: ones where there is none to be had, of which no frame, nor
 * the end of a log, is made.
 */
static int window_fill_around(struct source *src, uint64_t offset, uint64_t len)
{
    const uint64_t size = src->seg->facts.size;
    const uint64_t last = align_up(offset + len, PAGE_BYTES), end = last < size ? last : size;
    uint64_t at = offset;

    if (end - offset > src->window_cap) {
        uint8_t *window = realloc(src->window, end - offset);

        if (!window)
            return -ENOMEM;
        src->window = window;
        src->window_cap = end - offset;
    }
    while (at < end) {
        const uint64_t rest = PAGE_BYTES - at % PAGE_BYTES, n = rest < end - at ? rest : end - at;
        const int rc = segment_pread(src->seg, src->window + (at - offset), n, at);

        if (rc < 0 && rc != -EIO && rc != -ENODATA)
            return rc;
        if (rc < 0) {
            memset(src->window + (at - offset), 0xFF, n);
            src->has_hole = true;
        }
        at += n;
    }
    src->window_want = PAGE_BYTES; /* media take long to say no */
    src->window_off = offset;
    src->window_len = end - offset;
    return 0;
}

static int window_fill(struct source *src, uint64_t offset, uint64_t len)
{
    const uint64_t rest = src->seg->facts.size - offset;
    const uint64_t useful = src->window_want ? src->window_want : WINDOW_BYTES;
    uint64_t want = len > useful ? len : useful < rest ? useful : rest;
    int rc;

    src->window_want = 2 * useful < WINDOW_BYTES ? 2 * useful : 0;
    if (want > src->window_cap) {
        uint8_t *window = realloc(src->window, want);
        if (!window)
            return -ENOMEM;
        src->window = window;
        src->window_cap = want;
    }
    src->window_len = 0;
    src->has_hole = false;
    rc = segment_pread(src->seg, src->window, want, offset);
    if (rc < 0 && want > len) { /* perhaps only what lies ahead cannot be read */
        want = len;
        rc = segment_pread(src->seg, src->window, want, offset);
    }
    if ((rc == -EIO || rc == -ENODATA) && src->fills_holes)
        return window_fill_around(src, offset, len);
    if (rc < 0)
        return rc;
    src->window_off = offset;
    src->window_len = want;
    return 0;
}

int source_get(struct source *src, uint64_t offset, uint64_t len, const uint8_t **out)
{
    if (offset > src->seg->facts.size || len > src->seg->facts.size - offset)
        return SEGLOG_ECORRUPT;
    if (src->seg->base) {
        *out = src->seg->base + offset;
        return src->seg->arc ? archive_have(src->seg, offset, len) : 0;
    }
    if (offset < src->window_off || offset + len > src->window_off + src->window_len) {
        const int rc = window_fill(src, offset, len);
        if (rc < 0)
            return rc;
    }
    *out = src->window + (offset - src->window_off);
    return 0;
}

/* ---- scan ----------------------------------------------------------------------------------- */

void scan_begin(struct scan *scan, struct source *src, bool check_payload)
{
    *scan = (struct scan){
        .src = src,
        .at = OFF_FRAMES,
        .end = src->seg->facts.space.frames_end,
        .check_payload = check_payload,
    };
}

static int scan_bad(struct scan *scan, const char *why, uint64_t span)
{
    scan->why = why;
    scan->bad_span = span;
    return SEGLOG_ECORRUPT;
}

/* ORDER word.publish -> word.observe: header and payload of what this word commits. */
static int scan_word(struct scan *scan, uint64_t offset, uint64_t *word)
{
    const uint8_t *bytes;
    const int rc = source_get(scan->src, offset, sizeof(*word), &bytes);

    if (rc < 0)
        return rc;
    if (scan->src->seg->base)
        *word = word_load((const _Atomic uint64_t *)(const void *)bytes, memory_order_acquire);
    else
        *word = le64_get((const le64 *)(const void *)bytes);
    return 0;
}

static int scan_data(struct scan *scan, struct scan_frame *out)
{
    const struct frame_space *space = &scan->src->seg->facts.space;
    const uint8_t *bytes;
    int rc = source_get(scan->src, out->offset, FRAME_HEADER + out->facts.len, &bytes);

    if (rc < 0)
        return rc;
    out->header = (const struct frame_header *)(const void *)bytes;
    out->payload = bytes + FRAME_HEADER;
    if (frame_check(space, out->offset, out->word, out->header, &out->frame) < 0)
        return scan_bad(scan, "frame header: checksum", 0);
    if (out->frame.seq_rel != scan->seq_rel)
        return scan_bad(scan, "frame header: sequence", 0);
    if (scan->check_payload &&
        frame_check_payload(space, out->offset, out->payload, out->facts.len, out->frame.pcrc) < 0)
        return scan_bad(scan, "payload: checksum", out->facts.span);
    return 0;
}

int scan_next(struct scan *scan, struct scan_frame *out)
{
    const struct frame_space *space = &scan->src->seg->facts.space;
    int rc;

    out->offset = scan->at;
    out->header = NULL;
    out->payload = NULL;
    if (scan->at >= scan->end || scan->at > space->frames_end - FRAME_ALIGN) {
        out->facts = (struct word_facts){.state = WORD_EMPTY};
        out->word = 0;
        return 0;
    }
    rc = scan_word(scan, scan->at, &out->word);
    if (rc < 0)
        return rc;
    if (word_decode(space, scan->at, out->word, &out->facts) < 0)
        return scan_bad(scan, "frame header: first word", 0);
    if (out->facts.state == WORD_EMPTY || out->facts.state == WORD_ROLL)
        return 0;
    if (scan->at + out->facts.span > scan->end)
        return scan_bad(scan, "frame runs past the end of the segment", 0);
    if (out->facts.state == WORD_DATA) {
        rc = scan_data(scan, out);
        if (rc < 0)
            return rc;
    }
    scan->at += out->facts.span;
    scan->seq_rel += out->facts.count;
    return 1;
}

/*
 * Does the first word of a frame with a bad header still tell its length? Only if what it leads to is
 * beyond doubt and has a check of its own, or is the end of all frames. Then void numbers behind it
 * are not counted as lost. (Data behind it says its own number: the search finds it as well.)
 */
static bool scan_knows_span(struct scan *scan)
{
    const struct frame_space *space = &scan->src->seg->facts.space;
    struct word_facts facts;
    uint64_t word, next;

    if (scan_word(scan, scan->at, &word) < 0 || word_decode(space, scan->at, word, &facts) < 0 ||
        facts.state != WORD_DATA)
        return false;
    next = scan->at + facts.span;
    scan->bad_span = facts.span;
    if (next >= scan->end)
        return next == scan->end;
    return scan_word(scan, next, &word) == 0 && word_decode(space, next, word, &facts) == 0 &&
           (facts.state == WORD_ABORTED || facts.state == WORD_PAD || facts.state == WORD_ROLL);
}

int scan_resync(struct scan *scan, uint64_t *lost)
{
    const struct frame_space *space = &scan->src->seg->facts.space;
    const uint64_t from = scan->bad_from ? scan->bad_from : scan->at;
    uint64_t at = scan->at + FRAME_ALIGN;

    scan->bad_from = 0;
    if (scan->bad_span != 0 || scan_knows_span(scan)) {
        scan->at += scan->bad_span;
        scan->seq_rel += 1;
        scan->bad_span = 0;
        *lost = 1;
        return 1;
    }
    scan->bad_span = 0;
    for (; at < scan->end && at <= space->frames_end - FRAME_ALIGN; at += FRAME_ALIGN) {
        const uint8_t *bytes;
        struct word_facts facts;
        struct frame_facts frame;
        uint64_t word;
        int rc = scan_word(scan, at, &word);

        if (rc < 0) {
            scan->bad_from = from;
            scan->at = at;
            return rc;
        }
        if ((word & 7) != WORD_DATA || word_decode(space, at, word, &facts) < 0)
            continue;
        if (at + facts.span > scan->end)
            continue;
        rc = source_get(scan->src, at, FRAME_HEADER, &bytes);
        if (rc < 0) {
            scan->bad_from = from;
            scan->at = at;
            return rc;
        }
        if (frame_check(space, at, word, (const struct frame_header *)(const void *)bytes, &frame) <
                0 ||
            frame.seq_rel < scan->seq_rel)
            continue;
        /* Each number takes at least one unit: a leap that is too far is no continuation. */
        if (frame.seq_rel - scan->seq_rel > (at - from) / FRAME_ALIGN)
            continue;
        *lost = frame.seq_rel - scan->seq_rel;
        scan->at = at;
        scan->seq_rel = frame.seq_rel;
        return 1;
    }
    *lost = 0;
    return 0;
}
