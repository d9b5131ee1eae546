/*
 * Records from JSON: the objects that `cat -o json` prints.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_BLANK 1

/* What an object says beside its payload; what it has not is left as it was. */
struct json_facts {
    uint32_t tag;
    uint64_t seq;
    uint64_t time_ns;
};

/*
 * Read one line. The payload replaces the line: it is never longer.
 *
 * len      in: bytes of the line; out: bytes of the payload
 * whole    false: sequence number and time are passed over
 * returns  0, JSON_BLANK for a line of blanks, or -EBADMSG and a text in problem, with the line as
 *          it was
 */
int json_take_record(unsigned char *line, size_t *len, bool whole, struct json_facts *facts,
                     char *problem, size_t problem_size);

#endif
