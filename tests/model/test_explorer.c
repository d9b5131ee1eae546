/*
 * The explorer itself, on a model whose states can be counted by hand: two actors count to three.
 */
#include "model/report.h"

#include <string.h>

enum { TOP = 3, REACHED_TOP = 1, STOPPED_EARLY = 2 };

struct counters {
    uint8_t value[2];
    uint8_t dead[2];
    uint8_t pad[4];
};

struct rules {
    uint8_t crashes;
    uint8_t wraps;     /* counts on from 0 instead of stopping */
    uint8_t forbidden; /* both may not be there together; 0: no such rule */
};

static void start(const void *variant, void *state)
{
    (void)variant;
    *(struct counters *)state = (struct counters){.value = {0, 0}};
}

static bool count(const void *variant, void *state, unsigned actor, enum explorer_choice choice)
{
    const struct rules *rules = variant;
    struct counters *c = state;

    if (choice == EXPLORER_OTHER || c->dead[actor])
        return false;
    if (choice == EXPLORER_CRASH) {
        c->dead[actor] = 1;
        return rules->crashes;
    }
    if (c->value[actor] == TOP && !rules->wraps)
        return false;
    c->value[actor] = (uint8_t)((c->value[actor] + 1) % (TOP + 1));
    return true;
}

static int check(const void *variant, const void *before, const void *after)
{
    const struct rules *rules = variant;
    const struct counters *c = after;

    (void)before;
    if (rules->forbidden && c->value[0] == rules->forbidden && c->value[1] == rules->forbidden)
        return REACHED_TOP;
    return 0;
}

static int check_end(const void *variant, const void *state)
{
    const struct counters *c = state;

    (void)variant;
    return c->value[0] == TOP && c->value[1] == TOP ? 0 : STOPPED_EARLY;
}

static void describe(const void *variant, const void *before, const void *after, unsigned actor,
                     enum explorer_choice choice, FILE *out)
{
    const struct counters *c = after;

    (void)variant;
    (void)before;
    fprintf(out, "%u %s %u", actor, choice == EXPLORER_CRASH ? "dies at" : "counts to",
            c->value[actor]);
}

static const char *name(int verdict)
{
    return verdict == REACHED_TOP ? "both there" : "stopped early";
}

static struct explorer_result explore(struct rules rules, enum explorer_order order, size_t max,
                                      FILE *trace)
{
    const struct explorer_model model = {
        .name = "counters",
        .variant = &rules,
        .state_size = sizeof(struct counters),
        .actors = 2,
        .init = start,
        .step = count,
        .check = check,
        .check_end = check_end,
        .describe = describe,
        .verdict_name = name,
    };
    struct explorer_result r;

    cr_assert_eq(explorer_run(&model, order, max, trace, &r), 0);
    return r;
}

Test(explorer, meets_every_state_once_in_either_order)
{
    for (int order = EXPLORER_BREADTH; order <= EXPLORER_DEPTH; order++) {
        const struct explorer_result r =
            explore((struct rules){0}, (enum explorer_order)order, 100, NULL);

        cr_assert_eq(r.verdict, 0);
        cr_assert(r.complete);
        cr_assert_eq(r.states, 16);
        cr_assert_eq(r.steps, 24);
        cr_assert_eq(r.ends, 1);
    }
}

Test(explorer, finds_the_shortest_way_to_a_violation_and_prints_it)
{
    char text[1024] = "";
    FILE *trace = fmemopen(text, sizeof(text), "w");
    const struct explorer_result r =
        explore((struct rules){.forbidden = 2}, EXPLORER_BREADTH, 100, trace);

    fclose(trace);
    cr_assert_eq(r.verdict, REACHED_TOP);
    cr_assert(strstr(text, "\"both there\" after 4 steps"), "%s", text);
    cr_assert(strstr(text, "    4  1 counts to 2\n"), "%s", text);
}

Test(explorer, looks_at_the_end_of_every_run_deaths_included)
{
    const struct explorer_result r =
        explore((struct rules){.crashes = 1}, EXPLORER_BREADTH, 100, NULL);

    cr_assert_eq(r.verdict, STOPPED_EARLY);
}

Test(explorer, notices_a_run_without_an_end)
{
    const struct explorer_result r = explore((struct rules){.wraps = 1}, EXPLORER_DEPTH, 100, NULL);

    cr_assert_eq(r.verdict, EXPLORER_GOES_IN_CIRCLES);
}

Test(explorer, says_so_when_there_is_no_room_for_all_states)
{
    const struct explorer_result r = explore((struct rules){0}, EXPLORER_BREADTH, 15, NULL);

    cr_assert(!r.complete);
}
