/*
 * Numbers that the environment sets for tests.
 */
#ifndef TEST_SUPPORT_NUMBER_H
#define TEST_SUPPORT_NUMBER_H

#include <stdint.h>

/* The variable's value, or otherwise, if it is not set or empty. */
uint64_t number_from(const char *variable, uint64_t otherwise);

#endif
