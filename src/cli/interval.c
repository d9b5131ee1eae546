/*
 * From places to numbers: where a walk begins and ends.
 *
 * The interval is [from, to), with `to` no later than what is published at the start: so `cat` ends,
 * however fast somebody appends meanwhile.
 */
#include "scan_state.h"

#include "fail.h"
#include "stamp.h"

#include <errno.h>

static int reader_open(const struct selection *sel, const struct seglog_place *from, bool tagged,
                       struct seglog_reader **out)
{
    struct seglog_reader_options options = {
        .from = *from,
        .flags = sel->flags,
        .wait = SEGLOG_WAIT_AUTO,
    };

    if (tagged && sel->has_tag) {
        options.flags |= SEGLOG_READER_TAG;
        options.tag = sel->tag;
    }
    return seglog_reader_open(sel->dir, &options, out);
}

static bool is_beyond(int rc)
{
    return rc == -ERANGE || rc == SEGLOG_EREWOUND;
}

/*
 * The number that a place stands for. A number that was removed stands for the first one left, one
 * that is not there yet for itself.
 */
static int place_resolve(struct scan *scan, struct seglog_reader *survey,
                         const struct seglog_place *place, const char *option, uint64_t *seq,
                         bool *ahead)
{
    const int rc = seglog_reader_seek(survey, place);

    *ahead = is_beyond(rc);
    if (*ahead) {
        *seq = place->value;
        return 0;
    }
    if (rc == SEGLOG_ETRIMMED) {
        const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
        const int again = seglog_reader_seek(survey, &first);

        if (again < 0)
            return again;
        seglog_reader_position(survey, seq, NULL);
        note(scan->cli, "%s %llu: removed by retention; the first record left is %llu", option,
             (unsigned long long)place->value, (unsigned long long)*seq);
        return 0;
    }
    if (rc < 0)
        return rc;
    return seglog_reader_position(survey, seq, NULL);
}

/*
 * The number after the last record that is published now; UINT64_MAX where nothing depends on it,
 * since finding it may mean going through a large active segment.
 */
static int find_end(const struct scan *scan, struct seglog_reader *survey, uint64_t *end_seq)
{
    const struct selection *sel = scan->sel;
    const bool ends_anyway = sel->follow || (scan->at_most && !sel->reverse);
    int rc;

    if (ends_anyway && sel->from.kind != SEGLOG_PLACE_BACK)
        return 0;
    rc = seglog_reader_bounds(survey, NULL, end_seq);
    if (rc != SEGLOG_ECORRUPT && rc != SEGLOG_EMISSING)
        return rc;
    *end_seq = UINT64_MAX; /* the walk will meet it, and name it */
    return 0;
}

/*
 * A place found by time, or by counting back further than there are records, may stand right behind
 * records that are lost: nobody knows their times, and they were not counted. They belong to the
 * interval, or their loss would pass in silence.
 */
static void include_lost(struct scan *scan, struct seglog_reader *survey, uint64_t end_seq)
{
    const struct seglog_place *from = &scan->sel->from;
    const bool vague = from->kind == SEGLOG_PLACE_TIME ||
                       (from->kind == SEGLOG_PLACE_BACK && end_seq - scan->from_seq < from->value);
    struct seglog_damage damage;
    struct seglog_view view;
    int rc;

    if (!vague)
        return;
    scan->placed = false;
    rc = seglog_reader_prev(survey, &view);
    if ((rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) &&
        seglog_reader_damage(survey, &damage) == 0 && damage.first_seq <= damage.last_seq &&
        damage.last_seq < scan->from_seq)
        scan->from_seq = damage.first_seq;
}

/* Turn the interval into numbers. The survey is left standing where it begins, if `placed`. */
static int resolve(struct scan *scan, struct seglog_reader *survey)
{
    const struct selection *sel = scan->sel;
    uint64_t end_seq = UINT64_MAX;
    bool ahead = false;
    int rc = find_end(scan, survey, &end_seq);

    if (rc < 0)
        return rc;
    scan->to_seq = sel->follow ? UINT64_MAX : end_seq;
    if (sel->has_to && sel->follow && sel->to.kind == SEGLOG_PLACE_TIME &&
        sel->to.value > stamp_now_ns()) {
        scan->to_time_ns = sel->to.value;
    } else if (sel->has_to) {
        uint64_t to_seq;

        rc = place_resolve(scan, survey, &sel->to, "--to", &to_seq, &ahead);
        if (rc < 0)
            return rc;
        if (to_seq < scan->to_seq)
            scan->to_seq = to_seq;
    }
    rc = place_resolve(scan, survey, &sel->from, "--from", &scan->from_seq, &ahead);
    if (rc < 0)
        return rc;
    scan->placed = !ahead;
    if (ahead && !sel->follow && !sel->cursor)
        note(scan->cli, "--from %llu: the log has not got there yet",
             (unsigned long long)scan->from_seq);
    include_lost(scan, survey, end_seq);
    return seglog_reader_position(survey, NULL, &scan->epoch);
}

int scan_open(struct scan *scan)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct seglog_reader *survey = NULL;
    int rc = reader_open(scan->sel, &first, false, &survey);

    if (rc < 0)
        return rc;
    rc = resolve(scan, survey);
    if (rc == 0 && !scan->sel->has_tag) {
        scan->reader = survey;
        return 0;
    }
    /* Places count all records, the walk those with the tag: another reader. */
    seglog_reader_close(survey);
    scan->placed = false;
    return rc < 0 ? rc : reader_open(scan->sel, &first, true, &scan->reader);
}

#define LOOKS_MAX 1000

int scan_seek_number(struct scan *scan, uint64_t seq)
{
    const struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ, .value = seq};
    const struct seglog_place end = {.kind = SEGLOG_PLACE_END};
    uint64_t at = 0;
    int rc, looks = 0;

    /* From one look to the next the log may grow beyond the number, and its end is behind it then. In
     * a damaged log the number may be nowhere. */
    do {
        rc = seglog_reader_seek(scan->reader, &place);
        if (!is_beyond(rc))
            break;
        rc = seglog_reader_seek(scan->reader, &end);
        if (rc >= 0)
            rc = seglog_reader_position(scan->reader, &at, NULL);
    } while (rc >= 0 && at > seq && ++looks < LOOKS_MAX);
    if (rc == SEGLOG_ETRIMMED)
        return scan_seek_first(scan);
    if (rc >= 0)
        seglog_reader_position(scan->reader, NULL, &scan->epoch);
    return rc;
}

int scan_seek_first(struct scan *scan)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    const int rc = seglog_reader_seek(scan->reader, &first);

    if (rc >= 0)
        seglog_reader_position(scan->reader, NULL, &scan->epoch);
    return rc;
}

int scan_open_last(struct scan *scan, uint64_t count)
{
    const struct seglog_place back = {
        .kind = count ? SEGLOG_PLACE_BACK : SEGLOG_PLACE_END,
        .value = count,
    };
    int rc = reader_open(scan->sel, &back, false, &scan->reader);

    if (rc == 0)
        rc = seglog_reader_position(scan->reader, &scan->from_seq, &scan->epoch);
    scan->to_seq = UINT64_MAX;
    scan->left = scan->sel->follow ? UINT64_MAX : count;
    return rc;
}
