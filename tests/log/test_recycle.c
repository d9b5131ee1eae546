/*
 * Segments made of the files of removed ones: that it happens, that nobody can still touch them, and
 * what a kill or a power cut leaves at each step.
 */
#include <seglog/archive.h>

#include "log/logs.h"
#include "log/steps.h"
#include "segment/archive.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PER_SEGMENT 575u /* records of log_append() that a segment of 64 KiB has room for */

/* ---- looking ---------------------------------------------------------------------------------- */

static uint64_t inode_of(const char *dir, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES], *path;
    struct stat st = {0};

    segment_name(number, name);
    path = tmpdir_path(dir, name);
    (void)stat(path, &st);
    free(path);
    return st.st_ino;
}

static unsigned retired_in(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".retired.tmp") != NULL;
    closedir(d);
    return n;
}

/* Is any of the segments from `from` on in the file that had this inode? */
static bool is_used_again(const char *dir, uint64_t inode, uint64_t from)
{
    for (uint64_t number = from; inode_of(dir, number) != 0; number++)
        if (inode_of(dir, number) == inode)
            return true;
    return false;
}

/* Fill the log to the middle of segment `number`, so that it asks for the next. */
static void fill_to(struct seglog_log *log, struct seglog_appender *ap, uint64_t number)
{
    for (;;) {
        struct log_segment *ls = log_table_active(log);
        const uint64_t active = ls->seg->facts.number;

        log_table_put(log, ls);
        if (active >= number)
            break;
        log_append(ap, 16);
    }
    log_append(ap, PER_SEGMENT / 2);
}

/* A segment as a reader opens it, and whether it still begins with what was appended first. */
static struct segment *held_open(const char *dir, uint64_t number)
{
    struct log_view view;
    struct segment *seg;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(segment_open(view.dirfd, number, view.settings.uuid, SEGMENT_READ, &seg, NULL));
    log_view_close(&view);
    return seg;
}

static bool is_as_it_was(const struct segment *seg)
{
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    unsigned seq = 0;

    source_init(&src, seg);
    scan_begin(&scan, &src, true);
    while (scan_next(&scan, &frame) == 1 && frame.facts.len == (seq < 10 ? 1 : seq < 100 ? 2 : 3))
        seq++;
    source_free(&src);
    return seq == PER_SEGMENT;
}

/* ---- it happens ------------------------------------------------------------------------------- */

static void expect_new(const char *dir, uint64_t number)
{
    struct segment *seg = log_segment_open(dir, number);
    struct activation_facts act;
    struct mark_facts mark;
    struct footer_facts footer;

    cr_assert(seg->facts.recycled);
    cr_assert_status(segment_activation(seg, &act), -EAGAIN);
    cr_assert_status(segment_mark(seg, &mark), -EAGAIN);
    cr_assert_status(segment_footer(seg, &footer, NULL), -EAGAIN);
    cr_assert(bytes_are_zero(seg->base + OFF_FRAMES, seg->facts.size - OFF_FRAMES));
    segment_close(seg);
}

static void recycle_at(uint32_t sync)
{
    char *dir = log_dir_make(sync);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t before, generation, number = 3;
    struct segment *seg;

    fill_to(log, ap, 2);
    if (sync != SEGLOG_SYNC_NONE)
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 3);
    else
        number = 3;
    seg = log_segment_open(dir, 0);
    generation = seg->facts.generation;
    segment_close(seg);
    before = inode_of(dir, 0);
    cr_assert_ok(log_drop_oldest(log));
    cr_assert_eq(retired_in(dir), 1);
    if (sync != SEGLOG_SYNC_NONE)
        log_append(ap, PER_SEGMENT / 2);
    while (inode_of(dir, number) != 0) /* those that were there */
        number++;
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(inode_of(dir, number), before);
    cr_assert_eq(retired_in(dir), 0);
    expect_new(dir, number);
    seg = log_segment_open(dir, number);
    cr_assert_neq((uint16_t)seg->facts.generation, (uint16_t)generation);
    segment_close(seg);
    log_append(ap, PER_SEGMENT * (unsigned)(number + 1));
    log_detach(log, ap);
    cr_assert_gt(tally_dir(dir, false).segments, number);
    tmpdir_remove(dir);
}

Test(recycle, a_file_becomes_a_segment_again)
{
    recycle_at(SEGLOG_SYNC_NONE);
}

Test(recycle, a_sealed_file_becomes_a_segment_again)
{
    recycle_at(SEGLOG_SYNC_SEALED);
}

Test(recycle, a_file_becomes_a_segment_for_commits_again)
{
    recycle_at(SEGLOG_SYNC_RECORD);
}

/* Its header says what it was before; the archive's own does not. */
Test(recycle, the_archive_of_one_that_was_recycled_is_sound)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t number = 3, offset;
    struct segment *seg;

    fill_to(log, ap, 2);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 3);
    cr_assert_ok(log_drop_oldest(log));
    log_append(ap, PER_SEGMENT / 2);
    while (inode_of(dir, number) != 0)
        number++;
    cr_assert_ok(seglog_log_tend(log));
    log_append(ap, PER_SEGMENT * (unsigned)(number + 1));
    cr_assert_gt(seglog_log_seal(log, PATIENCE), 0);
    log_detach(log, ap);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    seg = held_open(dir, number);
    cr_assert_not_null(seg->arc);
    cr_assert_ok(archive_check(seg, &offset, NULL));
    segment_close(seg);
    tmpdir_remove(dir);
}

/* Retired files are few, and nobody is kept waiting for the disk's room by more. */
Test(recycle, no_more_than_a_few_files_wait)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    int rc;

    fill_to(log, ap, 3 * RETIRED_MAX);
    while ((rc = log_drop_oldest(log)) == 0)
        cr_assert_leq(retired_in(dir), RETIRED_MAX);
    cr_assert_status(rc, -EBUSY);
    cr_assert_eq(retired_in(dir), RETIRED_MAX);
    log_detach(log, ap);
    log_append_alone(dir, 1); /* the next to attach first sweeps */
    cr_assert_eq(retired_in(dir), 0);
    tmpdir_remove(dir);
}

/* ---- who holds a file ------------------------------------------------------------------------- */

/* A log in the middle of segment 2, with segment 0 about to go. */
struct scene {
    char *dir;
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t inode;
};

static void scene_open(struct scene *s, char *dir)
{
    s->dir = dir;
    s->log = log_attach(dir);
    s->ap = log_appender(s->log, SEGLOG_SHARED);
    fill_to(s->log, s->ap, 2);
    s->inode = inode_of(dir, 0);
}

static void scene_drop(struct scene *s, bool used)
{
    cr_assert_ok(log_drop_oldest(s->log));
    cr_assert_ok(seglog_log_tend(s->log));
    cr_assert_eq(is_used_again(s->dir, s->inode, 3), used);
    cr_assert_eq(retired_in(s->dir), used ? 0 : 1);
}

/* Now nobody holds it: the next spare is made of it. */
static void scene_end(struct scene *s)
{
    for (uint64_t number = 3; !is_used_again(s->dir, s->inode, 3); number++) {
        cr_assert_lt(number, 3 + RECYCLE_TRIES);
        fill_to(s->log, s->ap, number);
        cr_assert_ok(seglog_log_tend(s->log));
    }
    cr_assert_eq(retired_in(s->dir), 0);
    log_append(s->ap, 8 * PER_SEGMENT);
    log_detach(s->log, s->ap);
    (void)tally_dir(s->dir, false);
    tmpdir_remove(s->dir);
}

Test(recycle, not_while_it_is_open_for_reading)
{
    struct segment *held;
    struct scene s;

    scene_open(&s, log_dir_make(SEGLOG_SYNC_NONE));
    held = held_open(s.dir, 0);
    scene_drop(&s, false);
    cr_assert(is_as_it_was(held));
    segment_close(held);
    scene_end(&s);
}

/* The mapping alone keeps it, too. */
Test(recycle, not_while_it_is_mapped)
{
    struct segment *held;
    struct scene s;

    scene_open(&s, log_dir_make(SEGLOG_SYNC_NONE));
    held = held_open(s.dir, 0);
    file_close(held->fd);
    held->fd = -1;
    scene_drop(&s, false);
    cr_assert(is_as_it_was(held));
    segment_close(held);
    scene_end(&s);
}

static int read_it(struct child *parent, void *arg)
{
    struct segment *held = held_open(arg, 0);

    child_say(parent, 'r');
    child_assert(child_hear(parent) == 'e');
    child_assert(is_as_it_was(held));
    segment_close(held);
    return 0;
}

Test(recycle, not_while_another_process_reads_it)
{
    struct child child;
    struct scene s;
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);

    log_append_alone(dir, 10);
    child_start(&child, read_it, dir);
    cr_assert_eq(child_hear(&child), 'r');
    scene_open(&s, dir);
    scene_drop(&s, false);
    child_say(&child, 'e');
    child_end(&child);
    scene_end(&s);
}

static int append_one(struct child *parent, void *arg)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *ap;
    struct seglog_log *log;

    child_must(seglog_log_open(arg, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_say(parent, 'r');
    child_assert(child_hear(parent) == 'e');
    return 0; /* as if killed */
}

Test(recycle, not_while_another_process_may_append_to_it)
{
    struct child child;
    struct scene s;
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);

    log_append_alone(dir, 10);
    child_start(&child, append_one, dir);
    cr_assert_eq(child_hear(&child), 'r');
    scene_open(&s, dir);
    scene_drop(&s, false);
    child_kill(&child);
    scene_end(&s);
}

static int hold_on(struct child *parent, void *arg)
{
    (void)arg;
    child_say(parent, 'r');
    child_assert(child_hear(parent) == 'e');
    return 0;
}

/* The child has what its parent had open, and with it the lock. */
Test(recycle, not_while_a_forked_child_holds_it)
{
    struct segment *held;
    struct child child;
    struct scene s;
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);

    log_append_alone(dir, 10);
    held = held_open(dir, 0);
    child_start(&child, hold_on, NULL);
    cr_assert_eq(child_hear(&child), 'r');
    segment_close(held);
    scene_open(&s, dir);
    scene_drop(&s, false);
    child_say(&child, 'e');
    child_end(&child);
    scene_end(&s);
}

/* After some tries the file is left to those who hold it. */
Test(recycle, one_that_is_held_for_long_is_given_up)
{
    struct segment *held;
    struct scene s;

    scene_open(&s, log_dir_make(SEGLOG_SYNC_NONE));
    held = held_open(s.dir, 0);
    scene_drop(&s, false);
    for (uint64_t number = 3; retired_in(s.dir) != 0; number++) {
        cr_assert_lt(number, 3 + 2 * RECYCLE_TRIES);
        fill_to(s.log, s.ap, number);
        cr_assert_ok(seglog_log_tend(s.log));
    }
    cr_assert(is_as_it_was(held));
    segment_close(held);
    log_detach(s.log, s.ap);
    tmpdir_remove(s.dir);
}

/* A second name is somebody's backup. */
Test(recycle, a_file_with_another_name_is_left_as_it_is)
{
    char *backup, *first;
    static uint8_t was[SEGLOG_SEGMENT_SIZE_MIN], is[SEGLOG_SEGMENT_SIZE_MIN];
    struct scene s;
    int fd;

    scene_open(&s, log_dir_make(SEGLOG_SYNC_NONE));
    first = tmpdir_path(s.dir, "0000000000000000.seg");
    backup = tmpdir_path(s.dir, "backup");
    cr_assert(link(first, backup) == 0);
    fd = open(backup, O_RDONLY | O_CLOEXEC);
    cr_assert_ok(file_pread(fd, was, sizeof(was), 0));
    cr_assert_ok(log_drop_oldest(s.log));
    cr_assert_ok(seglog_log_tend(s.log));
    cr_assert_not(is_used_again(s.dir, s.inode, 3));
    cr_assert_eq(retired_in(s.dir), 0);
    log_append(s.ap, 4 * PER_SEGMENT);
    cr_assert_ok(file_pread(fd, is, sizeof(is), 0));
    cr_assert_arr_eq(is, was, sizeof(is));
    close(fd);
    log_detach(s.log, s.ap);
    free(first);
    free(backup);
    tmpdir_remove(s.dir);
}

/* ---- killed on the way ------------------------------------------------------------------------ */

struct maker {
    const char *dir;
    uint64_t die_at;
};

/* Drop two segments and prepare ahead: two files are retired, and made into spares. */
static int drop_and_prepare(struct child *parent, void *arg)
{
    const struct maker *m = arg;
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *ap;
    struct seglog_log *log;

    (void)parent;
    child_must(seglog_log_open(m->dir, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    for (unsigned i = 0; i < PER_SEGMENT / 2; i++) {
        uint64_t next;
        char text[32];

        child_must(seglog_log_progress(log, NULL, &next));
        child_must(seglog_appender_append(
            ap, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)next),
            NULL));
    }
    steps_reset();
    atomic_store(&steps.die_at, m->die_at);
    child_must(log_drop_oldest(log));
    child_must(log_drop_oldest(log));
    child_must(seglog_log_tend(log));
    return 0;
}

static char *four_segments(void)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 3 * PER_SEGMENT + 100);
    log_detach(log, ap);
    return dir;
}

Test(recycle, killed_before_any_step_leaves_a_sound_log)
{
    char *from = four_segments(), *dir = tmpdir_make();
    int status = 1;
    bool recycled = false;

    for (uint64_t die_at = 1; status != 0; die_at++) {
        struct maker m = {.dir = dir, .die_at = die_at};
        struct child child;
        struct tally t;

        log_copy_over(from, dir);
        child_start(&child, drop_and_prepare, &m);
        status = child_status(&child);
        cr_assert(status == 0 || status == 256 + SIGKILL);
        recycled = recycled || (status == 0 && retired_in(dir) == 1);
        log_append_alone(dir, 3 * PER_SEGMENT);
        t = tally_dir(dir, false);
        cr_assert_eq(t.next_seq, 6 * PER_SEGMENT + 100 + PER_SEGMENT / 2);
        cr_assert_eq(t.records, t.next_seq - t.first_seq);
        cr_assert_eq(t.first_seq % PER_SEGMENT, 0);
        cr_assert_eq(t.temps, 0);
        cr_assert_eq(t.epoch, 0);
    }
    cr_assert(recycled);
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

/* The same beside another process that lives on, prepares what the dead one left, and appends. */
Test(recycle, a_preparer_killed_before_any_step_is_replaced)
{
    char *from = four_segments(), *dir = tmpdir_make();
    int status = 1;

    for (uint64_t die_at = 1; status != 0; die_at++) {
        struct maker m = {.dir = dir, .die_at = die_at};
        struct seglog_appender *ap;
        struct seglog_log *log;
        struct child child;
        struct tally t;

        log_copy_over(from, dir);
        log_append_alone(dir, 0);
        child_start(&child, drop_and_prepare, &m);
        status = child_status(&child);
        log = log_attach(dir);
        cr_assert(status == 0 || status == 256 + SIGKILL);
        ap = log_appender(log, SEGLOG_SHARED);
        log_append(ap, PER_SEGMENT);
        cr_assert_ok(seglog_log_tend(log));
        log_append(ap, 2 * PER_SEGMENT);
        log_detach(log, ap);
        t = tally_dir(dir, false);
        cr_assert_eq(t.next_seq, 6 * PER_SEGMENT + 100 + PER_SEGMENT / 2);
        cr_assert_eq(t.records, t.next_seq - t.first_seq);
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

/* ---- power cuts ------------------------------------------------------------------------------- */

/* A log whose segment `number` was made of segment 0's file, in `old` as that was. */
static uint64_t recycled_scene(struct scene *s, uint8_t *old)
{
    struct segment *seg;
    uint64_t number = 3;

    scene_open(s, log_dir_make(SEGLOG_SYNC_NONE));
    seg = log_segment_open(s->dir, 0);
    memcpy(old, seg->base, SEGLOG_SEGMENT_SIZE_MIN);
    segment_close(seg);
    scene_drop(s, true);
    while (inode_of(s->dir, number) != s->inode)
        number++;
    return number;
}

static void stale_from(const char *dir, uint64_t number, uint64_t from, const uint8_t *old)
{
    struct segment *seg = log_segment_open(dir, number);

    memcpy(seg->base + from, old + from, SEGLOG_SEGMENT_SIZE_MIN - from);
    segment_close(seg);
}

/* Zeros that did not reach the disk: frames of the last life are behind those of this one. They are
 * neither read, nor counted as something that was lost, and nothing of the log is. */
Test(recycle, bytes_of_the_last_life_never_check_out)
{
    static uint8_t old[SEGLOG_SEGMENT_SIZE_MIN];
    struct seglog_recovery r;
    struct seglog_log *log;
    struct scene s;
    uint64_t number = recycled_scene(&s, old), next;
    struct log_segment *ls;
    uint64_t at, seq_rel;

    fill_to(s.log, s.ap, number);
    ls = log_table_active(s.log);
    log_walk_start(ls->seg, &at, &seq_rel);
    cr_assert_eq(log_walk(ls->seg, &at, &seq_rel), 0);
    log_table_put(s.log, ls);
    cr_assert_ok(seglog_log_progress(s.log, NULL, &next));
    log_detach(s.log, s.ap);
    stale_from(s.dir, number, at, old);
    log_reboot(s.dir);
    log = log_attach_recovered(s.dir, &r);
    cr_assert_eq(r.next_seq, next, "%llu, not %llu", (unsigned long long)r.next_seq,
                 (unsigned long long)next);
    cr_assert_eq(r.frames_dropped, 0);
    cr_assert_eq(r.bytes_dropped, 0);
    cr_assert_eq(r.files_aside, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(s.dir, 10);
    cr_assert_eq(tally_dir(s.dir, false).next_seq, next + 10);
    tmpdir_remove(s.dir);
}

Test(recycle, a_spare_with_bytes_of_its_last_life_is_unused)
{
    static uint8_t old[SEGLOG_SEGMENT_SIZE_MIN];
    struct seglog_recovery r;
    struct seglog_log *log;
    struct scene s;
    const uint64_t number = recycled_scene(&s, old);
    uint64_t next;

    cr_assert_ok(seglog_log_progress(s.log, NULL, &next));
    log_detach(s.log, s.ap);
    stale_from(s.dir, number, OFF_FRAMES, old);
    log_reboot(s.dir);
    log = log_attach_recovered(s.dir, &r);
    cr_assert_eq(r.next_seq, next);
    cr_assert_eq(r.files_aside, 0);
    cr_assert_eq(r.epoch, 0);
    cr_assert_ok(seglog_log_close(log));
    log_append_alone(s.dir, 10);
    cr_assert_eq(tally_dir(s.dir, false).next_seq, next + 10);
    tmpdir_remove(s.dir);
}
