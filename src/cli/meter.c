/*
 * See meter.h.
 */
#include "meter.h"

#include <stdio.h>
#include <unistd.h>

struct meter meter_begin(const struct cli *cli, const char *doing, const char *what)
{
    return (struct meter){
        .doing = doing, .what = what, .is_on = !cli->quiet && isatty(STDERR_FILENO)};
}

void meter_show(struct meter *meter, uint64_t done, uint64_t total)
{
    const unsigned percent = total ? (unsigned)(100.0 * (double)done / (double)total) : 100;

    if (!meter->is_on || percent + 1 == meter->percent)
        return;
    meter->percent = percent + 1;
    fprintf(stderr, "\r%s %s: %u%%", meter->doing, meter->what, percent);
    fflush(stderr);
    meter->is_shown = true;
}

void meter_clear(struct meter *meter)
{
    if (meter->is_shown)
        fputs("\r\033[K", stderr);
    meter->is_shown = false;
    meter->percent = 0;
}
