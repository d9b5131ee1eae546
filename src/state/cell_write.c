/*
 * Publishing in a cell.
 *
 * A version is written into a slot that readers are not sent to, and then `current` is moved there by
 * one store. Killed before that store the writer leaves a slot that is half written or not published,
 * and the next one numbers on behind it.
 */
#include "state/cell.h"

#include <errno.h>
#include <stdlib.h>

#include "base/words.h"
#include "state/cell_order.h"
#include "sys/bell.h"
#include "sys/file.h"

#define VERSION_MAX (UINT64_MAX >> 2)

/* ---- the writer's place ------------------------------------------------------------------------ */

static uint64_t word(const _Atomic uint64_t *p)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)p, memory_order_relaxed);
}

/* Does the room of slot i lie in the file's data, and in nobody else's? */
static bool has_own_room(struct seglog_cell *cell, uint32_t i)
{
    const uint64_t from = word(&cell->hot->slots[i].offset);
    const uint64_t size = word(&cell->hot->slots[i].capacity);

    if (from < STATE_OFF_DATA || (from | size) % 8 != 0 || size > INT64_MAX ||
        !cell_at(cell, from, size))
        return false;
    for (uint32_t k = 0; k < cell->facts.parts; k++) {
        const uint64_t other = word(&cell->hot->slots[k].offset);
        const uint64_t other_size = word(&cell->hot->slots[k].capacity);

        if (k != i && from < other + other_size && other < from + size)
            return false;
    }
    return true;
}

/* The first writer of this boot: what is current, and whose word that is. */
static void recover(struct seglog_cell *cell)
{
    struct boot_mark mark;
    uint64_t current, last;

    /* A durable version that is lost stays current: readers are told that it is damaged. */
    if (cell_find(cell, &current, &last) < 0)
        current = cell_durable_load(cell->hot, cell->seed);
    atomic_store(&cell->hot->poison, 0);
    current_publish(cell->hot, current);
    boot_mark_encode(&mark, &cell->boot);
    atomic_thread_fence(memory_order_release);
    words_store(&cell->hot->boot, &mark, sizeof(mark));
}

/* Nobody else writes from here on; work out what the last one left. */
static int settle_in(struct seglog_cell *cell)
{
    uint64_t last;

    if (cell_is_cold(cell))
        recover(cell);
    last = current_observe(cell->hot);
    for (uint32_t i = 0; i < cell->facts.parts; i++) {
        const uint64_t version = slot_observe(&cell->hot->slots[i]) >> 1;

        if (version > last)
            last = version;
    }
    if (last >= VERSION_MAX)
        return cell_outcome(cell, SEGLOG_ECORRUPT);
    cell->last = last;
    return cell_outcome(cell, 0);
}

static int take_place(struct seglog_cell *cell, uint64_t timeout_ns)
{
    int rc = state_lock_take(&cell->lock, true, timeout_ns);

    if (rc < 0)
        return rc;
    rc = settle_in(cell);
    if (rc < 0)
        (void)state_lock_drop(&cell->lock);
    else
        cell->is_writer = true;
    return rc;
}

static void leave_place(struct seglog_cell *cell)
{
    if (cell->flags & SEGLOG_CELL_HOLD)
        return;
    cell->is_writer = false;
    (void)state_lock_drop(&cell->lock);
}

int cell_hold(struct seglog_cell *cell)
{
    const int rc = take_place(cell, 0);

    if (rc == 0)
        owner_settle(&cell->lock.owner);
    return rc == -EAGAIN ? -EBUSY : rc;
}

/* Be the writer, and allowed to publish. */
static int begin(struct seglog_cell *cell)
{
    int rc = 0;

    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    if (!(cell->flags & SEGLOG_CELL_WRITE))
        return -EPERM;
    if (cell->opening)
        return -EBUSY;
    if (!cell->is_writer)
        rc = take_place(cell, cell->timeout_ns);
    if (rc < 0)
        return rc == -EAGAIN ? -ETIMEDOUT : rc;
    if ((cell->flags & SEGLOG_CELL_DURABLE) && atomic_load(&cell->hot->poison) != 0) {
        leave_place(cell);
        return SEGLOG_EPOISONED;
    }
    return 0;
}

/* ---- one version ----------------------------------------------------------------------------- */

/* A version whose slot readers are not sent to. */
static uint64_t next_version(struct seglog_cell *cell)
{
    const uint64_t current = word(&cell->hot->current);
    uint64_t next = cell->last + 1;

    if (next % cell->facts.parts == current % cell->facts.parts)
        next++;
    return next;
}

/* Room at the end of the file, twice what it was: the old stays unused, so all of it together is at
 * most as much as the new. Before slot_begin(), so that a full disk changes nothing. */
static int find_room(struct seglog_cell *cell, const struct cell_slot *slot, uint64_t len,
                     uint64_t *offset, uint64_t *capacity)
{
    const uint32_t i = (uint32_t)(slot - cell->hot->slots);
    struct file_facts facts;
    int rc;

    *offset = word(&slot->offset);
    *capacity = word(&slot->capacity);
    if (len <= *capacity && has_own_room(cell, i))
        return 0;
    if (len > INT64_MAX / 8)
        return -EMSGSIZE;
    rc = file_facts(cell->fd, &facts);
    if (rc < 0)
        return rc;
    *capacity = align_up(*capacity <= len && *capacity * 2 > len ? *capacity * 2 : len, PAGE_BYTES);
    *offset = align_up(facts.size, PAGE_BYTES);
    rc = file_lengthen(cell->fd, *offset, *capacity);
    if (rc < 0)
        return rc;
    return cell_at(cell, *offset, *capacity) ? 0 : -ENOMEM;
}

static int open_version(struct seglog_cell *cell, uint64_t len, void **out)
{
    const uint64_t version = next_version(cell);
    struct cell_slot *slot = cell_slot(cell, version);
    uint64_t offset, capacity;
    int rc;

    if (cell->facts.size != 0 && len != cell->facts.size)
        return -EMSGSIZE;
    rc = find_room(cell, slot, len, &offset, &capacity);
    if (rc < 0)
        return rc;
    cell->last = version;
    slot_begin(slot, version);
    atomic_store_explicit(&slot->offset, offset, memory_order_relaxed);
    atomic_store_explicit(&slot->capacity, capacity, memory_order_relaxed);
    atomic_store_explicit(&slot->len, len, memory_order_relaxed);
    cell->opening = version;
    cell->opening_len = len;
    *out = region_at(&cell->region, offset, align_up(len, 8));
    return 0;
}

/* Sync, and remember that this version is on the disk. */
static int make_durable(struct seglog_cell *cell, uint64_t version)
{
    const int rc = file_datasync(cell->fd);

    if (rc < 0) {
        atomic_store(&cell->hot->poison, (uint32_t)-rc);
        return rc;
    }
    /* It rides to the disk with the next sync: it may lag behind, never lead. */
    cell_durable_store(cell->hot, cell->seed, version);
    return 0;
}

static int publish_version(struct seglog_cell *cell, uint32_t crc)
{
    const uint64_t version = cell->opening;
    struct cell_slot *slot = cell_slot(cell, version);
    int rc = 0;

    cell->opening = 0;
    atomic_store_explicit(&slot->crc, crc, memory_order_relaxed);
    slot_finish(slot, version);
    if (cell->flags & SEGLOG_CELL_DURABLE)
        rc = make_durable(cell, version);
    rc = cell_outcome(cell, rc);
    if (rc < 0)
        return rc;
    current_publish(cell->hot, version);
    if (bell_is_awaited(&cell->hot->bell, cell->fence))
        bell_ring(&cell->hot->bell);
    return 0;
}

static int publish_bytes(struct seglog_cell *cell, const void *value, size_t len)
{
    void *at;
    const int rc = open_version(cell, len, &at);

    if (rc < 0)
        return rc;
    words_store(at, value, len);
    return publish_version(cell, cell_crc(cell->seed, value, len, cell->opening));
}

int seglog_cell_publish(struct seglog_cell *cell, const void *value, size_t len)
{
    int rc = begin(cell);

    if (rc < 0)
        return rc;
    rc = publish_bytes(cell, value, len);
    leave_place(cell);
    return rc;
}

int seglog_cell_reserve(struct seglog_cell *cell, size_t len, void **out)
{
    int rc = begin(cell);

    if (rc < 0)
        return rc;
    rc = open_version(cell, len, out);
    if (rc < 0)
        leave_place(cell);
    return rc;
}

int seglog_cell_commit(struct seglog_cell *cell)
{
    const struct cell_slot *slot;
    const uint8_t *at;
    int rc;

    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    if (!cell->opening)
        return -EINVAL;
    slot = cell_slot(cell, cell->opening);
    at = region_at(&cell->region, word(&slot->offset), cell->opening_len);
    rc = !at ? SEGLOG_ECORRUPT
             : publish_version(cell, cell_crc(cell->seed, at, cell->opening_len, cell->opening));
    cell->opening = 0;
    leave_place(cell);
    return rc;
}

int seglog_cell_abort(struct seglog_cell *cell)
{
    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    if (!cell->opening)
        return -EINVAL;
    cell->opening = 0;
    leave_place(cell);
    return 0;
}

/* ---- read, change, publish --------------------------------------------------------------------- */

/* The value in `scratch`, with room for cap. */
static int load_scratch(struct seglog_cell *cell, size_t cap, size_t *len)
{
    for (;;) {
        int rc = seglog_cell_read(cell, cell->scratch, cell->scratch_size, len, NULL);
        size_t want;
        uint8_t *more;

        if (rc < 0 && rc != -EMSGSIZE)
            return rc;
        want = *len > cap ? *len : cap;
        if (rc == 0 && want <= cell->scratch_size)
            return 0;
        more = realloc(cell->scratch, want ? want : 1);
        if (!more)
            return -ENOMEM;
        cell->scratch = more;
        cell->scratch_size = want;
    }
}

static int change_value(struct seglog_cell *cell, size_t cap, seglog_cell_change *change,
                        void *context, const void *fallback, size_t fallback_len)
{
    size_t len = 0;
    int rc = load_scratch(cell, cap, &len);

    if ((rc == -ENODATA || rc == SEGLOG_ECORRUPT) && fallback)
        return publish_bytes(cell, fallback, fallback_len);
    if (rc < 0)
        return rc;
    if (cap < len)
        cap = len;
    rc = change(context, cell->scratch, &len, cap);
    if (rc < 0)
        return rc;
    return len > cap ? -EINVAL : publish_bytes(cell, cell->scratch, len);
}

int seglog_cell_update(struct seglog_cell *cell, size_t cap, seglog_cell_change *change,
                       void *context, const void *fallback, size_t fallback_len)
{
    int rc = begin(cell);

    if (rc < 0)
        return rc;
    rc = change_value(cell, cap, change, context, fallback, fallback_len);
    leave_place(cell);
    return rc;
}

int seglog_cell_sync(struct seglog_cell *cell)
{
    int rc = begin(cell);

    if (rc < 0)
        return rc;
    if (atomic_load(&cell->hot->poison) != 0)
        rc = SEGLOG_EPOISONED;
    else if (current_observe(cell->hot) != 0)
        rc = make_durable(cell, current_observe(cell->hot));
    rc = cell_outcome(cell, rc);
    leave_place(cell);
    return rc == 0 && cell->is_volatile ? SEGLOG_EVOLATILE : rc;
}
