/* What heads of a mixer put out, as it goes into the output projection: heads of
 * attention, value heads of a delta net, whatever the family calls them. The backend has
 * a few numbers of every head and row; they come here once a layer. */
#include <stdlib.h>

#include "extract/observe/moment_rows.h"
#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_mixed_heads;

struct mixed_heads {
    struct ol_observer_context c;
    struct ol_tensor moments; /* [n_rows, heads * moments], of the layer that has most */
    int64_t width;            /* of a head, in the layer; 0: nothing was seen */
};

static int64_t most_heads(const struct ol_observed *what)
{
    int64_t most = 0;
    for (int l = 0; l < what->layout->n_layers; l++) {
        const int64_t n = what->layout->layers[l].n_mixed;
        most = n > most ? n : most;
    }
    return most;
}

/* ---- in the writer's thread ---- */

struct shared {
    const struct ol_recording *recording;
    double *table; /* [n_heads, OL_N_MIXED_COLUMNS] of the layer */
};

static void *share(const struct ol_recording *recording)
{
    const struct ol_observed what = {.layout = recording->to.layout};
    if (most_heads(&what) == 0)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->table =
        ol_xcalloc((size_t)most_heads(&what) * OL_N_MIXED_COLUMNS, sizeof *s->table);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    free(s->table);
    free(s);
}

/* Of the rows of one device: these of the one before come first. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    const int64_t n_heads = ol_recording_layer(r, job->layer)->n_mixed;
    const float *moments = job->data;
    struct ol_row_span span = {0};
    if (job->first == 0)
        ol_moment_rows_begin(s->table, n_heads, OL_N_MIXED_COLUMNS, job->what);
    while (ol_recording_next_span(r, job, &span))
        for (int64_t i = 0; i < span.n && moments != NULL; i++)
            for (int64_t h = 0; h < n_heads; h++)
                ol_moment_row_add(s->table + h * OL_N_MIXED_COLUMNS,
                                  moments +
                                      ((span.row + i) * n_heads + h) * OL_N_HEAD_MOMENTS,
                                  span.sequence, span.token + i);
    return ol_recording_is_last(r, job)
               ? ol_activation_put(r->file, OL_TABLE_MIXED_HEADS, job->layer, NULL,
                                   s->table, err)
               : 0;
}

/* ---- in the pass ---- */

static bool is_recorded(const struct ol_activation_layer *recorded)
{
    return recorded != NULL && recorded->n_mixed > 0;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return is_recorded(recorded) && point == OL_POINT_HEADS;
}

static int64_t moment_bytes(const struct ol_observed *what)
{
    return what->n_rows * most_heads(what) * OL_N_HEAD_MOMENTS * (int64_t)sizeof(float);
}

static int64_t result_bytes(const struct ol_observed *what)
{
    return ol_result_bytes(moment_bytes(what));
}

/* A layer's, and the one before that waits to be written. */
static int64_t bytes(const struct ol_observed *what)
{
    return 2 * moment_bytes(what) +
           most_heads(what) * OL_N_MIXED_COLUMNS * (int64_t)sizeof(double);
}

static void *new (const struct ol_observer_context *context)
{
    struct mixed_heads *m = ol_xcalloc(1, sizeof *m);
    m->c = *context;
    return m;
}

static void free_all(void *self)
{
    struct mixed_heads *m = self;
    m->c.backend->op->tensor_free(m->c.backend, &m->moments);
    free(m);
}

/* As wide as the layer has heads. */
static struct ol_tensor moments_of(const struct mixed_heads *m, int layer)
{
    struct ol_tensor t = m->moments;
    t.n_cols = ol_observed_layer(&m->c.what, layer)->n_mixed * OL_N_HEAD_MOMENTS;
    return t;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct mixed_heads *m = self;
    struct ol_backend *b = m->c.backend;
    if (m->moments.data == NULL &&
        b->op->tensor_new(b, OL_DTYPE_F32, m->c.what.n_rows,
                          most_heads(&m->c.what) * OL_N_HEAD_MOMENTS, &m->moments,
                          err) != 0)
        return -1;
    const struct ol_tensor all = moments_of(m, view->layer);
    m->width = view->x.n_cols * OL_N_HEAD_MOMENTS / all.n_cols;
    return b->op->head_moments(b, view->x,
                               ol_tensor_rows(all, view->first, view->x.n_rows), err);
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    (void)stream;
    struct mixed_heads *m = self;
    if (!is_recorded(ol_observed_layer(&m->c.what, layer)))
        return 0;
    struct ol_writer_job job =
        ol_observer_job(&m->c, layer, OL_STAGE_OUTPUT, 0, m->c.what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(m->c.recording, &ol_observe_mixed_heads);
    job.what = (int)m->width;
    if (m->width > 0) {
        const struct ol_tensor all = moments_of(m, layer);
        job.bytes = ol_tensor_bytes(all);
        job.data = ol_observer_room(&m->c, job.bytes, err);
        if (job.data == NULL)
            return -1;
        if (m->c.backend->op->download_later(m->c.backend, all, job.data, err) != 0) {
            free(job.data);
            return -1;
        }
    }
    m->width = 0;
    return ol_observer_later(&m->c, &job, err);
}

const struct ol_observer ol_observe_mixed_heads = {
    .name = "mixed heads",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = moment_bytes,
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .end_layer = end_layer,
    .share = share,
    .unshare = unshare,
};
