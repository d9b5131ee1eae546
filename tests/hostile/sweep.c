/*
 * Judging spoiled logs. See sweep.h.
 */
#include "hostile/sweep.h"

#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log/view.h"
#include "support/tmpdir.h"

/* Enough of them fill what is left of the active segment. */
#define AFTER_RECORDS 1200u

/* ---- looking without touching ------------------------------------------------------------------ */

static void read_all(const char *dir, const struct image *truth, struct look *look)
{
    const uint64_t calls_max = 8 * truth->next_seq + 4 * AFTER_RECORDS + 10000;
    struct seglog_reader *reader;
    struct seglog_view view;

    look->reader = seglog_reader_open(dir, NULL, &reader);
    if (look->reader < 0)
        return;
    for (uint64_t calls = 0;; calls++) {
        const int rc = seglog_reader_next(reader, &view);

        must(calls < calls_max);
        if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) {
            look->reports++;
            continue;
        }
        if (rc < 0) {
            look->reader = rc;
            break;
        }
        image_check_record(&view, truth);
        must(look->records == 0 || view.seq >= look->end_seq);
        look->records++;
        look->end_seq = view.seq + 1;
    }
    seglog_reader_close(reader);
}

static struct look look_at(const char *dir, const struct image *truth)
{
    struct look look = {0};

    look.verify = seglog_verify(dir, NULL, &look.report);
    read_all(dir, truth, &look);
    return look;
}

static bool has_told(const struct look *look)
{
    return look->verify != 0 || look->reports > 0 || look->reader != -EAGAIN;
}

static bool looks_like(const struct look *a, const struct look *b)
{
    return a->records == b->records && a->end_seq == b->end_seq &&
           a->report.records == b->report.records && a->report.void_count == b->report.void_count &&
           a->report.bytes == b->report.bytes;
}

/* ---- the stage --------------------------------------------------------------------------------- */

static void maps_drop(struct stage *stage)
{
    for (size_t i = 0; i < stage->image->count; i++) {
        if (stage->maps[i])
            (void)munmap(stage->maps[i], stage->image->files[i].size);
        stage->maps[i] = NULL;
    }
}

static void maps_make(struct stage *stage)
{
    const int dirfd = dir_open(stage->dir);

    must(dirfd >= 0);
    for (size_t i = 0; i < stage->image->count; i++) {
        const struct image_file *file = &stage->image->files[i];
        const int fd = file_open(dirfd, file->name, O_RDWR, 0);

        must(fd >= 0);
        stage->maps[i] = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(stage->maps[i] != MAP_FAILED);
        file_close(fd);
    }
    file_close(dirfd);
}

/* After an opener: files may have been renamed and made anew. */
static void stage_set_again(struct stage *stage)
{
    maps_drop(stage);
    image_settle(stage->image, stage->dir, stage->boot);
    maps_make(stage);
    stage->is_rewritten = false;
}

void stage_rewrite(struct stage *stage, const struct image *spoiled)
{
    maps_drop(stage);
    image_write(spoiled, stage->dir);
    stage->is_rewritten = true;
}

/* After readers and whoever spoiled bytes. */
static void stage_wipe(struct stage *stage)
{
    for (size_t i = 0; i < stage->image->count; i++) {
        const struct image_file *file = &stage->image->files[i];

        if (memcmp(stage->maps[i], file->bytes, file->size) != 0)
            memcpy(stage->maps[i], file->bytes, file->size);
    }
}

void stage_open(struct stage *stage, const struct image *truth, enum image_boot boot)
{
    *stage = (struct stage){.truth = truth, .boot = boot};
    stage->image = image_copy(truth);
    stage->dir = tmpdir_make();
    stage_set_again(stage);
    stage->sound = look_at(stage->dir, truth);
    must(!has_told(&stage->sound) && stage->sound.records > 0);
}

void stage_close(struct stage *stage)
{
    maps_drop(stage);
    image_free(stage->image);
    tmpdir_remove(stage->dir);
}

/* ---- judging ----------------------------------------------------------------------------------- */

/* What an opener made of it. */
struct outcome {
    int status; /* the first call that failed */
    struct seglog_recovery recovery;
    uint64_t first_seq;
    uint64_t appended;
    struct look after;
};

static void go_on(struct seglog_log *log, struct outcome *out)
{
    struct seglog_appender *appender;
    uint64_t seq = 0;

    out->status = seglog_appender_open(log, NULL, &appender);
    if (out->status < 0)
        return;
    while (out->status == 0 && out->appended < AFTER_RECORDS) {
        out->status = seglog_appender_append(appender, IMAGE_AFTER, strlen(IMAGE_AFTER), &seq);
        if (out->status < 0)
            break;
        if (out->appended++ == 0)
            out->first_seq = seq;
        if (seq != out->first_seq + out->appended - 1)
            out->status = SEGLOG_ECORRUPT; /* somebody's number is void: that is told by it */
    }
    must(seglog_appender_close(appender) == 0);
    if (out->status == 0) {
        const int rc = seglog_log_seal(log, 0);

        out->status = rc < 0 ? rc : 0;
    }
}

static struct outcome attach(const struct stage *stage)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .open_timeout_ns = 200000000};
    struct outcome out = {0};
    struct seglog_log *log;

    out.status = seglog_log_open(stage->dir, &options, &log);
    if (out.status < 0)
        return out;
    must(seglog_log_recovery(log, &out.recovery) == 0);
    go_on(log, &out);
    must(seglog_log_close(log) == 0);
    out.after = look_at(stage->dir, stage->truth);
    return out;
}

static enum verdict undetected(struct stage *stage, const char *why)
{
    stage->why = why;
    return VERDICT_UNDETECTED;
}

/* verify and reader said nothing. What does an opener do with it? */
static enum verdict judge_by_opening(struct stage *stage, const struct look *before)
{
    const bool same = looks_like(before, &stage->sound);
    const struct outcome out = attach(stage);
    const struct seglog_recovery *found = &out.recovery;

    if (out.status < 0 || has_told(&out.after))
        return VERDICT_TOLD;
    if (out.first_seq == stage->truth->next_seq) {
        if (out.after.records != stage->sound.records + out.appended)
            return undetected(stage, "records are gone");
        return same ? VERDICT_HARMLESS
                    : undetected(stage, "it looked different, and nobody said why");
    }
    if (stage->is_gone && out.after.records == before->records + out.appended)
        return VERDICT_CUT;
    if (stage->boot == IMAGE_SAME_BOOT)
        return undetected(stage, "the numbers go on elsewhere, in the same boot");
    if (out.first_seq < stage->truth->durable_seq && !stage->is_unmarked)
        return undetected(stage, "it was cut below the mark");
    if (found->bytes_dropped == 0 && found->frames_dropped == 0 && found->files_aside == 0)
        return undetected(stage, "it was cut, and recovery did not say so");
    if (out.after.records != before->records + out.appended)
        return undetected(stage, "a reader had seen other records than recovery kept");
    return VERDICT_CUT;
}

enum verdict judge(struct stage *stage, bool attaches)
{
    const struct look look = look_at(stage->dir, stage->truth);
    enum verdict verdict = VERDICT_HARMLESS;
    bool opened = true;

    if (has_told(&look)) {
        /* No opener may make a wrong record of it either: look_at() says so. */
        verdict = VERDICT_TOLD;
        if (attaches)
            (void)attach(stage);
        opened = attaches;
    } else if (attaches || !looks_like(&look, &stage->sound)) {
        verdict = judge_by_opening(stage, &look);
    } else {
        opened = false;
    }
    if (opened || stage->is_rewritten)
        stage_set_again(stage);
    else
        stage_wipe(stage);
    stage->is_unmarked = stage->is_gone = false;
    return verdict;
}
