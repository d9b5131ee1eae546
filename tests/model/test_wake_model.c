/*
 * No reader sleeps beside a committed record, under every interleaving of two producers, two
 * sleepers and the store buffers of their processors. Exhaustive: each producer commits once, each
 * sleeper reads both records and may sleep and be woken any number of times in between.
 */
#include "model/report.h"
#include "model/wake_model.h"

static void sound(struct wake_variant v)
{
    const struct explorer_model model = wake_model(&v);

    expect_sound(&model);
}

static void broken(struct wake_variant v)
{
    const struct explorer_model model = wake_model(&v);

    expect_broken(&model, WAKE_LOST);
}

Test(wake_model, a_commit_by_swap_needs_no_further_fence)
{
    sound((struct wake_variant){"wake: commit by swap, sleeper fences itself only", 2, 2,
                                WAKE_COMMIT_SWAP, WAKE_NO_MEMBARRIER});
}

Test(wake_model, a_fence_after_a_commit_by_store_is_enough)
{
    sound((struct wake_variant){"wake: commit by store and fence", 2, 2, WAKE_COMMIT_STORE_FENCED,
                                WAKE_NO_MEMBARRIER});
}

Test(wake_model, the_sleepers_membarrier_is_enough_for_a_bare_store)
{
    sound((struct wake_variant){"wake: commit by store, membarrier by the sleeper", 2, 2,
                                WAKE_COMMIT_STORE, 0});
}

Test(wake_model, a_bare_store_loses_a_wake_up_when_nobody_fences_for_it)
{
    broken((struct wake_variant){"mistake: no fence between commit and waiters", 2, 2,
                                 WAKE_COMMIT_STORE, WAKE_NO_MEMBARRIER});
}

Test(wake_model, one_producer_and_one_sleeper_lose_it_too)
{
    broken((struct wake_variant){"mistake: no fence, one producer and one sleeper", 1, 1,
                                 WAKE_COMMIT_STORE, WAKE_NO_MEMBARRIER});
}

Test(wake_model, a_sleeper_that_does_not_look_again_loses_it_whatever_the_fences)
{
    broken((struct wake_variant){"mistake: no second look after announcing", 2, 2, WAKE_COMMIT_SWAP,
                                 WAKE_NO_RECHECK});
}

Test(wake_model, a_ticket_drawn_after_the_second_look_loses_it)
{
    broken((struct wake_variant){"mistake: futex word read after the second look", 2, 2,
                                 WAKE_COMMIT_SWAP, WAKE_LATE_TICKET});
}

Test(wake_model, a_waker_that_does_not_change_the_futex_word_loses_it)
{
    broken((struct wake_variant){"mistake: wake without changing the futex word", 2, 2,
                                 WAKE_COMMIT_SWAP, WAKE_NO_TICKET});
}
