/*
 * A table next to other stores of keys and values in files: LMDB, Tkrzw and GDBM, where they were there
 * when this was built.
 *
 * All do the same: keys of 16 bytes and values of 104, in an order without order; each put and each get is
 * seen by every other user when it returns, so LMDB has a transaction for each. (GDBM's file is for one
 * process while it is written, and its handle for one thread at a time: it is behind a mutex.) Those that
 * can be told beforehand how many keys there will be are told. What is got is copied out and every byte of
 * it summed and compared.
 *
 * "visible": nobody syncs anything, and a power cut may take it all. "durable": a put returns when it is on
 * the disk, by a table with a log, by LMDB's own syncs, and by gdbm_sync(), which does not say what a cut
 * in the middle of it leaves (GDBM_SYNC alone syncs nothing here); Tkrzw has no such mode that is cheap,
 * and is left out there. The floor is pwrite and fdatasync by each thread for itself, of as many bytes as
 * the log has for a put, into a file written before.
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef BENCH_GDBM
#include <gdbm.h>
#endif
#ifdef BENCH_LMDB
#include <lmdb.h>
#endif
#ifdef BENCH_TKRZW
#include <tkrzw_langc.h>
#endif

#define KEYS        200000u
#define DURABLE     200u /* puts, for each thread */
#define THREADS_MAX 4u
#define VALUE       104u
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct key {
    uint64_t word[2];
};

static struct key key_of(uint64_t n)
{
    uint64_t x = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    x ^= x >> 29;
    return (struct key){{x * UINT64_C(0xbf58476d1ce4e5b9), n}};
}

static uint64_t value_of(uint64_t n, uint64_t value[VALUE / 8])
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < VALUE / 8; i++)
        sum += value[i] = n * 31 + i;
    return sum;
}

/* ---- engines --------------------------------------------------------------------------------- */

struct store {
    char path[300], log[310];
    bool durable;
    struct seglog_table *table;
#ifdef BENCH_LMDB
    MDB_env *env;
    MDB_dbi dbi;
#endif
#ifdef BENCH_TKRZW
    TkrzwDBM *dbm;
#endif
#ifdef BENCH_GDBM
    GDBM_FILE gdbm;
    pthread_mutex_t turn;
#endif
    int fd; /* the floor's */
    _Atomic uint64_t written;
};

/* Which of the comparisons it is in. */
enum part { VISIBLE = 1, DURABLY = 2 };

struct engine {
    const char *name;
    unsigned parts;
    void (*open)(struct store *s);
    void (*put)(struct store *s, const struct key *key, const uint64_t *value);
    void (*get)(struct store *s, void **thread, const struct key *key, uint64_t *value);
    void (*leave)(struct store *s, void *thread); /* a thread that has called get */
    void (*close)(struct store *s);
};

static void table_open(struct store *s)
{
    const struct seglog_table_options o = {.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE,
                                           .keys = KEYS,
                                           .log = s->durable ? s->log : NULL};

    bench_ok(seglog_table_open(s->path, &o, &s->table), "seglog_table_open");
}

static void table_put(struct store *s, const struct key *key, const uint64_t *value)
{
    bench_ok(seglog_table_put(s->table, key, sizeof(*key), value, VALUE), "seglog_table_put");
}

static void table_get(struct store *s, void **thread, const struct key *key, uint64_t *value)
{
    (void)thread;
    bench_ok(seglog_table_get(s->table, key, sizeof(*key), value, VALUE, NULL), "seglog_table_get");
}

static void table_leave(struct store *s, void *thread)
{
    (void)s;
    (void)thread;
}

static void table_close(struct store *s)
{
    seglog_table_close(s->table);
}

#ifdef BENCH_LMDB
static void lmdb_ok(int rc, const char *what)
{
    if (rc != 0)
        bench_die("%s: %s", what, mdb_strerror(rc));
}

static void lmdb_open(struct store *s)
{
    const unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_WRITEMAP;
    MDB_txn *txn;

    lmdb_ok(mdb_env_create(&s->env), "mdb_env_create");
    lmdb_ok(mdb_env_set_mapsize(s->env, (size_t)1 << 30), "mdb_env_set_mapsize");
    lmdb_ok(mdb_env_open(s->env, s->path, flags | (s->durable ? 0 : MDB_NOSYNC), 0600),
            "mdb_env_open");
    lmdb_ok(mdb_txn_begin(s->env, NULL, 0, &txn), "mdb_txn_begin");
    lmdb_ok(mdb_dbi_open(txn, NULL, 0, &s->dbi), "mdb_dbi_open");
    lmdb_ok(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void lmdb_put(struct store *s, const struct key *key, const uint64_t *value)
{
    MDB_val k = {sizeof(*key), (void *)(uintptr_t)key}, v = {VALUE, (void *)(uintptr_t)value};
    MDB_txn *txn;

    lmdb_ok(mdb_txn_begin(s->env, NULL, 0, &txn), "mdb_txn_begin");
    lmdb_ok(mdb_put(txn, s->dbi, &k, &v, 0), "mdb_put");
    lmdb_ok(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void lmdb_get(struct store *s, void **thread, const struct key *key, uint64_t *value)
{
    MDB_val k = {sizeof(*key), (void *)(uintptr_t)key}, v;
    MDB_txn *txn = *thread;

    if (!txn)
        lmdb_ok(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
    else
        lmdb_ok(mdb_txn_renew(txn), "mdb_txn_renew");
    *thread = txn;
    lmdb_ok(mdb_get(txn, s->dbi, &k, &v), "mdb_get");
    memcpy(value, v.mv_data, VALUE);
    mdb_txn_reset(txn);
}

static void lmdb_leave(struct store *s, void *thread)
{
    (void)s;
    if (thread)
        mdb_txn_abort(thread);
}

static void lmdb_close(struct store *s)
{
    char lock[310];

    mdb_env_close(s->env);
    snprintf(lock, sizeof(lock), "%s-lock", s->path);
    unlink(lock);
}
#endif

#ifdef BENCH_TKRZW
static void tkrzw_open(struct store *s)
{
    s->dbm = tkrzw_dbm_open(s->path, true, "dbm=HashDBM,num_buckets=400000,truncate=true");
    if (!s->dbm)
        bench_die("tkrzw_dbm_open");
}

static void tkrzw_put(struct store *s, const struct key *key, const uint64_t *value)
{
    if (!tkrzw_dbm_set(s->dbm, (const char *)key, sizeof(*key), (const char *)value, VALUE, true))
        bench_die("tkrzw_dbm_set");
}

static void tkrzw_get(struct store *s, void **thread, const struct key *key, uint64_t *value)
{
    int32_t len;
    char *got = tkrzw_dbm_get(s->dbm, (const char *)key, sizeof(*key), &len);

    (void)thread;
    if (!got || len != (int32_t)VALUE)
        bench_die("tkrzw_dbm_get");
    memcpy(value, got, VALUE);
    free(got);
}

static void tkrzw_close(struct store *s)
{
    tkrzw_dbm_close(s->dbm);
}
#endif

#ifdef BENCH_GDBM
static void gdbm_begin(struct store *s)
{
    pthread_mutex_init(&s->turn, NULL);
    s->gdbm = gdbm_open(s->path, 0, GDBM_NEWDB, 0600, NULL);
    if (!s->gdbm)
        bench_die("gdbm_open: %s", gdbm_strerror(gdbm_errno));
}

static datum datum_of(const void *bytes, int len)
{
    return (datum){.dptr = (char *)(uintptr_t)bytes, .dsize = len};
}

static void gdbm_put(struct store *s, const struct key *key, const uint64_t *value)
{
    int rc;

    pthread_mutex_lock(&s->turn);
    rc = gdbm_store(s->gdbm, datum_of(key, sizeof(*key)), datum_of(value, VALUE), GDBM_REPLACE);
    if (rc == 0 && s->durable)
        rc = gdbm_sync(s->gdbm);
    pthread_mutex_unlock(&s->turn);
    if (rc != 0)
        bench_die("gdbm_store: %s", gdbm_db_strerror(s->gdbm));
}

static void gdbm_get(struct store *s, void **thread, const struct key *key, uint64_t *value)
{
    datum got;

    (void)thread;
    pthread_mutex_lock(&s->turn);
    got = gdbm_fetch(s->gdbm, datum_of(key, sizeof(*key)));
    pthread_mutex_unlock(&s->turn);
    if (!got.dptr || got.dsize != (int)VALUE)
        bench_die("gdbm_fetch: %s", gdbm_db_strerror(s->gdbm));
    memcpy(value, got.dptr, VALUE);
    free(got.dptr);
}

static void gdbm_end(struct store *s)
{
    if (gdbm_close(s->gdbm) != 0)
        bench_die("gdbm_close");
    pthread_mutex_destroy(&s->turn);
}
#endif

/* What a put is in the log of a table: the record, and the length of the key before it. */
#define FLOOR_BYTES bench_frame(sizeof(uint32_t) + sizeof(struct key) + VALUE)

static void floor_open(struct store *s)
{
    static const uint8_t zeros[4096];

    s->fd = (int)bench_sys(open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "open");
    for (size_t at = 0; at < DURABLE * THREADS_MAX * FLOOR_BYTES; at += sizeof(zeros))
        bench_sys(write(s->fd, zeros, sizeof(zeros)), "write");
    bench_sys(fsync(s->fd), "fsync");
}

static void floor_put(struct store *s, const struct key *key, const uint64_t *value)
{
    const uint64_t n = atomic_fetch_add(&s->written, 1);
    uint8_t record[512] = {0};

    memcpy(record, key, sizeof(*key));
    memcpy(record + sizeof(*key), value, VALUE);
    bench_sys(pwrite(s->fd, record, FLOOR_BYTES, (off_t)(n * FLOOR_BYTES)), "pwrite");
    bench_sys(fdatasync(s->fd), "fdatasync");
}

static void floor_close(struct store *s)
{
    bench_sys(close(s->fd), "close");
}

static const struct engine engines[] = {
    {"seglog table", VISIBLE | DURABLY, table_open, table_put, table_get, table_leave, table_close},
#ifdef BENCH_LMDB
    {"LMDB, a transaction each", VISIBLE | DURABLY, lmdb_open, lmdb_put, lmdb_get, lmdb_leave,
     lmdb_close},
#endif
#ifdef BENCH_TKRZW
    {"Tkrzw HashDBM", VISIBLE, tkrzw_open, tkrzw_put, tkrzw_get, table_leave, tkrzw_close},
#endif
#ifdef BENCH_GDBM
    {"GDBM, behind a mutex", VISIBLE | DURABLY, gdbm_begin, gdbm_put, gdbm_get, table_leave,
     gdbm_end},
#endif
    {"floor: pwrite and fdatasync", DURABLY, floor_open, floor_put, NULL, table_leave, floor_close},
};
#define ENGINES COUNT_OF(engines)

/* ---- work ------------------------------------------------------------------------------------ */

enum work { PUT, GET, MIXED, WORKS }; /* mixed: nine gets, one put over */
static const char *const work_names[] = {"put", "get", "mixed"};

struct worker {
    const struct engine *engine;
    struct store *store;
    enum work work;
    unsigned me, of, ops;
    pthread_barrier_t *start;
    pthread_t thread;
};

static void get_and_look(const struct worker *w, void **thread, uint64_t n)
{
    uint64_t value[VALUE / 8], want[VALUE / 8];
    const struct key key = key_of(n);

    w->engine->get(w->store, thread, &key, value);
    if (bench_sum(value, VALUE) != value_of(n, want))
        bench_die("another value was got than was put");
}

static void put_one(const struct worker *w, uint64_t n)
{
    const struct key key = key_of(n);
    uint64_t value[VALUE / 8];

    (void)value_of(n, value);
    w->engine->put(w->store, &key, value);
}

static void *work(void *arg)
{
    const struct worker *w = arg;
    uint64_t state = 104729 * (w->me + 1);
    void *thread = NULL;

    pthread_barrier_wait(w->start);
    for (unsigned i = 0; i < w->ops; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (w->work == PUT)
            put_one(w, (uint64_t)i * w->of + w->me);
        else if (w->work == MIXED && i % 10 == 0)
            put_one(w, state % KEYS);
        else
            get_and_look(w, &thread, state % KEYS);
    }
    pthread_barrier_wait(w->start);
    w->engine->leave(w->store, thread);
    return NULL;
}

/* Thousands of operations a second, of all threads. */
static double run(const struct engine *engine, struct store *store, enum work what,
                  unsigned threads, unsigned total)
{
    struct worker workers[THREADS_MAX];
    pthread_barrier_t start;
    uint64_t begin, end;

    pthread_barrier_init(&start, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.engine = engine,
                                     .store = store,
                                     .work = what,
                                     .me = i,
                                     .of = threads,
                                     .ops = total / threads,
                                     .start = &start};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            bench_die("pthread_create");
    }
    pthread_barrier_wait(&start);
    begin = bench_now();
    pthread_barrier_wait(&start);
    end = bench_now();
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&start);
    return total * 1e6 / (double)(end - begin);
}

static void store_open(struct store *s, const struct engine *engine, bool durable)
{
    *s = (struct store){.durable = durable};
    snprintf(s->path, sizeof(s->path), "%s/bench-table.%ld.db", bench.dir, (long)getpid());
    snprintf(s->log, sizeof(s->log), "%s.log", s->path);
    engine->open(s);
}

static void store_close(struct store *s, const struct engine *engine)
{
    engine->close(s);
    unlink(s->path);
    if (s->durable) {
        char command[340];

        snprintf(command, sizeof(command), "rm -rf '%s'", s->log);
        if (system(command) != 0)
            bench_note("%s is left", s->log);
    }
}

static void print(const char *name, unsigned threads, const struct bench_series *ours,
                  const struct bench_series *series)
{
    bench_text("contender", "%s", name);
    bench_number("threads", 0, threads);
    bench_number("thousands/s", 1, bench_median(series));
    bench_number("least", 1, bench_least(series));
    bench_number("most", 1, bench_most(series));
    bench_number("table/this", 2, bench_ratio(ours, series));
    bench_end_row();
}

static void visible(void)
{
    static struct bench_series series[WORKS][3][ENGINES];

    for (int round = 0; round < bench.rounds; round++) {
        for (unsigned t = 0; t < 3; t++) {
            for (size_t e = 0; e < ENGINES; e++) {
                struct store store;

                if (!(engines[e].parts & VISIBLE))
                    continue;
                store_open(&store, &engines[e], false);
                for (int w = 0; w < WORKS; w++)
                    bench_add(&series[w][t][e],
                              run(&engines[e], &store, (enum work)w, 1u << t, KEYS));
                store_close(&store, &engines[e]);
            }
        }
    }
    for (int w = 0; w < WORKS; w++) {
        bench_table("visible", "%s: %u keys of 16 bytes, values of %u, nothing synced, %d rounds",
                    work_names[w], KEYS, VALUE, bench.rounds);
        for (unsigned t = 0; t < 3; t++) {
            for (size_t e = 0; e < ENGINES; e++) {
                if (engines[e].parts & VISIBLE)
                    print(engines[e].name, 1u << t, &series[w][t][0], &series[w][t][e]);
            }
        }
    }
}

static void durable(void)
{
    static struct bench_series series[3][ENGINES];

    for (int round = 0; round < bench.rounds; round++) {
        for (unsigned t = 0; t < 3; t++) {
            for (size_t e = 0; e < ENGINES; e++) {
                struct store store;

                if (!(engines[e].parts & DURABLY))
                    continue;
                store_open(&store, &engines[e], true);
                bench_add(&series[t][e], run(&engines[e], &store, PUT, 1u << t, DURABLE << t));
                store_close(&store, &engines[e]);
            }
        }
    }
    bench_table("durable",
                "puts of 16 and %u bytes that are on the disk when they return, %d rounds", VALUE,
                bench.rounds);
    for (unsigned t = 0; t < 3; t++) {
        for (size_t e = 0; e < ENGINES; e++) {
            if (engines[e].parts & DURABLY)
                print(e == 0 ? "seglog table with a log" : engines[e].name, 1u << t, &series[t][0],
                      &series[t][e]);
        }
    }
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "visible durable");
    if (bench_wants("visible"))
        visible();
    if (bench_wants("durable"))
        durable();
    return 0;
}
