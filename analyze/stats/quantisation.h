/* What quantising needs to know of all tokens of a site, between those who gather it,
 * those who measure, and those that see the same rows. Private to stats/. */
#ifndef OL_ANALYZE_QUANTISATION_H
#define OL_ANALYZE_QUANTISATION_H

#include <pthread.h>

#include "analyze/sample.h"
#include "analyze/statistics.h"

extern const struct ol_statistic ol_quantisation_statistic;

/* Tokens that one variant keeps as they are, and all others. */
enum ol_quantised_kind { OL_OTHERS, OL_KEPT, OL_N_KINDS };

struct quantisation {
    const struct ol_analysis *a;
    size_t d_model;
    uint8_t **marks; /* [n_sequences][length]: tokens with a massive value; NULL: none */
    int64_t n_kept;  /* those, or 1 of 1000 that are the worst of a site */
    int64_t *starts; /* [n_sequences + 1]: tokens before each */
    struct ol_worst *worst; /* NULL with marks */
    int64_t **kept;         /* [n_sites][n_kept]: the worst, by number */
    void **column; /* [threads][OL_N_KINDS][d_model]: the largest magnitudes, as codes of
                      the tensors' dtype, of the stretch and site at hand */
    /* Of all threads: they add maxima to it, in any order, one at a time. */
    pthread_mutex_t mutex;
    uint32_t *columns; /* [n_sites][OL_N_KINDS][d_model]: as bits of floats; NULL: there
                          are no tensors */
};

struct quantisation *ol_quantisation_begin(const struct ol_analysis *a);
void ol_quantisation_block(struct quantisation *q, int thread, const struct ol_block *b);
void ol_quantisation_end_batch(struct quantisation *q, int64_t batch);
void ol_quantisation_end(struct quantisation *q);

/* ---- when all is gathered ---- */

/* state: of that statistic; columns [d_model]: the largest magnitude of each dimension at
 * a site, over all tokens (NaN is larger than any). False: there are no tensors. */
bool ol_quantisation_columns(const void *state, int site, float *columns);
/* The same without the tokens that are kept. */
void ol_quantisation_columns_of_others(const struct quantisation *q, int site,
                                       float *columns);
bool ol_quantisation_is_kept(const struct quantisation *q, int site, int64_t sequence,
                             int64_t position);
/* A row of a site [d_model], mapped. */
const char *ol_quantisation_row(const struct quantisation *q, int site, int64_t sequence,
                                int64_t position);

/* The tokens that sites are looked at by. Clear it. */
struct ol_sample ol_quantisation_sample(const struct ol_parts *parts);

#endif
