/*
 * Rings under every interleaving and every death at every step, within these bounds: two producers of
 * three messages each, one consumer, six units of memory that start full of what looks like messages.
 * Each deliberate mistake is found, by the harm that it does.
 */
#include "model/report.h"
#include "model/ring_model.h"

#define sound(...)       sound_((struct ring_variant){__VA_ARGS__})
#define broken(how, ...) broken_(how, (struct ring_variant){__VA_ARGS__})

static void sound_(struct ring_variant v)
{
    const struct explorer_model model = ring_model(&v);

    expect_sound(&model);
}

static void broken_(int verdict, struct ring_variant v)
{
    const struct explorer_model model = ring_model(&v);

    expect_broken(&model, verdict);
}

Test(ring_sound, one_producer_that_waits)
{
    sound(.name = "ring: one producer, waiting", .producers = 1, .messages = 7);
}

Test(ring_sound, one_producer_that_overwrites)
{
    sound(.name = "ring: one producer, overwriting", .producers = 1, .messages = 7,
          .overwrite = true);
}

Test(ring_sound, two_producers_that_wait)
{
    sound(.name = "ring: two producers, waiting", .producers = 2, .messages = 3);
}

Test(ring_sound, two_producers_that_wait_and_die)
{
    sound(.name = "ring: two producers, waiting, both may die", .producers = 2, .messages = 3,
          .crashes = 2);
}

Test(ring_sound, two_producers_that_overwrite)
{
    sound(.name = "ring: two producers, overwriting", .producers = 2, .messages = 3,
          .overwrite = true);
}

Test(ring_sound, two_producers_that_overwrite_and_die)
{
    sound(.name = "ring: two producers, overwriting, both may die", .producers = 2, .messages = 3,
          .crashes = 2, .overwrite = true);
}

Test(ring_mistake, without_the_zero_behind_old_payload_is_taken_for_a_message)
{
    broken(RING_LANDED, .name = "ring mistake: no zero behind", .producers = 1, .messages = 3,
           .twists = RING_NO_ZERO);
}

Test(ring_mistake, zero_stored_after_the_lock_wipes_out_the_next_claim)
{
    broken(RING_LANDED, .name = "ring mistake: zero after the lock, one producer dies",
           .producers = 2, .messages = 3, .crashes = 1, .twists = RING_ZERO_LATE);
}

Test(ring_mistake, a_tail_moved_before_the_claim_leaves_a_hole)
{
    broken(RING_STUCK, .name = "ring mistake: tail before CLAIMED", .producers = 2, .messages = 3,
           .crashes = 1, .twists = RING_TAIL_FIRST);
}

Test(ring_mistake, a_lock_taken_over_without_mending_the_tail)
{
    broken(RING_STUCK, .name = "ring mistake: no mending", .producers = 2, .messages = 3,
           .crashes = 1, .twists = RING_NO_MEND);
}

Test(ring_mistake, a_ring_filled_to_the_last_unit_has_no_end)
{
    broken(RING_CHANGED, .name = "ring mistake: no room for the word behind", .producers = 1,
           .messages = 7, .twists = RING_NO_WORD_BEHIND);
}

Test(ring_mistake, room_given_back_before_reading)
{
    broken(RING_CHANGED, .name = "ring mistake: release before reading", .producers = 1,
           .messages = 7, .twists = RING_RELEASE_EARLY);
}

Test(ring_mistake, a_living_producer_that_is_passed_by_commits_into_others_room)
{
    broken(RING_ORDER, .name = "ring mistake: death guessed", .producers = 2, .messages = 3,
           .twists = RING_GUESS);
}

Test(ring_mistake, producers_that_do_not_exclude_each_other)
{
    broken(RING_CHANGED, .name = "ring mistake: no lock", .producers = 2, .messages = 3,
           .twists = RING_NO_LOCK);
}

Test(ring_mistake, a_copy_that_is_not_checked)
{
    broken(RING_CHANGED, .name = "ring mistake: copy not checked", .producers = 1, .messages = 7,
           .overwrite = true, .twists = RING_NO_CHECK);
}

Test(ring_mistake, a_floor_moved_after_the_overwriting)
{
    broken(RING_CHANGED, .name = "ring mistake: floor moved late", .producers = 1, .messages = 7,
           .overwrite = true, .twists = RING_FLOOR_LATE);
}

Test(ring_mistake, open_claims_that_give_way)
{
    broken(RING_CHANGED, .name = "ring mistake: claims overwritten", .producers = 2, .messages = 5,
           .overwrite = true, .twists = RING_OVER_CLAIMS);
}
