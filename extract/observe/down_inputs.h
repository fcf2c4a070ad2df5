/* What is kept of what goes into down projections. */
#ifndef OL_DOWN_INPUTS_H
#define OL_DOWN_INPUTS_H

#include "common/activation_file.h"
#include "extract/model/spec.h"

/* Fill in how wide these inputs are in a layer with a summary, and how many rows of each
 * component are kept. */
void ol_down_inputs_lay_out(const struct ol_spec *spec,
                            struct ol_activation_layer *layer);

#endif
