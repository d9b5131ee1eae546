/*
 * The steps of preparing that new and recycled files have in common.
 */
#ifndef SEGMENT_PREPARE_H
#define SEGMENT_PREPARE_H

#include "segment/build.h"

/* What the header will say, with a generation of its own. No file yet. */
int prepare_facts(struct segment *seg, const struct prepare_order *order);

/* The blocks before the frames, [0, OFF_FRAMES), as they begin. Looks at the open file. */
int prepare_identity(struct segment *seg, const struct prepare_order *order, uint8_t *blocks);

/* Zero the frames so that commits of small parts of them are cheap, sync, and map. */
int prepare_for_commits(struct segment *seg, const struct prepare_order *order);

#endif
