/* What the blocks about massive activations, writers, onset and tokens come to, in words:
 * one sentence each, the same in every format. The caller frees; not escaped. NULL: the
 * file has not what it needs. */
#ifndef OL_REPORT_SENTENCES_STREAM_H
#define OL_REPORT_SENTENCES_STREAM_H

#include "common/results/blocks.h"

/* "Dimension 507 is massive on 8 tokens (8 at position 0), after layers 11 to 27 ..." */
char *ol_sentence_massive(const struct ol_massive_dimension *f);
/* "Dimension 507, +, 8 tokens (8 at position 0), made at layer 11 by expert 3: ..." */
char *ol_sentence_event(const struct ol_attributed_feature *f);
/* "Feature 247 sets in at layer 9 ..." */
char *ol_sentence_onset(const struct ol_onset_feature *f);
/* "Delimiters are 15.5 % of the text and carry 15.7 % of the occurrences ..."; NULL:
 * there are no outliers. */
char *ol_sentence_share(const char *who, const struct ol_token_share *s);

#endif
