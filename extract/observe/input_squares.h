/* Sums of squares of the columns of products' inputs, for an importance matrix: what the
 * norms put out is in the summaries already, the rest is gathered by input_squares.c. */
#ifndef OL_INPUT_SQUARES_H
#define OL_INPUT_SQUARES_H

#include "extract/observe/observer.h"

/* Columns of that input in a layer; 0: the layer has no such product. */
int64_t ol_input_squares_width(const struct ol_spec *spec, int layer,
                               enum ol_input input);

#endif
