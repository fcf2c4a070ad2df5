/* What each of several residual streams holds after a layer. Streams lie side by side in
 * a row as heads do: the same operations have a few numbers of every one, and the
 * dimensions in which its extremes are, which come here once a layer. */
#include <stdlib.h>

#include "extract/observe/moment_rows.h"
#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_streams;

struct streams {
    struct ol_observer_context c;
    struct ol_tensor moments;    /* [n_rows, streams * moments] */
    struct ol_tensor dimensions; /* [n_rows, streams * extremes] */
};

static int64_t n_streams_of(const struct ol_activation_layout *layout)
{
    int64_t most = 0;
    for (int l = 0; l < layout->n_layers; l++)
        most = layout->layers[l].n_streams > most ? layout->layers[l].n_streams : most;
    return most;
}

/* ---- in the writer's thread ---- */

struct shared {
    const struct ol_recording *recording;
    double *table; /* [n_streams, OL_N_STREAM_COLUMNS] of the layer */
};

static void *share(const struct ol_recording *recording)
{
    const int64_t n = n_streams_of(recording->to.layout);
    if (n == 0)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->table = ol_xcalloc((size_t)n * OL_N_STREAM_COLUMNS, sizeof *s->table);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    free(s->table);
    free(s);
}

/* A stream's moments of all rows of a job, and the dimensions of their extremes. */
static void add_stream(const struct shared *s, const struct ol_writer_job *job,
                       int64_t stream, int64_t n_streams)
{
    double *to = s->table + stream * OL_N_STREAM_COLUMNS;
    struct ol_row_span span = {0};
    while (ol_recording_next_span(s->recording, job, &span))
        for (int64_t i = 0; i < span.n; i++) {
            const int64_t at = (span.row + i) * n_streams + stream;
            const int32_t *dimensions =
                (const int32_t *)job->more + at * OL_N_HEAD_EXTREMES;
            const double max = to[OL_MIXED_MAX], min = to[OL_MIXED_MIN];
            ol_moment_row_add(to, (const float *)job->data + at * OL_N_HEAD_MOMENTS,
                              span.sequence, span.token + i);
            if (to[OL_MIXED_MAX] > max)
                to[OL_STREAM_MAX_DIMENSION] = dimensions[OL_EXTREME_LARGEST];
            if (to[OL_MIXED_MIN] < min)
                to[OL_STREAM_MIN_DIMENSION] = dimensions[OL_EXTREME_SMALLEST];
        }
}

/* Of the rows of one device: these of the one before come first. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    const int64_t n = ol_recording_layer(r, job->layer)->n_streams;
    if (job->first == 0)
        ol_moment_rows_begin(s->table, n, OL_N_STREAM_COLUMNS, job->what);
    for (int64_t i = 0; i < n; i++)
        add_stream(s, job, i, n);
    return ol_recording_is_last(r, job)
               ? ol_activation_put(r->file, OL_TABLE_STREAMS, job->layer, NULL, s->table,
                                   err)
               : 0;
}

/* ---- in the pass ---- */

static bool is_recorded(const struct ol_activation_layer *recorded)
{
    return recorded != NULL && recorded->n_streams > 0;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return is_recorded(recorded) && point == OL_POINT_RESIDUAL_OUT;
}

/* Of all rows. */
static int64_t moment_bytes(const struct ol_observed *what)
{
    return what->n_rows * n_streams_of(what->layout) * OL_N_HEAD_MOMENTS *
           (int64_t)sizeof(float);
}

static int64_t dimension_bytes(const struct ol_observed *what)
{
    return what->n_rows * n_streams_of(what->layout) * OL_N_HEAD_EXTREMES *
           (int64_t)sizeof(int32_t);
}

static int64_t backend_bytes(const struct ol_observed *what)
{
    return moment_bytes(what) + dimension_bytes(what);
}

static int64_t result_bytes(const struct ol_observed *what)
{
    return ol_result_bytes(moment_bytes(what)) + ol_result_bytes(dimension_bytes(what));
}

/* A layer's, and the one before that waits to be written. */
static int64_t bytes(const struct ol_observed *what)
{
    return 2 * backend_bytes(what);
}

static void *new (const struct ol_observer_context *context)
{
    struct streams *s = ol_xcalloc(1, sizeof *s);
    s->c = *context;
    return s;
}

static void free_all(void *self)
{
    struct streams *s = self;
    s->c.backend->op->tensor_free(s->c.backend, &s->moments);
    s->c.backend->op->tensor_free(s->c.backend, &s->dimensions);
    free(s);
}

static int make_tensors(struct streams *s, struct ol_error *err)
{
    struct ol_backend *b = s->c.backend;
    const int64_t n = n_streams_of(s->c.what.layout), n_rows = s->c.what.n_rows;
    if (s->moments.data != NULL)
        return 0;
    return b->op->tensor_new(b, OL_DTYPE_F32, n_rows, n * OL_N_HEAD_MOMENTS, &s->moments,
                             err) != 0
               ? -1
               : b->op->tensor_new(b, OL_DTYPE_I32, n_rows, n * OL_N_HEAD_EXTREMES,
                                   &s->dimensions, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct streams *s = self;
    struct ol_backend *b = s->c.backend;
    if (make_tensors(s, err) != 0)
        return -1;
    const struct ol_tensor moments =
                               ol_tensor_rows(s->moments, view->first, view->x.n_rows),
                           dimensions =
                               ol_tensor_rows(s->dimensions, view->first, view->x.n_rows);
    return b->op->head_moments(b, view->stream, moments, err) != 0
               ? -1
               : b->op->head_columns(b, view->stream, moments, dimensions, err);
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    (void)stream;
    struct streams *s = self;
    struct ol_backend *b = s->c.backend;
    if (!is_recorded(ol_observed_layer(&s->c.what, layer)))
        return 0;
    struct ol_writer_job job =
        ol_observer_job(&s->c, layer, OL_STAGE_OUTPUT, 0, s->c.what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(s->c.recording, &ol_observe_streams);
    job.what = s->c.what.spec->d_model;
    job.bytes = ol_tensor_bytes(s->moments) + ol_tensor_bytes(s->dimensions);
    job.data = ol_observer_room(&s->c, ol_tensor_bytes(s->moments), err);
    if (job.data == NULL)
        return -1;
    job.more = ol_xmalloc(ol_tensor_bytes(s->dimensions));
    if (b->op->download_later(b, s->moments, job.data, err) != 0 ||
        b->op->download_later(b, s->dimensions, job.more, err) != 0) {
        ol_writer_job_free(&job);
        return -1;
    }
    return ol_observer_later(&s->c, &job, err);
}

const struct ol_observer ol_observe_streams = {
    .name = "streams",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = backend_bytes,
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .end_layer = end_layer,
    .share = share,
    .unshare = unshare,
};
