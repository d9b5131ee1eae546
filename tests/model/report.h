/*
 * What every test of a model does: explore, print the size of it, compare the verdict.
 */
#ifndef SEGLOG_TEST_MODEL_REPORT_H
#define SEGLOG_TEST_MODEL_REPORT_H

#include "model/explorer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* So many states of 128 bytes, their origins, the table and the path are 320 MiB. */
enum { REPORT_STATES_MAX = 2000000 };

static inline void report(const struct explorer_model *model, const struct explorer_result *r)
{
    printf("%-58s %8zu states %9zu steps %6zu ends %6.2f s  %s\n", model->name, r->states, r->steps,
           r->ends, r->seconds,
           !r->complete                             ? "unfinished"
           : r->verdict == 0                        ? "sound"
           : r->verdict == EXPLORER_GOES_IN_CIRCLES ? "goes in circles"
                                                    : model->verdict_name(r->verdict));
    fflush(stdout);
}

/* Every reachable state and step is allowed, every run ends, and ends well. */
static inline void expect_sound(const struct explorer_model *model)
{
    struct explorer_result r;

    cr_assert_eq(explorer_run(model, EXPLORER_DEPTH, REPORT_STATES_MAX, stdout, &r), 0);
    report(model, &r);
    cr_assert_eq(r.verdict, 0, "%s: broken", model->name);
    cr_assert(r.complete, "%s: more states than there is room for", model->name);
    cr_assert_gt(r.ends, 0, "%s: no run ends", model->name);
}

/* The explorer finds a run that does exactly this harm; SEGLOG_MODEL_TRACE=1 prints it. */
static inline void expect_broken(const struct explorer_model *model, int verdict)
{
    FILE *trace = getenv("SEGLOG_MODEL_TRACE") ? stdout : NULL;
    struct explorer_result r;

    cr_assert_eq(explorer_run(model, EXPLORER_BREADTH, REPORT_STATES_MAX, trace, &r), 0);
    report(model, &r);
    cr_assert_eq(r.verdict, verdict, "%s: found %d, not %d", model->name, r.verdict, verdict);
}

#endif
