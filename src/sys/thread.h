/*
 * Threads of our own, and the processors there are for them.
 */
#ifndef SYS_THREAD_H
#define SYS_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Start a thread in which no signal lands: those are the caller's business, but for a SIGBUS that the
 * thread itself runs into. 0; -EAGAIN ... */
int thread_begin(pthread_t *thread, void *(*run)(void *), void *arg);

/* On how many processors this thread may run. */
uint32_t thread_cpus(void);

#endif
