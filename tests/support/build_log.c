/*
 * Logs built by hand. See build_log.h.
 */
#include "support/build_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"
#include "sys/map.h"

static void write_file(struct build_log *log, const char *name, const void *bytes, size_t n)
{
    const int fd = file_open(log->dirfd, name, O_RDWR | O_CREAT, 0640);

    cr_assert_ok(fd);
    cr_assert_ok(file_pwrite(fd, bytes, n, 0));
    file_close(fd);
}

void build_log_make(struct build_log *log)
{
    struct settings_page page;

    *log = (struct build_log){.dir = tmpdir_make()};
    log->dirfd = dir_open(log->dir);
    cr_assert_ok(log->dirfd);
    log->settings = (struct settings_facts){
        .segment_size = SEGMENT_SIZE_MIN,
        .created_ns = 1,
        .sync = 2,
        .mode = 0640,
        .discipline = DISCIPLINE_MAPPED,
    };
    cr_assert_ok(random_bytes(log->settings.uuid, 16));
    log->boot.known = boot_id_read(log->boot.boot_id) == 0;
    settings_encode(&page, &log->settings);
    write_file(log, NAME_SETTINGS, &page, sizeof(page));
}

void build_log_remove(struct build_log *log)
{
    file_close(log->dirfd);
    tmpdir_remove(log->dir);
}

void build_log_reboot(struct build_log *log)
{
    log->boot.boot_id[0] ^= 0xff;
}

void build_log_live(struct build_log *log)
{
    static const uint8_t page[PAGE_BYTES];
    struct live_file *live = calloc(1, sizeof(*live));
    struct boot_facts boot = {.known = boot_id_read(boot.boot_id) == 0};
    struct file_facts file;
    int fd;

    cr_assert(live != NULL);
    write_file(log, NAME_OWNERS, page, sizeof(page));
    write_file(log, NAME_LIVE, live, sizeof(*live));
    fd = file_open(log->dirfd, NAME_LIVE, O_RDWR, 0);
    cr_assert_ok(fd);
    cr_assert_ok(file_facts(fd, &file));
    boot.dev = file.dev;
    boot.ino = file.ino;
    memcpy(live->magic, MAGIC_LIVE, sizeof(live->magic));
    memcpy(live->uuid, log->settings.uuid, 16);
    boot_mark_encode(&live->boot, &boot);
    word_store(&live->ready, 1, memory_order_relaxed);
    cr_assert_ok(file_pwrite(fd, live, sizeof(*live), 0));
    file_close(fd);
    free(live);
}

void build_log_slot(struct build_log *log, uint32_t slot, uint32_t gen)
{
    const int fd = file_open(log->dirfd, NAME_LIVE, O_RDWR, 0);
    le32 bytes;

    cr_assert_ok(fd);
    le32_put(&bytes, gen);
    cr_assert_ok(file_pwrite(fd, &bytes, sizeof(bytes),
                             offsetof(struct live_file, slots) + slot * sizeof(struct live_slot)));
    file_close(fd);
}

void build_log_floor(struct build_log *log, uint64_t number, uint64_t first_seq)
{
    const struct floor_facts facts = {.counter = 1, .number = number, .first_seq = first_seq};
    struct floor_slot slots[2];

    memset(slots, 0, sizeof(slots));
    floor_encode(&slots[0], log->settings.uuid, &facts);
    write_file(log, NAME_FLOOR, slots, sizeof(slots));
}

void build_log_unlink(struct build_log *log, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(number, name);
    cr_assert_ok(file_unlink(log->dirfd, name));
}

/* ---- segments ------------------------------------------------------------------------------- */

void build_spare(struct build_log *log, uint64_t number, struct build_segment *out)
{
    struct prepare_order order = {
        .number = number,
        .size = log->settings.segment_size,
        .mode = log->settings.mode,
        .boot = &log->boot,
    };

    memcpy(order.uuid, log->settings.uuid, 16);
    *out = (struct build_segment){.log = log, .at = OFF_FRAMES};
    cr_assert_ok(segment_prepare(log->dirfd, &order, &out->seg));
}

void build_activate(struct build_segment *seg, uint64_t base_seq, uint64_t epoch,
                    uint64_t pred_generation)
{
    seg->act = (struct activation_facts){
        .base_seq = base_seq, .epoch = epoch, .pred_generation = pred_generation};
    activation_store(segment_activation_block(seg->seg), seg->seg->facts.generation, &seg->act);
}

void build_begin(struct build_log *log, struct build_segment *prev, struct build_segment *out)
{
    build_spare(log, prev ? prev->seg->facts.number + 1 : 0, out);
    if (prev)
        build_activate(out, prev->act.base_seq + prev->seq_rel,
                       prev->act.epoch + (prev->footer.flags & FOOTER_TORN ? 1 : 0),
                       prev->seg->facts.generation);
    else
        build_activate(out, 0, 0, 0);
}

void build_close(struct build_segment *seg)
{
    segment_close(seg->seg);
    seg->seg = NULL;
}

/* ---- frames --------------------------------------------------------------------------------- */

static uint64_t frame_put(struct build_segment *seg, uint64_t word, uint64_t span, uint32_t count)
{
    const uint64_t at = seg->at;

    word_store(&segment_frame(seg->seg, at)->word, word, memory_order_release);
    seg->at += span;
    seg->seq_rel += count;
    return at;
}

uint64_t build_record(struct build_segment *seg, const char *text, uint64_t time_ns, uint32_t tag)
{
    const struct frame_space *space = &seg->seg->facts.space;
    const uint64_t len = strlen(text);
    const uint64_t word = word_data(space, len);
    struct frame_header *header = segment_frame(seg->seg, seg->at);
    const struct frame_facts facts = {
        .time_ns = time_ns,
        .seq_rel = (uint32_t)seg->seq_rel,
        .tag = tag,
        .pcrc = ~crc32c(frame_seed(space, seg->at), text, len),
    };

    cr_assert(build_has_room(seg, len), "the segment is full");
    memcpy(header + 1, text, len);
    frame_fill(space, seg->at, header, word, &facts);
    return frame_put(seg, word, frame_span(len), 1);
}

void build_records(struct build_segment *seg, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint64_t seq = seg->act.base_seq + seg->seq_rel;
        char text[32];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)seq);
        build_record(seg, text, seq, (uint32_t)(seq % 10));
    }
}

uint64_t build_claim(struct build_segment *seg, uint32_t slot, uint32_t gen, uint32_t count,
                     uint64_t span)
{
    return frame_put(seg, word_claimed(slot, gen, count, span), span, count);
}

uint64_t build_abort(struct build_segment *seg, uint32_t count, uint64_t span)
{
    return frame_put(seg, word_checked(&seg->seg->facts.space, seg->at, WORD_ABORTED, count, span),
                     span, count);
}

uint64_t build_pad(struct build_segment *seg, uint64_t span)
{
    return frame_put(seg, word_checked(&seg->seg->facts.space, seg->at, WORD_PAD, 0, span), span,
                     0);
}

void build_roll(struct build_segment *seg)
{
    const uint64_t word = word_checked(&seg->seg->facts.space, seg->at, WORD_ROLL, 0, 0);

    word_store(&segment_frame(seg->seg, seg->at)->word, word, memory_order_release);
}

bool build_has_room(const struct build_segment *seg, uint64_t len)
{
    return span_fits(&seg->seg->facts.space, seg->at, frame_span(len));
}

/* ---- what is written behind frames ---------------------------------------------------------- */

static void seal_as(struct build_segment *seg, const struct build_segment *prev,
                    struct seal_order order)
{
    struct build_log *log = seg->log;
    struct seal_trouble trouble;
    struct segment *file;

    order.activation = &seg->act;
    order.prev = prev ? &prev->footer : NULL;
    cr_assert_ok(segment_open(log->dirfd, seg->seg->facts.number, log->settings.uuid,
                              SEGMENT_PREAD_WRITE, &file, NULL));
    cr_assert_ok(segment_seal(file, &order, &seg->footer, &trouble));
    segment_close(file);
}

void build_seal(struct build_segment *seg, const struct build_segment *prev)
{
    seal_as(seg, prev, (struct seal_order){0});
}

void build_cut(struct build_segment *seg, const struct build_segment *prev)
{
    seal_as(seg, prev, (struct seal_order){.end = seg->at, .flags = FOOTER_TORN});
}

void build_seal_damaged(struct build_segment *seg, const struct build_segment *prev)
{
    seal_as(seg, prev,
            (struct seal_order){.end = seg->at,
                                .flags = FOOTER_DAMAGED,
                                .next_seq = seg->act.base_seq + seg->seq_rel});
}

void build_mark(struct build_segment *seg)
{
    struct mark_facts last;
    const int rc = segment_mark(seg->seg, &last);

    cr_assert_ok(segment_mark_write(seg->seg, rc == 0 ? &last : NULL, seg->at, seg->seq_rel, NULL));
}

void build_damage(struct build_segment *seg, uint64_t offset)
{
    seg->seg->base[offset] ^= 0xff;
}
