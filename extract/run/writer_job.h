/* What the writer's thread does with what is handed over, one job after another. */
#ifndef OL_WRITER_JOB_H
#define OL_WRITER_JOB_H

#include "extract/run/writer.h"

enum ol_writer_job_kind {
    OL_JOB_SITE,
    OL_JOB_DIGEST,
    OL_JOB_COUNTS,
    OL_JOB_ROUTER,
    OL_JOB_STATES,
    OL_JOB_NLL,
    OL_JOB_WRITES,
    OL_JOB_UNITS,
    OL_JOB_SQUARES,
};

struct ol_writer_job {
    enum ol_writer_job_kind kind;
    int part, layer;
    enum ol_site site;            /* SITE */
    enum ol_summary_site summary; /* DIGEST, COUNTS */
    enum ol_input input;          /* SQUARES */
    int64_t first, n;
    void *rows;     /* owned; or a digest, counts, ids, features, units, squares */
    float *weights; /* owned; ROUTER, and the writes of WRITES */
    int n_units;
    size_t bytes;
    int64_t stage;
    struct ol_writer_job *next;
};
void ol_writer_job_free(struct ol_writer_job *job);

/* Rises with the layers and, within one: sites before attention, everything before the
 * MLP, what came of it, the stream after it. */
int64_t ol_writer_job_stage(const struct ol_writer_job *job);

/* Where it goes, and what is known of it so far. */
struct ol_writer_output {
    struct ol_writer_target to;
    int64_t *starts;            /* [n_sequences + 1]: first row of each sequence */
    void *converted;            /* one sequence's rows in the file's dtype */
    struct ol_unit_table units; /* what the layer's parts came to so far */
    char *states;               /* [n_rows, d_model]: of several parts, */
    int states_layer;           /* after that layer, */
    int64_t n_states;           /* so many rows, without a gap */
    double nll_sum;
    int64_t n_nll;
};
void ol_writer_output_init(struct ol_writer_output *o,
                           const struct ol_writer_target *target);
void ol_writer_output_clear(struct ol_writer_output *o);

/* NULL: not recorded. */
const struct ol_activation_layer *ol_writer_output_layer(const struct ol_writer_output *o,
                                                         int layer);

int ol_writer_job_run(struct ol_writer_output *o, const struct ol_writer_job *job,
                      struct ol_error *err);

#endif
