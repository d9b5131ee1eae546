/*
 * One life of a real file system, and many cuts of its power.
 *
 * A fresh ext4 or XFS on a disk that takes down what it is asked (disk.h) is mounted; several processes
 * work with a log in it (work.h), some are killed and others begin. Then all of it is taken down, and
 * images of what cuts may have left are made from the tape and looked at (look.h), one after another.
 * run.sh makes the file systems and runs this, life after life; it alone knows how to clean up.
 *
 * usage: fscut live FS BASE DIR SEED CUTS   BASE: an image of a fresh FS; DIR: for the tape and mounts
 *        fscut again FS TAPE DIR CUT        look once more at cut number CUT of a kept tape
 * Ends with 0; 1: a promise was broken, and DIR/tape is worth keeping; 77: this machine cannot.
 */
#include "fscut/disk.h"
#include "fscut/look.h"
#include "fscut/work.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_MS 2500
#define KILLS   3u
#define END_MS  120000 /* for processes that were told to stop */
#define LIMIT_S 240    /* for all of it, and more for each cut */
#define CUT_S   6
#define CANNOT  77

#define CUTS_AGAIN    3u /* of one recovery */
#define RECOVERY_SEED 2u /* flushes are quick */

struct life {
    struct tape *tape;
    struct disk disk;
    const char *fs, *dir;
    char tape_path[600], plug[600], mnt[600], log[WORK_PATH], boot[600], boot_between[600];
    char image[600], recovery_path[600];
    struct look_found *found; /* shared with those who look */
    struct disk_counts counts;
    uint64_t recoveries; /* cuts in the middle of one */
    uint64_t unseen;     /* cuts that could not be looked at */
};

/* For a life whose limit has come: everything of it dies with this process. */
static void too_long(int signal_number)
{
    static const char why[] = "left out: it takes too long here\n";

    (void)signal_number;
    if (write(STDOUT_FILENO, why, sizeof(why) - 1) < 0)
        _exit(1);
    _exit(CANNOT);
}

static void sleep_ms(uint64_t ms)
{
    usleep((useconds_t)(ms * 1000));
}

/* ---- the processes -------------------------------------------------------------------------- */

static pid_t start_worker(const struct life *l, uint32_t number, uint64_t seed)
{
    const pid_t pid = fork();

    if (pid == 0)
        work(l->tape, l->log, number, seed);
    return pid;
}

/* Give its status; -1: it goes on after that time. */
static int ended(pid_t pid, uint64_t ms)
{
    int status;

    for (uint64_t i = 0; i <= ms; i += 5) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sleep_ms(5);
    }
    return -1;
}

static void kill_worker(const struct life *l, pid_t pid, uint32_t number)
{
    uint64_t n;

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    n = atomic_fetch_add(&l->tape->lost_count, 1);
    if (n < TAPE_LOST)
        l->tape->lost[n] = atomic_load(&l->tape->under_way[number]);
}

/* All of the work. false: some of it failed. */
static bool live(const struct life *l)
{
    struct dice d = dice_of(l->tape->seed ^ UINT64_C(0x11FE));
    pid_t pids[TAPE_WORK];
    bool good = true;

    work_make(l->tape, l->log);
    for (uint32_t i = 0; i < TAPE_WORK; i++)
        pids[i] = start_worker(l, i, dice_roll(&d) | 1);
    for (uint32_t i = 0; i < KILLS && !atomic_load(&l->tape->stop); i++) {
        const uint32_t victim = (uint32_t)dice_below(&d, TAPE_WORK);

        sleep_ms(LIFE_MS / (KILLS + 1));
        if (ended(pids[victim], 0) != -1) { /* by itself: it said why */
            good = atomic_load(&l->tape->stop) != 0;
            pids[victim] = -1;
            break;
        }
        kill_worker(l, pids[victim], victim);
        pids[victim] = start_worker(l, victim, dice_roll(&d) | 1);
    }
    if (good)
        sleep_ms(LIFE_MS / (KILLS + 1));
    atomic_store(&l->tape->stop, 1);
    for (uint32_t i = 0; i < TAPE_WORK; i++) {
        const int status = pids[i] < 0 ? 0 : ended(pids[i], END_MS);

        if (status == -1)
            kill_worker(l, pids[i], i);
        if (status != 0)
            fprintf(stderr, "worker %u ended with status %d\n", i, status);
        good = good && status == 0;
    }
    l->tape->end = tape_stamp(l->tape);
    return good;
}

/* ---- the life ------------------------------------------------------------------------------- */

static int cannot(const char *what, int error)
{
    printf("%s: %s\n", what, strerror(error));
    return CANNOT;
}

/* What a process that was killed had under way by io_uring is let go of a moment later. Whatever still
 * holds it then meets a dead disk, which does no harm: the tape is complete. */
static void take_down_mount(const struct life *l)
{
    for (int i = 0; i < 500; i++) {
        if (umount2(l->mnt, 0) == 0)
            return;
        sleep_ms(20);
    }
    printf("# could not be unmounted: %s\n", strerror(errno));
    (void)umount2(l->mnt, MNT_DETACH);
}

static int run_life(struct life *l)
{
    const char *options = strcmp(l->fs, "ext4") == 0 ? "commit=1" : NULL;
    int rc = disk_open(l->tape, l->tape_path, l->plug, &l->disk);

    if (rc < 0) {
        disk_close(&l->disk);
        return cannot("no disk to cut here", -rc);
    }
    if (mount(l->disk.device, l->mnt, l->fs, 0, options) < 0) {
        rc = errno;
        disk_close(&l->disk);
        return cannot("mount", rc);
    }
    disk_let_go(&l->disk);
    rc = live(l) ? 0 : 1;
    take_down_mount(l);
    disk_close(&l->disk);
    return rc;
}

/* ---- the cuts ------------------------------------------------------------------------------- */

/* Anywhere, or rather where much is in the cache: most events have a flush right before them. Or while a
 * name has been changed and not yet what belongs to it. */
static uint64_t place_of_cut(const struct tape *t, struct dice *d)
{
    uint64_t best = dice_below(d, 3) == 0 ? tape_within(t, TAPE_SLOW, dice_roll(d)) : 0;

    if (best != 0)
        return best;
    best = dice_below(d, t->end + 1);
    for (uint64_t n = dice_below(d, 3) == 0 ? 0 : dice_below(d, 60); n > 0; n--) {
        const uint64_t at = dice_below(d, t->end + 1);

        if (at - disk_flushed(t, at) > best - disk_flushed(t, best))
            best = at;
    }
    return best;
}

/* Recover the image, in a boot of its own, on a disk that takes that down. */
static int record_recovery(struct life *l, const struct look *whole, struct tape *t)
{
    struct look here = *whole;
    struct disk disk;
    int rc = disk_open(t, l->recovery_path, l->plug, &disk);

    here.boot = l->boot_between;
    here.device = disk.device;
    here.check_fs = false;
    if (rc == 0)
        rc = look(&here);
    else
        rc = LOOK_CANNOT;
    disk_close(&disk);
    t->end = tape_stamp(t);
    return rc;
}

/* The power fails while the image is recovered, and once more. Status as of look(). */
static int cut_again(struct life *l, const struct look *whole)
{
    struct tape *t = tape_open(l->recovery_path, l->image);
    struct look here = *whole;
    int rc;

    if (!t)
        return LOOK_CANNOT;
    t->seed = RECOVERY_SEED;
    *l->found = (struct look_found){0};
    here.found = l->found;
    here.torn = NULL; /* what was read before must be read again */
    rc = record_recovery(l, &here, t);
    for (unsigned i = 0; i < CUTS_AGAIN && rc == 0; i++) {
        rc = disk_image(t, dice_below(whole->dice, t->end + 1), whole->dice, l->image, &l->counts);
        if (rc == 0)
            rc = look(&here);
        l->recoveries += rc != LOOK_CANNOT;
    }
    tape_close(t);
    (void)unlink(l->recovery_path);
    return rc;
}

/* Cut number n: where it comes and what it leaves follow from the tape's seed and n. */
static int cut(struct life *l, uint64_t n)
{
    struct dice d = dice_of(l->tape->seed * 1000003 + n);
    const uint64_t at = place_of_cut(l->tape, &d);
    const struct look here = {.tape = l->tape,
                              .cut = at,
                              .image = l->image,
                              .fs = l->fs,
                              .at = l->mnt,
                              .boot = l->boot,
                              .torn = n % 3 == 0 ? &l->tape->torn : NULL,
                              .dice = &d,
                              .check_fs = n % 8 == 0};
    int rc = disk_image(l->tape, at, &d, l->image, &l->counts);

    if (rc < 0)
        return cannot("an image", -rc);
    rc = n % 4 == 1 ? cut_again(l, &here) : look(&here);
    if (rc == 1) {
        fprintf(stderr,
                "%s, seed %llu, cut %llu (behind event %llu of %llu): a promise was broken\n",
                l->fs, (unsigned long long)l->tape->seed, (unsigned long long)n,
                (unsigned long long)at, (unsigned long long)l->tape->end);
    }
    l->unseen += rc == LOOK_CANNOT;
    return rc == 1;
}

static void report(const struct life *l, uint64_t cuts)
{
    const struct tape *t = l->tape;
    uint64_t flushes = 0;

    for (uint64_t i = 0; i < t->end; i++)
        flushes += t->events[i].kind == TAPE_FLUSH;
    printf("# %s, seed %llu: %llu cuts of %llu writes and %llu flushes, records to %llu, trimmed "
           "to %llu; "
           "undecided %llu writes, lost %llu, torn %llu, and %llu blocks; in recoveries %llu; "
           "not looked at %llu\n",
           l->fs, (unsigned long long)t->seed, (unsigned long long)cuts,
           (unsigned long long)(t->end - flushes), (unsigned long long)flushes,
           (unsigned long long)tape_highest(t, TAPE_DURABLE, t->end, false),
           (unsigned long long)tape_highest(t, TAPE_FLOOR, t->end, false),
           (unsigned long long)l->counts.undecided, (unsigned long long)l->counts.lost,
           (unsigned long long)l->counts.torn, (unsigned long long)atomic_load(&t->torn),
           (unsigned long long)l->recoveries, (unsigned long long)l->unseen);
}

static int cut_all(struct life *l, uint64_t cuts)
{
    int rc = 0;

    for (uint64_t n = 0; n < cuts && rc == 0; n++)
        rc = cut(l, n);
    (void)unlink(l->image);
    report(l, cuts);
    if (rc == 0 && cuts > 0 && l->unseen == cuts)
        return cannot("no image could be looked at", EIO);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int write_line(const char *path, const char *line)
{
    FILE *file = fopen(path, "we");

    return !file || fputs(line, file) < 0 || fclose(file) != 0 ? -1 : 0;
}

static int prepare(struct life *l, const char *fs, const char *dir)
{
    l->fs = fs;
    l->dir = dir;
    snprintf(l->tape_path, sizeof(l->tape_path), "%s/tape", dir);
    snprintf(l->plug, sizeof(l->plug), "%s/plug", dir);
    snprintf(l->mnt, sizeof(l->mnt), "%s/mnt", dir);
    snprintf(l->log, sizeof(l->log), "%s/mnt/log", dir);
    snprintf(l->boot, sizeof(l->boot), "%s/boot", dir);
    snprintf(l->image, sizeof(l->image), "%s/image", dir);
    snprintf(l->boot_between, sizeof(l->boot_between), "%s/boot-between", dir);
    snprintf(l->recovery_path, sizeof(l->recovery_path), "%s/recovery", dir);
    l->found =
        mmap(NULL, sizeof(*l->found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (l->found == MAP_FAILED)
        return -1;
    if (write_line(l->boot, "01234567-89ab-cdef-0123-456789abcdef\n") < 0 ||
        write_line(l->boot_between, "fedcba98-7654-3210-fedc-ba9876543210\n") < 0)
        return -1;
    if ((mkdir(l->plug, 0700) < 0 && errno != EEXIST) ||
        (mkdir(l->mnt, 0700) < 0 && errno != EEXIST))
        return -1;
    return unshare(CLONE_NEWNS) < 0 ? -1 : mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

int main(int argc, char **argv)
{
    static struct life l;
    const bool again = argc == 6 && strcmp(argv[1], "again") == 0;
    int rc;

    if (!again && (argc != 7 || strcmp(argv[1], "live") != 0)) {
        fprintf(stderr, "usage: fscut live FS BASE DIR SEED CUTS | fscut again FS TAPE DIR CUT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, too_long);
    alarm((unsigned)(LIMIT_S + (again ? 1 : strtoull(argv[6], NULL, 10)) * CUT_S));
    if (prepare(&l, argv[2], argv[4]) < 0)
        return cannot("a mount namespace", errno);
    l.tape = again ? tape_open(argv[3], NULL) : tape_open(l.tape_path, argv[3]);
    if (!l.tape)
        return cannot("the tape", errno);
    if (again)
        return cut(&l, strtoull(argv[5], NULL, 10));
    l.tape->seed = strtoull(argv[5], NULL, 10);
    rc = run_life(&l);
    if (rc == 0)
        rc = cut_all(&l, strtoull(argv[6], NULL, 10));
    if (rc == 1)
        fprintf(stderr, "%s, seed %llu: failed\n", l.fs, (unsigned long long)l.tape->seed);
    tape_close(l.tape);
    return rc;
}
