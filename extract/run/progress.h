/* The progress line on a terminal, and the sentences that sum a run up. */
#ifndef OL_PROGRESS_H
#define OL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/activation_file.h"
#include "extract/backend.h"
#include "extract/run/figures.h"
#include "extract/weights/stream.h"
#include "extract/observe/writer.h"

struct ol_progress;

/* What a run may wait for; all borrowed. */
struct ol_progress_sources {
    const struct ol_stream *stream;
    struct ol_backend *const *backends; /* [n_backends] */
    int n_backends;
    struct ol_writer *writer;
};

/* Work is counted in floating-point operations (cost.h): `total` of them for the whole
 * run, of which `skipped` were done by an earlier one. The line is drawn only when stderr
 * is a terminal and the verbosity is at least 1. */
struct ol_progress *ol_progress_new(int64_t n_tokens, int n_layers, double total,
                                    double skipped,
                                    const struct ol_progress_sources *sources);

/* From any thread. Now in that layer (n_layers: after the last), with `done` more
 * operations behind us. */
void ol_progress_step(struct ol_progress *p, int layer, double done);

/* Where the run is now; from any thread. */
void ol_progress_figures(struct ol_progress *p, struct ol_figures *figures);
/* Say so in a note, for the log of a run whose line is not drawn. */
void ol_progress_log(const struct ol_figures *figures);
bool ol_progress_is_drawn(const struct ol_progress *p);

/* Wipe the line, say in a note what was done and how fast, and with devices in another
 * what they had to do; and write it down. */
void ol_progress_finish(struct ol_progress *p, struct ol_activation_receipt *receipt);
void ol_progress_free(struct ol_progress *p); /* NULL is fine */

#endif
