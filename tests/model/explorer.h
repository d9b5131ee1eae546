/*
 * A small explicit-state explorer: every interleaving of a few actors over one shared memory.
 *
 * A state is a flat struct, compared and hashed by its bytes, so it must have no padding and one
 * spelling for one meaning (fields nobody will read again are zeroed). Actors take turns; one turn
 * is one atomic step. The explorer tries every actor and every choice in every state it has met,
 * asks the model whether what happened was allowed, and keeps the full states: nothing is hashed
 * away, so "no violation" is a statement about all of them.
 *
 * An actor that has to wait for somebody is simply not able to step. A state in which nobody can
 * step is therefore the end of a run, and that is where the model looks for what hangs for ever.
 */
#ifndef SEGLOG_TEST_EXPLORER_H
#define SEGLOG_TEST_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum explorer_choice {
    EXPLORER_STEP = 0, /* what the actor does next */
    EXPLORER_OTHER,    /* the other outcome: no space, a deadline, a wrong guess */
    EXPLORER_CRASH,    /* the actor dies here; never counted as "somebody can step" */
    EXPLORER_CHOICES,
};

/* Verdict 0 is "allowed"; this one is the explorer's own, the others are the model's. */
enum { EXPLORER_GOES_IN_CIRCLES = -1 };

struct explorer_model {
    const char *name;
    const void *variant; /* handed back to every function */
    size_t state_size;
    unsigned actors;

    void (*init)(const void *variant, void *state);
    /* Change *state by one step; false: this actor cannot do that now (then *state is ignored). */
    bool (*step)(const void *variant, void *state, unsigned actor, enum explorer_choice choice);
    /* Was this step allowed, and is the state after it sound? Also called with before == after. */
    int (*check)(const void *variant, const void *before, const void *after);
    /* Nobody can step any more: is that a good end? */
    int (*check_end)(const void *variant, const void *state);
    /* One line for a trace, without the newline. */
    void (*describe)(const void *variant, const void *before, const void *after, unsigned actor,
                     enum explorer_choice choice, FILE *out);
    const char *(*verdict_name)(int verdict);
};

enum explorer_order {
    EXPLORER_BREADTH, /* the first violation found has a shortest trace */
    EXPLORER_DEPTH,   /* also proves that every run ends: no state is reached from itself */
};

struct explorer_result {
    int verdict;    /* 0: every reachable state and step is allowed */
    bool complete;  /* false: there are more states than states_max, nothing is proved */
    size_t states;  /* distinct states met */
    size_t steps;   /* steps tried that were possible */
    size_t ends;    /* states in which nobody could step */
    unsigned depth; /* longest path looked at (depth order) */
    double seconds;
};

/*
 * Explore all states of a model.
 *
 * states_max  memory is reserved for so many, and touched only as they are met
 * trace       where the steps to a violation are written, or NULL
 * returns     0 and *result, or -ENOMEM
 */
int explorer_run(const struct explorer_model *model, enum explorer_order order, size_t states_max,
                 FILE *trace, struct explorer_result *result);

#endif
