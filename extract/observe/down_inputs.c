/* What goes into the down projections of a layer's components: an outlier there is of one
 * expert alone, and no norm's output shows it. All values are looked at where they are; a
 * few rows of each component leave the backend. */
#include "extract/observe/down_inputs.h"

#include <stdlib.h>

#include "extract/observe/down_table.h"
#include "extract/observe/observer.h"
#include "extract/observe/token_keys.h"

extern const struct ol_observer ol_observe_down_inputs;

enum {
    /* Rows of a component: as many as keep a layer's within so many bytes. */
    LEAST_SAMPLED = 4,
    MOST_SAMPLED = 32,
    SAMPLE_BYTES = 2 << 20,
};

/* What all devices see: made before the run, then read alone. */
struct shared {
    const struct ol_recording *recording;
    uint64_t *keys;              /* of all rows */
    struct ol_down_table *table; /* of the layer that is being handed over */
};

struct down_inputs {
    struct ol_observer_context c;
    const uint64_t *keys;          /* of the rows of this pass */
    struct ol_down_table *table;   /* of the layer; NULL: it is not recorded */
    struct ol_down_tables *tables; /* of the backend's; NULL: not made yet */
    /* Of what is seen at a time, as much as there was room for. */
    int64_t *maxima_at; /* [n_components] */
    int64_t n_components;
    int64_t *kept, *codes_at; /* [n_kept] */
    int64_t n_kept;
};

void ol_down_inputs_lay_out(const struct ol_spec *spec, struct ol_activation_layer *layer)
{
    if (layer->n_units == 0)
        return;
    const int64_t own = layer->moe ? spec->d_expert : ol_spec_d_ff(spec, layer->number),
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

static void *share(const struct ol_recording *recording)
{
    if (!recording->to.layout->summary)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->keys = ol_token_keys(recording);
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
    d->c.backend->op->down_free(d->c.backend, d->tables);
    free(d->table);
    free(d->maxima_at);
    free(d->kept);
    free(d->codes_at);
    free(d);
}

static bool is_recorded(const struct ol_activation_layer *layer)
{
    return layer != NULL && layer->down_widths[OL_DOWN_OWN] > 0;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A layer's, one that is on its way and one that waits to be written, and what all
 * devices' come to; keys. */
static int64_t bytes(const struct ol_observed *what)
{
    int64_t most = 0;
    for (int l = 0; l < what->layout->n_layers; l++)
        if (is_recorded(&what->layout->layers[l]))
            most = larger(most, ol_down_table_bytes(&what->layout->layers[l]));
    return most > 0 ? 4 * most + what->n_rows * (int64_t)sizeof(uint64_t) : 0;
}

/* Of any layer. */
static struct ol_down_sizes most_of(const struct ol_observed *what)
{
    struct ol_down_sizes most = {0};
    for (int l = 0; l < what->layout->n_layers; l++)
        if (is_recorded(&what->layout->layers[l])) {
            const struct ol_down_sizes sizes =
                ol_down_table_sizes(&what->layout->layers[l]);
            most.n_components = (int)larger(most.n_components, sizes.n_components);
            most.n_maxima = larger(most.n_maxima, sizes.n_maxima);
            most.n_codes = larger(most.n_codes, sizes.n_codes);
        }
    return most;
}

static int64_t backend_bytes(const struct ol_observed *what)
{
    const struct ol_down_sizes most = most_of(what);
    return most.n_components * (int64_t)sizeof(struct ol_down_moments) +
           4 * most.n_maxima + 2 * most.n_codes;
}

static int64_t result_bytes(const struct ol_observed *what)
{
    return ol_result_bytes(backend_bytes(what));
}

static int begin_layer(void *self, int layer, struct ol_error *err)
{
    struct down_inputs *d = self;
    const struct ol_activation_layer *recorded = ol_observed_layer(&d->c.what, layer);
    struct ol_backend *b = d->c.backend;
    free(d->table);
    d->table = NULL;
    if (!is_recorded(recorded))
        return 0;
    const struct ol_down_sizes most = most_of(&d->c.what),
                               sizes = ol_down_table_sizes(recorded);
    if (d->tables == NULL)
        d->tables = b->op->down_new(b, &most, err);
    if (d->tables == NULL)
        return -1;
    d->table = ol_down_table_new(recorded);
    return b->op->down_begin(b, d->tables, &sizes, err);
}

static void make_room(struct down_inputs *d, int64_t n)
{
    if (n > d->n_components) {
        d->n_components = n;
        d->maxima_at = ol_xrealloc_array(d->maxima_at, (size_t)n, sizeof *d->maxima_at);
    }
    n *= d->table->n_sampled;
    if (n > d->n_kept) {
        d->n_kept = n;
        d->kept = ol_xrealloc_array(d->kept, (size_t)n, sizeof *d->kept);
        d->codes_at = ol_xrealloc_array(d->codes_at, (size_t)n, sizeof *d->codes_at);
    }
}

/* Offer a component's rows to its sample, and list those that are new in it, until a
 * smaller key takes their place; n were listed before. */
static int64_t offer_rows(struct down_inputs *d, const struct ol_component_rows *of,
                          int piece, int64_t n)
{
    struct ol_down_table *t = d->table;
    const int component = of->components[piece];
    struct ol_sampled_row *sample = t->sample + (int64_t)component * t->n_sampled;
    for (int64_t k = of->firsts[piece]; k < of->ends[piece]; k++)
        ol_down_table_offer(t, component, d->keys[of->rows[k]],
                            d->c.first_row + of->rows[k], k);
    for (int s = 0; s < t->n_sampled; s++) {
        if (sample[s].count == 0 || sample[s].from < 0)
            continue;
        d->kept[n] = sample[s].from;
        d->codes_at[n++] = ol_down_table_codes(t, component, s) - t->codes[OL_DOWN_OWN];
        sample[s].from = -1;
    }
    return n;
}

static int see_rows(struct down_inputs *d, const struct ol_view *view,
                    struct ol_error *err)
{
    const struct ol_component_rows *of = view->components;
    struct ol_down_seen seen = {.of = of};
    make_room(d, of->n);
    for (int i = 0; i < of->n; i++) {
        d->maxima_at[i] = ol_down_table_maxima(d->table, of->components[i]) -
                          d->table->maxima[OL_DOWN_OWN];
        seen.n_kept = offer_rows(d, of, i, seen.n_kept);
    }
    seen.maxima_at = d->maxima_at;
    seen.kept = d->kept;
    seen.codes_at = d->codes_at;
    return d->c.backend->op->down_see(d->c.backend, d->tables, &seen, view->x, err);
}

static int hand_over(struct down_inputs *d, int layer, struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&d->c, layer, OL_STAGE_COMPONENTS, 0, d->c.what.n_rows);
    const struct ol_down_made made = {d->table->moments, d->table->maxima[OL_DOWN_OWN],
                                      d->table->codes[OL_DOWN_OWN]};
    if (d->c.backend->op->down_take(d->c.backend, d->tables, &made, err) != 0)
        return -1;
    job.take = take;
    job.shared = ol_recording_shared(d->c.recording, &ol_observe_down_inputs);
    job.data = d->table;
    d->table = NULL;
    return ol_observer_later(&d->c, &job, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct down_inputs *d = self;
    if (view->point == OL_POINT_RESIDUAL_OUT)
        return hand_over(d, view->layer, err);
    return see_rows(d, view, err);
}

const struct ol_observer ol_observe_down_inputs = {
    .name = "down inputs",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = backend_bytes,
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .begin_layer = begin_layer,
    .see = see,
    .share = share,
    .unshare = unshare,
};
