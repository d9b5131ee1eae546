/*
 * Archives and cursors, next to what they cannot be faster than: liblz4 on the very same bytes, and
 * one write of a slot.
 *
 * The log is made once. Each round archives a directory of hard links to its files, which costs no
 * copy and leaves the originals. The floors work on the segments' bytes in memory: whole segments at
 * once, as the best ratio is had, and in blocks as large as the archive's.
 */
#include "common.h"

#include <seglog/archive.h>
#include <seglog/cursor.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <lz4hc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT  ((size_t)64 << 20)
#define SEGMENTS 2u
#define BLOCK    ((size_t)256 << 10) /* of an archive of such segments, at a fast level */
#define VIEWS    32
#define COMMITS  20000u
#define SYNCED   200u

/* ---- records ---------------------------------------------------------------------------------- */

struct text {
    char *bytes; /* lines */
    size_t len;
};

/* Lines as a web server writes them; the same in every run. */
static void text_make(struct text *text)
{
    static const char *const paths[] = {"/",
                                        "/index.html",
                                        "/api/v1/orders",
                                        "/static/app.js",
                                        "/images/logo.png",
                                        "/api/v1/users",
                                        "/favicon.ico"};
    static const int codes[] = {200, 200, 200, 200, 304, 404, 500};
    const size_t room = (size_t)8 << 20;
    uint64_t x = UINT64_C(0x9E3779B97F4A7C15);

    *text = (struct text){.bytes = malloc(room)};
    if (!text->bytes)
        bench_die("no memory");
    for (uint64_t i = 0; text->len + 512 < room; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        text->len += (size_t)snprintf(
            text->bytes + text->len, 512,
            "192.0.2.%u - - [21/Nov/2026:%02u:%02u:%02u +0000] \"GET %s?id=%llu HTTP/1.1\" %d %u "
            "\"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:%u.0) Gecko/20100101\"\n",
            (unsigned)(x % 200), (unsigned)(i / 36000 % 24), (unsigned)(i / 600 % 60),
            (unsigned)(i / 10 % 60), paths[x / 256 % 7], (unsigned long long)(x / 4096 % 100000),
            codes[x / 65536 % 7], (unsigned)(x / 1048576 % 50000), (unsigned)(100 + x % 30));
    }
}

static void text_read(struct text *text, const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat st;

    if (!file || fstat(fileno(file), &st) < 0 || st.st_size == 0)
        bench_die("%s: cannot be read, or is empty", path);
    *text = (struct text){.bytes = malloc((size_t)st.st_size), .len = (size_t)st.st_size};
    if (!text->bytes || fread(text->bytes, 1, text->len, file) != text->len)
        bench_die("%s: cannot be read", path);
    fclose(file);
}

/* ---- the log ---------------------------------------------------------------------------------- */

struct corpus {
    struct bench_log log;
    uint64_t records;
    uint8_t *raw[SEGMENTS]; /* the segments' bytes */
    uint8_t *packed;        /* room for one, packed */
    uint8_t *again;         /* and unpacked */
    size_t sizes[SEGMENTS][SEGMENT / BLOCK];
};

/* Fill so many segments with the text's lines, over and over: further apart than LZ4 looks back. */
static void fill(struct corpus *c, const struct text *text)
{
    struct seglog_log *handle = bench_attach(&c->log, 0);
    struct seglog_appender *ap = bench_appender(handle, SEGLOG_EXCLUSIVE);
    size_t used = 0, at = 0;

    while (used < SEGMENTS * SEGMENT - ((size_t)4 << 20)) {
        const char *line = text->bytes + at;
        const char *end = memchr(line, '\n', text->len - at);
        size_t len = end ? (size_t)(end - line) : text->len - at;

        at = end && at + len + 1 < text->len ? at + len + 1 : 0;
        len = len > 65536 ? 65536 : len;
        bench_ok(seglog_appender_append(ap, line, len, NULL), "append");
        used += bench_frame(len);
        c->records++;
    }
    bench_ok(seglog_appender_close(ap), "close");
    bench_ok(seglog_log_seal(handle, UINT64_MAX), "seal");
    bench_ok(seglog_log_close(handle), "close");
}

static void corpus_make(struct corpus *c)
{
    struct text text;

    *c = (struct corpus){0};
    if (bench.file)
        text_read(&text, bench.file);
    else
        text_make(&text);
    bench_log_make(&c->log, SEGMENT, SEGLOG_SYNC_NONE);
    fill(c, &text);
    free(text.bytes);
    c->packed = bench_private((size_t)LZ4_compressBound((int)SEGMENT) + SEGMENT / BLOCK * 32, true);
    c->again = bench_private(SEGMENT, true);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        char path[320];
        int fd;

        snprintf(path, sizeof(path), "%s/%016x.seg", c->log.dir, i);
        fd = (int)bench_sys(open(path, O_RDONLY | O_CLOEXEC), path);
        c->raw[i] = bench_private(SEGMENT, true);
        if (read(fd, c->raw[i], SEGMENT) != (ssize_t)SEGMENT)
            bench_die("%s: cannot be read", path);
        close(fd);
    }
}

/* A directory of links to the log's files. */
static void corpus_link(const struct corpus *c, struct bench_log *copy)
{
    DIR *dir = opendir(c->log.dir);
    const struct dirent *entry;

    snprintf(copy->dir, sizeof(copy->dir), "%.240s-copy", c->log.dir);
    bench_sys(mkdir(copy->dir, 0755), copy->dir);
    if (!dir)
        bench_die("%s: %s", c->log.dir, strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        char from[600], to[600];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(from, sizeof(from), "%s/%s", c->log.dir, entry->d_name);
        snprintf(to, sizeof(to), "%s/%s", copy->dir, entry->d_name);
        bench_sys(link(from, to), to);
    }
    closedir(dir);
}

static void corpus_free(struct corpus *c)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        bench_unmap(c->raw[i], SEGMENT);
    bench_unmap(c->again, SEGMENT);
    bench_unmap(c->packed, (size_t)LZ4_compressBound((int)SEGMENT) + SEGMENT / BLOCK * 32);
    bench_log_remove(&c->log);
}

/* Of an archive of such segments. */
static size_t block_of(int level)
{
    return level >= 3 ? BLOCK << 2 : BLOCK;
}

/* ---- what is measured ------------------------------------------------------------------------- */

static double gb_s(uint64_t begun)
{
    return (double)(SEGMENTS * SEGMENT) / (double)(bench_now() - begun);
}

static int lz4_pack(const uint8_t *from, uint8_t *to, size_t len, size_t room, int level)
{
    if (level >= 3)
        return LZ4_compress_HC((const char *)from, (char *)to, (int)len, (int)room, level);
    return LZ4_compress_default((const char *)from, (char *)to, (int)len, (int)room);
}

/* liblz4 on the segments' bytes, `block` at a time: GB/s; *bytes gets what they take. */
static double floor_pack(struct corpus *c, size_t block, int level, uint64_t *bytes)
{
    const size_t room = (size_t)LZ4_compressBound((int)block);
    const uint64_t begun = bench_now();

    *bytes = 0;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        size_t used = 0;

        for (size_t at = 0; at < SEGMENT; at += block) {
            const int n = lz4_pack(c->raw[i] + at, c->packed, block, room, level);

            if (n <= 0)
                bench_die("liblz4 does not compress");
            used += (size_t)n;
        }
        *bytes += used;
    }
    return gb_s(begun);
}

/* liblz4 unpacking the same in the archive's blocks: GB/s; and checked, untimed. */
static double floor_unpack(struct corpus *c, int level)
{
    const size_t block = block_of(level);
    uint64_t spent = 0;

    for (unsigned i = 0; i < SEGMENTS; i++) {
        size_t used = 0;
        uint64_t begun;

        for (size_t k = 0; k < SEGMENT / block; k++) {
            c->sizes[i][k] = (size_t)lz4_pack(c->raw[i] + k * block, c->packed + used, block,
                                              (size_t)LZ4_compressBound((int)block), level);
            used += c->sizes[i][k];
        }
        used = 0;
        begun = bench_now();
        for (size_t k = 0; k < SEGMENT / block; k++) {
            if (LZ4_decompress_safe((const char *)c->packed + used, (char *)c->again + k * block,
                                    (int)c->sizes[i][k], (int)block) != (int)block)
                bench_die("liblz4 does not unpack");
            used += c->sizes[i][k];
        }
        spent += bench_now() - begun;
        if (memcmp(c->again, c->raw[i], SEGMENT) != 0)
            bench_die("liblz4 unpacks something else");
    }
    return (double)(SEGMENTS * SEGMENT) / (double)spent;
}

static double archive_all(const struct bench_log *log, int level, uint64_t *bytes)
{
    const struct seglog_archive_options options = {.level = (uint32_t)level};
    struct seglog_archive_report report;
    const uint64_t begun = bench_now();
    double rate;

    bench_ok(seglog_archive(log->dir, &options, &report), "archive");
    rate = gb_s(begun);
    if (report.segments != SEGMENTS)
        bench_die("%llu segments were archived", (unsigned long long)report.segments);
    *bytes = report.archive_bytes;
    return rate;
}

/* All records, from opening to the last: GB/s of segment. */
static double read_all(const struct corpus *c, const struct bench_log *log, uint32_t flags)
{
    const uint64_t begun = bench_now();
    struct seglog_reader *reader = bench_reader(log, SEGLOG_WAIT_AUTO, flags);
    struct seglog_view views[VIEWS];
    uint64_t n = 0;
    double rate;
    int got;

    while ((got = seglog_reader_batch(reader, views, VIEWS)) > 0) {
        n += (uint64_t)got;
        seglog_reader_release(reader);
    }
    if (got != -EAGAIN)
        bench_ok(got, "reading");
    seglog_reader_close(reader);
    rate = gb_s(begun);
    if (n != c->records)
        bench_die("%llu records of %llu", (unsigned long long)n, (unsigned long long)c->records);
    return rate;
}

/* ---- the sections ----------------------------------------------------------------------------- */

static void row(const char *name, int level, const struct bench_series *rate, double bytes,
                const struct bench_series *over, double target)
{
    bench_text("contender", "%s", name);
    bench_number("level", 0, level);
    bench_number("GB/s", 2, bench_median(rate));
    bench_number("least", 2, bench_least(rate));
    bench_number("most", 2, bench_most(rate));
    bench_number("bytes/one-shot", 3, bytes);
    bench_number("time/liblz4", 2, over ? bench_ratio(over, rate) : NAN);
    bench_number("target", 2, target);
    bench_end_row();
}

static void pack(struct corpus *c, int level)
{
    struct bench_series whole = {0}, blocks = {0}, ours = {0};
    uint64_t whole_bytes = 0, block_bytes = 0, our_bytes = 0;

    for (int round = 0; round < bench.rounds; round++) {
        struct bench_log copy;

        corpus_link(c, &copy);
        bench_add(&ours, archive_all(&copy, level, &our_bytes));
        bench_log_remove(&copy);
        bench_add(&blocks, floor_pack(c, block_of(level), level, &block_bytes));
        bench_add(&whole, floor_pack(c, SEGMENT, level, &whole_bytes));
    }
    row("seglog_archive(), checked", level, &ours, (double)our_bytes / (double)whole_bytes, &blocks,
        1.5);
    row("floor: liblz4, in such blocks", level, &blocks, (double)block_bytes / (double)whole_bytes,
        NULL, NAN);
    row("floor: liblz4, one shot", level, &whole, 1.0, NULL, NAN);
}

static void unpack(struct corpus *c, int level)
{
    struct bench_series lz4 = {0}, archived = {0}, bare = {0}, live = {0};
    struct bench_log copy;
    uint64_t bytes;

    corpus_link(c, &copy);
    (void)archive_all(&copy, level, &bytes);
    for (int round = 0; round < bench.rounds; round++) {
        bench_add(&archived, read_all(c, &copy, 0));
        bench_add(&bare, read_all(c, &copy, SEGLOG_READER_NO_VERIFY));
        bench_add(&lz4, floor_unpack(c, level));
        bench_add(&live, read_all(c, &c->log, 0));
    }
    bench_log_remove(&copy);
    row("archived, verified", level, &archived, NAN, &lz4, 2.0);
    row("archived, unverified", level, &bare, NAN, &lz4, NAN);
    row("live, verified", level, &live, NAN, &lz4, NAN);
    row("floor: liblz4, in such blocks", level, &lz4, NAN, NULL, NAN);
}

/* Commits of one record each, us. */
static double commits(struct seglog_cursor *cursor, unsigned n)
{
    uint64_t spent = 0;

    for (unsigned i = 0; i < n; i++) {
        struct seglog_view view;
        uint64_t begun;

        bench_ok(seglog_cursor_next(cursor, &view), "next");
        begun = bench_now();
        bench_ok(seglog_cursor_commit(cursor, UINT64_MAX), "commit");
        spent += bench_now() - begun;
    }
    return (double)spent / 1e3 / n;
}

static double writes(int fd, unsigned n, bool synced)
{
    const uint64_t begun = bench_now();
    char slot[64];

    for (unsigned i = 0; i < n; i++) {
        memset(slot, (int)i, sizeof(slot));
        if (pwrite(fd, slot, sizeof(slot), i % 2 * 4096) != (ssize_t)sizeof(slot))
            bench_die("pwrite: %s", strerror(errno));
        if (synced)
            bench_sys(fdatasync(fd), "fdatasync");
    }
    return (double)(bench_now() - begun) / 1e3 / n;
}

static void commit(const struct corpus *c, bool synced)
{
    const unsigned n = synced ? SYNCED : COMMITS;
    struct bench_series ours = {0}, bare = {0};

    for (int round = 0; round < bench.rounds; round++) {
        const struct seglog_cursor_options options = {
            .flags = SEGLOG_CURSOR_CREATE | (synced ? SEGLOG_CURSOR_DURABLE : 0)};
        struct seglog_cursor *cursor;
        int fd;

        bench_ok(seglog_cursor_open(c->log.dir, "bench", &options, &cursor), "cursor");
        bench_add(&ours, commits(cursor, n));
        bench_ok(seglog_cursor_close(cursor), "close");
        bench_ok(seglog_cursor_remove(c->log.dir, "bench"), "remove");
        bench_unmap(bench_file(8192, true, &fd), 8192);
        bench_add(&bare, writes(fd, n, synced));
        close(fd);
    }
    for (int i = 0; i < 2; i++) {
        const struct bench_series *s = i ? &bare : &ours;

        bench_text("contender", "%s%s", i ? "floor: pwrite of a slot" : "commit",
                   synced ? ", synced" : "");
        bench_number("us", 2, bench_median(s));
        bench_number("least", 2, bench_least(s));
        bench_number("most", 2, bench_most(s));
        bench_number("commits/s", 0, 1e6 / bench_median(s));
        bench_number("/floor", 2, i ? NAN : bench_ratio(&ours, &bare));
        bench_end_row();
    }
}

int main(int argc, char **argv)
{
    static const int levels[] = {1, 9};
    struct corpus corpus;

    bench_start(argc, argv, "archive, read, commit");
    corpus_make(&corpus);
    if (bench_wants("archive")) {
        bench_table("archive", "%u segments of 64 MiB, %llu records, %d rounds", SEGMENTS,
                    (unsigned long long)corpus.records, bench.rounds);
        for (int i = 0; i < 2; i++)
            pack(&corpus, levels[i]);
    }
    if (bench_wants("read")) {
        bench_table("read", "all of it, GB/s of segment, %d rounds", bench.rounds);
        for (int i = 0; i < 2; i++)
            unpack(&corpus, levels[i]);
    }
    if (bench_wants("commit")) {
        bench_table("commit", "a cursor moved record by record, %d rounds", bench.rounds);
        commit(&corpus, false);
        commit(&corpus, true);
    }
    corpus_free(&corpus);
    return 0;
}
