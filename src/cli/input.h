/*
 * Records from FILEs or from standard input, for `append` and `ring put`.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "args.h"
#include "framing.h"

struct input {
    const struct cli *cli;
    char **files;
    int file_count;
    const char *framing_option; /* the one that was given */
    struct framing framing;     /* set max_record before input_run() */
    uint64_t rate;              /* thousandths of a record per second; 0: no limit */
    uint64_t start_ns;          /* of the rate's clock */
    uint64_t records;           /* handed on */
    uint64_t batch_bytes;       /* of records in one call, as stored in a log */

    /* What is done with the records. All give 0 or a status; -EINTR: asked to stop. */
    void *context;
    int (*put)(void *context, struct seglog_record *records, int n);
    int (*settle)(void *context);             /* before waiting for more */
    int (*failed)(void *context, int status); /* say so; an exit status */
};

/* The children of the command's argp; they get the input at ARGP_KEY_INIT. */
extern const struct argp_child input_children[];

/* returns 0 or -ENOMEM; input_free() in both cases */
int input_init(struct input *input, const struct cli *cli, int argc);
void input_free(struct input *input);

/* The first argument is the place, the others are FILEs. */
error_t input_take_argument(struct input *input, const char **place, char *arg);

/* Look at all FILEs before anything is done. returns 0 or an exit status, having said why */
int input_check_files(const struct input *input);

/* Go through FILEs or standard input. returns an exit status, having said why */
int input_run(struct input *input);

#endif
