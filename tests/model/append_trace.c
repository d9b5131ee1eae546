/*
 * How a step of the append model reads in a counterexample.
 */
#include "model/append_state.h"

static const char *const producer_did[] = {
    [P_ATTACH] = "take the slot",
    [P_RESOLVE] = "resolve the last owner's frames",
    [P_RENEW] = "bump the generation",
    [P_OPEN] = "open the newest segment",
    [P_HINT] = "load the tail word",
    [P_WALK] = "look at word 0",
    [P_CREATE] = "create the next segment",
    [P_ROLL] = "swap in ROLL",
    [P_ACTIVATE] = "write the activation",
    [P_TAIL_LOOK] = "compare the tail word",
    [P_TAIL_MOVE] = "store the tail word",
    [P_FILL] = "write payload",
    [P_FINISH] = "write a header inside",
    [P_COMMIT] = "commit or abort",
    [P_LATE] = "write a header inside, late",
    [P_LEAVE] = "leave",
    [P_ADD] = "fetch_add the tail",
    [P_ADDED] = "swap in the claim",
    [P_DONE] = "rest",
    [P_GONE] = "be gone",
};

static const char *const follower_did[] = {
    [F_READ] = "look at word 0",   [F_PROBE] = "ask whether the owner lives",
    [F_KILL] = "make it void",     [F_SEAL] = "seal",
    [F_PAD_HOLE] = "pad the hole",
};

static const char *const verdict_names[APPEND_VERDICTS] = {
    [APPEND_ALLOWED] = "allowed",
    [APPEND_LANDS_IN_PAYLOAD] = "the chain lands in payload",
    [APPEND_BEYOND_END] = "the chain goes beyond the end",
    [APPEND_AHEAD_NOT_ZERO] = "the space ahead is not zero",
    [APPEND_WENT_BACK] = "a header went back to zero",
    [APPEND_VERDICT_CHANGED] = "a resolved frame got another verdict",
    [APPEND_CONTENT_CHANGED] = "a committed record changed",
    [APPEND_INCOMPLETE] = "a visible record is not whole",
    [APPEND_LOST] = "a committed record is lost, or a refused one is there",
    [APPEND_TWICE] = "a record is there twice",
    [APPEND_ORDER] = "a producer's records are out of order",
    [APPEND_CLAIM_SWALLOWED] = "an open claim is not in the chain",
    [APPEND_WRONG_NUMBER] = "two actors count different numbers",
    [APPEND_OFF_CHAIN] = "an actor stands inside a frame",
    [APPEND_MISREAD] = "a follower read something else than is there",
    [APPEND_ROLL_NOWHERE] = "ROLL leads to no segment",
    [APPEND_BASE] = "an activation has another base",
    [APPEND_HINT] = "the tail word points into a frame",
    [APPEND_SEAL] = "the seal does not match",
    [APPEND_NO_SPACE_CHANGED] = "ENOSPC, and the log had changed",
    [APPEND_STUCK] = "a dead owner's claim stays for ever",
    [APPEND_BLOCKED] = "a living producer cannot go on",
    [APPEND_BEHIND] = "a follower does not reach the end",
};

const char *append_verdict_name(int verdict)
{
    return verdict_names[verdict];
}

static void print_word(uint16_t word, FILE *out)
{
    switch (word_kind(word)) {
    case FREE:
        fputs(" .", out);
        return;
    case CLAIMED:
        fprintf(out, " CLAIM%u*%u:s%ug%u", word_span(word), word_count(word), word_slot(word),
                word_gen(word));
        return;
    case COMMITTED:
        fprintf(out, " REC%u:%u.%u", word_span(word), word_record(word) >> 2,
                word_record(word) & 3u);
        return;
    case ABORTED:
        fprintf(out, " VOID%u*%u", word_span(word), word_count(word));
        return;
    case PAD:
        fprintf(out, " PAD%u", word_span(word));
        return;
    case ROLL:
        fputs(" ROLL", out);
        return;
    case PAYLOAD:
        fprintf(out, " ~%u.%u", word_record(word) >> 2, word_record(word) & 3u);
        return;
    case JUNK:
        fprintf(out, " ?%u", word_span(word));
        return;
    }
}

void append_describe(const void *variant, const void *before, const void *after, unsigned actor,
                     enum explorer_choice choice, FILE *out)
{
    const struct append_variant *v = variant;
    const struct state *old = before;
    const struct state *st = after;
    static const char *const how[EXPLORER_CHOICES] = {
        [EXPLORER_STEP] = "",
        [EXPLORER_OTHER] = "(the other way) ",
        [EXPLORER_CRASH] = "dies before: ",
    };
    const char *did;
    char who[16];
    char what[64];

    if (st->first != old->first) {
        snprintf(who, sizeof(who), "sealer");
        did = "recycle the first segment";
        choice = EXPLORER_STEP;
    } else if (actor < APPEND_PRODUCERS_MAX) {
        snprintf(who, sizeof(who), "producer %u", actor);
        did = producer_did[old->producer[actor].pc];
    } else {
        snprintf(who, sizeof(who), "%s",
                 actor - APPEND_PRODUCERS_MAX == READER ? "reader" : "sealer");
        did = follower_did[old->follower[actor - APPEND_PRODUCERS_MAX].pc];
    }
    snprintf(what, sizeof(what), "%s%s", how[choice], did);
    fprintf(out, "%-10s %-40s", who, what);
    for (unsigned seg = st->first; seg < v->segments && st->segment[seg].exists; seg++) {
        fprintf(out, " | tail %u#%u", memory_seen(v, st, seg)->tail_off,
                memory_seen(v, st, seg)->tail_seq);
        for (unsigned off = 0; off < v->units; off++)
            print_word(memory_seen(v, st, seg)->word[off], out);
    }
}
