/* What routers would choose if their inputs were stored in fewer bits: a sample of rows,
 * the same for any number of devices, is rounded to each format and routed once more.
 *
 *     at the router    a row per sampled token, gathered
 *     layer's end      rounded there: [formats, n_sampled, d_model], routed as one; what
 *                      is chosen comes with the layer's other results
 *
 * All devices route tensors of the same shape, each its own tokens' rows and zeros in
 * place of the others': how a product is computed may depend on its shape. */
#include "extract/observe/rounded.h"

#include <stdlib.h>

#include "common/round_row.h"
#include "extract/model/role.h"
#include "extract/observe/observer.h"
#include "extract/observe/token_keys.h"

extern const struct ol_observer ol_observe_rounded;

enum { FIRSTS, OTHERS, N_KINDS };

struct sampled {
    uint64_t key; /* odd: of the first token of a sequence */
    int64_t count, row;
};

/* What all devices see: the sample is made before the run, then read alone. */
struct shared {
    const struct ol_recording *recording;
    struct sampled *sample; /* [n] first tokens, then others, by rising key */
    int64_t n;
    uint16_t *choices; /* [OL_ROUNDED_ROWS, OL_N_ROW_FORMATS, top_k] of the layer that is
                          being handed over */
};

struct rounded {
    struct ol_observer_context c;
    const struct shared *shared;
    /* Of the sample, those of this pass: */
    int64_t n;
    int32_t *rows;  /* [n]: rows of the pass, */
    int32_t *slots; /* [n]: their places in the sample */
    bool seen;      /* in the layer */
    /* Of the backend's: [n, d_model] as they are, and [formats, shared->n, d_model]. */
    struct ol_tensor gathered, routed;
};

int ol_rounded_n(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].moe && ol_role_exists(spec, OL_ROLE_ROUTER, layer)
               ? OL_ROUNDED_ROWS
               : 0;
}

/* ---- the sample ---- */

static int compare(const void *x, const void *y)
{
    const struct sampled *a = x, *b = y;
    if ((a->key & 1) != (b->key & 1))
        return (a->key & 1) != 0 ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* The smallest keys of each kind, equal ones as one. Returns how many there are. */
static int64_t keep_smallest(struct sampled *all, int64_t n)
{
    const int64_t firsts = ol_sampled_firsts(OL_ROUNDED_ROWS),
                  room[N_KINDS] = {firsts, OL_ROUNDED_ROWS - firsts};
    int64_t n_kept = 0, n_of[N_KINDS] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        const int kind = (all[i].key & 1) != 0 ? FIRSTS : OTHERS;
        if (n_kept > 0 && all[n_kept - 1].key == all[i].key) {
            all[n_kept - 1].count++;
        } else if (n_of[kind] < room[kind]) {
            all[n_kept++] = all[i];
            n_of[kind]++;
        }
    }
    return n_kept;
}

static void draw_sample(struct shared *s)
{
    const int64_t n_rows = ol_recording_rows(s->recording);
    uint64_t *keys = ol_token_keys(s->recording);
    s->sample = ol_xcalloc((size_t)n_rows, sizeof *s->sample);
    for (int64_t i = 0; i < n_rows; i++)
        s->sample[i] = (struct sampled){keys[i], 1, i};
    free(keys);
    qsort(s->sample, (size_t)n_rows, sizeof *s->sample, compare);
    s->n = keep_smallest(s->sample, n_rows);
    s->sample = ol_xrealloc_array(s->sample, (size_t)s->n, sizeof *s->sample);
}

/* ---- in the writer's thread ---- */

static size_t n_choices(const struct ol_spec *spec, int64_t rows)
{
    return (size_t)rows * OL_N_ROW_FORMATS * (size_t)spec->router.top_k;
}

static void *share(const struct ol_recording *recording)
{
    const struct ol_activation_layout *layout = recording->to.layout;
    int n_rounded = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n_rounded += layout->layers[l].n_rounded;
    if (n_rounded == 0)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->choices =
        ol_xcalloc(n_choices(recording->to.spec, OL_ROUNDED_ROWS), sizeof *s->choices);
    draw_sample(s);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    free(s->sample);
    free(s->choices);
    free(s);
}

static void describe(const struct shared *s, int64_t *columns)
{
    const int64_t *starts = s->recording->starts;
    for (int64_t i = 0; i < s->n; i++, columns += OL_N_SAMPLE_COLUMNS) {
        const struct sampled *row = &s->sample[i];
        int64_t sequence = 0;
        while (starts[sequence + 1] <= row->row)
            sequence++;
        memcpy(&columns[OL_SAMPLE_KEY], &row->key, sizeof row->key);
        columns[OL_SAMPLE_COUNT] = row->count;
        columns[OL_SAMPLE_SEQUENCE] = sequence;
        columns[OL_SAMPLE_POSITION] = row->row - starts[sequence];
    }
}

/* Of a layer whose router had no input nothing is known: no rows. */
static int put(struct shared *s, const struct ol_writer_job *job, struct ol_error *err)
{
    const struct ol_recording *r = s->recording;
    int64_t *columns =
        ol_xcalloc((size_t)OL_ROUNDED_ROWS * OL_N_SAMPLE_COLUMNS, sizeof *columns);
    if (job->what != 0)
        describe(s, columns);
    else
        memset(s->choices, 0,
               n_choices(r->to.spec, OL_ROUNDED_ROWS) * sizeof *s->choices);
    const int status = ol_activation_put(r->file, OL_TABLE_ROUNDED_SAMPLE, job->layer,
                                         NULL, columns, err) != 0
                           ? -1
                           : ol_activation_put(r->file, OL_TABLE_ROUNDED_CHOICES,
                                               job->layer, NULL, s->choices, err);
    free(columns);
    return status;
}

/* Of one device: choices by format in all places of the sample, of which its own rows
 * count. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const int64_t top_k = s->recording->to.spec->router.top_k;
    const uint16_t *choices = job->data;
    for (int64_t i = 0; i < s->n && choices != NULL; i++) {
        if (s->sample[i].row < job->first || s->sample[i].row >= job->first + job->n)
            continue;
        for (int64_t f = 0; f < OL_N_ROW_FORMATS; f++)
            memcpy(s->choices + (i * OL_N_ROW_FORMATS + f) * top_k,
                   choices + (f * s->n + i) * top_k, (size_t)top_k * sizeof *choices);
    }
    return ol_recording_is_last(s->recording, job) ? put(s, job, err) : 0;
}

/* ---- in the pass ---- */

static bool is_recorded(const struct ol_activation_layer *recorded)
{
    return recorded != NULL && recorded->n_rounded > 0;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return is_recorded(recorded) && point == OL_POINT_ROUTER_INPUT;
}

static bool any_recorded(const struct ol_observed *what)
{
    for (int l = 0; l < what->layout->n_layers; l++)
        if (is_recorded(&what->layout->layers[l]))
            return true;
    return false;
}

/* Rows of the sample at most, as they are and rounded. */
static int64_t most_rows(const struct ol_observed *what)
{
    return what->n_rows < OL_ROUNDED_ROWS ? what->n_rows : (int64_t)OL_ROUNDED_ROWS;
}

/* Of the sample while it is drawn, and of choices with their weights. */
static int64_t bytes(const struct ol_observed *what)
{
    const int64_t rows = most_rows(what);
    return !any_recorded(what)
               ? 0
               : what->n_rows * (int64_t)(sizeof(struct sampled) + sizeof(uint64_t)) +
                     4 * (int64_t)(n_choices(what->spec, rows) * sizeof(float));
}

static int64_t backend_bytes(const struct ol_observed *what)
{
    const int64_t rows = most_rows(what);
    return !any_recorded(what)
               ? 0
               : rows *
                     ((1 + OL_N_ROW_FORMATS) * (int64_t)what->spec->d_model +
                      OL_N_ROW_FORMATS * (int64_t)what->spec->router.n_experts) *
                     (int64_t)sizeof(float);
}

/* Choices with their weights. */
static int64_t result_bytes(const struct ol_observed *what)
{
    const int64_t rows = most_rows(what);
    return !any_recorded(what)
               ? 0
               : ol_result_bytes((int64_t)(n_choices(what->spec, rows) *
                                           (sizeof(uint16_t) + sizeof(float))));
}

static void *new (const struct ol_observer_context *context)
{
    struct rounded *r = ol_xcalloc(1, sizeof *r);
    r->c = *context;
    r->shared = ol_recording_shared(context->recording, &ol_observe_rounded);
    r->rows = ol_xcalloc((size_t)r->shared->n, sizeof *r->rows);
    r->slots = ol_xcalloc((size_t)r->shared->n, sizeof *r->slots);
    for (int64_t i = 0; i < r->shared->n; i++) {
        const int64_t row = r->shared->sample[i].row - context->first_row;
        if (row < 0 || row >= context->what.n_rows)
            continue;
        r->rows[r->n] = (int32_t)row;
        r->slots[r->n++] = (int32_t)i;
    }
    return r;
}

static void free_all(void *self)
{
    struct rounded *r = self;
    r->c.backend->op->tensor_free(r->c.backend, &r->gathered);
    r->c.backend->op->tensor_free(r->c.backend, &r->routed);
    free(r->rows);
    free(r->slots);
    free(r);
}

static int make_room(struct rounded *r, struct ol_error *err)
{
    struct ol_backend *b = r->c.backend;
    const int64_t d = r->c.what.spec->d_model, n = r->shared->n;
    if (r->gathered.data != NULL)
        return 0;
    return b->op->tensor_new(b, b->dtype, r->n, d, &r->gathered, err) != 0
               ? -1
               : b->op->tensor_new(b, b->dtype, n * OL_N_ROW_FORMATS, d, &r->routed, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct rounded *r = self;
    struct ol_backend *b = r->c.backend;
    r->seen = view->x.data != NULL;
    if (!r->seen || r->n == 0)
        return 0;
    return make_room(r, err) != 0
               ? -1
               : b->op->gather(b, view->x, r->rows, NULL, r->gathered, err);
}

/* Each row at its place among all; in the others' there are zeros. */
static int route(struct rounded *r, int layer, uint16_t *choices, float *weights,
                 struct ol_error *err)
{
    struct ol_backend *b = r->c.backend;
    const struct ol_weights *w = r->c.recording->to.weights;
    return b->op->round_rows(b, r->gathered, r->slots, r->routed, err) != 0
               ? -1
               : b->op->route(b, &r->c.what.spec->router, r->routed,
                              ol_weights_get(w, OL_ROLE_ROUTER, layer, 0),
                              ol_weights_get(w, OL_ROLE_ROUTER_BIAS, layer, 0),
                              ol_weights_get(w, OL_ROLE_ROUTER_CORRECTION, layer, 0),
                              choices, weights, NULL, err);
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    (void)stream;
    struct rounded *r = self;
    if (!is_recorded(ol_observed_layer(&r->c.what, layer)))
        return 0;
    struct ol_writer_job job =
        ol_observer_job(&r->c, layer, OL_STAGE_OUTPUT, 0, r->c.what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(r->c.recording, &ol_observe_rounded);
    job.what = r->seen;
    if (r->seen && r->n > 0) {
        const size_t n = n_choices(r->c.what.spec, r->shared->n);
        job.data = ol_xcalloc(n, sizeof(uint16_t));
        job.more = ol_xcalloc(n, sizeof(float));
        if (route(r, layer, job.data, job.more, err) != 0) {
            ol_writer_job_free(&job);
            return -1;
        }
    }
    r->seen = false;
    return ol_observer_later(&r->c, &job, err);
}

const struct ol_observer ol_observe_rounded = {
    .name = "rounded router inputs",
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
