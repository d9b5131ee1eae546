/*
 * A flight recorder: messages go into a ring that overwrites its oldest, which costs next to nothing;
 * when something has happened, what led up to it is looked at, and nobody is disturbed.
 *
 * usage: ring_recorder PATH
 */
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct seglog_ring_options options = {
        .size = 4096, .kind = SEGLOG_RING_MPSC, .overload = SEGLOG_OVERLOAD_OVERWRITE};
    const struct seglog_consumer_options observe = {.flags = SEGLOG_CONSUMER_OBSERVE};
    const char *path = argc > 1 ? argv[1] : "/dev/shm/recorder";
    struct seglog_ring *ring;
    struct seglog_ring_info info;
    struct seglog_producer *producer;
    struct seglog_consumer *observer;
    struct seglog_view view;

    must(seglog_ring_create(path, &options), path);
    must(seglog_ring_open(path, 0, &ring), path);
    must(seglog_producer_open(ring, NULL, &producer), "producer");
    for (int i = 0; i < 1000; i++) {
        struct seglog_claim claim;

        /* Written in place, with room for the longest line. */
        must(seglog_producer_claim(producer, 40, &claim, 0), "claim");
        const int n = snprintf(claim.data, claim.len, "step %d of many", i);
        must(seglog_producer_commit(producer, &claim, (size_t)n), "commit");
    }

    must(seglog_ring_inspect(ring, &info), "inspect");
    printf("%" PRIu64 " messages kept, %" PRIu64 " gave way; the last three:\n", info.records,
           info.overwritten);
    must(seglog_consumer_open(ring, &observe, &observer), "observer");
    for (uint64_t i = 0; seglog_consumer_next(observer, &view) == 0; i++) {
        if (i + 3 >= info.records)
            printf("  %" PRIu64 ": %.*s\n", view.seq, (int)view.len, (const char *)view.data);
        seglog_consumer_release(observer);
    }
    must(seglog_consumer_close(observer), "close");
    must(seglog_producer_close(producer), "close");
    must(seglog_ring_close(ring), "close");
    must(seglog_ring_remove(path, 0), path);
    return 0;
}
