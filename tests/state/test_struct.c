/*
 * Persistent structs: every kind of field, who may open what, and what a stranger's bytes can do.
 */
#include <seglog/struct.h>

#include "format/state.h"
#include "state/calls.h"
#include "state/files.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINT_FIELDS(F, S) \
    F(int32_t, x)          \
    F(int32_t, y)
SEGLOG_STRUCT(point, POINT_FIELDS);

#define GAME_FIELDS(F, S)                      \
    F(uint32_t, level)                         \
    F(SEGLOG_ATOMIC(uint64_t), score)          \
    F(SEGLOG_ATOMIC(uint8_t), lives)           \
    F(SEGLOG_ATOMIC(bool), over)               \
    F(SEGLOG_ATOMIC(int32_t), delta)           \
    F(SEGLOG_STRING(8), player)                \
    F(SEGLOG_BYTES(256), key)                  \
    F(SEGLOG_VEC(uint16_t, 3), best)           \
    F(SEGLOG_STRINGS(5, 16), tags)             \
    F(SEGLOG_ARRAY1(uint64_t, 7), row)         \
    F(SEGLOG_ARRAY2(uint64_t, 50, 100), board) \
    F(SEGLOG_ARRAY3(uint8_t, 4, 5, 6), cube)   \
    F(SEGLOG_SEGMENTED(struct point), path)    \
    S(point, position)                         \
    F(double, speed)
SEGLOG_STRUCT(game, GAME_FIELDS);

/* The places that FORMAT of this struct has; equal on every compiler. */
_Static_assert(offsetof(struct game, score) == 8 && offsetof(struct game, player) == 24 &&
                   offsetof(struct game, key) == 36 && offsetof(struct game, best) == 292,
               "layout");

/* Others than game, in one thing each. */
#define TYPED_FIELDS(F, S) \
    F(uint32_t, level)     \
    F(uint64_t, score)
SEGLOG_STRUCT(typed, TYPED_FIELDS);
#define OTHER_FIELDS(F, S) \
    F(uint32_t, level)     \
    F(int64_t, score)
SEGLOG_STRUCT(other, OTHER_FIELDS);

#define FLAGS (SEGLOG_STRUCT_WRITE | SEGLOG_STRUCT_CREATE)

static void setup(void)
{
    files_setup();
    calls_reset();
}

TestSuite(state_struct, .init = setup, .fini = files_teardown, .timeout = 120);

static struct seglog_struct *game_open(uint32_t flags, struct game **game)
{
    const struct seglog_struct_options o = {.flags = flags};
    struct seglog_struct *s;

    cr_assert_ok(seglog_struct_open(files_path("game"), SEGLOG_SCHEMA(game), &o, &s));
    *game = seglog_struct_data(s);
    return s;
}

Test(state_struct, fields_are_there_again_in_the_next_process)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const char *text;
    size_t len;

    cr_assert_eq(game->level, 0);
    game->level = 5;
    game->speed = 1.5;
    game->position = (struct point){.x = -3, .y = 4};
    atomic_store(&game->score, 12345);
    for (unsigned i = 0; i < 256; i++)
        game->key.at[i] = (uint8_t)i;
    cr_assert_ok(SEGLOG_STRING_SET(&game->player, "Alice", 5));
    cr_assert_status(seglog_struct_flush(s), files_durable() ? 0 : SEGLOG_EVOLATILE);
    seglog_struct_close(s);

    s = game_open(0, &game);
    cr_assert_eq(game->level, 5);
    cr_assert_eq(game->speed, 1.5);
    cr_assert_eq(game->position.x, -3);
    cr_assert_eq(atomic_load(&game->score), 12345);
    for (unsigned i = 0; i < 256; i++)
        cr_assert_eq(game->key.at[i], i);
    cr_assert_ok(SEGLOG_STRING_GET(&game->player, &text, &len));
    cr_assert_eq(len, 5);
    cr_assert_arr_eq(text, "Alice", 5);
    cr_assert_status(seglog_struct_flush(s), -EPERM);
    cr_assert_ok(seglog_struct_check(s));
    seglog_struct_close(s);
    seglog_struct_close(NULL);
}

static int count_up(struct child *parent, void *arg)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const unsigned times = (unsigned)(uintptr_t)arg;

    (void)parent;
    for (unsigned i = 0; i < times; i++) {
        int32_t seen = atomic_load(&game->delta);

        atomic_fetch_add(&game->score, 1);
        while (i % 10 == 0 && !atomic_compare_exchange_weak(&game->delta, &seen, seen - 1))
            continue;
    }
    seglog_struct_close(s);
    return 0;
}

Test(state_struct, four_processes_count_together_and_lose_nothing)
{
    const uintptr_t times = files_quick() ? 50000 : 1000000;
    struct child children[4];
    struct game *game;
    struct seglog_struct *s;

    for (int i = 0; i < 4; i++)
        child_start(&children[i], count_up, (void *)times);
    for (int i = 0; i < 4; i++)
        child_end(&children[i]);
    s = game_open(0, &game);
    cr_assert_eq(atomic_load(&game->score), 4 * times);
    cr_assert_eq(atomic_load(&game->delta), -4 * (int64_t)times / 10);
    seglog_struct_close(s);
}

/* ---- fields ---------------------------------------------------------------------------------- */

Test(state_struct, a_string_is_utf8_within_its_room_or_stays_as_it_was)
{
    static const char *const bad[] = {"\xc3\x28",     "\xa0",         "\xe2\x82",
                                      "\xc0\xaf",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80"};
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const char *text;
    size_t len;

    cr_assert_ok(SEGLOG_STRING_SET(&game->player, "12345678", 8));
    cr_assert_status(SEGLOG_STRING_SET(&game->player, "123456789", 9), -EMSGSIZE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_status(SEGLOG_STRING_SET(&game->player, bad[i], strlen(bad[i])), -EILSEQ);
    cr_assert_ok(SEGLOG_STRING_GET(&game->player, &text, &len));
    cr_assert_eq(len, 8);
    cr_assert_arr_eq(text, "12345678", 8);
    cr_assert_ok(SEGLOG_STRING_SET(&game->player, "\xf4\x8f\xbf\xbf\xe2\x82\xac", 7));
    cr_assert_ok(SEGLOG_STRING_SET(&game->player, "", 0));
    cr_assert_ok(SEGLOG_STRING_GET(&game->player, &text, &len));
    cr_assert_eq(len, 0);
    /* Cut to fit: never inside a code point. */
    cr_assert_eq(seglog_string_cut("ab\xe2\x82\xac", 5, 4), 2);
    cr_assert_eq(seglog_string_cut("ab\xe2\x82\xac", 5, 5), 5);
    cr_assert_eq(seglog_string_cut("\xe2\x82\xac", 3, 2), 0);

    game->player.len = 9; /* a stranger's */
    cr_assert_status(SEGLOG_STRING_GET(&game->player, &text, &len), SEGLOG_ECORRUPT);
    game->player.len = 2;
    memcpy(game->player.text, "\xc3\x28", 2);
    cr_assert_status(SEGLOG_STRING_GET(&game->player, &text, &len), SEGLOG_ECORRUPT);
    seglog_struct_close(s);
}

Test(state_struct, a_vector_takes_what_it_has_room_for)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    int64_t below = -1;
    uint16_t value;

    for (value = 10; value < 13; value++)
        cr_assert_ok(SEGLOG_VEC_PUSH(&game->best, &value));
    cr_assert_status(SEGLOG_VEC_PUSH(&game->best, &value), -ENOBUFS);
    cr_assert_eq(SEGLOG_VEC_LEN(&game->best), 3);
    cr_assert_eq(*SEGLOG_VEC_AT(&game->best, 1), 11);
    cr_assert_eq(SEGLOG_VEC_AT(&game->best, 3), NULL);
    cr_assert_eq(SEGLOG_VEC_AT(&game->best, below), NULL);
    cr_assert_ok(SEGLOG_VEC_POP(&game->best, &value));
    cr_assert_eq(value, 12);
    cr_assert_eq(SEGLOG_VEC_AT(&game->best, 2), NULL);
    cr_assert_ok(SEGLOG_VEC_POP(&game->best, &value));
    cr_assert_ok(SEGLOG_VEC_POP(&game->best, &value));
    cr_assert_status(SEGLOG_VEC_POP(&game->best, &value), -ENODATA);
    game->best.len = 4; /* a stranger's */
    cr_assert_status(SEGLOG_VEC_PUSH(&game->best, &value), SEGLOG_ECORRUPT);
    cr_assert_status(SEGLOG_VEC_POP(&game->best, &value), SEGLOG_ECORRUPT);
    cr_assert_eq(SEGLOG_VEC_LEN(&game->best), 0);
    seglog_struct_close(s);
}

/* Without the macros, for other languages: what is passed is what the macros pass. */
Test(state_struct, the_calls_behind_the_macros_do_the_same)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const struct point point = {.x = 1, .y = 2};
    uint16_t value = 9;
    const char *text;
    size_t len;

    cr_assert_ok(seglog_string_set(&game->player.len, game->player.text, 8, "Bob", 3));
    cr_assert_ok(SEGLOG_STRING_GET(&game->player, &text, &len));
    cr_assert_arr_eq(text, "Bob", 3);
    cr_assert_ok(seglog_string_get(&game->player.len, game->player.text, 8, &text, &len));
    cr_assert_eq(len, 3);
    cr_assert_ok(seglog_vec_push(&game->best.len, game->best.at, 3, sizeof(value), &value));
    cr_assert_eq(*SEGLOG_VEC_AT(&game->best, 0), 9);
    cr_assert_eq(seglog_vec_len(&game->best.len, 3), 1);
    value = 0;
    cr_assert_ok(seglog_vec_pop(&game->best.len, game->best.at, 3, sizeof(value), &value));
    cr_assert_eq(value, 9);
    cr_assert_ok(seglog_segmented_push(s, &game->path.head, sizeof(point), &point));
    cr_assert_eq(seglog_segmented_at(s, &game->path.head, sizeof(point), 0),
                 SEGLOG_SEGMENTED_AT(s, &game->path, 0));
    seglog_struct_close(s);
}

Test(state_struct, indexes_are_checked_in_every_dimension)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const char *text;
    size_t len;

    *SEGLOG_AT2(&game->board, 49, 99) = 7;
    cr_assert_eq(game->board.at[49][99], 7);
    cr_assert_eq(SEGLOG_AT2(&game->board, 50, 0), NULL);
    cr_assert_eq(SEGLOG_AT2(&game->board, 0, 100), NULL);
    cr_assert_eq(SEGLOG_AT1(&game->row, 7), NULL);
    cr_assert_neq(SEGLOG_AT1(&game->row, 6), NULL);
    cr_assert_eq(SEGLOG_AT3(&game->cube, 3, 4, 5), &game->cube.at[3][4][5]);
    cr_assert_eq(SEGLOG_AT3(&game->cube, 3, 4, 6), NULL);
    cr_assert_eq(SEGLOG_AT3(&game->cube, 3, 5, 5), NULL);
    cr_assert_eq(SEGLOG_AT3(&game->cube, 4, 4, 5), NULL);
    cr_assert_ok(SEGLOG_STRINGS_SET(&game->tags, 4, "last", 4));
    cr_assert_status(SEGLOG_STRINGS_SET(&game->tags, 5, "none", 4), -ERANGE);
    cr_assert_ok(SEGLOG_STRINGS_GET(&game->tags, 4, &text, &len));
    cr_assert_arr_eq(text, "last", 4);
    cr_assert_status(SEGLOG_STRINGS_GET(&game->tags, 5, &text, &len), -ERANGE);
    cr_assert_status(seglog_out_of_range(), -ERANGE);
    seglog_struct_close(s);
}

Test(state_struct, a_segmented_vector_grows_and_its_elements_keep_their_addresses)
{
    const int64_t n = files_quick() ? 20000 : 300000;
    struct game *game, *same;
    struct seglog_struct *s = game_open(FLAGS, &game), *reader = game_open(0, &same);
    const struct point *first = NULL, *middle = NULL;

    cr_assert_eq(SEGLOG_SEGMENTED_AT(s, &game->path, 0), NULL);
    for (int32_t i = 0; i < n; i++) {
        cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &((struct point){.x = i, .y = -i})));
        if (i == 0)
            first = SEGLOG_SEGMENTED_AT(s, &game->path, 0);
        if (i == 1000)
            middle = SEGLOG_SEGMENTED_AT(s, &game->path, 1000);
    }
    cr_assert_eq(SEGLOG_SEGMENTED_AT(s, &game->path, 0), first);
    cr_assert_eq(SEGLOG_SEGMENTED_AT(s, &game->path, 1000), middle);
    cr_assert_eq(SEGLOG_SEGMENTED_AT(s, &game->path, (uint64_t)n), NULL);
    cr_assert_eq(SEGLOG_SEGMENTED_AT(s, &game->path, UINT64_MAX), NULL);
    cr_assert_eq(SEGLOG_SEGMENTED_COUNT(&same->path), (uint64_t)n);
    for (int32_t i = 0; i < n; i++) {
        const struct point *p = SEGLOG_SEGMENTED_AT(reader, &same->path, (uint64_t)i);

        cr_assert(p && p->x == i && p->y == -i);
    }
    cr_assert_status(SEGLOG_SEGMENTED_PUSH(reader, &same->path, middle), -EPERM);
    seglog_struct_close(reader);
    seglog_struct_close(s);
}

static int push_for_ever(struct child *parent, void *arg)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    (void)arg;

    child_must(seglog_struct_lock(s, UINT64_MAX));
    for (int32_t i = (int32_t)SEGLOG_SEGMENTED_COUNT(&game->path);; i++) {
        child_must(SEGLOG_SEGMENTED_PUSH(s, &game->path, &((struct point){.x = i, .y = ~i})));
        if (i % 64 == 0)
            child_say(parent, 'p');
    }
    return 0;
}

Test(state_struct, a_segmented_vector_is_there_again_and_grows_on)
{
    struct game *game;
    struct seglog_struct *s;

    for (int32_t i = 0; i < 300; i++) {
        s = game_open(FLAGS, &game);
        cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &((struct point){.x = i})));
        for (int32_t k = 0; k <= i; k += 37) {
            const struct point *p = SEGLOG_SEGMENTED_AT(s, &game->path, (uint64_t)k);

            cr_assert(p && p->x == k);
        }
        seglog_struct_close(s);
    }
}

Test(state_struct, a_writer_killed_at_any_instant_leaves_whole_elements)
{
    struct child child;
    struct game *game;
    struct seglog_struct *s;
    uint64_t before = 0;

    for (unsigned round = 0; round < 50; round++) {
        child_start(&child, push_for_ever, NULL);
        for (unsigned i = 0; i < 1 + round % 7; i++)
            cr_assert_eq(child_hear(&child), 'p');
        child_kill(&child);
        s = game_open(0, &game);
        cr_assert_geq(SEGLOG_SEGMENTED_COUNT(&game->path), before);
        before = SEGLOG_SEGMENTED_COUNT(&game->path);
        for (uint64_t i = 0; i < before; i++) {
            const struct point *p = SEGLOG_SEGMENTED_AT(s, &game->path, i);

            cr_assert(p && p->x == (int32_t)i && p->y == ~(int32_t)i);
        }
        seglog_struct_close(s);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

Test(state_struct, another_schema_is_refused_and_the_difference_named)
{
    struct seglog_struct_mismatch why = {0};
    const struct seglog_struct_options o = {.flags = FLAGS, .mismatch = &why};
    struct seglog_struct *s = NULL;
    const char *path = files_path("typed");

    cr_assert_ok(seglog_struct_open(path, SEGLOG_SCHEMA(typed), &o, &s));
    seglog_struct_close(s);
    s = NULL;
    cr_assert_status(seglog_struct_open(path, SEGLOG_SCHEMA(other), &o, &s), SEGLOG_EMISMATCH);
    cr_assert_str_eq(why.stored, "struct typed 16");
    cr_assert_str_eq(why.asked, "struct other 16");
    /* The same name, and only the type of one field another. */
    struct seglog_schema renamed = *SEGLOG_SCHEMA(other);
    renamed.name = "typed";
    cr_assert_status(seglog_struct_open(path, &renamed, &o, &s), SEGLOG_EMISMATCH);
    cr_assert_str_eq(why.stored, "8 8 uint64_t score");
    cr_assert_str_eq(why.asked, "8 8 int64_t score");
    cr_assert_status(seglog_struct_open(path, SEGLOG_SCHEMA(game), NULL, &s), SEGLOG_EMISMATCH);
    cr_assert_eq(s, NULL);
}

static const struct seglog_schema *endless(void);
static char long_name[512];
static const struct seglog_field nested[] = {
    {.type = "endless", .name = "s", .size = 8, .inner = endless}};
static const struct seglog_field named[] = {
    {.type = "typed", .name = long_name, .size = 16, .inner = seglog_schema_typed}};

static const struct seglog_schema *endless(void)
{
    static const struct seglog_schema schema = {
        .name = "endless", .size = 8, .count = 1, .fields = nested};

    return &schema;
}

Test(state_struct, a_schema_too_deep_or_with_names_too_long_is_refused)
{
    const struct seglog_struct_options o = {.flags = FLAGS};
    const struct seglog_schema schema = {.name = "long", .size = 16, .count = 1, .fields = named};
    struct seglog_struct *s = NULL;

    cr_assert_status(seglog_struct_open(files_path("deep"), endless(), &o, &s), -EINVAL);
    memset(long_name, 'n', 500);
    cr_assert_ok(seglog_struct_open(files_path("long"), &schema, &o, &s));
    seglog_struct_close(s);
    s = NULL;
    memset(long_name, 'n', 511);
    cr_assert_status(seglog_struct_open(files_path("longer"), &schema, &o, &s), -EINVAL);
    cr_assert_eq(s, NULL);
}

static void expect_open(uint32_t flags, int want)
{
    const struct seglog_struct_options o = {.flags = flags};
    struct seglog_struct *s = NULL;

    cr_assert_status(seglog_struct_open(files_path("game"), SEGLOG_SCHEMA(game), &o, &s), want);
    cr_assert_eq(s, NULL);
}

Test(state_struct, a_file_that_is_none_is_told_from_a_damaged_and_from_a_cut_one)
{
    struct game *game;
    int fd;

    expect_open(0, -ENOENT);
    expect_open(SEGLOG_STRUCT_CREATE, -EINVAL);
    expect_open(1u << 9, -EINVAL);
    seglog_struct_close(game_open(FLAGS, &game));
    files_damage(files_path("game"), 0);
    expect_open(0, SEGLOG_ENOTLOG);
    files_damage(files_path("game"), 0);
    files_damage(files_path("game"), 73);
    expect_open(0, SEGLOG_ECORRUPT);
    files_damage(files_path("game"), 73);
    files_damage(files_path("game"), STATE_OFF_DATA + 9);
    expect_open(0, SEGLOG_ECORRUPT);
    files_damage(files_path("game"), STATE_OFF_DATA + 9);
    fd = file_open(AT_FDCWD, files_path("game"), O_RDWR, 0);
    cr_assert_eq(ftruncate(fd, STATE_OFF_DATA + 8192), 0);
    expect_open(0, SEGLOG_ETRUNCATED);
    cr_assert_eq(ftruncate(fd, 10), 0);
    expect_open(0, SEGLOG_ENOTLOG);
    file_close(fd);
}

Test(state_struct, strange_parts_of_a_segmented_vector_lead_nowhere)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    uint64_t state = 4711;

    for (int32_t i = 0; i < 200; i++)
        cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &((struct point){.x = i})));
    for (unsigned round = 0; round < 100000; round++) {
        const uint64_t i = files_random(&state) >> files_random(&state) % 64;
        const struct point *p;

        atomic_store(&game->path.head.count, files_random(&state) >> files_random(&state) % 64);
        atomic_store(&game->path.head.parts[files_random(&state) % SEGLOG_PARTS],
                     (files_random(&state) >> files_random(&state) % 64) & ~(uint64_t)4095);
        p = SEGLOG_SEGMENTED_AT(s, &game->path, i);
        if (p)
            (void)*(const volatile int32_t *)&p->x;
    }
    seglog_struct_close(s);
}

Test(state_struct, a_cut_file_a_full_disk_and_a_failed_flush_are_errors)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const struct point p = {0};
    int rc = 0;

    atomic_store(&calls.room_errno, ENOSPC);
    while (rc == 0)
        rc = SEGLOG_SEGMENTED_PUSH(s, &game->path, &p);
    cr_assert_status(rc, -ENOSPC);
    cr_assert_eq(SEGLOG_SEGMENTED_COUNT(&game->path), 0);
    atomic_store(&calls.room_errno, 0);
    cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p));
    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(seglog_struct_flush(s), -EIO);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_status(seglog_struct_flush(s), SEGLOG_EPOISONED);
    cr_assert_eq(truncate(files_path("game"), 100), 0);
    cr_assert_eq(game->level, 0); /* zeros, and not SIGBUS */
    cr_assert_status(seglog_struct_check(s), SEGLOG_ETRUNCATED);
    seglog_struct_close(s);
}

Test(state_struct, a_part_is_named_when_its_room_is_durable)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const uint64_t before = atomic_load(&calls.datasyncs);
    const struct point p = {.x = 7};

    if (!files_durable()) {
        seglog_struct_close(s);
        cr_skip("nothing is durable here\n");
    }
    for (unsigned i = 0; i < 192; i++)
        cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p));
    cr_assert_eq(atomic_load(&calls.datasyncs), before + 2); /* two parts */
    atomic_store(&calls.sync_errno, EIO);
    cr_assert_status(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p), -EIO);
    cr_assert_eq(atomic_load(&game->path.head.parts[2]), 0);
    atomic_store(&calls.sync_errno, 0);
    cr_assert_status(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p), SEGLOG_EPOISONED);
    cr_assert_status(seglog_struct_flush(s), SEGLOG_EPOISONED);
    cr_assert_eq(SEGLOG_SEGMENTED_COUNT(&game->path), 192);
    seglog_struct_close(s);
}

/* As a power cut may leave it, when nothing was flushed. */
Test(state_struct, a_count_ahead_of_its_part_is_gone_on_from)
{
    struct game *game;
    struct seglog_struct *s = game_open(FLAGS, &game);
    const struct point p = {.x = 7}, *at;

    for (unsigned i = 0; i < 64; i++)
        cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p));
    atomic_store(&game->path.head.count, 100);
    cr_assert_null(SEGLOG_SEGMENTED_AT(s, &game->path, 99));
    cr_assert_ok(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p));
    at = SEGLOG_SEGMENTED_AT(s, &game->path, 99);
    cr_assert_eq(at->x, 0);
    at = SEGLOG_SEGMENTED_AT(s, &game->path, 100);
    cr_assert_eq(at->x, 7);
    atomic_store(&game->path.head.count, 500); /* a part is skipped: no power cut does that */
    cr_assert_status(SEGLOG_SEGMENTED_PUSH(s, &game->path, &p), SEGLOG_ECORRUPT);
    seglog_struct_close(s);
}

static int child_of_fork(struct child *parent, void *arg)
{
    struct seglog_struct *s = arg;
    (void)parent;

    child_assert(seglog_struct_data(s) == NULL);
    child_must_be(seglog_struct_check(s), SEGLOG_EFORKED);
    child_must_be(seglog_struct_lock(s, 0), SEGLOG_EFORKED);
    child_must_be(seglog_struct_unlock(s), SEGLOG_EFORKED);
    seglog_struct_close(s);
    return 0;
}

Test(state_struct, one_handle_at_a_time_has_the_lock_and_a_forked_child_none)
{
    struct game *game;
    struct seglog_struct *a = game_open(FLAGS, &game), *b = game_open(FLAGS, &game);
    struct child child;

    cr_assert_ok(seglog_struct_lock(a, 0));
    cr_assert_status(seglog_struct_lock(b, 0), -EAGAIN);
    child_start(&child, child_of_fork, a);
    child_end(&child);
    cr_assert_status(seglog_struct_lock(b, 1000000), -ETIMEDOUT);
    cr_assert_ok(seglog_struct_unlock(a));
    cr_assert_ok(seglog_struct_lock(b, 0));
    seglog_struct_close(a);
    seglog_struct_close(b);
}
