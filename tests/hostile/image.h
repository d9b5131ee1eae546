/*
 * A small log as an image in memory: to be spoiled there, laid out in a directory, and looked at by
 * everything that opens logs. Whatever was spoiled, every answer must be a defined status, come in
 * time, and no record may be handed out that was not appended under its number.
 *
 * Nothing here is Criterion's: what goes wrong is said on stderr and ends the process, so that it can
 * run in a child that may crash or hang.
 */
#ifndef TEST_HOSTILE_IMAGE_H
#define TEST_HOSTILE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_FILES 16u

struct image_file {
    char name[40]; /* "": removed */
    uint8_t *bytes;
    size_t size;
    size_t room;
};

struct image {
    struct image_file files[IMAGE_FILES];
    size_t count;
    uint64_t next_seq; /* of the log; numbers below it are image_text() or void */
    uint64_t records;
    uint64_t durable_seq; /* what the marks in it speak of */
};

/* The payload of number seq; gives its length. */
#define IMAGE_TEXT_MAX 512u
size_t image_text(uint64_t seq, char out[IMAGE_TEXT_MAX]);

/*
 * A log of segments of 64 KiB with every kind of frame: 0 to 2 sealed, 3 and 4 full, 5 active with an
 * open claim at its end, and perhaps a spare. Made once in a directory of its own.
 */
struct image *image_make(void);
/* A small one: segment 0 removed (so that there is a floor), 1 sealed, 2 active, each of few records. */
struct image *image_make_small(void);
/* All files of a directory, whatever they are. */
struct image *image_take(const char *dir);
struct image *image_copy(const struct image *image);
void image_free(struct image *image);
struct image_file *image_find(struct image *image, const char *name);
struct image_file *image_segment(struct image *image, uint64_t number);
/* Retention has removed segment 0. */
void image_trim(struct image *image);

/* Which boot the segments are to claim they were written in. */
enum image_boot {
    IMAGE_COPIED,    /* as they are: of this boot, but other inodes */
    IMAGE_SAME_BOOT, /* the inodes are made right */
    IMAGE_REBOOTED,  /* another boot */
    IMAGE_BOOTS,
};

/* Lay the files out in an empty directory, once with their boot marks; spoiling comes after. */
void image_settle(struct image *image, const char *dir, enum image_boot boot);
/* Make the directory's files what the image says now; those that are there keep their inodes. */
void image_write(const struct image *image, const char *dir);

struct seen {
    int info;
    int verify;
    int reader;
    int opened; /* seglog_log_open() */
    uint64_t forward;
    uint64_t backward;
    uint64_t reports; /* of damage, forward */
    uint64_t after;   /* forward again, once opened and appended to */
};

#define DRIVE_COPY   (1u << 0) /* readers use read(2) */
#define DRIVE_ATTACH (1u << 1) /* open for appending, append, read again */

/* Everything that looks at logs looks at this directory. Ends the process when an answer is wrong. */
struct seen drive(const char *dir, const struct image *truth, uint32_t flags);

/* The record is the one that was appended under its number, or IMAGE_AFTER. Else ends the process. */
struct seglog_view;
void image_check_record(const struct seglog_view *view, const struct image *truth);
#define IMAGE_AFTER "appended after all that"

/* A fact that must hold. */
#define must(fact)                                   \
    do {                                             \
        if (!(fact))                                 \
            image_die(__FILE__, __LINE__, #fact, 0); \
    } while (0)
#define must_status(rc, ...)                                   \
    do {                                                       \
        if (!(__VA_ARGS__))                                    \
            image_die(__FILE__, __LINE__, #__VA_ARGS__, (rc)); \
    } while (0)
_Noreturn void image_die(const char *file, int line, const char *fact, int rc);

#endif
