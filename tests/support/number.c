/*
 * See number.h.
 */
#include "support/number.h"

#include <stdlib.h>

uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}
