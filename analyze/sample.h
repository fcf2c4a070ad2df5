/* A sample of tokens that does not hang on where they stand in the text: those that come
 * first in a permutation with a fixed seed. The first token of a sequence, which is like
 * no other, is drawn apart, and every token stands for as many as its kind has in the
 * text beside those that were drawn. */
#ifndef OL_ANALYZE_SAMPLE_H
#define OL_ANALYZE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum { OL_SAMPLE_SEED = 1 };

struct ol_sampled {
    int64_t sequence, position;
    int64_t weight; /* whole numbers in the proportion of what tokens stand for */
};

struct ol_sample {
    int64_t n, n_first;        /* tokens; of which first ones */
    struct ol_sampled *tokens; /* [n], in the order of the text; owned */
};
void ol_sample_clear(struct ol_sample *s);

/* A token's place in the permutation: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of
 * its number 2^32 sequence + position; equal ones are in the order of the text. */
uint64_t ol_sample_key(int64_t sequence, int64_t position);

/* Tokens are offered one by one, in any order. */
struct ol_sampler;
struct ol_sampler *ol_sampler_new(int64_t most_first, int64_t most_others);
void ol_sampler_add(struct ol_sampler *s, int64_t sequence, int64_t position);
/* Frees the sampler. */
struct ol_sample ol_sampler_finish(struct ol_sampler *s);

/* The smallest value that tokens with at least half of all weight do not exceed; where
 * exactly half do not, the mean of it and the next. NaN is left out; NaN of none. Without
 * weights (NULL) all are the same. */
double ol_weighted_median(const double *values, const int64_t *weights, int64_t n);

#endif
