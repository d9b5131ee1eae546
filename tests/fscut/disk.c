/*
 * The disk: see disk.h. The FUSE protocol is spoken without a library: a directory with one file needs
 * ten of its requests. The server touches no file system while it serves, so that it waits for nobody
 * who might wait for it; when it dies, the kernel fails all that is asked of the disk.
 */
#include "fscut/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODE_FILE 2u
#define WRITE_MAX (128u << 10)
#define FLUSHES   8u /* under way at once */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* A flush that was asked for and is not answered yet. */
struct waiting {
    uint64_t unique, asked, due_ns; /* asked: the stamp */
};

struct server {
    struct tape *tape;
    uint8_t *now; /* what who uses the disk sees */
    int fuse;
    uint64_t flush_ns; /* how long a flush takes; writes go on meanwhile */
    struct waiting waiting[FLUSHES];
    size_t count;
};

/* ---- what is written ------------------------------------------------------------------------ */

/* Before the answer goes out: who learns that it was done finds it on the tape. */
static void take_down(struct tape *t, struct tape_event event, const void *bytes)
{
    const uint64_t n = tape_stamp(t);
    const uint32_t len = event.len;

    if (atomic_load(&t->full))
        return;
    if (n == TAPE_EVENTS || t->used + len > TAPE_DATA) {
        atomic_store(&t->full, 1);
        atomic_store(&t->stop, 1);
        return;
    }
    if (event.kind == TAPE_WRITE) {
        event.at = t->used;
        memcpy(t->data + t->used, bytes, len);
    }
    t->events[n] = event;
    t->used += len;
    atomic_store(&t->stamp, n + 1);
    if (n > TAPE_EVENTS / 4 * 3 || t->used > TAPE_DATA / 4 * 3)
        atomic_store(&t->stop, 1);
}

/* ---- the protocol --------------------------------------------------------------------------- */

static void answer(const struct server *s, uint64_t unique, int error, const void *body, size_t len)
{
    static uint8_t out[sizeof(struct fuse_out_header) + WRITE_MAX];
    const struct fuse_out_header header = {
        .len = (uint32_t)(sizeof(header) + len), .error = error, .unique = unique};

    memcpy(out, &header, sizeof(header));
    if (len)
        memcpy(out + sizeof(header), body, len);
    if (write(s->fuse, out, header.len) < 0 && errno == ENODEV)
        _exit(0);
}

static struct fuse_attr attributes(const struct server *s, uint64_t node)
{
    if (node == FUSE_ROOT_ID)
        return (struct fuse_attr){.ino = 1, .mode = S_IFDIR | 0700, .nlink = 2};
    return (struct fuse_attr){.ino = node,
                              .size = s->tape->disk_size,
                              .blocks = s->tape->disk_size / 512,
                              .mode = S_IFREG | 0600,
                              .nlink = 1,
                              .blksize = TAPE_BLOCK};
}

static void handle_init(const struct server *s, const struct fuse_in_header *in)
{
    const struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                      .minor = 31,
                                      .flags = FUSE_BIG_WRITES,
                                      .max_background = 16,
                                      .congestion_threshold = 12,
                                      .max_write = WRITE_MAX};

    answer(s, in->unique, 0, &out, sizeof(out));
}

static void handle_lookup(const struct server *s, const struct fuse_in_header *in, const char *name)
{
    const struct fuse_entry_out out = {
        .nodeid = NODE_FILE, .attr_valid = 3600, .attr = attributes(s, NODE_FILE)};

    if (strcmp(name, "disk") == 0)
        answer(s, in->unique, 0, &out, sizeof(out));
    else
        answer(s, in->unique, -ENOENT, NULL, 0);
}

static void handle_read(const struct server *s, const struct fuse_in_header *in,
                        const struct fuse_read_in *read)
{
    const uint64_t size = s->tape->disk_size;
    uint64_t len = read->size < WRITE_MAX ? read->size : WRITE_MAX;

    if (read->offset >= size)
        len = 0;
    else if (len > size - read->offset)
        len = size - read->offset;
    answer(s, in->unique, 0, s->now + (len ? read->offset : 0), len);
}

static void handle_write(const struct server *s, const struct fuse_in_header *in,
                         const struct fuse_write_in *write)
{
    const struct fuse_write_out out = {.size = write->size};
    const uint64_t size = s->tape->disk_size;

    if (write->offset > size || write->size > size - write->offset) {
        answer(s, in->unique, -ENOSPC, NULL, 0);
        return;
    }
    memcpy(s->now + write->offset, write + 1, write->size);
    take_down(s->tape,
              (struct tape_event){.kind = TAPE_WRITE, .offset = write->offset, .len = write->size},
              write + 1);
    answer(s, in->unique, 0, &out, sizeof(out));
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void answer_flush(const struct server *s, const struct waiting *w)
{
    take_down(s->tape, (struct tape_event){.kind = TAPE_FLUSH, .at = w->asked}, NULL);
    answer(s, w->unique, 0, NULL, 0);
}

/* Flushes end in the order in which they began. */
static void answer_flushes(struct server *s, size_t most, uint64_t now)
{
    while (s->count > 0 && (s->count > most || s->waiting[0].due_ns <= now)) {
        answer_flush(s, &s->waiting[0]);
        s->count--;
        memmove(&s->waiting[0], &s->waiting[1], s->count * sizeof(s->waiting[0]));
    }
}

static void handle_fsync(struct server *s, const struct fuse_in_header *in)
{
    answer_flushes(s, FLUSHES - 1, 0);
    s->waiting[s->count++] = (struct waiting){
        .unique = in->unique, .asked = tape_stamp(s->tape), .due_ns = now_ns() + s->flush_ns};
}

static void handle(struct server *s, const struct fuse_in_header *in)
{
    const void *body = in + 1;

    switch (in->opcode) {
    case FUSE_INIT:
        handle_init(s, in);
        break;
    case FUSE_LOOKUP:
        handle_lookup(s, in, body);
        break;
    case FUSE_GETATTR: {
        const struct fuse_attr_out out = {.attr_valid = 3600, .attr = attributes(s, in->nodeid)};

        answer(s, in->unique, 0, &out, sizeof(out));
        break;
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
        const struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};

        answer(s, in->unique, 0, &out, sizeof(out));
        break;
    }
    case FUSE_READ:
        handle_read(s, in, body);
        break;
    case FUSE_WRITE:
        handle_write(s, in, body);
        break;
    case FUSE_FSYNC:
        handle_fsync(s, in);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        answer(s, in->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* have no answer */
    default:
        answer(s, in->unique, -ENOSYS, NULL, 0);
    }
}

/* Wait for a request, or until a flush is due. */
static void wait_request(const struct server *s)
{
    struct pollfd fuse = {.fd = s->fuse, .events = POLLIN};
    const uint64_t now = s->count > 0 ? now_ns() : 0;
    const uint64_t left =
        s->count > 0 && s->waiting[0].due_ns > now ? s->waiting[0].due_ns - now : 0;
    const struct timespec timeout = {.tv_nsec = (long)left}; /* far below a second */

    (void)ppoll(&fuse, 1, s->count > 0 ? &timeout : NULL, NULL);
}

/*
 * Have no part in the mounts that lie on the disk. Whoever ends as the last in a mount namespace unmounts
 * what is in it, and does so before the kernel closes its descriptors: the server would wait for itself,
 * for ever, and so would every sync(2) of the machine.
 */
static void leave_mounts(const char *at)
{
    if (unshare(CLONE_NEWNS) < 0 || umount2(at, MNT_DETACH) < 0)
        _exit(1);
}

static _Noreturn void serve(struct server *s, const char *at)
{
    static uint8_t in[FUSE_MIN_READ_BUFFER + WRITE_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    leave_mounts(at);
    signal(SIGINT, SIG_IGN); /* of a terminal: who started it ends first, and then this does */
    signal(SIGTERM, SIG_IGN);
    /* Memory that it asks for must not be got by writing to the disk that it is. */
    (void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    for (;;) {
        ssize_t n;

        wait_request(s);
        n = read(s->fuse, in, sizeof(in));
        if (n >= (ssize_t)sizeof(struct fuse_in_header))
            handle(s, (struct fuse_in_header *)(void *)in);
        else if (n >= 0 || (errno != EINTR && errno != ENOENT && errno != EAGAIN))
            _exit(0);
        answer_flushes(s, FLUSHES, s->count > 0 ? now_ns() : 0);
    }
}

/* ---- the device ----------------------------------------------------------------------------- */

int disk_loop(const char *file, char device[DISK_PATH], int *fd)
{
    struct loop_config config = {.fd = (uint32_t)open(file, O_RDWR | O_CLOEXEC),
                                 .block_size = TAPE_BLOCK,
                                 .info.lo_flags = LO_FLAGS_AUTOCLEAR};
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int rc = -EBUSY;

    *fd = -1;
    if ((int)config.fd < 0 || control < 0)
        rc = -errno;
    for (int i = 0; i < 50 && rc == -EBUSY; i++) { /* others look for a free one, too */
        const int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (i > 0)
            usleep(20000);
        if (number < 0) {
            rc = -errno;
            break;
        }
        snprintf(device, DISK_PATH, "/dev/loop%d", number);
        *fd = open(device, O_RDWR | O_CLOEXEC);
        rc = *fd < 0 ? -errno : ioctl(*fd, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
        if (rc < 0 && *fd >= 0)
            close(*fd);
    }
    if (rc < 0)
        *fd = -1;
    if ((int)config.fd >= 0)
        close((int)config.fd);
    if (control >= 0)
        close(control);
    return rc;
}

/* A view of the disk that is written to without changing what it was at the beginning. */
static uint8_t *map_now(const char *tape)
{
    const int fd = open(tape, O_RDONLY | O_CLOEXEC);
    void *now = fd < 0 ? MAP_FAILED
                       : mmap(NULL, TAPE_DISK, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
                              (off_t)offsetof(struct tape, base));

    if (fd >= 0)
        close(fd);
    return now == MAP_FAILED ? NULL : now;
}

static int start_server(struct tape *t, const char *tape, struct disk *d)
{
    static const uint64_t flush_us[] = {1000, 3000, 200, 8000};
    struct server s = {.tape = t, .now = map_now(tape), .flush_ns = flush_us[t->seed % 4] * 1000};
    char options[128];

    if (!s.now)
        return -errno;
    s.fuse = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (s.fuse < 0)
        return -errno;
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", s.fuse);
    if (mount("seglog-test", d->at, "fuse", MS_NODEV | MS_NOSUID, options) < 0) {
        const int rc = -errno;

        close(s.fuse);
        return rc;
    }
    d->server = fork();
    if (d->server == 0)
        serve(&s, d->at);
    close(s.fuse); /* the server's is the only one: it dies, and the connection is no more */
    munmap(s.now, TAPE_DISK);
    return d->server < 0 ? -EAGAIN : 0;
}

int disk_open(struct tape *t, const char *tape, const char *at, struct disk *out)
{
    char path[600];
    int rc;

    *out = (struct disk){.server = -1, .loop = -1};
    snprintf(out->at, sizeof(out->at), "%s", at);
    rc = start_server(t, tape, out);
    if (rc < 0)
        return rc;
    snprintf(path, sizeof(path), "%s/disk", at);
    return disk_loop(path, out->device, &out->loop);
}

void disk_let_go(struct disk *d)
{
    if (d->loop >= 0)
        close(d->loop);
    d->loop = -1;
}

void disk_close(struct disk *d)
{
    disk_let_go(d);
    (void)umount2(d->at, MNT_DETACH);
    if (d->server > 0) {
        kill(d->server, SIGKILL);
        waitpid(d->server, NULL, 0);
    }
    d->server = -1;
}

/* ---- images --------------------------------------------------------------------------------- */

static void copy_base(const struct tape *t, uint8_t *image)
{
    for (uint64_t i = 0; i < t->disk_size / TAPE_BLOCK; i++)
        if (t->base_used[i])
            memcpy(image + i * TAPE_BLOCK, t->base + i * TAPE_BLOCK, TAPE_BLOCK);
}

static void copy_write(const struct tape *t, const struct tape_event *e, uint8_t *image)
{
    memcpy(image + e->offset, t->data + e->at, e->len);
}

/* One write that no flush has followed: lost, whole, or some of its blocks. */
static void survive(const struct tape *t, const struct tape_event *e, uint64_t percent,
                    struct dice *dice, uint8_t *image, struct disk_counts *counts)
{
    const bool torn = e->len > TAPE_BLOCK && dice_below(dice, 8) == 0;

    counts->undecided++;
    if (!torn && dice_below(dice, 100) >= percent) {
        counts->lost++;
        return;
    }
    if (!torn) {
        copy_write(t, e, image);
        return;
    }
    counts->torn++;
    for (uint32_t at = 0; at < e->len; at += TAPE_BLOCK)
        if (dice_below(dice, 2))
            memcpy(image + e->offset + at, t->data + e->at + at,
                   e->len - at < TAPE_BLOCK ? e->len - at : TAPE_BLOCK);
}

uint64_t disk_flushed(const struct tape *t, uint64_t cut)
{
    while (cut > 0 && t->events[cut - 1].kind != TAPE_FLUSH)
        cut--;
    return cut > 0 ? t->events[cut - 1].at : 0;
}

int disk_image(const struct tape *t, uint64_t cut, struct dice *dice, const char *to,
               struct disk_counts *counts)
{
    static const uint64_t edges[] = {0, 100, 50, 90};
    const uint64_t percent =
        dice_below(dice, 2) ? edges[dice_below(dice, 4)] : dice_below(dice, 101);
    const int fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const uint64_t flushed = disk_flushed(t, cut);
    uint8_t *image;

    if (fd < 0 || ftruncate(fd, (off_t)t->disk_size) < 0)
        return -errno;
    image = mmap(NULL, t->disk_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (image == MAP_FAILED)
        return -errno;
    copy_base(t, image);
    for (uint64_t i = 0; i < flushed; i++)
        if (t->events[i].kind == TAPE_WRITE)
            copy_write(t, &t->events[i], image);
    for (uint64_t i = flushed; i < cut; i++)
        if (t->events[i].kind == TAPE_WRITE)
            survive(t, &t->events[i], percent, dice, image, counts);
    munmap(image, t->disk_size);
    return 0;
}
