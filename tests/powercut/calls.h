/* Made-up time and chance, for runs that can be repeated: see calls.c. */
#ifndef TEST_POWERCUT_CALLS_H
#define TEST_POWERCUT_CALLS_H

#include <stdint.h>

/* From now on clocks and random numbers of this process are made up, and tmpfs says it is ext4. */
void sim_begin(uint64_t seed);
/* Time passes. */
void sim_pass(uint64_t ns);

#endif
