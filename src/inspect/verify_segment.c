/*
 * Checking one segment: its blocks, its frames, its seal, and its place in the log.
 *
 * A sealed segment is checked by computing its seal again: one pass gives every checksum, the counts,
 * the index and the content hash. An unsealed one has only its frames; there the survey tells the
 * sound end of a log from damage. One bad place is one report: what follows from it (a hash that
 * differs, numbers that jump) is not told again.
 */
#include "inspect/verify.h"

#include <stdlib.h>

#include "segment/archive.h"

/* One pass over frames, sealed or not. */
struct pass {
    struct verify *v;
    struct survey survey;
    const struct sight *sight;
    struct seal_builder *builder; /* NULL: nothing to compare with */
    uint64_t number;
    uint64_t base_seq;
    uint64_t tail_end; /* where the numbers of damage without an end end; 0: not known */
    uint64_t lost_end; /* after such damage: as it was told */
};

/* ---- its place in the log ------------------------------------------------------------------- */

static int check_numbers(struct verify *v, uint64_t number, uint64_t base,
                         const struct chain_link *link)
{
    if (!link->has_next || base == link->next_seq)
        return 0;
    if (base > link->next_seq)
        return verify_tell_range(v, number, OFF_ACTIVATION, link->next_seq, base, SEGLOG_ECORRUPT,
                                 "numbers are missing between two segments");
    return verify_tell_block(v, number, OFF_ACTIVATION, SEGLOG_ECORRUPT,
                             "numbers were used by the segment before");
}

static int check_activation(struct verify *v, uint64_t number, const struct sight *sight,
                            const struct chain_link *link)
{
    const char *why = NULL;
    int status = SEGLOG_ECORRUPT;

    if (sight->act_rc == -EAGAIN && sight->footer_rc == 0) {
        why = "activation block is missing";
    } else if (sight->act_rc == SEGLOG_ECORRUPT) {
        why = "activation block: checksum";
    } else if (sight->act_rc < 0 && sight->act_rc != -EAGAIN) {
        status = sight->act_rc;
        why = "the medium does not give these bytes";
    } else if (sight->act_rc == 0 && link->has_generation &&
               sight->act.pred_generation != link->generation) {
        why = "does not belong behind the segment before it";
    } else if (sight->act_rc == 0 && sight->footer_rc == 0 &&
               (sight->act.base_seq != sight->footer.base_seq ||
                sight->act.epoch != sight->footer.epoch)) {
        why = "activation block and footer differ";
    }
    return why ? verify_tell_block(v, number, OFF_ACTIVATION, status, why) : 0;
}

static int check_place(struct verify *v, uint64_t number, const struct sight *sight, uint64_t base,
                       uint64_t epoch, const struct chain_link *link)
{
    int rc = check_activation(v, number, sight, link);

    if (rc == 0)
        rc = check_numbers(v, number, base, link);
    if (rc == 0 && epoch < link->epoch)
        rc = verify_tell_block(v, number, OFF_ACTIVATION, SEGLOG_ECORRUPT,
                               "epoch is lower than that of the segment before");
    return rc;
}

/* ---- passes --------------------------------------------------------------------------------- */

static int pass_frame(void *context, const struct scan_frame *frame)
{
    struct pass *p = context;

    verify_progress(p->v, frame->offset - OFF_FRAMES);
    if (p->builder)
        seal_add(p->builder, frame->offset, frame->word, &frame->facts, frame->header);
    return 0;
}

static int pass_damage(void *context, const struct survey_damage *damage)
{
    struct pass *p = context;
    const uint64_t first = p->base_seq + damage->seq_rel;
    uint64_t end = first + damage->lost;

    if (damage->is_to_the_end) {
        end = p->tail_end > first ? p->tail_end : first;
        p->lost_end = end;
    }
    if (p->builder)
        p->builder->facts.next_seq += damage->lost;
    return verify_tell_range(p->v, p->number, damage->offset, first, end, damage->status,
                             damage->why);
}

static void pass_begin(struct pass *p, struct verify *v, uint64_t number, const struct sight *sight,
                       uint64_t base_seq)
{
    const struct survey_hooks hooks = {.frame = pass_frame, .damage = pass_damage, .context = p};

    *p = (struct pass){.v = v, .sight = sight, .number = number, .base_seq = base_seq};
    survey_begin(&p->survey, &v->view, sight->seg, &hooks, true);
}

static void pass_tally(const struct pass *p, struct verify_tally *tally)
{
    tally->records = p->survey.records;
    tally->void_count = p->survey.void_count;
    tally->bytes = p->survey.bytes;
    tally->was_torn = p->survey.records > 0;
}

/* ---- sealed --------------------------------------------------------------------------------- */

static const char *seal_difference(const struct footer_facts *stored,
                                   const struct footer_facts *found, const struct chain_link *link)
{
    if (memcmp(stored->content_hash, found->content_hash, 16) != 0)
        return "frames are not those that were sealed (content hash)";
    if (stored->next_seq != found->next_seq || stored->frame_count != found->frame_count ||
        stored->record_count != found->record_count || stored->void_count != found->void_count ||
        stored->payload_bytes != found->payload_bytes)
        return "footer: counts are not those of the frames";
    if (stored->min_time != found->min_time || stored->max_time != found->max_time ||
        stored->first_time != found->first_time || stored->last_time != found->last_time)
        return "footer: times are not those of the frames";
    if (stored->log_max_time < found->max_time ||
        (link->has_seal && stored->log_max_time < link->log_max_time))
        return "footer: largest time so far";
    if (memcmp(stored->tag_filter, found->tag_filter, TAG_FILTER_BYTES) != 0)
        return "footer: tag filter is not that of the frames";
    return NULL;
}

/* The frames as they are against the footer that was written about them. */
static int sealed_compare(struct pass *p, const struct chain_link *link)
{
    const struct footer_facts *footer = &p->sight->footer;
    const struct segment_facts *seg = &p->sight->seg->facts;
    const uint64_t next = p->base_seq + p->survey.scan.seq_rel;
    const char *why = NULL;

    if (p->survey.end == SURVEY_ROLLED && footer->frames_end != seg->space.frames_end)
        why = "footer: end of the frames";
    if (footer->flags & FOOTER_DAMAGED) {
        /* The frames were cut off where damage began. */
        if (p->survey.damages == 0)
            return verify_tell_range(p->v, p->number, footer->frames_end, next, footer->next_seq,
                                     SEGLOG_ECORRUPT, "sealed around damage");
        return 0;
    }
    if (!why && p->survey.damages == 0) {
        seal_finish(p->builder, footer->frames_end, footer->flags);
        why = seal_difference(footer, &p->builder->facts, link);
    }
    return why ? verify_tell_block(p->v, p->number, seg->shape.footer_off, SEGLOG_ECORRUPT, why)
               : 0;
}

static int sealed_index(struct pass *p, struct index_entry *stored)
{
    const struct footer_facts *footer = &p->sight->footer;
    const int rc = segment_index(p->sight->seg, footer, stored);
    const char *why = NULL;

    if (rc < 0)
        why = rc == SEGLOG_ECORRUPT ? "index: checksum" : "the medium does not give these bytes";
    else if (p->survey.damages == 0 && (footer->flags & FOOTER_DAMAGED) == 0 &&
             (p->builder->facts.index_count != footer->index_count ||
              p->builder->facts.index_crc != footer->index_crc))
        why = "index is not that of the frames";
    if (!why)
        return 0;
    return verify_tell_block(p->v, p->number, footer->index_off, rc < 0 ? rc : SEGLOG_ECORRUPT,
                             why);
}

/* What is in an archive beside the frames, or twice. */
static int sealed_archive(struct verify *v, uint64_t number, const struct sight *sight)
{
    const char *why = "the medium does not give these bytes";
    uint64_t offset;
    int rc;

    if (!sight->seg->arc)
        return 0;
    rc = archive_check(sight->seg, &offset, &why);
    if (rc == 0 || rc == -ENOMEM)
        return rc;
    return verify_tell_block(v, number, offset, rc, why);
}

static int sealed_frames(struct verify *v, uint64_t number, const struct sight *sight,
                         struct seal_builder *builder, struct index_entry *index,
                         const struct chain_link *link, struct verify_tally *tally)
{
    const struct footer_facts *footer = &sight->footer;
    const struct activation_facts act = {.base_seq = footer->base_seq, .epoch = footer->epoch};
    struct pass p;
    int rc;

    rc = sealed_archive(v, number, sight);
    if (rc < 0)
        return rc;
    pass_begin(&p, v, number, sight, footer->base_seq);
    seal_begin(builder, &sight->seg->facts, &act, NULL, index);
    p.builder = builder;
    p.tail_end = footer->next_seq;
    p.survey.is_durable = p.survey.is_frozen = true;
    p.survey.scan.end = p.survey.must_reach = footer->frames_end;
    rc = survey_run(&p.survey);
    pass_tally(&p, tally);
    if (rc == 0)
        rc = sealed_compare(&p, link);
    if (rc == 0)
        rc = sealed_index(&p, index + sight->seg->facts.shape.index_max);
    survey_end(&p.survey);
    return rc;
}

static int sealed_content(struct verify *v, uint64_t number, const struct sight *sight,
                          const struct chain_link *link, struct verify_tally *tally)
{
    struct seal_builder *builder = aligned_alloc(64, align_up(sizeof(*builder), 64));
    struct index_entry *index =
        calloc(2 * sight->seg->facts.shape.index_max, sizeof(*index)); /* ours and theirs */
    int rc = -ENOMEM;

    if (builder && index)
        rc = sealed_frames(v, number, sight, builder, index, link, tally);
    free(index);
    free(builder);
    return rc;
}

static int check_sealed(struct verify *v, size_t i, const struct sight *sight,
                        struct chain_link *link, struct verify_tally *tally)
{
    const struct footer_facts *footer = &sight->footer;
    const uint64_t number = v->chain.entries[i].number;
    const uint64_t footer_off = sight->seg->facts.shape.footer_off;
    int rc = check_place(v, number, sight, footer->base_seq, footer->epoch, link);

    if (rc == 0 && link->has_seal && memcmp(footer->prev_seal, link->seal, 16) != 0)
        rc = verify_tell_block(v, number, footer_off, SEGLOG_ECORRUPT,
                               "seal does not follow from the seal before");
    tally->records = footer->record_count;
    tally->void_count = footer->void_count;
    tally->bytes = footer->payload_bytes;
    tally->was_torn = footer->record_count > 0;
    if (rc == 0 && !v->is_fast)
        rc = sealed_content(v, number, sight, link, tally);
    if (footer->flags & FOOTER_TORN) {
        tally->has_torn = true;
        tally->torn_offset = footer->frames_end;
    }
    *link = (struct chain_link){
        .next_seq = footer->next_seq,
        .generation = sight->seg->facts.generation,
        .epoch = footer->epoch,
        .log_max_time = footer->log_max_time,
        .has_next = true,
        .has_generation = true,
        .has_seal = true,
        .is_torn = (footer->flags & FOOTER_TORN) != 0,
    };
    memcpy(link->seal, footer->seal_hash, 16);
    return rc;
}

/* ---- unsealed ------------------------------------------------------------------------------- */

/*
 * There is no good footer. Is one missing? Seals come in order, so a sealed successor proves it; so
 * does a footer that is not zeros behind frames that were all durable. Else the seal was cut short,
 * or there was none yet. *end: where the frames ended when it was sealed, if that is known.
 */
static const char *footer_loss(const struct verify *v, size_t i, const struct sight *sight,
                               uint64_t base_seq, uint64_t *end)
{
    const uint64_t frames_end = sight->seg->facts.space.frames_end;
    const bool has_mark = sight->mark_rc == 0;
    uint64_t next;

    *end = frames_end;
    if (has_mark && i + 1 < v->chain.count && v->chain.entries[i + 1].is_based) {
        next = v->chain.entries[i + 1].base_seq;
        if (next == base_seq + sight->mark.seq_rel)
            *end = sight->mark.offset; /* as the seal's mark has it: a recovery's cut */
    }
    if (sight->footer_rc == -EAGAIN)
        return i + 1 < v->chain.sealed_end ? "footer is missing" : NULL;
    if (sight->footer_rc != SEGLOG_ECORRUPT)
        return "the medium does not give the footer";
    if (i + 1 < v->chain.sealed_end || (has_mark && sight->mark.offset >= *end))
        return sight->why;
    return NULL;
}

/* What else says how many numbers there were, when the end is damaged. */
static uint64_t numbers_hinted(const struct verify *v, size_t i, const struct pass *p)
{
    const struct segment *seg = p->sight->seg;
    uint64_t end = 0, base;
    le64 bytes;

    if (chain_base_after(&v->chain, i, &base))
        return base;
    if (p->sight->mark_rc == 0)
        end = p->sight->mark.seq_rel;
    if (segment_boot_relation(seg, &v->view.boot) == BOOT_SAME &&
        file_pread(seg->fd, &bytes, sizeof(bytes), OFF_TAIL) == 0) {
        const uint64_t tail = le64_get(&bytes);

        if (tail_offset(tail) >= OFF_FRAMES && tail_offset(tail) < seg->facts.space.frames_end &&
            tail_seq_rel(tail) <= (tail_offset(tail) - OFF_FRAMES) / FRAME_ALIGN &&
            tail_seq_rel(tail) > end)
            end = tail_seq_rel(tail);
    }
    return p->base_seq + end;
}

static int unsealed_run(struct pass *p, size_t i)
{
    struct verify *v = p->v;
    int rc = survey_run(&p->survey);

    if (rc == 0 && p->survey.end == SURVEY_OPEN && i + 1 < v->chain.count) {
        rc = chain_look(&v->chain, i + 1);
        if (rc == 0 && chain_goes_on_after(&v->chain, i)) {
            p->tail_end = numbers_hinted(v, i, p);
            rc = survey_press(&p->survey);
        }
    }
    return rc;
}

static void unsealed_link(const struct pass *p, size_t i, struct chain_link *link,
                          struct verify_tally *tally)
{
    const struct survey *s = &p->survey;

    link->next_seq = p->base_seq + s->scan.seq_rel;
    link->has_ended = s->end == SURVEY_OPEN || s->end == SURVEY_CUT;
    link->was_cut = s->end == SURVEY_CUT;
    if (s->end == SURVEY_LOST) {
        link->next_seq = p->lost_end;
        link->has_ended = !chain_goes_on_after(&p->v->chain, i);
    }
    if (s->end == SURVEY_CUT || (s->end == SURVEY_OPEN && s->ends_in_claim)) {
        tally->has_torn = true;
        tally->torn_offset = s->end == SURVEY_CUT ? s->scan.at : s->last_claim;
    }
}

static int unsealed_frames(struct verify *v, size_t i, const struct sight *sight, uint64_t base_seq,
                           uint64_t end, bool is_sealed, struct chain_link *link,
                           struct verify_tally *tally)
{
    struct pass p;
    int rc;

    pass_begin(&p, v, v->chain.entries[i].number, sight, base_seq);
    p.tail_end = numbers_hinted(v, i, &p);
    p.survey.scan.end = end;
    p.survey.is_durable = is_sealed || i + 1 < v->chain.durable_end;
    p.survey.looks_beyond = segment_boot_relation(sight->seg, &v->view.boot) == BOOT_SAME;
    rc = unsealed_run(&p, i);
    pass_tally(&p, tally);
    if (rc == 0)
        unsealed_link(&p, i, link, tally);
    survey_end(&p.survey);
    return rc;
}

static int check_unsealed(struct verify *v, size_t i, const struct sight *sight,
                          struct chain_link *link, struct verify_tally *tally)
{
    const uint64_t number = v->chain.entries[i].number;
    const uint64_t base = sight->act_rc == 0 ? sight->act.base_seq : link->next_seq;
    const uint64_t epoch = sight->act_rc == 0 ? sight->act.epoch : link->epoch;
    struct chain_link next = {
        .generation = sight->seg->facts.generation, .epoch = epoch, .has_generation = true};
    uint64_t end;
    const char *loss = footer_loss(v, i, sight, base, &end);
    int rc = check_place(v, number, sight, base, epoch, link);

    if (rc == 0 && loss)
        rc = verify_tell_block(v, number, sight->seg->facts.shape.footer_off,
                               sight->footer_rc == -EAGAIN ? SEGLOG_ECORRUPT : sight->footer_rc,
                               loss);
    if (rc == 0 && v->is_fast) {
        next.has_ended = !chain_goes_on_after(&v->chain, i);
    } else if (rc == 0) {
        next.has_next = sight->act_rc == 0 || link->has_next;
        rc = unsealed_frames(v, i, sight, base, loss ? end : sight->seg->facts.space.frames_end,
                             loss != NULL, &next, tally);
    }
    *link = next;
    return rc;
}

/* ---- unreadable ----------------------------------------------------------------------------- */

int verify_unreadable(struct verify *v, size_t i, const struct sight *sight,
                      struct chain_link *link, struct verify_tally *tally)
{
    const uint64_t number = v->chain.entries[i].number;
    const char *cause = sight->why;
    uint64_t base = link->next_seq;
    int rc;

    if (!link->has_ended && chain_is_unwritten(&v->chain, i)) {
        link->has_ended = link->was_cut = true;
        tally->has_torn = true;
        tally->torn_offset = 0;
        return 0;
    }
    if (sight->open_rc == -ENOENT) {
        if (chain_has_shrunk(&v->chain, number)) { /* a recovery set the rest aside */
            link->has_ended = true;
            return 0;
        }
        cause = "segment file is missing";
    }
    /* A spare that a power cut left half made: the next recovery throws it away. */
    if (link->has_ended && !log_view_is_live(&v->view))
        return 0;
    if (!link->has_ended && !chain_base_after(&v->chain, i, &base) &&
        !chain_guess_next(&v->chain, i, &base))
        base = link->next_seq;
    rc = verify_tell_range(v, number, 0, link->next_seq, link->has_next ? base : 0,
                           sight->open_rc == -ENOENT ? SEGLOG_EMISSING : sight->open_rc, cause);
    if (link->has_ended)
        return rc;
    *link = (struct chain_link){.next_seq = base,
                                .epoch = link->epoch,
                                .has_next = base > link->next_seq,
                                .has_ended = i + 1 == v->chain.count};
    return rc;
}

int verify_segment(struct verify *v, size_t i, struct chain_link *link, struct verify_tally *tally)
{
    struct sight sight;
    int rc = sight_take(&v->view, v->chain.entries[i].number, &sight);

    if (rc < 0)
        return rc;
    if (sight.open_rc < 0) {
        rc = link->was_cut ? 0 : verify_unreadable(v, i, &sight, link, tally);
    } else if (link->has_ended) {
        /* A spare, or what a recovery will set aside. Or it was one when we found the log's end
         * before it, and has come into use since: not for this look. */
    } else if (sight.footer_rc == 0) {
        rc = check_sealed(v, i, &sight, link, tally);
    } else if (chain_is_leftover(&v->chain, i, &sight, link)) {
        link->has_ended = link->was_cut = true;
        tally->has_torn = true;
    } else {
        rc = check_unsealed(v, i, &sight, link, tally);
    }
    sight_drop(&sight);
    return rc;
}
