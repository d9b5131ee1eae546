/*
 * Recovery: what the first to attach does before anybody appends.
 *
 * The walk goes from the first segment that is not sealed to the end of the log, and is bounded by
 * those. It may be killed at any step: each step is either complete in the files (a seal, a rename, a
 * new segment under its final name) or leaves nothing that the next recovery would believe.
 * ARCHITECTURE, "Recovery", has the table of verdicts.
 */
#include "log/recover.h"
#include "log/order.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "segment/archive.h"

int recover_next_activation(const struct recovering *r, const struct segment *seg,
                            struct activation_facts *next)
{
    struct segment *after;
    int rc = segment_open(r->log->view.dirfd, seg->facts.number + 1, seg->facts.uuid, SEGMENT_PREAD,
                          &after, NULL);

    if (rc == -ENOENT || rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG)
        return 0;
    if (rc < 0)
        return rc;
    rc = segment_activation(after, next);
    segment_close(after);
    if (rc == -EAGAIN || rc == SEGLOG_ECORRUPT)
        return 0;
    return rc < 0 ? rc : next->pred_generation == seg->facts.generation;
}

/* ---- where to begin ------------------------------------------------------------------------- */

/* Is this the very file that was sealed? Then what the footer says of syncs is true of it. */
static bool is_original(const struct segment *seg)
{
    struct boot_mark mark;

    return !seg->arc &&
           file_pread(seg->fd, &mark, sizeof(mark), OFF_TAIL + offsetof(struct tail_page, boot)) ==
               0 &&
           le64_get(&mark.dev) == seg->dev && le64_get(&mark.ino) == seg->ino;
}

/*
 * A segment whose footer cannot be read, but whose successor begins a later epoch: the cut that this
 * epoch stands for was made here, behind a seal that was durable then. What lies beyond the cut must
 * not come back. 1 and *next: the successor's activation; 0; or a status.
 */
static int was_cut(const struct recovering *r, const struct segment *seg,
                   struct activation_facts *next)
{
    struct activation_facts own;
    int rc = recover_next_activation(r, seg, next);

    if (rc != 1)
        return rc;
    rc = segment_activation(seg, &own);
    if (rc == -EAGAIN || rc == SEGLOG_ECORRUPT)
        return 0;
    return rc < 0 ? rc : next->epoch > own.epoch;
}

/* Is this segment sealed? Then the walk begins behind it. 1, 0 or a status. */
static int begin_behind(struct recovering *r, const struct segment *seg)
{
    struct activation_facts next;
    struct footer_facts footer;
    int rc = segment_footer(seg, &footer, NULL);

    if (rc == 0) {
        next = (struct activation_facts){.base_seq = footer.next_seq,
                                         .epoch = footer.epoch,
                                         .pred_generation = seg->facts.generation};
        r->after_cut = (footer.flags & FOOTER_TORN) != 0;
    } else {
        rc = rc == SEGLOG_ECORRUPT ? was_cut(r, seg, &next) : rc == -EAGAIN ? 0 : rc;
        if (rc != 1)
            return rc;
    }
    r->number = seg->facts.number + 1;
    r->act = next;
    r->durable_seq = next.base_seq;
    r->is_copy = !is_original(seg);
    return 1;
}

/* Look for the newest sealed segment; the walk begins behind it. */
static int find_start(struct recovering *r, const struct floor_facts *floor)
{
    r->number = floor->number;
    r->act = (struct activation_facts){.base_seq = floor->first_seq};
    for (size_t i = r->list.count; i-- > 0;) {
        struct segment *seg;
        int rc = segment_open(r->log->view.dirfd, r->list.numbers[i], r->log->view.settings.uuid,
                              SEGMENT_PREAD, &seg, NULL);

        /* The walk decides what an unreadable header means. Anything else is no fact about the log:
         * to begin at an older seal because of it would undo newer ones. */
        if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG || rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        rc = SEGLOG_EREADONLY;
        if (!seg->facts.read_only && seg->facts.discipline == DISCIPLINE_MAPPED)
            rc = begin_behind(r, seg);
        segment_close(seg);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    return 0;
}

/*
 * In a copy the footers speak of syncs that were made elsewhere. Make them true here, once in a boot
 * (`live` knows): every later seal says that all before it is durable.
 */
static int sync_copied(struct recovering *r)
{
    const int dirfd = r->log->view.dirfd;
    int rc = 0;

    if (r->log->view.fs.is_volatile ||
        word_load(&r->log->view.live->durable_seq, memory_order_relaxed) >= r->durable_seq)
        return 0;
    for (size_t i = 0; i < r->list.count && r->list.numbers[i] < r->number && rc == 0; i++) {
        char name[SEGMENT_NAME_BYTES];
        int fd;

        segment_name(r->list.numbers[i], name);
        fd = file_open(dirfd, name, O_RDONLY, 0);
        if (fd == -ENOENT) {
            segment_archive_name(r->list.numbers[i], name);
            fd = file_open(dirfd, name, O_RDONLY, 0);
        }
        if (fd < 0)
            return fd;
        rc = file_datasync(fd);
        file_close(fd);
    }
    if (rc == 0)
        rc = dir_sync(dirfd);
    if (rc < 0)
        log_poison(r->log, rc); /* a second try could find in the page cache what is on no disk */
    return rc;
}

/* ---- one segment ---------------------------------------------------------------------------- */

static int activate(struct recovering *r, struct segment *seg)
{
    struct activation_block block;
    int rc;

    if (r->after_cut)
        r->act.epoch++;
    r->after_cut = false;
    memset(&block, 0, sizeof(block));
    activation_store(&block, seg->facts.generation, &r->act);
    /* All but the magic, then the magic: as when it is stored through a mapping. */
    rc = file_pwrite(seg->fd, &block, offsetof(struct activation_block, magic), OFF_ACTIVATION);
    if (rc == 0)
        rc = file_pwrite(seg->fd, &block.magic, sizeof(block.magic),
                         OFF_ACTIVATION + offsetof(struct activation_block, magic));
    return rc;
}

/* The log goes on in a new, empty segment. */
static int begin_segment(struct recovering *r)
{
    const struct prepare_order order = log_prepare_order(r->log, r->number, false);
    struct segment *seg;
    int rc = segment_prepare(r->log->view.dirfd, &order, &seg);

    if (rc < 0)
        return rc;
    /* R1: a spare that nobody activated; the next recovery finds it unused and takes it. */
    rc = activate(r, seg);
    segment_close(seg);
    return rc < 0 ? rc : RECOVER_ACTIVE;
}

/*
 * Does the activation block fit what follows from the segments before?
 * 1 yes (r->act has its epoch); 0 no: the file is not the continuation; negative status.
 */
static int check_activation(struct recovering *r, struct segment *seg, bool same_boot)
{
    struct activation_facts have;
    int rc = segment_activation(seg, &have);

    if (rc == 0) {
        /* Without anything before it, the first segment speaks for itself. */
        if (r->act.pred_generation == 0 && have.base_seq == r->act.base_seq)
            r->act = have;
        if (have.base_seq != r->act.base_seq || have.pred_generation != r->act.pred_generation ||
            have.epoch < r->act.epoch + (r->after_cut ? 1 : 0))
            return same_boot ? SEGLOG_ECORRUPT : 0;
        r->act.epoch = have.epoch;
        r->after_cut = false;
        return 1;
    }
    if (rc != -EAGAIN && rc != SEGLOG_ECORRUPT)
        return rc;
    /* Beyond a cut, frames without a word on their place are those that were cut off. */
    if (r->after_cut) {
        const int zero = recover_is_zero(seg, OFF_FRAMES, seg->facts.shape.frames_end);
        if (zero != 1)
            return zero;
    }
    rc = activate(r, seg);
    return rc < 0 ? rc : 1;
}

static int recover_opened(struct recovering *r, struct segment *seg, enum boot_relation relation)
{
    const bool same = r->same_boot && relation == BOOT_SAME;
    struct activation_facts next;
    struct segment *mapped;
    int rc = check_activation(r, seg, same);

    if (rc < 0)
        return rc;
    if (rc == 0) { /* a leftover from beyond an earlier cut */
        rc = recover_set_aside_from(r, r->number);
        return rc < 0 ? rc : begin_segment(r);
    }
    if (!same) {
        /* Unused files behind it are no part of the log; they would look like one that goes on. */
        rc = recover_all_unused_from(r, r->number + 1);
        if (rc == 1)
            rc = recover_set_aside_from(r, r->number + 1);
        return rc < 0 ? rc : recover_segment_cold(r, seg, relation);
    }
    rc = recover_next_activation(r, seg, &next);
    if (rc == 1) { /* a later segment is active: this one is full, and its seal will look at it */
        if (next.base_seq < r->act.base_seq)
            return SEGLOG_ECORRUPT;
        r->act.base_seq = next.base_seq;
        r->all_resolved = false;
        return RECOVER_ROLLED;
    }
    if (rc < 0)
        return rc;
    rc = segment_open(r->log->view.dirfd, r->number, r->log->view.settings.uuid, SEGMENT_WRITE,
                      &mapped, NULL);
    if (rc < 0)
        return rc;
    rc = recover_segment_same_boot(r, mapped);
    segment_close(mapped);
    return rc;
}

static int recover_one(struct recovering *r)
{
    enum boot_relation relation;
    struct segment *seg;
    int rc = segment_open(r->log->view.dirfd, r->number, r->log->view.settings.uuid,
                          SEGMENT_PREAD_WRITE, &seg, NULL);

    if (rc == -ESTALE) /* the walk begins behind every archive that can be read */
        rc = SEGLOG_ECORRUPT;
    if (rc == -ENOENT || rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG) {
        const bool lost = recover_has_later(r, r->number) || rc != -ENOENT;

        /* After a power cut a file that was never synced may lack its name or its first page. While
         * the boot lasts it may not. */
        const int durable = lost ? recover_was_durable_from(r, r->number) : 0;

        if (durable < 0)
            return durable;
        if (lost && (r->same_boot || durable == 1))
            return rc == -ENOENT ? SEGLOG_EMISSING : rc;
        if (lost) {
            rc = recover_all_unused_from(r, r->number);
            if (rc < 0)
                return rc;
            r->after_cut = r->after_cut || rc == 0;
            rc = recover_set_aside_from(r, r->number);
            if (rc < 0)
                return rc;
        }
        return begin_segment(r);
    }
    if (rc < 0)
        return rc;
    relation = segment_boot_relation(seg, &r->log->view.boot);
    if (relation == BOOT_SAME && !r->same_boot)
        relation = BOOT_UNKNOWN; /* somebody took `live` away: nothing proves who claimed what */
    if (relation != BOOT_SAME && r->log->recovery.boot == 0)
        r->log->recovery.boot = (uint32_t)relation;
    rc = recover_opened(r, seg, relation);
    if (rc == RECOVER_ROLLED)
        r->act.pred_generation = seg->facts.generation;
    segment_close(seg);
    return rc;
}

static int recover_all(struct recovering *r, uint64_t *first_unsealed)
{
    bool same_so_far = true;
    int rc;

    *first_unsealed = r->number;
    while ((rc = recover_one(r)) == RECOVER_ROLLED) {
        same_so_far = same_so_far && r->log->recovery.boot == 0;
        r->number++;
        if (!same_so_far) /* cold segments are sealed on the way */
            *first_unsealed = r->number;
    }
    if (rc == RECOVER_CUT) {
        /* R2: sealed at the cut; files beyond it are told from what comes now by their epoch. */
        r->after_cut = true;
        r->number++;
        rc = recover_set_aside_from(r, r->number);
        if (rc >= 0)
            rc = begin_segment(r);
        *first_unsealed = r->number;
    }
    return rc < 0 ? rc : 0;
}

/* ---- shared words --------------------------------------------------------------------------- */

/* Make `live` ours: of this boot, this log, this inode. */
static void live_init(struct seglog_log *log, bool same_boot)
{
    struct live_file *live = log->view.live;

    word_store(&live->ready, 0, memory_order_seq_cst);
    atomic_store_explicit(&live->prepare_status, 0, memory_order_relaxed); /* of those before us */
    if (same_boot)
        return;
    memset((uint8_t *)live + offsetof(struct live_file, attention), 0,
           sizeof(*live) - offsetof(struct live_file, attention));
    memcpy(live->magic, MAGIC_LIVE, sizeof(live->magic));
    memcpy(live->uuid, log->view.settings.uuid, 16);
    boot_mark_encode(&live->boot, &log->view.boot);
}

/* Nobody is attached: slots that are not free are those of the dead, and if none of their claims is
 * left anywhere, the slots are as good as new. */
static void free_slots(struct seglog_log *log)
{
    for (uint32_t i = 0; i < LIVE_SLOTS; i++)
        atomic_store_explicit(&log->view.live->slots[i].state, SLOT_FREE, memory_order_relaxed);
}

int log_recover(struct seglog_log *log)
{
    struct recovering r = {.log = log, .all_resolved = true};
    struct log_segment *active;
    struct floor_facts floor;
    uint64_t first_unsealed = 0;
    int rc;

    log->recovery = (struct seglog_recovery){.ran = 1};
    r.same_boot = log_view_has_live(&log->view);
    if (r.same_boot &&
        (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON))
        return SEGLOG_EPOISONED;
    live_init(log, r.same_boot);
    rc = segment_sweep(log->view.dirfd);
    if (rc == 0)
        rc = log_view_floor(&log->view, &floor);
    if (rc == 0)
        rc = segment_list_read(log->view.dirfd, &r.list);
    if (rc < 0)
        return rc;
    rc = recover_drop_below(&r, &floor);
    if (rc == 0)
        rc = recover_headers(&r, &floor);
    if (rc == 0)
        rc = find_start(&r, &floor);
    if (rc == 0 && r.is_copy)
        rc = sync_copied(&r);
    if (rc == 0)
        rc = recover_all(&r, &first_unsealed);
    log->seal_next = first_unsealed;
    segment_list_free(&r.list);
    if (rc < 0)
        return rc;
    rc = log_table_get(log, r.number, false, &active);
    if (rc < 0)
        return rc;
    log_table_activate(log, active);
    log_table_put(log, active);
    log->recovery.next_seq = r.act.base_seq;
    log->recovery.epoch = r.act.epoch;
    if (r.all_resolved)
        free_slots(log);
    log_durable_raise(log, r.durable_seq);
    /* ORDER ready.publish -> ready.observe (log_view_is_live): all of the above. */
    word_store(&log->view.live->ready, 1, memory_order_release);
    sleep_wake(log->view.live);
    return 0;
}
