/* The progress line on a terminal, and the sentence that sums a run up. */
#ifndef OL_PROGRESS_H
#define OL_PROGRESS_H

#include <stdint.h>

#include "extract/stream.h"

struct ol_progress;

/* Work is counted in floating-point operations (cost.h): `total` of them for the whole
 * run, of which `skipped` were done by an earlier one. stream is borrowed. The line is
 * drawn only when stderr is a terminal and the verbosity is at least 1. */
struct ol_progress *ol_progress_new(int64_t n_tokens, int n_layers, double total,
                                    double skipped, const struct ol_stream *stream);

/* Now in that layer (n_layers: after the last), with `done` more operations behind us. */
void ol_progress_step(struct ol_progress *p, int layer, double done);

/* The most anonymous memory that was resident at any step, in bytes. */
int64_t ol_progress_peak_memory(const struct ol_progress *p);

/* Wipe the line and say in one note what was done and how fast. */
void ol_progress_finish(struct ol_progress *p);
void ol_progress_free(struct ol_progress *p); /* NULL is fine */

#endif
