/*
 * Records on stdout, in every form that `cat` and `tail` know.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "sink.h"

#include <seglog/reader.h>

#include <stdbool.h>

enum output_form {
    OUTPUT_LINE = 0, /* payload and a newline */
    OUTPUT_RAW,      /* payload */
    OUTPUT_JSON,     /* an object a line */
    OUTPUT_HEX,      /* payload in hexadecimal, a record a line */
    OUTPUT_LP,       /* length in 32 bits, little-endian, and payload */
    OUTPUT_NONE,     /* nothing: records are counted and checked */
    OUTPUT_FORMAT,   /* by a format string */
};

struct output_part;

struct output {
    struct sink sink;
    enum output_form form;
    struct output_part *parts; /* of a format string */
    size_t part_count;
    uint64_t records;
    uint64_t bytes; /* payload bytes of the records */
};

/* The names behind -o. returns NULL, or why the name is not understood */
const char *output_form_parse(const char *name, enum output_form *out);

/*
 * Make ready to print on fd. format is for OUTPUT_FORMAT.
 *
 * returns  NULL, or why the format is not understood. output_close() in both cases
 */
const char *output_open(struct output *output, int fd, enum output_form form, const char *format);
void output_close(struct output *output);

/* Print one record; errors are kept in output->sink.error. */
void output_record(struct output *output, const struct seglog_view *view);

#endif
