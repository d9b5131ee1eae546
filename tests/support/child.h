/*
 * Other processes for a test: forked, talked to by single bytes, killed and waited for.
 *
 * A child never returns into the test: it leaves with the status of its function. What goes wrong in
 * it is printed there (child_must) and seen by the parent as a status that is not 0. No child
 * outlives the test that made it.
 *
 * A child of a process with threads may do little; so make children first and open logs after.
 */
#ifndef TEST_SUPPORT_CHILD_H
#define TEST_SUPPORT_CHILD_H

#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int in;  /* bytes from the other side */
    int out; /* bytes to the other side */
};

typedef int child_main(struct child *parent, void *arg);

/* Run `run` in a forked process; `parent` there is the other end of *out here. */
void child_start(struct child *out, child_main *run, void *arg);

/* Both sides. */
void child_say(const struct child *other, char byte);
/* The next byte, or -1 when the other side is gone. Fails (aborts, in a child) after a minute. */
int child_hear(const struct child *other);

/* Parent: it must end by itself with status 0. */
void child_end(struct child *child);
/* Parent: its status if it ended by itself, else 256 + the signal. */
int child_status(struct child *child);
/* Parent: SIGKILL, and wait until it is gone. */
void child_kill(struct child *child);
/* Parent: SIGSTOP, and wait until it stands. child_continue() lets it run on. */
void child_stop(struct child *child);
void child_continue(struct child *child);

/* Child: the call must give 0 or more, else the process says so and ends with status 1. */
#define child_must(call) child_check((int)(call), 0, #call, __FILE__, __LINE__)
/* Child: the call must give exactly this. */
#define child_must_be(call, want) child_check((int)(call), (want), #call, __FILE__, __LINE__)
/* Child: the condition must hold. */
#define child_assert(what) child_check((what) ? 0 : -1, 0, #what, __FILE__, __LINE__)
int child_check(int got, int want, const char *call, const char *file, int line);

/* Memory that children share with the parent, zeroed; for the life of the test. */
void *child_shared(size_t size);

#endif
