/* The blocks of a results file as ol-report reads them. */
#ifndef OL_REPORT_BLOCKS_H
#define OL_REPORT_BLOCKS_H

#include "common/results/blocks.h"

/* Read the blocks of a results file's top object, and check that arrays which belong
 * together have the lengths they need. Everything belongs to the arena and the JSON. */
int ol_blocks_read(struct ol_blocks *blocks, struct ol_json_section top,
                   struct ol_arena *arena, struct ol_error *err);

#endif
