/*
 * Processes of every role, killed: at random moments, and instead of a certain system call. The log
 * lives on through hundreds of rounds. After each one everything whose append returned is there, each
 * writer's in his order, numbers only grow, what was called durable still is, and the log goes on.
 *
 *     SEGLOG_KILL_ROUNDS=n    how many rounds
 *     SEGLOG_KILL_SEED=n      another choice of who dies where
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <seglog/inspect.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"
#include "log/handle.h"
#include "stress/crowd.h"
#include "support/calls.h"
#include "support/check.h"
#include "support/child.h"
#include "support/number.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define MS            UINT64_C(1000000)
#define ROUNDS        100u
#define ROUNDS_QUICK  15u
#define ROLES         6u /* at a time */
#define SEGMENTS_KEPT 12u
#define BATCH_MAX     8u

enum role_kind {
    ROLE_SHARED,
    ROLE_EXCLUSIVE,
    ROLE_INTERVAL, /* a syncer paced by time */
    ROLE_RECORD,   /* each append leads a group commit or takes part in one */
    ROLE_TENDER,   /* prepares, seals, syncs */
    ROLE_DROPPER,
    ROLE_OPENER, /* the first of them recovers */
    ROLE_FOLLOWER,
    ROLE_KINDS,
};

static const char *const role_names[ROLE_KINDS] = {"shared", "exclusive", "interval", "record",
                                                   "tender", "dropper",   "opener",   "follower"};

/* What all processes of a test share. */
struct kills {
    struct crowd crowd;
    bool is_disk;
    _Atomic uint64_t killed_in[CALLS];
    uint64_t killed_role[ROLE_KINDS]; /* these by the parent alone */
    uint64_t killed_at_random;
};

struct role {
    struct kills *kills;
    enum role_kind kind;
    uint32_t id; /* of a writer */
    struct calls_plan plan;
    bool by_threads;
};

/* ---- roles ------------------------------------------------------------------------------------- */

static int write_some(struct seglog_log *log, struct role *role)
{
    static const uint32_t levels[ROLE_KINDS] = {
        [ROLE_INTERVAL] = SEGLOG_SYNC_INTERVAL, [ROLE_RECORD] = SEGLOG_SYNC_RECORD};
    const struct crowd_writer writer = {
        .crowd = &role->kills->crowd,
        .id = role->id,
        .records = role->kind == ROLE_RECORD ? 40 : 150,
        .mode = role->kind == ROLE_EXCLUSIVE ? SEGLOG_EXCLUSIVE : SEGLOG_SHARED,
        .sync = role->kills->is_disk ? levels[role->kind] : 0,
        .dawdles = role->id % 4 == 0,
    };
    const int rc = crowd_write_on(log, &writer);

    return rc == -EBUSY ? 0 : rc; /* an exclusive one beside others */
}

static int tend(struct seglog_log *log)
{
    for (int i = 0; i < 6; i++) {
        const int rc = seglog_log_seal(log, 0);

        child_must(seglog_log_tend(log));
        child_assert(rc >= 0 || rc == -EBUSY || rc == -ETIMEDOUT);
        child_must(seglog_log_sync(log, NULL) == SEGLOG_EVOLATILE ? 0 : seglog_log_sync(log, NULL));
        clock_sleep_ns(MS);
    }
    return 0;
}

static int drop(struct seglog_log *log)
{
    for (int i = 0; i < 6; i++) {
        struct segment_list list;
        int rc = segment_list_read(log->view.dirfd, &list);

        child_must(rc);
        rc = list.count > SEGMENTS_KEPT ? log_drop_oldest(log) : 0;
        segment_list_free(&list);
        child_assert(rc >= 0 || rc == -EBUSY || rc == -ENOENT);
        clock_sleep_ns(MS);
    }
    return 0;
}

static int follow(const char *dir)
{
    struct seglog_reader *reader;
    struct seglog_view view;
    uint32_t writer, index;
    uint64_t last = 0;
    int rc;

    child_must(seglog_reader_open(dir, NULL, &reader));
    for (int quiet = 0; quiet < 3;) {
        rc = seglog_reader_next(reader, &view);
        if (rc == 0) {
            child_assert(crowd_record(&view, &writer, &index));
            child_assert(last == 0 || view.seq > last);
            last = view.seq;
        } else if (rc == -EAGAIN) {
            quiet += seglog_reader_wait(reader, 2 * MS) == -ETIMEDOUT;
            seglog_reader_release(reader);
        } else {
            child_must_be(rc, SEGLOG_ETRIMMED);
            break;
        }
    }
    seglog_reader_close(reader);
    return 0;
}

static int role_main(struct child *parent, void *arg)
{
    struct role *role = arg;
    const struct seglog_log_options options = {
        .flags = role->kind == ROLE_TENDER ? SEGLOG_LOG_NO_HELPER : 0,
        .io = role->by_threads ? SEGLOG_IO_THREADS : SEGLOG_IO_AUTO,
        .open_timeout_ns = 60000 * MS, /* somebody may recover it on a disk that is busy */
    };
    struct seglog_log *log;

    (void)parent;
    if (role->plan.nth)
        calls_arm(&role->plan);
    if (role->kind == ROLE_FOLLOWER)
        return follow(role->kills->crowd.dir);
    for (int i = 0; i < (role->kind == ROLE_OPENER ? 3 : 1); i++) {
        child_must(seglog_log_open(role->kills->crowd.dir, &options, &log));
        if (role->kind <= ROLE_RECORD)
            child_must(write_some(log, role));
        else if (role->kind == ROLE_TENDER)
            child_must(tend(log));
        else if (role->kind == ROLE_DROPPER)
            child_must(drop(log));
        child_must(seglog_log_close(log));
    }
    return 0;
}

/* ---- rounds ------------------------------------------------------------------------------------ */

static uint64_t dice_state;

static uint64_t dice(uint64_t sides)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice_state >> 33) % sides;
}

/* Where it is to die: at a call of a certain kind, or simply at one of its first. */
static struct calls_plan draw_plan(struct kills *kills)
{
    static const enum call points[] = {
        CALL_RENAMEAT2, CALL_PWRITE,    CALL_FDATASYNC, CALL_MSYNC, CALL_FALLOCATE,
        CALL_UNLINKAT,  CALL_FCNTL,     CALL_SYSCALL,   CALL_FSYNC, CALL_MMAP,
        CALL_MADVISE,   CALL_FTRUNCATE, CALL_OPENAT,    CALL_PREAD,
    };
    struct calls_plan plan = {
        .kills = true, .killed = kills->killed_in, .nth = 1 + dice(dice(2) ? 12 : 2)};

    if (dice(4) > 0)
        plan.only = points[dice(sizeof(points) / sizeof(*points))];
    else
        plan.nth = 1 + dice(150);
    return plan;
}

/* What the parent has seen of the log; it reads on after each round. */
struct seen {
    struct seglog_reader *reader;
    uint64_t next_seq;
    uint64_t records;
    uint64_t voids;
    uint32_t next_index[CROWD_WRITERS];
};

static void read_on(struct kills *kills, struct seen *seen)
{
    struct seglog_view view;
    uint32_t writer = 0, index = 0;
    int rc;

    for (;;) {
        rc = seglog_reader_next(seen->reader, &view);
        if (rc == -EAGAIN && seglog_reader_wait(seen->reader, 300 * MS) == 0)
            continue;
        if (rc < 0)
            break;
        cr_assert(crowd_record(&view, &writer, &index), "record %" PRIu64, view.seq);
        cr_assert_geq(view.seq, seen->next_seq);
        cr_assert_eq(index, seen->next_index[writer], "record %" PRIu64 " is %u of %u, not %u",
                     view.seq, index, writer, seen->next_index[writer]);
        seen->next_index[writer] = index + 1;
        seen->voids += view.seq - seen->next_seq;
        seen->next_seq = view.seq + 1;
        seen->records++;
    }
    seglog_reader_release(seen->reader);
    cr_assert_status(rc, -EAGAIN);
    for (uint32_t i = 0; i < CROWD_WRITERS; i++)
        cr_assert_geq(seen->next_index[i], atomic_load(&kills->crowd.count[i]),
                      "writer %u appended %u records, %u are there", i,
                      atomic_load(&kills->crowd.count[i]), seen->next_index[i]);
}

/* The log goes on, and calls durable what it once called so. */
static void go_on(struct kills *kills, struct seen *seen)
{
    uint64_t durable, next;
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(kills->crowd.dir, NULL, &log));
    cr_assert_ok(seglog_log_progress(log, &durable, &next));
    cr_assert_geq(durable, atomic_load(&kills->crowd.durable));
    cr_assert_geq(next, seen->next_seq);
    cr_assert_ok(seglog_log_close(log));
}

static void play(struct kills *kills, struct seen *seen, uint32_t round)
{
    struct role roles[ROLES];
    struct child children[ROLES];
    const bool is_alone = round % 5 == 4; /* one exclusive writer */

    for (uint32_t i = 0; i < ROLES; i++) {
        const uint64_t any = dice(ROLE_KINDS - 2);

        roles[i] = (struct role){
            .kills = kills,
            .kind = i == 0 && is_alone ? ROLE_EXCLUSIVE
                    : is_alone         ? (enum role_kind)(ROLE_TENDER + dice(4))
                    : any == 0         ? ROLE_SHARED
                                       : (enum role_kind)(any + 1),
            .id = (round * ROLES + i) % CROWD_WRITERS,
            .by_threads = dice(2) == 0,
        };
        if (i % 2 == 0)
            roles[i].plan = draw_plan(kills);
        child_start(&children[i], role_main, &roles[i]);
    }
    clock_sleep_ns(dice(8) * MS);
    for (uint32_t i = 0; i < ROLES; i++) {
        const bool is_random = i % 2 == 1 && dice(2) == 0;
        int status = 256 + SIGKILL;

        if (is_random)
            child_kill(&children[i]);
        else
            status = child_status(&children[i]);
        cr_assert(status == 0 || status == 256 + SIGKILL, "round %u: %s ended with %d", round,
                  role_names[roles[i].kind], status);
        kills->killed_at_random += is_random;
        kills->killed_role[roles[i].kind] += status != 0;
    }
    read_on(kills, seen);
    go_on(kills, seen);
}

static void tell(const struct kills *kills, const struct seen *seen, uint64_t seed, uint32_t rounds)
{
    fprintf(stderr,
            "%u rounds (seed %" PRIu64 "): %" PRIu64 " records, %" PRIu64
            " void; killed at random %" PRIu64 "; by role:",
            rounds, seed, seen->records, seen->voids, kills->killed_at_random);
    for (int i = 0; i < ROLE_KINDS; i++)
        fprintf(stderr, " %s %" PRIu64, role_names[i], kills->killed_role[i]);
    fprintf(stderr, "; by call:");
    for (int i = 1; i < CALLS; i++)
        if (atomic_load(&kills->killed_in[i]) > 0)
            fprintf(stderr, " %s %" PRIu64, calls_name((enum call)i),
                    atomic_load(&kills->killed_in[i]));
    fprintf(stderr, "\n");
}

static void play_all(bool is_disk)
{
    const struct seglog_log_options create = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN};
    uint64_t rounds =
        number_from("SEGLOG_KILL_ROUNDS", getenv("SEGLOG_TEST_QUICK") ? ROUNDS_QUICK : ROUNDS);
    const uint64_t seed = number_from("SEGLOG_KILL_SEED", clock_monotonic_ns());
    struct kills *kills = child_shared(sizeof(*kills));
    struct seen seen = {0};
    char *dir = tmpdir_make();

    if (rounds * ROLES > CROWD_WRITERS)
        rounds = CROWD_WRITERS / ROLES;
    dice_state = seed;
    kills->is_disk = is_disk;
    snprintf(kills->crowd.dir, sizeof(kills->crowd.dir), "%s", dir);
    cr_assert_ok(seglog_log_create(dir, &create));
    cr_assert_ok(seglog_reader_open(dir, NULL, &seen.reader));
    for (uint32_t round = 0; round < rounds; round++)
        play(kills, &seen, round);
    tell(kills, &seen, seed, (uint32_t)rounds);
    cr_assert_leq(seen.voids, atomic_load(&kills->crowd.aborted) + rounds * ROLES * BATCH_MAX);
    cr_assert_status(seglog_verify(dir, NULL, NULL), 0);
    seglog_reader_close(seen.reader);
    tmpdir_remove(dir);
}

Test(kills, of_every_role_in_memory, .timeout = 3600)
{
    if (access("/dev/shm", W_OK) != 0)
        cr_skip("no /dev/shm\n");
    (void)setenv("TMPDIR", "/dev/shm", 1);
    play_all(false);
}

Test(kills, of_every_role_on_a_disk, .timeout = 3600)
{
    struct fs_facts fs;
    char *dir = tmpdir_make();
    const int fd = dir_open(dir);

    cr_assert_ok(fs_facts(fd, &fs));
    file_close(fd);
    tmpdir_remove(dir);
    if (fs.is_volatile)
        cr_skip("no disk below the directory for temporary files\n");
    play_all(true);
}
