/*
 * The processes at work: see work.h. A record's bytes follow from its mark, which begins it; marks are
 * numbered by each worker, also beyond its death. What lies beside the log is in beside.c.
 */
#include "fscut/work.h"

#include "fscut/beside.h"
#include "fscut/slow.h"

#include <seglog/archive.h>
#include <seglog/log.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#define KEEP_SEQS 400u /* trims leave about so many */
#define SECOND_NS UINT64_C(1000000000)

void work_make(struct tape *t, const char *dir)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_SEALED, SEGLOG_SYNC_INTERVAL, SEGLOG_SYNC_RECORD,
                                      SEGLOG_SYNC_NONE};
    struct dice d = dice_of(t->seed);
    const uint32_t level = levels[dice_below(&d, 4)];
    const struct seglog_log_options options = {
        .segment_size = SEGLOG_SEGMENT_SIZE_MIN << (dice_below(&d, 2) ? 0 : dice_below(&d, 5)),
        .sync = level,
        .sync_interval_ns = level == SEGLOG_SYNC_INTERVAL ? 5000000 : 0,
        .archive_after_ns = dice_below(&d, 4) == 0};
    struct tape_note *note = tape_may(t, TAPE_MADE, 1, true);

    WORK_OK(seglog_log_create(dir, &options));
    tape_is(t, note, 1);
}

/* ---- appending ------------------------------------------------------------------------------ */

uint64_t work_mark(struct worker *w)
{
    const uint64_t mark = tape_mark(w->number, ++w->marks);

    atomic_store(&w->tape->under_way[w->number], mark);
    return mark;
}

/* This number has this record. */
static void appended(struct worker *w, uint64_t seq, uint64_t mark, uint32_t level)
{
    WORK_MUST(seq < TAPE_SEQS, "record %llu", (unsigned long long)seq);
    atomic_store(&w->tape->marks[seq], mark);
    if (level == SEGLOG_SYNC_RECORD)
        tape_say(w->tape, TAPE_DURABLE, seq + 1);
}

static uint32_t level_of(const struct worker *w, uint32_t asked)
{
    return asked == SEGLOG_SYNC_DEFAULT ? w->level : asked;
}

static void append_one(struct worker *w)
{
    uint8_t payload[DICE_BYTES];
    const uint64_t mark = work_mark(w);
    const struct seglog_record record = {.data = payload,
                                         .len = dice_payload(mark, payload),
                                         .tag = (uint32_t)mark,
                                         .sync = dice_below(&w->dice, w->calm ? 600 : 60) == 0
                                                     ? SEGLOG_SYNC_RECORD
                                                     : SEGLOG_SYNC_DEFAULT};
    uint64_t seq;

    WORK_OK(seglog_appender_append_record(w->ap, &record, &seq));
    appended(w, seq, mark, level_of(w, record.sync));
}

static void append_batch(struct worker *w)
{
    uint8_t payloads[TAPE_BATCH][DICE_BYTES];
    struct seglog_record records[TAPE_BATCH] = {0};
    const size_t n = 1 + dice_below(&w->dice, 2);
    uint64_t marks[TAPE_BATCH], seq;

    for (size_t i = 0; i < n; i++) {
        marks[i] = work_mark(w);
        records[i].data = payloads[i];
        records[i].len = dice_payload(marks[i], payloads[i]);
        records[i].tag = (uint32_t)marks[i];
    }
    WORK_OK(seglog_appender_append_batch(w->ap, records, n, &seq));
    for (size_t i = 0; i < n; i++)
        appended(w, seq + i, marks[i], w->level);
}

/* Claimed, held open for a moment, and committed or given up. */
static void claim_one(struct worker *w)
{
    uint8_t payload[DICE_BYTES];
    const uint64_t mark = work_mark(w);
    const size_t len = dice_payload(mark, payload);
    struct seglog_claim claim;

    WORK_OK(seglog_appender_claim(w->ap, len + dice_below(&w->dice, 100), &claim));
    memcpy(claim.data, payload, len);
    claim.tag = (uint32_t)mark;
    if (dice_below(&w->dice, 3) == 0)
        usleep((useconds_t)dice_below(&w->dice, 3000));
    if (dice_below(&w->dice, 4) == 0) {
        WORK_OK(seglog_appender_abort(w->ap));
        return;
    }
    WORK_OK(seglog_appender_commit(w->ap, &claim, len));
    appended(w, claim.seq, mark, w->level);
}

/* ---- durability ----------------------------------------------------------------------------- */

/* What every process can read of it counts as acknowledged. */
static void look_at_progress(struct worker *w)
{
    uint64_t durable = 0;

    WORK_OK(seglog_log_progress(w->log, &durable, &w->next));
    if (durable > w->durable)
        tape_say(w->tape, TAPE_DURABLE, durable);
    w->durable = durable > w->durable ? durable : w->durable;
}

static void sync_log(struct worker *w)
{
    uint64_t durable = 0;

    WORK_OK(seglog_log_sync(w->log, &durable));
    tape_say(w->tape, TAPE_DURABLE, durable);
}

static void wait_durable(struct worker *w)
{
    const uint64_t seq =
        w->next > 0 ? w->next - 1 - dice_below(&w->dice, w->next < 20 ? 1 : 20) : 0;
    const int rc = seglog_log_wait_durable(w->log, seq, SECOND_NS / 20);

    WORK_MUST(rc == 0 || rc == -ETIMEDOUT, "wait: %s", seglog_status_name(rc));
    if (rc == 0)
        tape_say(w->tape, TAPE_DURABLE, seq + 1);
}

static void seal(struct worker *w)
{
    const int rc = seglog_log_seal(w->log, SECOND_NS / 10);

    WORK_MUST(rc >= 0 || rc == -ETIMEDOUT, "seal: %s", seglog_status_name(rc));
}

/* ---- what becomes of old records ------------------------------------------------------------ */

static void trim(struct worker *w)
{
    struct seglog_trim_options options = {.flags = SEGLOG_TRIM_BEFORE};
    struct seglog_trim_report report;
    int rc;

    if (w->next < KEEP_SEQS)
        return;
    options.before_seq = w->next - KEEP_SEQS + dice_below(&w->dice, KEEP_SEQS / 2);
    if (dice_below(&w->dice, 4) == 0)
        options.flags |= SEGLOG_TRIM_FORCE;
    (void)tape_may(w->tape, TAPE_TRIM, options.before_seq, false);
    rc = seglog_log_trim(w->log, &options, &report);
    WORK_MUST(rc == 0 || rc == -EBUSY, "trim: %s", seglog_status_name(rc));
    if (rc == 0)
        tape_say(w->tape, TAPE_FLOOR, report.first_seq);
}

static void archive(struct worker *w)
{
    const struct seglog_archive_options options = {.keep = dice_below(&w->dice, 3)};
    const int rc = seglog_archive(w->dir, &options, NULL);

    WORK_MUST(rc == 0 || rc == -EBUSY, "archive: %s", seglog_status_name(rc));
}

/*
 * Let the kernel write what it has of the log's files, as it does by itself only after seconds: written,
 * but not flushed, and in any order.
 */
static void write_back(struct worker *w)
{
    DIR *dir = opendir(w->dir);
    const struct dirent *entry;

    WORK_MUST(dir != NULL, "%s: %s", w->dir, strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        const int fd = dice_below(&w->dice, 2)
                           ? openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                           : -1;

        if (fd >= 0) {
            (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
            close(fd);
        }
    }
    closedir(dir);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void attach(struct worker *w)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_DEFAULT, SEGLOG_SYNC_DEFAULT, SEGLOG_SYNC_NONE,
                                      SEGLOG_SYNC_INTERVAL};
    struct seglog_appender_options appending = {0};
    struct seglog_log_settings settings;

    WORK_OK(seglog_log_open(w->dir, NULL, &w->log));
    WORK_OK(seglog_log_settings(w->log, &settings));
    if (settings.sync != SEGLOG_SYNC_RECORD)
        appending.sync = levels[dice_below(&w->dice, 4)];
    if (appending.sync == SEGLOG_SYNC_INTERVAL)
        appending.sync_interval_ns = 5000000;
    w->level = appending.sync ? appending.sync : settings.sync;
    WORK_OK(seglog_appender_open(w->log, &appending, &w->ap));
}

static void detach(struct worker *w)
{
    WORK_OK(seglog_appender_close(w->ap));
    WORK_OK(seglog_log_close(w->log));
}

static void one_thing(struct worker *w)
{
    const uint64_t what = dice_below(&w->dice, 256);

    if (what < 12 && w->calm && dice_below(&w->dice, 8) != 0) {
        write_back(w);
    } else if (what < 1) {
        detach(w);
        attach(w);
    } else if (what < 3) {
        seal(w);
    } else if (what < 8) {
        sync_log(w);
    } else if (what < 12) {
        wait_durable(w);
    } else if (what < 16) {
        trim(w);
    } else if (what < 19) {
        archive(w);
    } else if (what < 30) {
        write_back(w);
    } else if (what < 38) {
        beside_work(w);
    } else if (what < 48) {
        claim_one(w);
    } else if (what < 58) {
        append_batch(w);
    } else {
        append_one(w);
    }
}

_Noreturn void work(struct tape *t, const char *dir, uint32_t worker, uint64_t seed)
{
    struct worker w = {.tape = t,
                       .dir = dir,
                       .number = worker,
                       .dice = dice_of(seed),
                       .calm = t->seed / 4 % 2 == 1,
                       .marks = atomic_load(&t->under_way[worker]) >> 8};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (t->seed % 2 == 0 && dice_below(&w.dice, 2))
        slow_begin(t, dice_roll(&w.dice));
    attach(&w);
    while (!atomic_load(&t->stop)) {
        one_thing(&w);
        look_at_progress(&w);
        if (dice_below(&w.dice, 4) == 0)
            usleep((useconds_t)dice_below(&w.dice, 2000)); /* the disk is small */
    }
    if (dice_below(&w.dice, 2))
        detach(&w);
    _exit(0);
}
