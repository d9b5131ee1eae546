/*
 * A ring's header and words: bytes in, facts out.
 */
#include "format/ring.h"

#include "base/crc32c.h"

#include <seglog/ring.h>

static_assert(RING_SIZE_MIN == SEGLOG_RING_SIZE_MIN, "the public limit");
static_assert(RING_SIZE_MAX == SEGLOG_RING_SIZE_MAX, "the public limit");
static_assert(RING_PLACES == SEGLOG_RING_PLACES, "the public limit");

const char *ring_pair_refusal(uint32_t kind, uint32_t overload)
{
    if (kind > SEGLOG_RING_WORK)
        return "unknown kind";
    if (overload > SEGLOG_OVERLOAD_OVERWRITE)
        return "unknown overload";
    if (kind == SEGLOG_RING_WORK && overload == SEGLOG_OVERLOAD_OVERWRITE)
        return "work shared among consumers cannot be overwritten: one of them may be at it";
    return NULL;
}

static uint32_t header_crc(const struct ring_header *page)
{
    return ~crc32c(~0u, page, offsetof(struct ring_header, crc));
}

void ring_header_encode(struct ring_header *page, const struct ring_facts *facts)
{
    memset(page, 0, sizeof(*page));
    memcpy(page->head.magic, MAGIC_RING, sizeof(page->head.magic));
    le32_put(&page->head.endian, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
                                     ? ENDIAN_MARK
                                     : __builtin_bswap32(ENDIAN_MARK));
    le16_put(&page->head.major, FORMAT_MAJOR);
    le16_put(&page->head.minor, FORMAT_MINOR);
    memcpy(page->head.uuid, facts->uuid, sizeof(page->head.uuid));
    le64_put(&page->size, facts->size);
    le64_put(&page->data_off, facts->data_off);
    le64_put(&page->start, facts->start);
    le64_put(&page->created_ns, facts->created_ns);
    le32_put(&page->kind, facts->kind);
    le32_put(&page->overload, facts->overload);
    le32_put(&page->mode, facts->mode);
    le32_put(&page->crc, header_crc(page));
}

static int refuse(int status, const char *text, const char **why)
{
    if (why)
        *why = text;
    return status;
}

static int decode_fields(const struct ring_header *page, struct ring_facts *out, const char **why)
{
    struct ring_facts f = {
        .size = le64_get(&page->size),
        .data_off = le64_get(&page->data_off),
        .start = le64_get(&page->start),
        .created_ns = le64_get(&page->created_ns),
        .kind = le32_get(&page->kind),
        .overload = le32_get(&page->overload),
        .mode = le32_get(&page->mode),
    };

    memcpy(f.uuid, page->head.uuid, sizeof(f.uuid));
    if (!is_power_of_two(f.size) || f.size < RING_SIZE_MIN || f.size > RING_SIZE_MAX)
        return refuse(SEGLOG_ECORRUPT, "the size is impossible", why);
    if (f.data_off < RING_CTRL_BYTES || f.data_off > RING_SIZE_MAX || f.data_off % PAGE_BYTES != 0)
        return refuse(SEGLOG_ECORRUPT, "the place of the data is impossible", why);
    if (f.start % RING_ALIGN != 0)
        return refuse(SEGLOG_ECORRUPT, "the first position is impossible", why);
    if (ring_pair_refusal(f.kind, f.overload))
        return refuse(SEGLOG_ECORRUPT, "kind and overload are impossible", why);
    *out = f;
    return 0;
}

int ring_header_decode(const struct ring_header *page, struct ring_facts *out, const char **why)
{
    const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    const uint32_t endian = le32_get(&page->head.endian);

    if (memcmp(page->head.magic, MAGIC_RING, sizeof(page->head.magic)) != 0)
        return refuse(SEGLOG_ENOTLOG, "no ring's header", why);
    if (le32_get(&page->crc) != header_crc(page))
        return refuse(SEGLOG_ECORRUPT, "the header's checksum is wrong", why);
    if (endian != (little ? ENDIAN_MARK : __builtin_bswap32(ENDIAN_MARK)))
        return refuse(SEGLOG_EENDIAN, "the other byte order", why);
    if (le16_get(&page->head.major) > FORMAT_MAJOR)
        return refuse(SEGLOG_EVERSION, "a newer format", why);
    /* Unknown read-compatible features too: there is no reading that writes nothing for all kinds.
     * */
    if (le64_get(&page->head.incompat) != 0 || le64_get(&page->head.ro_compat) != 0)
        return refuse(SEGLOG_EVERSION, "a feature that is unknown here", why);
    return decode_fields(page, out, why);
}

int ring_word_decode(uint64_t word, uint64_t size, struct ring_word_facts *out)
{
    const uint64_t high = word >> 32;
    struct ring_word_facts f = {.state = (enum ring_word_state)(word & 7)};

    switch (word & 7) {
    case RING_EMPTY:
        if (word != 0)
            return SEGLOG_ECORRUPT;
        *out = f;
        return 0;
    case RING_CLAIMED:
        f.place = word >> 3 & (RING_PLACES - 1);
        f.gen = word >> 11 & RING_GEN_MAX;
        f.span = high * RING_ALIGN;
        if (f.gen == 0)
            return SEGLOG_ECORRUPT;
        break;
    case RING_DATA:
    case RING_DONE:
        if ((word >> 4 & 0xfffffff) != 0)
            return SEGLOG_ECORRUPT;
        f.stamped = (word & RING_STAMPED) != 0;
        f.len = high;
        f.span = ring_span(high, f.stamped);
        break;
    case RING_PAD:
        if ((word >> 3 & 0x1fffffff) != 0)
            return SEGLOG_ECORRUPT;
        f.span = high * RING_ALIGN;
        break;
    default:
        return SEGLOG_ECORRUPT;
    }
    if (f.span == 0 || f.span > size / 2)
        return SEGLOG_ECORRUPT;
    *out = f;
    return 0;
}
