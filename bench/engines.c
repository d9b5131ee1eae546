/*
 * What a user would take instead: embedded engines, for durable.c to run beside seglog and the disk.
 *
 * Each gets the same records under a number counted upward, one transaction (or synced write batch) for
 * each commit, and its own defaults otherwise but for what a log would choose: append order, no
 * compression, a write-ahead log. Those whose library is not there at configuration are left out.
 */
#include "contender.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAYBE __attribute__((unused)) /* which of these is used depends on the engines */

struct engine_place {
    char path[PATH_MAX];
};

/* A directory of our own; what the engine makes lies in it. */
MAYBE static void place_make(struct engine_place *place)
{
    snprintf(place->path, sizeof(place->path), "%s/seglog-bench-engine-XXXXXX", bench.dir);
    if (!mkdtemp(place->path))
        bench_sys(-1, place->path);
}

MAYBE static void place_remove(const struct engine_place *place, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[PATH_MAX + 32];

        snprintf(path, sizeof(path), "%s/%s", place->path, names[i]);
        unlink(path);
    }
    bench_sys(rmdir(place->path), place->path);
}

MAYBE static void expect_count(const char *engine, uint64_t got, uint64_t want)
{
    if (got != want)
        bench_die("%s: %llu records of %llu", engine, (unsigned long long)got,
                  (unsigned long long)want);
}

/* ---- LMDB ------------------------------------------------------------------------------------- */

#ifdef BENCH_LMDB
#include <lmdb.h>

struct lmdb_side {
    struct engine_place place;
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t count;
};

static void lmdb_ok(int rc, const char *what)
{
    if (rc != 0)
        bench_die("lmdb: %s: %s", what, mdb_strerror(rc));
}

static void *lmdb_start(unsigned flags)
{
    struct lmdb_side *s = calloc(1, sizeof(*s));
    char path[PATH_MAX + 32];
    MDB_txn *txn;

    place_make(&s->place);
    snprintf(path, sizeof(path), "%s/data", s->place.path);
    lmdb_ok(mdb_env_create(&s->env), "create");
    lmdb_ok(mdb_env_set_mapsize(s->env, (size_t)4 << 30), "set_mapsize");
    lmdb_ok(mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOLOCK | flags, 0600), "open");
    lmdb_ok(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    lmdb_ok(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &s->dbi), "dbi_open");
    lmdb_ok(mdb_txn_commit(txn), "commit");
    return s;
}

static void *lmdb_open(const struct durable_cell *cell)
{
    (void)cell;
    return lmdb_start(0);
}

static void *lmdb_open_mapped(const struct durable_cell *cell)
{
    (void)cell;
    return lmdb_start(MDB_WRITEMAP);
}

static void lmdb_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct lmdb_side *s = self;
    MDB_txn *txn;

    lmdb_ok(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    for (unsigned k = 0; k < cell->batch; k++) {
        size_t seq = from + k;
        MDB_val key = {.mv_size = sizeof(seq), .mv_data = &seq};
        MDB_val data = {.mv_size = cell->payload, .mv_data = (void *)(uintptr_t)bench_payload(seq)};

        lmdb_ok(mdb_put(txn, s->dbi, &key, &data, MDB_APPEND), "put");
    }
    lmdb_ok(mdb_txn_commit(txn), "commit");
    s->count += cell->batch;
}

static void lmdb_close(void *self, const struct durable_cell *cell)
{
    static const char *const names[] = {"data"};
    struct lmdb_side *s = self;
    MDB_stat stat;

    (void)cell;
    lmdb_ok(mdb_env_stat(s->env, &stat), "stat");
    expect_count("lmdb", stat.ms_entries, s->count);
    mdb_env_close(s->env);
    place_remove(&s->place, names, 1);
    free(s);
}
#endif

/* ---- SQLite ----------------------------------------------------------------------------------- */

#ifdef BENCH_SQLITE
#include <sqlite3.h>

struct sqlite_side {
    struct engine_place place;
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    uint64_t count;
};

static void sqlite_ok(const struct sqlite_side *s, int rc, const char *what)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        bench_die("sqlite: %s: %s", what, sqlite3_errmsg(s->db));
}

static sqlite3_stmt *sqlite_prepare(const struct sqlite_side *s, const char *text)
{
    sqlite3_stmt *stmt;

    sqlite_ok(s, sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL), text);
    return stmt;
}

static void sqlite_run(const struct sqlite_side *s, sqlite3_stmt *stmt, const char *what)
{
    sqlite_ok(s, sqlite3_step(stmt), what);
    sqlite_ok(s, sqlite3_reset(stmt), what);
}

static void *sqlite_open(const struct durable_cell *cell)
{
    struct sqlite_side *s = calloc(1, sizeof(*s));
    char path[PATH_MAX + 32];

    (void)cell;
    place_make(&s->place);
    snprintf(path, sizeof(path), "%s/data", s->place.path);
    sqlite_ok(s, sqlite3_open(path, &s->db), "open");
    sqlite_ok(s,
              sqlite3_exec(s->db,
                           "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                           "CREATE TABLE log(seq INTEGER PRIMARY KEY, data BLOB)",
                           NULL, NULL, NULL),
              "create");
    s->begin = sqlite_prepare(s, "BEGIN");
    s->insert = sqlite_prepare(s, "INSERT INTO log VALUES(?,?)");
    s->commit = sqlite_prepare(s, "COMMIT");
    return s;
}

static void sqlite_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct sqlite_side *s = self;

    sqlite_run(s, s->begin, "begin");
    for (unsigned k = 0; k < cell->batch; k++) {
        sqlite_ok(s, sqlite3_bind_int64(s->insert, 1, (sqlite3_int64)(from + k)), "bind");
        sqlite_ok(s,
                  sqlite3_bind_blob(s->insert, 2, bench_payload(from + k), (int)cell->payload,
                                    SQLITE_STATIC),
                  "bind");
        sqlite_run(s, s->insert, "insert");
    }
    sqlite_run(s, s->commit, "commit");
    s->count += cell->batch;
}

static void sqlite_close(void *self, const struct durable_cell *cell)
{
    static const char *const names[] = {"data", "data-wal", "data-shm"};
    struct sqlite_side *s = self;
    sqlite3_stmt *count = sqlite_prepare(s, "SELECT count(*) FROM log");

    (void)cell;
    sqlite_ok(s, sqlite3_step(count), "count");
    expect_count("sqlite", (uint64_t)sqlite3_column_int64(count, 0), s->count);
    sqlite3_finalize(count);
    sqlite3_finalize(s->begin);
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->commit);
    sqlite_ok(s, sqlite3_close(s->db), "close");
    place_remove(&s->place, names, 3);
    free(s);
}
#endif

/* ---- RocksDB ---------------------------------------------------------------------------------- */

#ifdef BENCH_ROCKSDB
#include <rocksdb/c.h>

struct rocksdb_side {
    struct engine_place place;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced;
    rocksdb_writebatch_t *batch;
    rocksdb_t *db;
    uint64_t count;
};

static void rocksdb_ok(const char *error, const char *what)
{
    if (error)
        bench_die("rocksdb: %s: %s", what, error);
}

static void *rocksdb_start(const struct durable_cell *cell)
{
    struct rocksdb_side *s = calloc(1, sizeof(*s));
    char *error = NULL;

    (void)cell;
    place_make(&s->place);
    s->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(s->options, 1);
    rocksdb_options_set_compression(s->options, rocksdb_no_compression);
    s->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->synced, 1);
    s->batch = rocksdb_writebatch_create();
    s->db = rocksdb_open(s->options, s->place.path, &error);
    rocksdb_ok(error, "open");
    return s;
}

static void rocksdb_commit(void *self, const struct durable_cell *cell, uint64_t from)
{
    struct rocksdb_side *s = self;
    char *error = NULL;

    rocksdb_writebatch_clear(s->batch);
    for (unsigned k = 0; k < cell->batch; k++) {
        const uint64_t key = __builtin_bswap64(from + k); /* in order, byte by byte */

        rocksdb_writebatch_put(s->batch, (const char *)&key, sizeof(key),
                               (const char *)bench_payload(from + k), cell->payload);
    }
    rocksdb_write(s->db, s->synced, s->batch, &error);
    rocksdb_ok(error, "write");
    s->count += cell->batch;
}

static uint64_t rocksdb_count(const struct rocksdb_side *s)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, options);
    uint64_t n = 0;

    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it))
        n++;
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    return n;
}

static void rocksdb_end(void *self, const struct durable_cell *cell)
{
    struct rocksdb_side *s = self;
    char *error = NULL;

    (void)cell;
    expect_count("rocksdb", rocksdb_count(s), s->count);
    rocksdb_close(s->db);
    rocksdb_destroy_db(s->options, s->place.path, &error);
    rocksdb_ok(error, "destroy");
    rmdir(s->place.path); /* usually gone with its files */
    rocksdb_writebatch_destroy(s->batch);
    rocksdb_writeoptions_destroy(s->synced);
    rocksdb_options_destroy(s->options);
    free(s);
}
#endif

/* ---- all of them ------------------------------------------------------------------------------ */

static const struct durable_contender engines[] = {
#ifdef BENCH_LMDB
    {"LMDB", lmdb_open, lmdb_commit, lmdb_close},
    {"LMDB, writable map", lmdb_open_mapped, lmdb_commit, lmdb_close},
#endif
#ifdef BENCH_ROCKSDB
    {"RocksDB", rocksdb_start, rocksdb_commit, rocksdb_end},
#endif
#ifdef BENCH_SQLITE
    {"SQLite, WAL", sqlite_open, sqlite_commit, sqlite_close},
#endif
    {NULL, NULL, NULL, NULL},
};

const struct durable_contender *bench_engines(void)
{
    return engines;
}
