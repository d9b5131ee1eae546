/*
 * Whole logs, spoiled at random: bits, pages, lengths and names. Whatever comes out, everything that
 * opens logs must end, with a defined status, and hand out no record but those that were appended.
 *
 * Each round runs in a child of its own and has a seed of its own, which is printed when it fails:
 *     SEGLOG_FUZZ_SEED=n      only that round
 *     SEGLOG_FUZZ_ROUNDS=n    how many rounds
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "log/view.h"
#include "support/number.h"
#include "support/tmpdir.h"

#define ROUNDS       250u
#define ROUNDS_QUICK 60u
#define ROUND_S      60u /* far more than a round takes under any sanitizer */

static uint64_t dice_state;

static uint64_t dice(uint64_t sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (dice_state >> 11) % sides;
}

static void dice_seed(uint64_t seed)
{
    dice_state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    for (int i = 0; i < 8; i++)
        (void)dice(2);
}

/* ---- spoiling ------------------------------------------------------------------------------- */

static struct image_file *any_file(struct image *image)
{
    for (;;) {
        struct image_file *file = &image->files[dice(image->count)];
        uint64_t number;

        /* Segments most of all: what spoils the settings hides everything else. */
        if (file->name[0] && (segment_name_parse(file->name, &number) || dice(16) == 0))
            return file;
    }
}

/* Where something is: the blocks before the frames, the frames, the footer. */
static size_t any_place(const struct image_file *file)
{
    const size_t size = file->size > 0 ? file->size : 1;

    switch (dice(6)) {
    case 0:
        return dice(6) * PAGE_BYTES % size + dice(256) % (size < 256 ? size : 256);
    case 1:
        return size > PAGE_BYTES ? size - PAGE_BYTES + dice(256) : dice(size);
    case 2:
        return (OFF_FRAMES + dice(64) * FRAME_ALIGN + dice(FRAME_HEADER)) % size;
    default:
        return dice(size);
    }
}

static size_t any_page(const struct image_file *file)
{
    return file->size < PAGE_BYTES ? 0 : dice(file->size / PAGE_BYTES) * PAGE_BYTES;
}

static void spoil_word(struct image_file *file)
{
    const size_t at = OFF_FRAMES + dice((SEGMENT_SIZE_MIN - OFF_FRAMES) / 32) * 32;
    const uint64_t span = (1 + dice(64)) * FRAME_ALIGN;
    uint64_t word = word_claimed((uint32_t)dice(4), 1 + (uint32_t)dice(4), 1, span);

    if (dice(4) == 0)
        word = 0;
    if (at + 8 <= file->size)
        memcpy(file->bytes + at, &word, 8);
}

static void spoil_bytes(struct image_file *file)
{
    const size_t at = any_place(file);
    size_t page;

    if (file->size < PAGE_BYTES)
        return;
    page = any_page(file);
    switch (dice(8)) {
    case 0: /* what never reached the disk */
        memset(file->bytes + page, 0, PAGE_BYTES);
        break;
    case 1: /* nor anything behind it */
        memset(file->bytes + page, 0, file->size - page);
        break;
    case 2:
        memmove(file->bytes + page, file->bytes + any_page(file), PAGE_BYTES);
        break;
    case 3:
        for (size_t i = 0; i < 64 && at + i < file->size; i++)
            file->bytes[at + i] = (uint8_t)dice(256);
        break;
    case 4:
        spoil_word(file);
        break;
    default:
        file->bytes[at % file->size] ^= (uint8_t)(1u << dice(8));
    }
}

static void spoil_page_of_another(struct image *image)
{
    struct image_file *to = any_file(image), *from = any_file(image);

    if (to->size >= PAGE_BYTES && from->size >= PAGE_BYTES)
        memmove(to->bytes + any_page(to), from->bytes + any_page(from), PAGE_BYTES);
}

static void swap_names(struct image_file *a, struct image_file *b)
{
    char name[sizeof(a->name)];

    memcpy(name, a->name, sizeof(name));
    memcpy(a->name, b->name, sizeof(name));
    memcpy(b->name, name, sizeof(name));
}

static void spoil_files(struct image *image)
{
    struct image_file *file = any_file(image), *other = any_file(image);

    switch (dice(6)) {
    case 0:
        file->size = dice(2) ? dice(file->size + 1) : any_page(file);
        break;
    case 1:
        file->size += dice(2) ? PAGE_BYTES : 1;
        if (file->size > file->room)
            file->size = file->room;
        break;
    case 2:
        swap_names(file, other);
        break;
    case 3:
        if (file != other && file->size <= other->room) {
            memcpy(other->bytes, file->bytes, file->size);
            other->size = file->size;
        }
        break;
    case 4:
        file->name[0] = 0;
        break;
    default:
        snprintf(file->name, sizeof(file->name), "%016" PRIx64 ".seg",
                 dice(2) ? dice(10) : UINT64_MAX - dice(3));
    }
}

static void spoil(struct image *image)
{
    for (uint64_t n = 1 + dice(3); n > 0; n--) {
        switch (dice(8)) {
        case 0:
            spoil_files(image);
            break;
        case 1:
            spoil_page_of_another(image);
            break;
        default:
            spoil_bytes(any_file(image));
        }
    }
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void play(const struct image *truth, const char *dir, uint64_t seed)
{
    struct image *image = image_copy(truth);
    uint32_t flags = DRIVE_ATTACH;
    enum image_boot boot;

    dice_seed(seed);
    boot = (enum image_boot)dice(IMAGE_BOOTS);
    if (dice(3) == 0)
        flags |= DRIVE_COPY;
    if (dice(4) == 0)
        image_trim(image);
    image_settle(image, dir, boot);
    spoil(image);
    image_write(image,
                dir); /* over the files that are there: their inodes are those of the marks */
    (void)drive(dir, truth, flags);
    image_free(image);
}

static void play_in_child(const struct image *truth, const char *dir, uint64_t seed)
{
    const pid_t pid = fork();
    int status;

    cr_assert(pid >= 0);
    if (pid == 0) {
        alarm(ROUND_S);
        play(truth, dir, seed);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0)
        cr_assert_eq(errno, EINTR);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "%s %d; SEGLOG_FUZZ_SEED=%" PRIu64 " plays it again; left in %s",
              WIFSIGNALED(status) ? "killed by signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), seed, dir);
}

Test(mutate, no_spoiled_log_crashes_hangs_or_lies, .timeout = 3600)
{
    const uint64_t rounds =
        number_from("SEGLOG_FUZZ_ROUNDS", getenv("SEGLOG_TEST_QUICK") ? ROUNDS_QUICK : ROUNDS);
    struct image *truth = image_make();
    char *dir;

    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1); /* thousands of syncs */
    dir = tmpdir_make();
    if (getenv("SEGLOG_FUZZ_SEED")) {
        play_in_child(truth, dir, number_from("SEGLOG_FUZZ_SEED", 0));
    } else {
        for (uint64_t seed = 0; seed < rounds; seed++)
            play_in_child(truth, dir, seed);
    }
    tmpdir_remove(dir);
    image_free(truth);
}
