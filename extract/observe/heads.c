/* What heads of attention look at: the share of every key, of which the tables keep each
 * head's largest and each token's mean, and where a layer has them the share of the
 * learned sink and the gates. The backend has all of a layer's heads and rows until it is
 * done; then it leaves them, and the writer's thread makes the tables. */
#include "extract/observe/heads.h"

#include <math.h>
#include <stdlib.h>

#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_heads;

/* What is seen of heads, in the order in which it comes. */
enum seen { TO_SINK, GATES, RECEIVED, N_SEEN };

struct heads {
    struct ol_observer_context c;
    /* Of the layer, as its job has them: [N_SEEN, n_rows, n_heads], of which the first
     * were seen. */
    float *all;
    int n, what; /* so many, bit i: that one */
};

int ol_heads_n(const struct ol_spec *spec, int layer)
{
    return ol_spec_attends(spec, layer) ? ol_spec_attention(spec, layer)->n_heads : 0;
}

/* ---- in the writer's thread ---- */

/* Of the layer that has the most. */
static int64_t most_heads(const struct ol_spec *spec)
{
    int64_t n = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n = ol_heads_n(spec, l) > n ? ol_heads_n(spec, l) : n;
    return n;
}

struct shared {
    const struct ol_recording *recording;
    double *table; /* [n_sequences, n_heads, OL_N_HEAD_COLUMNS] of the layer */
};

/* A sequence's rows, of one layer. */
struct sequence {
    const struct ol_layer_spec *layer;
    int64_t n, n_heads;
    const float *seen[N_SEEN]; /* [n, n_heads] or NULL */
};

static void *share(const struct ol_recording *recording)
{
    const struct ol_activation_layout *layout = recording->to.layout;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->table = ol_xcalloc((size_t)layout->n_sequences *
                              (size_t)most_heads(recording->to.spec) * OL_N_HEAD_COLUMNS,
                          sizeof *s->table);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    free(s->table);
    free(s);
}

/* Whether a key may be a sink. */
static bool counts(const struct sequence *s, int64_t key)
{
    int64_t end = s->n;
    switch (s->layer->attention) {
    case OL_ATTENTION_SLIDING:
    case OL_ATTENTION_COMPRESSED: /* what entries receive is no token's */
        end = key + s->layer->window;
        break;
    case OL_ATTENTION_CHUNKED:
        end = (key / s->layer->window + 1) * s->layer->window;
        break;
    case OL_ATTENTION_FULL:
    case OL_ATTENTION_LINEAR:
    case OL_ATTENTION_MAMBA:
    case OL_ATTENTION_NONE:
        break;
    }
    return key == 0 || (end < s->n ? end : s->n) - key >= OL_LEAST_SEEING;
}

static double seen_at(const struct sequence *s, enum seen what, int64_t row, int64_t head)
{
    return s->seen[what] != NULL ? (double)s->seen[what][row * s->n_heads + head]
                                 : (double)NAN;
}

static double mean_of(const struct sequence *s, enum seen what, int64_t head)
{
    double sum = 0;
    for (int64_t row = 0; row < s->n; row++)
        sum += seen_at(s, what, row, head);
    return sum / (double)s->n;
}

/* A key of that share takes its place among the largest; ties stay with the first. NaN is
 * not larger than anything. */
static void offer(double *keys, int64_t key, double share)
{
    int at = OL_TOP_KEYS;
    while (at > 0 && (keys[(at - 1) * OL_N_KEY_COLUMNS + OL_KEY_POSITION] < 0 ||
                      share > keys[(at - 1) * OL_N_KEY_COLUMNS + OL_KEY_SHARE]))
        at--;
    if (at == OL_TOP_KEYS || isnan(share))
        return;
    double *to = keys + at * OL_N_KEY_COLUMNS;
    memmove(to + OL_N_KEY_COLUMNS, to,
            (size_t)((OL_TOP_KEYS - 1 - at) * OL_N_KEY_COLUMNS) * sizeof *to);
    to[OL_KEY_POSITION] = (double)key;
    to[OL_KEY_SHARE] = share;
}

static void describe_head(const struct sequence *s, int64_t head, double *to)
{
    double *keys = to + OL_HEAD_KEYS;
    to[OL_HEAD_FIRST] = seen_at(s, RECEIVED, 0, head);
    to[OL_HEAD_TO_SINK] = mean_of(s, TO_SINK, head);
    to[OL_HEAD_GATE] = mean_of(s, GATES, head);
    to[OL_HEAD_GATE_FIRST] = seen_at(s, GATES, 0, head);
    to[OL_HEAD_N_SINKS] = 0;
    for (int i = 0; i < OL_TOP_KEYS * OL_N_KEY_COLUMNS; i++)
        keys[i] = i % OL_N_KEY_COLUMNS == OL_KEY_POSITION ? -1 : (double)NAN;
    for (int64_t key = 0; key < s->n; key++) {
        const double share = seen_at(s, RECEIVED, key, head);
        if (!counts(s, key))
            continue;
        to[OL_HEAD_N_SINKS] += share > OL_SINK_SHARE;
        offer(keys, key, share);
    }
    for (int i = 0; i < OL_TOP_KEYS; i++) {
        double *key = keys + i * OL_N_KEY_COLUMNS;
        if (key[OL_KEY_POSITION] >= 0)
            key[OL_KEY_GATE] = seen_at(s, GATES, (int64_t)key[OL_KEY_POSITION], head);
    }
}

static void describe_token(const struct sequence *s, int64_t key, float *to)
{
    double sum = 0;
    int n = 0;
    for (int64_t h = 0; h < s->n_heads; h++) {
        const double share = seen_at(s, RECEIVED, key, h);
        sum += share;
        n += share > OL_SINK_SHARE && counts(s, key);
    }
    to[OL_RECEIVED_MEAN] = (float)(sum / (double)s->n_heads);
    to[OL_RECEIVED_HEADS] = (float)n;
}

static int take_sequence(struct shared *shared, const struct ol_writer_job *job,
                         const struct ol_row_span *span, struct ol_error *err)
{
    const struct ol_recording *r = shared->recording;
    const struct ol_activation_rows rows = {span->sequence, span->token, span->n};
    struct sequence s = {&r->to.spec->layers[job->layer],
                         span->n,
                         ol_heads_n(r->to.spec, job->layer),
                         {NULL}};
    const float *seen = job->data;
    for (int i = 0; i < N_SEEN; i++)
        if ((job->what >> i & 1) != 0) {
            s.seen[i] = seen + span->row * s.n_heads;
            seen += job->n * s.n_heads;
        }
    for (int64_t h = 0; h < s.n_heads; h++)
        describe_head(
            &s, h, shared->table + (span->sequence * s.n_heads + h) * OL_N_HEAD_COLUMNS);
    float *received =
        ol_xcalloc((size_t)span->n * OL_N_RECEIVED_COLUMNS, sizeof *received);
    for (int64_t key = 0; key < span->n; key++)
        describe_token(&s, key, received + key * OL_N_RECEIVED_COLUMNS);
    const int status =
        ol_activation_put(r->file, OL_TABLE_RECEIVED, job->layer, &rows, received, err);
    free(received);
    return status;
}

/* Of the rows of one device: whole sequences. */
static int take(void *arg, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = arg;
    const struct ol_recording *r = s->recording;
    struct ol_row_span span = {0};
    while (ol_recording_next_span(r, job, &span))
        if (take_sequence(s, job, &span, err) != 0)
            return -1;
    return ol_recording_is_last(r, job)
               ? ol_activation_put(r->file, OL_TABLE_HEADS, job->layer, NULL, s->table,
                                   err)
               : 0;
}

/* ---- in the pass ---- */

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return recorded != NULL && recorded->n_heads > 0 &&
           (point == OL_POINT_TO_SINK || point == OL_POINT_GATES ||
            point == OL_POINT_RECEIVED);
}

/* Of so many heads. */
static int64_t seen_bytes(const struct ol_observed *what, int64_t n_heads)
{
    return N_SEEN * what->n_rows * n_heads * (int64_t)sizeof(float);
}

/* What is on its way, and what waits to be written. */
static int64_t bytes(const struct ol_observed *what)
{
    const int64_t n_heads = what->layout->summary ? most_heads(what->spec) : 0;
    return 2 * seen_bytes(what, n_heads) +
           what->n_sequences * n_heads * OL_N_HEAD_COLUMNS * (int64_t)sizeof(double);
}

/* Of every sort of mixer. */
static int64_t backend_bytes(const struct ol_observed *what)
{
    const struct ol_spec *spec = what->spec;
    return what->layout->summary
               ? seen_bytes(what, spec->attention.n_heads + spec->sliding.n_heads)
               : 0;
}

/* Of a layer, piece by piece. */
static int64_t result_bytes(const struct ol_observed *what)
{
    const int64_t n_heads = what->layout->summary ? most_heads(what->spec) : 0;
    return N_SEEN * ol_result_bytes(seen_bytes(what, n_heads) / N_SEEN);
}

static void *new (const struct ol_observer_context *context)
{
    struct heads *h = ol_xcalloc(1, sizeof *h);
    h->c = *context;
    return h;
}

static void free_all(void *self)
{
    struct heads *h = self;
    free(h->all);
    free(h);
}

static int hand_over(struct heads *h, const struct ol_view *view, struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&h->c, view->layer, OL_STAGE_COMPONENTS, 0, view->x.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(h->c.recording, &ol_observe_heads);
    job.what = h->what;
    job.data = h->all;
    job.bytes = N_SEEN * ol_tensor_bytes(view->x);
    h->all = NULL;
    h->n = h->what = 0;
    return ol_observer_later(&h->c, &job, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct heads *h = self;
    struct ol_backend *b = h->c.backend;
    const enum seen what = view->point == OL_POINT_TO_SINK ? TO_SINK
                           : view->point == OL_POINT_GATES ? GATES
                                                           : RECEIVED;
    if (h->all == NULL)
        h->all = ol_observer_room(&h->c, N_SEEN * ol_tensor_bytes(view->x), err);
    if (h->all == NULL ||
        b->op->download_later(
            b, view->x, h->all + h->n * (view->x.n_rows * view->x.n_cols), err) != 0)
        return -1;
    h->n++;
    h->what |= 1 << what;
    return what == RECEIVED ? hand_over(h, view, err) : 0;
}

const struct ol_observer ol_observe_heads = {
    .name = "heads",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = backend_bytes,
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .share = share,
    .unshare = unshare,
};
