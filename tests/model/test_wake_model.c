/*
 * No reader sleeps beside a committed record, under every interleaving of two producers, two
 * sleepers and the store buffers of their processors. Exhaustive: each producer commits once, each
 * sleeper reads both records and may sleep and be woken any number of times in between.
 */
#include "model/report.h"
#include "model/wake_model.h"

#define sound(...)  sound_((struct wake_variant){__VA_ARGS__})
#define broken(...) broken_((struct wake_variant){__VA_ARGS__})

static void sound_(struct wake_variant v)
{
    const struct explorer_model model = wake_model(&v);

    expect_sound(&model);
}

static void broken_(struct wake_variant v)
{
    const struct explorer_model model = wake_model(&v);

    expect_broken(&model, WAKE_LOST);
}

/* --- what is sound --------------------------------------------------------------------------- */

Test(wake_sound, a_commit_by_swap_needs_no_further_fence)
{
    sound(.name = "wake: commit by swap, sleeper fences itself only", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_SWAP, .announce = WAKE_COUNT, .twists = WAKE_NO_MEMBARRIER);
}

Test(wake_sound, a_fence_after_a_commit_by_store_is_enough)
{
    sound(.name = "wake: commit by store and fence", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE_FENCED, .announce = WAKE_COUNT, .twists = WAKE_NO_MEMBARRIER);
}

Test(wake_sound, the_sleepers_membarrier_is_enough_for_a_bare_store)
{
    sound(.name = "wake: commit by store, membarrier by the sleeper", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE, .announce = WAKE_COUNT);
}

Test(wake_sound, a_flag_may_be_cleared_before_waking_while_nobody_dies)
{
    sound(.name = "wake: flag cleared by the waker, nobody dies", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE, .announce = WAKE_FLAG);
}

Test(wake_sound, a_counter_that_sleepers_take_back_survives_deaths)
{
    sound(.name = "wake: counter, producers die", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE, .announce = WAKE_COUNT, .crashes = 2);
}

Test(wake_sound, registering_and_serving_survives_deaths)
{
    sound(.name = "wake: registered and served, producers die", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE, .announce = WAKE_REGISTERED, .crashes = 1);
}

Test(wake_sound, registering_and_serving_loses_no_record)
{
    sound(.name = "wake: registered and served, nobody dies", .producers = 2, .sleepers = 2,
          .commit = WAKE_COMMIT_STORE, .announce = WAKE_REGISTERED);
}

/* --- what is not ----------------------------------------------------------------------------- */

Test(wake_mistake, a_bare_store_loses_a_wake_up_when_nobody_fences_for_it)
{
    broken(.name = "mistake 11: no fence between commit and waiters", .producers = 2, .sleepers = 2,
           .commit = WAKE_COMMIT_STORE, .announce = WAKE_COUNT, .twists = WAKE_NO_MEMBARRIER);
}

Test(wake_mistake, one_producer_and_one_sleeper_lose_it_too)
{
    broken(.name = "mistake 11: the same, one producer and one sleeper", .producers = 1,
           .sleepers = 1, .commit = WAKE_COMMIT_STORE, .announce = WAKE_COUNT,
           .twists = WAKE_NO_MEMBARRIER);
}

Test(wake_mistake, a_sleeper_that_does_not_look_again_loses_it_whatever_the_fences)
{
    broken(.name = "mistake 12: no second look after announcing", .producers = 2, .sleepers = 2,
           .commit = WAKE_COMMIT_SWAP, .announce = WAKE_COUNT, .twists = WAKE_NO_RECHECK);
}

Test(wake_mistake, a_ticket_drawn_after_the_second_look_loses_it)
{
    broken(.name = "mistake 16: futex word read after the second look", .producers = 2,
           .sleepers = 2, .commit = WAKE_COMMIT_SWAP, .announce = WAKE_COUNT,
           .twists = WAKE_LATE_TICKET);
}

Test(wake_mistake, a_waker_that_does_not_change_the_futex_word_loses_it)
{
    broken(.name = "mistake 17: wake without changing the futex word", .producers = 2,
           .sleepers = 2, .commit = WAKE_COMMIT_SWAP, .announce = WAKE_COUNT,
           .twists = WAKE_NO_TICKET);
}

Test(wake_mistake, a_waker_that_dies_after_clearing_the_flag_hides_the_sleeper)
{
    broken(.name = "mistake 18: flag cleared first, and the waker dies", .producers = 2,
           .sleepers = 1, .commit = WAKE_COMMIT_STORE, .announce = WAKE_FLAG, .crashes = 1);
}

Test(wake_mistake, a_flag_cleared_after_waking_hides_who_came_in_between)
{
    broken(.name = "mistake 19: flag cleared after waking", .producers = 2, .sleepers = 2,
           .commit = WAKE_COMMIT_STORE, .announce = WAKE_FLAG_LATE);
}
