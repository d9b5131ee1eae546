/*
 * A ring between two processes: the child puts numbers in, in batches; the parent takes them out where
 * they lie.
 *
 * usage: ring_pipe PATH [COUNT]
 */
#include <errno.h>
#include <inttypes.h>
#include <seglog/seglog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 32

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, seglog_strerror(rc));
        exit(1);
    }
}

static void produce(const char *path, uint64_t count)
{
    struct seglog_record records[BATCH];
    uint64_t numbers[BATCH];
    struct seglog_ring *ring;
    struct seglog_producer *producer;

    must(seglog_ring_open(path, 0, &ring), path);
    must(seglog_producer_open(ring, NULL, &producer), "producer");
    for (uint64_t i = 0; i < count;) {
        size_t n = 0;

        for (; n < BATCH && i < count; n++, i++) {
            numbers[n] = i;
            records[n] = (struct seglog_record){.data = &numbers[n], .len = sizeof(numbers[n])};
        }
        /* Waits for as long as there is no room. */
        must(seglog_producer_put_batch(producer, records, n, UINT64_MAX), "put");
    }
    must(seglog_producer_close(producer), "close");
    must(seglog_ring_close(ring), "close");
}

static void consume(struct seglog_ring *ring, uint64_t count)
{
    struct seglog_view views[BATCH];
    struct seglog_consumer *consumer;
    uint64_t sum = 0;

    must(seglog_consumer_open(ring, NULL, &consumer), "consumer");
    for (uint64_t got = 0; got < count;) {
        int n = seglog_consumer_batch(consumer, views, BATCH);

        if (n == -EAGAIN) {
            n = seglog_consumer_wait(consumer, UINT64_MAX);
            if (n != -EINTR)
                must(n, "wait");
            continue;
        }
        must(n, "batch");
        for (int i = 0; i < n; i++) {
            uint64_t number;

            memcpy(&number, views[i].data, sizeof(number));
            sum += number;
        }
        seglog_consumer_release(consumer); /* the room is the producer's again */
        got += (uint64_t)n;
    }
    printf("%" PRIu64 " numbers, sum %" PRIu64 "\n", count, sum);
    must(seglog_consumer_close(consumer), "close");
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/dev/shm/numbers";
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    struct seglog_ring *ring;
    int status;
    pid_t child;

    must(seglog_ring_create(path, NULL), path);
    child = fork();
    if (child < 0)
        must(-errno, "fork");
    if (child == 0) {
        produce(path, count);
        return 0;
    }
    must(seglog_ring_open(path, 0, &ring), path);
    consume(ring, count);
    if (waitpid(child, &status, 0) < 0)
        must(-errno, "waitpid");
    must(seglog_ring_close(ring), "close");
    must(seglog_ring_remove(path, 0), path);
    return status != 0;
}
