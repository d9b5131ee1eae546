/*
 * The append protocol under every interleaving, and what happens to it when one rule is left out.
 *
 * Every "sound" is exhaustive for the sizes it names: units of a segment, segments, producers with
 * what each appends, followers, and how often something may die, be evicted or find no space, each
 * at any step. Every "mistake" must be found, with exactly the harm it does.
 * SEGLOG_MODEL_TRACE=1 prints the shortest run to each of them; run with -j1 then.
 */
#include "model/append_model.h"
#include "model/report.h"

#define OP(...)               ((struct append_op){__VA_ARGS__})
#define RECORD(units)         OP(.part = {units})
#define TRIMMED(units, back)  OP(.part = {units}, .trim = (back))
#define ABORT(units)          OP(.part = {units}, .abort = 1)
#define BATCH(...)            OP(.part = {__VA_ARGS__})
#define BATCH_VOID(rest, ...) OP(.part = {__VA_ARGS__}, .abort = (rest))

#define PRODUCER(...)     ((struct append_producer){__VA_ARGS__})
#define THERE(slot_, ...) PRODUCER(.slot = (slot_), .attached = 1, .op = {__VA_ARGS__})
#define COMES(slot_, ...) PRODUCER(.slot = (slot_), .op = {__VA_ARGS__})

#define sound(...)            sound_((struct append_variant){__VA_ARGS__})
#define mistake(verdict, ...) mistake_(verdict, (struct append_variant){__VA_ARGS__})

static void sound_(struct append_variant v)
{
    const struct explorer_model model = append_model(&v);

    expect_sound(&model);
}

static void mistake_(int verdict, struct append_variant v)
{
    const struct explorer_model model = append_model(&v);

    expect_broken(&model, verdict);
}

/* --- what is built -------------------------------------------------------------------------- */

Test(append_sound, three_producers_two_of_whom_may_die)
{
    sound(.name = "base: 3 producers, 3 segments, 2 crashes", .units = 5, .segments = 3,
          .crashes = 2, .reader = 1,
          .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(1), RECORD(2)), THERE(2, RECORD(3))});
}

Test(append_sound, trim_and_batch_over_three_segments_with_a_full_disk)
{
    sound(.name = "trim, batch, abort over 3 segments, ENOSPC, 2 crashes", .units = 5,
          .segments = 3, .crashes = 2, .no_space = 2, .sealer = 1,
          .producer = {THERE(0, RECORD(2), TRIMMED(3, 1), ABORT(2)),
                       THERE(1, BATCH_VOID(1, 1, 2), RECORD(2))});
}

Test(append_sound, three_producers_batches_and_trims)
{
    sound(.name = "3 producers, batch, void rest, trim, 2 crashes", .units = 6, .segments = 3,
          .crashes = 2, .reader = 1,
          .producer = {THERE(0, BATCH(2, 1, 1)), THERE(1, BATCH_VOID(2, 1, 1, 1)),
                       THERE(2, TRIMMED(3, 2))});
}

Test(append_sound, the_tail_word_may_move_as_late_as_after_the_commit)
{
    sound(.name = "tail word moved after the commit", .units = 6, .segments = 2, .crashes = 1,
          .evictions = 1, .reader = 1, .twists = TWIST_TAIL_AT_COMMIT,
          .producer = {THERE(0, BATCH(2, 1)), THERE(1, RECORD(1), ABORT(2)),
                       THERE(2, TRIMMED(3, 1))});
}

Test(append_sound, the_evicted_owner_wakes_up_and_changes_nothing)
{
    sound(.name = "eviction of living owners, commit by swap", .units = 6, .segments = 3,
          .crashes = 1, .evictions = 2, .reader = 1, .sealer = 1,
          .producer = {THERE(0, BATCH(2, 1), RECORD(1)), THERE(1, TRIMMED(3, 1))});
}

Test(append_sound, a_slot_changes_hands)
{
    sound(.name = "slot reuse: resolve and bump", .units = 5, .segments = 3, .crashes = 2,
          .reader = 1,
          .producer = {THERE(0, RECORD(2), RECORD(2)), THERE(1, RECORD(1), RECORD(2)),
                       COMES(0, RECORD(1))});
}

Test(append_sound, a_slot_is_left_in_good_order)
{
    sound(.name = "slot reuse after leaving, or after a death", .units = 5, .segments = 3,
          .crashes = 2, .reader = 1,
          .producer = {{.slot = 0, .leaves = 1, .op = {RECORD(2), RECORD(2)}},
                       COMES(0, RECORD(1), RECORD(2)),
                       THERE(1, RECORD(2))});
}

Test(append_sound, the_bumped_generation_alone_proves_death)
{
    sound(.name = "slot reuse: bump without resolving", .units = 5, .segments = 3, .crashes = 2,
          .reader = 1, .twists = TWIST_SLOT_NO_RESOLVE,
          .producer = {THERE(0, RECORD(2), RECORD(2)), THERE(1, RECORD(1)), COMES(0, RECORD(1))});
}

Test(append_sound, resolving_makes_up_for_a_generation_that_came_round)
{
    sound(.name = "slot reuse: resolve, same generation again", .units = 5, .segments = 3,
          .crashes = 2, .reader = 1, .twists = TWIST_SLOT_NO_RENEW,
          .producer = {THERE(0, RECORD(2), RECORD(2)), THERE(1, RECORD(1)), COMES(0, RECORD(1))});
}

Test(append_sound, an_exclusive_producer_dies_and_a_shared_one_comes)
{
    sound(.name = "exclusive, dies or leaves, then shared", .units = 6, .segments = 3, .crashes = 2,
          .evictions = 1, .sealer = 1,
          .producer = {{.slot = 0,
                        .attached = 1,
                        .exclusive = 1,
                        .leaves = 1,
                        .op = {TRIMMED(3, 1), ABORT(2), BATCH_VOID(1, 1, 1)}},
                       {.slot = 0, .after = 1, .op = {RECORD(1), RECORD(3)}},
                       {.slot = 1, .after = 1, .op = {RECORD(2)}}});
}

Test(append_sound, a_reader_that_may_not_write_steps_over_the_dead)
{
    sound(.name = "read-only reader steps over, looks again first", .units = 6, .segments = 2,
          .crashes = 2, .reader = 1, .sealer = 1, .twists = TWIST_READER_STEPS_OVER,
          .producer = {THERE(0, RECORD(2)), THERE(1, BATCH(1, 1)), THERE(2, RECORD(1))});
}

Test(append_sound, commit_by_store_is_enough_while_death_is_proved)
{
    sound(.name = "commit by store, death proved, no deadline", .units = 6, .segments = 2,
          .crashes = 2, .reader = 1, .twists = TWIST_COMMIT_BY_STORE,
          .producer = {THERE(0, RECORD(2)), THERE(1, BATCH(1, 1)), THERE(2, RECORD(3))});
}

Test(append_sound, recycling_behind_a_gate)
{
    sound(.name = "recycling when nobody stands in the segment", .units = 4, .segments = 3,
          .crashes = 1, .reader = 1, .sealer = 1, .twists = TWIST_RECYCLE,
          .producer = {
              {.slot = 0, .attached = 1, .leaves = 1, .op = {RECORD(3), RECORD(3), RECORD(2)}},
              {.slot = 1, .attached = 1, .leaves = 1, .op = {RECORD(1), RECORD(2)}}});
}

Test(append_sound, left_over_bytes_are_damage_not_frames)
{
    sound(.name = "left-over words ahead, spans checked", .units = 6, .segments = 2, .crashes = 1,
          .reader = 1, .junk_at = 2,
          .producer = {THERE(0, RECORD(1), RECORD(1)), THERE(1, RECORD(1)), THERE(2, RECORD(1))});
}

/* --- what must not be built ----------------------------------------------------------------- */

Test(append_mistake, recycling_in_place_lets_a_stale_claim_in)
{
    mistake(APPEND_CLAIM_SWALLOWED, .name = "mistake 1: recycling in place, expected word 0",
            .units = 4, .segments = 3, .reader = 1, .sealer = 1,
            .twists = TWIST_RECYCLE | TWIST_RECYCLE_UNGATED,
            .tolerate = 1u << APPEND_AHEAD_NOT_ZERO,
            .producer = {THERE(0, RECORD(3), RECORD(3)), THERE(1, RECORD(1))});
}

Test(append_mistake, eviction_with_commit_by_store)
{
    mistake(APPEND_VERDICT_CHANGED, .name = "mistake 2: eviction, commit by store", .units = 6,
            .segments = 2, .evictions = 1, .reader = 1, .twists = TWIST_COMMIT_BY_STORE,
            .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(1))});
}

Test(append_mistake, a_smaller_span_without_pad)
{
    mistake(APPEND_LANDS_IN_PAYLOAD, .name = "mistake 3: smaller span committed, no PAD",
            .units = 6, .segments = 2, .reader = 1, .twists = TWIST_NO_PAD,
            .producer = {THERE(0, TRIMMED(3, 1)), THERE(1, RECORD(1))});
}

Test(append_mistake, fetch_add_and_holes_padded_at_once)
{
    mistake(APPEND_CLAIM_SWALLOWED, .name = "mistake 4: fetch_add, holes padded without waiting",
            .units = 6, .segments = 2, .reader = 1, .sealer = 1, .twists = TWIST_FETCH_ADD,
            .tolerate = 1u << APPEND_AHEAD_NOT_ZERO | 1u << APPEND_WRONG_NUMBER,
            .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(2))});
}

Test(append_mistake, a_slot_taken_over_as_it_is)
{
    mistake(APPEND_STUCK, .name = "mistake 5: slot reuse, no bump, no resolving", .units = 6,
            .segments = 2, .crashes = 1, .reader = 1, .sealer = 1,
            .twists = TWIST_SLOT_NO_RENEW | TWIST_SLOT_NO_RESOLVE,
            .producer = {THERE(0, RECORD(2)), COMES(0, RECORD(1))});
}

Test(append_mistake, roll_before_the_next_segment_exists)
{
    mistake(APPEND_ROLL_NOWHERE, .name = "mistake 6: ROLL before the next segment exists",
            .units = 4, .segments = 2, .no_space = 1, .reader = 1, .twists = TWIST_ROLL_FIRST,
            .producer = {THERE(0, RECORD(2), RECORD(2)), THERE(1, RECORD(1))});
}

Test(append_mistake, roll_first_makes_enospc_change_the_log)
{
    mistake(APPEND_NO_SPACE_CHANGED, .name = "mistake 6: the same, seen by the one who fails",
            .units = 4, .segments = 2, .no_space = 1, .twists = TWIST_ROLL_FIRST,
            .tolerate = 1u << APPEND_ROLL_NOWHERE,
            .producer = {THERE(0, RECORD(2), RECORD(2)), THERE(1, RECORD(1))});
}

Test(append_mistake, left_over_bytes_followed_unchecked)
{
    mistake(APPEND_BEYOND_END, .name = "mistake 7: left-over words taken for frames", .units = 6,
            .segments = 2, .reader = 1, .junk_at = 2, .twists = TWIST_TRUST_SPANS,
            .producer = {THERE(0, RECORD(1), RECORD(1)), THERE(1, RECORD(1))});
}

Test(append_mistake, abort_by_rewinding)
{
    mistake(APPEND_LANDS_IN_PAYLOAD, .name = "mistake 8: exclusive abort by rewinding", .units = 6,
            .segments = 2, .crashes = 1, .reader = 1, .twists = TWIST_ABORT_BY_REWIND,
            .tolerate = 1u << APPEND_AHEAD_NOT_ZERO | 1u << APPEND_WENT_BACK,
            .producer = {{.slot = 0, .attached = 1, .exclusive = 1, .op = {ABORT(3)}},
                         {.slot = 1, .after = 1, .op = {RECORD(1)}}});
}

Test(append_mistake, pad_after_the_commit)
{
    mistake(APPEND_LANDS_IN_PAYLOAD, .name = "mistake 9: PAD written after the commit", .units = 6,
            .segments = 2, .reader = 1, .twists = TWIST_FINISH_LATE,
            .producer = {THERE(0, TRIMMED(3, 1)), THERE(1, RECORD(1))});
}

Test(append_mistake, a_batch_published_from_its_front)
{
    mistake(APPEND_LOST, .name = "mistake 10: batch, first header first", .units = 6, .segments = 2,
            .reader = 1, .twists = TWIST_FINISH_LATE, .tolerate = 1u << APPEND_AHEAD_NOT_ZERO,
            .producer = {THERE(0, BATCH(2, 2)), THERE(1, RECORD(1))});
}

Test(append_mistake, activation_base_from_the_tail_hint)
{
    mistake(APPEND_BASE, .name = "mistake 13: activation base from the tail word", .units = 4,
            .segments = 2, .reader = 1, .twists = TWIST_BASE_FROM_HINT,
            .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(2))});
}

Test(append_mistake, a_wrong_base_numbers_the_next_record_wrongly)
{
    mistake(APPEND_WRONG_NUMBER, .name = "mistake 13: the same, seen by a newcomer", .units = 4,
            .segments = 2, .crashes = 1, .reader = 1, .twists = TWIST_BASE_FROM_HINT,
            .tolerate = 1u << APPEND_BASE,
            .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(2)), COMES(2, RECORD(1))});
}

Test(append_mistake, death_guessed_by_a_timer)
{
    mistake(APPEND_VERDICT_CHANGED, .name = "mistake 14: death by timer, commit by store",
            .units = 6, .segments = 2, .evictions = 1, .reader = 0,
            .twists = TWIST_DEATH_BY_TIMER | TWIST_COMMIT_BY_STORE,
            .producer = {THERE(0, RECORD(2)), COMES(0, RECORD(1))});
}

Test(append_mistake, stepping_over_without_a_second_look)
{
    mistake(APPEND_MISREAD, .name = "mistake 15: read-only reader does not look again", .units = 6,
            .segments = 2, .crashes = 1, .reader = 1,
            .twists = TWIST_READER_STEPS_OVER | TWIST_STEP_OVER_BLINDLY,
            .producer = {THERE(0, RECORD(2)), THERE(1, RECORD(1))});
}
