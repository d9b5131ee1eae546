/*
 * Sleeping and waking across processes: futex on shared memory, and membarrier.
 */
#ifndef SYS_WAIT_H
#define SYS_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Sleep while *word == seen, until woken or the absolute CLOCK_MONOTONIC time deadline_ns
 * (UINT64_MAX: no limit). Works on read-only mappings.
 * returns 0 (woken, or the word had changed), -ETIMEDOUT, -EINTR
 */
int futex_wait_shared(const _Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns);

/* Wake every sleeper of a word, in every process; or one of them. */
void futex_wake_shared(_Atomic uint32_t *word);
void futex_wake_one_shared(_Atomic uint32_t *word);

/*
 * Asymmetric fence. An appender's process registers once; then barrier_all(), called by a reader
 * about to sleep, acts as a full fence in each running thread of each registered process.
 * false: the kernel cannot; then both sides use fences of their own.
 */
bool barrier_register(void);
bool barrier_all(void);

/* The processor's hint for spinning loops. */
static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
