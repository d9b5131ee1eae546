/*
 * Checking a whole log: every segment, and that each goes on where the one before ends.
 *
 * The hard part is never to cry wolf at a log in use. A segment that looks damaged is looked at twice
 * more from the beginning, with its file opened anew, before anybody is told: by then whatever was in
 * motion (a frame being published, a seal, a removal, a recovery) is somewhere else. Memory does not
 * grow with damage: nothing is collected, each is told as it is met.
 */
#include "inspect/verify.h"

#include <stdio.h>

#include "sys/clock.h"

#define TRIALS         2
#define TRIAL_NS       UINT64_C(3000000)
#define PROGRESS_BYTES (UINT64_C(4) << 20)

/* ---- telling -------------------------------------------------------------------------------- */

int verify_tell(struct verify *v, const struct seglog_damage *damage)
{
    if (v->is_trial)
        return VERIFY_AGAIN;
    v->damage_count++;
    if (v->options->on_damage && v->options->on_damage(v->options->context, damage) != 0)
        return -ECANCELED;
    return 0;
}

int verify_tell_range(struct verify *v, uint64_t segment, uint64_t offset, uint64_t first,
                      uint64_t end, int status, const char *cause)
{
    struct seglog_damage damage = {
        .segment = segment, .offset = offset, .first_seq = first, .status = status};

    if (end > first) {
        damage.last_seq = end - 1;
    } else { /* none: said by first > last, which takes some care at 0 */
        damage.first_seq = first > 0 ? first : 1;
        damage.last_seq = damage.first_seq - 1;
    }
    snprintf(damage.cause, sizeof(damage.cause), "%s", cause ? cause : seglog_strerror(status));
    return verify_tell(v, &damage);
}

int verify_tell_block(struct verify *v, uint64_t segment, uint64_t offset, int status,
                      const char *cause)
{
    return verify_tell_range(v, segment, offset, 1, 0, status, cause);
}

void verify_progress(struct verify *v, uint64_t bytes)
{
    const uint64_t done = v->done + bytes < v->total ? v->done + bytes : v->total;

    if (!v->options->on_progress || done < v->told + PROGRESS_BYTES)
        return;
    v->told = done;
    v->options->on_progress(v->options->context, done, v->total);
}

/* ---- missing files -------------------------------------------------------------------------- */

/* Numbers [number, before) have no file, but `before` has. */
static int verify_gap(struct verify *v, size_t i, uint64_t number, struct chain_link *link,
                      struct verify_tally *tally)
{
    const uint64_t before = v->chain.entries[i].number;
    uint64_t base = 0;
    char cause[60] = "segment file is missing";
    int rc;

    if (link->has_ended) /* spares: nothing was in them */
        return 0;
    if (i >= v->chain.durable_end && link->has_number && (!link->has_seal || link->is_torn) &&
        !log_view_is_live(&v->view)) {
        /* Names that a power cut took: a seal would have made the next one durable. */
        link->has_ended = link->was_cut = true;
        tally->has_torn = true;
        tally->torn_offset = 0;
        return 0;
    }
    if (v->chain.entries[i].is_based)
        base = v->chain.entries[i].base_seq;
    else if (!chain_base_after(&v->chain, i, &base))
        base = 0;
    if (before - number > 1)
        snprintf(cause, sizeof(cause), "%llu segment files are missing",
                 (unsigned long long)(before - number));
    rc = verify_tell_range(v, number, 0, link->next_seq, link->has_next ? base : 0, SEGLOG_EMISSING,
                           cause);
    if (base > link->next_seq || !link->has_next)
        link->next_seq = base;
    link->has_next = base != 0;
    link->has_generation = link->has_seal = link->is_torn = false;
    return rc;
}

/* ---- one segment, until it is certain ------------------------------------------------------- */

static uint64_t verify_expects(const struct verify *v, const struct chain_link *link)
{
    const uint64_t next = link->has_number ? link->number + 1 : 0;

    return next > v->chain.floor.number ? next : v->chain.floor.number;
}

static int verify_look(struct verify *v, size_t i, struct chain_link *link,
                       struct verify_tally *tally)
{
    const uint64_t number = v->chain.entries[i].number;
    uint64_t expected;
    int rc = 0;

    /* Retention came by, and took what the link speaks of. */
    if (v->chain.floor.number > (link->has_number ? link->number + 1 : 0))
        chain_link_begin(&v->chain, link);
    if (number < v->chain.floor.number)
        return 0;
    expected = verify_expects(v, link);
    if (number > expected && (link->has_number || !v->chain.floor_is_bad))
        rc = verify_gap(v, i, expected, link, tally);
    if (rc == 0)
        rc = verify_segment(v, i, link, tally);
    link->number = number;
    link->has_number = true;
    return rc;
}

static int verify_again(struct verify *v, size_t i)
{
    int rc = chain_refloor(&v->chain);

    clock_sleep_ns(TRIAL_NS);
    for (size_t k = i; rc == 0 && k < v->chain.count && k <= i + 1; k++)
        rc = chain_look(&v->chain, k);
    return rc;
}

static void verify_add(struct verify *v, uint64_t number, const struct verify_tally *tally)
{
    struct seglog_verify_report *report = v->report;

    report->segments++;
    report->records += tally->records;
    report->void_count += tally->void_count;
    report->bytes += tally->bytes;
    if (tally->was_torn || tally->has_torn)
        report->torn_tail = tally->has_torn;
    if (tally->has_torn) {
        report->torn_segment = number;
        report->torn_offset = tally->torn_offset;
    }
}

static int verify_entry(struct verify *v, size_t i, struct chain_link *link)
{
    struct chain_link next;
    struct verify_tally tally;
    int rc;

    for (int trial = 0;; trial++) {
        next = *link;
        tally = (struct verify_tally){0};
        v->is_trial = trial < TRIALS;
        rc = verify_look(v, i, &next, &tally);
        if (rc != VERIFY_AGAIN)
            break;
        rc = verify_again(v, i);
        if (rc < 0)
            break;
    }
    if (rc < 0)
        return rc;
    verify_add(v, v->chain.entries[i].number, &tally);
    v->done += v->chain.entries[i].bytes;
    verify_progress(v, 0);
    *link = next;
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Is the segment missing that the records go on in? The last one says that they do. */
static int verify_end(struct verify *v, const struct chain_link *link)
{
    const uint64_t number = verify_expects(v, link);
    const bool is_live = log_view_is_live(&v->view);
    uint64_t durable = 0;
    int rc;

    if (link->has_ended || link->is_torn || v->is_fast)
        return 0;
    if (!link->has_number && v->chain.floor.number == 0 && !is_live)
        return 0; /* nothing was ever appended */
    rc = chain_extend(&v->chain);
    if (rc < 0 || (v->chain.count > 0 && v->chain.entries[v->chain.count - 1].number >= number))
        return rc;
    rc = chain_refloor(&v->chain);
    if (rc < 0 || v->chain.floor.number > number)
        return rc;
    if (!is_live && link->has_number) { /* a name that a power cut took */
        v->report->torn_tail = 1;
        v->report->torn_segment = number;
        v->report->torn_offset = 0;
        return 0;
    }
    if (is_live && link->has_next)
        durable = word_load(&v->view.live->durable_seq, memory_order_acquire);
    v->is_trial = false;
    return verify_tell_range(v, number, 0, link->next_seq, durable, SEGLOG_EMISSING,
                             "the segment that records go on in is missing");
}

static int verify_log(struct verify *v)
{
    struct chain_link link;
    int rc = 0;

    for (size_t i = 0; i < v->chain.count; i++)
        v->total += v->chain.entries[i].bytes;
    chain_link_begin(&v->chain, &link);
    if (v->chain.floor_is_bad)
        rc = verify_tell_block(v, 0, 0, SEGLOG_ECORRUPT, "floor: both slots are bad");
    /* To where the log went when we began: not for ever after one that grows. */
    for (size_t i = 0, end = v->chain.count; i < end && rc == 0; i++) {
        rc = chain_fill(&v->chain, i, verify_expects(v, &link));
        if (rc < 0)
            break;
        end += (size_t)rc;
        rc = verify_entry(v, i, &link);
    }
    if (rc == 0)
        rc = verify_end(v, &link);
    if (rc == 0 && v->options->on_progress)
        v->options->on_progress(v->options->context, v->total, v->total);
    return rc;
}

int seglog_verify(const char *dir, const struct seglog_verify_options *options,
                  struct seglog_verify_report *report)
{
    static const struct seglog_verify_options plain;
    struct seglog_verify_report found = {0};
    struct verify v = {.options = options ? options : &plain, .report = &found};
    int rc;

    if (v.options->flags & ~SEGLOG_VERIFY_FAST)
        return -EINVAL;
    v.is_fast = (v.options->flags & SEGLOG_VERIFY_FAST) != 0;
    rc = log_view_open(dir, true, &v.view);
    if (rc < 0)
        return rc;
    rc = chain_read(&v.chain, &v.view);
    if (rc == 0) {
        rc = verify_log(&v);
        chain_free(&v.chain);
    }
    log_view_close(&v.view);
    found.damage_count = v.damage_count;
    if (report)
        *report = found;
    if (rc < 0)
        return rc;
    return found.damage_count > 0;
}
