/*
 * Preparing segments: a file is made whole under a temporary name and then given its name.
 *
 * The hard part is that a half-made segment must never be seen, and that a full disk must be met
 * here and nowhere later: real blocks are reserved before anything is mapped, and a reservation that
 * fails half way (ext4 keeps what it got) is removed.
 */
#include "segment/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#define TEMP_SUFFIX ".seg.tmp"

static void temp_name(uint64_t number, uint64_t nonce, char out[64])
{
    snprintf(out, 64, "%016llx-%016llx" TEMP_SUFFIX, (unsigned long long)number,
             (unsigned long long)nonce);
}

/* Header and boot mark of a file that only we know yet. */
static int prepare_blocks(struct segment *seg, const struct boot_facts *boot)
{
    struct segment_header page;
    struct boot_mark mark;
    struct boot_facts now = *boot;
    int rc;

    now.dev = seg->dev;
    now.ino = seg->ino;
    segment_header_encode(&page, &seg->facts);
    boot_mark_encode(&mark, &now);
    rc = file_pwrite(seg->fd, &page, sizeof(page), OFF_HEADER);
    if (rc < 0)
        return rc;
    return file_pwrite(seg->fd, &mark, sizeof(mark), OFF_TAIL + offsetof(struct tail_page, boot));
}

static int prepare_file(struct segment *seg, const struct prepare_order *order)
{
    struct file_facts file;
    void *base;
    int rc = file_reserve(seg->fd, order->size);

    if (rc < 0)
        return rc;
    rc = file_facts(seg->fd, &file);
    if (rc < 0)
        return rc;
    seg->dev = file.dev;
    seg->ino = file.ino;
    rc = prepare_blocks(seg, order->boot);
    if (rc < 0)
        return rc;
    rc = map_file(seg->fd, 0, order->size, true, &base);
    if (rc < 0)
        return rc;
    seg->base = base;
    word_store(&segment_tail(seg)->tail, tail_word(0, OFF_FRAMES), memory_order_relaxed);
    if (order->populate)
        return map_populate(seg->base, seg->facts.shape.frames_end);
    return 0;
}

static int prepare_facts(struct segment *seg, const struct prepare_order *order)
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
    *out = list;
    return 0;
}

void segment_list_free(struct segment_list *list)
{
    free(list->numbers);
    *list = (struct segment_list){0};
}
