/*
 * Records from JSON: the objects that `cat -o json` prints.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSON_BLANK 1

/*
 * Read one line. The payload replaces the line: it is never longer.
 *
 * len      in: bytes of the line; out: bytes of the payload
 * tag      untouched when the object has none
 * returns  0, JSON_BLANK for a line of blanks, or -EBADMSG and a text in problem, with the line as
 *          it was
 */
int json_take_record(unsigned char *line, size_t *len, uint32_t *tag, char *problem,
                     size_t problem_size);

#endif
