/*
 * A cell next to the ways that it competes with: a model of mmap-sync's protocol (two copies, readers
 * counted in and out), a process-shared rwlock around a copy, a plain seqlock (one copy, no checksum; a
 * writer that dies in it leaves readers waiting for good), and as floor a plain copy.
 *
 * Every read ends with the value in private memory and a sum over it that is compared, so that nobody is
 * measured at reading nothing. All contenders do one operation in turn, round by round. Nothing is synced:
 * figures are of what is visible, not durable, but for the section that says so.
 */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <seglog/cell.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX   25600u
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- mmap-sync's protocol ---------------------------------------------------------------------- */

/* Version: side in bit 0. A writer waits until nobody is counted on the side it wants. */
struct model {
    _Atomic uint64_t version;
    _Atomic uint32_t readers[2];
    uint8_t pad[48];
    uint8_t side[2][VALUE_MAX];
};

static void model_read(struct model *m, void *buf, size_t len)
{
    const uint64_t version = atomic_load(&m->version);

    atomic_fetch_add(&m->readers[version & 1], 1);
    memcpy(buf, m->side[version & 1], len);
    atomic_fetch_sub(&m->readers[version & 1], 1);
}

static void model_write(struct model *m, const void *value, size_t len)
{
    const uint64_t version = atomic_load_explicit(&m->version, memory_order_relaxed);

    while (atomic_load(&m->readers[(version & 1) ^ 1]) != 0)
        bench_pause();
    memcpy(m->side[(version & 1) ^ 1], value, len);
    atomic_exchange(&m->version, ((version >> 1) + 1) << 1 | ((version & 1) ^ 1));
}

/* ---- a lock and a copy ------------------------------------------------------------------------- */

struct locked {
    pthread_rwlock_t lock;
    uint8_t value[VALUE_MAX];
};

/* ---- a sequence count and a copy --------------------------------------------------------------- */

/* Odd while the one writer is at it. */
struct seqlock {
    _Atomic uint64_t seq;
    uint8_t pad[56];
    _Atomic uint64_t words[VALUE_MAX / 8];
};

static void seqlock_write(struct seqlock *l, const void *value, size_t len)
{
    const uint64_t seq = atomic_load_explicit(&l->seq, memory_order_relaxed);
    const uint64_t *from = value;

    atomic_store_explicit(&l->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < len / 8; i++)
        atomic_store_explicit(&l->words[i], from[i], memory_order_relaxed);
    atomic_store_explicit(&l->seq, seq + 2, memory_order_release);
}

/* false: a writer came between. */
static bool seqlock_read(struct seqlock *l, void *buf, size_t len)
{
    const uint64_t seq = atomic_load_explicit(&l->seq, memory_order_acquire);
    uint64_t *to = buf;

    if (seq & 1)
        return false;
    for (size_t i = 0; i < len / 8; i++)
        to[i] = atomic_load_explicit(&l->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&l->seq, memory_order_relaxed) == seq;
}

/* ---- the contenders ---------------------------------------------------------------------------- */

enum kind { CHECKED, UNCHECKED, MODEL, LOCKED, SEQLOCK, FLOOR };
static const char *const names[] = {"cell, checked",   "cell, unchecked", "model of mmap-sync",
                                    "rwlock and copy", "plain seqlock",   "floor: a copy"};
#define KINDS COUNT_OF(names)

struct subject {
    char path[300];
    struct seglog_cell *writer, *reader;
    struct model *model;
    struct locked *locked;
    struct seqlock *seqlock;
    uint8_t *plain;
    size_t len;
};

static struct seglog_cell *cell(const struct subject *s, uint32_t flags, uint32_t slots)
{
    const struct seglog_cell_options o = {.flags = flags, .slots = slots, .capacity = s->len};
    struct seglog_cell *out = NULL;

    bench_ok(seglog_cell_open(s->path, &o, &out), "cell");
    return out;
}

static void subject_make(struct subject *s, size_t len)
{
    pthread_rwlockattr_t attr;

    *s = (struct subject){.len = len};
    (void)snprintf(s->path, sizeof(s->path), "%s/cell.%d", bench.dir, (int)getpid());
    s->writer = cell(s, SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE | SEGLOG_CELL_HOLD, 0);
    s->reader = cell(s, 0, 0);
    s->model = bench_shared(sizeof(*s->model));
    s->locked = bench_shared(sizeof(*s->locked));
    s->seqlock = bench_shared(sizeof(*s->seqlock));
    s->plain = bench_shared(VALUE_MAX);
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    (void)pthread_rwlock_init(&s->locked->lock, &attr);
    bench_ok(seglog_cell_publish(s->writer, bench_payload(0), len), "publish");
}

static void subject_free(struct subject *s)
{
    seglog_cell_close(s->reader);
    seglog_cell_close(s->writer);
    bench_unmap(s->model, sizeof(*s->model));
    bench_unmap(s->locked, sizeof(*s->locked));
    bench_unmap(s->seqlock, sizeof(*s->seqlock));
    bench_unmap(s->plain, VALUE_MAX);
    (void)unlink(s->path);
}

static void write_one(struct subject *s, enum kind kind, const uint8_t *value)
{
    switch (kind) {
    case CHECKED:
    case UNCHECKED:
        bench_ok(seglog_cell_publish(s->writer, value, s->len), "publish");
        break;
    case MODEL:
        model_write(s->model, value, s->len);
        break;
    case LOCKED:
        (void)pthread_rwlock_wrlock(&s->locked->lock);
        memcpy(s->locked->value, value, s->len);
        (void)pthread_rwlock_unlock(&s->locked->lock);
        break;
    case SEQLOCK:
        seqlock_write(s->seqlock, value, s->len);
        break;
    case FLOOR:
        memcpy(s->plain, value, s->len);
        atomic_thread_fence(memory_order_release);
        break;
    }
}

/* false: the reader was outrun, or for the seqlock that there was a writer; the others do not say. */
static bool read_one(struct subject *s, enum kind kind, uint8_t *buf)
{
    int rc;

    switch (kind) {
    case CHECKED:
    case UNCHECKED:
        rc = kind == CHECKED ? seglog_cell_read(s->reader, buf, s->len, NULL, NULL)
                             : seglog_cell_read_unverified(s->reader, buf, s->len, NULL, NULL);
        if (rc != -EAGAIN)
            bench_ok(rc, "read");
        return rc == 0;
    case MODEL:
        model_read(s->model, buf, s->len);
        break;
    case LOCKED:
        (void)pthread_rwlock_rdlock(&s->locked->lock);
        memcpy(buf, s->locked->value, s->len);
        (void)pthread_rwlock_unlock(&s->locked->lock);
        break;
    case SEQLOCK:
        return seqlock_read(s->seqlock, buf, s->len);
    case FLOOR:
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(buf, s->plain, s->len);
        break;
    }
    return true;
}

static uint64_t times(size_t len)
{
    return len <= 64 ? 400000 : len <= 4096 ? 40000 : 8000;
}

/* ns for one; every value read is summed and compared. */
static double measure(struct subject *s, enum kind kind, bool writes)
{
    static uint8_t buf[VALUE_MAX];
    const uint64_t n = times(s->len);
    uint64_t begun, sum = 0;

    write_one(s, kind, bench_payload(5));
    begun = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        if (writes) {
            write_one(s, kind, bench_payload(i & 15));
        } else {
            if (!read_one(s, kind, buf))
                bench_die("outrun without a writer");
            sum += bench_sum(buf, s->len);
        }
    }
    const double ns = (double)(bench_now() - begun) / (double)n;
    if (!writes && sum != n * bench_sum(bench_payload(5), s->len))
        bench_die("%s: a wrong sum", names[kind]);
    return ns;
}

static void alone(size_t len, bool writes)
{
    struct bench_series series[KINDS] = {0};
    struct subject s;

    subject_make(&s, len);
    for (int round = 0; round < bench.rounds; round++) {
        for (size_t k = 0; k < KINDS; k++)
            bench_add(&series[k], measure(&s, (enum kind)k, writes));
    }
    for (size_t k = 0; k < KINDS; k++) {
        if (writes && k == UNCHECKED)
            continue; /* a writer always computes the checksum */
        bench_text("contender", "%s", names[k]);
        bench_number("bytes", 0, (double)len);
        bench_number("ns", 1, bench_median(&series[k]));
        bench_number("least", 1, bench_least(&series[k]));
        bench_number("most", 1, bench_most(&series[k]));
        bench_number("/floor", 2, k == FLOOR ? NAN : bench_ratio(&series[k], &series[FLOOR]));
        bench_number("target ns", 0, len == 64 && k == CHECKED ? (writes ? 500 : 100) : NAN);
        bench_end_row();
    }
    subject_free(&s);
}

/* ---- beside a writer: is anything torn? -------------------------------------------------------- */

struct race {
    struct subject *s;
    enum kind kind;
    uint64_t reads; /* each reader's */
    struct race_shared {
        _Atomic uint64_t torn, outrun, running;
        _Atomic uint64_t published;
    } * shared;
};

/* Values whose words are all the same: a mixture shows by itself. */
static void race_write(void *context, int id)
{
    struct race *race = context;
    static uint64_t value[VALUE_MAX / 8];
    uint64_t n = 0;

    (void)id;
    while (atomic_load_explicit(&race->shared->running, memory_order_relaxed) > 0) {
        n++;
        for (size_t i = 0; i < race->s->len / 8; i++)
            value[i] = n;
        write_one(race->s, race->kind, (const uint8_t *)value);
    }
    atomic_store(&race->shared->published, n);
}

static void race_read(void *context, int id)
{
    struct race *race = context;
    static uint64_t value[VALUE_MAX / 8];
    uint64_t torn = 0, outrun = 0;

    (void)id;
    for (uint64_t n = 0; n < race->reads;) {
        bool same = true;

        if (!read_one(race->s, race->kind, (uint8_t *)value)) {
            outrun++;
            continue;
        }
        for (size_t i = 1; i < race->s->len / 8; i++)
            same &= value[i] == value[0];
        torn += !same;
        n++;
    }
    atomic_fetch_add(&race->shared->torn, torn);
    atomic_fetch_add(&race->shared->outrun, outrun);
    atomic_fetch_sub(&race->shared->running, 1);
}

static void torn(enum kind kind, size_t len, uint64_t reads)
{
    static const uint8_t zero[VALUE_MAX];
    struct subject s;
    struct race race = {.s = &s, .kind = kind, .reads = reads};
    struct bench_role roles[2] = {
        {.run = race_write, .context = &race, .cpu = 0},
        {.run = race_read, .context = &race, .id = 1, .cpu = 1},
    };
    uint64_t ns;

    subject_make(&s, len);
    write_one(&s, kind, zero);
    race.shared = bench_shared(sizeof(*race.shared));
    atomic_store(&race.shared->running, 1);
    ns = bench_together(roles, 2, false);
    bench_text("contender", "%s", names[kind]);
    bench_number("bytes", 0, (double)len);
    bench_number("M reads", 1, (double)reads / 1e6);
    bench_number("M published", 1, (double)atomic_load(&race.shared->published) / 1e6);
    bench_number("ns/read", 1, (double)ns / (double)reads);
    bench_number("outrun", 0, (double)atomic_load(&race.shared->outrun));
    bench_number("torn", 0, (double)atomic_load(&race.shared->torn));
    bench_end_row();
    if (kind != MODEL && atomic_load(&race.shared->torn) != 0)
        bench_die("%s: torn", names[kind]);
    bench_unmap(race.shared, sizeof(*race.shared));
    subject_free(&s);
}

/* ---- several readers --------------------------------------------------------------------------- */

struct crowd {
    struct subject *s;
    int kind; /* -1: arithmetic */
    uint64_t n;
};

static volatile uint64_t sink;

static void crowd_run(void *context, int id)
{
    const struct crowd *crowd = context;
    uint8_t buf[64];
    uint64_t sum = 0;

    (void)id;
    for (uint64_t i = 0; i < crowd->n; i++) {
        if (crowd->kind < 0) {
            for (int k = 0; k < 8; k++)
                sum = sum * 6364136223846793005u + 1442695040888963407u;
        } else {
            (void)read_one(crowd->s, (enum kind)crowd->kind, buf);
            sum += bench_sum(buf, sizeof(buf));
        }
    }
    sink = sum;
}

/* Reads a second of all of them together, in millions. */
static double crowd_rate(struct subject *s, int kind, int readers)
{
    struct crowd crowd = {.s = s, .kind = kind, .n = 2000000};
    struct bench_role roles[64] = {0};

    for (int i = 0; i < readers; i++)
        roles[i] = (struct bench_role){.run = crowd_run, .context = &crowd, .id = i, .cpu = i};
    return (double)crowd.n * readers * 1e3 / (double)bench_together(roles, readers, false);
}

static void scaling(void)
{
    static const int kinds[] = {CHECKED, UNCHECKED, MODEL, LOCKED, SEQLOCK, -1};
    const int most = bench_cpus() < 64 ? bench_cpus() : 64;
    struct subject s;

    subject_make(&s, 64);
    for (int readers = 1; readers <= most; readers *= 2) {
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            struct bench_series one = {0}, all = {0};

            for (int round = 0; round < bench.rounds; round++) {
                bench_add(&one, crowd_rate(&s, kinds[k], 1));
                bench_add(&all, crowd_rate(&s, kinds[k], readers));
            }
            bench_text("contender", "%s", kinds[k] < 0 ? "floor: arithmetic" : names[kinds[k]]);
            bench_number("readers", 0, readers);
            bench_number("M/s", 1, bench_median(&all));
            bench_number("/one reader", 2, bench_ratio(&all, &one));
            bench_end_row();
        }
    }
    subject_free(&s);
}

/* ---- durable ----------------------------------------------------------------------------------- */

static void durable(void)
{
    struct bench_series ours = {0}, floor = {0};
    struct subject s = {.len = 64};
    struct seglog_cell *c = NULL;
    const struct seglog_cell_options o = {.flags = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE |
                                                   SEGLOG_CELL_HOLD | SEGLOG_CELL_DURABLE};
    char path[320];
    FILE *f;
    int rc;

    (void)snprintf(s.path, sizeof(s.path), "%s/cell.%d", bench.dir, (int)getpid());
    rc = seglog_cell_open(s.path, &o, &c);
    if (rc == SEGLOG_EVOLATILE) {
        bench_note("the scratch directory keeps nothing: no durable figures");
        return;
    }
    bench_ok(rc, "cell");
    (void)snprintf(path, sizeof(path), "%s.floor", s.path);
    f = fopen(path, "w+");
    if (!f || ftruncate(fileno(f), 4096) < 0)
        bench_die("%s: cannot be made", path);
    for (int round = 0; round < bench.rounds; round++) {
        const uint64_t begun = bench_now();
        uint64_t middle;

        for (uint64_t i = 0; i < 50; i++)
            bench_ok(seglog_cell_publish(c, bench_payload(i), 64), "publish");
        middle = bench_now();
        for (uint64_t i = 0; i < 50; i++) {
            bench_sys(pwrite(fileno(f), bench_payload(i), 64, 0), "pwrite");
            bench_sys(fdatasync(fileno(f)), "fdatasync");
        }
        bench_add(&ours, (double)(middle - begun) / 50e3);
        bench_add(&floor, (double)(bench_now() - middle) / 50e3);
    }
    bench_text("contender", "cell, durable");
    bench_number("us", 1, bench_median(&ours));
    bench_number("/floor", 2, bench_ratio(&ours, &floor));
    bench_end_row();
    bench_text("contender", "floor: pwrite and fdatasync");
    bench_number("us", 1, bench_median(&floor));
    bench_number("/floor", 2, NAN);
    bench_end_row();
    (void)fclose(f);
    (void)unlink(path);
    seglog_cell_close(c);
    (void)unlink(s.path);
}

int main(int argc, char **argv)
{
    static const size_t lengths[] = {64, 4096, VALUE_MAX};

    bench_start(argc, argv, "read, write, torn, scaling, durable");
    bench_pin(0);
    for (int writes = 0; writes < 2; writes++) {
        if (!bench_wants(writes ? "write" : "read"))
            continue;
        bench_table(writes ? "write" : "read", "one process alone, ns each, %d rounds",
                    bench.rounds);
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            if (bench_wants_payload(lengths[i]))
                alone(lengths[i], writes != 0);
        }
    }
    if (bench_wants("torn")) {
        bench_table("torn", "one writer without pause on one processor, one reader on another");
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            const uint64_t reads = lengths[i] == 64     ? 100000000
                                   : lengths[i] == 4096 ? 4000000
                                                        : 500000;

            if (!bench_wants_payload(lengths[i]))
                continue;
            torn(CHECKED, lengths[i], reads);
            torn(UNCHECKED, lengths[i], reads);
            torn(MODEL, lengths[i], reads);
            torn(SEQLOCK, lengths[i], reads);
        }
    }
    if (bench_wants("scaling")) {
        bench_table("scaling", "64 bytes, no writer, as many readers as processors at most");
        bench_unpin();
        scaling();
        bench_pin(0);
    }
    if (bench_wants("durable")) {
        bench_table("durable", "64 bytes on the disk when it returns");
        durable();
    }
    return 0;
}
