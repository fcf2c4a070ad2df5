#include "extract/observe/recorder.h"

#include <stdlib.h>

struct ol_writer_rows ol_recorder_rows(const struct ol_recorder *r, int layer,
                                       int64_t first, int64_t n)
{
    return (struct ol_writer_rows){r->part, layer, r->first_row + first, n};
}

static size_t bytes_of(struct ol_tensor t)
{
    return (size_t)t.n_rows * (size_t)t.n_cols * ol_dtype_size(t.dtype);
}

/* ---- rows ---- */

/* Hand the oldest recording over. */
static int finish_oldest(struct ol_recorder *r, struct ol_error *err)
{
    const struct ol_recording oldest = r->recordings[0];
    const struct ol_tensor rows = oldest.download.src;
    r->n_recordings--;
    memmove(r->recordings, r->recordings + 1,
            (size_t)r->n_recordings * sizeof *r->recordings);
    void *copy = ol_writer_room(r->writer, r->part, bytes_of(rows), err);
    if (copy == NULL)
        return -1;
    if (r->backend->op->download_end(r->backend, &oldest.download, copy, err) != 0) {
        free(copy);
        return -1;
    }
    const struct ol_writer_rows at =
        ol_recorder_rows(r, oldest.layer, oldest.first, rows.n_rows);
    return ol_writer_take_site(r->writer, &at, oldest.site, copy, err);
}

int ol_recorder_finish(struct ol_recorder *r, struct ol_error *err)
{
    while (r->n_recordings > 0)
        if (finish_oldest(r, err) != 0)
            return -1;
    return 0;
}

int ol_recorder_site(struct ol_recorder *r, int layer, enum ol_site site, int64_t first,
                     struct ol_tensor rows, struct ol_error *err)
{
    if (!ol_writer_wants_site(r->writer, layer, site))
        return 0;
    if (r->n_recordings == OL_DOWNLOADS && finish_oldest(r, err) != 0)
        return -1;
    struct ol_recording recording = {.layer = layer, .site = site, .first = first};
    if (r->backend->op->download_begin(r->backend, rows, &recording.download, err) != 0)
        return -1;
    r->recordings[r->n_recordings++] = recording;
    return 0;
}

int ol_recorder_site_now(struct ol_recorder *r, int layer, enum ol_site site,
                         int64_t first, struct ol_tensor rows, struct ol_error *err)
{
    return ol_recorder_site(r, layer, site, first, rows, err) != 0
               ? -1
               : ol_recorder_finish(r, err);
}

/* ---- summaries ---- */

/* Of one sequence. */
static int digest(struct ol_recorder *r, const struct ol_writer_rows *at,
                  enum ol_summary_site site, uint32_t least, struct ol_tensor rows,
                  struct ol_error *err)
{
    void *room = ol_writer_room(r->writer, r->part,
                                ol_digest_bytes(rows.n_rows, rows.n_cols), err);
    if (room == NULL)
        return -1;
    struct ol_digest *d = ol_digest_in(room, rows.n_rows, rows.n_cols);
    if (r->backend->op->digest(r->backend, rows, least, d, err) != 0) {
        free(d);
        return -1;
    }
    return ol_writer_take_digest(r->writer, at, site, d, err);
}

static int take_counts(struct ol_recorder *r, int layer, enum ol_summary_site site,
                       struct ol_error *err)
{
    int64_t *counts = ol_xcalloc(OL_N_CODES, sizeof *counts);
    if (r->backend->op->take_histogram(r->backend, counts, err) != 0) {
        free(counts);
        return -1;
    }
    const struct ol_writer_rows at = ol_recorder_rows(r, layer, 0, r->n_rows);
    return ol_writer_take_counts(r->writer, &at, site, counts, err);
}

int ol_recorder_sum_up(struct ol_recorder *r, int layer, enum ol_summary_site site,
                       int64_t first, const int32_t *lengths, struct ol_tensor rows,
                       struct ol_error *err)
{
    uint32_t least;
    if (!ol_writer_wants_digest(r->writer, layer, site, &least))
        return 0;
    for (int64_t row = 0, n; row < rows.n_rows; row += n) {
        n = *lengths++;
        const struct ol_writer_rows at = ol_recorder_rows(r, layer, first + row, n);
        if (digest(r, &at, site, least, ol_tensor_rows(rows, row, n), err) != 0)
            return -1;
    }
    return first + rows.n_rows == r->n_rows ? take_counts(r, layer, site, err) : 0;
}

/* ---- tables and states ---- */

int ol_recorder_router(struct ol_recorder *r, int layer, const uint16_t *ids,
                       const float *weights, int top_k, struct ol_error *err)
{
    if (!ol_writer_wants_layer(r->writer, layer))
        return 0;
    const size_t n = (size_t)r->n_rows * (size_t)top_k;
    uint16_t *ids_copy = ol_xcalloc(n, sizeof *ids);
    float *weights_copy = ol_xcalloc(n, sizeof *weights);
    memcpy(ids_copy, ids, n * sizeof *ids);
    memcpy(weights_copy, weights, n * sizeof *weights);
    const struct ol_writer_rows at = ol_recorder_rows(r, layer, 0, r->n_rows);
    return ol_writer_take_router(r->writer, &at, ids_copy, weights_copy, err);
}

int ol_recorder_states(struct ol_recorder *r, int layer, struct ol_tensor hidden,
                       struct ol_error *err)
{
    void *copy = ol_writer_room(r->writer, r->part, bytes_of(hidden), err);
    if (copy == NULL)
        return -1;
    if (r->backend->op->download(r->backend, hidden, copy, err) != 0) {
        free(copy);
        return -1;
    }
    const struct ol_writer_rows at = ol_recorder_rows(r, layer, 0, r->n_rows);
    return ol_writer_take_states(r->writer, &at, copy, err);
}
