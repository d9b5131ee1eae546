/*
 * How long a process that was killed stands in the way of a ring's others.
 *
 * Each round forks one that does what is asked of it, says so, and is killed; the clock runs from the
 * kill to the moment at which the one that it kept waiting goes on. The kernel's own time for taking a
 * process down is in it: the floor is a process that dies while somebody sleeps for its pipe to close.
 */
#include "common.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE UINT64_C(10000000000)

enum deed { NOTHING, CLAIM, HOLD_BACK, TAKE, DEEDS };

struct scene {
    enum deed deed;
    char path[64];
    int pipe[2];
    pid_t victim;
    struct seglog_ring *ring;
    struct seglog_producer *producer;
    struct seglog_consumer *consumer;
};

/* ---- the one that is killed ------------------------------------------------------------------- */

static void act(const struct scene *s)
{
    struct seglog_producer *p;
    struct seglog_consumer *c;
    struct seglog_claim claim;
    struct seglog_ring *ring;
    struct seglog_view view;

    if (s->deed == NOTHING)
        return;
    bench_ok(seglog_ring_open(s->path, 0, &ring), s->path);
    if (s->deed == CLAIM) {
        bench_ok(seglog_producer_open(ring, NULL, &p), "producer");
        bench_ok(seglog_producer_claim(p, 100, &claim, 0), "claim");
        return;
    }
    bench_ok(seglog_consumer_open(ring, NULL, &c), "consumer");
    if (s->deed == TAKE)
        bench_ok(seglog_consumer_next(c, &view), "next");
}

static void start_victim(struct scene *s)
{
    const pid_t parent = getpid();
    char byte = 1;

    bench_sys(pipe(s->pipe), "pipe");
    s->victim = (pid_t)bench_sys(fork(), "fork");
    if (s->victim == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(s->pipe[0]);
        act(s);
        bench_sys(write(s->pipe[1], &byte, 1), "write");
        for (;;)
            pause();
    }
    close(s->pipe[1]);
    if (read(s->pipe[0], &byte, 1) != 1)
        bench_die("the one to be killed ended by itself");
}

/* ---- the one that waits ----------------------------------------------------------------------- */

static void prepare(struct scene *s)
{
    static const uint32_t kinds[] = {SEGLOG_RING_SPSC, SEGLOG_RING_MPSC, SEGLOG_RING_BROADCAST,
                                     SEGLOG_RING_WORK};
    const struct seglog_ring_options o = {.size = SEGLOG_RING_SIZE_MIN, .kind = kinds[s->deed]};
    static int number;

    snprintf(s->path, sizeof(s->path), "/dev/shm/seglog-bench-%d-%d", (int)getpid(), number++);
    bench_ok(seglog_ring_create(s->path, &o), s->path);
    bench_ok(seglog_ring_open(s->path, 0, &s->ring), s->path);
    bench_ok(seglog_producer_open(s->ring, NULL, &s->producer), "producer");
    if (s->deed == TAKE)
        bench_ok(seglog_producer_put(s->producer, "work", 4, 0), "put");
    start_victim(s);
    if (s->deed == CLAIM)
        bench_ok(seglog_producer_put(s->producer, "behind", 6, 0), "put");
    if (s->deed == HOLD_BACK) {
        while (seglog_producer_put(s->producer, "more", 4, 0) == 0)
            continue;
    } else {
        bench_ok(seglog_consumer_open(s->ring, NULL, &s->consumer), "consumer");
    }
}

static void wait_for_it(struct scene *s)
{
    struct seglog_view view;
    char byte;

    switch (s->deed) {
    case HOLD_BACK:
        bench_ok(seglog_producer_put(s->producer, "room", 4, PATIENCE), "put");
        return;
    case NOTHING:
        bench_sys(read(s->pipe[0], &byte, 1), "read");
        return;
    default:
        bench_ok(seglog_consumer_wait(s->consumer, PATIENCE), "wait");
        bench_ok(seglog_consumer_next(s->consumer, &view), "next");
        seglog_consumer_release(s->consumer);
    }
}

/* ms */
static double round_of(enum deed deed)
{
    struct scene s = {.deed = deed};
    uint64_t before;
    double ms;

    prepare(&s);
    before = bench_now();
    bench_sys(kill(s.victim, SIGKILL), "kill");
    wait_for_it(&s);
    ms = (double)(bench_now() - before) / 1e6;
    bench_sys(waitpid(s.victim, NULL, 0), "waitpid");
    close(s.pipe[0]);
    seglog_consumer_close(s.consumer);
    seglog_producer_close(s.producer);
    bench_ok(seglog_ring_close(s.ring), "close");
    bench_ok(seglog_ring_remove(s.path, 0), "remove");
    return ms;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"floor: its pipe closes", "an open claim, many to one",
                                        "a reader that held a broadcast back",
                                        "work that was taken"};
    static struct bench_series ms[DEEDS];

    bench_start(argc, argv, "death");
    if (!bench_wants("death"))
        return 0;
    bench_table("death", "from the kill to the first that goes on, ms, %d rounds", bench.rounds);
    for (int round = 0; round < bench.rounds; round++) {
        for (int deed = 0; deed < DEEDS; deed++)
            bench_add(&ms[deed], round_of((enum deed)deed));
    }
    for (int deed = 0; deed < DEEDS; deed++) {
        bench_text("what", "%s", names[deed]);
        bench_number("median", 3, bench_median(&ms[deed]));
        bench_number("least", 3, bench_least(&ms[deed]));
        bench_number("most", 3, bench_most(&ms[deed]));
        bench_end_row();
    }
    return 0;
}
