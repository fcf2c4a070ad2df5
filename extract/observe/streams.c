/* What each of several residual streams holds after a layer. Streams lie side by side in
 * a row as heads do: the same operation has a few numbers of every one, which come here
 * once a layer. It does not say in which dimension an extreme is; that is looked for in
 * the rows that have the pass's extremes. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "extract/observe/moment_rows.h"
#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_streams;

enum extreme { MAX, MIN, N_EXTREMES };

struct streams {
    struct ol_observer_context c;
    struct ol_tensor moments; /* [n_rows, streams * moments] */
    float *row;               /* [d_model], one stream of one row */
    void *stored;             /* the same as the backend has it */
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

/* A stream's moments of all rows of a job; dimensions: of their extremes. */
static void add_stream(const struct shared *s, const struct ol_writer_job *job,
                       int64_t stream, int64_t n_streams)
{
    double *to = s->table + stream * OL_N_STREAM_COLUMNS;
    const int32_t *dimensions = (const int32_t *)job->more + stream * N_EXTREMES;
    const double max = to[OL_MIXED_MAX], min = to[OL_MIXED_MIN];
    struct ol_row_span span = {0};
    while (ol_recording_next_span(s->recording, job, &span))
        for (int64_t i = 0; i < span.n; i++)
            ol_moment_row_add(to,
                              (const float *)job->data +
                                  ((span.row + i) * n_streams + stream) *
                                      OL_N_HEAD_MOMENTS,
                              span.sequence, span.token + i);
    if (to[OL_MIXED_MAX] > max)
        to[OL_STREAM_MAX_DIMENSION] = dimensions[MAX];
    if (to[OL_MIXED_MIN] < min)
        to[OL_STREAM_MIN_DIMENSION] = dimensions[MIN];
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

static int64_t moment_bytes(const struct ol_observed *what)
{
    return what->n_rows * n_streams_of(what->layout) * OL_N_HEAD_MOMENTS *
           (int64_t)sizeof(float);
}

/* A layer's, and the one before that waits to be written; a row. */
static int64_t bytes(const struct ol_observed *what)
{
    return n_streams_of(what->layout) > 0
               ? 2 * moment_bytes(what) + 2 * what->spec->d_model * (int64_t)sizeof(float)
               : 0;
}

static void *new (const struct ol_observer_context *context)
{
    const size_t d = (size_t)context->what.spec->d_model;
    struct streams *s = ol_xcalloc(1, sizeof *s);
    s->c = *context;
    s->row = ol_xcalloc(d, sizeof *s->row);
    s->stored = ol_xcalloc(d, sizeof(float));
    return s;
}

static void free_all(void *self)
{
    struct streams *s = self;
    s->c.backend->op->tensor_free(s->c.backend, &s->moments);
    free(s->row);
    free(s->stored);
    free(s);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct streams *s = self;
    struct ol_backend *b = s->c.backend;
    const int64_t n = n_streams_of(s->c.what.layout);
    if (s->moments.data == NULL &&
        b->op->tensor_new(b, OL_DTYPE_F32, s->c.what.n_rows, n * OL_N_HEAD_MOMENTS,
                          &s->moments, err) != 0)
        return -1;
    return b->op->head_moments(
        b, view->stream, ol_tensor_rows(s->moments, view->first, view->x.n_rows), err);
}

/* The first row with the largest, or smallest, value of a stream; -1: there is none. */
static int64_t find_row(const float *moments, int64_t n_rows, int64_t n_streams,
                        enum extreme which)
{
    const float sign = which == MAX ? 1 : -1;
    const int column = which == MAX ? OL_MOMENT_LARGEST : OL_MOMENT_SMALLEST;
    float best = -INFINITY;
    int64_t found = -1;
    for (int64_t i = 0; i < n_rows; i++) {
        const float x = sign * moments[i * n_streams * OL_N_HEAD_MOMENTS + column];
        if (x > best) {
            best = x;
            found = i;
        }
    }
    return found;
}

/* The first dimension that has the extreme, in its row. */
static int find_dimension(const struct streams *s, struct ol_tensor one, float extreme,
                          int32_t *dimension, struct ol_error *err)
{
    const struct ol_backend *b = s->c.backend;
    if (b->op->download(s->c.backend, one, s->stored, err) != 0)
        return -1;
    ol_to_f32(one.dtype, s->stored, s->row, (size_t)one.n_cols);
    int32_t at = 0;
    while (at < one.n_cols && s->row[at] != extreme)
        at++;
    assert(at < one.n_cols);
    *dimension = at;
    return 0;
}

static int find_dimensions(const struct streams *s, struct ol_tensor stream,
                           const float *moments, int32_t *dimensions,
                           struct ol_error *err)
{
    const int64_t n = n_streams_of(s->c.what.layout), n_rows = s->c.what.n_rows;
    const struct ol_tensor each = ol_tensor_split(stream, s->c.what.spec->d_model);
    for (int64_t i = 0; i < n * N_EXTREMES; i++) {
        const int64_t of = i / N_EXTREMES;
        const enum extreme which = (enum extreme)(i % N_EXTREMES);
        const float *own = moments + of * OL_N_HEAD_MOMENTS;
        const int64_t row = find_row(own, n_rows, n, which);
        dimensions[i] = -1;
        if (row < 0)
            continue;
        own += row * n * OL_N_HEAD_MOMENTS;
        if (find_dimension(s, ol_tensor_rows(each, row * n + of, 1),
                           own[which == MAX ? OL_MOMENT_LARGEST : OL_MOMENT_SMALLEST],
                           &dimensions[i], err) != 0)
            return -1;
    }
    return 0;
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    struct streams *s = self;
    if (!is_recorded(ol_observed_layer(&s->c.what, layer)))
        return 0;
    struct ol_writer_job job =
        ol_observer_job(&s->c, layer, OL_STAGE_OUTPUT, 0, s->c.what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(s->c.recording, &ol_observe_streams);
    job.what = s->c.what.spec->d_model;
    job.bytes = ol_tensor_bytes(s->moments);
    job.data = ol_observer_room(&s->c, job.bytes, err);
    if (job.data == NULL)
        return -1;
    job.more =
        ol_xcalloc((size_t)n_streams_of(s->c.what.layout) * N_EXTREMES, sizeof(int32_t));
    if (s->c.backend->op->download(s->c.backend, s->moments, job.data, err) != 0 ||
        find_dimensions(s, stream, job.data, job.more, err) != 0) {
        free(job.data);
        free(job.more);
        return -1;
    }
    return ol_writer_put(s->c.writer, &job, err);
}

const struct ol_observer ol_observe_streams = {
    .name = "streams",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = moment_bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .end_layer = end_layer,
    .share = share,
    .unshare = unshare,
};
