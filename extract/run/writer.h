/* Writes what the forward pass records, in a thread behind it: the compute hands over
 * rows and goes on. The bytes waiting are bounded; the first failure comes back from the
 * next call.
 *
 * Several parts of a run, each with sequences of its own, may hand over at a time, one
 * from each thread. What they hand over is taken in the order in which one part with all
 * sequences would have done it, so that sums over rows are the same bytes. */
#ifndef OL_WRITER_H
#define OL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/activation_file.h"
#include "extract/observe/digest.h"
#include "extract/run/state_file.h"
#include "extract/observe/summary.h"
#include "extract/observe/unit_table.h"

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
    /* Of rows of a part that wait to be written; one piece may always wait, however
     * large. */
    size_t most_waiting;
    int n_parts, n_experts;
};

struct ol_writer *ol_writer_new(const struct ol_writer_target *target,
                                struct ol_error *err);
/* Wait until everything is written. */
int ol_writer_finish(struct ol_writer *w, struct ol_error *err);
/* That part hands over nothing more. */
void ol_writer_end_part(struct ol_writer *w, int part);
/* Stop without writing what waits, and free. NULL is fine. */
void ol_writer_free(struct ol_writer *w);

/* Whether that site of that layer is stored / that layer recorded at all. */
bool ol_writer_wants_site(const struct ol_writer *w, int layer, enum ol_site site);
bool ol_writer_wants_layer(const struct ol_writer *w, int layer);
/* Whether a summary of that site is made; then `least` is that of the digest operation.
 */
bool ol_writer_wants_digest(const struct ol_writer *w, int layer,
                            enum ol_summary_site site, uint32_t *least);

/* Memory for rows to be handed over by one of the calls below (or free()d); waits while
 * too much is queued. NULL on failure. */
void *ol_writer_room(struct ol_writer *w, int part, size_t bytes, struct ol_error *err);

/* Rows are those of all sequences one after another, without padding: row `first` and
 * the n - 1 after it, all of the part's but for sites and digests. */
struct ol_writer_rows {
    int part, layer;
    int64_t first, n;
};

/* All take over the memory given, also when they fail. Layers rise, and in a layer what
 * is recorded at attention precedes everything else.
 *   site:   rows [n, d_model] in the target's dtype
 *   digest: of the n rows of one sequence, in room of ol_digest_bytes
 *   counts: [OL_N_CODES] of the part's rows, after the site's digests
 *   router: ids [n, top_k], weights [n, top_k], before what the layer's units came to
 *   states: [n, d_model] in the target's dtype, the stream after that layer, when
 *           everything recorded up to there has been handed over
 *   nll:    [n], whole sequences, after all layers */
int ol_writer_take_site(struct ol_writer *w, const struct ol_writer_rows *at,
                        enum ol_site site, void *rows, struct ol_error *err);
int ol_writer_take_digest(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, struct ol_digest *digest,
                          struct ol_error *err);
int ol_writer_take_counts(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, int64_t *counts,
                          struct ol_error *err);
int ol_writer_take_router(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *ids, float *weights, struct ol_error *err);
int ol_writer_take_states(struct ol_writer *w, const struct ol_writer_rows *at,
                          void *rows, struct ol_error *err);
int ol_writer_take_nll(struct ol_writer *w, const struct ol_writer_rows *at, float *nll,
                       struct ol_error *err);

/* features [n, OL_TOP_FEATURES], writes [n, OL_TOP_FEATURES, ...] of `bytes` bytes; units
 * [n_units]. */
int ol_writer_take_writes(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *features, float *writes, size_t bytes,
                          struct ol_error *err);
int ol_writer_take_units(struct ol_writer *w, const struct ol_writer_rows *at,
                         struct ol_unit *units, int n_units, struct ol_error *err);

/* Sums of squares of an input's columns, as the file has them; of a run of one part. */
int ol_writer_take_squares(struct ol_writer *w, const struct ol_writer_rows *at,
                           enum ol_input input, double *squares, struct ol_error *err);

/* Seconds that others waited for room, or for the end. */
double ol_writer_waited(struct ol_writer *w);

/* Mean of the likelihoods taken, over all tokens but the first of each sequence, and
 * their number (0: none were). After ol_writer_finish. */
double ol_writer_mean_nll(const struct ol_writer *w, int64_t *n);

#endif
