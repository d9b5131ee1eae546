/*
 * Work for the disk that must not stall a producer: submitted in chains, done beside the caller, by
 * io_uring or by a few threads.
 *
 * A *chain* is an array of operations. In a linked chain each operation begins only after the one
 * before has succeeded; the first failure cancels the rest. What is submitted, how it fails and what
 * the results say is the same in every way of running it: io_uring, threads, or plain system calls
 * in the caller's thread (io_run_here()).
 *
 * Not performed is not failed: short transfers are carried on, and an operation that the kernel gave
 * back untouched (ECANCELED because the submitting thread ended, EINTR, EAGAIN) is submitted again.
 * Every other failure is final. A failed sync above all: the kernel may have dropped the pages.
 *
 * Everything that may be called from several threads is; an engine in a forked child can only be
 * closed.
 */
#ifndef IO_IO_H
#define IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum io_kind {
    IO_DATASYNC, /* fd, whole file */
    IO_SYNC_RANGE, /* fd, offset, len; data: where that range is mapped, or NULL. At least the range. */
    IO_WRITE,      /* fd, from, len, offset: all bytes */
    IO_READ,       /* fd, data, len, offset: all bytes; -ENODATA: the file ends before */
    IO_ALLOCATE,   /* fd, offset, len: real blocks, the size grows with them */
    IO_MADVISE,    /* data, len, advice */
    IO_FADVISE,    /* fd, offset, len, advice */
    IO_RENAME_NEW, /* fd: a directory; name, to: -EEXIST if the name is taken */
    IO_UNLINK,     /* fd: a directory; name */
    IO_KINDS,
};

struct io_chain;

/* One operation. Whatever it points at belongs to the engine until its chain is done. */
struct io_op {
    enum io_kind kind;
    int fd;
    int advice;
    void *data;
    const void *from;
    uint64_t offset;
    uint64_t len;
    const char *name;
    const char *to;
    int64_t result; /* IO_READ, IO_WRITE: bytes; else 0; or negative errno */

    /* The engine's. */
    struct io_chain *chain;
    uint64_t done;  /* bytes transferred so far */
    int64_t raw;    /* what the last attempt gave */
    uint32_t tries; /* attempts in a row that were not performed */
    int fault;      /* injected into this attempt: negative errno, or OP_SHORT */
    bool plain;     /* next by a plain system call: the ring has refused it */
    uint8_t state;  /* enum op_state */
};

/* Operations that belong together. It and its ops must stay where they are until it is done. */
struct io_chain {
    struct io_op *ops;
    uint32_t count;
    bool linked;
    bool reapable; /* io_reap() may hand it out; else somebody will io_wait() for it */
    void *user;
    int status; /* the first failure, or 0; valid once done */

    /* The engine's. */
    struct io_chain *next;
    uint32_t at;     /* threads: the next operation to take */
    uint32_t flying; /* operations under way */
    bool is_done;
};

enum io_choice {
    IO_AUTO = 0, /* io_uring where the kernel gives it */
    IO_URING,
    IO_THREADS,
};

struct io_options {
    enum io_choice choice; /* IO_AUTO: what $SEGLOG_IO says ("uring", "threads"), if anything */
};

struct io_engine;

/*
 * Find out which way this process will go. Nothing is started before the first submission, so that
 * an engine that is not used costs next to nothing.
 *
 * returns  0; -EINVAL: $SEGLOG_IO says something else; -ENOMEM
 *          io_uring was demanded and is not to be had: -EPERM, -ENOSYS, -ENOMEM, -EOPNOTSUPP (an
 *          operation or feature that we need is missing)
 */
int io_engine_open(const struct io_options *options, struct io_engine **out);

/* Wait for all that is under way, then free. In a forked child: frees memory, touches nothing else.
 * engine may be NULL. */
void io_engine_close(struct io_engine *engine);

/* IO_URING or IO_THREADS, and in words why not io_uring ("" when it is, or was not asked for). */
enum io_choice io_engine_choice(struct io_engine *engine);
const char *io_engine_reason(const struct io_engine *engine);

/*
 * Start a chain. It is done when io_wait() or io_reap() says so, and goes on reliably only while
 * somebody calls one of these.
 *
 * returns  0; the chain belongs to the engine until it is done
 *          SEGLOG_EFORKED; -EPERM, -ENOMEM ...: io_uring was demanded and went away. Nothing was begun.
 * blocks   not on the disk, but a system call that hands work to the kernel may take a millisecond:
 *          not for a producer's path
 */
int io_submit(struct io_engine *engine, struct io_chain *chain);

/* Wait until this chain is done. Gives its status. Other threads may wait for other chains. */
int io_wait(struct io_engine *engine, struct io_chain *chain);
/* The same for so long at most. 1: it is done, see chain->status; 0: it is under way still. */
int io_wait_for(struct io_engine *engine, struct io_chain *chain, uint64_t timeout_ns);

/* The next reapable chain that is done. 0 and *out; -ETIMEDOUT; SEGLOG_EFORKED. */
int io_reap(struct io_engine *engine, struct io_chain **out, uint64_t timeout_ns);

/* Wait until nothing is under way. */
void io_drain(struct io_engine *engine);

/* Submit and wait. Gives the chain's status, or that of the submission. */
int io_run(struct io_engine *engine, struct io_chain *chain);

/*
 * Perform a chain by plain system calls in this thread: the short way for a caller who would only
 * wait. engine may be NULL. Gives the chain's status.
 */
int io_run_here(struct io_engine *engine, struct io_chain *chain);

/* ---- for tests ------------------------------------------------------------------------------- */

#define IO_ANY_KIND (-1)

/* Let an operation go wrong. One fault at a time; a new one replaces it. */
struct io_fault {
    int kind;       /* enum io_kind, or IO_ANY_KIND */
    uint32_t nth;   /* of those that begin from now on; 1: the next */
    uint32_t times; /* so many in a row; 0 counts as 1 */
    int error;      /* negative errno; 0: a read or write transfers half of its bytes */
};
void io_inject(struct io_engine *engine, const struct io_fault *fault);

/* How many operations of a kind were performed, well or badly, whichever way. */
uint64_t io_performed(struct io_engine *engine, enum io_kind kind);

/* ---- what the kernel offers ------------------------------------------------------------------ */

#define IO_REASON_BYTES 96

struct io_facts {
    int status;                   /* 0: io_uring with all that is needed; or negative errno */
    int32_t disabled;             /* the sysctl kernel.io_uring_disabled; -1: there is none */
    char missing[32];             /* -EOPNOTSUPP: the operation or feature that is not there */
    char reason[IO_REASON_BYTES]; /* why not, in words; "" with status 0 */
};

/* Try. Sets up a small ring and takes it down again. */
void io_probe(struct io_facts *out);

/* What $SEGLOG_IO asks for: enum io_choice, or -EINVAL. */
int io_choice_of_environment(void);

/* What an engine opened here with IO_AUTO would be, given what io_probe() said: IO_URING, IO_THREADS,
 * or why it could not be opened. */
int io_choice_here(const struct io_facts *facts);

#endif
