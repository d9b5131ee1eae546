/*
 * Cells: making and opening them, and finding out what a crash of the machine left.
 *
 * While the machine runs there is nothing to find out: `current` names a whole version, whoever died.
 * After a power cut the pages of the file may be of different moments. Then the highest version whose
 * checksum is right counts, `current` is put there by the first writer, and until one comes every
 * reader looks for it by itself.
 */
#include "state/cell.h"

#include <errno.h>
#include <stdlib.h>

#include "base/words.h"
#include "state/cell_order.h"
#include "state/place.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"
#include "sys/wait.h"

#define SLOTS_DEFAULT 8u
#define CAPACITY_MIN  64u
#define CAPACITY_MAX  (UINT64_C(1) << 40)

/* ---- making ---------------------------------------------------------------------------------- */

static int check_options(const struct seglog_cell_options *o)
{
    const uint32_t all = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE | SEGLOG_CELL_HOLD |
                         SEGLOG_CELL_DURABLE | SEGLOG_CELL_NO_GUARD | SEGLOG_CELL_FORCE_FS;

    if ((o->flags & ~all) || o->reserved != 0 || o->file_mode > 0777)
        return -EINVAL;
    if ((o->flags & (SEGLOG_CELL_CREATE | SEGLOG_CELL_HOLD | SEGLOG_CELL_DURABLE)) &&
        !(o->flags & SEGLOG_CELL_WRITE))
        return -EINVAL;
    if (o->slots != 0 && (o->slots < CELL_SLOTS_MIN || o->slots > CELL_SLOTS_MAX))
        return -EINVAL;
    return o->capacity > CAPACITY_MAX || o->size > CAPACITY_MAX ? -EINVAL : 0;
}

struct making {
    const struct state_facts *facts;
    uint64_t capacity;
};

static int fill(void *context, int fd)
{
    const struct making *making = context;
    union {
        struct state_header header;
        struct cell_hot hot;
        uint8_t bytes[PAGE_BYTES];
    } page;
    int rc;

    state_header_encode(&page.header, MAGIC_CELL, making->facts);
    rc = file_pwrite(fd, page.bytes, sizeof(page), 0);
    memset(&page, 0, sizeof(page));
    for (uint32_t i = 0; i < making->facts->parts; i++) {
        atomic_init(&page.hot.slots[i].offset, STATE_OFF_DATA + i * making->capacity);
        atomic_init(&page.hot.slots[i].capacity, making->capacity);
    }
    return rc < 0 ? rc : file_pwrite(fd, page.bytes, sizeof(page), STATE_OFF_HOT);
}

static int make(const struct place *place, const struct seglog_cell_options *o)
{
    struct state_facts facts = {
        .schema = o->schema,
        .size = o->size,
        .created_ns = clock_wall_ns(),
        .parts = o->slots ? o->slots : SLOTS_DEFAULT,
    };
    struct making making = {.facts = &facts};
    uint64_t capacity = o->capacity > o->size ? o->capacity : o->size;
    int rc = random_bytes(facts.uuid, sizeof(facts.uuid));

    if (rc == 0)
        rc = random_bytes(&facts.generation, sizeof(facts.generation));
    if (rc < 0)
        return rc;
    facts.generation |= 1;
    making.capacity = align_up(capacity > CAPACITY_MIN ? capacity : CAPACITY_MIN, 64);
    return place_create(place, o->file_mode ? o->file_mode : 0640,
                        align_up(STATE_OFF_DATA + facts.parts * making.capacity, PAGE_BYTES), fill,
                        &making);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int read_header(struct seglog_cell *cell, const struct seglog_cell_options *o,
                       uint64_t *size)
{
    struct state_header page;
    struct file_facts file;
    int rc = file_facts(cell->fd, &file);

    if (rc == 0)
        rc = file_pread(cell->fd, &page, sizeof(page), 0);
    if (rc == -ENODATA)
        return SEGLOG_ENOTLOG; /* shorter than any of ours */
    if (rc == 0)
        rc = state_header_decode(&page, MAGIC_CELL, &cell->facts);
    if (rc < 0)
        return rc;
    if (cell->facts.parts < CELL_SLOTS_MIN || cell->facts.parts > CELL_SLOTS_MAX ||
        cell->facts.size > CAPACITY_MAX)
        return SEGLOG_ECORRUPT;
    if (file.size < STATE_OFF_DATA)
        return SEGLOG_ETRUNCATED;
    if ((o->schema != 0 && o->schema != cell->facts.schema) ||
        (o->size != 0 && o->size != cell->facts.size))
        return SEGLOG_EMISMATCH;
    cell->seed = state_seed(cell->facts.generation);
    cell->boot.dev = file.dev;
    cell->boot.ino = file.ino;
    *size = file.size;
    return boot_id_find(cell->boot.boot_id, &cell->boot.known);
}

static void cell_free(struct seglog_cell *cell)
{
    file_close(cell->fd);
    fork_guard_free(cell->guard);
    free(cell->scratch);
    free(cell);
}

/* Take fd over; it is closed on failure. */
static int cell_make(int fd, const struct seglog_cell_options *o, bool is_volatile,
                     struct seglog_cell **out)
{
    struct region_options region = {
        .writable = (o->flags & SEGLOG_CELL_WRITE) != 0,
        .guarded = !(o->flags & SEGLOG_CELL_NO_GUARD),
    };
    struct seglog_cell *cell = calloc(1, sizeof(*cell));
    int rc;

    if (!cell) {
        file_close(fd);
        return -ENOMEM;
    }
    cell->fd = fd;
    cell->flags = o->flags;
    cell->is_volatile = is_volatile;
    cell->timeout_ns = o->timeout_ns ? o->timeout_ns : UINT64_MAX;
    cell->guard = fork_guard_new();
    rc = cell->guard ? read_header(cell, o, &region.size) : -ENOMEM;
    if (rc == 0)
        rc = region_open(&cell->region, fd, &region);
    if (rc < 0) {
        cell_free(cell);
        return rc;
    }
    cell->hot = (struct cell_hot *)region_at(&cell->region, STATE_OFF_HOT, PAGE_BYTES);
    cell->fence = !region.writable || !barrier_register();
    atomic_init(&cell->cold, true);
    state_lock_init(&cell->lock, fd, region.writable);
    *out = cell;
    return 0;
}

int seglog_cell_open(const char *path, const struct seglog_cell_options *options,
                     struct seglog_cell **out)
{
    static const struct seglog_cell_options plain;
    const struct seglog_cell_options *o = options ? options : &plain;
    struct seglog_cell *cell = NULL;
    struct place place;
    int fd, rc = check_options(o);

    if (rc == 0)
        rc = place_open(path, o->flags & SEGLOG_CELL_FORCE_FS, &place);
    if (rc < 0)
        return rc;
    if (place.is_volatile && (o->flags & SEGLOG_CELL_DURABLE)) {
        place_close(&place);
        return SEGLOG_EVOLATILE;
    }
    fd = place_find(&place, o->flags & SEGLOG_CELL_WRITE);
    if (fd == -ENOENT && (o->flags & SEGLOG_CELL_CREATE)) {
        fd = make(&place, o);
        if (fd == -EEXIST)
            fd = place_find(&place, true); /* others were faster */
    }
    rc = fd < 0 ? fd : cell_make(fd, o, place.is_volatile, &cell);
    place_close(&place);
    if (rc == 0 && (o->flags & SEGLOG_CELL_HOLD))
        rc = cell_hold(cell);
    if (rc < 0) {
        seglog_cell_close(cell);
        return rc;
    }
    *out = cell;
    return 0;
}

void seglog_cell_close(struct seglog_cell *cell)
{
    if (!cell)
        return;
    if (!cell_is_forked(cell))
        state_lock_end(&cell->lock);
    region_close(&cell->region);
    cell_free(cell);
}

/* ---- what a crash left ----------------------------------------------------------------------- */

int cell_outcome(struct seglog_cell *cell, int rc)
{
    struct file_facts facts;

    if (!region_is_hit(&cell->region))
        return rc;
    if (file_facts(cell->fd, &facts) == 0 && facts.size < atomic_load(&cell->region.size))
        return SEGLOG_ETRUNCATED;
    return -EIO;
}

uint8_t *cell_at(struct seglog_cell *cell, uint64_t offset, uint64_t len)
{
    uint8_t *at = region_at(&cell->region, offset, len);
    struct file_facts facts;

    if (at || offset > INT64_MAX || len > INT64_MAX || file_facts(cell->fd, &facts) < 0)
        return at;
    /* Somebody has made it longer: values have outgrown their room. */
    if (offset + len > facts.size || region_extend(&cell->region, facts.size) < 0)
        return NULL;
    return region_at(&cell->region, offset, len);
}

bool cell_is_cold(struct seglog_cell *cell)
{
    struct boot_mark mark;

    if (!atomic_load_explicit(&cell->cold, memory_order_acquire))
        return false;
    words_load(&mark, &cell->hot->boot, sizeof(mark));
    if (boot_mark_relation(&mark, &cell->boot) != BOOT_SAME)
        return true;
    atomic_thread_fence(memory_order_acquire); /* what its writer stored before it */
    atomic_store_explicit(&cell->cold, false, memory_order_release);
    return false;
}

static bool is_whole(struct seglog_cell *cell, uint64_t version)
{
    struct cell_version v;

    return cell_peek(cell, version, &v) == 0 &&
           cell_crc(cell->seed, v.data, v.len, v.version) == v.crc;
}

int cell_find(struct seglog_cell *cell, uint64_t *current, uint64_t *last)
{
    const uint64_t durable = cell_durable_load(cell->hot, cell->seed);

    *current = 0;
    *last = durable;
    for (uint32_t i = 0; i < cell->facts.parts; i++) {
        const uint64_t seq = slot_observe(&cell->hot->slots[i]);
        const uint64_t version = seq >> 1;

        if (version > *last)
            *last = version;
        /* One that was not finished is half written, whatever its checksum says. */
        if ((seq & 1) == 0 && version > *current && version % cell->facts.parts == i &&
            is_whole(cell, version))
            *current = version;
    }
    return *current < durable ? SEGLOG_ECORRUPT : 0;
}
