/* An importance matrix for llama.cpp: the sum of squares of every input column of every
 * weight, and how many tokens it multiplied, as a GGUF file (general.type "imatrix",
 * tensors NAME.in_sum2 and NAME.counts). */
#ifndef OL_ANALYZE_IMATRIX_H
#define OL_ANALYZE_IMATRIX_H

#include "analyze/parts.h"

/* Write path (NULL: standard output). Fails when the run has no squares (ol-extract
 * --imatrix) or no summary of an ln site. */
int ol_imatrix_write(const struct ol_parts *parts, const char *path,
                     struct ol_error *err);

#endif
