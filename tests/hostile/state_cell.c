/*
 * Spoiled cells and structs. See state.h.
 */
#include "hostile/state.h"

#include <seglog/cell.h>
#include <seglog/struct.h>

#include <errno.h>
#include <string.h>

#include "format/state.h"

/* ---- a cell: some of its values have outgrown the room that they were given ---------------------- */

#define CELL_SLOTS 3u
#define CELL_LAST  7u
#define CELL_AFTER 100u /* what is published in the damaged one */
#define CELL_MAX   400u

static size_t value_of(uint64_t k, char out[CELL_MAX])
{
    const size_t len = 8 + k * 53 % 300;

    for (size_t i = 0; i < len; i++)
        out[i] = (char)(k * 31 + i * 7);
    return len;
}

static bool is_value(uint64_t k, const void *data, size_t len)
{
    char want[CELL_MAX];

    return len == value_of(k, want) && memcmp(data, want, len) == 0;
}

static void publish(struct state_stage *stage, uint32_t flags, uint64_t from, uint64_t to)
{
    const struct seglog_cell_options o = {.flags = SEGLOG_CELL_WRITE | flags, .slots = CELL_SLOTS};
    struct seglog_cell *cell;
    char value[CELL_MAX];

    must(seglog_cell_open(stage->path, &o, &cell) == 0);
    for (uint64_t k = from; k <= to; k++) {
        const size_t len = value_of(k, value);

        must(seglog_cell_publish(cell, value, len) == 0);
    }
    seglog_cell_close(cell);
}

void state_cell_make(struct state_stage *stage)
{
    publish(stage, SEGLOG_CELL_CREATE, 1, CELL_LAST);
}

/* want: the value it should have; an older one is `gone`. */
static bool read_cell(struct state_stage *stage, struct seglog_cell *cell, uint64_t want)
{
    struct seglog_cell_view view;
    char value[CELL_MAX];
    uint64_t version;
    size_t len;
    bool is_right = true;

    if (!state_told(stage, seglog_cell_read(cell, value, sizeof(value), &len, &version))) {
        is_right = is_value(want, value, len);
        /* Until something is published here, numbers and values are the same. */
        if (!is_right && want == CELL_LAST && version < want && is_value(version, value, len)) {
            stage->gone++;
            is_right = true;
        }
    }
    if (!state_told(stage, seglog_cell_view(cell, &view)) &&
        !state_told(stage, seglog_cell_check_view(cell, &view)))
        is_right = is_right && (is_value(want, view.data, view.len) || stage->gone > 0);
    (void)state_told(stage, seglog_cell_version(cell, &version));
    return is_right;
}

static int add_nothing(void *context, void *value, size_t *len, size_t cap)
{
    (void)context;
    (void)value;
    return *len <= cap ? 0 : -EINVAL;
}

static bool use_cell(struct state_stage *stage, struct seglog_cell *cell)
{
    char value[CELL_MAX];
    size_t len;
    bool is_right = true;

    (void)state_told(stage, seglog_cell_update(cell, 0, add_nothing, NULL, NULL, 0));
    for (uint64_t k = CELL_AFTER; k < CELL_AFTER + CELL_SLOTS + 1 && is_right; k++) {
        len = value_of(k, value);
        if (!state_told(stage, seglog_cell_publish(cell, value, len)))
            is_right = read_cell(stage, cell, k);
    }
    (void)state_told(stage, seglog_cell_sync(cell) == SEGLOG_EVOLATILE ? 0 : 0);
    return is_right;
}

enum state_verdict state_cell_judge(struct state_stage *stage)
{
    const struct seglog_cell_options options[] = {{0}, {.flags = SEGLOG_CELL_WRITE}};
    bool is_right = true;

    for (size_t i = 0; i < 2 && is_right; i++) {
        struct seglog_cell *cell;

        if (state_told(stage, seglog_cell_open(stage->path, &options[i], &cell)))
            continue;
        is_right = read_cell(stage, cell, CELL_LAST);
        if (is_right && options[i].flags != 0)
            is_right = use_cell(stage, cell);
        seglog_cell_close(cell);
    }
    return is_right ? STATE_HARMLESS : STATE_WRONG;
}

/* ---- a struct -------------------------------------------------------------------------------------- */

#define PUSHED 150u

#define THING_FIELDS(F, S)              \
    F(uint32_t, plain)                  \
    F(SEGLOG_ATOMIC(uint64_t), count)   \
    F(SEGLOG_STRING(20), name)          \
    F(SEGLOG_STRINGS(3, 10), names)     \
    F(SEGLOG_VEC(uint32_t, 10), some)   \
    F(SEGLOG_ARRAY2(uint8_t, 5, 7), of) \
    F(SEGLOG_SEGMENTED(uint64_t), many)
SEGLOG_STRUCT(thing, THING_FIELDS);

void state_struct_make(struct state_stage *stage)
{
    const struct seglog_struct_options o = {.flags = SEGLOG_STRUCT_WRITE | SEGLOG_STRUCT_CREATE};
    struct seglog_struct *s;
    struct thing *thing;

    must(seglog_struct_open(stage->path, SEGLOG_SCHEMA(thing), &o, &s) == 0);
    thing = seglog_struct_data(s);
    must(SEGLOG_STRING_SET(&thing->name, "Zo\xc3\xab", 4) == 0);
    must(SEGLOG_STRINGS_SET(&thing->names, 1, "second", 6) == 0);
    for (uint32_t i = 0; i < 5; i++)
        must(SEGLOG_VEC_PUSH(&thing->some, &i) == 0);
    for (uint64_t i = 0; i < PUSHED; i++)
        must(SEGLOG_SEGMENTED_PUSH(s, &thing->many, &i) == 0);
    seglog_struct_close(s);
}

/* Nothing in a struct has a checksum: whatever is there must be within its bounds. */
static void read_struct(struct state_stage *stage, struct seglog_struct *s)
{
    struct thing *thing = seglog_struct_data(s);
    const uint64_t count = SEGLOG_SEGMENTED_COUNT(&thing->many);
    const char *text;
    size_t len;

    if (!state_told(stage, SEGLOG_STRING_GET(&thing->name, &text, &len))) {
        must(len <= sizeof(thing->name.text));
        stage->gone += len != 4 || memcmp(text, "Zo\xc3\xab", 4) != 0;
    }
    for (size_t i = 0; i < 3; i++)
        if (!state_told(stage, SEGLOG_STRINGS_GET(&thing->names, i, &text, &len)))
            must(len <= sizeof(thing->names.at[i].text));
    must(SEGLOG_VEC_LEN(&thing->some) <= 10 && SEGLOG_VEC_AT(&thing->some, 10) == NULL);
    stage->gone += SEGLOG_VEC_LEN(&thing->some) != 5;
    stage->gone += count != PUSHED;
    for (uint64_t i = 0; i < count && i < 2 * PUSHED; i++) {
        const volatile uint64_t *at = SEGLOG_SEGMENTED_AT(s, &thing->many, i);

        stage->gone += !at || *at != i;
    }
    must(SEGLOG_SEGMENTED_AT(s, &thing->many, count) == NULL);
    if (count > 0) {
        const volatile uint64_t *last = SEGLOG_SEGMENTED_AT(s, &thing->many, count - 1);

        stage->gone += !last || *last != count - 1;
    }
    (void)state_told(stage, seglog_struct_check(s));
}

static void use_struct(struct state_stage *stage, struct seglog_struct *s)
{
    struct thing *thing = seglog_struct_data(s);
    uint64_t number = 1;
    uint32_t one = 1;

    must(SEGLOG_STRING_SET(&thing->name, "other", 5) == 0);
    (void)state_told(stage,
                     SEGLOG_VEC_PUSH(&thing->some, &one) == SEGLOG_ECORRUPT ? SEGLOG_ECORRUPT : 0);
    (void)state_told(stage,
                     SEGLOG_VEC_POP(&thing->some, &one) == SEGLOG_ECORRUPT ? SEGLOG_ECORRUPT : 0);
    (void)state_told(stage, SEGLOG_SEGMENTED_PUSH(s, &thing->many, &number));
    (void)state_told(stage, seglog_struct_lock(s, 0));
    (void)state_told(stage, seglog_struct_check(s));
}

enum state_verdict state_struct_judge(struct state_stage *stage)
{
    const struct seglog_struct_options options[] = {{0}, {.flags = SEGLOG_STRUCT_WRITE}};

    for (size_t i = 0; i < 2; i++) {
        struct seglog_struct *s;

        if (state_told(stage,
                       seglog_struct_open(stage->path, SEGLOG_SCHEMA(thing), &options[i], &s)))
            continue;
        read_struct(stage, s);
        if (options[i].flags != 0)
            use_struct(stage, s);
        seglog_struct_close(s);
    }
    return STATE_HARMLESS;
}
