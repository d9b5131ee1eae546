/*
 * What is in a log: one line a segment, and the sums.
 *
 * The hard part is a picture that holds together while appenders run. What is remembered from
 * outside (the shared copy of the durable number) is read before the frames it speaks of; segments
 * are taken oldest first, and each next one is looked at after the ROLL that leads to it was seen.
 */
#include <seglog/inspect.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/chain.h"
#include "inspect/survey.h"
#include "io/io.h"
#include "segment/archive.h"
#include "sys/owner.h"

/* How often more segments may come while we look. More, and the picture ends there: it is a true one. */
#define EXTENSIONS 16

struct gathering {
    struct log_view view;
    struct chain chain;
    struct seglog_info *out;
    struct chain_link link; /* after the segments so far */
    bool is_durable;        /* everything so far */
};

/* ---- one segment ---------------------------------------------------------------------------- */

static void info_sealed(struct gathering *g, const struct footer_facts *footer,
                        struct seglog_segment_info *line)
{
    line->state = SEGLOG_SEGMENT_SEALED;
    line->torn = (footer->flags & FOOTER_TORN) != 0;
    line->epoch = footer->epoch;
    line->first_seq = footer->base_seq;
    line->next_seq = footer->next_seq;
    line->records = footer->record_count;
    line->void_count = footer->void_count;
    line->bytes = footer->payload_bytes;
    line->min_time_ns = footer->min_time;
    line->max_time_ns = footer->max_time;
    g->link.next_seq = footer->next_seq;
    g->link.has_next = true;
    g->link.epoch = footer->epoch;
    g->link.is_torn = line->torn != 0;
    if (g->is_durable)
        g->out->durable_seq = footer->next_seq;
}

static void info_claim(struct gathering *g, const struct survey *s,
                       const struct seglog_segment_info *line)
{
    struct seglog_info *out = g->out;
    const struct word_facts *claim = &s->claim.facts;

    if (!s->has_claim || out->has_waiting_claim)
        return;
    out->has_waiting_claim = 1;
    out->waiting_slot = claim->slot;
    out->waiting_dead = s->claim.is_dead;
    out->waiting_segment = line->number;
    out->waiting_offset = s->claim.offset;
    out->waiting_seq = line->first_seq + s->claim.seq_rel;
    if (log_view_is_live(&g->view)) {
        const struct live_slot *slot = &g->view.live->slots[claim->slot];

        if (atomic_load_explicit(&slot->generation, memory_order_acquire) == claim->gen)
            out->waiting_pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    }
}

static void info_surveyed(struct gathering *g, const struct sight *sight, const struct survey *s,
                          struct seglog_segment_info *line)
{
    g->link.has_ended = s->end != SURVEY_ROLLED && s->end != SURVEY_STOP;
    g->link.was_cut = s->end == SURVEY_CUT;
    line->state = g->link.has_ended ? SEGLOG_SEGMENT_ACTIVE : SEGLOG_SEGMENT_FULL;
    line->next_seq = line->first_seq + s->scan.seq_rel;
    line->records = s->records;
    line->void_count = s->void_count;
    line->bytes = s->bytes;
    line->min_time_ns = s->min_time;
    line->max_time_ns = s->max_time;
    g->link.next_seq = line->next_seq;
    g->link.has_next = true;
    g->link.epoch = line->epoch;
    g->link.is_torn = false;
    if (g->is_durable && sight->mark_rc == 0 &&
        line->first_seq + sight->mark.seq_rel <= g->link.next_seq)
        g->out->durable_seq = line->first_seq + sight->mark.seq_rel;
    g->is_durable = false;
    info_claim(g, s, line);
}

static int info_unsealed(struct gathering *g, size_t i, const struct sight *sight,
                         struct seglog_segment_info *line)
{
    struct survey s;
    uint64_t base;
    int rc;

    line->first_seq = sight->act_rc == 0 ? sight->act.base_seq : g->link.next_seq;
    line->epoch = sight->act_rc == 0 ? sight->act.epoch : g->out->epoch;
    /* In this boot nothing published is ever dropped; a recovery after a reboot checks it all. */
    survey_begin(&s, &g->view, sight->seg, NULL,
                 segment_boot_relation(sight->seg, &g->view.boot) != BOOT_SAME);
    s.is_durable = i + 1 < g->chain.durable_end;
    rc = survey_run(&s);
    if (rc == 0 && s.end == SURVEY_OPEN && chain_goes_on_after(&g->chain, i))
        rc = survey_press(&s);
    if (rc == 0)
        info_surveyed(g, sight, &s, line);
    survey_end(&s);
    /* Damage at the end of a segment that is not the last: the next one knows its own numbers. */
    if (rc == 0 && s.end == SURVEY_LOST && chain_base_after(&g->chain, i, &base) &&
        base >= line->next_seq) {
        line->state = SEGLOG_SEGMENT_FULL;
        line->next_seq = g->link.next_seq = base;
        g->link.has_ended = false;
    }
    return rc;
}

static void info_unreadable(struct gathering *g, size_t i, struct seglog_segment_info *line)
{
    uint64_t base;

    line->state = SEGLOG_SEGMENT_DAMAGED;
    line->epoch = g->out->epoch;
    line->first_seq = line->next_seq = g->link.next_seq;
    if (chain_base_after(&g->chain, i, &base) && base > g->link.next_seq)
        line->next_seq = g->link.next_seq = base;
    g->is_durable = false;
}

static void info_spare(const struct gathering *g, struct seglog_segment_info *line)
{
    line->state = SEGLOG_SEGMENT_SPARE;
    line->epoch = g->out->epoch;
    line->first_seq = line->next_seq = g->link.next_seq;
}

/*
 * 1: there is a line; 0: none: the file lies beyond a power cut's end, for a recovery to set aside.
 */
static int info_line(struct gathering *g, size_t i, const struct sight *sight,
                     struct seglog_segment_info *line)
{
    struct chain_link *link = &g->link;
    int rc;

    if (link->was_cut)
        return 0;
    if (!link->has_ended) {
        link->was_cut = sight->open_rc < 0
                            ? chain_is_unwritten(&g->chain, i)
                            : sight->footer_rc != 0 && chain_is_leftover(&g->chain, i, sight, link);
        link->has_ended = link->was_cut;
        if (link->was_cut)
            return 0;
    }
    if (sight->open_rc < 0) {
        info_unreadable(g, i, line);
    } else if (link->has_ended) {
        info_spare(g, line); /* or it has come into use since: that is another picture */
    } else if (sight->footer_rc == 0) {
        info_sealed(g, &sight->footer, line);
        if (sight->seg->arc)
            line->state = SEGLOG_SEGMENT_ARCHIVED;
    } else {
        rc = info_unsealed(g, i, sight, line);
        if (rc < 0)
            return rc;
    }
    return 1;
}

/* File `number` is not there. If retention took it while we looked, and so all before it: begin anew
 * behind them. 1: so it was; 0: no. */
static int info_restart(struct gathering *g, uint64_t number)
{
    const int rc = chain_refloor(&g->chain);

    if (rc < 0 || number >= g->chain.floor.number)
        return rc;
    chain_link_begin(&g->chain, &g->link);
    g->is_durable = true;
    g->out->first_seq = g->out->durable_seq = g->link.next_seq;
    g->out->segment_count = 0;
    g->out->records = g->out->void_count = g->out->bytes = 0;
    g->out->has_waiting_claim = 0;
    return 1;
}

/* Between what was looked at and entry i nothing may be left out. */
static int info_close_gap(struct gathering *g, size_t i)
{
    int rc;

    do {
        const uint64_t floor = g->chain.floor.number;
        uint64_t expected = g->link.has_number ? g->link.number + 1 : 0;

        if (expected < floor)
            expected = floor;
        rc = chain_fill(&g->chain, i, expected);
        if (rc < 0 || g->chain.entries[i].number <= expected)
            return rc;
        rc = info_restart(g, expected);
    } while (rc == 1);
    return rc;
}

static int info_segment(struct gathering *g, size_t i, struct seglog_segment_info *line)
{
    const uint64_t number = g->chain.entries[i].number;
    struct chain_link *link = &g->link;
    struct sight sight;
    int rc;

    if (number < g->chain.floor.number)
        return 0;
    rc = sight_take(&g->view, number, &sight);
    if (rc < 0)
        return rc;
    if (sight.open_rc == -ENOENT) {
        rc = info_restart(g, number);
        return rc < 0 ? rc : 0;
    }
    if (link->has_number && number != link->number + 1)
        link->has_generation = false;
    *line = (struct seglog_segment_info){.number = number};
    rc = info_line(g, i, &sight, line);
    link->number = number;
    link->has_number = true;
    link->has_generation = sight.seg != NULL;
    link->generation = sight.seg ? sight.seg->facts.generation : 0;
    sight_drop(&sight);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void info_add(struct seglog_info *out, const struct seglog_segment_info *line)
{
    if (out->segment_count == 0)
        out->first_seq = line->first_seq;
    out->records += line->records;
    out->void_count += line->void_count;
    out->bytes += line->bytes;
    if (line->epoch > out->epoch)
        out->epoch = line->epoch;
    out->segments[out->segment_count++] = *line;
}

static int info_room(struct seglog_info *out, size_t count)
{
    struct seglog_segment_info *lines = realloc(out->segments, count * sizeof(*lines));

    if (!lines)
        return -ENOMEM;
    out->segments = lines;
    return 0;
}

static int info_segments(struct gathering *g)
{
    unsigned extensions = 0;

    g->is_durable = true;
    chain_link_begin(&g->chain, &g->link);
    g->out->first_seq = g->out->durable_seq = g->link.next_seq;
    for (size_t i = 0; i < g->chain.count; i++) {
        struct seglog_segment_info line;
        int rc = info_close_gap(g, i);

        if (rc >= 0)
            rc = info_room(g->out, i + 1);
        if (rc == 0)
            rc = info_segment(g, i, &line);
        if (rc < 0)
            return rc;
        if (rc == 1)
            info_add(g->out, &line);
        if (i + 1 == g->chain.count && !g->link.has_ended && extensions++ < EXTENSIONS) {
            rc = chain_extend(&g->chain);
            if (rc < 0)
                return rc;
        }
    }
    g->out->next_seq = g->link.next_seq;
    return 0;
}

/* What those who are attached use, or what somebody here would get. */
static uint32_t info_engine(const struct log_view *view)
{
    struct io_facts facts;
    uint32_t engine = 0;
    int choice;

    if (log_view_is_live(view) && log_view_attached(view))
        engine = atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&view->live->io_engine,
                                      memory_order_relaxed);
    if (engine == IO_URING || engine == IO_THREADS)
        return engine;
    io_probe(&facts);
    choice = io_choice_here(&facts);
    return choice > 0 ? (uint32_t)choice : 0;
}

#define ERRNO_MAX 4095u

/* An errno, whatever somebody wrote there. */
static int32_t prepare_error(const struct live_file *live)
{
    const uint32_t status = atomic_load_explicit(
        (_Atomic uint32_t *)(uintptr_t)&live->prepare_status, memory_order_relaxed);

    return status == 0 ? 0 : status <= ERRNO_MAX ? -(int32_t)status : -EIO;
}

/* What only the shared words of this boot know. */
static uint64_t info_live(const struct log_view *view, struct seglog_info *out)
{
    const struct live_file *live = view->live;

    if (!log_view_is_live(view))
        return 0;
    for (uint32_t i = 0; i < LIVE_SLOTS; i++) {
        const uint32_t state = atomic_load_explicit(
            (_Atomic uint32_t *)(uintptr_t)&live->slots[i].state, memory_order_acquire);

        if (state == SLOT_FREE || state == SLOT_SYNCER ||
            owner_probe(view->owners_fd, OWNERS_BYTE_SLOT0 + i) != 1)
            continue;
        out->appenders++;
        out->exclusive |= state == SLOT_EXCLUSIVE;
    }
    out->poisoned = (atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&live->attention,
                                          memory_order_relaxed) &
                     ATTENTION_POISON) != 0;
    out->prepare_error = prepare_error(live);
    return word_load(&live->durable_seq, memory_order_acquire);
}

static void info_settings(const struct log_view *view, struct seglog_info *out)
{
    const struct settings_facts *settings = &view->settings;
    struct segment_shape shape;

    segment_shape(settings->segment_size, &shape);
    memcpy(out->uuid, settings->uuid, sizeof(out->uuid));
    out->created_ns = settings->created_ns;
    out->segment_size = settings->segment_size;
    out->max_record = shape.span_max - FRAME_HEADER;
    out->sync = settings->sync;
    out->sync_interval_ns = settings->sync_interval_ns;
    out->mode = settings->mode;
    out->volatile_fs = view->fs.is_volatile;
}

static int count_aside(void *context, const char *name)
{
    uint64_t *count = context;
    unsigned long long epoch;
    char number[17];
    unsigned n;
    int end = 0;

    if (sscanf(name, "%16[0-9a-f].aside-%llu-%u%n", number, &epoch, &n, &end) == 3 &&
        name[end] == 0 && strlen(number) == 16)
        (*count)++;
    return 0;
}

int seglog_info_read(const char *dir, struct seglog_info *out)
{
    struct seglog_info info = {0};
    struct gathering g = {.out = &info};
    uint64_t durable;
    int rc = log_view_open(dir, true, &g.view);

    if (rc < 0)
        return rc;
    info_settings(&g.view, &info);
    info.io_engine = info_engine(&g.view);
    durable = info_live(&g.view, &info);
    rc = dir_each(g.view.dirfd, count_aside, &info.files_aside);
    if (rc == 0)
        rc = chain_read(&g.chain, &g.view);
    if (rc == 0) {
        rc = info_segments(&g);
        chain_free(&g.chain);
    }
    log_view_close(&g.view);
    if (rc < 0) {
        seglog_info_free(&info);
        return rc;
    }
    if (durable > info.durable_seq)
        info.durable_seq = durable < info.next_seq ? durable : info.next_seq;
    *out = info;
    return 0;
}

void seglog_info_free(struct seglog_info *info)
{
    free(info->segments);
    info->segments = NULL;
    info->segment_count = 0;
}
