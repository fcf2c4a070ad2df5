/* The LLM.int8() criterion's counts, between those who gather them (from tensors, from
 * summaries) and those who print them. Private to stats/. */
#ifndef OL_ANALYZE_LLM_INT8_H
#define OL_ANALYZE_LLM_INT8_H

#include <string.h>

#include "analyze/statistics.h"
#include "common/tally.h"

enum { OL_NEGATIVE = 1, OL_POSITIVE = 2 }; /* signs */

/* An occurrence as one number: feature << 32 | bits of the value. */
typedef uint64_t entry;

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static inline entry entry_of(uint32_t feature, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint64_t)feature << 32 | bits;
}

static inline float value_of(entry e)
{
    const uint32_t bits = (uint32_t)e;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One feature in the stretch of positions that a thread is at. */
struct current {
    uint64_t positions; /* bit p: an occurrence at some site of this sequence */
    uint64_t of_batch;  /* and of any sequence of the batch */
    uint32_t n;         /* occurrences at this site */
    float max;
    uint8_t signs;
};

/* One feature in the batch, as one thread saw it. */
struct in_batch {
    int64_t occurrences, positions;
    float max;
};

/* One feature at one site, over all sequences. */
struct at_site {
    int64_t occurrences;
    float max;
};

struct thread {
    struct current *current; /* [d_model] */
    /* [n_touched] of [d_model + 1]: features with occurrences at this site. An occurrence
     * is written behind them before it is known whether its feature is new: one entry
     * more than there are features. */
    uint32_t *touched;
    size_t n_touched;
    struct in_batch *in_batch; /* [d_model] */
    uint8_t *sites_in_batch;   /* [d_model][n_sites]: any occurrence */
    struct at_site *at_site;   /* [n_sites][d_model] */
    int64_t *positions;        /* [d_model]: distinct (sequence, position) */
    uint8_t *signs;            /* [d_model] */
    entry *log;
    size_t n_log, log_room;
    struct ol_tally tally;
};

/* A feature that qualified in a batch. */
struct pair {
    uint32_t feature;
    float max;
    double layers, positions; /* shares of the sites, and of the positions */
    int64_t occurrences, n_sites, n_layers, n_positions;
};

struct batch {
    struct pair *pairs;
    size_t n;
};

struct llm_int8 {
    const struct ol_analysis *a;
    size_t d_model, n_sites;
    int64_t n_layers; /* that have a site */
    size_t max_log;
    struct thread *threads;
    struct batch *batches;       /* [n_batches] */
    int64_t *batches_of_feature; /* [d_model] in which it qualifies */
};

struct llm_int8 *ol_llm_int8_begin(const struct ol_analysis *a);
void ol_llm_int8_end(struct llm_int8 *s);

/* Gather from tensors, block by block (statistics.h), or everything from the summaries.
 */
void ol_llm_int8_block(struct llm_int8 *s, int thread, const struct ol_block *b);
void ol_llm_int8_from_summaries(struct llm_int8 *s);

/* After the last of a batch was gathered: which features qualify in it. */
void ol_llm_int8_end_batch(struct llm_int8 *s, int64_t batch);

/* Distinct layers of sites, which are in the order of layers: at each of them, the next.
 */
struct llm_int8_layers {
    int64_t n;
    int last; /* index of the last layer seen; start from {0, -1} */
};
void ol_llm_int8_see(const struct ol_analysis *a, size_t site, struct llm_int8_layers *l);

/* Tokens of a batch's longest sequence. */
int64_t ol_llm_int8_longest(const struct ol_analysis *a, int64_t batch);

/* One feature over all sequences. */
struct llm_int8_feature {
    uint32_t feature;
    int64_t occurrences, positions, n_sites, n_layers;
    float max;
    uint8_t signs;
    double layer_fraction, pooled, strict;
    double quartiles[3];
};

/* From a gathered state; quartiles are left 0. */
struct llm_int8_feature ol_llm_int8_sum_feature(const struct llm_int8 *s, size_t f);

enum llm_int8_block { OL_LLM_INT8_UNIQUE, OL_LLM_INT8_POOLED, OL_LLM_INT8_STRICT };
bool ol_llm_int8_qualifies(const struct llm_int8 *s, const struct llm_int8_feature *f,
                           enum llm_int8_block block);

#endif
