/* Sums of squares of the columns of products' inputs, for an importance matrix: what the
 * norms put out is in the summaries already, the rest is gathered here. */
#ifndef OL_INPUTS_H
#define OL_INPUTS_H

#include "extract/backend.h"
#include "extract/run/writer.h"

struct ol_inputs;

/* Columns of that input in a layer; 0: the layer has no such product. */
int64_t ol_inputs_width(const struct ol_spec *spec, int layer, enum ol_input input);

/* Bytes that it needs, with what is on its way to the file. */
int64_t ol_inputs_bytes(const struct ol_spec *spec);

/* spec and backend are borrowed. */
struct ol_inputs *ol_inputs_new(const struct ol_spec *spec, struct ol_backend *b);
void ol_inputs_free(struct ol_inputs *x); /* NULL is fine */

/* ---- one layer; with x NULL, or when it is not wanted, nothing happens ---- */

void ol_inputs_begin(struct ol_inputs *x, int layer, bool wanted);
bool ol_inputs_wanted(const struct ol_inputs *x);

/* Rows of an input; `expert` of those that each expert has, else 0. */
int ol_inputs_add(struct ol_inputs *x, enum ol_input input, int expert,
                  struct ol_tensor rows, struct ol_error *err);

/* The same as ol_inputs_add for some columns of an input that consists of n pieces (one
 * per head) of equal width: `width` columns of each from `first` on. In rows, whose width
 * is that of n pieces too, they stand at the beginning of each piece; what is behind them
 * is left out. */
int ol_inputs_add_part(struct ol_inputs *x, enum ol_input input, int n, int64_t first,
                       struct ol_tensor rows, int64_t width, struct ol_error *err);

/* Hand the sums over. */
int ol_inputs_end(struct ol_inputs *x, const struct ol_writer_rows *at,
                  struct ol_writer *writer, struct ol_error *err);

#endif
