/*
 * What the benchmarks share: options, clocks and memory (common.c), placement (placement.c), samples
 * and output (figures.c), scratch logs, payloads and who writes them (scratch.c).
 *
 * The hard part is the machine. Virtual processors wander over the host's cores, and a cache line
 * that goes from one to the other and back costs 60 ns at one time and 2000 ns at another. So things
 * that are compared run in turn within one round, rounds are repeated and the median counts; and
 * whatever needs two processors is bracketed by a bounced line and thrown away unless it was near
 * before and after (bench_gate_open(), bench_gate_close()). docs/BENCHMARKS.md tells more.
 *
 * Every failure ends the program: a figure from a run that went wrong is worse than none.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <seglog/seglog.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_ROUNDS_MAX 101
#define BENCH_LINE       __attribute__((aligned(128))) /* the prefetcher takes lines in pairs */

/* ---- options ---------------------------------------------------------------------------------- */

struct bench_options {
    const char *dir;     /* where scratch logs go */
    const char *command; /* the seglog command, for start.c */
    const char *file;    /* whose lines are the records, for archive.c; NULL: made up */
    int rounds;          /* of each comparison */
    unsigned segments;   /* that a run goes through, for roll.c */
    double near_ns;      /* a line bounced there and back in less: the processors are near */
    bool json;           /* one object a line instead of tables */
    size_t payload;      /* measure this one only; 0: all */
    const char *queue;   /* those of ring.c whose names contain this; NULL: all */
    const char *only;    /* run the sections whose name contains this; NULL: all */
};
extern struct bench_options bench;

/* Read the command line: the same options for every program. `sections` is for the help text. */
void bench_start(int argc, char **argv, const char *sections);
/* Is this section wanted? This payload? */
bool bench_wants(const char *section);
bool bench_wants_payload(size_t payload);

/* ---- failing ---------------------------------------------------------------------------------- */

void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Give rc back; a negative one, of a seglog call, ends the program. */
int bench_ok(int rc, const char *what);
/* The same for system calls: -1 and errno. */
long bench_sys(long rc, const char *what);

/* ---- time ------------------------------------------------------------------------------------- */

uint64_t bench_now(void); /* CLOCK_MONOTONIC, ns */
void bench_sleep(uint64_t ns);

/* The processor's own counter: cheap enough to stand on both sides of 10 ns of work. */
static inline uint64_t bench_tick(void)
{
#if defined(__x86_64__)
    uint32_t lo, hi;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
#else
    return bench_now();
#endif
}
double bench_tick_ns(void); /* length of a tick */

static inline void bench_pause(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* ---- placement -------------------------------------------------------------------------------- */

int bench_cpus(void);    /* online */
void bench_pin(int cpu); /* modulo bench_cpus() */
void bench_unpin(void);

/* A line bounced between processors 0 and 1, there and back, ns; both spin in a tight loop. */
double bench_bounce(void);
/* Bring the two processors together, by waking one from the other; false: they would not come. */
bool bench_gate_open(void);
/* Are they still near? A run after which this says false does not count. */
bool bench_gate_close(void);
/* run(context) between the two, again until it counts; NaN when that does not come about. */
double bench_gated(double (*run)(void *context), void *context);
/* How many runs counted since the last call, of how many, and the last line bounce. */
const char *bench_gate_report(void);

/* ---- samples ---------------------------------------------------------------------------------- */

/* One figure, measured once in each round. NaN: this round has none. */
struct bench_series {
    int n;
    double v[BENCH_ROUNDS_MAX];
};
void bench_add(struct bench_series *series, double value);
double bench_median(const struct bench_series *series);
double bench_least(const struct bench_series *series);
double bench_most(const struct bench_series *series);
/* The median of a/b, taken round by round: what both suffered in the same round cancels out. */
double bench_ratio(const struct bench_series *a, const struct bench_series *b);

/* Latencies in ns: buckets that are exact below 128 and at most 1.6 % wide from there on. */
#define BENCH_HIST_BUCKETS (64 * 59)
struct bench_hist {
    uint64_t n;
    uint64_t most;
    uint64_t count[BENCH_HIST_BUCKETS];
};
void bench_hist_add(struct bench_hist *hist, uint64_t ns);
/* The smallest latency that a `part` (0 to 1) of all samples do not exceed. */
double bench_hist_at(const struct bench_hist *hist, double part);

/* ---- output ----------------------------------------------------------------------------------- */

/* A table: rows with the same cells follow. With --json each row is an object with all of them. */
void bench_table(const char *section, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bench_text(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NaN: nothing to say here. */
void bench_number(const char *name, int decimals, double value);
void bench_end_row(void);
/* A line of text below a table. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory and files ------------------------------------------------------------------------- */

/* Shared with children, in place, zero. */
void *bench_shared(size_t size);
/* Private memory; in place if asked for. */
uint8_t *bench_private(size_t size, bool in_place);
void bench_unmap(void *base, size_t size);
/* A file of this size, reserved and mapped; it has no name any more. *fd may be NULL. */
uint8_t *bench_file(size_t size, bool in_place, int *fd);
/* Read through more memory than the last-level cache holds, so that every contender starts cold. */
void bench_cool(void);

/* ---- logs ------------------------------------------------------------------------------------- */

struct bench_log {
    char dir[256];
};
/* A fresh log in the scratch directory. */
void bench_log_make(struct bench_log *log, uint64_t segment_size, uint32_t sync);
void bench_log_remove(struct bench_log *log);
struct seglog_log *bench_attach(const struct bench_log *log, uint32_t flags);
struct seglog_appender *bench_appender(struct seglog_log *handle, uint32_t mode);
struct seglog_reader *bench_reader(const struct bench_log *log, uint32_t wait, uint32_t flags);
/*
 * Fault in every segment of this log that this process has mapped, for writing or for reading as it
 * is mapped: found by name in /proc/self/maps, so that a benchmark needs the public calls alone.
 */
void bench_in_place(const struct bench_log *log);

/* Make a log with its first segment, which whoever opens it finds. */
void bench_log_begin(struct bench_log *log, uint64_t segment_size);
/* A reader at the beginning of a log that is empty yet, and an appender; in_place: with everything
 * mapped that there is. */
struct seglog_reader *bench_follower(const struct bench_log *log, uint32_t wait, bool in_place);
struct seglog_appender *bench_producer(const struct bench_log *log, uint32_t mode, uint32_t flags,
                                       bool in_place, struct seglog_log **handle);
void bench_producer_close(struct seglog_log *handle, struct seglog_appender *appender);

/* Bytes that a record takes in a segment (docs/FORMAT.md), and how many fit with room to spare. */
static inline size_t bench_frame(size_t payload)
{
    return (32 + payload + 31) / 32 * 32;
}
size_t bench_records(uint64_t segment_size, size_t payload);

/* ---- payloads --------------------------------------------------------------------------------- */

/*
 * Records cut from a pool that stays in the second-level cache and does not repeat, so that the cost
 * is that of the destination. Record i of every producer begins at bench_payload(i).
 */
#define BENCH_PAYLOAD_MAX 4096u
#define BENCH_POOL        (128u * 1024u)
extern uint8_t *bench_pool;
static inline const uint8_t *bench_payload(uint64_t i)
{
    return bench_pool + i * 64 % BENCH_POOL;
}

/* Sum of the 64-bit words; a payload's length here is a multiple of 8. */
static inline uint64_t bench_sum(const void *data, size_t len)
{
    const uint64_t *w = (const uint64_t *)data;
    uint64_t sum = 0;

    for (size_t i = 0; i < len / 8; i++)
        sum += w[i];
    return sum;
}
/* What the first n payloads of this length sum up to. */
uint64_t bench_sum_expected(uint64_t n, size_t payload);

/*
 * Read the whole log and compare every byte: `producers` of them, each with its id as the tag and
 * the payloads 0, 1, ... `each` in order, times counting from 1. `extra` records before them.
 */
void bench_verify(const struct bench_log *log, unsigned producers, uint64_t each, size_t payload,
                  uint64_t extra);

/* ---- several producers or followers ----------------------------------------------------------- */

/* Run job(id) on processor `cpu` of its own process or thread, all at once. */
struct bench_role {
    void (*prepare)(void *context, int id); /* untimed, may be NULL */
    void (*run)(void *context, int id);
    void (*finish)(void *context, int id); /* untimed, may be NULL */
    void *context;
    int id;
    int cpu;
};
/* The time from the common start to the end of the last role's run(), ns. */
uint64_t bench_together(struct bench_role *roles, int n, bool processes);

#endif
