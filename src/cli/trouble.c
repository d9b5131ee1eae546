/*
 * What a walk meets instead of records: damage, and a log that changed under it.
 *
 * Damage is named on stderr, stepped over, and remembered in the exit status. Where retention or a
 * recovery took away what was next, the walk goes on where the log goes on.
 */
#include "scan_state.h"

#include "fail.h"
#include "report.h"

#include <seglog/inspect.h>

#include <errno.h>

bool scan_damage_again(struct scan *scan, const struct seglog_damage *damage)
{
    if (damage->segment + 1 == scan->bad_segment && damage->offset == scan->bad_offset)
        return true;
    scan->bad_segment = damage->segment + 1;
    scan->bad_offset = damage->offset;
    return false;
}

/* Damage was met: name it, unless it lies outside of the interval; the reader goes on behind it. */
static void damage_met(struct scan *scan, int status)
{
    struct seglog_damage damage = {.first_seq = 1};

    if (seglog_reader_damage(scan->reader, &damage) < 0) {
        scan->exit_status = fail_status(scan->cli, scan->sel->dir, status);
        scan->stuck = true;
        return;
    }
    if (scan_damage_again(scan, &damage)) {
        scan->stuck = true;
        return;
    }
    if (damage.first_seq <= damage.last_seq &&
        (damage.first_seq >= scan->to_seq || damage.last_seq < scan->from_seq))
        return;
    report_damage(scan->cli, scan->sel->dir, &damage);
    if (scan->exit_status == 0)
        scan->exit_status = EX_DATAERR;
}

/* The number at which the log goes on after a recovery cut off what was read before. */
static int rewound_to(const struct scan *scan, uint64_t *seq)
{
    struct seglog_info info;
    const int rc = seglog_info_read(scan->sel->dir, &info);

    if (rc < 0)
        return rc;
    *seq = info.next_seq;
    for (size_t i = info.segment_count; i-- > 0;) {
        const struct seglog_segment_info *seg = &info.segments[i];

        if (seg->epoch > scan->epoch && seg->state != SEGLOG_SEGMENT_SPARE &&
            seg->state != SEGLOG_SEGMENT_DAMAGED && seg->first_seq < *seq)
            *seq = seg->first_seq;
    }
    seglog_info_free(&info);
    return 0;
}

/* Retention or a recovery took away what was next: say it and go on where the log goes on. */
static int scan_lost_place(struct scan *scan, int status)
{
    uint64_t seq = 0;
    int rc;

    if (status == SEGLOG_ETRIMMED) {
        rc = scan_seek_first(scan);
        if (rc == 0)
            rc = seglog_reader_position(scan->reader, &seq, NULL);
    } else {
        rc = rewound_to(scan, &seq);
        if (rc == 0)
            rc = scan_seek_number(scan, seq);
    }
    if (rc == 0)
        note(scan->cli, "%s: %s; going on at record %llu", scan->sel->dir, seglog_strerror(status),
             (unsigned long long)seq);
    return rc;
}

int scan_trouble(struct scan *scan, int status)
{
    int rc = status;

    if (status == SEGLOG_ECORRUPT || status == SEGLOG_EMISSING) {
        damage_met(scan, status);
        return scan->stuck;
    }
    if (status == -EINTR)
        return 0;
    if (status == SEGLOG_ETRIMMED || status == SEGLOG_EREWOUND) {
        rc = scan_lost_place(scan, status);
        if (rc == 0)
            return 0;
    }
    scan->exit_status = fail_status(scan->cli, scan->sel->dir, rc);
    scan->stuck = true;
    return 1;
}
