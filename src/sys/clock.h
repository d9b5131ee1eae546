/*
 * Time and identity of this boot.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

uint64_t clock_wall_ns(void);        /* since 1970, may step */
uint64_t clock_wall_coarse_ns(void); /* the same at the last tick: cheaper */
uint64_t clock_monotonic_ns(void);   /* never steps */

void clock_sleep_ns(uint64_t ns);

/* The kernel's random id of this boot. -ENOENT where /proc does not tell. */
int boot_id_read(uint8_t out[16]);
/* The same, where it is no failure that nobody tells: *known says whether it was told. */
int boot_id_find(uint8_t out[16], bool *known);

/* n random bytes from the kernel. */
int random_bytes(void *out, size_t n);

#endif
