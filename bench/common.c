/*
 * See common.h.
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

struct bench_options bench = {.dir = "/dev/shm", .rounds = 9, .segments = 100, .near_ns = 170};
uint8_t *bench_pool;

static cpu_set_t all_cpus;

/* ---- options ---------------------------------------------------------------------------------- */

static _Noreturn void usage(const char *program, const char *sections, int status)
{
    fprintf(status ? stderr : stdout,
            "usage: %s [options] [section]\n"
            "  -d, --dir DIR       where scratch logs go (/dev/shm)\n"
            "  -r, --rounds N      of each comparison (9)\n"
            "  -s, --segments N    that a run goes through, where it rolls (100)\n"
            "  -n, --near NS       a line bounced in less means near processors (170)\n"
            "  -p, --payload N     this payload only\n"
            "  -q, --queue TEXT    of ring: floors, and contenders whose names contain this\n"
            "  -c, --command FILE  the seglog command\n"
            "  -f, --file FILE     whose lines are the records, for archive; else made up\n"
            "  -j, --json          an object a line instead of tables\n"
            "sections: %s\n",
            program, sections);
    exit(status);
}

static void pool_fill(void)
{
    uint64_t x = 88172645463325252u;

    bench_pool = bench_shared(BENCH_POOL + BENCH_PAYLOAD_MAX);
    for (size_t i = 0; i < (BENCH_POOL + BENCH_PAYLOAD_MAX) / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bench_pool + 8 * i, &x, 8);
    }
}

void bench_start(int argc, char **argv, const char *sections)
{
    static const struct option longs[] = {
        {"dir", required_argument, NULL, 'd'},
        {"rounds", required_argument, NULL, 'r'},
        {"near", required_argument, NULL, 'n'},
        {"command", required_argument, NULL, 'c'},
        {"payload", required_argument, NULL, 'p'},
        {"queue", required_argument, NULL, 'q'},
        {"file", required_argument, NULL, 'f'},
        {"segments", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "d:r:s:n:p:q:c:f:jh", longs, NULL)) != -1) {
        switch (option) {
        case 'd':
            bench.dir = optarg;
            break;
        case 'r':
            bench.rounds = atoi(optarg);
            break;
        case 's':
            bench.segments = (unsigned)atoi(optarg);
            break;
        case 'n':
            bench.near_ns = atof(optarg);
            break;
        case 'p':
            bench.payload = (size_t)atol(optarg);
            break;
        case 'q':
            bench.queue = optarg;
            break;
        case 'c':
            bench.command = optarg;
            break;
        case 'f':
            bench.file = optarg;
            break;
        case 'j':
            bench.json = true;
            break;
        default:
            usage(argv[0], sections, option == 'h' ? 0 : 2);
        }
    }
    if (bench.rounds < 1 || bench.segments < 1 || bench.rounds > BENCH_ROUNDS_MAX ||
        optind + 1 < argc)
        usage(argv[0], sections, 2);
    bench.only = argv[optind];
    bench_sys(sched_getaffinity(0, sizeof(all_cpus), &all_cpus), "sched_getaffinity");
    setvbuf(stdout, NULL, _IOLBF, 0);
    pool_fill();
    bench_tick_ns();
}

bool bench_wants(const char *section)
{
    return !bench.only || strstr(section, bench.only);
}

bool bench_wants_payload(size_t payload)
{
    return bench.payload == 0 || bench.payload == payload;
}

/* ---- failing ---------------------------------------------------------------------------------- */

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int bench_ok(int rc, const char *what)
{
    if (rc < 0)
        bench_die("%s: %s (%s)", what, seglog_strerror(rc), seglog_status_name(rc));
    return rc;
}

long bench_sys(long rc, const char *what)
{
    if (rc < 0)
        bench_die("%s: %s", what, strerror(errno));
    return rc;
}

/* ---- time ------------------------------------------------------------------------------------- */

uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_sleep(uint64_t ns)
{
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
                               .tv_nsec = (long)(ns % 1000000000u)};

    nanosleep(&t, NULL);
}

double bench_tick_ns(void)
{
    static double length;

    if (length == 0) {
        const uint64_t t0 = bench_now(), c0 = bench_tick();
        uint64_t t1;

        while ((t1 = bench_now()) - t0 < 50000000u)
            continue;
        length = (double)(t1 - t0) / (double)(bench_tick() - c0);
    }
    return length;
}

/* ---- placement -------------------------------------------------------------------------------- */

int bench_cpus(void)
{
    return CPU_COUNT(&all_cpus);
}

void bench_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu % bench_cpus()), &set);
    bench_sys(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

void bench_unpin(void)
{
    bench_sys(sched_setaffinity(0, sizeof(all_cpus), &all_cpus), "sched_setaffinity");
}

/* Two lines, each written by one side only. */
struct bounce {
    BENCH_LINE _Atomic uint64_t there;
    BENCH_LINE _Atomic uint64_t back;
    BENCH_LINE _Atomic uint32_t stop;
};
static struct bounce *bounce_lines;
static struct {
    int tried, near;
    double line_ns;
} gate;

static void bounce_answer(struct bounce *b)
{
    for (uint64_t i = 1;; i++) {
        while (atomic_load_explicit(&b->there, memory_order_acquire) != i) {
            if (atomic_load_explicit(&b->stop, memory_order_relaxed))
                return;
        }
        atomic_store_explicit(&b->back, i, memory_order_release);
    }
}

double bench_bounce(void)
{
    struct bounce *b;
    uint64_t i = 0;
    double best = INFINITY;
    pid_t child;

    if (!bounce_lines)
        bounce_lines = bench_shared(sizeof(*bounce_lines));
    b = bounce_lines;
    atomic_store(&b->there, 0);
    atomic_store(&b->back, 0);
    atomic_store(&b->stop, 0);
    child = (pid_t)bench_sys(fork(), "fork");
    if (child == 0) {
        bench_pin(1);
        bounce_answer(b);
        _exit(0);
    }
    bench_pin(0);
    /* The least of some readings of 0.3 ms: what shares our processors for a moment is not far. */
    for (int reading = 0; reading < 6; reading++) {
        const uint64_t start = bench_now(), first = i;
        uint64_t now;
        double ns;

        do {
            for (int k = 0; k < 20; k++) {
                atomic_store_explicit(&b->there, ++i, memory_order_release);
                while (atomic_load_explicit(&b->back, memory_order_acquire) != i)
                    continue;
            }
        } while ((now = bench_now()) - start < 300000u);
        ns = (double)(now - start) / (double)(i - first);
        best = reading > 0 && ns < best ? ns : best;
    }
    atomic_store(&b->stop, 1);
    bench_sys(waitpid(child, NULL, 0), "waitpid");
    bench_unpin();
    return best;
}

/* Wake one processor from the other, many times: hosts put those that do this side by side. */
static void nudge(int times)
{
    int to[2], from[2];
    char c = 0;
    pid_t child;

    bench_sys(pipe(to), "pipe");
    bench_sys(pipe(from), "pipe");
    child = (pid_t)bench_sys(fork(), "fork");
    if (child == 0) {
        bench_pin(1);
        for (int i = 0; i < times; i++) {
            if (read(to[0], &c, 1) != 1 || write(from[1], &c, 1) != 1)
                break;
        }
        _exit(0);
    }
    bench_pin(0);
    for (int i = 0; i < times; i++) {
        if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
            break;
    }
    bench_sys(waitpid(child, NULL, 0), "waitpid");
    for (int i = 0; i < 2; i++) {
        close(to[i]);
        close(from[i]);
    }
    bench_unpin();
}

bool bench_gate_open(void)
{
    if (bench_cpus() < 2)
        return true;
    gate.tried++;
    for (int i = 0; i < 12; i++) {
        gate.line_ns = bench_bounce();
        if (gate.line_ns <= bench.near_ns)
            return true;
        nudge(1500);
    }
    return false;
}

bool bench_gate_close(void)
{
    if (bench_cpus() >= 2) {
        gate.line_ns = bench_bounce();
        if (gate.line_ns > bench.near_ns)
            return false;
    }
    gate.near++;
    return true;
}

double bench_gated(double (*run)(void *context), void *context)
{
    for (int tries = 0; tries < 6; tries++) {
        double figure;

        if (!bench_gate_open())
            continue;
        figure = run(context);
        if (bench_gate_close())
            return figure;
    }
    return NAN;
}

const char *bench_gate_report(void)
{
    static char text[96];

    if (bench_cpus() < 2)
        return "one processor: no placement to speak of";
    snprintf(text, sizeof(text),
             "%d of %d runs counted (processors near); last line bounce %.0f ns", gate.near,
             gate.tried, gate.line_ns);
    gate.near = gate.tried = 0;
    return text;
}

/* ---- samples ---------------------------------------------------------------------------------- */

void bench_add(struct bench_series *series, double value)
{
    if (series->n < BENCH_ROUNDS_MAX)
        series->v[series->n++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double part_of(const struct bench_series *series, double part)
{
    double sorted[BENCH_ROUNDS_MAX];
    int n = 0;

    for (int i = 0; i < series->n; i++) {
        if (!isnan(series->v[i]))
            sorted[n++] = series->v[i];
    }
    if (n == 0)
        return NAN;
    qsort(sorted, (size_t)n, sizeof(sorted[0]), compare_doubles);
    return sorted[(int)(part * (n - 1) + 0.5)];
}

double bench_median(const struct bench_series *series)
{
    return part_of(series, 0.5);
}

double bench_least(const struct bench_series *series)
{
    return part_of(series, 0);
}

double bench_most(const struct bench_series *series)
{
    return part_of(series, 1);
}

double bench_ratio(const struct bench_series *a, const struct bench_series *b)
{
    struct bench_series ratios = {0};

    for (int i = 0; i < a->n && i < b->n; i++)
        bench_add(&ratios, a->v[i] / b->v[i]);
    return bench_median(&ratios);
}

/* 128 exact buckets, then 64 for each doubling. */
static size_t hist_bucket(uint64_t ns)
{
    unsigned shift;

    if (ns < 128)
        return ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    return 64u * (shift + 1) + (ns >> shift) - 64u;
}

/* The largest value of a bucket. */
static uint64_t hist_top(size_t bucket)
{
    uint64_t shift;

    if (bucket < 128)
        return bucket;
    shift = bucket / 64 - 1;
    return ((bucket % 64 + 64 + 1) << shift) - 1;
}

void bench_hist_add(struct bench_hist *hist, uint64_t ns)
{
    hist->count[hist_bucket(ns)]++;
    hist->n++;
    if (ns > hist->most)
        hist->most = ns;
}

double bench_hist_at(const struct bench_hist *hist, double part)
{
    const double wanted = part * (double)hist->n;
    uint64_t seen = 0;

    if (hist->n == 0)
        return NAN;
    for (size_t i = 0; i < BENCH_HIST_BUCKETS; i++) {
        seen += hist->count[i];
        if (seen > 0 && (double)seen >= wanted) {
            const uint64_t top = hist_top(i);
            return (double)(top < hist->most ? top : hist->most);
        }
    }
    return (double)hist->most;
}

/* ---- output ----------------------------------------------------------------------------------- */

#define CELLS_MAX 16

static struct {
    char section[64];
    bool headed;
    int n;
    struct {
        const char *name;
        char text[96];
        bool is_number;
    } cell[CELLS_MAX];
} row;

void bench_table(const char *section, const char *format, ...)
{
    va_list args;

    snprintf(row.section, sizeof(row.section), "%s", section);
    row.headed = false;
    if (bench.json)
        return;
    printf("\n%s: ", section);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static char *cell_new(const char *name, bool is_number)
{
    if (row.n == CELLS_MAX)
        bench_die("a row with too many cells");
    row.cell[row.n].name = name;
    row.cell[row.n].is_number = is_number;
    return row.cell[row.n++].text;
}

void bench_text(const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(cell_new(name, false), sizeof(row.cell[0].text), format, args);
    va_end(args);
}

void bench_number(const char *name, int decimals, double value)
{
    char *text = cell_new(name, true);

    if (isnan(value))
        strcpy(text, bench.json ? "null" : "-");
    else
        snprintf(text, sizeof(row.cell[0].text), "%.*f", decimals, value);
}

static int cell_width(int i)
{
    const int name = (int)strlen(row.cell[i].name) + 2;

    if (i == 0)
        return 44;
    return name > 9 ? name : 9;
}

void bench_end_row(void)
{
    if (bench.json) {
        printf("{\"section\": \"%s\"", row.section);
        for (int i = 0; i < row.n; i++)
            printf(row.cell[i].is_number ? ", \"%s\": %s" : ", \"%s\": \"%s\"", row.cell[i].name,
                   row.cell[i].text);
        printf("}\n");
        row.n = 0;
        return;
    }
    for (int i = 0; i < row.n && !row.headed; i++)
        printf(i == 0 ? "%-*s" : "%*s", cell_width(i), row.cell[i].name);
    if (!row.headed)
        printf("\n");
    row.headed = true;
    for (int i = 0; i < row.n; i++)
        printf(i == 0 ? "%-*s" : "%*s", cell_width(i), row.cell[i].text);
    printf("\n");
    row.n = 0;
}

void bench_note(const char *format, ...)
{
    va_list args;

    if (bench.json)
        return;
    va_start(args, format);
    printf("  ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- memory and files ------------------------------------------------------------------------- */

static void *map_or_die(size_t size, int flags, int fd)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (base == MAP_FAILED)
        bench_die("mmap of %zu bytes: %s", size, strerror(errno));
    return base;
}

void *bench_shared(size_t size)
{
    return map_or_die(size, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1);
}

uint8_t *bench_private(size_t size, bool in_place)
{
    uint8_t *base = map_or_die(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (in_place)
        bench_sys(madvise(base, size, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    return base;
}

void bench_unmap(void *base, size_t size)
{
    bench_sys(munmap(base, size), "munmap");
}

uint8_t *bench_file(size_t size, bool in_place, int *fd_out)
{
    char path[256];
    uint8_t *base;
    int fd;

    snprintf(path, sizeof(path), "%s/seglog-bench-file-XXXXXX", bench.dir);
    fd = (int)bench_sys(mkstemp(path), path);
    bench_sys(unlink(path), "unlink");
    errno = posix_fallocate(fd, 0, (off_t)size);
    bench_sys(errno ? -1 : 0, "posix_fallocate");
    base = map_or_die(size, MAP_SHARED, fd);
    if (in_place)
        bench_sys(madvise(base, size, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
    if (fd_out)
        *fd_out = fd;
    else
        close(fd);
    return base;
}

void bench_cool(void)
{
    static const size_t size = (size_t)64 << 20;
    static uint64_t *memory;
    static volatile uint64_t sink;

    if (!memory) {
        memory = (uint64_t *)(void *)bench_private(size, true);
        memset(memory, 1, size);
    }
    sink = sink + bench_sum(memory, size);
}

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
