/*
 * Files of state (a cell, a struct, a table without and with a log), spoiled one by one and judged.
 *
 * judge() opens what lies there, reads all of it, walks over it, changes it, and reads it again, once
 * for reading and once for writing. Nothing may crash or hang, no status may be undefined, and no value
 * may come out that was never there; what remains is told from the rest: did anybody say that something
 * is wrong?
 *
 * As in image.h, what goes wrong ends the process.
 */
#ifndef TEST_HOSTILE_STATE_H
#define TEST_HOSTILE_STATE_H

#include "hostile/image.h"

enum state_kind { STATE_CELL, STATE_STRUCT, STATE_TABLE, STATE_WITH_LOG, STATE_KINDS };
enum state_boot { STATE_SAME_BOOT, STATE_REBOOTED, STATE_BOOTS };

enum state_verdict {
    STATE_TOLD,     /* some call said so */
    STATE_HARMLESS, /* all is as it was, and new things can be stored */
    STATE_OTHER,    /* an older value, or none, or for a struct any, and nobody said so */
    STATE_WRONG,    /* a value that the key never had, or the same key twice */
    STATE_VERDICTS,
};

struct state_stage {
    enum state_kind kind;
    enum state_boot boot;
    char *dir, *path, *log;
    int fd;
    uint8_t *truth; /* the file as it is meant to be */
    uint8_t *bytes; /* as it is to be judged */
    size_t size;    /* of the truth */
    size_t left;    /* bytes of it that are to be there */
    struct image *log_files;
    uint64_t told; /* calls that failed in this judgement */
    uint64_t gone; /* keys or values that were not there */
    const char *why;
};

void state_stage_open(struct state_stage *stage, enum state_kind kind, enum state_boot boot);
void state_stage_close(struct state_stage *stage);
/* After stage->bytes or stage->left were changed; afterwards they are the truth again. */
enum state_verdict state_judge(struct state_stage *stage);

/* What a single bit turned at this place of the file must come to at best: see STATE, "Damage". */
bool state_may_be_other(const struct state_stage *stage, size_t at);
/* Bytes that mean something to the library: each of their bits is turned. The others are data and filling. */
bool state_is_structure(const struct state_stage *stage, size_t at);

/* The judges of the kinds: state_cell.c, state_table.c. */
void state_cell_make(struct state_stage *stage);
enum state_verdict state_cell_judge(struct state_stage *stage);
void state_struct_make(struct state_stage *stage);
enum state_verdict state_struct_judge(struct state_stage *stage);
void state_table_make(struct state_stage *stage);
enum state_verdict state_table_judge(struct state_stage *stage);

/* A call that may fail because of the damage: counts it, and sees to it that the status is one of those
 * that are promised. 1: it did not fail */
bool state_told(struct state_stage *stage, int rc);

#endif
