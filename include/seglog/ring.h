/*
 * A ring: a bounded queue of messages of any size between processes, in one mapped file.
 *
 * A `seglog_ring` is one process's attachment; a `seglog_producer` puts messages in, a
 * `seglog_consumer` takes them out. The memory is used again and again, so what no consumer has
 * taken yet may be in the way of a producer; what happens then was chosen when the ring was made.
 * There is no server, and a process may be killed at any instant: whoever is kept waiting by it
 * cleans up.
 *
 * Producers and consumers are each used by one thread at a time; a `seglog_ring` by any number.
 *
 * fork(): a handle made before fork() fails in the child with SEGLOG_EFORKED; closing it there
 * frees its memory and touches nothing shared.
 */
#ifndef SEGLOG_RING_H
#define SEGLOG_RING_H

#include <seglog/log.h>
#include <seglog/reader.h>
#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct seglog_ring;
struct seglog_producer;
struct seglog_consumer;

enum seglog_ring_kind {
    SEGLOG_RING_SPSC = 0,  /* one producer, one consumer: no read-modify-write on either side */
    SEGLOG_RING_MPSC,      /* many producers, one consumer: one order for all */
    SEGLOG_RING_BROADCAST, /* one producer, many consumers: each gets every message */
    SEGLOG_RING_WORK,      /* many producers, many consumers: each message goes to one of them */
};

/* What happens to a message for which there is no room. */
enum seglog_overload {
    SEGLOG_OVERLOAD_WAIT = 0,  /* its producer waits for the consumer (of broadcast: the slowest) */
    SEGLOG_OVERLOAD_DROP,      /* it is dropped, and counted */
    SEGLOG_OVERLOAD_OVERWRITE, /* the oldest messages give way; a consumer that was too slow is told
                                  how much it lost. Not with SEGLOG_RING_WORK: what a consumer
                                  works on could be written over, or be handed out and lost both */
};

#define SEGLOG_RING_SIZE_MIN     (UINT64_C(4) << 10)
#define SEGLOG_RING_SIZE_DEFAULT (UINT64_C(1) << 20)
#define SEGLOG_RING_SIZE_MAX     (UINT64_C(1) << 30)

/* Producers and consumers together that may be attached to one ring at once. */
#define SEGLOG_RING_PLACES 256u

/* Messages in one batch, and in one call of seglog_consumer_batch(). */
#define SEGLOG_RING_BATCH_MAX 4096u

/* Bits of flags for opening. */
#define SEGLOG_RING_READ_ONLY \
    (1u << 0) /* only look: needs no permission to write, changes nothing */
#define SEGLOG_RING_FORCE_FS (1u << 1) /* accept a network or FUSE file system */

/* How to make a ring. All zero: one to one, waiting, 1 MiB. */
struct seglog_ring_options {
    uint64_t size;     /* bytes for messages; a power of two, whole pages (on hugetlbfs: whole huge
                          pages), 4 KiB to 1 GiB; 0: 1 MiB, on hugetlbfs at least one page */
    uint32_t kind;     /* enum seglog_ring_kind */
    uint32_t overload; /* enum seglog_overload */
    uint32_t mode;     /* permission bits of the file; 0: 0640 */
    uint32_t flags;    /* SEGLOG_RING_FORCE_FS */
};

/*
 * Make a ring in a new file: in /dev/shm, on a hugetlbfs mount, or anywhere on a local file system.
 * Room for all of it is reserved now. Atomic: the file has its name when it is whole.
 *
 * path     nothing may be there; its directory must exist
 * options  may be NULL
 * returns  0
 *          -EEXIST           something has that name
 *          -EINVAL           size, kind, overload, mode or flags out of range; or a pair of kind and
 *                            overload that makes no sense (see enum seglog_overload)
 *          SEGLOG_EFS        a network or FUSE file system, and not forced
 *          -ENOSPC, -EACCES, -EROFS, -ENOENT, -ENOTDIR, -ENOMEM ... as the system says
 * threads  any; blocks on the file system
 */
SEGLOG_API int seglog_ring_create(const char *path, const struct seglog_ring_options *options);

/*
 * Make a ring in memory that has no name, to be handed to others over a socket (SCM_RIGHTS) or by
 * inheritance. Nobody can change its size.
 *
 * returns  a descriptor for seglog_ring_open_fd(), close-on-exec, which belongs to the caller; or
 *          as seglog_ring_create()
 */
SEGLOG_API int seglog_ring_create_memfd(const struct seglog_ring_options *options);

/*
 * Attach to a ring. A ring that was last used before the machine was started anew, or a copy, is
 * emptied by the first who attaches to it (not with SEGLOG_RING_READ_ONLY, which shows what is
 * left).
 *
 * flags    SEGLOG_RING_READ_ONLY, SEGLOG_RING_FORCE_FS
 * returns  0; *out belongs to the caller: seglog_ring_close()
 *          -ENOENT           no such file
 *          SEGLOG_ENOTLOG    the file is not a ring
 *          SEGLOG_EVERSION, SEGLOG_EENDIAN    the format is not for this release or machine
 *          SEGLOG_ECORRUPT   the header is damaged, or the file has not the size that it names
 *          SEGLOG_EFS        a network or FUSE file system, and not forced
 *          -EBUSY            another process was at the same for ten seconds
 *          -EINVAL           flags unknown
 *          -EACCES, -ENOMEM, -EMFILE ... as the system says
 * threads  any; blocks on the file system
 */
SEGLOG_API int seglog_ring_open(const char *path, uint32_t flags, struct seglog_ring **out);

/* The same by a descriptor, which stays the caller's and may be closed afterwards. Needs /proc. */
SEGLOG_API int seglog_ring_open_fd(int fd, uint32_t flags, struct seglog_ring **out);

/* Detach. Every producer and consumer of this handle must have been closed (else -EBUSY and nothing
 * happens). ring may be NULL. returns 0 or -EBUSY; blocks never. */
SEGLOG_API int seglog_ring_close(struct seglog_ring *ring);

/*
 * Remove a ring's file. Processes that are attached keep what they have.
 *
 * returns  0; SEGLOG_ENOTLOG: the file is not a ring, and stays; -EBUSY: processes are attached, and
 *          force is 0; -ENOENT, -EACCES ...
 * threads  any
 */
SEGLOG_API int seglog_ring_remove(const char *path, int force);

/* What a ring is and how it stands. Positions count bytes since the ring was made, modulo 2^64. */
struct seglog_ring_info {
    uint64_t size; /* bytes for messages */
    uint64_t
        max_message;     /* largest payload, bytes: half of size less 8; 16 less with time or tag */
    uint64_t created_ns; /* wall clock, since the epoch */
    uint64_t head;       /* position of the oldest message that is kept */
    uint64_t tail;       /* position behind the newest */
    uint64_t used;       /* bytes between them, headers included */
    uint64_t records;    /* messages between them */
    uint64_t dropped;    /* messages for which there was no room (DROP) */
    uint64_t overwritten; /* messages that gave way (OVERWRITE), whether or not anybody read them */
    uint32_t kind;        /* enum seglog_ring_kind */
    uint32_t overload;    /* enum seglog_overload */
    uint32_t mode;        /* permission bits */
    uint32_t producers;   /* attached and alive */
    uint32_t consumers;   /* attached and alive */
    uint32_t stale;       /* 1: from another boot or a copy; who attaches for writing empties it */
};

/* Fill *out: a moment's picture of what may be moving. returns 0, SEGLOG_ECORRUPT, SEGLOG_EFORKED;
 * threads any; blocks never. */
SEGLOG_API int seglog_ring_inspect(struct seglog_ring *ring, struct seglog_ring_info *out);

/* ---- producers ------------------------------------------------------------------------------ */

struct seglog_producer_options {
    uint32_t wait;     /* enum seglog_wait: how it waits for room */
    uint32_t reserved; /* zero */
};

/*
 * Take a producer's place. If its process dies, the place is free at once, and what it had claimed
 * and not committed is passed over within 100 ms of somebody needing to.
 *
 * returns  0
 *          -EBUSY            the kind has one producer, and another is attached
 *          -EUSERS           all SEGLOG_RING_PLACES are taken
 *          -EINVAL           wait or reserved unknown
 *          -EACCES           the ring was opened with SEGLOG_RING_READ_ONLY
 *          SEGLOG_ECORRUPT, SEGLOG_EFORKED, -EMFILE, -ENOMEM ...
 * blocks   never for long
 */
SEGLOG_API int seglog_producer_open(struct seglog_ring *ring,
                                    const struct seglog_producer_options *options,
                                    struct seglog_producer **out);

/* Give the place back; an open claim is aborted. producer may be NULL. returns 0. */
SEGLOG_API int seglog_producer_close(struct seglog_producer *producer);

/*
 * Put one message in: copied, published. Consumers in every process see it when this returns.
 *
 * timeout_ns  how long to wait for room: 0 only tries, UINT64_MAX is for ever. A ring that drops or
 *             overwrites does not wait for consumers; what may be waited for there is the claim of
 *             another producer that stands in the way
 * returns  0
 *          -EAGAIN           no room, and timeout_ns is 0
 *          -ETIMEDOUT        no room in that time
 *          -ENOBUFS          dropped, and counted (SEGLOG_OVERLOAD_DROP)
 *          -EMSGSIZE         larger than max_message
 *          -EBUSY            this producer has a claim open
 *          -EINTR            a signal handler ran while waiting; nothing was put in
 *          SEGLOG_ECORRUPT   the shared words are impossible
 *          SEGLOG_EFORKED
 * threads  one at a time for each producer
 * blocks   as long as timeout_ns allows
 */
SEGLOG_API int seglog_producer_put(struct seglog_producer *producer, const void *data, size_t len,
                                   uint64_t timeout_ns);

/* The same with a time and a tag. They take 16 bytes more, unless both are 0. */
SEGLOG_API int seglog_producer_put_record(struct seglog_producer *producer,
                                          const struct seglog_record *record, uint64_t timeout_ns);

/* One message gathered from n pieces. Errors as seglog_producer_put(), and -EINVAL: negative n. */
SEGLOG_API int seglog_producer_putv(struct seglog_producer *producer, const struct iovec *iov,
                                    int n, uint64_t time_ns, uint32_t tag, uint64_t timeout_ns);

/*
 * Put n messages in at once: nobody's come between, consumers see all of them or none.
 *
 * n        1 to SEGLOG_RING_BATCH_MAX; together, with 8 (24 with time or tag) bytes for each and
 *          each rounded up to 8, at most half of the ring, else -EMSGSIZE
 * returns  0, or as seglog_producer_put() and none of them was put in (a batch that is dropped
 *          counts as n)
 */
SEGLOG_API int seglog_producer_put_batch(struct seglog_producer *producer,
                                         const struct seglog_record *records, size_t n,
                                         uint64_t timeout_ns);

/*
 * Put n messages of len bytes each in at once, which lie one behind the other at data: as
 * seglog_producer_put_batch(), for less, because none of them has to be described.
 *
 * data     n * len bytes; may be NULL if len is 0
 * n        1 to SEGLOG_RING_BATCH_MAX; together, with 8 bytes for each and each rounded up to 8, at
 *          most half of the ring, else -EMSGSIZE
 * returns  as seglog_producer_put_batch()
 */
SEGLOG_API int seglog_producer_put_array(struct seglog_producer *producer, const void *data,
                                         size_t len, size_t n, uint64_t timeout_ns);

/*
 * Claim room for one message, to be written in place.
 *
 * The bytes at out->data (8-byte aligned) belong to the caller until commit or abort. Where there
 * are many producers, consumers stop at an open claim, so keep it short. out->time_ns and out->tag
 * are zero; to give them, set them before the commit of a claim made by
 * seglog_producer_claim_stamped(). out->seq is UINT64_MAX: messages of a ring are numbered when
 * they are taken.
 *
 * Errors as seglog_producer_put(); on failure *out is untouched and nothing is claimed.
 */
SEGLOG_API int seglog_producer_claim(struct seglog_producer *producer, size_t len,
                                     struct seglog_claim *out, uint64_t timeout_ns);

/* The same with room for time and tag. */
SEGLOG_API int seglog_producer_claim_stamped(struct seglog_producer *producer, size_t len,
                                             struct seglog_claim *out, uint64_t timeout_ns);

/* Publish the open claim with its first len bytes; the rest is given up.
 * returns 0, -EINVAL (no claim is open, or len is larger than was claimed), SEGLOG_EFORKED. */
SEGLOG_API int seglog_producer_commit(struct seglog_producer *producer,
                                      const struct seglog_claim *claim, size_t len);

/* Give the open claim (or batch) up. returns 0, -EINVAL (none is open), SEGLOG_EFORKED. */
SEGLOG_API int seglog_producer_abort(struct seglog_producer *producer);

/* Claim room for n messages at once, sizes given up front. claims[0..n) are filled. Limits and
 * errors as seglog_producer_put_batch(). */
SEGLOG_API int seglog_producer_claim_batch(struct seglog_producer *producer, const size_t *lens,
                                           size_t n, struct seglog_claim *claims,
                                           uint64_t timeout_ns);

/* Publish the first k messages of the open batch, each at its full length, all at once; the others
 * are given up. k = 0 aborts. Errors as seglog_producer_commit(). */
SEGLOG_API int seglog_producer_commit_batch(struct seglog_producer *producer,
                                            const struct seglog_claim *claims, size_t k);

/*
 * Wait until a message of len bytes would find room.
 *
 * timeout_ns  UINT64_MAX: for ever; 0: only look
 * returns  0 (where there are many producers another one may be faster), -ETIMEDOUT, -EINTR,
 *          -EMSGSIZE, SEGLOG_ECORRUPT, SEGLOG_EFORKED
 * A consumer that has died is passed within 100 ms; a living one is waited for.
 */
SEGLOG_API int seglog_producer_wait(struct seglog_producer *producer, size_t len,
                                    uint64_t timeout_ns);

/* ---- consumers ------------------------------------------------------------------------------ */

/* Bits of seglog_consumer_options.flags. */
#define SEGLOG_CONSUMER_OBSERVE \
    (1u << 0) /* look at what is there, oldest first, and take nothing from anybody: any kind of
                 ring, also SEGLOG_RING_READ_ONLY. Holds nothing back, so it may be too slow */

struct seglog_consumer_options {
    uint32_t wait;  /* enum seglog_wait */
    uint32_t flags; /* SEGLOG_CONSUMER_* */
    uint32_t from;  /* broadcast and observers: SEGLOG_PLACE_FIRST (the oldest message there) or
                       SEGLOG_PLACE_END (the next one) */
    uint32_t reserved;
};

/*
 * Take a consumer's place. One to one and many to one: go on behind what the consumer before
 * released. Broadcast: start as options->from says. Work: share with the others.
 *
 * returns  0
 *          -EBUSY            the kind has one consumer, and another is attached
 *          -EUSERS           all SEGLOG_RING_PLACES are taken
 *          -EINVAL           wait, flags or from unknown or not for this kind
 *          -EACCES           the ring was opened with SEGLOG_RING_READ_ONLY and this needs more
 *          SEGLOG_ECORRUPT, SEGLOG_EFORKED, -EMFILE, -ENOMEM ...
 * blocks   never for long
 */
SEGLOG_API int seglog_consumer_open(struct seglog_ring *ring,
                                    const struct seglog_consumer_options *options,
                                    struct seglog_consumer **out);

/* Give the place back; every view becomes invalid. What was handed out and not released stays in
 * the ring for the next consumer (work: for the others). consumer may be NULL. returns 0. */
SEGLOG_API int seglog_consumer_close(struct seglog_consumer *consumer);

/*
 * The next message.
 *
 * The bytes at out->data stay as they are until seglog_consumer_release(): in the ring itself, or,
 * where they could be written over meanwhile (SEGLOG_OVERLOAD_OVERWRITE, observers), in a copy.
 * out->seq counts the messages from 0; for work it is the message's place in the ring, which is the
 * same when it is delivered again. out->flags has SEGLOG_VIEW_REDELIVERED on a message that was
 * handed to a consumer before, which died or closed without releasing it.
 *
 * returns  0                 *out is filled
 *          -EAGAIN           none is there; see seglog_consumer_wait()
 *          SEGLOG_ELAPPED    messages gave way before they were read: seglog_consumer_lost() tells how
 *                            many, and the next call goes on with the oldest one left
 *          -EBUSY            work, overwrite and observers: release what was handed out first
 *          SEGLOG_ECORRUPT   the shared words are impossible
 *          SEGLOG_EFORKED, -ENOMEM
 * threads  one at a time for each consumer
 * blocks   never
 */
SEGLOG_API int seglog_consumer_next(struct seglog_consumer *consumer, struct seglog_view *out);

/* Up to max messages in one call. returns 1 or more: that many are in out[]; -EINVAL: max is below
 * 1; else as seglog_consumer_next(). */
SEGLOG_API int seglog_consumer_batch(struct seglog_consumer *consumer, struct seglog_view *out,
                                     int max);

/* Messages of one length, one behind the other: number k < count has its bytes, first.len of them, at
 * (const char *)first.data + k * stride. */
struct seglog_run {
    struct seglog_view first;
    size_t stride;
    size_t count;
};

/*
 * Up to max messages of one length in one call: cheaper than seglog_consumer_batch(), because only
 * the first gets a view. However they were put in, a run ends before a message of another length, or
 * one with a time or tag, which is a run by itself. The others' numbers follow on first.seq one by
 * one (work: stride by stride); first.flags are those of all.
 *
 * returns  1 or more: *out is filled, and this is out->count; -EINVAL: max is below 1; else as
 *          seglog_consumer_next()
 * The bytes stay as they are until seglog_consumer_release(). Threads and blocking as
 * seglog_consumer_next().
 */
SEGLOG_API int seglog_consumer_run(struct seglog_consumer *consumer, struct seglog_run *out,
                                   int max);

/* Say that all views handed out so far are done with: their room is the producers'. Blocks never.
 * */
SEGLOG_API void seglog_consumer_release(struct seglog_consumer *consumer);

/*
 * Copy the next message out and release it.
 *
 * len      in: bytes at buf; out: bytes of the message, also with -EMSGSIZE
 * returns  0; -EMSGSIZE: buf is too small, and the message stays; -EBUSY: views are out that were not
 *          released; else as seglog_consumer_next()
 */
SEGLOG_API int seglog_consumer_get(struct seglog_consumer *consumer, void *buf, size_t *len);

/* Wait until next() has something to say. timeout_ns and results as seglog_reader_wait(). */
SEGLOG_API int seglog_consumer_wait(struct seglog_consumer *consumer, uint64_t timeout_ns);

/* What a consumer lost by being too slow. */
struct seglog_ring_loss {
    uint64_t records; /* by the last SEGLOG_ELAPPED */
    uint64_t bytes;   /* payload bytes of those */
    uint64_t records_total;
    uint64_t bytes_total;
};

/* Fill *out. returns 0. */
SEGLOG_API int seglog_consumer_lost(const struct seglog_consumer *consumer,
                                    struct seglog_ring_loss *out);

/*
 * A descriptor for poll() and epoll: readable when next() may have something to say. Call next()
 * (or batch()) until -EAGAIN, then wait again. A helper thread watches the ring for it.
 *
 * The descriptor belongs to the consumer: do not read or close it; it goes with
 * seglog_consumer_close().
 *
 * returns  the descriptor; -EMFILE, -ENOMEM, -EAGAIN (no thread), SEGLOG_EFORKED
 */
SEGLOG_API int seglog_consumer_fd(struct seglog_consumer *consumer);

#ifdef __cplusplus
}
#endif
#endif
