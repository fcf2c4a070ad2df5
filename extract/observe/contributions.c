/* Who writes into the residual stream: for the largest dimensions of every token's stream
 * after a layer, what the layer's attention and each component of its MLP that the token
 * uses added to them; and for every component (expert, shared expert, dense MLP) its load
 * and its largest values.
 *
 * Which dimensions these will be is known only when the layer is done, and the
 * components' outputs are not kept. So for every token the components are looked at where
 * the stream is large before the MLP (candidates), and each one's own largest outputs are
 * kept: a dimension that is large after the layer was large before, or was made so by a
 * component. The rest (a component's small share of a dimension that several raised
 * together) is NaN: not known.
 *
 * A token's own components are counted by slot: its top_k experts and, last, the shared
 * one; or the dense MLP. Of experts with a latent only the largest values are known, in
 * that. */
#include "extract/observe/contributions.h"

#include <math.h>
#include <stdlib.h>

#include "extract/observe/unit_table.h"

extern const struct ol_observer ol_observe_contributions;

struct contributions {
    struct ol_observer_context c;
    const struct ol_spec *spec;
    struct ol_backend *b;
    struct ol_contribution_tables *tables;
    int64_t n_rows;
    int n_slots, n_components;
};

static bool has_shared(const struct ol_spec *spec)
{
    return spec->d_shared > 0;
}

int ol_contributions_components(const struct ol_spec *spec, int layer)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    return l->moe ? spec->router.n_experts + has_shared(spec) : !l->no_mlp;
}

static int slots_of(const struct ol_spec *spec, int layer)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    return l->moe ? spec->router.top_k + has_shared(spec) : !l->no_mlp;
}

static int most(const struct ol_spec *spec,
                int (*of)(const struct ol_spec *spec, int layer))
{
    int n = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n = of(spec, l) > n ? of(spec, l) : n;
    return n;
}

/* What comes of a layer. */
static int64_t result_bytes(const struct ol_observed *what)
{
    const int64_t n_slots = most(what->spec, slots_of),
                  n_components = most(what->spec, ol_contributions_components);
    return what->layout->summary
               ? ol_result_bytes(n_components * (int64_t)sizeof(struct ol_component) +
                                 what->n_rows * OL_TOP_FEATURES *
                                     (2 + 4 * (OL_WRITES_PER_TOP + n_slots)))
               : 0;
}

/* A layer's on its way, and what waits to be written. */
static int64_t bytes(const struct ol_observed *what)
{
    return 2 * result_bytes(what);
}

/* The tables, and largest values. */
static int64_t backend_bytes(const struct ol_observed *what)
{
    const int64_t n_slots = most(what->spec, slots_of);
    const int64_t row = OL_CANDIDATES * 6 + OL_TOP_FEATURES * 4 +
                        n_slots * (OL_CANDIDATES * 4 + OL_OWN_LARGEST * 6);
    return what->layout->summary ? what->n_rows * row : 0;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return recorded != NULL && ol_activation_has_writes(recorded) &&
           (point == OL_POINT_ATTENTION || point == OL_POINT_ROUTER ||
            point == OL_POINT_DOWN_INPUT || point == OL_POINT_DOWN_OUTPUT ||
            point == OL_POINT_RESIDUAL_OUT);
}

static void *new (const struct ol_observer_context *context)
{
    struct contributions *w = ol_xcalloc(1, sizeof *w);
    w->c = *context;
    w->spec = context->what.spec;
    w->b = context->backend;
    w->n_rows = context->what.n_rows;
    return w;
}

static void free_all(void *self)
{
    struct contributions *w = self;
    w->b->op->contributions_free(w->b, w->tables);
    free(w);
}

static int begin_layer(void *self, int layer, struct ol_error *err)
{
    struct contributions *w = self;
    const struct ol_contribution_sizes sizes = {
        .n_rows = w->n_rows,
        .width = w->spec->d_model,
        .most_slots = most(w->spec, slots_of),
        .most_components = most(w->spec, ol_contributions_components),
    };
    if (w->tables == NULL)
        w->tables = w->b->op->contributions_new(w->b, &sizes, err);
    if (w->tables == NULL)
        return -1;
    w->n_slots = slots_of(w->spec, layer);
    w->n_components = ol_contributions_components(w->spec, layer);
    return w->b->op->contributions_begin(w->b, w->tables, err);
}

/* ---- in the writer's thread ---- */

struct shared {
    const struct ol_recording *recording;
    struct ol_unit_table components; /* what the layer's came to so far */
};

static void *share(const struct ol_recording *recording)
{
    const struct ol_activation_layout *layout = recording->to.layout;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    int n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n = layout->layers[l].n_units > n ? layout->layers[l].n_units : n;
    s->recording = recording;
    ol_unit_table_init(&s->components, recording->starts,
                       recording->to.spec->router.n_experts, n);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    ol_unit_table_clear(&s->components);
    free(s);
}

static int take_gates(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    (void)err;
    struct shared *s = shared;
    ol_unit_table_add_gates(&s->components, job->first == 0,
                            job->n * s->recording->to.spec->router.top_k, job->data,
                            job->more);
    return 0;
}

/* What components came to, among the rows of all passes: this one's begin at `first`. */
static void describe_units(const struct ol_spec *spec, const struct ol_component *of,
                           int n, int64_t first, struct ol_unit *units)
{
    for (int i = 0; i < n; i++) {
        const struct ol_component *c = &of[i];
        const bool of_latent = spec->d_latent > 0 && i < spec->router.n_experts;
        units[i] = (struct ol_unit){
            .n_tokens = c->n_tokens,
            .input = c->input.value,
            .input_column = c->input.column,
            .input_row = c->input.row < 0 ? -1 : first + c->input.row,
            .output = c->output.value,
            .output_column = of_latent ? -1 : c->output.column,
            .output_row = c->output.row < 0 ? -1 : first + c->output.row,
        };
    }
}

static int take_units(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    const int n = job->what;
    struct ol_unit *units = ol_xcalloc((size_t)n, sizeof *units);
    describe_units(r->to.spec, job->data, n, job->first, units);
    ol_unit_table_add(&s->components, job->first == 0, units, n);
    free(units);
    if (!ol_recording_is_last(r, job))
        return 0;
    const bool routed = ol_recording_layer(r, job->layer)->top_k > 0;
    double *table = ol_xcalloc((size_t)n * OL_N_UNIT_COLUMNS, sizeof *table);
    ol_unit_table_fill(&s->components, n, routed, table);
    const int status =
        ol_activation_put(r->file, OL_TABLE_UNITS, job->layer, NULL, table, err);
    free(table);
    return status;
}

/* What the layer does to what was written: a factor multiplies the whole stream after it,
 * writes too. Where a norm follows the sum of all experts, what each of them adds to the
 * stream is not known; nor is what anything adds where there are several streams, each of
 * which takes another part of it. n values of each row are [width]. */
static void change_writes(const struct ol_spec *spec, int layer, float factor,
                          float *writes, int64_t n, int width)
{
    int first_unknown = width;
    if (spec->layers[layer].moe && spec->names[OL_ROLE_MLP_POST_NORM] != NULL)
        first_unknown = OL_WRITES_PER_TOP;
    if (spec->connection.n_streams > 0)
        first_unknown = 1;
    if (factor == 1 && first_unknown == width)
        return;
    for (int64_t i = 0; i < n; i++)
        for (int k = 1; k < width; k++)
            writes[i * width + k] =
                k >= first_unknown ? NAN : factor * writes[i * width + k];
}

/* Behind the writes lies the layer's factor. */
static int take_writes(void *shared, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    const struct ol_recording *r = ((struct shared *)shared)->recording;
    const int width = OL_WRITES_PER_TOP + job->what;
    const uint16_t *features = job->data;
    float *writes = job->more;
    const int64_t row_width = (int64_t)OL_TOP_FEATURES * width;
    struct ol_row_span s = {0};
    change_writes(r->to.spec, job->layer, writes[job->n * row_width], writes,
                  job->n * OL_TOP_FEATURES, width);
    while (ol_recording_next_span(r, job, &s)) {
        const struct ol_activation_rows rows = {s.sequence, s.token, s.n};
        if (ol_activation_put(r->file, OL_TABLE_TOP_FEATURES, job->layer, &rows,
                              features + s.row * OL_TOP_FEATURES, err) != 0 ||
            ol_activation_put(r->file, OL_TABLE_WRITES, job->layer, &rows,
                              writes + s.row * row_width, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- the tables ---- */

/* The router's weights, of which the components' gates are summed up. */
static int see_router(struct contributions *w, const struct ol_view *view,
                      struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&w->c, view->layer, OL_STAGE_MLP, 0, w->n_rows);
    const size_t n = (size_t)w->n_rows * (size_t)w->spec->router.top_k;
    uint16_t *ids = ol_xcalloc(n, sizeof *ids);
    float *weights = ol_xcalloc(n, sizeof *weights);
    memcpy(ids, view->ids, n * sizeof *ids);
    memcpy(weights, view->values, n * sizeof *weights);
    job.take = take_gates;
    job.shared = ol_recording_shared(w->c.recording, &ol_observe_contributions);
    job.data = ids;
    job.more = weights;
    return ol_observer_put(&w->c, &job, err);
}

static struct ol_writer_job job_of(const struct contributions *w, int layer)
{
    struct ol_writer_job job =
        ol_observer_job(&w->c, layer, OL_STAGE_COMPONENTS, 0, w->n_rows);
    job.shared = ol_recording_shared(w->c.recording, &ol_observe_contributions);
    return job;
}

static float factor_of(const struct contributions *w, int layer)
{
    const struct ol_weight scale =
        ol_weights_get(w->c.recording->to.weights, OL_ROLE_LAYER_SCALE, layer, 0);
    float factor = 1;
    if (scale.data != NULL)
        ol_weight_numbers(&scale, &factor);
    return factor;
}

/* Have the tables made, and hand them over when they have come. */
static int see_output(struct contributions *w, const struct ol_view *view,
                      struct ol_error *err)
{
    struct ol_writer_job writes = job_of(w, view->layer), units = job_of(w, view->layer);
    const size_t n = (size_t)w->n_rows * OL_TOP_FEATURES,
                 n_writes = n * (size_t)(OL_WRITES_PER_TOP + w->n_slots);
    struct ol_contributions_made made = {
        .k = OL_TOP_FEATURES,
        .n_slots = w->n_slots,
        .n_components = w->n_components,
    };
    writes.bytes = (n_writes + 1) * sizeof *made.writes;
    made.writes = ol_observer_room(&w->c, writes.bytes, err);
    if (made.writes == NULL)
        return -1;
    made.writes[n_writes] = factor_of(w, view->layer);
    made.features = ol_xcalloc(n, sizeof *made.features);
    made.components = ol_xcalloc((size_t)w->n_components, sizeof *made.components);
    writes.take = take_writes;
    writes.what = w->n_slots;
    writes.data = made.features;
    writes.more = made.writes;
    units.take = take_units;
    units.what = w->n_components;
    units.data = made.components;
    int status = w->b->op->contributions_take(w->b, w->tables, view->x, &made, err);
    if (status != 0 || w->n_components == 0) {
        ol_writer_job_free(&units);
        units.data = NULL;
    }
    if (status != 0) {
        ol_writer_job_free(&writes);
        return -1;
    }
    /* Both are given away, also when one fails. */
    status = ol_observer_later(&w->c, &writes, err);
    if (units.data != NULL && ol_observer_later(&w->c, &units, err) != 0)
        status = -1;
    return status;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct contributions *w = self;
    switch (view->point) {
    case OL_POINT_ATTENTION:
        return w->b->op->contributions_attention(w->b, w->tables, view->first,
                                                 view->stream, view->x, err);
    case OL_POINT_ROUTER:
        return see_router(w, view, err);
    case OL_POINT_DOWN_INPUT:
        return w->b->op->contributions_inputs(w->b, w->tables, view->components, view->x,
                                              err);
    case OL_POINT_DOWN_OUTPUT:
        return w->b->op->contributions_outputs(w->b, w->tables, view->components,
                                               w->n_slots, view->x, err);
    default:
        return see_output(w, view, err);
    }
}

const struct ol_observer ol_observe_contributions = {
    .name = "contributions",
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
