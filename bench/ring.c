/*
 * What the rings cost between processes, beside what a user would pick instead.
 *
 * Senders are on processor 0, receivers on processor 1, in processes of their own. All queues have
 * the same capacity in bytes and pass the same messages; those of seglog may have any size, the
 * others' mostly have one fixed. Each figure is the median of gated rounds (common.h) in which all
 * contenders ran in turn, and a ratio is the median of the rounds' ratios. Floors: a line bounced
 * between the processors, the same bytes copied by one of them, and plain rings (queue_raw.c).
 */
#include "queue.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define CONTENDERS_MAX 48
#define RUN_NS         40e6 /* a run is as long as this, about */
#define RUN_MOST_US    600000
#define TRIPS          40000u
#define TRIPS_BLOCKED  4000u /* of those that go to sleep for each */

uint8_t queue_buffers[QUEUE_BUFFERS * QUEUE_PAYLOAD_MAX] BENCH_LINE;
uint64_t queue_sums[QUEUE_BUFFERS];

void queue_buffers_fill(size_t payload, int id)
{
    for (uint64_t i = 0; i < QUEUE_BUFFERS; i++) {
        memcpy(queue_buffers + i * payload, bench_payload(i), payload);
        queue_stamp(id, i, payload);
        queue_sums[i] = bench_sum(bench_payload(i) + 8, payload - 8);
    }
}

/* ---- contenders ------------------------------------------------------------------------------- */

static const struct queue *const files[] = {
    queues_seglog, queues_raw,
#ifdef BENCH_CK
    queues_ck,
#endif
#ifdef BENCH_DPDK
    queues_dpdk,
#endif
#ifdef BENCH_BOOST
    queues_boost,
#endif
#ifdef BENCH_MOODY
    queues_moody,
#endif
#ifdef BENCH_ZMQ
    queues_zmq,
#endif
    queues_kernel,
};

static void say_who_is_missing(void)
{
    static const char *const missing[] = {
#ifndef BENCH_CK
        "Concurrency Kit (libck-dev)",
#endif
#ifndef BENCH_DPDK
        "DPDK (libdpdk-dev)",
#endif
#ifndef BENCH_BOOST
        "Boost (libboost-dev)",
#endif
#ifndef BENCH_MOODY
        "moodycamel (libconcurrentqueue-dev)",
#endif
#ifndef BENCH_ZMQ
        "ZeroMQ (libzmq3-dev)",
#endif
        NULL,
    };

    for (int i = 0; missing[i]; i++)
        fprintf(stderr, "not there when this was built, and left out: %s\n", missing[i]);
}

/* Is this one wanted? Floors always are. */
static bool wants(const struct queue *q)
{
    return !bench.queue || q->is_floor || strstr(q->name, bench.queue);
}

struct entry {
    const struct queue *q; /* NULL: bytes copied by one processor */
    struct queue_run run;
    struct bench_series rate, cpu;
};

/* ---- a run ------------------------------------------------------------------------------------ */

struct shared {
    uint32_t stop;
    BENCH_LINE uint64_t taken;
    BENCH_LINE _Atomic uint64_t got;
    _Atomic uint64_t cpu_ns; /* of the receivers */
};
static struct shared *shared;

static void too_long(int signal)
{
    (void)signal;
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
}

static void limit(long us)
{
    const struct itimerval t = {.it_value = {.tv_usec = us}};

    bench_sys(setitimer(ITIMER_REAL, &t, NULL), "setitimer");
}

static uint64_t cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

struct job {
    struct entry *e;
    void *queue;
};

static void stream_prepare(void *context, int id)
{
    const struct job *job = context;
    const struct queue_run *run = &job->e->run;
    const bool sends = id < run->senders;

    queue_buffers_fill(run->payload, sends ? id : 0);
    if (job->e->q && job->e->q->join)
        job->e->q->join(job->queue, run, sends, id);
}

static void copy(const struct queue_run *run)
{
    static BENCH_LINE uint8_t to[QUEUE_SLOTS * QUEUE_PAYLOAD_MAX];

    for (uint64_t i = 0; i < run->each; i++) {
        memcpy(to + i % QUEUE_SLOTS * run->payload,
               queue_buffers + i % QUEUE_BUFFERS * run->payload, run->payload);
        __asm__ volatile("" ::: "memory");
    }
}

static void stream_run(void *context, int id)
{
    const struct job *job = context;
    const struct queue_run *run = &job->e->run;

    if (!job->e->q) {
        copy(run);
        atomic_fetch_add(&shared->got, run->each);
    } else if (id < run->senders) {
        job->e->q->send(job->queue, run, id);
    } else {
        const uint64_t start = cpu_now();

        atomic_fetch_add(&shared->got, job->e->q->receive(job->queue, run));
        atomic_fetch_add(&shared->cpu_ns, cpu_now() - start);
    }
}

static void stream_finish(void *context, int id)
{
    const struct job *job = context;

    if (job->e->q && job->e->q->leave)
        job->e->q->leave(job->queue, id < job->e->run.senders);
}

/* Million messages a second, from the common start to the last receiver's last. */
static double stream_measure(void *context)
{
    struct entry *e = context;
    struct job job = {.e = e};
    struct bench_role roles[4];
    const int n = e->run.senders + e->run.receivers;
    uint64_t ns;

    memset(shared, 0, sizeof(*shared));
    e->run.stop = &shared->stop;
    e->run.taken = &shared->taken;
    job.queue = e->q ? e->q->make(&e->run) : NULL;
    for (int i = 0; i < n; i++)
        roles[i] = (struct bench_role){.prepare = stream_prepare,
                                       .run = stream_run,
                                       .finish = stream_finish,
                                       .context = &job,
                                       .id = i,
                                       .cpu = i < e->run.senders ? 0 : 1};
    limit(e->q && !e->q->blocks ? RUN_MOST_US : 0);
    ns = bench_together(roles, n, true);
    limit(0);
    if (e->q)
        e->q->unmake(job.queue);
    if (e->q && e->q->use == QUEUE_FAN)
        shared->got /= (uint64_t)e->run.receivers;
    return (double)shared->got * 1e3 / (double)ns;
}

static void set_length(struct entry *e, uint64_t each)
{
    const uint64_t least = 1024, most = 16u << 20;

    each = each < least ? least : each > most ? most : each;
    e->run.each = each - each % QUEUE_BUFFERS;
    e->run.share = e->run.each * (uint64_t)e->run.senders;
    if (e->q && e->q->use == QUEUE_WORK)
        e->run.share = 0;
}

/* How many messages fill a run. */
static void find_length(struct entry *e)
{
    double rate = 0;

    set_length(e, 8192);
    for (int i = 0; i < 3; i++) {
        rate = stream_measure(e) / e->run.senders;
        if ((double)e->run.each * 1e3 / rate > RUN_NS / 4)
            break;
        set_length(e, (uint64_t)(rate * RUN_NS / 4 / 1e3));
    }
    set_length(e, (uint64_t)(rate * RUN_NS / 1e3));
}

/* ---- streams ---------------------------------------------------------------------------------- */

/* The best of those that `mine` is to be compared with. */
static int best_of(const struct entry *list, int n, const struct entry *mine, bool unordered)
{
    int best = -1;

    for (int i = 0; i < n; i++) {
        const struct queue *q = list[i].q;

        if (!q || q->is_floor || q->batched != mine->q->batched || q->is_ours ||
            q->unordered != unordered)
            continue;
        if (best < 0 || bench_median(&list[i].rate) > bench_median(&list[best].rate))
            best = i;
    }
    return best;
}

static void say_best(const struct entry *list, int n, const struct entry *mine, size_t payload)
{
    for (int unordered = 0; unordered < 2; unordered++) {
        const int best = best_of(list, n, mine, unordered);

        if (best >= 0)
            bench_note("%s, %zu bytes: %.2f times %s, the best %s", mine->q->name, payload,
                       bench_ratio(&mine->rate, &list[best].rate), list[best].q->name,
                       unordered ? "without one order for all" : "peer");
    }
}

static void print_stream(struct entry *list, int n, size_t payload)
{
    for (int i = 0; i < n; i++) {
        struct entry *e = &list[i];

        bench_text("contender", "%s", e->q ? e->q->name : "floor: memcpy, one processor");
        bench_number("payload", 0, (double)payload);
        bench_number("M/s", 2, bench_median(&e->rate));
        bench_number("least", 2, bench_least(&e->rate));
        bench_number("most", 2, bench_most(&e->rate));
        bench_number("GB/s", 2, bench_median(&e->rate) * (double)payload / 1e3);
        bench_number("cpu", 1, e->q ? bench_median(&e->cpu) : NAN);
        bench_end_row();
    }
    for (int i = 0; i < n; i++) {
        if (list[i].q && list[i].q->is_ours)
            say_best(list, n, &list[i], payload);
    }
}

/* All that can be used so, by `senders` and `receivers`. */
static void stream(const char *section, enum queue_use use, int senders, int receivers)
{
    static const size_t payloads[] = {8, 64, 256, 1024};
    static struct entry list[CONTENDERS_MAX];

    if (!bench_wants(section))
        return;
    bench_table(section,
                "%d on processor 0 to %d on processor 1, every word checked; room for %u payloads; "
                "million messages/s, %d gated rounds; cpu: of the receivers, ns a message",
                senders, receivers, QUEUE_SLOTS, bench.rounds);
    for (size_t p = 0; p < sizeof(payloads) / sizeof(payloads[0]); p++) {
        int n = 0;

        if (!bench_wants_payload(payloads[p]))
            continue;
        memset(list, 0, sizeof(list));
        list[n++].run = (struct queue_run){.senders = 1};
        for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
            for (const struct queue *q = files[f]; q->name && n < CONTENDERS_MAX; q++) {
                if (wants(q) && (q->use == use || (use == QUEUE_ONE && q->use == QUEUE_MANY)))
                    list[n++] =
                        (struct entry){.q = q, .run = {.senders = senders, .receivers = receivers}};
            }
        }
        for (int i = 0; i < n; i++) {
            list[i].run.payload = payloads[p];
            find_length(&list[i]);
        }
        for (int round = 0; round < bench.rounds; round++) {
            for (int i = 0; i < n; i++) {
                const double figure = bench_gated(stream_measure, &list[i]);

                bench_add(&list[i].rate, figure);
                bench_add(&list[i].cpu,
                          isnan(figure) ? NAN : (double)shared->cpu_ns / (double)shared->got);
            }
        }
        print_stream(list, n, payloads[p]);
    }
    bench_note("%s", bench_gate_report());
}

/* ---- there and back --------------------------------------------------------------------------- */

struct trips {
    const struct queue *q; /* NULL: a bare line */
    bool pauses;
    struct queue_run run;
    void *queue[2]; /* there, back */
    struct trips_shared *shared;
    struct bench_series p50, p99, p999;
};

struct trips_shared {
    BENCH_LINE _Atomic uint64_t there;
    BENCH_LINE _Atomic uint64_t back;
    struct bench_hist hist;
};

static void trip_prepare(void *context, int id)
{
    struct trips *t = context;

    if (t->q && t->q->join) {
        t->q->join(t->queue[id], &t->run, true, 0);
        t->q->join(t->queue[!id], &t->run, false, 0);
    }
}

static void trip_finish(void *context, int id)
{
    struct trips *t = context;

    if (t->q && t->q->leave) {
        t->q->leave(t->queue[!id], false);
        t->q->leave(t->queue[id], true);
    }
}

static void line_await(_Atomic uint64_t *line, uint64_t value, bool pauses)
{
    while (atomic_load_explicit(line, memory_order_acquire) != value) {
        if (pauses)
            bench_pause();
    }
}

static void line_trips(struct trips_shared *s, int id, bool pauses)
{
    const double tick_ns = bench_tick_ns();

    for (uint64_t i = 1; i <= TRIPS; i++) {
        const uint64_t before = bench_tick();

        if (id == 0)
            atomic_store_explicit(&s->there, i, memory_order_release);
        line_await(id == 0 ? &s->back : &s->there, i, pauses);
        if (id == 1)
            atomic_store_explicit(&s->back, i, memory_order_release);
        else
            bench_hist_add(&s->hist, (uint64_t)((double)(bench_tick() - before) * tick_ns));
    }
}

static void trip_run(void *context, int id)
{
    const struct trips *t = context;

    if (t->q)
        t->q->trip(t->queue[id], t->queue[!id], &t->run, id, &t->shared->hist);
    else
        line_trips(t->shared, id, t->pauses);
}

static double trip_measure(void *context)
{
    struct trips *t = context;
    struct bench_role roles[2];

    memset(t->shared, 0, sizeof(*t->shared));
    for (int i = 0; i < 2; i++) {
        roles[i] = (struct bench_role){.prepare = trip_prepare,
                                       .run = trip_run,
                                       .finish = trip_finish,
                                       .context = t,
                                       .id = i,
                                       .cpu = i};
        t->queue[i] = t->q ? t->q->make(&t->run) : NULL;
    }
    bench_together(roles, 2, true);
    for (int i = 0; i < 2 && t->q; i++)
        t->q->unmake(t->queue[i]);
    return bench_hist_at(&t->shared->hist, 0.5);
}

/* Of plain rings, or of what a user would pick, the one with the lowest median. */
static const struct trips *best_trip(const struct trips *list, int n, bool floors)
{
    const struct trips *best = NULL;

    for (int i = 0; i < n; i++) {
        const struct queue *q = list[i].q;

        if (q && !q->is_ours && q->is_floor == floors &&
            (!best || bench_median(&list[i].p50) < bench_median(&best->p50)))
            best = &list[i];
    }
    return best;
}

static void print_trips(const struct trips *list, int n)
{
    for (int i = 0; i < n; i++) {
        const struct trips *t = &list[i];

        bench_text("contender", "%s",
                   t->q        ? t->q->name
                   : t->pauses ? "floor: a line, pause instruction"
                               : "floor: a line, tight loop");
        bench_number("p50", 0, bench_median(&t->p50));
        bench_number("p99", 0, bench_median(&t->p99));
        bench_number("p99.9", 0, bench_median(&t->p999));
        bench_end_row();
    }
    for (int floors = 1; floors >= 0; floors--) {
        const struct trips *best = best_trip(list, n, floors == 1);

        for (int i = 0; i < n && best; i++) {
            if (list[i].q && list[i].q->is_ours)
                bench_note("%s: %.2f times %s at p50, %.2f at p99.9", list[i].q->name,
                           bench_ratio(&list[i].p50, &best->p50), best->q->name,
                           bench_ratio(&list[i].p999, &best->p999));
        }
    }
}

static void there_and_back(const char *section)
{
    static struct trips list[CONTENDERS_MAX];
    const size_t payload = bench.payload ? bench.payload : 64;
    int n = 2;

    if (!bench_wants(section))
        return;
    list[1].pauses = true;
    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
        for (const struct queue *q = files[f]; q->name && n < CONTENDERS_MAX; q++) {
            if (q->trip && wants(q))
                list[n++].q = q;
        }
    }
    bench_table(section, "%zu bytes there and back between two processes, ns, %d gated rounds",
                payload, bench.rounds);
    for (int i = 0; i < n; i++) {
        list[i].run = (struct queue_run){.payload = payload, .senders = 1, .receivers = 1};
        list[i].run.trips = list[i].q && list[i].q->blocks ? TRIPS_BLOCKED : TRIPS;
        list[i].shared = bench_shared(sizeof(*list[i].shared));
    }
    for (int round = 0; round < bench.rounds; round++) {
        for (int i = 0; i < n; i++) {
            struct trips *t = &list[i];
            const double figure = bench_gated(trip_measure, t);

            bench_add(&t->p50, figure);
            bench_add(&t->p99, isnan(figure) ? NAN : bench_hist_at(&t->shared->hist, 0.99));
            bench_add(&t->p999, isnan(figure) ? NAN : bench_hist_at(&t->shared->hist, 0.999));
        }
    }
    print_trips(list, n);
    bench_note("%s", bench_gate_report());
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "trip one many fan work");
    if (bench_cpus() < 2)
        bench_die("two processors are needed");
    if (bench.payload != 0 && bench.payload != 8 && bench.payload != 64 && bench.payload != 256 &&
        bench.payload != 1024)
        bench_die("payloads here are 8, 64, 256 and 1024 bytes");
    say_who_is_missing();
    signal(SIGALRM, too_long);
    shared = bench_shared(sizeof(*shared));
    there_and_back("trip");
    stream("one", QUEUE_ONE, 1, 1);
    stream("many", QUEUE_MANY, 2, 1);
    stream("fan 1", QUEUE_FAN, 1, 1);
    stream("fan 2", QUEUE_FAN, 1, 2);
    stream("work 1", QUEUE_WORK, 1, 1);
    stream("work 2", QUEUE_WORK, 1, 2);
    return 0;
}
