/* Keys by which rows are sampled: made of the tokens of a sequence up to the row's own,
 * so that equal keys have equal rows, whichever file or device has them (analyze/sample.h
 * says why first tokens are drawn apart). */
#ifndef OL_TOKEN_KEYS_H
#define OL_TOKEN_KEYS_H

#include "extract/observe/recording.h"

/* Of all rows; odd: the first token of a sequence. The caller frees them. */
uint64_t *ol_token_keys(const struct ol_recording *r);

#endif
