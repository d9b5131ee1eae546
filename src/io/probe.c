/*
 * What the kernel offers: is there an io_uring for this process, with all that we need?
 *
 * Asking beats knowing: it is forbidden by a sysctl (EPERM), by a container's system call filter
 * (EPERM, or ENOSYS), absent (ENOSYS), or there and too old. So a small ring is set up and asked.
 */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/file.h"

/* The first bytes of a small file of the kernel's, as a number. -1: there is none. */
static int32_t proc_number(const char *path)
{
    const int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
    char text[16] = {0};
    ssize_t got;

    if (fd < 0)
        return -1;
    got = read(fd, text, sizeof(text) - 1);
    file_close(fd);
    return got > 0 ? (int32_t)strtol(text, NULL, 10) : -1;
}

static const struct {
    int op;
    const char *name;
} needed_ops[] = {
    {IORING_OP_NOP, "NOP"},
    {IORING_OP_FSYNC, "FSYNC"},
    {IORING_OP_READ, "READ"},
    {IORING_OP_WRITE, "WRITE"},
    {IORING_OP_FALLOCATE, "FALLOCATE"},
    {IORING_OP_FADVISE, "FADVISE"},
    {IORING_OP_MADVISE, "MADVISE"},
    {IORING_OP_RENAMEAT, "RENAMEAT"},
    {IORING_OP_UNLINKAT, "UNLINKAT"},
};

static const struct {
    unsigned bit;
    const char *name;
} needed_features[] = {
    {IORING_FEAT_NODROP, "FEAT_NODROP"},   /* no completion is ever lost */
    {IORING_FEAT_EXT_ARG, "FEAT_EXT_ARG"}, /* waiting with a time-out touches no submission queue */
};

/* Name what a ring lacks. */
static int probe_ring(struct io_uring *ring, char missing[32])
{
    struct io_uring_probe *probe;
    int rc = 0;

    for (size_t i = 0; i < sizeof(needed_features) / sizeof(needed_features[0]) && rc == 0; i++) {
        if (!(ring->features & needed_features[i].bit)) {
            snprintf(missing, 32, "%s", needed_features[i].name);
            rc = -EOPNOTSUPP;
        }
    }
    probe = io_uring_get_probe_ring(ring);
    if (!probe && rc == 0) {
        snprintf(missing, 32, "REGISTER_PROBE");
        rc = -EOPNOTSUPP;
    }
    for (size_t i = 0; i < sizeof(needed_ops) / sizeof(needed_ops[0]) && rc == 0; i++) {
        if (!io_uring_opcode_supported(probe, needed_ops[i].op)) {
            snprintf(missing, 32, "%s", needed_ops[i].name);
            rc = -EOPNOTSUPP;
        }
    }
    free(probe);
    return rc;
}

static void explain(struct io_facts *facts)
{
    char *out = facts->reason;

    switch (facts->status) {
    case 0:
        break;
    case -EPERM:
        if (facts->disabled > 0)
            snprintf(out, IO_REASON_BYTES, "forbidden: kernel.io_uring_disabled is %d",
                     (int)facts->disabled);
        else
            snprintf(out, IO_REASON_BYTES,
                     "forbidden by a system call filter (many containers have one)");
        break;
    case -ENOSYS:
        snprintf(out, IO_REASON_BYTES, "this kernel, or its system call filter, has none");
        break;
    case -EOPNOTSUPP:
        snprintf(out, IO_REASON_BYTES, "the kernel is too old: its io_uring lacks %s",
                 facts->missing);
        break;
    default:
        snprintf(out, IO_REASON_BYTES, "the kernel gives none: %s",
                 strerrordesc_np(-facts->status));
        break;
    }
}

void io_probe(struct io_facts *out)
{
    struct io_facts facts = {.disabled = proc_number("/proc/sys/kernel/io_uring_disabled")};
    struct io_uring ring;

    facts.status = io_uring_queue_init(2, &ring, 0);
    if (facts.status == 0) {
        facts.status = probe_ring(&ring, facts.missing);
        io_uring_queue_exit(&ring);
    }
    explain(&facts);
    *out = facts;
}

int io_choice_of_environment(void)
{
    const char *said = secure_getenv("SEGLOG_IO");

    if (!said || !*said || strcmp(said, "auto") == 0)
        return IO_AUTO;
    if (strcmp(said, "uring") == 0)
        return IO_URING;
    if (strcmp(said, "threads") == 0)
        return IO_THREADS;
    return -EINVAL;
}

int io_choice_here(const struct io_facts *facts)
{
    const int wanted = io_choice_of_environment();

    if (wanted < 0 || wanted == IO_THREADS)
        return wanted;
    if (facts->status == 0)
        return IO_URING;
    return wanted == IO_URING ? facts->status : IO_THREADS;
}
