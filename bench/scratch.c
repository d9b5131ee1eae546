/*
 * Scratch logs, what is written to them, and who does it: see common.h.
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* ---- logs ------------------------------------------------------------------------------------- */

void bench_log_make(struct bench_log *log, uint64_t segment_size, uint32_t sync)
{
    const struct seglog_log_options options = {.segment_size = segment_size, .sync = sync};
    char path[128], real[PATH_MAX];

    snprintf(path, sizeof(path), "%s/seglog-bench-XXXXXX", bench.dir);
    if (!mkdtemp(path) || !realpath(path, real) || strlen(real) >= sizeof(log->dir))
        bench_die("%s: %s", path, strerror(errno));
    strcpy(log->dir, real); /* as /proc/self/maps names it */
    bench_ok(seglog_log_create(log->dir, &options), "seglog_log_create");
}

void bench_log_remove(struct bench_log *log)
{
    DIR *dir = opendir(log->dir);
    struct dirent *entry;

    if (!dir)
        bench_die("%s: %s", log->dir, strerror(errno));
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            bench_sys(unlinkat(dirfd(dir), entry->d_name, 0), entry->d_name);
    }
    closedir(dir);
    bench_sys(rmdir(log->dir), log->dir);
}

struct seglog_log *bench_attach(const struct bench_log *log, uint32_t flags)
{
    const struct seglog_log_options options = {.flags = flags};
    struct seglog_log *handle;

    bench_ok(seglog_log_open(log->dir, &options, &handle), "seglog_log_open");
    return handle;
}

struct seglog_appender *bench_appender(struct seglog_log *handle, uint32_t mode)
{
    const struct seglog_appender_options options = {.mode = mode};
    struct seglog_appender *appender;

    bench_ok(seglog_appender_open(handle, &options, &appender), "seglog_appender_open");
    return appender;
}

struct seglog_reader *bench_reader(const struct bench_log *log, uint32_t wait, uint32_t flags)
{
    const struct seglog_reader_options options = {.wait = wait, .flags = flags};
    struct seglog_reader *reader;

    bench_ok(seglog_reader_open(log->dir, &options, &reader), "seglog_reader_open");
    return reader;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

void bench_in_place(const struct bench_log *log)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    int found = 0;

    if (!maps)
        bench_die("/proc/self/maps: %s", strerror(errno));
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char prot[5];

        line[strcspn(line, "\n")] = 0;
        if (!strstr(line, log->dir) || !ends_with(line, ".seg") ||
            sscanf(line, "%lx-%lx %4s", &from, &to, prot) != 3)
            continue;
        bench_sys(madvise((void *)from, to - from,
                          prot[1] == 'w' ? MADV_POPULATE_WRITE : MADV_POPULATE_READ),
                  "MADV_POPULATE");
        found++;
    }
    fclose(maps);
    if (found == 0)
        bench_die("no segment of %s is mapped here", log->dir);
}

size_t bench_records(uint64_t segment_size, size_t payload)
{
    /* 1/16 for the pages that are not frames, and for a record or two to warm up with. */
    return (size_t)(segment_size - segment_size / 16) / bench_frame(payload);
}

/* ---- payloads --------------------------------------------------------------------------------- */

uint64_t bench_sum_expected(uint64_t n, size_t payload)
{
    const uint64_t period = BENCH_POOL / 64;
    uint64_t whole = 0, rest = 0;

    for (uint64_t i = 0; i < period; i++) {
        const uint64_t sum = bench_sum(bench_payload(i), payload);

        whole += sum;
        rest += i < n % period ? sum : 0;
    }
    return n / period * whole + rest;
}

void bench_verify(const struct bench_log *log, unsigned producers, uint64_t each, size_t payload,
                  uint64_t extra)
{
    struct seglog_reader *reader = bench_reader(log, SEGLOG_WAIT_AUTO, 0);
    struct seglog_view view;
    uint64_t next[16] = {0}, total = 0;
    int rc;

    for (uint64_t i = 0; i < extra; i++)
        bench_ok(seglog_reader_next(reader, &view), "a first record");
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        if (view.tag >= producers || view.len != payload || view.time_ns != next[view.tag] + 1 ||
            memcmp(view.data, bench_payload(next[view.tag]), payload) != 0)
            bench_die("record %llu is not what was appended", (unsigned long long)view.seq);
        next[view.tag]++;
        if (++total % 65536 == 0)
            seglog_reader_release(reader);
    }
    if (rc != -EAGAIN)
        bench_ok(rc, "seglog_reader_next");
    if (total != each * producers)
        bench_die("%llu records of %llu are there", (unsigned long long)total,
                  (unsigned long long)(each * producers));
    seglog_reader_close(reader);
}

/* ---- several producers or followers ----------------------------------------------------------- */

struct together {
    BENCH_LINE _Atomic int ready;
    BENCH_LINE _Atomic int go;
    BENCH_LINE _Atomic uint64_t end;
    _Atomic int finished;
};
static struct together *together;

static void *role_main(void *arg)
{
    struct bench_role *role = arg;
    uint64_t now, seen;

    bench_pin(role->cpu);
    if (role->prepare)
        role->prepare(role->context, role->id);
    atomic_fetch_add(&together->ready, 1);
    while (!atomic_load_explicit(&together->go, memory_order_acquire))
        sched_yield();
    role->run(role->context, role->id);
    now = bench_now();
    seen = atomic_load(&together->end);
    while (seen < now && !atomic_compare_exchange_weak(&together->end, &seen, now))
        continue;
    atomic_fetch_add(&together->finished, 1);
    if (role->finish)
        role->finish(role->context, role->id);
    return NULL;
}

uint64_t bench_together(struct bench_role *roles, int n, bool processes)
{
    pthread_t threads[16];
    pid_t children[16];
    uint64_t start;

    if (!together)
        together = bench_shared(sizeof(*together));
    memset(together, 0, sizeof(*together));
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        if (!processes) {
            errno = pthread_create(&threads[i], NULL, role_main, &roles[i]);
            bench_sys(errno ? -1 : 0, "pthread_create");
        } else if ((children[i] = (pid_t)bench_sys(fork(), "fork")) == 0) {
            alarm(60); /* one that waits for another that has died */
            role_main(&roles[i]);
            _exit(0);
        }
    }
    while (atomic_load(&together->ready) != n) {
        int status;

        if (processes && waitpid(-1, &status, WNOHANG) > 0)
            bench_die("a process ended before the start");
        bench_sleep(200000);
    }
    start = bench_now();
    atomic_store_explicit(&together->go, 1, memory_order_release);
    for (int i = 0; i < n; i++) {
        int status = 0;

        if (processes)
            bench_sys(waitpid(children[i], &status, 0), "waitpid");
        else
            pthread_join(threads[i], NULL);
        if (status != 0)
            bench_die("a process of the run failed");
    }
    return atomic_load(&together->end) - start;
}

/* ---- appenders and followers with everything in place ----------------------------------------- */

struct seglog_reader *bench_follower(const struct bench_log *log, uint32_t wait, bool in_place)
{
    struct seglog_reader *reader = bench_reader(log, wait, 0);
    struct seglog_view view;

    if (seglog_reader_next(reader, &view) != -EAGAIN)
        bench_die("a new log is not empty");
    if (in_place)
        bench_in_place(log);
    return reader;
}

struct seglog_appender *bench_producer(const struct bench_log *log, uint32_t mode, uint32_t flags,
                                       bool in_place, struct seglog_log **handle)
{
    struct seglog_appender *appender;

    *handle = bench_attach(log, flags);
    appender = bench_appender(*handle, mode);
    if (in_place)
        bench_in_place(log);
    return appender;
}

void bench_producer_close(struct seglog_log *handle, struct seglog_appender *appender)
{
    seglog_appender_close(appender);
    bench_ok(seglog_log_close(handle), "close");
}

void bench_log_begin(struct bench_log *log, uint64_t segment_size)
{
    bench_log_make(log, segment_size, SEGLOG_SYNC_NONE);
    bench_ok(seglog_log_close(bench_attach(log, 0)), "close");
}
