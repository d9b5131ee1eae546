/*
 * What rolling to the next segment costs: the latency of appends that come at a steady pace, and the
 * rate of those that come as fast as they can.
 *
 * Each is compared with the same loop where no roll and no fault is, in turn: a segment of the log
 * that rolls, then as many records into a log of one segment whose pages are all in place. The
 * appender is not pinned, since the threads that prepare would be pinned with it. Segments are
 * dropped by a call that is not public yet, so this program alone sees the library's own headers.
 * At a pace, the loop in place is run a second time on pages that were made some seconds before, as
 * those of a spare are, while a thread writes as much to plain files as rolling makes ready: what the
 * machine does to the latency of stores into such memory.
 *
 *   -r   runs of each figure     -s   segments that a run goes through
 */
#include "common.h"

#include "log/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT  ((uint64_t)64 << 20)
#define PAYLOAD  64u
#define PACE_NS  2000u
#define KEPT     2u /* segments behind the active one, where they are dropped */
#define NOINLINE __attribute__((noinline))

/* ---- logs that roll, and one that does not ---------------------------------------------------- */

struct rolling {
    struct bench_log log;
    struct seglog_log *handle;
    struct seglog_appender *appender;
    uint64_t appended;
    bool drops;
    _Atomic bool ends;
    pthread_t dropper;
};

/* Keep KEPT full segments: as retention would, from a thread of its own. */
static void *drop_main(void *context)
{
    struct rolling *r = context;
    int rc = -EBUSY;

    while (!atomic_load(&r->ends)) {
        struct log_segment *active = log_table_active(r->handle);
        const uint64_t number = active->seg->facts.number;
        struct floor_facts floor;

        log_table_put(r->handle, active);
        bench_ok(log_view_floor(&r->handle->view, &floor), "floor");
        rc = number > floor.number + KEPT ? log_drop_oldest(r->handle) : -EBUSY;
        if (rc == -EBUSY)
            bench_sleep(500000);
        else
            bench_ok(rc, "log_drop_oldest");
    }
    return NULL;
}

static void rolling_open(struct rolling *r, uint64_t segment, bool drops)
{
    *r = (struct rolling){.drops = drops};
    bench_log_make(&r->log, segment, SEGLOG_SYNC_NONE);
    r->handle = bench_attach(&r->log, 0);
    r->appender = bench_appender(r->handle, SEGLOG_EXCLUSIVE);
    if (drops && pthread_create(&r->dropper, NULL, drop_main, r) != 0)
        bench_die("pthread_create");
}

static void rolling_close(struct rolling *r)
{
    if (r->drops) {
        atomic_store(&r->ends, true);
        pthread_join(r->dropper, NULL);
    }
    bench_ok(seglog_appender_close(r->appender), "close");
    bench_ok(seglog_log_close(r->handle), "close");
    if (!r->drops)
        bench_verify(&r->log, 1, r->appended, PAYLOAD, 0);
    bench_log_remove(&r->log);
}

/* One segment, all of it in place. */
static void still_open(struct rolling *r)
{
    rolling_open(r, SEGMENT, false);
    bench_in_place(&r->log);
}

/* ---- the loops -------------------------------------------------------------------------------- */

NOINLINE static void append_flat(struct rolling *r, uint64_t n)
{
    struct seglog_record record = {.len = PAYLOAD};

    for (uint64_t i = r->appended, end = i + n; i < end; i++) {
        record.data = bench_payload(i);
        record.time_ns = i + 1;
        bench_ok(seglog_appender_append_record(r->appender, &record, NULL), "append");
    }
    r->appended += n;
}

NOINLINE static void append_paced(struct rolling *r, uint64_t n, struct bench_hist *hist)
{
    struct seglog_record record = {.len = PAYLOAD};
    const double tick_ns = bench_tick_ns();
    const uint64_t step = (uint64_t)(PACE_NS / tick_ns);
    uint64_t due = bench_tick() + step;

    for (uint64_t i = r->appended, end = i + n; i < end; i++, due += step) {
        uint64_t then;

        record.data = bench_payload(i);
        record.time_ns = i + 1;
        while ((then = bench_tick()) < due)
            bench_pause();
        bench_ok(seglog_appender_append_record(r->appender, &record, NULL), "append");
        bench_hist_add(hist, (uint64_t)((double)(bench_tick() - then) * tick_ns));
    }
    r->appended += n;
}

/* ---- a segment's bytes to a plain file -------------------------------------------------------- */

/* The zeros of a segment, written as the preparer writes them. The file stays, without a name, until
 * it is closed, so that it is written back as the segments that are kept are. */
static void *plain_main(void *context)
{
    static char zeros[1 << 20];
    int *fd = context;
    char path[512];

    snprintf(path, sizeof(path), "%s/seglog-bench-plain-XXXXXX", bench.dir);
    *fd = (int)bench_sys(mkstemp(path), path);
    bench_sys(unlink(path), path);
    for (uint64_t done = 0; done < SEGMENT; done += sizeof(zeros))
        if (write(*fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros))
            bench_die("%s: %s", path, strerror(errno));
    return NULL;
}

/* ---- at a pace -------------------------------------------------------------------------------- */

enum { ROLLS, PLACE, AGED, KINDS };

static void paced_still(struct bench_hist *hist)
{
    struct rolling still;

    still_open(&still);
    append_paced(&still, bench_records(SEGMENT, PAYLOAD), hist);
    rolling_close(&still);
}

/* Its pages have been there as long as those of a spare, and the disk is as busy. */
static void paced_aged(struct rolling *aged, struct bench_hist *hist, int *fd)
{
    pthread_t writer;

    if (pthread_create(&writer, NULL, plain_main, fd) != 0)
        bench_die("pthread_create");
    append_paced(aged, bench_records(SEGMENT, PAYLOAD), hist);
    pthread_join(writer, NULL);
    rolling_close(aged);
}

static void paced_run(struct bench_hist hists[KINDS], bool drops)
{
    const uint64_t n = bench_records(SEGMENT, PAYLOAD);
    int *fds = calloc(bench.segments, sizeof(*fds));
    struct rolling rolls, aged;

    if (!fds)
        bench_die("calloc");
    rolling_open(&rolls, SEGMENT, drops);
    append_flat(&rolls, n / 2); /* so that each roll comes in the middle */
    bench_sleep(200000000);     /* what is prepared for a log that gets busy is prepared by then */
    for (unsigned i = 0; i < bench.segments; i++) {
        still_open(&aged);
        append_paced(&rolls, n, &hists[ROLLS]);
        paced_still(&hists[PLACE]);
        paced_aged(&aged, &hists[AGED], &fds[i]);
        if (drops)
            close(fds[i]);
    }
    for (unsigned i = 0; i < bench.segments && !drops; i++)
        close(fds[i]);
    free(fds);
    rolling_close(&rolls);
}

static void paced(const char *section, bool drops)
{
    static const double parts[] = {0.5, 0.99, 0.999, 0.9999};
    static const char *const names[] = {"p50", "p99", "p99.9", "p99.99"};
    static struct bench_hist hists[KINDS], run[KINDS];
    struct bench_series most[KINDS] = {0};

    bench_table(section,
                "appends of %u bytes, %u a second, through %u segments of 64 MiB, ns, %d runs "
                "together; max: the median of the runs' maxima",
                PAYLOAD, 1000000000u / PACE_NS, bench.segments, bench.rounds);
    memset(hists, 0, sizeof(hists));
    for (int round = 0; round < bench.rounds; round++) {
        memset(run, 0, sizeof(run));
        paced_run(run, drops);
        for (int k = 0; k < KINDS; k++) {
            bench_add(&most[k], (double)run[k].most);
            for (size_t b = 0; b < BENCH_HIST_BUCKETS; b++)
                hists[k].count[b] += run[k].count[b];
            hists[k].n += run[k].n;
            if (run[k].most > hists[k].most)
                hists[k].most = run[k].most;
        }
    }
    for (int k = 0; k < KINDS; k++) {
        bench_text("contender", "%s",
                   k == PLACE  ? "floor: pages in place, no roll"
                   : k == AGED ? "floor: the same, made before, files written"
                   : drops     ? "rolling, segments dropped and recycled"
                               : "rolling, all kept");
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            bench_number(names[i], 0, bench_hist_at(&hists[k], parts[i]));
        bench_number("max", 0, bench_median(&most[k]));
        bench_number("p99.99/", 2,
                     bench_hist_at(&hists[k], 0.9999) / bench_hist_at(&hists[PLACE], 0.9999));
        bench_number("max/", 2, bench_ratio(&most[k], &most[PLACE]));
        bench_end_row();
    }
}

/* ---- as fast as it goes ----------------------------------------------------------------------- */

/* Records a second, in millions. */
static double flat_rolling(bool drops)
{
    const uint64_t n = bench_records(SEGMENT, PAYLOAD);
    const unsigned before = drops ? 3 * KEPT : 0; /* until there is something to recycle */
    struct rolling r;
    uint64_t start, ns;

    rolling_open(&r, SEGMENT, drops);
    append_flat(&r, n * before + n / 8);
    start = bench_now();
    append_flat(&r, n * bench.segments);
    ns = bench_now() - start;
    rolling_close(&r);
    return (double)(n * bench.segments) * 1e3 / (double)ns;
}

static double flat_in_place(void)
{
    const uint64_t n = bench_records(SEGMENT, PAYLOAD);
    uint64_t ns = 0;

    for (unsigned i = 0; i < bench.segments; i++) {
        struct rolling r;
        uint64_t start;

        still_open(&r);
        start = bench_now();
        append_flat(&r, n);
        ns += bench_now() - start;
        rolling_close(&r);
    }
    return (double)(n * bench.segments) * 1e3 / (double)ns;
}

/* What the preparing thread makes when nobody uses it: as records that fit. */
static double flat_preparing(void)
{
    const uint64_t n = bench_records(SEGMENT, PAYLOAD);
    uint64_t start, ns;
    struct rolling r;

    rolling_open(&r, SEGMENT, false);
    start = bench_now();
    for (unsigned i = 0; i < bench.segments; i++) {
        const struct prepare_order order = log_prepare_order(r.handle, 1 + i, true);
        struct segment *seg;

        bench_ok(segment_prepare(r.handle->view.dirfd, &order, &seg), "segment_prepare");
        segment_close(seg);
    }
    ns = bench_now() - start;
    rolling_close(&r);
    return (double)(n * bench.segments) * 1e3 / (double)ns;
}

static void flat(const char *section)
{
    static const char *const names[] = {
        "floor: pages in place, no roll",
        "rolling, segments dropped and recycled",
        "floor: preparing alone",
        "rolling, all kept",
    };
    struct bench_series rates[4] = {0};

    bench_table(section,
                "one producer as fast as it goes, records of %u bytes, %u segments of 64 MiB, "
                "millions of records a second, %d runs",
                PAYLOAD, bench.segments, bench.rounds);
    for (int round = 0; round < bench.rounds; round++) {
        bench_add(&rates[0], flat_in_place());
        bench_add(&rates[1], flat_rolling(true));
        bench_add(&rates[2], flat_preparing());
        bench_add(&rates[3], flat_rolling(false));
    }
    for (int i = 0; i < 4; i++) {
        bench_text("contender", "%s", names[i]);
        bench_number("M/s", 1, bench_median(&rates[i]));
        bench_number("least", 1, bench_least(&rates[i]));
        bench_number("most", 1, bench_most(&rates[i]));
        bench_number("/floor", 2, bench_ratio(&rates[i], &rates[i / 2 * 2]));
        bench_end_row();
    }
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "flat paced dropped");
    if (bench_wants("flat"))
        flat("flat");
    if (bench_wants("paced"))
        paced("paced", false);
    if (bench_wants("dropped"))
        paced("dropped", true);
    return 0;
}
