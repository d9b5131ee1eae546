/*
 * Bytes as text: UTF-8, JSON strings, base64.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct sink;

/* true: valid UTF-8 of RFC 3629 (no surrogates, no overlong forms). */
bool text_is_utf8(const void *data, size_t len);

/* Write a JSON string with its quotes; data must be valid UTF-8. */
void text_put_json(struct sink *sink, const void *data, size_t len);

/* Write a member of a JSON object: "text":"..." if it is UTF-8, else "base64":"...". */
void text_put_json_bytes(struct sink *sink, const char *text, const char *base64, const void *data,
                         size_t len);

/* Write hexadecimal digits. */
void text_put_hex(struct sink *sink, const void *data, size_t len);

/* Write base64 of RFC 4648 with padding. */
void text_put_base64(struct sink *sink, const void *data, size_t len);

/* Decode base64 into out, which may be text itself (it never gets ahead of the reading) and has room
 * for len / 4 * 3. returns true and *out_len, or false for anything but canonical base64 */
bool text_from_base64(const char *text, size_t len, unsigned char *out, size_t *out_len);

#endif
