/*
 * Memory and descriptors that run out at a chosen moment, and what is left behind.
 *
 * The linker leads every allocation and mapping of the layers here (see tests/CMakeLists.txt); those
 * inside of libc go their usual way.
 */
#ifndef TEST_MACHINE_SCARCE_H
#define TEST_MACHINE_SCARCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Let the nth allocation or mapping from now on fail, once; 0: none. */
void scarce_memory(uint64_t nth);
/* Has it failed? */
bool scarce_memory_met(void);

/* Let n more descriptors be opened, and no more. Gaps between those that are open are filled. */
void scarce_descriptors(unsigned n);
void scarce_descriptors_end(void);

/* What this process holds. */
struct holdings {
    size_t blocks; /* of memory */
    size_t descriptors;
    size_t mappings; /* of files below a directory */
};
struct holdings holdings_of(const char *dir);

#endif
