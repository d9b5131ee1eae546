/*
 * The golden logs: what format 1.0 looks like, byte for byte.
 *
 * Made with the format layer alone and without anything random: fixed identities, generations and
 * times. The same functions made the files in v1/ once and remake them in every test run, so that a
 * change of the format cannot pass unseen. They are also where the fuzzer of directories starts.
 */
#ifndef TEST_GOLDEN_MAKE_GOLDEN_H
#define TEST_GOLDEN_MAKE_GOLDEN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define GOLDEN_LOGS    2u
#define GOLDEN_FILES   8u
#define GOLDEN_RECORDS 256u

struct golden_file {
    char name[32];
    uint8_t *bytes;
    size_t size;
};

struct golden_record {
    uint64_t seq;
    uint64_t time_ns;
    uint32_t tag;
    uint32_t len;
    char text[200];
};

struct golden_log {
    const char *name;
    struct golden_file files[GOLDEN_FILES];
    size_t file_count;
    struct golden_record records[GOLDEN_RECORDS]; /* what a reader gets, in order */
    size_t record_count;
};

/* Log number `which` < GOLDEN_LOGS. */
struct golden_log *golden_make(unsigned which);
void golden_free(struct golden_log *log);

/*
 * A file as text: "size N", then "OFFSET HEX" for each 32 bytes that are not all zero.
 * Reading gives 0 and memory that the caller frees, or -1.
 */
void golden_text_write(FILE *to, const uint8_t *bytes, size_t size);
int golden_text_read(FILE *from, uint8_t **bytes, size_t *size);

#endif
