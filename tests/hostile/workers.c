/*
 * Workers. See workers.h.
 */
#include "hostile/workers.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"

#define WORKERS_MAX 8u

uint64_t workers_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

bool workers_run(unsigned each_core, worker_main *work, void *context)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned wanted = each_core * (cores < 1 ? 1 : (unsigned)cores);
    const unsigned count = wanted > WORKERS_MAX ? WORKERS_MAX : wanted;
    char(*now)[WORKER_NOW] = child_shared(WORKERS_MAX * WORKER_NOW);
    const pid_t test = getpid();
    pid_t pids[WORKERS_MAX];
    bool good = true;

    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1); /* very many syncs */
    for (unsigned i = 0; i < count; i++) {
        pids[i] = fork();
        cr_assert(pids[i] >= 0);
        if (pids[i] == 0) {
            const struct worker worker = {.number = i, .count = count, .now = now[i]};

            /* None may outlive a test that was ended for being too slow. */
            if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != test)
                _exit(1);
            work(&worker, context);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        int status = 0;

        (void)waitpid(pids[i], &status, 0);
        if (status != 0) {
            fprintf(stderr, "status %#x at: %s\n", (unsigned)status, now[i]);
            good = false;
        }
    }
    return good;
}
