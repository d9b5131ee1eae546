/*
 * Living through a mapping whose bytes are gone.
 *
 * The hard part is that the handler may run at any instruction of any thread, while others add and
 * drop ranges. So entries are never freed, only used again, and the handler reads nothing but
 * atomics: a range counts from the moment its size is not zero.
 *
 * The handler stays installed: taking it out again could take out somebody else's that came later.
 */
#include "sys/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

struct guard {
    struct guard *next;
    _Atomic size_t size; /* 0: unused; stored last, cleared first */
    _Atomic uintptr_t base;
    _Atomic size_t page;
    _Atomic int prot;
    _Atomic(_Atomic uint32_t *) hits;
};

static pthread_mutex_t guard_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct guard *) guard_first;
static bool guard_installed;
static struct sigaction guard_previous; /* written before the handler can run */

/* true: the touch may be tried again. */
static bool mend(uintptr_t address)
{
    for (struct guard *g = atomic_load(&guard_first); g; g = g->next) {
        const size_t size = atomic_load_explicit(&g->size, memory_order_acquire);
        const uintptr_t base = atomic_load(&g->base);
        const size_t page = atomic_load(&g->page);

        if (size == 0 || address < base || address - base >= size)
            continue;
        /* Gone for good, even if the file should grow again: what was there is lost. */
        if (mmap((void *)(address & ~(page - 1)), page, atomic_load(&g->prot),
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            return false;
        atomic_fetch_add(atomic_load(&g->hits), 1);
        return true;
    }
    return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    const int saved = errno;

    /* Sent by kill(2) there is no address. */
    if (info->si_code > 0 && mend((uintptr_t)info->si_addr)) {
        errno = saved;
        return;
    }
    errno = saved;
    if (guard_previous.sa_flags & SA_SIGINFO)
        guard_previous.sa_sigaction(number, info, context);
    else if (guard_previous.sa_handler != SIG_DFL && guard_previous.sa_handler != SIG_IGN)
        guard_previous.sa_handler(number);
    else if (info->si_code > 0 || guard_previous.sa_handler == SIG_DFL) {
        /* Not ours: let it have the effect that it had without us. A fault happens again by itself. */
        (void)signal(SIGBUS, SIG_DFL);
        if (info->si_code <= 0)
            (void)raise(SIGBUS);
    }
}

static int install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (guard_installed)
        return 0;
    if (sigaction(SIGBUS, NULL, &guard_previous) < 0 || sigaction(SIGBUS, &action, NULL) < 0)
        return -errno;
    guard_installed = true;
    return 0;
}

static struct guard *entry_unused(void)
{
    struct guard *g;

    for (g = atomic_load(&guard_first); g; g = g->next) {
        if (atomic_load(&g->size) == 0)
            return g;
    }
    g = calloc(1, sizeof(*g));
    if (g) {
        g->next = atomic_load(&guard_first);
        atomic_store(&guard_first, g);
    }
    return g;
}

int guard_add(void *base, size_t size, int prot, size_t page, _Atomic uint32_t *hits,
              struct guard **out)
{
    struct guard *g = NULL;
    int rc;

    (void)pthread_mutex_lock(&guard_mutex);
    rc = install();
    if (rc == 0) {
        g = entry_unused();
        if (!g)
            rc = -ENOMEM;
    }
    if (rc == 0) {
        atomic_store(&g->base, (uintptr_t)base);
        atomic_store(&g->page, page);
        atomic_store(&g->prot, prot);
        atomic_store(&g->hits, hits);
        atomic_store_explicit(&g->size, size, memory_order_release);
        *out = g;
    }
    (void)pthread_mutex_unlock(&guard_mutex);
    return rc;
}

void guard_drop(struct guard *guard)
{
    if (!guard)
        return;
    (void)pthread_mutex_lock(&guard_mutex);
    atomic_store(&guard->size, 0);
    (void)pthread_mutex_unlock(&guard_mutex);
}
