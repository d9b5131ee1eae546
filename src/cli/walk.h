/*
 * A walk over a whole log, as it was when the walk began, past whatever is damaged: for `salvage`,
 * `compact` and `export`.
 */
#ifndef CLI_WALK_H
#define CLI_WALK_H

#include "meter.h"

#include <seglog/log.h>
#include <seglog/reader.h>

#include <stdbool.h>

struct walk {
    const struct cli *cli;
    const char *dir;
    uint32_t flags; /* SEGLOG_READER_* */

    /* What is done with it. put, settle: 0 or a status, which ends the walk. */
    void *context;
    int (*put)(void *context, const struct seglog_view *view);
    int (*settle)(void *context);                                    /* the views so far go away */
    void (*lost)(void *context, const struct seglog_damage *damage); /* perhaps no number is */

    /* Known once it is open. */
    struct seglog_log_settings settings;
    uint64_t first_seq;
    uint64_t end_seq; /* UINT64_MAX: damage hides it, the walk goes as far as the log does */

    uint64_t next_seq; /* how far the walk has come */
    bool is_theirs;    /* the status that ended it is that of put or settle */
    struct meter meter;
    struct seglog_reader *reader;
    struct seglog_damage last; /* met last */
    bool has_last;
};

/* A record as it was met, to be stored elsewhere. Its bytes are those of the view. */
static inline struct seglog_record walk_record(const struct seglog_view *view)
{
    return (struct seglog_record){
        .data = view->data, .len = view->len, .time_ns = view->time_ns, .tag = view->tag};
}

/* Stand before the first record. returns 0 or a status; walk_close() in both cases */
int walk_open(struct walk *walk, const char *doing);

/* returns 0, also when asked to stop (signals.h), or a status */
int walk_run(struct walk *walk);

void walk_close(struct walk *walk);

#endif
