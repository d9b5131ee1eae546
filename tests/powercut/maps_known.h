/* What the oracle knows of a mapped file and of a struct: see maps.h. */
#ifndef TEST_POWERCUT_MAPS_KNOWN_H
#define TEST_POWERCUT_MAPS_KNOWN_H

#include "powercut/kept.h"

#define MAP_WORDS       40u
#define STRUCT_WORDS    12u
#define STRUCT_VECTORS  2u
#define STRUCT_ELEMENTS 448u /* of a vector: three parts */
#define ELEMENT_WORDS   4u

struct map_known {
    struct kept words[MAP_WORDS];
    struct kept copy; /* which one there is */
    uint64_t copied[MAP_WORDS];
};

struct vector_known {
    uint64_t pushed, flushed; /* elements */
    uint64_t at[STRUCT_ELEMENTS][ELEMENT_WORDS];
};

struct struct_known {
    struct kept words[STRUCT_WORDS];
    uint64_t text; /* the mark that it follows from */
    bool is_text_sure;
    struct vector_known vectors[STRUCT_VECTORS];
};

#endif
