/*
 * The workload: see work.h.
 *
 * The oracle learns of every record before it is appended (from then on it may survive) and of what
 * is durable afterwards (from then on it must).
 */
#include "powercut/work.h"

#include "log/handle.h"
#include "powercut/calls.h"
#include "powercut/keep.h"
#include "powercut/maps.h"
#include "powercut/state.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

static struct seglog_appender *any_appender(struct bed *b)
{
    return b->aps[1] && !b->is_open && dice_below(&b->dice, 3) == 0 ? b->aps[1] : b->aps[0];
}

static struct seglog_log *any_log(struct bed *b)
{
    return b->logs[1] && dice_below(&b->dice, 3) == 0 ? b->logs[1] : b->logs[0];
}

/* ---- appending ------------------------------------------------------------------------------ */

/* From now on records with these marks may be found behind the last number. */
static void promise(struct bed *b, const uint64_t *marks, size_t n)
{
    ORACLE_MUST(b->o, b->o->next + n < ORACLE_SEQS, "more numbers than the oracle remembers");
    for (size_t i = 0; i < n; i++)
        b->o->marks[b->o->next + i] = marks[i];
    b->o->limit = b->o->next + n;
}

/* The call has returned, the first number being seq. */
static void fulfil(struct bed *b, uint64_t seq, uint32_t sync)
{
    ORACLE_MUST(b->o, seq == b->o->next, "number %llu, expected %llu", (unsigned long long)seq,
                (unsigned long long)b->o->next);
    b->o->next = b->o->limit;
    if ((sync ? sync : b->level) == SEGLOG_SYNC_RECORD)
        b->o->durable = b->o->next;
}

/* While a claim is open, nothing behind it becomes durable: who waits for that waits for ever. */
static uint32_t any_sync(struct bed *b)
{
    return !b->is_open && dice_below(&b->dice, 12) == 0 ? SEGLOG_SYNC_RECORD : SEGLOG_SYNC_DEFAULT;
}

static void append_one(struct bed *b)
{
    uint8_t payload[DICE_BYTES];
    struct seglog_record record = {.data = payload};
    uint64_t seq, mark = ++b->o->last_mark;

    record.len = dice_payload(mark, payload);
    record.tag = (uint32_t)mark;
    record.sync = any_sync(b);
    promise(b, &mark, 1);
    ORACLE_OK(b->o, seglog_appender_append_record(any_appender(b), &record, &seq));
    fulfil(b, seq, record.sync);
}

static void append_gathered(struct bed *b)
{
    uint8_t payload[DICE_BYTES];
    uint64_t seq, mark = ++b->o->last_mark;
    const size_t len = dice_payload(mark, payload), cut = dice_below(&b->dice, len + 1);
    const struct iovec iov[2] = {{payload, cut}, {payload + cut, len - cut}};

    promise(b, &mark, 1);
    ORACLE_OK(b->o, seglog_appender_appendv(any_appender(b), iov, 2, 0, (uint32_t)mark, &seq));
    fulfil(b, seq, SEGLOG_SYNC_DEFAULT);
}

static void append_batch(struct bed *b)
{
    uint8_t payloads[8][DICE_BYTES];
    struct seglog_record records[8] = {0};
    uint64_t seq, marks[8], room = 14000; /* a quarter of a segment, less headers */
    size_t n = 0;

    for (const size_t want = 1 + dice_below(&b->dice, 8); n < want; n++) {
        marks[n] = ++b->o->last_mark;
        records[n].data = payloads[n];
        records[n].len = dice_payload(marks[n], payloads[n]);
        records[n].tag = (uint32_t)marks[n];
        if (n > 0 && records[n].len > room)
            break;
        room -= records[n].len;
    }
    records[0].sync = any_sync(b);
    promise(b, marks, n);
    ORACLE_OK(b->o, seglog_appender_append_batch(any_appender(b), records, n, &seq));
    fulfil(b, seq, records[0].sync);
}

void work_append(struct bed *b)
{
    const uint64_t what = dice_below(&b->dice, 8);

    if (what == 0)
        append_gathered(b);
    else if (what < 4)
        append_batch(b);
    else
        append_one(b);
}

/* ---- claims --------------------------------------------------------------------------------- */

/* A claim, its number void until it is committed. Perhaps larger than what will be. */
static void claim_begin(struct bed *b, struct seglog_appender *ap, struct seglog_claim *claim,
                        uint64_t *mark)
{
    uint8_t payload[DICE_BYTES];
    const uint64_t none = 0;
    size_t len;

    *mark = ++b->o->last_mark;
    len = dice_payload(*mark, payload);
    promise(b, &none, 1);
    ORACLE_OK(b->o, seglog_appender_claim(ap, len + dice_below(&b->dice, 200), claim));
    fulfil(b, claim->seq, SEGLOG_SYNC_NONE);
    memset(claim->data, 0x5A, claim->len);
    memcpy(claim->data, payload, len);
    claim->tag = (uint32_t)*mark;
}

static void claim_end(struct bed *b, struct seglog_appender *ap, struct seglog_claim *claim,
                      uint64_t mark)
{
    uint8_t payload[DICE_BYTES];
    const size_t len = dice_payload(mark, payload);

    if (dice_below(&b->dice, 2)) {
        ORACLE_OK(b->o, seglog_appender_abort(ap));
        return;
    }
    b->o->marks[claim->seq] = mark;
    ORACLE_OK(b->o, seglog_appender_commit(ap, claim, len));
    if (b->level == SEGLOG_SYNC_RECORD)
        b->o->durable = claim->seq + 1;
}

static void claim_one(struct bed *b)
{
    struct seglog_appender *ap = any_appender(b);
    struct seglog_claim claim;
    uint64_t mark;

    claim_begin(b, ap, &claim, &mark);
    claim_end(b, ap, &claim, mark);
}

static void claim_batch(struct bed *b)
{
    uint8_t payloads[4][DICE_BYTES];
    static const uint64_t none[4];
    const size_t n = 1 + dice_below(&b->dice, 2), k = dice_below(&b->dice, n + 1);
    struct seglog_appender *ap = any_appender(b);
    struct seglog_claim claims[4];
    uint64_t marks[4];
    size_t lens[4];

    for (size_t i = 0; i < n; i++) {
        marks[i] = ++b->o->last_mark;
        lens[i] = dice_payload(marks[i], payloads[i]);
    }
    promise(b, none, n);
    ORACLE_OK(b->o, seglog_appender_claim_batch(ap, lens, n, claims));
    fulfil(b, claims[0].seq, SEGLOG_SYNC_NONE);
    for (size_t i = 0; i < n; i++) {
        memcpy(claims[i].data, payloads[i], lens[i]);
        claims[i].tag = (uint32_t)marks[i];
        if (i < k)
            b->o->marks[claims[i].seq] = marks[i];
    }
    ORACLE_OK(b->o, seglog_appender_commit_batch(ap, claims, k));
    if (b->level == SEGLOG_SYNC_RECORD && k > 0)
        b->o->durable = claims[k - 1].seq + 1;
}

/* The second handle claims, and goes on with it later. */
static void claim_hold(struct bed *b)
{
    if (b->is_open) {
        claim_end(b, b->aps[1], &b->claim, b->claim_mark);
        b->is_open = false;
    } else if (b->aps[1] && b->level != SEGLOG_SYNC_RECORD) {
        claim_begin(b, b->aps[1], &b->claim, &b->claim_mark);
        b->is_open = true;
    }
}

/* ---- durability ----------------------------------------------------------------------------- */

static void acknowledged(struct bed *b, uint64_t durable)
{
    ORACLE_MUST(b->o, durable <= b->o->next, "durable up to %llu, appended up to %llu",
                (unsigned long long)durable, (unsigned long long)b->o->next);
    if (durable > b->o->durable)
        b->o->durable = durable;
}

static void make_durable(struct bed *b)
{
    struct seglog_log *log = any_log(b);
    const uint64_t what = dice_below(&b->dice, 8);
    uint64_t durable = 0;
    int rc;

    if (what == 0) {
        rc = seglog_log_seal(log, 0);
        ORACLE_MUST(b->o, rc >= 0 || (rc == -ETIMEDOUT && b->is_open), "seal: %s",
                    seglog_status_name(rc));
    } else if (what < 4) {
        rc = seglog_log_tend(log);
        ORACLE_MUST(b->o, rc == 0 || (rc == -EBUSY && b->is_open), "tend: %s",
                    seglog_status_name(rc));
    } else if (what < 6 && b->o->next > 0) {
        const uint64_t seq = dice_below(&b->dice, b->o->next);

        rc = seglog_log_wait_durable(log, seq, 0);
        ORACLE_MUST(b->o, rc == 0 || rc == -ETIMEDOUT, "wait: %s", seglog_status_name(rc));
        if (rc == 0)
            acknowledged(b, seq + 1);
    } else {
        ORACLE_OK(b->o, seglog_log_sync(log, &durable));
        acknowledged(b, durable);
    }
    ORACLE_OK(b->o, seglog_log_progress(log, &durable, NULL));
    acknowledged(b, durable);
}

static void drop(struct bed *b)
{
    struct floor_facts floor;
    int rc;

    b->o->floor_may = b->o->next;
    rc = log_drop_oldest(b->logs[0]);
    ORACLE_MUST(b->o, rc == 0 || rc == -EBUSY || rc == -ENOENT, "drop: %s", seglog_status_name(rc));
    ORACLE_OK(b->o, log_view_floor(&b->logs[0]->view, &floor));
    b->o->floor = b->o->floor_may = floor.first_seq;
}

uint64_t work_recycled(const struct bed *b)
{
    const struct log_view *view = &b->logs[0]->view;
    struct segment_list list;
    uint64_t count = 0;

    ORACLE_OK(b->o, segment_list_read(view->dirfd, &list));
    for (size_t i = 0; i < list.count; i++) {
        struct segment *seg;

        if (segment_open(view->dirfd, list.numbers[i], view->settings.uuid, SEGMENT_PREAD, &seg,
                         NULL) < 0)
            continue;
        count += seg->facts.recycled;
        segment_close(seg);
    }
    segment_list_free(&list);
    return count;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void attach(struct bed *b, unsigned i)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_DEFAULT, SEGLOG_SYNC_DEFAULT, SEGLOG_SYNC_NONE,
                                      SEGLOG_SYNC_INTERVAL};
    /* No thread, and the engine in this one: what is asked of the disk comes through calls.c. The
     * order of a chain is the same with io_uring, see tests/io. */
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .io = SEGLOG_IO_THREADS};
    const struct seglog_appender_options appending = {
        .sync = b->level == SEGLOG_SYNC_RECORD ? 0 : levels[dice_below(&b->dice, 4)]};

    ORACLE_OK(b->o, seglog_log_open(b->dir, &options, &b->logs[i]));
    ORACLE_OK(b->o, seglog_appender_open(b->logs[i], &appending, &b->aps[i]));
}

void work_attach(struct bed *b)
{
    attach(b, 0);
}

void work_attach_second(struct bed *b)
{
    if (dice_below(&b->dice, 2))
        attach(b, 1);
}

void work_detach(struct bed *b)
{
    for (unsigned i = WORK_HANDLES; i-- > 0;) {
        if (!b->logs[i])
            continue;
        ORACLE_OK(b->o, seglog_appender_close(b->aps[i]));
        ORACLE_OK(b->o, seglog_log_close(b->logs[i]));
        b->aps[i] = NULL;
        b->logs[i] = NULL;
    }
    b->is_open = false;
}

void work(struct bed *b)
{
    for (uint64_t n = 1 + dice_below(&b->dice, 40); n > 0; n--) {
        const uint64_t what = dice_below(&b->dice, 48);

        sim_pass(dice_below(&b->dice, 8) == 0 ? 700 * MS : dice_below(&b->dice, 8 * MS));
        if (what == 0) {
            work_detach(b);
            work_attach(b);
            work_attach_second(b);
        } else if (what < 3) {
            for (uint64_t k = dice_below(&b->dice, 4); k > 0; k--)
                drop(b);
            (void)seglog_log_tend(b->logs[0]); /* their files may be recycled */
        } else if (what < 8) {
            make_durable(b);
        } else if (what < 11) {
            claim_one(b);
        } else if (what < 13) {
            claim_batch(b);
        } else if (what < 16) {
            claim_hold(b);
        } else if (what < 21) {
            keep_work(b);
        } else if (what < 26 && b->o->has_state) {
            state_work(b);
        } else if (what < 24 && b->o->has_maps) {
            maps_work(b);
        } else if (what < 27 && b->o->has_maps) {
            structs_work(b);
        } else {
            work_append(b);
        }
    }
}

void work_end(struct bed *b)
{
    if (b->is_open && dice_below(&b->dice, 2))
        claim_hold(b);
}
