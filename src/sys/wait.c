/*
 * Futexes on shared memory, and membarrier.
 *
 * The futexes are never FUTEX_PRIVATE: the sleepers are in other processes, and the word is found by
 * file and offset, not by address.
 */
#include "sys/wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* What SYS_futex reads, which on 32 bits is not what struct timespec has become. */
struct futex_time {
    long sec;
    long nsec;
};

int futex_wait_shared(const _Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns)
{
    /* BITSET, because it takes an absolute time: waiting again after EINTR does not wait longer. */
    const struct futex_time deadline = {
        .sec = (long)(deadline_ns / NS_PER_S),
        .nsec = (long)(deadline_ns % NS_PER_S),
    };
    const long rc =
        syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen,
                deadline_ns == UINT64_MAX ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);

    if (rc == 0 || errno == EAGAIN)
        return 0;
    return -errno;
}

void futex_wake_shared(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void futex_wake_one_shared(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

bool barrier_register(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

bool barrier_all(void)
{
    return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}
