/*
 * The struct: see maps.h. Two vectors grow in one file, so that room of one is never another's. Every
 * word of an element says whose it is: mark, vector and place in the element.
 */
#include "powercut/maps.h"

#include <seglog/struct.h>

#include <errno.h>

#define PATH_BYTES 600
#define TEXT_BYTES 40u

struct wide {
    uint64_t words[ELEMENT_WORDS];
};

#define CUT_FIELDS(F, S)                                \
    F(SEGLOG_SEGMENTED(struct wide), left)              \
    F(SEGLOG_ARRAY2(uint64_t, STRUCT_WORDS, 60), words) \
    F(SEGLOG_STRING(TEXT_BYTES), text)                  \
    F(SEGLOG_SEGMENTED(struct wide), right)
SEGLOG_STRUCT(cut, CUT_FIELDS);

static int cut_open(const char *dir, uint32_t flags, struct seglog_struct **s, struct cut **cut)
{
    const struct seglog_struct_options options = {.flags = flags};
    char path[PATH_BYTES];
    int rc;

    snprintf(path, sizeof(path), "%s/struct", dir);
    rc = seglog_struct_open(path, SEGLOG_SCHEMA(cut), &options, s);
    if (rc == 0)
        *cut = seglog_struct_data(*s);
    return rc;
}

static struct seglog_segmented *vector_of(struct cut *cut, unsigned v)
{
    return v == 0 ? &cut->left.head : &cut->right.head;
}

static uint64_t element_word(uint64_t mark, unsigned v, unsigned k)
{
    return mark << 4 | v << 3 | k;
}

static void text_of(uint64_t mark, char out[TEXT_BYTES + 1])
{
    snprintf(out, TEXT_BYTES + 1, "%0*llu", (int)(8 + mark % 32), (unsigned long long)mark);
}

/* ---- at work -------------------------------------------------------------------------------- */

static void flush(struct bed *b, struct seglog_struct *s)
{
    struct struct_known *known = &b->o->structure;

    ORACLE_OK(b->o, seglog_struct_flush(s));
    for (unsigned i = 0; i < STRUCT_WORDS; i++)
        kept_is(&known->words[i], kept_now(&known->words[i]));
    for (unsigned v = 0; v < STRUCT_VECTORS; v++)
        known->vectors[v].flushed = known->vectors[v].pushed;
    known->is_text_sure = known->text != 0;
}

static void store(struct bed *b, struct seglog_struct *s, struct cut *cut)
{
    const uint64_t i = dice_below(&b->dice, STRUCT_WORDS), value = ++b->o->last_mark;
    struct kept *kept = &b->o->structure.words[i];

    if (kept_is_full(kept))
        flush(b, s);
    kept_may(kept, value);
    *SEGLOG_AT2(&cut->words, i, 7) = value;
}

static void rename_it(struct bed *b, struct cut *cut)
{
    const uint64_t mark = ++b->o->last_mark;
    char text[TEXT_BYTES + 1];

    text_of(mark, text);
    b->o->structure.is_text_sure = false;
    b->o->structure.text = 0;
    ORACLE_OK(b->o, SEGLOG_STRING_SET(&cut->text, text, strlen(text)));
    b->o->structure.text = mark;
}

static void push(struct bed *b, struct seglog_struct *s, struct cut *cut, unsigned v)
{
    struct vector_known *known = &b->o->structure.vectors[v];
    const uint64_t mark = ++b->o->last_mark;
    struct wide element;

    if (known->pushed == STRUCT_ELEMENTS)
        return;
    for (unsigned k = 0; k < ELEMENT_WORDS; k++)
        known->at[known->pushed][k] = element.words[k] = element_word(mark, v, k);
    known->pushed++;
    ORACLE_OK(b->o, seglog_segmented_push(s, vector_of(cut, v), sizeof(element), &element));
}

void structs_work(struct bed *b)
{
    struct seglog_struct *s;
    struct cut *cut;

    ORACLE_OK(b->o, cut_open(b->dir, SEGLOG_STRUCT_WRITE | SEGLOG_STRUCT_CREATE, &s, &cut));
    for (uint64_t n = 1 + dice_below(&b->dice, 16); n > 0; n--) {
        const uint64_t what = dice_below(&b->dice, 12);

        if (what == 0)
            flush(b, s);
        else if (what < 3)
            rename_it(b, cut);
        else if (what < 7)
            store(b, s, cut);
        else
            for (uint64_t k = dice_below(&b->dice, 60); k > 0; k--)
                push(b, s, cut, what % STRUCT_VECTORS);
    }
    seglog_struct_close(s);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

/* One element that was not flushed: each word is zero, or was put into this vector once. */
static void check_unsure(const struct oracle *o, const struct wide *wide, unsigned v, uint64_t i,
                         const char *when)
{
    for (unsigned k = 0; wide && k < ELEMENT_WORDS; k++) {
        const uint64_t word = wide->words[k];

        ORACLE_MUST(
            o, word == 0 || (word >> 4 <= o->last_mark && word == element_word(word >> 4, v, k)),
            "%s: element %llu of vector %u holds what was never put there", when,
            (unsigned long long)i, v);
    }
}

/* An earlier cut left the count, and not the part that this element lay in: zeros once there is one. */
static bool was_lost(const struct vector_known *known, uint64_t i)
{
    static const uint64_t nothing[ELEMENT_WORDS];

    return memcmp(known->at[i], nothing, sizeof(nothing)) == 0;
}

static void check_vector(struct oracle *o, struct seglog_struct *s, struct cut *cut, unsigned v,
                         bool writes, const char *when)
{
    struct vector_known *known = &o->structure.vectors[v];
    struct seglog_segmented *head = vector_of(cut, v);
    const uint64_t count = atomic_load(&head->count);

    ORACLE_MUST(o, count >= known->flushed && count <= known->pushed,
                "%s: vector %u has %llu elements, flushed were %llu of %llu", when, v,
                (unsigned long long)count, (unsigned long long)known->flushed,
                (unsigned long long)known->pushed);
    for (uint64_t i = 0; i < count; i++) {
        const struct wide *wide = seglog_segmented_at(s, head, sizeof(struct wide), i);

        if (i < known->flushed)
            ORACLE_MUST(o,
                        wide ? memcmp(wide, known->at[i], sizeof(*wide)) == 0 : was_lost(known, i),
                        "%s: element %llu of vector %u is %s", when, (unsigned long long)i, v,
                        wide ? "another" : "gone");
        else
            check_unsure(o, wide, v, i, when);
        if (writes && wide)
            memcpy(known->at[i], wide, sizeof(*wide));
        else if (writes)
            memset(known->at[i], 0, sizeof(known->at[i]));
    }
    if (writes)
        known->flushed = known->pushed = count;
}

static void check_text(struct oracle *o, struct cut *cut, bool writes, const char *when)
{
    char want[TEXT_BYTES + 1];
    const char *text;
    size_t len;
    const int rc = SEGLOG_STRING_GET(&cut->text, &text, &len);

    ORACLE_MUST(o, rc == 0 || (rc == SEGLOG_ECORRUPT && !o->structure.is_text_sure), "%s: text: %s",
                when, seglog_status_name(rc));
    if (o->structure.is_text_sure) {
        text_of(o->structure.text, want);
        ORACLE_MUST(o, len == strlen(want) && memcmp(text, want, len) == 0,
                    "%s: the text is \"%.*s\", flushed was \"%s\"", when, (int)len, text, want);
    } else if (writes) {
        o->structure.text = 0; /* whatever it is */
    }
}

static void check_words(struct oracle *o, struct cut *cut, bool writes, const char *when)
{
    for (unsigned i = 0; i < STRUCT_WORDS; i++) {
        struct kept *kept = &o->structure.words[i];
        const uint64_t value = cut ? *SEGLOG_AT2(&cut->words, i, 7) : 0;

        ORACLE_MUST(o, kept_allows(kept, value), "%s: word %u of the struct is %llu, flushed %llu",
                    when, i, (unsigned long long)value, (unsigned long long)kept->durable);
        if (writes)
            kept_is(kept, value);
    }
}

void structs_check(struct oracle *o, const char *dir, bool writes, const char *when)
{
    struct seglog_struct *s;
    struct cut *cut = NULL;
    int rc;

    if (!o->has_maps)
        return;
    rc = cut_open(dir, writes ? SEGLOG_STRUCT_WRITE : 0, &s, &cut);
    ORACLE_MUST(o, rc == 0 || rc == -ENOENT, "%s: struct: %s", when, seglog_status_name(rc));
    check_words(o, cut, writes, when);
    if (rc < 0) {
        ORACLE_MUST(o,
                    !o->structure.is_text_sure && o->structure.vectors[0].flushed == 0 &&
                        o->structure.vectors[1].flushed == 0,
                    "%s: the struct is gone", when);
        if (writes)
            memset(&o->structure, 0, sizeof(o->structure));
        return;
    }
    check_text(o, cut, writes, when);
    for (unsigned v = 0; v < STRUCT_VECTORS; v++)
        check_vector(o, s, cut, v, writes, when);
    seglog_struct_close(s);
}
