/*
 * Opening and checking segment files. See segment.h.
 */
#include "segment/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

/* How often a file may turn out to be another, or to be held alone, until that is an error. */
#define OPEN_TRIES 100

void segment_name(uint64_t number, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%016llx.seg", (unsigned long long)number);
}

void segment_archive_name(uint64_t number, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%016llx.arc", (unsigned long long)number);
}

bool segment_name_parse(const char *name, uint64_t *number)
{
    char again[SEGMENT_NAME_BYTES];
    char *end;

    if (strlen(name) != 20)
        return false;
    *number = strtoull(name, &end, 16);
    segment_name(*number, again);
    if (strcmp(name, again) == 0) /* one spelling for each number */
        return true;
    segment_archive_name(*number, again);
    return strcmp(name, again) == 0;
}

int segment_unlink(int dirfd, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    int first, second;

    segment_name(number, name);
    first = file_unlink(dirfd, name);
    segment_archive_name(number, name);
    second = file_unlink(dirfd, name);
    if (first < 0 && first != -ENOENT)
        return first;
    return second == -ENOENT ? 0 : second;
}

static void say(const char **why, const char *text)
{
    if (why)
        *why = text;
}

/* Is it the segment that was asked for? */
static int check_place(const struct segment *seg, uint64_t number, const uint8_t uuid[16],
                       const char **why)
{
    if (memcmp(seg->facts.uuid, uuid, 16) != 0) {
        say(why, "segment of another log");
        return SEGLOG_ECORRUPT;
    }
    if (seg->facts.number != number) {
        say(why, "segment under another's name");
        return SEGLOG_ECORRUPT;
    }
    return 0;
}

/* Does the descriptor still have the name? 1, 0 or a status. */
static int has_name(int dirfd, const char *name, int fd)
{
    struct file_facts opened, named;
    int rc = file_facts(fd, &opened);

    if (rc == 0)
        rc = file_facts_named(dirfd, name, &named);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return named.ino == opened.ino && named.dev == opened.dev;
}

/*
 * Open the file and hold it (flock, shared): from here on nobody makes another segment of it. Between
 * the two it may have lost its name and become another: the name is looked at again.
 */
static int open_held(int dirfd, const char *name, int flags)
{
    int rc = -EBUSY;

    for (int tries = 0; tries < OPEN_TRIES && rc == -EBUSY; tries++) {
        const int fd = file_open(dirfd, name, flags, 0);

        if (fd < 0)
            return fd;
        rc = file_lock(fd, false);
        if (rc == 0)
            rc = has_name(dirfd, name, fd);
        if (rc == 1)
            return fd;
        file_close(fd);
        rc = rc == 0 || rc == -EAGAIN ? -EBUSY : rc; /* made into another just now: look again */
    }
    return rc;
}

/* The header, and the file's size against it. */
static int check_header(struct segment *seg, uint64_t file_size, const char **why)
{
    struct segment_header page;
    int rc;

    if (file_size < PAGE_BYTES) {
        say(why, "segment file is truncated");
        return SEGLOG_ECORRUPT;
    }
    rc = file_pread(seg->fd, &page, sizeof(page), OFF_HEADER);
    if (rc == 0)
        rc = segment_header_decode(&page, &seg->facts, why);
    if (rc == 0 && file_size != seg->facts.size) {
        say(why, "segment file has another size than its header says");
        rc = SEGLOG_ECORRUPT;
    }
    return rc;
}

/* Open one of the two files, and check everything that can be checked without believing a mapping. */
static int open_file(int dirfd, const char *name, bool is_archive, uint64_t number,
                     const uint8_t uuid[16], struct segment *seg, const char **why)
{
    const bool writes = seg->access == SEGMENT_WRITE || seg->access == SEGMENT_PREAD_WRITE;
    const bool maps = seg->access == SEGMENT_READ || seg->access == SEGMENT_WRITE;
    struct file_facts file;
    int rc;

    /* No archive is ever made into another. */
    seg->fd = is_archive ? file_open(dirfd, name, O_RDONLY, 0)
                         : open_held(dirfd, name, writes ? O_RDWR : O_RDONLY);
    rc = seg->fd < 0 ? seg->fd : file_facts(seg->fd, &file);
    if (rc == -ELOOP || rc == -EISDIR || rc == -ENXIO || rc == -ENODEV ||
        (rc == 0 && !file.is_regular)) {
        say(why, "segment is not a regular file");
        return SEGLOG_ECORRUPT;
    }
    if (rc < 0)
        return rc;
    seg->dev = file.dev;
    seg->ino = file.ino;
    if (is_archive) {
        rc = archive_open(seg, file.size, maps, why);
        return rc < 0 ? rc : check_place(seg, number, uuid, why);
    }
    rc = check_header(seg, file.size, why);
    if (rc == 0)
        rc = check_place(seg, number, uuid, why);
    if (rc == 0 && maps)
        rc = segment_map(seg);
    return rc;
}

static int open_one(int dirfd, bool is_archive, uint64_t number, const uint8_t uuid[16],
                    enum segment_access access, struct segment **out, const char **why)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    char name[SEGMENT_NAME_BYTES];
    int rc;

    if (!seg)
        return -ENOMEM;
    seg->fd = -1;
    seg->access = access;
    if (is_archive)
        segment_archive_name(number, name);
    else
        segment_name(number, name);
    rc = open_file(dirfd, name, is_archive, number, uuid, seg, why);
    if (rc < 0) {
        segment_close(seg);
        return rc;
    }
    *out = seg;
    return 0;
}

int segment_map(struct segment *seg)
{
    void *base;
    int rc = 0;

    if (seg->base)
        return 0;
    rc = map_file(seg->fd, 0, seg->facts.size, seg->access == SEGMENT_WRITE, &base);
    if (rc == 0)
        seg->base = base;
    return rc;
}

void segment_unmap(struct segment *seg)
{
    if (seg->base)
        map_drop(seg->base, seg->facts.size);
    seg->base = NULL;
}

int segment_open_archive(int dirfd, uint64_t number, const uint8_t uuid[16], struct segment **out,
                         const char **why)
{
    return open_one(dirfd, true, number, uuid, SEGMENT_PREAD, out, why);
}

/* Is this file, of which there is an archive too, good for nothing? */
static bool is_outdone(int dirfd, uint64_t number, const struct segment *seg)
{
    struct footer_facts footer;

    return archive_exists(dirfd, number) && segment_footer(seg, &footer, NULL) != 0;
}

int segment_open(int dirfd, uint64_t number, const uint8_t uuid[16], enum segment_access access,
                 struct segment **out, const char **why)
{
    struct segment *seg;
    int rc = open_one(dirfd, false, number, uuid, access, &seg, why);

    if (access == SEGMENT_WRITE || access == SEGMENT_PREAD_WRITE) {
        if (rc == -ENOENT && archive_exists(dirfd, number))
            return -ESTALE;
    } else if (rc == -ENOENT) {
        rc = open_one(dirfd, true, number, uuid, access, &seg, why);
    } else if (rc == 0 ? is_outdone(dirfd, number, seg)
                       : rc == SEGLOG_ECORRUPT || rc == SEGLOG_ENOTLOG) {
        struct segment *arc;
        const int second = open_one(dirfd, true, number, uuid, access, &arc, NULL);

        if (second == 0 && rc == 0)
            segment_close(seg);
        if (second == 0) {
            seg = arc;
            rc = 0;
        }
    }
    if (rc == 0)
        *out = seg;
    return rc;
}

void segment_close(struct segment *seg)
{
    if (!seg)
        return;
    segment_unmap(seg);
    archive_close(seg->arc);
    file_close(seg->fd);
    free(seg);
}

void segment_drop_pages(const struct segment *seg)
{
    /* What is still mapped stays in the cache. */
    if (seg->base && !seg->arc)
        (void)map_advise(seg->base, seg->facts.size, MADV_DONTNEED);
    (void)file_advise(seg->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int segment_pread(const struct segment *seg, void *buf, uint64_t n, uint64_t offset)
{
    return seg->arc ? archive_read(seg, buf, n, offset) : file_pread(seg->fd, buf, n, offset);
}

int segment_activation(const struct segment *seg, struct activation_facts *out)
{
    union {
        struct activation_block block;
        uint8_t bytes[sizeof(struct activation_block)];
    } copy;
    int rc;

    if (seg->arc) {
        memcpy(copy.bytes, seg->arc->header.activation, sizeof(copy.bytes));
        return activation_load(&copy.block, seg->facts.generation, out);
    }
    if (seg->base)
        return activation_load(segment_activation_block(seg), seg->facts.generation, out);
    rc = file_pread(seg->fd, copy.bytes, sizeof(copy.bytes), OFF_ACTIVATION);
    if (rc < 0)
        return rc;
    return activation_load(&copy.block, seg->facts.generation, out);
}

int segment_footer(const struct segment *seg, struct footer_facts *out, const char **why)
{
    struct segment_footer page;
    int rc;

    if (seg->arc)
        return footer_decode(&seg->arc->footer, &seg->facts, out, why);
    rc = file_pread(seg->fd, &page, sizeof(page), seg->facts.shape.footer_off);
    if (rc < 0)
        return rc;
    return footer_decode(&page, &seg->facts, out, why);
}

int segment_index(const struct segment *seg, const struct footer_facts *footer,
                  struct index_entry *out)
{
    int rc;

    if (!seg->arc)
        rc = file_pread(seg->fd, out, (size_t)footer->index_count * INDEX_ENTRY_BYTES,
                        footer->index_off);
    else if (footer->index_count == seg->arc->facts.index_count)
        rc = archive_index(seg, out);
    else
        rc = SEGLOG_ECORRUPT;
    if (rc < 0)
        return rc;
    return index_check(out, footer, &seg->facts);
}

int segment_mark(const struct segment *seg, struct mark_facts *out)
{
    static const uint64_t places[2] = {OFF_MARK0, OFF_MARK1};
    bool found = false;

    if (seg->arc) /* the footer says it all */
        return -EAGAIN;
    for (int i = 0; i < 2; i++) {
        struct mark_slot slot;
        struct mark_facts facts;
        const int rc = file_pread(seg->fd, &slot, sizeof(slot), places[i]);

        if (rc < 0)
            return rc;
        if (mark_decode(&slot, &seg->facts, &facts) == 0 &&
            (!found || facts.counter > out->counter)) {
            *out = facts;
            found = true;
        }
    }
    return found ? 0 : -EAGAIN;
}

void segment_mark_next(const struct segment *seg, const struct mark_facts *last, uint64_t offset,
                       uint64_t seq_rel, struct mark_facts *next, struct mark_slot *slot,
                       uint64_t *place)
{
    *next = (struct mark_facts){
        .counter = last ? last->counter + 1 : 1,
        .offset = offset,
        .seq_rel = seq_rel,
        .wall_ns = clock_wall_ns(),
    };
    mark_encode(slot, seg->facts.generation, next);
    *place = next->counter % 2 ? OFF_MARK1 : OFF_MARK0;
}

int segment_mark_write(const struct segment *seg, const struct mark_facts *last, uint64_t offset,
                       uint64_t seq_rel, struct mark_facts *written)
{
    struct mark_facts facts;
    struct mark_slot slot;
    uint64_t place;
    int rc;

    segment_mark_next(seg, last, offset, seq_rel, &facts, &slot, &place);
    rc = file_pwrite(seg->fd, &slot, sizeof(slot), place);
    if (rc == 0 && written)
        *written = facts;
    return rc;
}

enum boot_relation segment_boot_relation(const struct segment *seg, const struct boot_facts *boot)
{
    struct boot_facts now = *boot;
    struct boot_mark mark;

    if (seg->arc)
        return BOOT_OTHER;
    now.dev = seg->dev;
    now.ino = seg->ino;
    if (file_pread(seg->fd, &mark, sizeof(mark), OFF_TAIL + offsetof(struct tail_page, boot)) < 0)
        return BOOT_UNKNOWN;
    return boot_mark_relation(&mark, &now);
}

int segment_abort_claim(int dirfd, const struct segment *seg, uint64_t offset, uint64_t word)
{
    const size_t page_size = map_page_size();
    const uint64_t page = offset & ~(uint64_t)(page_size - 1);
    struct word_facts facts;
    struct file_facts file;
    char name[SEGMENT_NAME_BYTES];
    uint64_t expected = le_swap64(word);
    uint64_t verdict;
    void *base;
    int fd, rc;

    rc = word_decode(&seg->facts.space, offset, word, &facts);
    if (rc < 0 || facts.state != WORD_CLAIMED)
        return rc < 0 ? rc : 0;
    verdict = word_checked(&seg->facts.space, offset, WORD_ABORTED, facts.count, facts.span);

    segment_name(seg->facts.number, name);
    fd = open_held(dirfd, name, O_RDWR);
    if (fd < 0)
        return fd;
    rc = file_facts(fd, &file);
    if (rc == 0 && (file.ino != seg->ino || file.dev != seg->dev || file.size != seg->facts.size))
        rc = -ESTALE;
    if (rc == 0)
        rc = map_file(fd, page, page_size, true, &base);
    file_close(fd);
    if (rc < 0)
        return rc;
    rc = atomic_compare_exchange_strong_explicit(
        (_Atomic uint64_t *)(void *)((uint8_t *)base + (offset - page)), &expected,
        le_swap64(verdict), memory_order_acq_rel, memory_order_acquire);
    map_drop(base, page_size);
    return rc;
}
