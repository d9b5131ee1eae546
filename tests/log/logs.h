/*
 * What the tests of the log share: logs whose record number n is the text "n", the sentences to say
 * about them, and a reboot.
 */
#ifndef TEST_LOG_LOGS_H
#define TEST_LOG_LOGS_H

#include <seglog/log.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/handle.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define MS       UINT64_C(1000000)
#define PATIENCE (60000 * MS)

/* What a walk over all segments of a directory finds. */
struct tally {
    uint64_t next_seq;
    uint64_t epoch; /* of the last active segment */
    uint64_t first_seq;
    uint64_t records;
    uint64_t voids;
    uint64_t claims;
    uint64_t lost;     /* to damage */
    uint64_t segments; /* active ones */
    uint64_t sealed;
    uint64_t torn;    /* sealed at a cut */
    uint64_t damaged; /* sealed around damage */
    uint64_t spares;
    uint64_t asides;
    uint64_t temps;
};

/*
 * Walk over a log directory: segments must follow one another, and record n must say "n" unless
 * any_text. Stops the test when something does not fit.
 */
struct tally tally_dir(const char *dir, bool any_text);

/* A new log of 64 KiB segments in a directory of its own. */
char *log_dir_make(uint32_t sync);
/* Attach without a helper. */
struct seglog_log *log_attach(const char *dir);
/* Attach, and get what the recovery says. */
struct seglog_log *log_attach_recovered(const char *dir, struct seglog_recovery *out);
struct seglog_appender *log_appender(struct seglog_log *log, uint32_t mode);
/* n records; record number k is the text "k". */
void log_append(struct seglog_appender *ap, unsigned n);
/* The same through handles of its own. */
void log_append_alone(const char *dir, unsigned n);
/* Close both. */
void log_detach(struct seglog_log *log, struct seglog_appender *ap);

/* Let all files say that another boot wrote them. Only while nobody is attached. */
void log_reboot(const char *dir);
/* cp -r into a new directory. */
char *log_copy(const char *dir);
/* Remove the files of a log directory and fill it from another. */
void log_copy_over(const char *from, const char *to);

/* A segment of a log directory, mapped for writing: to look at it, and to damage it. */
struct segment *log_segment_open(const char *dir, uint64_t number);
void log_segment_zero(const char *dir, uint64_t number, uint64_t from, uint64_t to);
bool log_has_file(const char *dir, const char *name);

#endif
