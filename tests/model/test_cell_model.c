/*
 * Readers of a cell get whole versions in order, under every interleaving with writers that die at any
 * step. Exhaustive within the numbers that each case names.
 */
#include "model/cell_model.h"
#include "model/report.h"

#define sound(...)           sound_((struct cell_variant){__VA_ARGS__})
#define broken(verdict, ...) broken_(verdict, (struct cell_variant){__VA_ARGS__})

static void sound_(struct cell_variant v)
{
    const struct explorer_model model = cell_model(&v);

    expect_sound(&model);
}

static void broken_(int verdict, struct cell_variant v)
{
    const struct explorer_model model = cell_model(&v);

    expect_broken(&model, verdict);
}

/* --- what is sound --------------------------------------------------------------------------- */

Test(cell_sound, two_slots_one_writer_two_readers)
{
    sound(.name = "cell: two slots, two readers", .slots = 2, .writers = 1, .readers = 2,
          .publishes = 4, .reads = 2);
}

Test(cell_sound, two_writers_that_die_anywhere_two_slots)
{
    sound(.name = "cell: two slots, two writers, two deaths", .slots = 2, .writers = 2,
          .readers = 1, .publishes = 2, .reads = 2, .crashes = 2);
}

Test(cell_sound, two_writers_that_die_anywhere_three_slots)
{
    sound(.name = "cell: three slots, two writers, two deaths", .slots = 3, .writers = 2,
          .readers = 1, .publishes = 3, .reads = 2, .crashes = 2);
}

/* --- what is not ----------------------------------------------------------------------------- */

Test(cell_mistake, a_reader_that_does_not_look_again_takes_a_mixture)
{
    broken(CELL_TORN, .name = "cell mistake: no recheck", .slots = 2, .writers = 1, .readers = 1,
           .publishes = 4, .reads = 1, .twists = CELL_NO_RECHECK);
}

Test(cell_mistake, a_writer_that_does_not_say_it_has_begun_tears)
{
    broken(CELL_TORN, .name = "cell mistake: no begin", .slots = 2, .writers = 1, .readers = 1,
           .publishes = 4, .reads = 1, .twists = CELL_NO_BEGIN);
}

Test(cell_mistake, numbering_on_behind_the_dead_without_care_overwrites_what_is_current)
{
    broken(CELL_LOST, .name = "cell mistake: into the slot of the current version", .slots = 2,
           .writers = 2, .readers = 1, .publishes = 2, .reads = 1, .crashes = 1,
           .twists = CELL_NO_SKIP);
}

Test(cell_mistake, moving_current_before_the_slot_is_finished_sends_readers_into_nothing)
{
    broken(CELL_LOST, .name = "cell mistake: current before finish", .slots = 2, .writers = 1,
           .readers = 1, .publishes = 2, .reads = 1, .twists = CELL_EARLY_CURRENT);
}

Test(cell_mistake, two_writers_at_once_publish_a_mixture)
{
    broken(CELL_LOST, .name = "cell mistake: two writers at once", .slots = 3, .writers = 2,
           .readers = 1, .publishes = 1, .reads = 1, .twists = CELL_STEAL_PLACE);
}
