/* Sentences that more than one format prints: what a block's numbers rest on. The caller
 * frees them. */
#ifndef OL_REPORT_SENTENCES_H
#define OL_REPORT_SENTENCES_H

#include "report/results.h"

/* "1 by the published rule, 0 with z >= 10 (the rule lists the largest of any 120)" */
char *ol_text_super_experts(const struct ol_super_block *s);
/* What chance alone would give; NULL: not known. */
char *ol_text_super_noise(const struct ol_super_block *s);

/* How the count of pairs hangs on the criterion; NULL: not known. */
char *ol_text_margin(const struct ol_report_results *r);

/* Which tokens were looked at and kept apart, and what the formats are. */
char *ol_text_quantisation(const struct ol_quantisation *q);

/* What is known of the down projections' inputs, and what not. */
extern const char ol_text_down_inputs[];
extern const char ol_text_no_quantised_sites[]; /* without tensors */

/* The sites with the largest errors by a method, at most `most`, into order; how many. */
int ol_quantised_worst(const struct ol_quantisation *q, int64_t method, int most,
                       int64_t *order);
double ol_quantised_at(const struct ol_reals *values, int64_t i); /* NAN: not there */

/* Of a model whose config.json has others quantise activations, by these keys. */
#define OL_TEXT_ACTIVATIONS                                                              \
    "in the run's precision; an engine that follows %s of config.json quantises them"

#endif
