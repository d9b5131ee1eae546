/*
 * A queue between two processes: the child sends a line, the parent prints it. The second example of
 * README.md.
 */
#include <seglog/seglog.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int send_line(const char *path, const char *line, size_t len)
{
    struct seglog_ring *ring = NULL;
    struct seglog_producer *producer = NULL;
    int rc = seglog_ring_open(path, 0, &ring);

    if (rc == 0)
        rc = seglog_producer_open(ring, NULL, &producer);
    if (rc == 0)
        rc = seglog_producer_put(producer, line, len, UINT64_MAX); /* waits if there is no room */
    seglog_producer_close(producer);
    seglog_ring_close(ring);
    return rc;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/dev/shm/queue";
    struct seglog_ring *ring = NULL;
    struct seglog_consumer *consumer = NULL;
    struct seglog_view view;
    int rc = seglog_ring_create(path, NULL);

    if (rc == 0 && fork() == 0)
        return send_line(path, "hello", 5) < 0;
    if (rc == 0)
        rc = seglog_ring_open(path, 0, &ring);
    if (rc == 0)
        rc = seglog_consumer_open(ring, NULL, &consumer);
    if (rc == 0)
        rc = seglog_consumer_wait(consumer, 60 * UINT64_C(1000000000));
    if (rc == 0)
        rc = seglog_consumer_next(consumer, &view);
    if (rc == 0)
        printf("%.*s\n", (int)view.len, (const char *)view.data); /* where it lies in the ring */
    seglog_consumer_close(consumer);
    seglog_ring_close(ring);
    if (rc < 0)
        fprintf(stderr, "%s\n", seglog_strerror(rc));
    wait(NULL);
    seglog_ring_remove(path, 0); /* refused while anybody is attached */
    return rc < 0;
}
