/*
 * Harming images: see harm.h. Only what a footer or a mark of the same segment covers is touched:
 * that is all a first opener has to go by.
 */
#include "powercut/harm.h"

#include "powercut/disk.h"
#include "segment/scan.h"
#include "sys/file.h"

#include <fcntl.h>

/* How far the frames of this segment are known to have been synced. */
static uint64_t known_durable(const struct segment *seg)
{
    struct footer_facts footer;
    struct mark_facts mark;

    if (segment_footer(seg, &footer, NULL) == 0)
        return footer.frames_end;
    return segment_mark(seg, &mark) == 0 ? mark.offset : 0;
}

/* A byte of a record's payload, and its number. 0: there is no record. */
static uint64_t pick_byte(const struct segment *seg, struct dice *d, uint64_t *seq)
{
    struct activation_facts act;
    struct scan_frame frame;
    struct source src;
    struct scan scan;
    uint64_t place = 0, met = 0;

    if (segment_activation(seg, &act) < 0)
        return 0;
    source_init(&src, seg);
    scan_begin(&scan, &src, true);
    scan.end = known_durable(seg);
    while (scan.at < scan.end && scan_next(&scan, &frame) == 1) {
        if (frame.facts.state != WORD_DATA || dice_below(d, ++met) != 0)
            continue;
        *seq = act.base_seq + frame.frame.seq_rel;
        place = frame.offset + sizeof(struct frame_header) + dice_below(d, frame.facts.len);
    }
    source_free(&src);
    return place;
}

static bool harm_segment(int dirfd, const char *name, const uint8_t uuid[16], struct dice *d,
                         struct harmed *out)
{
    struct segment *seg;
    uint64_t number, place;
    uint8_t byte = 0;

    if (!segment_name_parse(name, &number) ||
        segment_open(dirfd, number, uuid, SEGMENT_PREAD_WRITE, &seg, NULL) < 0)
        return false;
    place = pick_byte(seg, d, &out->seq);
    if (place != 0) {
        disk_must(file_pread(seg->fd, &byte, 1, place) == 0, "read");
        byte ^= (uint8_t)(1u << dice_below(d, 8));
        disk_must(file_pwrite(seg->fd, &byte, 1, place) == 0, "write");
    }
    segment_close(seg);
    return place != 0;
}

struct harming {
    int dirfd;
    const uint8_t *uuid;
    struct dice *dice;
    struct harmed *out;
};

/* 1: done. */
static int harm_name(void *context, const char *name)
{
    const struct harming *h = context;

    return dice_below(h->dice, 3) != 0 && harm_segment(h->dirfd, name, h->uuid, h->dice, h->out);
}

bool harm_image(const char *dir, const uint8_t uuid[16], struct dice *d, struct harmed *out)
{
    struct harming h = {.dirfd = dir_open(dir), .uuid = uuid, .dice = d, .out = out};
    int rc;

    *out = (struct harmed){0};
    disk_must(h.dirfd >= 0, dir);
    rc = dir_each(h.dirfd, harm_name, &h);
    file_close(h.dirfd);
    return rc == 1;
}
