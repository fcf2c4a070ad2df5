/* What goes into the down projections of a layer's components: an outlier there is of one
 * expert alone, and no norm's output shows it. All values are looked at where they are; a
 * few rows of each component leave the backend. */
#include "extract/observe/down_inputs.h"

#include <stdlib.h>
#include <string.h>

#include "extract/observe/down_table.h"
#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_down_inputs;

enum {
    /* Rows of a component: as many as keep a layer's within so many bytes. */
    LEAST_SAMPLED = 4,
    MOST_SAMPLED = 32,
    SAMPLE_BYTES = 2 << 20,
    KEY_SEED = 1,
};

/* What all devices see: made before the run, then read alone. */
struct shared {
    const struct ol_recording *recording;
    uint64_t *keys;              /* of all rows */
    struct ol_down_table *table; /* of the layer that is being handed over */
};

struct down_inputs {
    struct ol_observer_context c;
    const uint64_t *keys;        /* of the rows of this pass */
    struct ol_down_table *table; /* of the layer; NULL: it is not recorded */
    /* Of what is seen at a time, as much as there was room for. */
    double *moments; /* [n_rows][OL_N_MOMENTS] */
    uint16_t *codes; /* [n_codes]: of maxima, and of rows that are fetched */
    int64_t *rows;   /* [n_fetched], and where they go: */
    uint16_t **slots;
    int64_t n_rows, n_codes, n_fetched;
};

void ol_down_inputs_lay_out(const struct ol_spec *spec, struct ol_activation_layer *layer)
{
    const int64_t own = layer->moe ? spec->d_expert : spec->d_ff,
                  shared = layer->moe ? spec->d_shared : 0,
                  n_own = layer->n_units - (shared > 0),
                  bytes = (n_own * own + shared) * (int64_t)sizeof(uint16_t),
                  n = SAMPLE_BYTES / bytes;
    layer->down_widths[OL_DOWN_OWN] = own;
    layer->down_widths[OL_DOWN_SHARED] = shared;
    layer->n_sampled = (int)(n < LEAST_SAMPLED  ? LEAST_SAMPLED
                             : n > MOST_SAMPLED ? MOST_SAMPLED
                                                : n);
}

/* ---- in the writer's thread ---- */

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of a key and a token. */
static uint64_t mix(uint64_t key, int32_t id)
{
    uint64_t z = key + ((uint64_t)id + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void make_keys(const struct ol_recording *r, uint64_t *keys)
{
    const int32_t *ids = r->to.ids;
    for (int64_t s = 0; s < r->to.layout->n_sequences; s++) {
        uint64_t key = KEY_SEED;
        for (int64_t row = r->starts[s]; row < r->starts[s + 1]; row++) {
            key = mix(key, ids[row]);
            keys[row] = (key & ~(uint64_t)1) | (row == r->starts[s]);
        }
    }
}

static void *share(const struct ol_recording *recording)
{
    if (!recording->to.layout->summary)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->keys = ol_xcalloc((size_t)ol_recording_rows(recording), sizeof *s->keys);
    make_keys(recording, s->keys);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    free(s->table);
    free(s->keys);
    free(s);
}

static int put(const struct ol_recording *r, int layer, struct ol_down_table *t,
               struct ol_error *err)
{
    static const enum ol_table rows[OL_N_DOWNS] = {OL_TABLE_DOWN_ROWS,
                                                   OL_TABLE_DOWN_SHARED_ROWS},
                               maxima[OL_N_DOWNS] = {OL_TABLE_DOWN_MAXIMA,
                                                     OL_TABLE_DOWN_SHARED_MAXIMA};
    const size_t n = (size_t)t->n_components;
    double *moments = ol_xcalloc(n * OL_N_DOWN_MOMENTS, sizeof *moments);
    int64_t *sample =
        ol_xcalloc(n * (size_t)t->n_sampled * OL_N_SAMPLE_COLUMNS, sizeof *sample);
    ol_down_table_moments(t, moments);
    ol_down_table_sort(t, r->starts, sample);
    int status =
        ol_activation_put(r->file, OL_TABLE_DOWN_MOMENTS, layer, NULL, moments, err) ||
        ol_activation_put(r->file, OL_TABLE_DOWN_SAMPLE, layer, NULL, sample, err);
    for (int whose = 0; whose < OL_N_DOWNS && status == 0; whose++)
        if (t->widths[whose] > 0)
            status = ol_activation_put(r->file, rows[whose], layer, NULL, t->codes[whose],
                                       err) ||
                     ol_activation_put(r->file, maxima[whose], layer, NULL,
                                       t->maxima[whose], err);
    free(sample);
    free(moments);
    return status == 0 ? 0 : -1;
}

/* Of the rows of one device. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    if (s->table == NULL)
        s->table = ol_down_table_new(ol_recording_layer(r, job->layer));
    ol_down_table_join(s->table, job->data);
    if (!ol_recording_is_last(r, job))
        return 0;
    const int status = put(r, job->layer, s->table, err);
    free(s->table);
    s->table = NULL;
    return status;
}

/* ---- in the pass ---- */

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return recorded != NULL && recorded->down_widths[OL_DOWN_OWN] > 0 &&
           (point == OL_POINT_DOWN_INPUT || point == OL_POINT_RESIDUAL_OUT);
}

static void *new (const struct ol_observer_context *context)
{
    const struct shared *s =
        ol_recording_shared(context->recording, &ol_observe_down_inputs);
    struct down_inputs *d = ol_xcalloc(1, sizeof *d);
    d->c = *context;
    d->keys = s->keys + context->first_row;
    return d;
}

static void free_all(void *self)
{
    struct down_inputs *d = self;
    free(d->table);
    free(d->moments);
    free(d->codes);
    free(d->rows);
    free(d->slots);
    free(d);
}

/* A layer's, one that waits to be written, what all devices' come to; keys, and what is
 * looked at at a time, of at most so many rows. */
static int64_t bytes(const struct ol_observed *what)
{
    enum { ROWS = 8192 };
    int64_t most = 0;
    for (int l = 0; l < what->layout->n_layers; l++) {
        const struct ol_activation_layer *layer = &what->layout->layers[l];
        const int64_t n =
            layer->down_widths[OL_DOWN_OWN] > 0 ? ol_down_table_bytes(layer) : 0;
        most = n > most ? n : most;
    }
    return most == 0 ? 0
                     : 4 * most + what->n_rows * (int64_t)sizeof(uint64_t) +
                           ROWS * OL_N_MOMENTS * (int64_t)sizeof(double);
}

static int begin_layer(void *self, int layer, struct ol_error *err)
{
    (void)err;
    struct down_inputs *d = self;
    const struct ol_activation_layer *recorded = ol_observed_layer(&d->c.what, layer);
    free(d->table);
    d->table = recorded != NULL && recorded->down_widths[OL_DOWN_OWN] > 0
                   ? ol_down_table_new(recorded)
                   : NULL;
    return 0;
}

static void make_room(struct down_inputs *d, const struct ol_view *view)
{
    const int64_t n_kept = (int64_t)view->components->n * d->table->n_sampled,
                  n_rows = view->x.n_rows, width = view->x.n_cols,
                  n_maxima = (int64_t)view->components->n * width,
                  n_fetched = n_kept < n_rows ? n_kept : n_rows,
                  n_codes = (n_fetched * width > n_maxima ? n_fetched * width : n_maxima);
    if (n_rows > d->n_rows)
        d->moments = ol_xrealloc_array(d->moments, (size_t)n_rows * OL_N_MOMENTS,
                                       sizeof *d->moments);
    if (n_codes > d->n_codes)
        d->codes = ol_xrealloc_array(d->codes, (size_t)n_codes, sizeof *d->codes);
    if (n_fetched > d->n_fetched) {
        d->rows = ol_xrealloc_array(d->rows, (size_t)n_fetched, sizeof *d->rows);
        d->slots = ol_xrealloc_array(d->slots, (size_t)n_fetched, sizeof *d->slots);
    }
    d->n_rows = n_rows > d->n_rows ? n_rows : d->n_rows;
    d->n_codes = n_codes > d->n_codes ? n_codes : d->n_codes;
    d->n_fetched = n_fetched > d->n_fetched ? n_fetched : d->n_fetched;
}

static int add_moments(struct down_inputs *d, const struct ol_view *view,
                       struct ol_error *err)
{
    const struct ol_component_rows *of = view->components;
    if (d->c.backend->op->row_moments(d->c.backend, view->x, d->moments, err) != 0)
        return -1;
    for (int i = 0; i < of->n; i++) {
        struct ol_down_component *c = &d->table->components[of->components[i]];
        for (int64_t k = of->firsts[i]; k < of->ends[i]; k++) {
            const double *m = d->moments + k * OL_N_MOMENTS;
            for (int power = 0; power < OL_DOWN_SUMS; power++)
                ol_exact_sum_add(&c->sums[power], m[OL_MOMENT_FIRST + power]);
            if (m[OL_MOMENT_LARGEST] > c->largest)
                c->largest = m[OL_MOMENT_LARGEST];
            if (m[OL_MOMENT_SMALLEST] < c->smallest)
                c->smallest = m[OL_MOMENT_SMALLEST];
        }
    }
    return 0;
}

static int add_maxima(struct down_inputs *d, const struct ol_view *view,
                      struct ol_error *err)
{
    const struct ol_component_rows *of = view->components;
    const int64_t width = view->x.n_cols;
    if (d->c.backend->op->column_maxima(d->c.backend, view->x, of->n, of->firsts,
                                        of->ends, d->codes, err) != 0)
        return -1;
    for (int i = 0; i < of->n; i++) {
        uint16_t *to = ol_down_table_maxima(d->table, of->components[i]);
        const uint16_t *from = d->codes + i * width;
        for (int64_t c = 0; c < width; c++)
            to[c] = from[c] > to[c] ? from[c] : to[c];
    }
    return 0;
}

/* Rows that are new in the sample, until a smaller key takes their place. */
static int add_sample(struct down_inputs *d, const struct ol_view *view,
                      struct ol_error *err)
{
    const struct ol_component_rows *of = view->components;
    struct ol_down_table *t = d->table;
    const int64_t width = view->x.n_cols;
    int64_t n = 0;
    for (int i = 0; i < of->n; i++) {
        const int component = of->components[i];
        struct ol_sampled_row *kept = t->sample + (int64_t)component * t->n_sampled;
        for (int64_t k = of->firsts[i]; k < of->ends[i]; k++)
            ol_down_table_offer(t, component, d->keys[of->rows[k]],
                                d->c.first_row + of->rows[k], k);
        for (int s = 0; s < t->n_sampled; s++) {
            if (kept[s].count == 0 || kept[s].from < 0)
                continue;
            d->rows[n] = kept[s].from;
            d->slots[n++] = ol_down_table_codes(t, component, s);
            kept[s].from = -1;
        }
    }
    if (n > 0 &&
        d->c.backend->op->codes(d->c.backend, view->x, n, d->rows, d->codes, err) != 0)
        return -1;
    for (int64_t i = 0; i < n; i++)
        memcpy(d->slots[i], d->codes + i * width, (size_t)width * sizeof *d->codes);
    return 0;
}

static int hand_over(struct down_inputs *d, int layer, struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&d->c, layer, OL_STAGE_COMPONENTS, 0, d->c.what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(d->c.recording, &ol_observe_down_inputs);
    job.data = d->table;
    d->table = NULL;
    return ol_writer_put(d->c.writer, &job, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct down_inputs *d = self;
    if (view->point == OL_POINT_RESIDUAL_OUT)
        return hand_over(d, view->layer, err);
    make_room(d, view);
    return add_moments(d, view, err) != 0 || add_maxima(d, view, err) != 0 ||
                   add_sample(d, view, err) != 0
               ? -1
               : 0;
}

const struct ol_observer ol_observe_down_inputs = {
    .name = "down inputs",
    .wants = wants,
    .bytes = bytes,
    .new = new,
    .free = free_all,
    .begin_layer = begin_layer,
    .see = see,
    .share = share,
    .unshare = unshare,
};
