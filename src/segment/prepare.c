/*
 * Preparing segments: a file is made whole under a temporary name and then given its name.
 *
 * The hard part is that a half-made segment must never be seen, and that a full disk must be met
 * here and nowhere later: real blocks are reserved before anything is mapped, and a reservation that
 * fails half way (ext4 keeps what it got) is removed. How the pages come into memory decides what
 * appends and commits cost later: see enum prepare_how.
 */
#include "segment/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#define TEMP_SUFFIX ".seg.tmp"

/* Pages written at once stay together in one piece (a folio), which is mapped and cleared faster. */
#define ZERO_STEP (UINT64_C(1) << 20)
/* For commits: what a store through the mapping makes dirty is written back as a whole. Smaller ones
 * cost large commits more than they save small ones. */
#define COMMIT_STEP (UINT64_C(64) << 10)

static void temp_name(uint64_t number, uint64_t nonce, char out[64])
{
    snprintf(out, 64, "%016llx-%016llx" TEMP_SUFFIX, (unsigned long long)number,
             (unsigned long long)nonce);
}

int prepare_identity(struct segment *seg, const struct prepare_order *order, uint8_t *blocks)
{
    struct boot_facts now = *order->boot;
    struct tail_page *tail = (struct tail_page *)(void *)(blocks + OFF_TAIL);
    struct file_facts file;
    int rc = file_facts(seg->fd, &file);

    if (rc < 0)
        return rc;
    now.dev = seg->dev = file.dev;
    now.ino = seg->ino = file.ino;
    memset(blocks, 0, OFF_FRAMES);
    segment_header_encode((struct segment_header *)(void *)(blocks + OFF_HEADER), &seg->facts);
    boot_mark_encode(&tail->boot, &now);
    word_store(&tail->tail, tail_word(0, OFF_FRAMES), memory_order_relaxed);
    return 0;
}

static int write_identity(struct segment *seg, const struct prepare_order *order)
{
    uint8_t *blocks = aligned_alloc(PAGE_BYTES, OFF_FRAMES);
    int rc = -ENOMEM;

    if (!blocks)
        return rc;
    rc = prepare_identity(seg, order, blocks);
    if (rc == 0)
        rc = file_pwrite(seg->fd, blocks, OFF_FRAMES, OFF_HEADER);
    free(blocks);
    return rc;
}

int prepare_for_commits(struct segment *seg, const struct prepare_order *order)
{
    int rc = file_zero(seg->fd, OFF_FRAMES, order->size, COMMIT_STEP);

    if (rc == 0)
        rc = file_datasync(seg->fd);
    if (rc == 0)
        rc = segment_map(seg);
    /* Not for writing: that would make pages dirty again that nobody has written to yet, and the first
     * sync of the whole file would write them all. */
    if (rc == 0)
        map_populate_read(seg->base, seg->facts.shape.frames_end);
    return rc;
}

static int prepare_file(struct segment *seg, const struct prepare_order *order)
{
    int rc = file_reserve(seg->fd, order->size);

    if (rc == 0)
        rc = write_identity(seg, order);
    if (rc == 0 && order->how == PREPARE_COMMITS)
        return prepare_for_commits(seg, order);
    if (rc == 0 && order->how == PREPARE_AHEAD)
        rc = file_zero(seg->fd, OFF_FRAMES, order->size, ZERO_STEP);
    if (rc == 0)
        rc = segment_map(seg);
    if (rc == 0 && order->how == PREPARE_AHEAD)
        rc = map_populate(seg->base, seg->facts.shape.frames_end);
    return rc;
}

int prepare_facts(struct segment *seg, const struct prepare_order *order)
{
    int rc;

    seg->fd = -1;
    seg->access = SEGMENT_WRITE;
    memcpy(seg->facts.uuid, order->uuid, 16);
    seg->facts.number = order->number;
    seg->facts.size = order->size;
    seg->facts.created_ns = clock_wall_ns();
    seg->facts.discipline = DISCIPLINE_MAPPED;
    do {
        rc = random_bytes(&seg->facts.generation, sizeof(seg->facts.generation));
    } while (rc == 0 && seg->facts.generation == 0);
    segment_shape(order->size, &seg->facts.shape);
    frame_space_init(&seg->facts.space, order->size, seg->facts.generation);
    return rc;
}

int segment_prepare(int dirfd, const struct prepare_order *order, struct segment **out)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    char temp[64], name[SEGMENT_NAME_BYTES];
    int rc;

    if (!seg)
        return -ENOMEM;
    rc = prepare_facts(seg, order);
    if (rc < 0) {
        free(seg);
        return rc;
    }
    temp_name(order->number, seg->facts.generation, temp);
    segment_name(order->number, name);
    seg->fd = file_create(dirfd, temp, (mode_t)order->mode);
    if (seg->fd < 0) {
        rc = seg->fd;
        free(seg);
        return rc;
    }
    /* P1: only the temporary name exists. The next first opener sweeps it. */
    rc = file_lock(seg->fd, false);
    if (rc == 0)
        rc = prepare_file(seg, order);
    if (rc == 0)
        rc = file_rename_new(dirfd, temp, name);
    /* P2: a spare. Nobody believes a segment active before its activation block says so. */
    if (rc < 0) {
        file_unlink(dirfd, temp);
        segment_close(seg);
        return rc;
    }
    if (out)
        *out = seg;
    else
        segment_close(seg);
    return 0;
}

static int sweep_name(void *context, const char *name)
{
    const size_t n = strlen(name);
    const int dirfd = *(const int *)context;
    int rc = 0;

    if (n > 4 && strcmp(name + n - 4, ".tmp") == 0)
        rc = file_unlink(dirfd, name);
    return rc == -ENOENT ? 0 : rc; /* renamed by its maker: one who is not attached yet */
}

int segment_sweep(int dirfd)
{
    return dir_each(dirfd, sweep_name, &dirfd);
}

/* ---- listing -------------------------------------------------------------------------------- */

static int list_name(void *context, const char *name)
{
    struct segment_list *list = context;
    uint64_t number;

    if (!segment_name_parse(name, &number))
        return 0;
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 64;
        uint64_t *numbers = realloc(list->numbers, capacity * sizeof(*numbers));

        if (!numbers)
            return -ENOMEM;
        list->numbers = numbers;
        list->capacity = capacity;
    }
    list->numbers[list->count++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A segment that is just being archived is there twice. */
static void list_once(struct segment_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || list->numbers[kept - 1] != list->numbers[i])
            list->numbers[kept++] = list->numbers[i];
    list->count = kept;
}

int segment_list_read(int dirfd, struct segment_list *out)
{
    struct segment_list list = {0};
    const int rc = dir_each(dirfd, list_name, &list);

    if (rc < 0) {
        free(list.numbers);
        return rc;
    }
    if (list.count > 1)
        qsort(list.numbers, list.count, sizeof(*list.numbers), compare_numbers);
    list_once(&list);
    *out = list;
    return 0;
}

void segment_list_free(struct segment_list *list)
{
    free(list->numbers);
    *list = (struct segment_list){0};
}
