/* Hands what the forward pass passes by over to the writer: rows of sites, what summaries
 * keep of them, the router's choices, the stream after a layer. What nobody wants stays
 * where it is. */
#ifndef OL_RECORDER_H
#define OL_RECORDER_H

#include "extract/backend.h"
#include "extract/run/writer.h"

/* Rows of a site that are on their way to the host. */
struct ol_recording {
    struct ol_download download;
    int layer;
    enum ol_site site;
    int64_t first;
};

/* Of one part of a run; backend and writer are borrowed. The rest starts as {0}. */
struct ol_recorder {
    struct ol_backend *backend;
    struct ol_writer *writer;
    int part;
    int64_t first_row;                            /* rows that precede the part */
    int64_t n_rows;                               /* of the part */
    struct ol_recording recordings[OL_DOWNLOADS]; /* the oldest first */
    int n_recordings;
};

/* Rows, counted from the part's first, as the writer counts them. */
struct ol_writer_rows ol_recorder_rows(const struct ol_recorder *r, int layer,
                                       int64_t first, int64_t n);

/* Rows from `first` on, [n, d_model]. They may not change before _finish: while they are
 * copied the layer goes on. _now: rows that change soon. */
int ol_recorder_site(struct ol_recorder *r, int layer, enum ol_site site, int64_t first,
                     struct ol_tensor rows, struct ol_error *err);
int ol_recorder_site_now(struct ol_recorder *r, int layer, enum ol_site site,
                         int64_t first, struct ol_tensor rows, struct ol_error *err);
int ol_recorder_finish(struct ol_recorder *r, struct ol_error *err);

/* What the summary of a site keeps of rows of whole sequences, lengths[0], lengths[1],
 * ...; all rows of the part in turn. Rows do not leave the backend for it. */
int ol_recorder_sum_up(struct ol_recorder *r, int layer, enum ol_summary_site site,
                       int64_t first, const int32_t *lengths, struct ol_tensor rows,
                       struct ol_error *err);

/* Of all rows: the router's choices [n_rows, top_k], copied; the stream [n_rows,
 * d_model]. */
int ol_recorder_router(struct ol_recorder *r, int layer, const uint16_t *ids,
                       const float *weights, int top_k, struct ol_error *err);
int ol_recorder_states(struct ol_recorder *r, int layer, struct ol_tensor hidden,
                       struct ol_error *err);

#endif
