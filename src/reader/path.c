/*
 * Which segment comes next, or before.
 *
 * The hard part is a name that is not there: trimmed on purpose (the floor says so), not made yet,
 * missing, or deleted between a look and the next. A later segment counts as part of the log only
 * if it was durable or if this boot wrote it; otherwise it may lie behind a cut that no recovery has
 * made yet, and the log ends here.
 */
#include "reader/handle.h"

#include <errno.h>

int path_peek(struct seglog_reader *r, uint64_t number, struct activation_facts *act,
              struct footer_facts *footer, bool *sealed)
{
    struct segment *seg;
    int rc = segment_open(r->view.dirfd, number, r->view.settings.uuid, SEGMENT_PREAD, &seg, NULL);

    if (rc < 0)
        return rc;
    rc = segment_activation(seg, act);
    if (footer) {
        const int footer_rc = segment_footer(seg, footer, NULL);

        *sealed = footer_rc == 0;
        if (footer_rc < 0 && footer_rc != -EAGAIN && footer_rc != SEGLOG_ECORRUPT)
            rc = footer_rc;
        else if (*sealed && rc == SEGLOG_ECORRUPT) { /* the footer says the same */
            act->base_seq = footer->base_seq;
            act->epoch = footer->epoch;
            rc = 0;
        }
    }
    segment_close(seg);
    return rc;
}

int path_first(struct seglog_reader *r, struct place *out)
{
    struct floor_facts floor;
    const int rc = log_view_floor(&r->view, &floor);

    if (rc < 0)
        return rc;
    *out = (struct place){.number = floor.number, .seq = floor.first_seq};
    return 0;
}

/* The file cannot be used, but others may be. */
static bool is_hole(int rc)
{
    return rc == -ENOENT || rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG;
}

/* Activation, or the footer that repeats it. */
static int held_activation(const struct held *held, struct activation_facts *act)
{
    int rc = segment_activation(held->seg, act);

    if ((rc == SEGLOG_ECORRUPT || rc == -EAGAIN) && held->sealed) {
        *act = (struct activation_facts){.base_seq = held->footer.base_seq,
                                         .epoch = held->footer.epoch};
        rc = 0;
    }
    return rc;
}

/* Is it proved that no recovery will set this segment aside? */
static bool is_part_of_log(struct seglog_reader *r, const struct held *held)
{
    struct mark_facts mark;

    return held->sealed || segment_mark(held->seg, &mark) == 0 ||
           segment_boot_relation(held->seg, &r->view.boot) == BOOT_SAME;
}

/* ---- forward -------------------------------------------------------------------------------- */

static int path_enter(struct seglog_reader *r, struct held *held, uint64_t base_seq, uint64_t epoch)
{
    const int rc = held_settle(r, held, base_seq, epoch);

    if (rc < 0)
        return rc;
    place_at_start(&r->place, held);
    probe_reset(r); /* whoever comes this way again need not wait */
    return 0;
}

int path_to(struct seglog_reader *r, uint64_t number)
{
    struct activation_facts act;
    struct held *held;
    int rc = held_open(r, number, &held, NULL);

    if (rc == 0)
        rc = held_activation(held, &act);
    if (rc == 0)
        rc = path_enter(r, held, act.base_seq, act.epoch);
    if (rc == 0 && !held->sealed) /* held since before it was sealed */
        (void)held_look_sealed(r, held, OFF_FRAMES);
    return rc;
}

/* The next usable segment in the list behind to->number, or NULL. What this process merely cannot look
 * at now is a failure, and no reason to call more lost than is. */
static int next_usable(struct seglog_reader *r, const struct onward *to,
                       const struct segment_list *list, struct held **out,
                       struct activation_facts *act)
{
    *out = NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct held *held;
        int rc;

        if (list->numbers[i] <= to->number)
            continue;
        rc = held_open(r, list->numbers[i], &held, NULL);
        if (rc == 0)
            rc = held_activation(held, act);
        if (rc < 0 && rc != -EAGAIN && !is_hole(rc))
            return rc;
        if (rc < 0 || act->base_seq < to->seq || act->base_seq > UINT64_MAX - held->seg->facts.size)
            continue;
        if (is_part_of_log(r, held))
            *out = held;
        return 0;
    }
    return 0;
}

/* In an attached log the next segment is there before ROLL is: say once that it is not. */
static int hole_at_end(struct seglog_reader *r, const struct onward *to, int status,
                       const char *cause)
{
    const uint64_t at = r->place.held ? r->place.at : r->place.number;

    if (!r->place.held || !log_view_is_live(&r->view) || !log_view_attached(&r->view))
        return reader_blocked(r, BLOCK_OTHER);
    if (r->reported_held == r->place.held && r->reported_at == at)
        return reader_blocked(r, BLOCK_OTHER);
    r->reported_held = r->place.held;
    r->reported_at = at;
    r->reported_to = to->seq;
    return reader_report(r, status, to->number, 0, to->seq, to->seq - 1, cause);
}

static int path_skip(struct seglog_reader *r, const struct onward *to, int rc, const char *why)
{
    const int status = rc == -ENOENT ? SEGLOG_EMISSING : SEGLOG_ECORRUPT;
    const char *cause = rc == -ENOENT ? "segment file is missing" : why;
    struct segment_list list;
    struct activation_facts act;
    struct held *held;

    rc = segment_list_read(r->view.dirfd, &list);
    if (rc < 0)
        return reader_failed(r, rc, to->number, 0);
    rc = next_usable(r, to, &list, &held, &act);
    segment_list_free(&list);
    if (rc < 0)
        return reader_failed(r, rc, to->number, 0);
    if (!held)
        return hole_at_end(r, to, status, cause);
    rc = path_enter(r, held, act.base_seq, act.epoch);
    if (rc < 0)
        return reader_failed(r, rc, to->number, 0);
    if (act.base_seq == to->seq && status == SEGLOG_EMISSING)
        return 0; /* nothing is missing but a name */
    return reader_report(r, status, to->number, 0, to->seq, act.base_seq - 1, cause);
}

/* Not what continues the log: left from beyond a cut, for a recovery to set aside. */
static bool is_leftover(struct seglog_reader *r, const struct onward *to, const struct held *held,
                        const struct activation_facts *act)
{
    const bool fits = act->base_seq == to->seq &&
                      (to->generation == 0 || act->pred_generation == to->generation) &&
                      act->epoch >= to->epoch + (to->must_be_active && to->generation != 0);

    return !fits && !is_part_of_log(r, held);
}

/* The segment is there: does it continue what we have read? */
static int path_join(struct seglog_reader *r, const struct onward *to, struct held *held)
{
    struct activation_facts act;
    int rc = held_activation(held, &act);

    if (rc < 0 && rc != -EAGAIN && rc != SEGLOG_ECORRUPT)
        return reader_failed(r, rc, to->number, OFF_ACTIVATION);
    if (rc == -EAGAIN && to->must_be_active && r->place.held)
        return reader_blocked(r, BLOCK_OTHER);
    if (rc < 0) /* not written yet, or lost: what comes before it (or the floor) has told us */
        act = (struct activation_facts){
            .base_seq = to->seq, .epoch = to->epoch, .pred_generation = to->generation};
    if (is_leftover(r, to, held, &act))
        return reader_blocked(r, BLOCK_OTHER);
    if (act.base_seq < to->seq) {
        if (act.epoch > to->epoch && r->place.held) {
            probe_reset(r);
            return SEGLOG_EREWOUND;
        }
        return path_skip(r, to, SEGLOG_ECORRUPT, "its numbers overlap those of the one before");
    }
    rc = path_enter(r, held, act.base_seq, act.epoch);
    if (rc == SEGLOG_ECORRUPT)
        return path_skip(r, to, rc, "numbers out of range");
    if (rc < 0)
        return rc;
    if (act.base_seq > to->seq)
        return reader_report(r, SEGLOG_ECORRUPT, to->number, OFF_ACTIVATION, to->seq,
                             act.base_seq - 1, "numbers are missing before this segment");
    return 0;
}

int path_forward(struct seglog_reader *r, const struct onward *to)
{
    struct floor_facts floor;
    const char *why = NULL;
    struct held *held;
    int rc;

    if (!probe_is_due(r))
        return reader_blocked(r, r->block);
    log_view_refresh(&r->view);
    rc = held_open(r, to->number, &held, &why);
    if (rc == 0)
        return path_join(r, to, held);
    if (!is_hole(rc))
        return reader_failed(r, rc, to->number, 0);
    if (log_view_floor(&r->view, &floor) == 0 && to->number < floor.number) {
        probe_reset(r);
        return reader_report(r, SEGLOG_ETRIMMED, to->number, 0, to->seq, floor.first_seq - 1,
                             "removed by retention");
    }
    /* It may have come between the two looks. */
    rc = held_open(r, to->number, &held, &why);
    if (rc == 0)
        return path_join(r, to, held);
    if (!is_hole(rc))
        return reader_failed(r, rc, to->number, 0);
    rc = path_skip(r, to, rc, why);
    if (rc == -EAGAIN && !r->place.held)
        r->block = BLOCK_EMPTY; /* an empty log: the first append wakes us */
    return rc;
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Has the walk for anchors come to the frames' very end, where the next segment's numbers begin? */
static bool walk_has_rolled(struct held *held)
{
    struct scan scan = held_scan(held, held->sparse.at, held->sparse.seq_rel, false);
    struct scan_frame frame;

    return held_scan_next(held, &scan, &frame) == 0 && frame.facts.state == WORD_ROLL;
}

/*
 * What a segment begins with, when we come from behind it. next_seq is where it ends; NULL: not
 * known, because others lie between.
 */
static int back_settle(struct seglog_reader *r, struct held *held, const uint64_t *next_seq)
{
    struct activation_facts act;
    int rc = held_activation(held, &act);

    if (rc == 0)
        return held_settle(r, held, act.base_seq, act.epoch);
    if (rc != -EAGAIN && rc != SEGLOG_ECORRUPT)
        return rc;
    if (held->settled)
        return 0;
    if (!next_seq)
        return SEGLOG_ECORRUPT;
    /* Only the number behind it is known: count back from that, if every frame can be counted. */
    rc = held_settle(r, held, 0, r->place.held->epoch);
    if (rc == 0)
        rc = anchors_cover(held, UINT64_MAX);
    if (rc == 0 && (!walk_has_rolled(held) || held->sparse.seq_rel > *next_seq))
        rc = SEGLOG_ECORRUPT;
    if (rc < 0) {
        held->settled = false;
        return rc;
    }
    held->base_seq = *next_seq - held->sparse.seq_rel;
    return 0;
}

/* Stand at the end of a segment. */
static int back_enter(struct seglog_reader *r, uint64_t number, const uint64_t *next_seq,
                      const char **why)
{
    struct held *held;
    int rc = held_open(r, number, &held, why);

    if (rc == 0)
        rc = back_settle(r, held, next_seq);
    if (rc < 0)
        return rc;
    if (held->sealed) {
        place_at_end(&r->place, held);
        return 0;
    }
    rc = anchors_cover(held, UINT64_MAX);
    if (rc == 0)
        r->place =
            (struct place){.held = held, .at = held->sparse.at, .seq_rel = held->sparse.seq_rel};
    return rc;
}

/* The segment before cannot be used: to the end of the nearest that can. */
static int back_skip(struct seglog_reader *r, const struct floor_facts *floor, uint64_t number,
                     int status, const char *why)
{
    const uint64_t next_seq = place_seq(&r->place);
    struct segment_list list;
    int rc = segment_list_read(r->view.dirfd, &list);

    if (rc < 0)
        return reader_failed(r, rc, number, 0);
    for (size_t i = list.count; i-- > 0 && list.numbers[i] >= floor->number;) {
        if (list.numbers[i] >= number)
            continue;
        rc = back_enter(r, list.numbers[i], NULL, NULL);
        if (is_hole(rc))
            continue;
        segment_list_free(&list);
        if (rc < 0)
            return reader_failed(r, rc, number, 0);
        return reader_report(r, status, number, 0, place_seq(&r->place), next_seq - 1, why);
    }
    segment_list_free(&list);
    if (next_seq <= floor->first_seq || r->gap_held == r->place.held)
        return -ENODATA;
    r->gap_held = r->place.held;
    return reader_report(r, status, number, 0, floor->first_seq, next_seq - 1, why);
}

int path_back(struct seglog_reader *r)
{
    const uint64_t number = r->place.held->seg->facts.number;
    const uint64_t next_seq = place_seq(&r->place);
    struct floor_facts floor;
    const char *why = "unreadable";
    int rc = log_view_floor(&r->view, &floor);

    if (rc < 0)
        return reader_failed(r, rc, number, 0);
    if (number < floor.number)
        return SEGLOG_ETRIMMED;
    if (number == floor.number)
        return -ENODATA;
    rc = back_enter(r, number - 1, &next_seq, &why);
    if (rc == -ENOENT)
        return back_skip(r, &floor, number - 1, SEGLOG_EMISSING, "segment file is missing");
    if (is_hole(rc))
        return back_skip(r, &floor, number - 1, SEGLOG_ECORRUPT, why);
    if (rc < 0)
        return reader_failed(r, rc, number - 1, 0);
    if (place_seq(&r->place) < next_seq)
        return reader_report(r, SEGLOG_ECORRUPT, number - 1, r->place.at, place_seq(&r->place),
                             next_seq - 1, "numbers are missing behind this segment");
    return 0;
}
