/*
 * The append protocol, small enough to try every interleaving and every death.
 *
 * WHO MAY DO WHAT
 *
 * Word 0 of a frame goes one way: 0 -> CLAIMED -> COMMITTED or ABORTED, or 0 -> ROLL. PAD and the
 * later headers of a batch are born inside a claim, before it is committed.
 *
 *   producer   swaps 0 for CLAIMED or ROLL at the end of the chain, writes inside its own claim,
 *              swaps its CLAIMED for COMMITTED or ABORTED. Exclusive: the same by plain stores.
 *   anybody    swaps a CLAIMED for ABORTED whose owner is proved dead, or (if the user has set a
 *              deadline) whose living owner is late; stores the tail word, which is only a hint;
 *              creates the next segment; writes the activation block, everybody the same bytes.
 *   sealer     seals a full segment when it has seen every frame of it resolved.
 *
 * Why it holds: a span never changes while its frame can still be stepped over by it (a trim leaves
 * PAD where the old span ended), so from the segment's start everybody steps on the same headers,
 * whatever hint they began with; the end of the chain is a zero word, and space behind it was never
 * written, so a swap that finds zero is at the end; and of all the swaps that resolve a claim one
 * succeeds. ROLL needs one unit, which no record may take. Counts sit beside the span in word 0, so
 * numbers follow from the same walk, and with them the base of the next segment.
 *
 * STEPS. Each load, store, swap or system call on shared memory is one step, but for these:
 *
 * Joined steps. Load a zero and swap it: in between the producer decides by its position alone, and
 * a swap that fails only loads again, so doing both at once loses no outcome. Ask for the lock and
 * load the generation: either is a proof by itself and, for one CLAIMED word, stays true. Look for
 * the next segment and create it: creating says EEXIST. The tail word and the activation block are
 * written whole (one is 64 bits, the other has a checksum). A seal is one step after its walk: a
 * death inside it is recovery's business. Payload is written unit by unit, the headers inside a
 * claim one by one.
 *
 * A lock is free at the moment of death: until the kernel drops it, a dead owner cannot be told
 * from one that is not scheduled. A dead follower starts anew. Eviction may come at any moment:
 * there is no clock. Waiting is not a step, so a run that cannot go on has ended, and then no claim
 * may be open and every reader must be at the end; and depth-first order shows that every run ends.
 *
 * WHAT STANDS FOR WHAT. A unit is 32 bytes. PAYLOAD is any bytes that a user may write, so a walk
 * that finds one has lost its way. JUNK is a left-over word with an impossible span. A record's id
 * stands for its bytes. Eviction leaves the owner running: it goes on to scribble over all of its
 * span, inner headers and PAD included. Recycling's gate is taken for granted, as one look.
 *
 * LEFT OUT. Weak memory (wake_model.c has the one place where x86 is too weak; the other orders are
 * named where they are used). More than 3 producers, 3 segments, 6 units, 2 deaths: nothing in the
 * protocol counts further than "mine, another's, a third one's", "this segment, the
 * next, the one after", but that is an argument, not a proof. Power loss, checksums, copies of the
 * directory, forks: recovery and its tests. Generations come round after 4 here, and in no run are
 * there so many owners of a slot; the variant that never bumps one stands for coming round.
 */
#include "model/append_state.h"

#include <string.h>

static bool append_step(const void *variant, void *state, unsigned actor,
                        enum explorer_choice choice)
{
    if (actor < APPEND_PRODUCERS_MAX)
        return producer_step(variant, state, actor, choice);
    return follower_step(variant, state, actor - APPEND_PRODUCERS_MAX, choice);
}

static void append_init(const void *variant, void *state)
{
    const struct append_variant *v = variant;
    struct state *st = state;

    memset(st, 0, sizeof(*st));
    st->segment[0] = (struct segment){.exists = 1, .active = 1};
    st->crashes = v->crashes;
    st->evictions = v->evictions;
    st->no_space = v->no_space;
    if (v->junk_at)
        st->memory[0].word[v->junk_at] = word_make(JUNK, 7, 0);
    for (unsigned i = 0; i < APPEND_SLOTS_MAX; i++)
        st->slot[i].clean = 1;
    for (unsigned i = 0; i < APPEND_PRODUCERS_MAX; i++) {
        const struct append_producer *role = &v->producer[i];

        if (op_parts(&role->op[0]) == 0) {
            st->producer[i].pc = P_GONE;
        } else if (role->attached) {
            st->slot[role->slot] = (struct slot){.gen = 1, .holder = u8(i + 1)};
            st->producer[i].gen = 1;
            st->producer[i].pc = has_twist(v, TWIST_FETCH_ADD) ? P_ADD : P_HINT;
        } else {
            st->producer[i].pc = P_ATTACH;
        }
    }
}

struct explorer_model append_model(const struct append_variant *variant)
{
    assert(variant->units <= APPEND_UNITS_MAX && variant->segments <= APPEND_SEGMENTS_MAX);
    return (struct explorer_model){
        .name = variant->name,
        .variant = variant,
        .state_size = sizeof(struct state),
        .actors = APPEND_PRODUCERS_MAX + FOLLOWERS,
        .init = append_init,
        .step = append_step,
        .check = append_check,
        .check_end = append_check_end,
        .describe = append_describe,
        .verdict_name = append_verdict_name,
    };
}
