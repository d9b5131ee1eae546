/*
 * The tape: see tape.h.
 */
#include "fscut/tape.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks of zeros take no room. */
static int read_base(struct tape *t, const char *base)
{
    static const uint8_t zero[TAPE_BLOCK];
    const int fd = open(base, O_RDONLY | O_CLOEXEC);
    uint8_t block[TAPE_BLOCK];
    uint64_t at = 0;
    ssize_t n = -1;

    if (fd < 0)
        return -1;
    for (; at < TAPE_DISK; at += TAPE_BLOCK) {
        n = pread(fd, block, TAPE_BLOCK, (off_t)at);
        if (n != TAPE_BLOCK)
            break;
        if (memcmp(block, zero, TAPE_BLOCK) == 0)
            continue;
        memcpy(t->base + at, block, TAPE_BLOCK);
        t->base_used[at / TAPE_BLOCK] = 1;
    }
    close(fd);
    t->disk_size = at;
    return n < 0 ? -1 : 0;
}

struct tape *tape_open(const char *path, const char *base)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC | (base ? O_CREAT | O_TRUNC : 0), 0600);
    struct stat st;
    struct tape *t;

    if (fd < 0)
        return NULL;
    if (base && ftruncate(fd, sizeof(*t)) < 0)
        goto failed;
    if (fstat(fd, &st) < 0)
        goto failed;
    if (st.st_size != (off_t)sizeof(*t)) {
        errno = EINVAL;
        goto failed;
    }
    t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (t == MAP_FAILED)
        goto failed;
    close(fd);
    if (base && read_base(t, base) == 0)
        t->magic = TAPE_MAGIC;
    if (t->magic == TAPE_MAGIC && t->disk_size > 0 && t->disk_size <= TAPE_DISK)
        return t;
    munmap(t, sizeof(*t));
    errno = EINVAL;
    return NULL;

failed:
    close(fd);
    return NULL;
}

void tape_close(struct tape *t)
{
    munmap(t, sizeof(*t));
}

/* ---- at work -------------------------------------------------------------------------------- */

uint64_t tape_stamp(const struct tape *t)
{
    return atomic_load(&t->stamp);
}

struct tape_note *tape_may(struct tape *t, uint32_t object, uint64_t value, bool durable)
{
    const uint64_t i = atomic_fetch_add(&t->note_count, 1);
    struct tape_note *note;

    if (i >= TAPE_NOTES) { /* what comes now is not known any more, so it may not come */
        atomic_store(&t->full, 1);
        atomic_store(&t->stop, 1);
        return NULL;
    }
    note = &t->notes[i];
    note->object = object;
    note->durable = durable;
    atomic_store(&note->value, value);
    atomic_store(&note->begin, tape_stamp(t) + 1);
    return note;
}

void tape_is(const struct tape *t, struct tape_note *note, uint64_t value)
{
    /* What was acknowledged while nothing was taken down any more cannot be asked for. */
    if (!note || atomic_load(&t->full))
        return;
    atomic_store(&note->value, value);
    atomic_store(&note->end, tape_stamp(t) + 1);
}

void tape_say(struct tape *t, uint32_t object, uint64_t value)
{
    tape_is(t, tape_may(t, object, value, true), value);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

static uint64_t notes_of(const struct tape *t)
{
    const uint64_t count = atomic_load(&t->note_count);

    return count < TAPE_NOTES ? count : TAPE_NOTES;
}

static bool had_begun(const struct tape_note *note, uint64_t cut)
{
    return note->begin != 0 && note->begin - 1 <= cut;
}

static bool had_ended(const struct tape_note *note, uint64_t cut)
{
    return note->end != 0 && note->end - 1 <= cut;
}

uint64_t tape_highest(const struct tape *t, uint32_t object, uint64_t cut, bool may)
{
    const uint64_t count = notes_of(t);
    uint64_t highest = 0;

    for (uint64_t i = 0; i < count; i++) {
        const struct tape_note *note = &t->notes[i];

        if (note->object == object && (may ? had_begun(note, cut) : had_ended(note, cut)) &&
            note->value > highest)
            highest = note->value;
    }
    return highest;
}

uint64_t tape_within(const struct tape *t, uint32_t object, uint64_t roll)
{
    const uint64_t count = notes_of(t);

    for (uint64_t i = 0; i < count; i++) {
        const struct tape_note *note = &t->notes[(roll + i) % count];
        uint64_t at;

        if (note->object != object || note->end == 0)
            continue;
        at = note->begin - 1 + (roll >> 32) % (note->end - note->begin + 3);
        return at < t->end ? at : t->end;
    }
    return 0;
}

bool tape_allows(const struct tape *t, uint32_t object, uint64_t cut, uint64_t value, bool loose)
{
    const uint64_t count = notes_of(t);
    bool allows = value == 0; /* at the beginning there is none */
    bool since = false;

    for (uint64_t i = 0; i < count; i++) {
        const struct tape_note *note = &t->notes[i];
        const uint64_t is = note->value;

        if (note->object != object || !had_begun(note, cut))
            continue;
        if (note->durable && had_ended(note, cut)) {
            allows = is == value;
            since = false;
        } else {
            allows = allows || is == value || is == TAPE_UNKNOWN;
            since = true;
        }
    }
    return allows || (loose && since && value == 0);
}

bool tape_has_mark(const struct tape *t, uint64_t seq, uint64_t mark)
{
    const uint64_t lost = atomic_load(&t->lost_count);

    if (mark == 0 || seq >= TAPE_SEQS)
        return false;
    if (t->marks[seq] != 0)
        return t->marks[seq] == mark;
    for (uint64_t i = 0; i < lost && i < TAPE_LOST; i++)
        if (mark <= t->lost[i] && t->lost[i] - mark < TAPE_BATCH << 8 &&
            (mark & 0xff) == (t->lost[i] & 0xff))
            return true;
    return false;
}
