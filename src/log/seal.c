/*
 * Sealing full segments, in order, and what can stand in the way.
 *
 * What a seal writes goes to the engine as one chain.
 *
 * A seal needs every frame resolved: claims of the dead are made void here, those of the living are
 * waited for (or, if the log's user set a deadline, taken away). A sync that fails poisons the log:
 * the kernel may have dropped our pages, so trying again would prove nothing.
 */
#include "log/handle.h"
#include "log/order.h"

#include <errno.h>

#include "sys/clock.h"

void log_poison(struct seglog_log *log, int status)
{
    struct live_file *live = log->view.live;

    atomic_store_explicit(&live->poison_status, (uint32_t)-status, memory_order_relaxed);
    atomic_fetch_or_explicit(&live->attention, ATTENTION_POISON, memory_order_seq_cst);
    sleep_wake(live);
    log_commit_wake_all(live);
    log_notify(log, SEGLOG_EVENT_POISONED, status);
}

void log_durable_raise(struct seglog_log *log, uint64_t seq)
{
    _Atomic uint64_t *word = &log->view.live->durable_seq;
    uint64_t seen = word_load(word, memory_order_relaxed);

    if (log->view.fs.is_volatile)
        return;
    while (seen < seq) {
        uint64_t expected = le_swap64(seen);

        if (atomic_compare_exchange_weak_explicit(word, &expected, le_swap64(seq),
                                                  memory_order_seq_cst, memory_order_relaxed)) {
            durable_wake(log->view.live);
            return;
        }
        seen = le_swap64(expected);
    }
}

/* Has this very claim been open past the deadline that the user of this handle set? */
static bool claim_overdue(struct seglog_log *log, const struct segment *seg, uint64_t offset,
                          uint64_t word, const struct word_facts *facts, struct stuck_claim *stuck)
{
    const struct live_slot *slot = &log->view.live->slots[facts->slot];
    const uint64_t now = clock_monotonic_ns();

    if (log->evict_after_ns == 0 || !log_view_is_live(&log->view))
        return false;
    if (atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&slot->state, memory_order_acquire) !=
        SLOT_SHARED)
        return false; /* an exclusive appender commits by a plain store: never evicted */
    if (stuck->number != seg->facts.number || stuck->offset != offset || stuck->word != word) {
        *stuck = (struct stuck_claim){
            .number = seg->facts.number, .offset = offset, .word = word, .since_ns = now};
        return false;
    }
    return now - stuck->since_ns >= log->evict_after_ns;
}

int log_reap_claim(struct seglog_log *log, const struct segment *seg, uint64_t offset,
                   struct stuck_claim *stuck)
{
    struct word_facts facts;
    uint64_t word;
    le64 bytes;
    int rc = file_pread(seg->fd, &bytes, sizeof(bytes), offset);

    if (rc < 0)
        return rc;
    word = le64_get(&bytes);
    rc = word_decode(&seg->facts.space, offset, word, &facts);
    if (rc < 0)
        return rc;
    if (facts.state != WORD_CLAIMED)
        return 1;
    if (log_view_claim(&log->view, seg, offset, &facts) == CLAIM_WAIT &&
        !claim_overdue(log, seg, offset, word, &facts, stuck))
        return 0;
    rc = segment_abort_claim(log->view.dirfd, seg, offset, word);
    if (rc < 0)
        return rc;
    sleep_wake(log->view.live);
    return 1;
}

/* The footer that the next seal chains to. 0, or -ENOENT when there is none to chain to. */
static int previous_footer(struct seglog_log *log, uint64_t number, struct footer_facts *out)
{
    struct segment *seg;
    int rc;

    if (number == 0)
        return -ENOENT;
    rc = segment_open(log->view.dirfd, number - 1, log->view.settings.uuid, SEGMENT_PREAD, &seg,
                      NULL);
    if (rc < 0)
        return rc;
    rc = segment_footer(seg, out, NULL);
    segment_close(seg);
    return rc;
}

/* First number of the segment after, 0 if that is not known. */
static uint64_t next_base(struct seglog_log *log, uint64_t number)
{
    struct activation_facts act = {0};
    struct segment *seg;

    if (segment_open(log->view.dirfd, number + 1, log->view.settings.uuid, SEGMENT_PREAD, &seg,
                     NULL) < 0)
        return 0;
    if (segment_activation(seg, &act) < 0)
        act.base_seq = 0;
    segment_close(seg);
    return act.base_seq;
}

/* Let the engine do it. */
static int seal_run(struct seglog_log *log, struct seal_work *work)
{
    int rc;

    if ((log->flags & SEGLOG_LOG_NO_HELPER) && io_engine_choice(log->io) == IO_THREADS) {
        (void)io_run_here(log->io, &work->chain); /* who wants no thread gets none */
        return 0;
    }
    rc = io_submit(log->io, &work->chain);
    if (rc == 0)
        (void)io_wait(log->io, &work->chain); /* segment_seal_end() tells what became of it */
    log_note_engine(log);
    return rc < 0 ? rc : 0;
}

static int seal_once(struct seglog_log *log, struct segment *seg, const struct seal_order *order,
                     struct footer_facts *footer, struct seal_trouble *trouble)
{
    struct seal_work *work;
    int run, rc = segment_seal_begin(seg, order, &work, trouble);

    if (rc < 0)
        return rc;
    run = seal_run(log, work);
    rc = segment_seal_end(work, footer, trouble);
    return run < 0 ? run : rc;
}

static int seal_opened(struct seglog_log *log, struct segment *seg, const struct segment *before)
{
    const uint64_t number = seg->facts.number;
    struct activation_facts act;
    struct footer_facts prev, footer;
    struct seal_trouble trouble;
    struct seal_order order = {.activation = &act, .opened_before = before};
    int rc = segment_activation(seg, &act);

    if (rc < 0)
        return rc == -EAGAIN ? SEGLOG_ECORRUPT : rc;
    rc = previous_footer(log, number, &prev);
    /* One that rotted is damage of its own: the chain begins anew, and verify says so. */
    if (rc < 0 && rc != -ENOENT && rc != SEGLOG_ECORRUPT)
        return rc;
    order.prev = rc == 0 ? &prev : NULL;
    for (;;) {
        rc = seal_once(log, seg, &order, &footer, &trouble);
        if (rc < 0 && trouble.sync_failed) { /* whatever the disk says: never tried again */
            log_poison(log, rc);
            return rc;
        }
        if (rc == -EBUSY) {
            rc = log_reap_claim(log, seg, trouble.busy, &log->stuck_seal);
            if (rc == 0)
                return -EBUSY;
            if (rc == 1)
                continue;
        }
        if ((rc == SEGLOG_ECORRUPT || rc == -EINVAL) && order.flags == 0) {
            /* Memory was damaged while the segment was open: keep what is good, say what is not. */
            order.flags = FOOTER_DAMAGED;
            order.next_seq = next_base(log, number);
            continue;
        }
        if (rc == 0)
            log_durable_raise(log, footer.next_seq);
        return rc;
    }
}

/* Sync through the description that it was written through, if we have it still. */
static int seal_held(struct seglog_log *log, struct segment *seg)
{
    struct log_segment *held = log_table_held(log, seg->facts.number);
    const int rc = seal_opened(log, seg, held ? held->seg : NULL);

    if (held)
        log_table_put(log, held);
    return rc;
}

/* Seal one segment. 1 sealed, 0 it was sealed already. */
static int seal_one(struct seglog_log *log, uint64_t number)
{
    struct footer_facts footer;
    struct segment *seg;
    int rc = segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_PREAD_WRITE,
                          &seg, NULL);

    if (rc < 0)
        return rc == -ESTALE ? 0 : rc; /* sealed, and in an archive by now */
    rc = segment_footer(seg, &footer, NULL);
    if (rc == -EAGAIN || rc == SEGLOG_ECORRUPT) {
        rc = dir_sync(log->view.dirfd); /* the name first: see ARCHITECTURE, "Durability" */
        if (rc < 0)
            log_poison(log, rc);
        else
            rc = seal_held(log, seg);
        if (rc == 0)
            rc = 1;
    }
    segment_close(seg);
    return rc;
}

static int seal_in_order(struct seglog_log *log)
{
    int sealed = 0;

    for (;;) {
        uint64_t active;
        int rc;

        pthread_mutex_lock(&log->lock);
        active = log->active->seg->facts.number;
        pthread_mutex_unlock(&log->lock);
        if (log->seal_next >= active)
            return sealed;
        rc = seal_one(log, log->seal_next);
        if (rc == -ENOENT) { /* retention took it: below the floor it is nobody's loss */
            struct floor_facts floor;

            rc = log_view_floor(&log->view, &floor);
            if (rc == 0 && log->seal_next >= floor.number)
                return SEGLOG_EMISSING;
        }
        if (rc < 0)
            return rc;
        sealed += rc;
        log->sealed += (uint64_t)rc;
        log->seal_next++;
    }
}

int log_seal_full(struct seglog_log *log)
{
    struct owner elected = OWNER_NONE;
    int rc;

    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    pthread_mutex_lock(&log->seal_lock);
    rc = owner_open(log->view.dirfd, NAME_OWNERS, &elected);
    if (rc == 0)
        rc = owner_lock(&elected, OWNERS_BYTE_SEAL, true);
    if (rc == 0) {
        owner_settle(&elected);
        rc = seal_in_order(log);
    } else if (rc == -EAGAIN) {
        rc = -EBUSY; /* another process is sealing */
    }
    owner_close(&elected);
    pthread_mutex_unlock(&log->seal_lock);
    return rc;
}

/* Ending the active segment is a shared appender's right: not beside an exclusive one. */
static int roll_allowed(struct seglog_log *log)
{
    struct owner mode = OWNER_NONE;
    int rc = owner_open(log->view.dirfd, NAME_OWNERS, &mode);

    if (rc == 0)
        rc = owner_lock(&mode, OWNERS_BYTE_MODE, false);
    if (rc == 0) {
        owner_settle(&mode);
        rc = log_roll_active(log);
    } else if (rc == -EAGAIN) {
        rc = -EBUSY;
    }
    owner_close(&mode);
    return rc;
}

/* The helper may be at it, too, and a seal that must wait has sealed what lies before. */
static uint64_t sealed_so_far(struct seglog_log *log)
{
    uint64_t sealed;

    pthread_mutex_lock(&log->seal_lock);
    sealed = log->sealed;
    pthread_mutex_unlock(&log->seal_lock);
    return sealed;
}

int seglog_log_seal(struct seglog_log *log, uint64_t timeout_ns)
{
    const uint64_t start = clock_monotonic_ns();
    uint64_t before;
    int rc;

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    before = sealed_so_far(log);
    rc = roll_allowed(log);
    if (rc < 0)
        return rc;
    for (;;) {
        rc = log_seal_full(log);
        if (rc >= 0)
            return (int)(sealed_so_far(log) - before);
        if (rc != -EBUSY)
            return rc;
        if (clock_monotonic_ns() - start >= timeout_ns)
            return -ETIMEDOUT;
        clock_sleep_ns(2000000);
    }
}
