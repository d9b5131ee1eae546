/*
 * Fields of persistent structs: strings, vectors, and vectors without a limit.
 *
 * A length that is in the file is a claim by whoever wrote it. Each is compared with the room that the
 * declaration gives before anything is done with it.
 */
#include "state/struct.h"

#include <errno.h>
#include <string.h>

#include "sys/file.h"

#define PART_FIRST UINT64_C(64) /* elements of part 0 */

/* ---- strings --------------------------------------------------------------------------------- */

/* Bytes of the code point that begins at text, 0 if none does (RFC 3629: shortest form, no surrogates). */
static size_t utf8_step(const uint8_t *text, size_t len)
{
    const uint8_t b = text[0];
    const size_t n = b < 0x80 ? 1 : b < 0xc2 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;

    if (n == 0 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((b == 0xe0 && text[1] < 0xa0) || (b == 0xed && text[1] > 0x9f) ||
        (b == 0xf0 && text[1] < 0x90) || (b == 0xf4 && text[1] > 0x8f))
        return 0;
    return n;
}

static bool is_utf8(const char *text, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = utf8_step((const uint8_t *)text + at, len - at);
        if (n == 0)
            return false;
    }
    return true;
}

int seglog_string_set(uint32_t *field_len, char *field_text, size_t cap, const char *text,
                      size_t len)
{
    if (len > cap)
        return -EMSGSIZE;
    if (!is_utf8(text, len))
        return -EILSEQ;
    /* Killed in between: no text rather than a mixture. The fences keep the compiler's order. */
    *(volatile uint32_t *)field_len = 0;
    atomic_signal_fence(memory_order_seq_cst);
    memcpy(field_text, text, len);
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint32_t *)field_len = (uint32_t)len;
    return 0;
}

int seglog_string_get(const uint32_t *field_len, const char *field_text, size_t cap,
                      const char **text, size_t *len)
{
    const uint32_t n = *(const volatile uint32_t *)field_len;

    if (n > cap || !is_utf8(field_text, n))
        return SEGLOG_ECORRUPT;
    *text = field_text;
    *len = n;
    return 0;
}

size_t seglog_string_cut(const char *text, size_t len, size_t cap)
{
    if (len <= cap)
        return len;
    /* Back to the first byte of the code point that would be cut. */
    while (cap > 0 && ((uint8_t)text[cap] & 0xc0) == 0x80)
        cap--;
    return cap;
}

int seglog_out_of_range(void)
{
    return -ERANGE;
}

/* ---- vectors --------------------------------------------------------------------------------- */

uint32_t seglog_vec_len(const uint32_t *field_len, size_t cap)
{
    const uint32_t len = *(const volatile uint32_t *)field_len;

    return len > cap ? 0 : len;
}

int seglog_vec_push(uint32_t *field_len, void *at, size_t cap, size_t size, const void *value)
{
    const uint32_t len = *(const volatile uint32_t *)field_len;

    if (len > cap)
        return SEGLOG_ECORRUPT;
    if (len == cap)
        return -ENOBUFS;
    memcpy((uint8_t *)at + len * size, value, size);
    atomic_signal_fence(memory_order_seq_cst); /* killed here: it was not pushed */
    *(volatile uint32_t *)field_len = len + 1;
    return 0;
}

int seglog_vec_pop(uint32_t *field_len, const void *at, size_t cap, size_t size, void *value)
{
    const uint32_t len = *(const volatile uint32_t *)field_len;

    if (len > cap)
        return SEGLOG_ECORRUPT;
    if (len == 0)
        return -ENODATA;
    memcpy(value, (const uint8_t *)at + (len - 1) * size, size);
    *(volatile uint32_t *)field_len = len - 1;
    return 0;
}

/* ---- segmented vectors ----------------------------------------------------------------------- */

/* Part and place of element i. */
static unsigned part_of(uint64_t i, uint64_t *place)
{
    const unsigned part = 63u - (unsigned)__builtin_clzll(i / PART_FIRST + 1);

    *place = i - PART_FIRST * ((UINT64_C(1) << part) - 1);
    return part;
}

/* Bytes of a part, 0 if there cannot be such a one. */
static uint64_t part_bytes(unsigned part, size_t size)
{
    const uint64_t n = part < SEGLOG_PARTS ? PART_FIRST << part : 0;

    return size > 0 && n <= (uint64_t)INT64_MAX / 4 / size ? n * size : 0;
}

/* The address of a part of which the file has all bytes, else NULL. */
static uint8_t *part_at(struct seglog_struct *s, struct seglog_segmented *head, unsigned part,
                        uint64_t bytes)
{
    const uint64_t offset = atomic_load_explicit(&head->parts[part], memory_order_acquire);
    struct file_facts facts;
    uint8_t *at;

    if (offset < s->body_end || offset % PAGE_BYTES != 0 || bytes == 0)
        return NULL;
    at = region_at(&s->region, offset, bytes);
    if (at || file_facts(s->fd, &facts) < 0 || offset > facts.size || bytes > facts.size - offset ||
        region_extend(&s->region, facts.size) < 0)
        return at;
    return region_at(&s->region, offset, bytes);
}

/*
 * Room at the end of the file. Killed before the offset is stored it is not used again.
 *
 * The file's new length must be on the disk before anything leads there: a power cut that left the
 * offset and not the length would let the next part of another vector begin at the same place. The sync
 * makes the offset of the part before durable, too; so a count is ahead of one part at most.
 */
static int part_make(struct seglog_struct *s, struct seglog_segmented *head, unsigned part,
                     uint64_t bytes)
{
    struct file_facts facts;
    uint64_t offset;
    int rc = file_facts(s->fd, &facts);

    if (rc == 0 && atomic_load(&s->failed) != 0)
        rc = SEGLOG_EPOISONED;
    if (rc < 0)
        return rc;
    offset = align_up(facts.size, PAGE_BYTES);
    rc = file_lengthen(s->fd, offset, align_up(bytes, PAGE_BYTES));
    if (rc == 0 && !s->is_volatile)
        rc = struct_sync(s);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&head->parts[part], offset, memory_order_release);
    return 0;
}

void *seglog_segmented_at(struct seglog_struct *s, struct seglog_segmented *head, size_t size,
                          uint64_t i)
{
    uint64_t place;
    unsigned part;
    uint8_t *at;

    if (struct_is_forked(s) || i >= atomic_load_explicit(&head->count, memory_order_acquire) ||
        i / PART_FIRST >= UINT64_C(1) << (SEGLOG_PARTS - 1))
        return NULL;
    part = part_of(i, &place);
    at = part_at(s, head, part, part_bytes(part, size));
    return at ? at + place * size : NULL;
}

int seglog_segmented_push(struct seglog_struct *s, struct seglog_segmented *head, size_t size,
                          const void *value)
{
    const uint64_t count = atomic_load_explicit(&head->count, memory_order_relaxed);
    uint64_t place, bytes;
    unsigned part;
    uint8_t *at;
    int rc = 0;

    if (struct_is_forked(s))
        return SEGLOG_EFORKED;
    if (!s->is_writable)
        return -EPERM;
    if (count / PART_FIRST >= UINT64_C(1) << (SEGLOG_PARTS - 1))
        return SEGLOG_ECORRUPT;
    part = part_of(count, &place);
    bytes = part_bytes(part, size);
    if (bytes == 0)
        return -EFBIG;
    /* Its first element: there should be no room yet, but the last writer may have been killed; and of
     * another one a power cut may have left the count alone. A count that skips a part is damaged, and
     * may ask for any amount of room. */
    if (atomic_load_explicit(&head->parts[part], memory_order_relaxed) == 0) {
        if (part > 0 && !part_at(s, head, part - 1, part_bytes(part - 1, size)))
            return SEGLOG_ECORRUPT;
        rc = part_make(s, head, part, bytes);
    }
    if (rc < 0)
        return rc;
    at = part_at(s, head, part, bytes);
    if (!at)
        return SEGLOG_ECORRUPT;
    memcpy(at + place * size, value, size);
    if (region_is_hit(&s->region))
        return seglog_struct_check(s);
    /* ORDER count.publish -> SEGLOG_SEGMENTED_COUNT, seglog_segmented_at(): the element is whole. */
    atomic_store_explicit(&head->count, count + 1, memory_order_release);
    return 0;
}
