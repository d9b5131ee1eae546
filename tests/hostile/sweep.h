/*
 * One spoiled log after the other, each judged: was the damage told, or did it change nothing?
 *
 * A stage is a directory in which an image lies, mapped, so that a spoiled byte costs no system call.
 * judge() asks verify, a reader and, where both saw nothing, an opener that appends, fills the segment
 * and seals it. What none of them told and what is not as it was, is undetected.
 */
#ifndef TEST_HOSTILE_SWEEP_H
#define TEST_HOSTILE_SWEEP_H

#include <seglog/inspect.h>

#include "hostile/image.h"

enum verdict {
    VERDICT_TOLD, /* somebody said so */
    VERDICT_CUT,  /* of another boot, above the mark: the end of the log, and recovery said so */
    VERDICT_HARMLESS,   /* every record is there, and the log goes on */
    VERDICT_UNDETECTED, /* none of these */
    VERDICTS,
};

/* What was found without changing anything. */
struct look {
    int verify;
    int reader; /* why it ended, or could not begin */
    struct seglog_verify_report report;
    uint64_t reports;
    uint64_t records;
    uint64_t end_seq; /* number after the last record */
};

struct stage {
    const struct image *truth; /* the image as it was made */
    struct image *image;       /* the same with the boot marks of this stage */
    enum image_boot boot;
    char *dir;
    uint8_t *maps[IMAGE_FILES]; /* of the files, shared */
    struct look sound;          /* the unspoiled log */
    bool is_unmarked;           /* what is spoiled are the marks, too; until the next judgement */
    bool is_gone; /* nothing is left that speaks of the newest segment: the log may end before it */
    bool is_rewritten; /* the files have other sizes or names than the maps */
    const char *why;   /* VERDICT_UNDETECTED: in words */
};

void stage_open(struct stage *stage, const struct image *truth, enum image_boot boot);
void stage_close(struct stage *stage);

/* Lay out files of other sizes or names, until the next judgement. */
void stage_rewrite(struct stage *stage, const struct image *spoiled);

/*
 * Judge what lies in the directory now, and make it whole again.
 *
 * attaches  open it for appending though verify and reader saw nothing wrong; else those two are
 *           believed. Judging is some ten times slower with it.
 */
enum verdict judge(struct stage *stage, bool attaches);

#endif
