/*
 * Reading a cell.
 *
 * The hard part is that the bytes may be overwritten at any time, because nobody waits for readers. A
 * slot says which version it holds before they are touched and after; only if that is the same were
 * the bytes whole. `current` never names a slot that is being written, so a slot at another version means
 * that `current` has moved too: if it has not, the file is damaged.
 */
#include "state/cell.h"

#include <errno.h>

#include "base/words.h"
#include "state/cell_order.h"
#include "sys/bell.h"
#include "sys/clock.h"

#define TRIES 1000

#define SPINS           2000
#define SLICE_SHARED_NS UINT64_C(5000000)

int cell_peek(struct seglog_cell *cell, uint64_t version, struct cell_version *out)
{
    struct cell_slot *slot = cell_slot(cell, version);
    uint64_t offset;

    if (slot_observe(slot) != version << 1)
        return -EAGAIN;
    offset = atomic_load_explicit(&slot->offset, memory_order_relaxed);
    out->version = version;
    out->len = atomic_load_explicit(&slot->len, memory_order_relaxed);
    out->crc = (uint32_t)atomic_load_explicit(&slot->crc, memory_order_relaxed);
    if (slot_recheck(slot) != version << 1)
        return -EAGAIN;
    if (offset < STATE_OFF_DATA || offset % 8 != 0 || out->len > INT64_MAX - 8)
        return SEGLOG_ECORRUPT;
    /* Whole words are read. */
    out->data = cell_at(cell, offset, align_up(out->len, 8));
    if (!out->data)
        return cell_still(cell, version) ? SEGLOG_ECORRUPT : -EAGAIN;
    return 0;
}

bool cell_still(struct seglog_cell *cell, uint64_t version)
{
    return slot_recheck(cell_slot(cell, version)) == version << 1;
}

/* The version to read. 0, -ENODATA, SEGLOG_ECORRUPT */
static int newest(struct seglog_cell *cell, uint64_t *version)
{
    uint64_t last;

    if (atomic_load_explicit(&cell->cold, memory_order_relaxed) && cell_is_cold(cell)) {
        const int rc = cell_find(cell, version, &last);

        if (rc < 0)
            return rc;
    } else {
        *version = current_observe(cell->hot);
    }
    return *version == 0 ? -ENODATA : 0;
}

/* Find the newest version; what is not there at the second look either is damage. */
static int find(struct seglog_cell *cell, struct cell_version *v)
{
    uint64_t version, again;
    int rc = newest(cell, &version);

    if (rc < 0)
        return rc;
    rc = cell_peek(cell, version, v);
    if (rc == -EAGAIN && newest(cell, &again) == 0 && again == version)
        return SEGLOG_ECORRUPT;
    return rc;
}

/* The checksum of bytes that may be changing. */
static uint32_t crc_in_place(const struct seglog_cell *cell, const struct cell_version *v)
{
    const uint64_t who[2] = {v->version, v->len};
    uint32_t state = ~cell->seed;
    uint8_t chunk[512];

    for (uint64_t at = 0, n; at < v->len; at += n) {
        n = v->len - at < sizeof(chunk) ? v->len - at : sizeof(chunk);
        words_load(chunk, v->data + at, n);
        state = crc32c(state, chunk, n);
    }
    return ~crc32c(state, who, sizeof(who));
}

static int read_once(struct seglog_cell *cell, void *buf, size_t cap, bool verify, size_t *len,
                     uint64_t *version)
{
    struct cell_version v;
    const int rc = find(cell, &v);

    if (rc < 0)
        return rc;
    if (v.len <= cap) {
        words_load(buf, v.data, (size_t)v.len);
        if (!cell_still(cell, v.version))
            return -EAGAIN;
        if (verify && cell_crc(cell->seed, buf, v.len, v.version) != v.crc)
            return SEGLOG_ECORRUPT;
    }
    if (len)
        *len = (size_t)v.len;
    if (version)
        *version = v.version;
    return v.len <= cap ? 0 : -EMSGSIZE;
}

static int read_value(struct seglog_cell *cell, void *buf, size_t cap, bool verify, size_t *len,
                      uint64_t *version)
{
    int rc;

    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    for (int i = 0; i < TRIES; i++) {
        rc = read_once(cell, buf, cap, verify, len, version);
        if (rc != -EAGAIN)
            return cell_outcome(cell, rc);
    }
    return cell_outcome(cell, -EAGAIN);
}

int seglog_cell_read(struct seglog_cell *cell, void *buf, size_t cap, size_t *len,
                     uint64_t *version)
{
    return read_value(cell, buf, cap, true, len, version);
}

int seglog_cell_read_unverified(struct seglog_cell *cell, void *buf, size_t cap, size_t *len,
                                uint64_t *version)
{
    return read_value(cell, buf, cap, false, len, version);
}

int seglog_cell_view(struct seglog_cell *cell, struct seglog_cell_view *out)
{
    struct cell_version v;
    int rc = -EAGAIN;

    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    for (int i = 0; i < TRIES && rc == -EAGAIN; i++) {
        rc = find(cell, &v);
        if (rc == 0 && crc_in_place(cell, &v) != v.crc)
            rc = cell_still(cell, v.version) ? SEGLOG_ECORRUPT : -EAGAIN;
    }
    rc = cell_outcome(cell, rc);
    if (rc == 0)
        *out = (struct seglog_cell_view){.data = v.data, .len = v.len, .version = v.version};
    return rc;
}

int seglog_cell_check_view(struct seglog_cell *cell, const struct seglog_cell_view *view)
{
    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    return cell_outcome(cell, cell_still(cell, view->version) ? 0 : -ESTALE);
}

int seglog_cell_version(struct seglog_cell *cell, uint64_t *version)
{
    int rc;

    if (cell_is_forked(cell))
        return SEGLOG_EFORKED;
    rc = newest(cell, version);
    return cell_outcome(cell, rc == -ENODATA || rc == SEGLOG_ECORRUPT ? 0 : rc);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Another version than this? 1, 0, or why that cannot be said. */
static int has_changed(struct seglog_cell *cell, uint64_t version)
{
    uint64_t now;
    const int rc = seglog_cell_version(cell, &now);

    return rc < 0 ? rc : now != version;
}

static int sleep_once(struct seglog_cell *cell, uint64_t version, uint64_t deadline)
{
    const bool can_register = (cell->flags & SEGLOG_CELL_WRITE) != 0;
    const uint32_t ticket = can_register ? bell_ticket(&cell->hot->bell) : 0;
    uint64_t until = deadline, now;
    int rc;

    if (!can_register || !bell_announce(&cell->hot->bell)) {
        now = clock_monotonic_ns();
        if (until > now + SLICE_SHARED_NS)
            until = now + SLICE_SHARED_NS;
    }
    rc = has_changed(cell, version);
    if (rc != 0)
        return rc;
    rc = futex_wait_shared(can_register ? &cell->hot->bell.wake : &cell->never, ticket, until);
    return rc == -ETIMEDOUT && until < deadline ? 0 : rc;
}

int seglog_cell_wait(struct seglog_cell *cell, uint64_t version, uint64_t timeout_ns)
{
    uint64_t now, deadline;
    int rc = 0;

    for (int i = 0; i < SPINS; i++) {
        rc = has_changed(cell, version);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        if (timeout_ns == 0)
            return -ETIMEDOUT;
        cpu_pause();
    }
    now = clock_monotonic_ns();
    deadline = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    while (rc == 0) {
        rc = sleep_once(cell, version, deadline);
        if (has_changed(cell, version) == 1)
            return 0;
    }
    return rc < 0 ? rc : 0;
}
