/*
 * Bytes as text: UTF-8, JSON strings, base64, hexadecimal digits.
 */
#include "text.h"

#include "sink.h"

#include <stdint.h>

/* Length of the prefix that is plain ASCII. */
static size_t ascii_prefix(const unsigned char *data, size_t len)
{
    size_t at = 0;

    for (; len - at >= 8; at += 8) {
        uint64_t word;

        memcpy(&word, data + at, 8);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (at < len && data[at] < 0x80)
        at++;
    return at;
}

/* Bytes of the well-formed sequence at data, or 0. RFC 3629, section 4. */
static size_t sequence_len(const unsigned char *data, size_t len)
{
    const unsigned char lead = data[0];
    size_t need;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;

    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (lead == 0xed)
        high = 0x9f; /* surrogates */
    else if (lead == 0xf0)
        low = 0x90; /* shorter forms exist */
    else if (lead == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (len < need || data[1] < low || data[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
    }
    return need;
}

bool text_is_utf8(const void *data, size_t len)
{
    const unsigned char *at = data;

    while (len > 0) {
        size_t step = ascii_prefix(at, len);

        if (step == 0)
            step = sequence_len(at, len);
        if (step == 0)
            return false;
        at += step;
        len -= step;
    }
    return true;
}

static void put_escape(struct sink *sink, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    static const char letters[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    const char *found = c ? strchr(letters, c) : NULL;

    if (found) {
        text[1] = names[found - letters];
        sink_put(sink, text, 2);
        return;
    }
    sink_put(sink, text, 6);
}

void text_put_json(struct sink *sink, const void *data, size_t len)
{
    const unsigned char *at = data;
    const unsigned char *const end = at + len;

    sink_put_byte(sink, '"');
    while (at < end) {
        const unsigned char *plain = at;

        while (plain < end && *plain >= 0x20 && *plain != '"' && *plain != '\\' && *plain != 0x7f)
            plain++;
        sink_put(sink, at, (size_t)(plain - at));
        if (plain < end)
            put_escape(sink, *plain++);
        at = plain;
    }
    sink_put_byte(sink, '"');
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_triple(const unsigned char *in, size_t len, char out[4])
{
    const uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)(len > 1 ? in[1] : 0) << 8 |
                          (uint32_t)(len > 2 ? in[2] : 0);

    out[0] = base64_digits[bits >> 18];
    out[1] = base64_digits[bits >> 12 & 63];
    out[2] = len > 1 ? base64_digits[bits >> 6 & 63] : '=';
    out[3] = len > 2 ? base64_digits[bits & 63] : '=';
}

void text_put_base64(struct sink *sink, const void *data, size_t len)
{
    const unsigned char *at = data;

    while (len > 0) {
        const size_t part = len < 3 * 1024 ? len : 3 * 1024;
        char *out = sink_room(sink, 4096);
        size_t used = 0;

        for (size_t i = 0; i < part; i += 3, used += 4)
            base64_triple(at + i, part - i, out + used);
        sink_took(sink, used);
        at += part;
        len -= part;
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool text_from_base64(const char *text, size_t len, unsigned char *out, size_t *out_len)
{
    size_t pad = 0;
    size_t used = 0;
    uint32_t bits = 0;

    if (len % 4 != 0)
        return false;
    while (pad < 2 && len > 0 && text[len - 1] == '=') {
        len--;
        pad++;
    }
    for (size_t i = 0; i < len; i++) {
        const int value = base64_value(text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0)
            out[used++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    /* Bits that pad the last digit must be zero, or two texts would mean the same bytes. */
    if ((pad == 1 && (bits & 3)) || (pad == 2 && (bits & 15)))
        return false;
    *out_len = used;
    return true;
}

static void put_name(struct sink *sink, const char *name)
{
    sink_put_byte(sink, '"');
    sink_put(sink, name, strlen(name));
    sink_put(sink, "\":", 2);
}

void text_put_json_bytes(struct sink *sink, const char *text, const char *base64, const void *data,
                         size_t len)
{
    if (text_is_utf8(data, len)) {
        put_name(sink, text);
        text_put_json(sink, data, len);
        return;
    }
    put_name(sink, base64);
    sink_put_byte(sink, '"');
    text_put_base64(sink, data, len);
    sink_put_byte(sink, '"');
}

void text_put_hex(struct sink *sink, const void *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *at = data;

    while (len > 0) {
        const size_t part = len < 2048 ? len : 2048;
        char *out = sink_room(sink, 4096);

        for (size_t i = 0; i < part; i++) {
            out[2 * i] = hex[at[i] >> 4];
            out[2 * i + 1] = hex[at[i] & 15];
        }
        sink_took(sink, 2 * part);
        at += part;
        len -= part;
    }
}
