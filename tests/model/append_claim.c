/*
 * What a producer writes inside its claim, and in which order: first payload over all of it, then
 * the headers that lie inside. Word 0 of the claim is not among it.
 */
#include "model/append_state.h"

/* Number of a producer's record: 2 bits of producer, 2 bits of index. */
unsigned record_of(const struct append_variant *v, unsigned i, unsigned op, unsigned part)
{
    unsigned index = part;

    for (unsigned o = 0; o < op; o++)
        index += op_parts(op_of(v, i, o));
    assert(index < 4);
    return i << 2 | index;
}

/* The k-th payload unit; all of the claim is scribbled over before anything is given back. */
bool fill_write(const struct append_variant *v, unsigned i, const struct producer *p,
                struct write *out)
{
    const struct append_op *op = op_of(v, i, p->op);
    unsigned unit = 0;
    unsigned k = p->k;

    for (unsigned part = 0; part < op_parts(op); unit += op->part[part], part++) {
        const unsigned payload = op->part[part] - 1u;

        if (k < payload) {
            out->unit = unit + 1 + k;
            out->word = word_make(PAYLOAD, 0, record_of(v, i, p->op, part));
            return true;
        }
        k -= payload;
    }
    return false;
}

/* The k-th header inside a claim: later records of a batch, its void rest, PAD after a trim. */
bool finish_write(const struct append_variant *v, unsigned i, const struct producer *p,
                  struct write *out)
{
    const struct append_op *op = op_of(v, i, p->op);
    const unsigned commits = op_parts(op) - op->abort;
    unsigned unit = op->part[0];
    unsigned k = p->k;

    if (commits == 0)
        return false;
    for (unsigned part = 1; part < commits; unit += op->part[part], part++, k--) {
        if (k == 0) {
            *out = (struct write){
                unit, word_make(COMMITTED, op->part[part], record_of(v, i, p->op, part))};
            return true;
        }
    }
    if (k == 0 && op->abort > 0) {
        *out = (struct write){unit, word_make(ABORTED, op_span(op) - unit, op->abort)};
        return true;
    }
    if (k == 0 && op->trim > 0 && !has_twist(v, TWIST_NO_PAD)) {
        *out = (struct write){op_span(op) - op->trim, word_make(PAD, op->trim, 0)};
        return true;
    }
    return false;
}
