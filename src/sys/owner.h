/*
 * Proof of life: locks that the kernel drops when, and only when, an address space ends.
 *
 * Each holder opens the lock file anew, maps one page of it PROT_NONE with MADV_DONTFORK, takes
 * open-file-description locks on single bytes and closes the descriptor. The mapping alone then keeps
 * the description, so the locks
 *   - survive close(), closefrom() and any other descriptor on the same file (POSIX locks do not),
 *   - are not kept by a forked child (plain OFD locks are),
 *   - are gone less than a millisecond after SIGKILL, whatever the pid namespace.
 *
 * On overlay a mapping keeps the file below it open and not the description. There the descriptor stays
 * open, and a child of fork() closes it; one of a bare clone() keeps the locks until it execs or exits.
 */
#ifndef SYS_OWNER_H
#define SYS_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct owner {
    int fd;                /* >= 0 while more locks may be asked for; until owner_settle() */
    void *page;            /* the mapping that keeps the description; NULL: not open */
    size_t page_size;      /* bytes of it */
    const uint64_t *guard; /* tells a forked child that the mapping is not there */
    struct owner_pending *pending; /* how a child loses a descriptor that is open; NULL: none is */
};

#define OWNER_NONE ((struct owner){.fd = -1, .page = NULL})

/* Open the lock file name in dirfd (it must exist) for reading and writing. */
int owner_open(int dirfd, const char *name, struct owner *out);
/* The same for the file of an open descriptor, whatever its name is by now. Needs /proc. A read-only one
 * can take shared locks only (-EBADF). */
int owner_open_again(int fd, bool writable, struct owner *out);

/* Try to lock one byte. 0, or -EAGAIN when somebody else holds it; SEGLOG_EFORKED in a forked child.
 * Converts atomically. */
int owner_lock(struct owner *owner, uint64_t byte, bool exclusive);
int owner_unlock(struct owner *owner, uint64_t byte);

/* No more locks will be asked for: close the descriptor, where the mapping does instead, and keep what is
 * held. */
void owner_settle(struct owner *owner);

/* Drop everything. In a forked child it only forgets. */
void owner_close(struct owner *owner);

/*
 * Is the byte locked by anybody (in conflict with an exclusive lock)? fd may be read-only.
 * 1 held, 0 free, negative errno.
 */
int owner_probe(int fd, uint64_t byte);

#endif
