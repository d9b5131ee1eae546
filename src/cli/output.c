/*
 * Records on stdout, in every form that `cat` and `tail` know.
 *
 * JSON is written by hand, straight into the output buffer: an object tree for each record would
 * cost ten times as much as reading the record.
 */
#include "output.h"

#include "parse.h"
#include "stamp.h"
#include "text.h"

#include <stdlib.h>

/* A stretch of a format string: a field, or plain bytes. */
struct output_part {
    char field; /* 's' 'o' 't' 'T' 'k' 'S'; 0: a plain byte */
    unsigned char byte;
};

const char *output_form_parse(const char *name, enum output_form *out)
{
    static const struct {
        const char *name;
        enum output_form form;
    } forms[] = {
        {"line", OUTPUT_LINE}, {"raw", OUTPUT_RAW}, {"json", OUTPUT_JSON},
        {"hex", OUTPUT_HEX},   {"lp", OUTPUT_LP},   {"none", OUTPUT_NONE},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(name, forms[i].name) == 0) {
            *out = forms[i].form;
            return NULL;
        }
    }
    if (strcmp(name, "pcap") == 0)
        return parse_later;
    return "known are line, raw, json, hex, lp and none";
}

static const char *format_compile(struct output *output, const char *format)
{
    output->parts = calloc(strlen(format) + 1, sizeof(*output->parts));
    if (!output->parts)
        return "out of memory";

    for (const char *at = format; *at; at++) {
        struct output_part *part = &output->parts[output->part_count++];
        unsigned used;

        part->byte = (unsigned char)*at;
        if (*at == '\\') {
            const char *why = parse_escape(at + 1, &part->byte, &used);

            if (why)
                return why;
            at += used;
        } else if (*at == '%') {
            at++;
            if (!*at || !strchr("sotTkS%", *at))
                return "known after % are s, o, t, T, k, S and %";
            part->field = *at == '%' ? '\0' : *at;
        }
    }
    return NULL;
}

const char *output_open(struct output *output, int fd, enum output_form form, const char *format)
{
    *output = (struct output){.form = form};
    if (sink_open(&output->sink, fd) < 0)
        return "out of memory";
    return form == OUTPUT_FORMAT ? format_compile(output, format) : NULL;
}

void output_close(struct output *output)
{
    sink_close(&output->sink);
    free(output->parts);
    output->parts = NULL;
}

static void put_number(struct sink *sink, uint64_t value)
{
    char *room = sink_room(sink, 20);

    sink_took(sink, stamp_decimal(value, room));
}

static void put_stamp(struct sink *sink, uint64_t time_ns)
{
    char *room = sink_room(sink, STAMP_LEN + 1);

    stamp_format(time_ns, room);
    sink_took(sink, STAMP_LEN);
}

#define PUT_TEXT(sink_, text_) sink_put((sink_), (text_), sizeof(text_) - 1)

static void put_json(struct sink *sink, const struct seglog_view *view)
{
    PUT_TEXT(sink, "{\"seq\":");
    put_number(sink, view->seq);
    PUT_TEXT(sink, ",\"time\":\"");
    put_stamp(sink, view->time_ns);
    PUT_TEXT(sink, "\",\"tag\":");
    put_number(sink, view->tag);
    PUT_TEXT(sink, ",\"len\":");
    put_number(sink, view->len);
    sink_put_byte(sink, ',');
    text_put_json_bytes(sink, "text", "base64", view->data, view->len);
    PUT_TEXT(sink, "}\n");
}

static void put_field(struct sink *sink, char field, const struct seglog_view *view)
{
    switch (field) {
    case 's':
        sink_put(sink, view->data, view->len);
        break;
    case 'o':
        put_number(sink, view->seq);
        break;
    case 't':
        put_number(sink, view->time_ns);
        break;
    case 'T':
        put_stamp(sink, view->time_ns);
        break;
    case 'k':
        put_number(sink, view->tag);
        break;
    case 'S':
        put_number(sink, view->len);
        break;
    default:
        break;
    }
}

void output_record(struct output *output, const struct seglog_view *view)
{
    struct sink *sink = &output->sink;
    const unsigned char length[4] = {
        (unsigned char)view->len,
        (unsigned char)(view->len >> 8),
        (unsigned char)(view->len >> 16),
        (unsigned char)(view->len >> 24),
    };

    switch (output->form) {
    case OUTPUT_LINE:
        sink_put(sink, view->data, view->len);
        sink_put_byte(sink, '\n');
        break;
    case OUTPUT_RAW:
        sink_put(sink, view->data, view->len);
        break;
    case OUTPUT_JSON:
        put_json(sink, view);
        break;
    case OUTPUT_HEX:
        text_put_hex(sink, view->data, view->len);
        sink_put_byte(sink, '\n');
        break;
    case OUTPUT_LP:
        sink_put(sink, length, sizeof(length));
        sink_put(sink, view->data, view->len);
        break;
    case OUTPUT_NONE:
        break;
    case OUTPUT_FORMAT:
        for (size_t i = 0; i < output->part_count; i++) {
            if (output->parts[i].field)
                put_field(sink, output->parts[i].field, view);
            else
                sink_put_byte(sink, (char)output->parts[i].byte);
        }
        break;
    }
    output->records++;
    output->bytes += view->len;
}
