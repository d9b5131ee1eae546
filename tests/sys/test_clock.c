/*
 * Clocks, the identity of this boot, randomness.
 */
#include "sys/clock.h"

#include "support/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

Test(clock, the_wall_clocks_agree_with_the_system)
{
    const uint64_t now = (uint64_t)time(NULL) * 1000000000;
    const uint64_t second = 1000000000;

    cr_assert(clock_wall_ns() - now + second < 5 * second);
    cr_assert(clock_wall_coarse_ns() - now + second < 5 * second);
}

static void on_alarm(int signal)
{
    (void)signal;
}

Test(clock, a_sleep_is_not_cut_short_by_signals)
{
    const struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    const struct sigaction action = {.sa_handler = on_alarm};
    const uint64_t begin = clock_monotonic_ns();

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    clock_sleep_ns(20000000);
    cr_assert_geq(clock_monotonic_ns() - begin, 20000000);
}

Test(clock, the_boot_id_is_the_one_of_proc)
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    char text[64];
    char again[37];
    uint8_t id[16];

    if (!f) {
        cr_assert_status(boot_id_read(id), -ENOENT);
        return;
    }
    cr_assert_not_null(fgets(text, sizeof(text), f));
    fclose(f);
    cr_assert_ok(boot_id_read(id));
    for (int i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            again[at++] = '-';
        at += snprintf(again + at, 3, "%02x", id[i]);
    }
    cr_assert(strncmp(text, again, 36) == 0, "%s %s", text, again);
}

Test(random, fills_all_that_was_asked_for)
{
    uint8_t a[1000] = {0};
    uint8_t b[1000] = {0};

    cr_assert_ok(random_bytes(a, sizeof(a)));
    cr_assert_ok(random_bytes(b, sizeof(b)));
    /* 16 zeros in a row: once in 2^118 */
    for (size_t i = 0; i + 16 <= sizeof(a); i++)
        cr_assert(memcmp(a + i, (uint8_t[16]){0}, 16) != 0, "at %zu", i);
    cr_assert(memcmp(a, b, sizeof(a)) != 0);
    cr_assert_ok(random_bytes(a, 0));
}
