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

/* The same in few words, "0 to 3 at thresholds from 5.88 to 6.12"; NULL: not known. */
char *ol_text_margin_range(const struct ol_report_results *r);

/* Of a model whose config.json has others quantise activations, by these keys. */
#define OL_TEXT_ACTIVATIONS                                                              \
    "in the run's precision; an engine that follows %s of config.json quantises them"

/* Of routers that choose all experts; a number of 64 bits. */
#define OL_TEXT_ALL_CHOSEN                                                               \
    "Every token chooses all %" PRId64 " experts, so that the load is even and all are " \
    "chosen together whatever the routers do: only their weights tell experts apart."

#endif
