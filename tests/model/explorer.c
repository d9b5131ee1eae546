/*
 * The explorer: an arena of states, an open-addressing table of their indices, two ways to walk.
 *
 * Breadth first needs no queue, because the arena is in the order of discovery. Depth first keeps
 * the path it stands on, and a step that leads back onto the path is a run that never ends.
 * Every state remembers the state and the move it was first reached by: that is the trace.
 */
#include "model/explorer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct origin {
    uint32_t parent; /* index of the state before */
    uint8_t move;    /* actor * EXPLORER_CHOICES + choice */
    uint8_t on_path; /* depth order: between entering this state and leaving it */
    uint8_t pad[2];
};

struct frame {
    uint32_t state;
    uint8_t move; /* next one to try */
    bool stepped; /* somebody could step here */
};

struct explorer {
    const struct explorer_model *model;
    struct explorer_result *result;
    FILE *trace;
    size_t stride; /* bytes of a state, rounded up to whole words */
    size_t states_max;
    size_t table_size; /* power of two, at least twice states_max */
    uint8_t *arena;
    struct origin *origins;
    uint32_t *table; /* index + 1; 0 is empty */
    uint64_t *after;
};

enum visit { VISIT_NEW, VISIT_KNOWN, VISIT_FULL };

static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void release(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

static uint64_t *state_at(const struct explorer *e, uint32_t index)
{
    return (uint64_t *)(void *)(e->arena + (size_t)index * e->stride);
}

static uint64_t state_hash(const uint64_t *words, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ words[i]) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
    }
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 29);
}

/* Find *state or add it; *index is its place either way. */
static enum visit visit(struct explorer *e, const uint64_t *state, uint32_t parent, uint8_t move,
                        uint32_t *index)
{
    size_t slot = state_hash(state, e->stride / 8) & (e->table_size - 1);

    for (; e->table[slot] != 0; slot = (slot + 1) & (e->table_size - 1)) {
        *index = e->table[slot] - 1;
        if (memcmp(state_at(e, *index), state, e->stride) == 0)
            return VISIT_KNOWN;
    }
    if (e->result->states == e->states_max)
        return VISIT_FULL;

    *index = (uint32_t)e->result->states++;
    memcpy(state_at(e, *index), state, e->stride);
    e->origins[*index] = (struct origin){.parent = parent, .move = move};
    e->table[slot] = *index + 1;
    return VISIT_NEW;
}

static void trace_step(const struct explorer *e, unsigned n, const void *before, const void *after,
                       unsigned move)
{
    fprintf(e->trace, "  %3u  ", n);
    e->model->describe(e->model->variant, before, after, move / EXPLORER_CHOICES,
                       move % EXPLORER_CHOICES, e->trace);
    fputc('\n', e->trace);
}

/* Print the way to state `last`, then the step that broke the rule (move < 0: nobody can step). */
static void trace_print(const struct explorer *e, uint32_t last, int move, int verdict)
{
    uint32_t *path;
    unsigned length = 0;

    if (!e->trace)
        return;
    for (uint32_t s = last; s != 0; s = e->origins[s].parent)
        length++;
    path = calloc((size_t)length + 1, sizeof(*path));
    if (!path)
        return;
    for (uint32_t s = last, i = length; i > 0; s = e->origins[s].parent)
        path[i--] = s;

    fprintf(e->trace, "%s: \"%s\" after %u steps\n", e->model->name,
            verdict < 0 ? "goes in circles" : e->model->verdict_name(verdict),
            length + (move >= 0 ? 1u : 0u));
    for (unsigned i = 1; i <= length; i++)
        trace_step(e, i, state_at(e, path[i - 1]), state_at(e, path[i]), e->origins[path[i]].move);
    if (move >= 0)
        trace_step(e, length + 1, state_at(e, last), e->after, (unsigned)move);
    free(path);
}

static int violation(struct explorer *e, uint32_t last, int move, int verdict)
{
    e->result->verdict = verdict;
    trace_print(e, last, move, verdict);
    return verdict;
}

/* Try one move from `from`; true when it was possible. e->after is where it led. */
static bool try_move(struct explorer *e, uint32_t from, unsigned move)
{
    const struct explorer_model *model = e->model;

    memcpy(e->after, state_at(e, from), e->stride);
    if (!model->step(model->variant, e->after, move / EXPLORER_CHOICES, move % EXPLORER_CHOICES))
        return false;
    e->result->steps++;
    return true;
}

static bool is_crash(unsigned move)
{
    return move % EXPLORER_CHOICES == EXPLORER_CRASH;
}

/* Nobody could step in `at`. */
static bool end_is_good(struct explorer *e, uint32_t at)
{
    const int verdict = e->model->check_end(e->model->variant, state_at(e, at));

    e->result->ends++;
    if (verdict != 0)
        violation(e, at, -1, verdict);
    return verdict == 0;
}

/* After a possible move: is it allowed, and is its state new? False ends the exploration. */
static bool arrive(struct explorer *e, uint32_t from, unsigned move, enum visit *what,
                   uint32_t *index)
{
    const int verdict =
        e->model->check(e->model->variant, state_at(e, from), (const void *)e->after);

    if (verdict != 0) {
        violation(e, from, (int)move, verdict);
        return false;
    }
    *what = visit(e, e->after, from, (uint8_t)move, index);
    if (*what == VISIT_FULL)
        e->result->complete = false;
    return *what != VISIT_FULL;
}

static void run_breadth(struct explorer *e)
{
    const unsigned moves = e->model->actors * EXPLORER_CHOICES;

    for (uint32_t at = 0; at < e->result->states; at++) {
        bool stepped = false;

        for (unsigned move = 0; move < moves; move++) {
            enum visit what;
            uint32_t index;

            if (!try_move(e, at, move))
                continue;
            if (!is_crash(move))
                stepped = true;
            if (!arrive(e, at, move, &what, &index))
                return;
        }
        if (!stepped && !end_is_good(e, at))
            return;
    }
}

static void run_depth(struct explorer *e, struct frame *path)
{
    const unsigned moves = e->model->actors * EXPLORER_CHOICES;
    unsigned depth = 1;

    path[0] = (struct frame){.state = 0};
    e->origins[0].on_path = 1;
    while (depth > 0) {
        struct frame *top = &path[depth - 1];
        const unsigned move = top->move++;
        enum visit what;
        uint32_t index;

        if (move == moves) {
            if (!top->stepped && !end_is_good(e, top->state))
                return;
            e->origins[top->state].on_path = 0;
            depth--;
            continue;
        }
        if (!try_move(e, top->state, move))
            continue;
        if (!is_crash(move))
            top->stepped = true;
        if (!arrive(e, top->state, move, &what, &index))
            return;
        if (what == VISIT_KNOWN && e->origins[index].on_path) {
            violation(e, top->state, (int)move, EXPLORER_GOES_IN_CIRCLES);
            return;
        }
        if (what != VISIT_NEW)
            continue;
        e->origins[index].on_path = 1;
        path[depth++] = (struct frame){.state = index};
        if (depth > e->result->depth)
            e->result->depth = depth;
    }
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* The first state, then everything that follows from it. */
static void explore(struct explorer *e, enum explorer_order order, struct frame *path)
{
    uint32_t index;
    int verdict;

    e->model->init(e->model->variant, e->after);
    verdict = e->model->check(e->model->variant, e->after, e->after);
    visit(e, e->after, 0, 0, &index);
    if (verdict != 0)
        violation(e, index, -1, verdict);
    else if (order == EXPLORER_BREADTH)
        run_breadth(e);
    else
        run_depth(e, path);
}

int explorer_run(const struct explorer_model *model, enum explorer_order order, size_t states_max,
                 FILE *trace, struct explorer_result *result)
{
    struct explorer e = {.model = model, .result = result, .trace = trace};
    const double start = now();
    struct frame *path;
    int rc = -ENOMEM;

    assert(model->actors * EXPLORER_CHOICES < UINT8_MAX);
    assert(states_max > 0 && states_max < UINT32_MAX);

    *result = (struct explorer_result){.complete = true};
    e.stride = (model->state_size + 7) & ~(size_t)7;
    e.states_max = states_max;
    for (e.table_size = 1; e.table_size < states_max * 2;)
        e.table_size *= 2;
    e.arena = reserve(states_max * e.stride);
    e.origins = reserve(states_max * sizeof(*e.origins));
    e.table = reserve(e.table_size * sizeof(*e.table));
    path = reserve(states_max * sizeof(*path));
    e.after = calloc(1, e.stride);

    if (e.arena && e.origins && e.table && path && e.after) {
        explore(&e, order, path);
        rc = 0;
    }
    free(e.after);
    release(path, states_max * sizeof(*path));
    release(e.table, e.table_size * sizeof(*e.table));
    release(e.origins, states_max * sizeof(*e.origins));
    release(e.arena, states_max * e.stride);
    result->seconds = now() - start;
    return rc;
}
