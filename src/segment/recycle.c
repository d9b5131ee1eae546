/*
 * Making a segment of the file of a removed one.
 *
 * Pages that are in memory already are several times cheaper to clear than new ones are to get. The
 * hard part is everybody who may still look at the file or, worse, store into it: a stopped producer,
 * a reader, a forked child. Whoever has a segment open holds a shared lock on the description that it
 * maps the file through, which lasts as long as the mapping; who opens one looks at the name again
 * once it has that lock. So a file that has lost its name, and that can be locked alone, is nobody's.
 * ARCHITECTURE, "Recycling", has the argument step by step, with kills and power cuts.
 */
#include "segment/recycle.h"
#include "segment/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/file.h"

#define RETIRED_SUFFIX ".retired.tmp"

/* More than this is not kept back from a disk that may need the room. */
#define RETIRED_BYTES_MAX (UINT64_C(256) << 20)

static void retired_name(uint64_t number, char out[RETIRED_NAME_BYTES])
{
    snprintf(out, RETIRED_NAME_BYTES, "%016llx" RETIRED_SUFFIX, (unsigned long long)number);
}

static bool retired_parse(const char *name, uint64_t *number)
{
    char again[RETIRED_NAME_BYTES];

    if (strlen(name) != 16 + sizeof(RETIRED_SUFFIX) - 1)
        return false;
    *number = strtoull(name, NULL, 16);
    retired_name(*number, again);
    return strcmp(name, again) == 0;
}

/* ---- what there is -------------------------------------------------------------------------- */

struct retired_list {
    uint64_t numbers[2 * RETIRED_MAX]; /* the lowest, ascending */
    size_t count;                      /* of all */
};

static int retired_add(void *context, const char *name)
{
    struct retired_list *list = context;
    const size_t places = sizeof(list->numbers) / sizeof(list->numbers[0]);
    size_t at = list->count < places ? list->count : places;
    uint64_t number;

    if (!retired_parse(name, &number))
        return 0;
    list->count++;
    while (at > 0 && list->numbers[at - 1] > number) {
        if (at < places)
            list->numbers[at] = list->numbers[at - 1];
        at--;
    }
    if (at < places)
        list->numbers[at] = number;
    return 0;
}

static int retired_read(int dirfd, struct retired_list *out)
{
    int rc;

    *out = (struct retired_list){0};
    rc = dir_each(dirfd, retired_add, out);
    if (out->count > sizeof(out->numbers) / sizeof(out->numbers[0]))
        out->count = sizeof(out->numbers) / sizeof(out->numbers[0]);
    return rc;
}

static size_t retired_max(uint64_t size)
{
    const uint64_t fit = RETIRED_BYTES_MAX / size;

    return fit < 1 ? 1 : fit < RETIRED_MAX ? (size_t)fit : RETIRED_MAX;
}

int segment_retire(int dirfd, uint64_t number, uint64_t size)
{
    char name[SEGMENT_NAME_BYTES], retired[RETIRED_NAME_BYTES];
    struct retired_list list;
    int rc = retired_read(dirfd, &list);

    segment_name(number, name);
    retired_name(number, retired);
    if (rc == 0 && list.count < retired_max(size)) {
        rc = file_rename_new(dirfd, name, retired);
        if (rc == 0 || rc == -ENOENT)
            return rc;
    }
    return file_unlink(dirfd, name);
}

/* ---- making one anew ------------------------------------------------------------------------ */

/* Ours alone, and of the right make? 0; -EAGAIN: held by others; -ESTALE: of no use to anybody. */
static int take_alone(int dirfd, const char *retired, int fd, uint64_t size)
{
    struct file_facts file, named;
    int rc = file_lock(fd, true);

    if (rc == 0)
        rc = file_facts(fd, &file);
    if (rc == 0)
        rc = file_facts_named(dirfd, retired, &named);
    if (rc < 0)
        return rc; /* -ENOENT: made into another by somebody who died since */
    if (named.ino != file.ino || named.dev != file.dev)
        return -ENOENT;
    /* Another name is somebody's backup, another size another log's. */
    return file.is_regular && file.size == size && file.names == 1 ? 0 : -ESTALE;
}

/* The other lives of these bytes had other generations: never the last one again, nor one alike. */
static int new_generation(struct segment *seg)
{
    struct segment_header page;
    struct segment_facts old;
    int rc = file_pread(seg->fd, &page, sizeof(page), OFF_HEADER);

    if (rc < 0)
        return rc;
    if (segment_header_decode(&page, &old, NULL) < 0)
        return 0; /* a recycler before us was killed */
    while (rc == 0 && (uint16_t)old.generation == (uint16_t)seg->facts.generation) {
        rc = random_bytes(&seg->facts.generation, sizeof(seg->facts.generation));
        frame_space_init(&seg->facts.space, seg->facts.size, seg->facts.generation);
    }
    return rc;
}

/*
 * All that tells what the file is, in one write that is durable before the new name is: behind a power
 * cut, no mark, activation or header of the last life is under the new name.
 */
static int new_identity(struct segment *seg, const struct prepare_order *order)
{
    uint8_t *blocks = aligned_alloc(PAGE_BYTES, OFF_FRAMES);
    int rc = -ENOMEM;

    if (!blocks)
        return rc;
    rc = prepare_identity(seg, order, blocks);
    if (rc == 0)
        rc = file_pwrite_durable(seg->fd, blocks, OFF_FRAMES, OFF_HEADER);
    free(blocks);
    return rc;
}

static int new_content(struct segment *seg, const struct prepare_order *order)
{
    int rc = file_unshare(seg->fd, order->size);

    if (rc == 0)
        rc = file_reserve(seg->fd, order->size);
    if (rc == 0)
        rc = new_generation(seg);
    if (rc == 0)
        rc = new_identity(seg, order);
    /* Y1: the header is new, the frames are not. Only the name in retirement exists. */
    if (rc == 0 && order->how == PREPARE_COMMITS)
        return prepare_for_commits(seg, order);
    if (rc == 0)
        rc = segment_map(seg);
    if (rc == 0) /* through a mapping of its own: this also brings every page in for writing */
        memset(seg->base + OFF_FRAMES, 0, order->size - OFF_FRAMES);
    return rc;
}

static int recycle_file(int dirfd, const struct prepare_order *order, const char *retired,
                        struct segment *seg)
{
    char name[SEGMENT_NAME_BYTES];
    int rc;

    seg->fd = file_open(dirfd, retired, O_RDWR | O_NOFOLLOW, 0);
    if (seg->fd < 0)
        return seg->fd;
    rc = take_alone(dirfd, retired, seg->fd, order->size);
    if (rc == 0)
        rc = new_content(seg, order);
    /* Y2: as good as new. Shared again before it has a name: who opens that must not be refused. */
    if (rc == 0)
        rc = file_lock(seg->fd, false);
    segment_name(order->number, name);
    if (rc == 0)
        rc = file_rename_new(dirfd, retired, name);
    /* Y3: a spare. */
    return rc;
}

/* Refused once more: has it been often enough? Then its holders may keep it, without a name. */
static bool give_up(struct recycler *r, uint64_t number)
{
    struct recycler_try *t = &r->tries[number % RETIRED_MAX];

    if (t->number != number || t->count == 0)
        *t = (struct recycler_try){.number = number};
    return ++t->count >= RECYCLE_TRIES;
}

static int recycle_one(int dirfd, const struct prepare_order *order, struct recycler *r,
                       uint64_t number, struct segment **out)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    char retired[RETIRED_NAME_BYTES];
    int rc = seg ? prepare_facts(seg, order) : -ENOMEM;

    retired_name(number, retired);
    if (rc == 0) {
        seg->facts.recycled = true;
        rc = recycle_file(dirfd, order, retired, seg);
    }
    if (rc == 0) {
        *out = seg;
        return 0;
    }
    segment_close(seg);
    if (rc == -ESTALE || (rc == -EAGAIN && give_up(r, number)))
        file_unlink(dirfd, retired);
    return rc;
}

int segment_recycle(int dirfd, const struct prepare_order *order, struct recycler *r,
                    struct segment **out)
{
    struct retired_list list;
    int rc = retired_read(dirfd, &list);

    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        const int one = recycle_one(dirfd, order, r, list.numbers[i], out);

        if (one == 0 || one == -EEXIST || one == -ENOMEM)
            return one;
        /* Whatever else stood in the way: there are other files, and new ones. */
    }
    return rc < 0 ? rc : -ENOENT;
}
