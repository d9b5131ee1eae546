/*
 * The golden logs. See make_golden.h.
 *
 * small  segments of 64 KiB: 0 removed (the floor says so), 1 sealed, 2 sealed at a cut, 3 full,
 *        4 active, 5 a spare; every kind of frame but CLAIMED
 * wide   segments of 256 KiB: 0 sealed, with an index of several entries; 1 active, its last frame a
 *        claim whose producer is gone
 */
#include "golden/make_golden.h"

#include "format/footer.h"

#include <inttypes.h>
#include <stdlib.h>

#define TIME0 UINT64_C(1700000000000000000)

/* A segment being made. */
struct maker {
    struct golden_log *log;
    uint8_t *base;
    struct segment_facts seg;
    struct activation_facts act;
    struct seal_builder *seal;
    struct index_entry *index;
    struct footer_facts footer; /* once sealed */
    uint64_t at;
    uint64_t seq_rel;
};

static const uint8_t uuid[16] = {0x5e, 0x61, 0x06, 0x90, 0x1d, 0xe2, 0x4a, 0x0b,
                                 0x8c, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
static const uint8_t boot_id[16] = {0xb0, 0x07, 0xb0, 0x07, 0xb0, 0x07, 0x40, 0x07,
                                    0x80, 0x07, 0xb0, 0x07, 0xb0, 0x07, 0xb0, 0x07};

static void *zeros(size_t n)
{
    void *p = aligned_alloc(64, align_up(n, 64));

    if (!p)
        abort();
    return memset(p, 0, n);
}

static uint8_t *add_file(struct golden_log *log, const char *name, size_t size)
{
    struct golden_file *file = &log->files[log->file_count];

    assert(log->file_count < GOLDEN_FILES);
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->bytes = zeros(size);
    file->size = size;
    log->file_count++;
    return file->bytes;
}

static void add_settings(struct golden_log *log, uint64_t segment_size)
{
    struct settings_facts facts = {
        .segment_size = segment_size,
        .created_ns = TIME0,
        .sync = 2,
        .mode = 0640,
        .discipline = DISCIPLINE_MAPPED,
    };

    memcpy(facts.uuid, uuid, 16);
    settings_encode((struct settings_page *)(void *)add_file(log, "settings", PAGE_BYTES), &facts);
}

/* ---- segments ------------------------------------------------------------------------------- */

static void begin_spare(struct maker *m, struct golden_log *log, uint64_t number, uint64_t size)
{
    char name[32];
    struct boot_facts boot = {.dev = 0x801, .ino = 1000 + number, .known = true};
    struct tail_page *tail;

    memset(m, 0, sizeof(*m));
    snprintf(name, sizeof(name), "%016" PRIx64 ".seg", number);
    m->log = log;
    m->base = add_file(log, name, size);
    m->at = OFF_FRAMES;
    memcpy(m->seg.uuid, uuid, 16);
    m->seg.number = number;
    m->seg.generation = UINT64_C(0x9e3779b97f4a7c15) * (number + 1) ^ size;
    m->seg.size = size;
    m->seg.created_ns = TIME0 + number * 1000;
    m->seg.discipline = DISCIPLINE_MAPPED;
    segment_shape(size, &m->seg.shape);
    frame_space_init(&m->seg.space, size, m->seg.generation);
    segment_header_encode((struct segment_header *)(void *)m->base, &m->seg);
    tail = (struct tail_page *)(void *)(m->base + OFF_TAIL);
    memcpy(boot.boot_id, boot_id, 16);
    boot_mark_encode(&tail->boot, &boot);
    word_store(&tail->tail, tail_word(0, OFF_FRAMES), memory_order_relaxed);
}

static void begin(struct maker *m, struct golden_log *log, uint64_t number, uint64_t size,
                  const struct activation_facts *act, const struct footer_facts *prev)
{
    begin_spare(m, log, number, size);
    m->act = *act;
    activation_store((struct activation_block *)(void *)(m->base + OFF_ACTIVATION),
                     m->seg.generation, act);
    m->seal = zeros(sizeof(*m->seal));
    m->index = zeros(m->seg.shape.index_max * sizeof(*m->index));
    seal_begin(m->seal, &m->seg, act, prev, m->index);
    m->seal->index = m->index;
    m->seal->index_max = m->seg.shape.index_max;
}

/* What the segment behind m begins with. */
static struct activation_facts following(const struct maker *m)
{
    return (struct activation_facts){
        .base_seq = m->act.base_seq + m->seq_rel,
        .epoch = m->act.epoch + (m->footer.flags & FOOTER_TORN ? 1 : 0),
        .pred_generation = m->seg.generation,
    };
}

static void end(struct maker *m)
{
    free(m->seal);
    free(m->index);
}

static struct frame_header *header_at(const struct maker *m, uint64_t at)
{
    return (struct frame_header *)(void *)(m->base + at);
}

static void put(struct maker *m, uint64_t word)
{
    struct frame_header *header = header_at(m, m->at);
    struct word_facts facts;
    const int rc = word_decode(&m->seg.space, m->at, word, &facts);

    if (rc < 0)
        abort();
    word_store(&header->word, word, memory_order_relaxed);
    if (facts.state != WORD_CLAIMED)
        seal_add(m->seal, m->at, word, &facts, facts.state == WORD_DATA ? header : NULL);
    if (facts.state != WORD_ROLL)
        m->at += facts.span;
    m->seq_rel += facts.count;
}

/* "record 17 record 17 ..." as far as len goes. */
static void fill_text(struct golden_record *record)
{
    char one[32];
    const size_t n = (size_t)snprintf(one, sizeof(one), "record %" PRIu64 " ", record->seq);

    assert(record->len < sizeof(record->text));
    for (size_t i = 0; i < record->len; i++)
        record->text[i] = one[i % n];
    record->text[record->len] = 0;
}

static void put_data(struct maker *m, uint32_t len, uint64_t time_ns, uint32_t tag)
{
    struct golden_record *record = &m->log->records[m->log->record_count++];
    struct frame_header *header = header_at(m, m->at);
    struct frame_facts facts = {.time_ns = time_ns, .seq_rel = (uint32_t)m->seq_rel, .tag = tag};
    const uint64_t word = word_data(&m->seg.space, len);

    assert(m->log->record_count <= GOLDEN_RECORDS);
    *record = (struct golden_record){
        .seq = m->act.base_seq + m->seq_rel, .time_ns = time_ns, .tag = tag, .len = len};
    fill_text(record);
    memcpy(header + 1, record->text, len);
    facts.pcrc = ~crc32c(frame_seed(&m->seg.space, m->at), record->text, len);
    frame_fill(&m->seg.space, m->at, header, word, &facts);
    put(m, word);
}

static void put_checked(struct maker *m, enum word_state state, uint32_t count, uint64_t span)
{
    put(m, word_checked(&m->seg.space, m->at, state, count, span));
}

static void put_mark(struct maker *m, uint64_t counter)
{
    const struct mark_facts facts = {
        .counter = counter, .offset = m->at, .seq_rel = m->seq_rel, .wall_ns = TIME0 + counter};

    mark_encode((struct mark_slot *)(void *)(m->base + (counter % 2 ? OFF_MARK1 : OFF_MARK0)),
                m->seg.generation, &facts);
}

static void put_tail(struct maker *m)
{
    struct tail_page *tail = (struct tail_page *)(void *)(m->base + OFF_TAIL);

    word_store(&tail->tail, tail_word(m->seq_rel, m->at), memory_order_relaxed);
    checkpoint_store(tail, &m->seg.space, tail_word(m->seq_rel, m->at));
}

static void seal(struct maker *m, uint64_t frames_end, uint32_t flags, uint64_t frames_dropped)
{
    struct footer_facts *f = &m->seal->facts;

    seal_finish(m->seal, frames_end, flags);
    f->sealed_ns = TIME0 + 999;
    f->frames_dropped = frames_dropped;
    f->bytes_dropped = frames_dropped * 64;
    footer_encode((struct segment_footer *)(void *)(m->base + m->seg.shape.footer_off),
                  m->seg.generation, f);
    memcpy(m->base + m->seg.shape.index_off, m->index, f->index_count * sizeof(*m->index));
    m->footer = *f;
    m->at = frames_end;
    put_mark(m, 3);
}

/* ---- the logs ------------------------------------------------------------------------------- */

static void add_floor(struct golden_log *log, uint64_t number, uint64_t first_seq)
{
    const struct floor_facts now = {.counter = 2, .number = number, .first_seq = first_seq};
    const struct floor_facts before = {.counter = 1};
    struct floor_slot *slots =
        (struct floor_slot *)(void *)add_file(log, "floor", 2 * sizeof(*slots));

    floor_encode(&slots[0], uuid, &now);
    floor_encode(&slots[1], uuid, &before);
}

static void make_small(struct golden_log *log)
{
    static const uint32_t lens[] = {0, 1, 31, 32, 33, 64, 100, 159, 160, 161};
    const uint64_t size = SEGMENT_SIZE_MIN;
    /* Of segment 0, which retention removed. */
    const struct footer_facts gone = {.seal_hash = {0xde, 0xad, 0x5e, 0xa1},
                                      .log_max_time = TIME0 - 1};
    struct activation_facts act = {.base_seq = 100,
                                   .pred_generation = UINT64_C(0x0123456789abcdef)};
    struct footer_facts prev;
    struct maker m;

    log->name = "small";
    add_settings(log, size);
    add_floor(log, 1, 100);

    begin(&m, log, 1, size, &act, &gone);
    for (uint32_t i = 0; i < 10; i++)
        put_data(&m, lens[i], TIME0 + i * 100, i % 3);
    put_mark(&m, 1);
    memset(m.base + m.at + 8, 0xee, 88); /* what an evicted producer scribbled */
    put_checked(&m, WORD_ABORTED, 2, 96);
    put_data(&m, 20, TIME0 + 50, UINT32_MAX); /* a clock that went back */
    put_checked(&m, WORD_PAD, 0, 64);
    put_data(&m, 20, TIME0 + 2000, 0x80000000);
    put_checked(&m, WORD_ROLL, 0, 0);
    put_tail(&m);
    seal(&m, m.seg.shape.frames_end, 0, 0);
    act = following(&m);
    prev = m.footer;
    end(&m);

    begin(&m, log, 2, size, &act, &prev);
    for (uint32_t i = 0; i < 5; i++)
        put_data(&m, 40 + i, TIME0 + 3000 + i, 4);
    seal(&m, m.at, FOOTER_TORN, 1);
    act = following(&m);
    prev = m.footer;
    /* A frame beyond the cut that checks out and is not of the log. */
    m.seq_rel++;
    put_data(&m, 7, 1, 1);
    log->record_count--;
    end(&m);

    begin(&m, log, 3, size, &act, &prev);
    put_data(&m, 12, TIME0 + 4000, 5);
    put_checked(&m, WORD_ABORTED, 1, 32);
    put_mark(&m, 1);
    put_mark(&m, 2);
    put_data(&m, 12, TIME0 + 4001, 6);
    put_checked(&m, WORD_ROLL, 0, 0);
    put_tail(&m);
    act = following(&m);
    end(&m);

    begin(&m, log, 4, size, &act, NULL);
    for (uint32_t i = 0; i < 30; i++)
        put_data(&m, i, TIME0 + 5000 + i, 7);
    put_mark(&m, 1);
    for (uint32_t i = 0; i < 10; i++)
        put_data(&m, 10 * i, TIME0 + 6000 + i, i);
    put_tail(&m);
    end(&m);

    begin_spare(&m, log, 5, size);
}

static void make_wide(struct golden_log *log)
{
    const uint64_t size = SEGMENT_SIZE_MIN * 4;
    struct activation_facts act = {0};
    struct footer_facts prev;
    struct maker m;

    log->name = "wide";
    add_settings(log, size);

    begin(&m, log, 0, size, &act, NULL);
    while (span_fits(&m.seg.space, m.at, 40000)) {
        put_data(&m, 100, TIME0 + m.seq_rel * 7 % 5, (uint32_t)m.seq_rel);
        put_checked(&m, WORD_PAD, 0, 20000 + m.seq_rel * 32);
    }
    put_checked(&m, WORD_ROLL, 0, 0);
    put_tail(&m);
    seal(&m, m.seg.shape.frames_end, 0, 0);
    act = following(&m);
    prev = m.footer;
    end(&m);

    begin(&m, log, 1, size, &act, &prev);
    for (uint32_t i = 0; i < 20; i++)
        put_data(&m, 5 * i, TIME0 + 100 + i, i);
    put_checked(&m, WORD_ABORTED, COUNT_MAX / 8, 32 * (COUNT_MAX / 8));
    put_data(&m, 77, TIME0 + 200, 77);
    put_mark(&m, 1);
    put_tail(&m);
    put(&m, word_claimed(3, 9, 2, 128));
    end(&m);
}

struct golden_log *golden_make(unsigned which)
{
    struct golden_log *log = zeros(sizeof(*log));

    if (which == 0)
        make_small(log);
    else
        make_wide(log);
    return log;
}

void golden_free(struct golden_log *log)
{
    for (size_t i = 0; i < log->file_count; i++)
        free(log->files[i].bytes);
    free(log);
}

/* ---- text ----------------------------------------------------------------------------------- */

#define LINE_BYTES 32u

void golden_text_write(FILE *to, const uint8_t *bytes, size_t size)
{
    fprintf(to, "size %zu\n", size);
    for (size_t at = 0; at < size; at += LINE_BYTES) {
        const size_t n = size - at < LINE_BYTES ? size - at : LINE_BYTES;

        if (bytes_are_zero(bytes + at, n))
            continue;
        fprintf(to, "%06zx ", at);
        for (size_t i = 0; i < n; i++)
            fprintf(to, "%02x", bytes[at + i]);
        fputc('\n', to);
    }
}

int golden_text_read(FILE *from, uint8_t **bytes, size_t *size)
{
    char line[2 * LINE_BYTES + 2];
    size_t at;

    if (fscanf(from, "size %zu\n", size) != 1 || *size > SEGMENT_SIZE_MAX)
        return -1;
    *bytes = zeros(*size);
    while (fscanf(from, "%zx %64[0-9a-f]\n", &at, line) == 2) {
        for (size_t i = 0; line[2 * i] && line[2 * i + 1]; i++) {
            const char two[3] = {line[2 * i], line[2 * i + 1], 0};

            if (at + i >= *size)
                break;
            (*bytes)[at + i] = (uint8_t)strtoul(two, NULL, 16);
        }
    }
    if (!feof(from)) {
        free(*bytes);
        return -1;
    }
    return 0;
}
