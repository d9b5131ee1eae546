/*
 * Being asked to stop: SIGINT and SIGTERM.
 *
 * The first one asks: the command finishes the record at hand and ends in order. The second one ends
 * the process at once.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

/* Install the handlers. Once, before the first long work. */
void signals_catch(void);

/* true after the first signal. */
bool signals_stopped(void);

/* Readable after the first signal: to be polled beside an input. */
int signals_fd(void);

/* Wait up to timeout_ms (-1: for ever) until fd is readable or a signal came.
 * returns 1 readable, 0 timeout, -EINTR stopped, or another negative errno. */
int signals_wait_readable(int fd, int timeout_ms);

#endif
