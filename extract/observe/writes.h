/* Who writes into the residual stream: for the largest dimensions of every token's stream
 * after a layer, what the layer's attention and each part of its MLP added to them; and
 * for every unit of the MLP (expert, shared expert, dense MLP) its load and its largest
 * values.
 *
 * Which dimensions these will be is known only when the layer is done, and its parts'
 * outputs are not kept. So for every token the parts are looked at where the stream is
 * large before the MLP (candidates), and each part's own largest outputs are kept: a
 * dimension that is large after the layer was large before, or was made so by a part. The
 * rest (a part's small share of a dimension that several parts raised together) is NaN:
 * not known. */
#ifndef OL_WRITES_H
#define OL_WRITES_H

#include "extract/backend.h"
#include "extract/run/writer.h"

struct ol_writes;

/* Of a group of units: unit i has the rows firsts[i] .. firsts[i + 1] - 1 of what is
 * handed over, which belong to the tokens rows[] and, of these, to the slots slots[];
 * gates[] (NULL: 1) are the router's weights, which multiply outputs on their way into
 * the stream unless the inputs were multiplied already. */
struct ol_writes_group {
    int n;
    const int *units;
    const int64_t *firsts; /* [n + 1] */
    const int32_t *rows;
    const int32_t *slots; /* NULL: the unit that every token uses */
    const float *gates;
    bool scales_outputs;
};

/* Bytes that it needs for n_rows tokens. */
int64_t ol_writes_bytes(const struct ol_spec *spec, int64_t n_rows);

/* Of the rows of a part of the run. backend and spec are borrowed. */
struct ol_writes *ol_writes_new(const struct ol_spec *spec, struct ol_backend *b,
                                const struct ol_writer_rows *rows);
void ol_writes_free(struct ol_writes *w); /* NULL is fine */

/* Units of the MLP of a layer: experts and the shared one; 1 when it is dense. */
int ol_writes_units(const struct ol_spec *spec, int layer);

/* ---- one layer; all do nothing with w NULL ---- */

void ol_writes_begin(struct ol_writes *w, int layer);

/* Rows, counted from the part's first, from `first` on: the stream after the attention's
 * output was added to it. */
int ol_writes_attention(struct ol_writes *w, int64_t first, struct ol_tensor hidden,
                        struct ol_tensor attention, struct ol_error *err);

/* What goes into the down projections of a group's units, and what comes out. */
int ol_writes_inputs(struct ol_writes *w, const struct ol_writes_group *group,
                     struct ol_tensor x, struct ol_error *err);
int ol_writes_outputs(struct ol_writes *w, const struct ol_writes_group *group,
                      struct ol_tensor y, struct ol_error *err);

/* The stream after the layer, all rows: make the tables and hand them over. */
int ol_writes_end(struct ol_writes *w, struct ol_tensor hidden, struct ol_writer *writer,
                  struct ol_error *err);

#endif
