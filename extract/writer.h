/* Writes what the forward pass records, in a thread behind it: the compute hands over
 * rows and goes on. The bytes waiting are bounded; the first failure comes back from the
 * next call. */
#ifndef OL_WRITER_H
#define OL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/activation_file.h"
#include "extract/state_file.h"
#include "extract/summary.h"

struct ol_writer;

struct ol_writer_target {
    struct ol_activation_writer *file;         /* borrowed */
    const struct ol_activation_layout *layout; /* borrowed */
    struct ol_state_file *states;              /* borrowed; NULL: none are kept */
    struct ol_summary *summary;                /* borrowed; NULL: none are made */
    /* What the norms multiply by: [n_layers of the model][OL_SUMMARY_OUTPUT], each
     * [d_model]; borrowed, with summary. */
    float *const (*gains)[OL_SUMMARY_OUTPUT];
    const int32_t *lengths; /* [layout->n_sequences], borrowed */
    enum ol_dtype dtype;    /* of the rows that are handed over */
    /* Of rows waiting to be written; one piece may always wait, however large. */
    size_t most_waiting;
};

struct ol_writer *ol_writer_new(const struct ol_writer_target *target,
                                struct ol_error *err);
/* Wait until everything is written. */
int ol_writer_finish(struct ol_writer *w, struct ol_error *err);
/* Stop without writing what waits, and free. NULL is fine. */
void ol_writer_free(struct ol_writer *w);

/* Whether that site of that layer is stored or summed up / that layer recorded at all. */
bool ol_writer_wants_site(const struct ol_writer *w, int layer, enum ol_site site);
bool ol_writer_wants_layer(const struct ol_writer *w, int layer);

/* Memory for rows to be handed over by one of the calls below (or free()d); waits while
 * too much is queued. NULL on failure. */
void *ol_writer_room(struct ol_writer *w, size_t bytes, struct ol_error *err);

/* Rows are those of all sequences one after another, without padding: row `first` and
 * the n - 1 after it. All take over the memory given, also when they fail.
 *   site:   rows [n, d_model] in the target's dtype
 *   router: ids [n_rows, top_k], weights [n_rows, top_k] of all rows
 *   states: [n_rows, d_model] in the target's dtype, the stream after that layer, when
 *           everything recorded up to there has been handed over
 *   nll:    [n_rows] */
int ol_writer_take_site(struct ol_writer *w, int layer, enum ol_site site, int64_t first,
                        int64_t n, void *rows, struct ol_error *err);
int ol_writer_take_router(struct ol_writer *w, int layer, uint16_t *ids, float *weights,
                          struct ol_error *err);
int ol_writer_take_states(struct ol_writer *w, int layer, void *rows,
                          struct ol_error *err);
int ol_writer_take_nll(struct ol_writer *w, float *nll, struct ol_error *err);

/* What a unit of a layer's MLP came to; rows are -1 where it had no tokens. */
struct ol_writer_unit {
    int64_t n_tokens;
    double gate_sum;
    float input, output; /* of the down projection, of the largest magnitude */
    int input_column, output_column;
    int64_t input_row, output_row;
};

/* features [n_rows, OL_TOP_FEATURES], writes [n_rows, OL_TOP_FEATURES, ...] of `bytes`
 * bytes; units [n]. */
int ol_writer_take_writes(struct ol_writer *w, int layer, uint16_t *features,
                          float *writes, size_t bytes, struct ol_error *err);
int ol_writer_take_units(struct ol_writer *w, int layer, struct ol_writer_unit *units,
                         int n, struct ol_error *err);

/* Sums of squares of an input's columns, as the file has them. */
int ol_writer_take_squares(struct ol_writer *w, int layer, enum ol_input input,
                           double *squares, struct ol_error *err);

/* Seconds that others waited for room, or for the end. */
double ol_writer_waited(struct ol_writer *w);

/* Mean of the likelihoods taken, over all tokens but the first of each sequence, and
 * their number (0: none were). After ol_writer_finish. */
double ol_writer_mean_nll(const struct ol_writer *w, int64_t *n);

#endif
