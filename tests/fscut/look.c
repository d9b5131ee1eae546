/*
 * Looking at an image: see look.h.
 */
#include "fscut/look.h"

#include "fscut/beside.h"
#include "fscut/disk.h"
#include "fscut/tear.h"

#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_S 200
#define GO_ON   3u

/* ---- the records ---------------------------------------------------------------------------- */

/* From a number on, the first that must have a record. */
static uint64_t skip_void(const struct tape *t, uint64_t seq, uint64_t limit)
{
    while (seq < limit && t->marks[seq] == 0)
        seq++;
    return seq;
}

static void check_record(const struct beside_cut *c, const struct seglog_view *view, uint64_t due)
{
    uint8_t want[DICE_BYTES];
    uint64_t mark = 0;

    WORK_MUST(skip_void(c->tape, due, view->seq) == view->seq, "%s: record %llu where %llu was due",
              c->when, (unsigned long long)view->seq, (unsigned long long)due);
    if (view->len >= sizeof(mark))
        memcpy(&mark, view->data, sizeof(mark));
    WORK_MUST(tape_has_mark(c->tape, view->seq, mark) && view->len == dice_payload(mark, want) &&
                  memcmp(view->data, want, view->len) == 0 && view->tag == (uint32_t)mark,
              "%s: record %llu is not what was appended (mark %llu of %llu)", c->when,
              (unsigned long long)view->seq, (unsigned long long)mark,
              (unsigned long long)c->tape->marks[view->seq]);
}

static void read_log(struct beside_cut *c)
{
    struct seglog_reader *reader;
    struct seglog_view view;
    int rc;

    WORK_OK(seglog_reader_open(c->dir, NULL, &reader));
    WORK_OK(seglog_reader_bounds(reader, &c->first, NULL));
    c->end = c->first;
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        WORK_MUST(view.seq < TAPE_SEQS, "%s: record %llu", c->when, (unsigned long long)view.seq);
        check_record(c, &view, c->end);
        c->end = view.seq + 1;
        seglog_reader_release(reader);
    }
    WORK_MUST(rc == -EAGAIN, "%s: %s at %llu", c->when, seglog_status_name(rc),
              (unsigned long long)c->end);
    seglog_reader_close(reader);
}

static void check_bounds(const struct beside_cut *c)
{
    const struct tape *t = c->tape;
    const uint64_t durable = tape_highest(t, TAPE_DURABLE, c->cut, false);
    const uint64_t gone = tape_highest(t, TAPE_FLOOR, c->cut, false);
    const uint64_t may_go = tape_highest(t, TAPE_TRIM, c->cut, true);
    const uint64_t lost = skip_void(t, c->end, durable);

    WORK_MUST(lost >= durable, "%s: durable record %llu is gone: the log ends at %llu, not %llu",
              c->when, (unsigned long long)lost, (unsigned long long)c->end,
              (unsigned long long)durable);
    WORK_MUST(c->first >= gone && c->first <= may_go,
              "%s: the log begins at %llu, trimmed were those below %llu or %llu", c->when,
              (unsigned long long)c->first, (unsigned long long)gone, (unsigned long long)may_go);
}

/* ---- recovery ------------------------------------------------------------------------------- */

static struct seglog_log *recover(struct beside_cut *c)
{
    const struct beside_cut before = *c;
    struct seglog_recovery recovery;
    struct seglog_log *log;
    uint64_t next = 0;

    WORK_OK(seglog_log_open(c->dir, NULL, &log));
    WORK_OK(seglog_log_recovery(log, &recovery));
    /* 0: no segment was left that could have told. */
    WORK_MUST(recovery.ran == 1 && recovery.boot <= 1, "recovery: ran %u, boot %u", recovery.ran,
              recovery.boot);
    c->when = "after recovery";
    c->writes = true;
    read_log(c);
    WORK_MUST(c->first == before.first && c->end == before.end,
              "%llu to %llu before, %llu to %llu after recovery", (unsigned long long)before.first,
              (unsigned long long)before.end, (unsigned long long)c->first,
              (unsigned long long)c->end);
    WORK_OK(seglog_log_progress(log, NULL, &next));
    WORK_MUST(next >= c->end, "goes on at %llu, not %llu", (unsigned long long)next,
              (unsigned long long)c->end);
    return log;
}

static void go_on(const struct beside_cut *c, struct seglog_log *log)
{
    struct seglog_verify_report report;
    struct seglog_appender *ap;
    uint64_t next = 0, seq;
    int rc;

    WORK_OK(seglog_log_progress(log, NULL, &next));
    WORK_OK(seglog_appender_open(log, NULL, &ap));
    for (uint64_t i = 0; i < GO_ON; i++) {
        const struct seglog_record record = {.data = "on", .len = 2, .sync = SEGLOG_SYNC_RECORD};

        WORK_OK(seglog_appender_append_record(ap, &record, &seq));
        WORK_MUST(seq == next + i, "appended %llu, due was %llu", (unsigned long long)seq,
                  (unsigned long long)(next + i));
    }
    WORK_OK(seglog_appender_close(ap));
    rc = seglog_verify(c->dir, NULL, &report);
    WORK_MUST(rc == 0, "verify gave %d, %llu damages", rc, (unsigned long long)report.damage_count);
    WORK_OK(seglog_log_close(log));
}

/* The cut came while the log was made: there is one, or making it can simply begin again. */
static void make_again(const char *dir)
{
    struct seglog_log *log;
    const int rc = seglog_log_create(dir, NULL);

    WORK_MUST(rc == 0 || rc == -EEXIST, "create after a cut: %s", seglog_status_name(rc));
    WORK_OK(seglog_log_open(dir, NULL, &log));
    WORK_OK(seglog_log_close(log));
}

/* A recovery that is cut loses nothing of what was there before. */
static void check_found(const struct look *l, const struct beside_cut *c)
{
    if (!l->found)
        return;
    WORK_MUST(!l->found->is_known || (l->found->first == c->first && l->found->end == c->end),
              "cut again, %llu to %llu are there instead of %llu to %llu",
              (unsigned long long)c->first, (unsigned long long)c->end,
              (unsigned long long)l->found->first, (unsigned long long)l->found->end);
    *l->found = (struct look_found){.is_known = true, .first = c->first, .end = c->end};
}

static void look_at_log(const struct look *l)
{
    char dir[WORK_PATH];
    struct beside_cut c = {.tape = l->tape, .cut = l->cut, .dir = dir, .when = "before recovery"};
    struct seglog_log *log;

    snprintf(dir, sizeof(dir), "%s/log", l->at);
    if (tape_highest(l->tape, TAPE_MADE, l->cut, false) == 0) {
        make_again(dir);
        return;
    }
    read_log(&c);
    check_bounds(&c);
    check_found(l, &c);
    beside_check(&c);
    log = recover(&c);
    if (l->device) {
        WORK_OK(seglog_log_close(log));
        return;
    }
    beside_check(&c);
    go_on(&c, log);
}

/* ---- around it ------------------------------------------------------------------------------ */

static void cannot(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    _exit(LOOK_CANNOT);
}

/* false: it is busy. */
static bool unmount(const struct look *l)
{
    for (int i = 0; i < 500; i++) {
        if (umount2(l->at, 0) == 0)
            return true;
        usleep(20000);
    }
    return false;
}

/* Ask the file system's own checker. What is busy still is not asked about. */
static void check_fs(const struct look *l)
{
    char command[WORK_PATH * 2];
    int status;

    if (!unmount(l))
        return;
    snprintf(command, sizeof(command), "%s '%s' >/dev/null 2>&1",
             strcmp(l->fs, "ext4") == 0 ? "e2fsck -fn" : "xfs_repair -n", l->image);
    status = system(command);
    WORK_MUST(status == 0, "%s gave %d", command, status);
}

static void mount_image(const struct look *l)
{
    char device[DISK_PATH];
    int fd = -1, rc = 0;

    if (l->device)
        snprintf(device, sizeof(device), "%s", l->device);
    else
        rc = disk_loop(l->image, device, &fd);
    if (rc < 0)
        cannot("a loop device", -rc);
    WORK_MUST(mount(device, l->at, l->fs, 0, NULL) == 0, "the image as %s: %s", l->fs,
              strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The journal has been played back: now it is known which blocks are of files. They are torn where they
 * lie, and looked at by a kernel that has not seen them before. */
static void tear(const struct look *l)
{
    static struct tear_map map;
    char dir[WORK_PATH];
    int rc;

    snprintf(dir, sizeof(dir), "%s/log", l->at);
    rc = tear_map(dir, &map);
    if (rc == 0 && !unmount(l))
        cannot("unmounting before tearing", EBUSY);
    if (rc == 0)
        rc = tear_image(l->tape, l->cut, &map, l->dice, l->image);
    if (rc < 0)
        cannot("tearing", -rc);
    atomic_fetch_add(l->torn, (uint64_t)rc);
    mount_image(l);
}

static _Noreturn void look_here(const struct look *l)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        cannot("a mount namespace", errno);
    if (mount(l->boot, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL) < 0)
        cannot("another boot id", errno);
    mount_image(l);
    if (l->torn)
        tear(l);
    look_at_log(l);
    if (l->check_fs)
        check_fs(l);
    if (!l->device || !unmount(l))
        (void)umount2(l->at, MNT_DETACH); /* the namespace ends anyway */
    _exit(0);
}

int look(const struct look *l)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0)
        look_here(l);
    if (pid < 0)
        return LOOK_CANNOT;
    for (int i = 0; i < LIMIT_S * 500; i++) {
        const pid_t ended = waitpid(pid, &status, WNOHANG);

        if (ended == pid && WIFEXITED(status))
            return WEXITSTATUS(status);
        if (ended == pid) {
            fprintf(stderr, "who looked was ended by signal %d\n", WTERMSIG(status));
            return 1;
        }
        usleep(2000);
    }
    kill(pid, SIGKILL);
    fprintf(stderr, "did not end in %d s\n", LIMIT_S);
    return 1;
}
