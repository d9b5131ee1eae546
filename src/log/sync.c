/*
 * Durable on request: sync what is resolved, then say so in the segment's mark.
 *
 * What becomes durable is the resolved prefix, sampled before the sync is asked for. The mark is
 * written only after the sync returned success and rides to the disk with the next one: it may lag
 * behind the truth, never lead it.
 */
#include "log/handle.h"
#include "log/order.h"

#include <errno.h>

/* How far a segment is resolved, beginning at its mark. *rolled: all of it. */
static int resolved_prefix(struct segment *seg, const struct mark_facts *mark, uint64_t *at,
                           uint64_t *seq_rel, bool *rolled)
{
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    int rc;

    if (mark && mark->offset == seg->facts.space.frames_end) { /* ROLL lies below the mark */
        *at = mark->offset;
        *seq_rel = mark->seq_rel;
        *rolled = true;
        return 0;
    }
    source_init(&src, seg);
    scan_begin(&scan, &src, false);
    if (mark) {
        scan.at = mark->offset;
        scan.seq_rel = mark->seq_rel;
    }
    do {
        *at = scan.at;
        *seq_rel = scan.seq_rel;
        rc = scan_next(&scan, &frame);
    } while (rc == 1 && frame.facts.state != WORD_CLAIMED);
    source_free(&src);
    *rolled = rc == 0 && frame.facts.state == WORD_ROLL;
    if (*rolled)
        *at = seg->facts.space.frames_end;
    return rc < 0 ? rc : 0;
}

/* Sync one segment. 1: all of it is durable, go on with the next; 0: this is as far as it goes. */
static int sync_segment(struct seglog_log *log, uint64_t number, uint64_t *durable)
{
    struct activation_facts act;
    struct footer_facts footer;
    struct mark_facts mark;
    struct segment *seg;
    uint64_t at = 0, seq_rel = 0;
    bool rolled = false, marked;
    int rc =
        segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_WRITE, &seg, NULL);

    if (rc < 0)
        return rc;
    if (segment_footer(seg, &footer, NULL) == 0) { /* sealed by others */
        segment_close(seg);
        *durable = footer.next_seq;
        return 1;
    }
    rc = segment_activation(seg, &act);
    if (rc == -EAGAIN) { /* a spare */
        segment_close(seg);
        return 0;
    }
    marked = segment_mark(seg, &mark) == 0;
    if (rc == 0)
        rc = resolved_prefix(seg, marked ? &mark : NULL, &at, &seq_rel, &rolled);
    if (rc == 0 && (!marked || at > mark.offset)) {
        rc = file_datasync(seg->fd);
        if (rc == 0)
            rc = segment_mark_write(seg, marked ? &mark : NULL, at, seq_rel, NULL);
        if (rc < 0)
            log_poison(log, rc);
    }
    segment_close(seg);
    if (rc < 0)
        return rc;
    *durable = act.base_seq + seq_rel;
    return rolled ? 1 : 0;
}

/* All segments that are not known to be durable as a whole, in order. */
static int sync_in_order(struct seglog_log *log, uint64_t *durable)
{
    struct floor_facts floor;
    int rc = log_view_floor(&log->view, &floor);
    uint64_t number = log->seal_next > log->sync_next ? log->seal_next : log->sync_next;

    if (rc < 0)
        return rc;
    if (number < floor.number) /* sealed by others, and removed since */
        number = floor.number;
    for (uint64_t n = number;; n++) {
        rc = sync_segment(log, n, durable);
        if (rc != 1)
            return rc == -ENOENT && n > number ? 0 : rc;
        log->sync_next = n + 1; /* full, and all of it durable: no need to look again */
    }
}

int seglog_log_sync(struct seglog_log *log, uint64_t *durable_seq)
{
    uint64_t durable = 0;
    int rc;

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    if (log->view.fs.is_volatile)
        return SEGLOG_EVOLATILE;
    pthread_mutex_lock(&log->seal_lock);
    rc = dir_sync(log->view.dirfd);
    if (rc < 0)
        log_poison(log, rc);
    if (rc == 0)
        rc = sync_in_order(log, &durable);
    pthread_mutex_unlock(&log->seal_lock);
    if (rc < 0)
        return rc;
    log_durable_raise(log, durable);
    if (durable_seq)
        *durable_seq = word_load(&log->view.live->durable_seq, memory_order_acquire);
    return 0;
}

/* The number of the next record: walk to the end, following others who rolled. */
static int find_next_seq(struct seglog_log *log, uint64_t *next_seq)
{
    struct activation_facts act;
    struct log_segment *ls;
    uint64_t at, seq_rel;
    int rc = log_catch_up(log);

    if (rc < 0)
        return rc;
    ls = log_table_active(log);
    rc = segment_activation(ls->seg, &act);
    if (rc == 0) {
        log_walk_start(ls->seg, &at, &seq_rel);
        rc = log_walk(ls->seg, &at, &seq_rel);
    }
    if (rc >= 0)
        *next_seq = act.base_seq + seq_rel;
    log_table_put(log, ls);
    return rc < 0 ? rc : 0;
}

int seglog_log_progress(struct seglog_log *log, uint64_t *durable_seq, uint64_t *next_seq)
{
    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (durable_seq)
        *durable_seq = word_load(&log->view.live->durable_seq, memory_order_acquire);
    return next_seq ? find_next_seq(log, next_seq) : 0;
}
