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
 * one; or the dense MLP. */
#include "extract/observe/contributions.h"

#include <math.h>
#include <stdlib.h>

#include "extract/observe/unit_table.h"

extern const struct ol_observer ol_observe_contributions;

enum {
    CANDIDATES = 8, /* dimensions of the stream before the MLP */
    OWN = 4,        /* largest outputs of a component */
    BLOCK = 4096,   /* rows looked at together */
};

/* A component's largest value: magnitudes are compared, so that NaN is larger than any.
 */
struct largest {
    float value;
    uint16_t column;
    int64_t row; /* -1: none yet */
};

struct component {
    int64_t n_tokens;
    struct largest input, output;
};

struct contributions {
    struct ol_observer_context c;
    const struct ol_spec *spec;
    struct ol_backend *b;
    int64_t n_rows;
    int n_slots, n_components;
    int most_slots;
    struct component *components;

    uint16_t *candidates; /* [n_rows, CANDIDATES] */
    float *attention;     /* [n_rows, CANDIDATES] */
    /* By row and slot: [n_rows, most_slots, CANDIDATES or OWN] */
    float *at_candidates;
    uint16_t *own_columns;
    float *own_values;

    /* Of what is being handed over: [room] rows. */
    int64_t room;
    uint16_t *columns;
    float *values;
};

static bool has_shared(const struct ol_spec *spec)
{
    return spec->d_shared > 0;
}

int ol_contributions_components(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].moe ? spec->router.n_experts + has_shared(spec) : 1;
}

static int slots_of(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].moe ? spec->router.top_k + has_shared(spec) : 1;
}

static int most(const struct ol_spec *spec,
                int (*of)(const struct ol_spec *spec, int layer))
{
    int n = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n = of(spec, l) > n ? of(spec, l) : n;
    return n;
}

static int64_t bytes(const struct ol_observed *what)
{
    const int64_t n_slots = most(what->spec, slots_of);
    const int64_t kept = CANDIDATES * 6 + n_slots * (CANDIDATES * 4 + OWN * 6);
    const int64_t made =
        OL_TOP_FEATURES * (2 + 4 * (OL_WRITES_PER_TOP + n_slots)); /* for the writer */
    if (!what->layout->summary)
        return 0;
    return what->n_rows * (kept + made) + (int64_t)BLOCK * CANDIDATES * 6;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return recorded != NULL && recorded->n_units > 0 &&
           (point == OL_POINT_ATTENTION || point == OL_POINT_ROUTER ||
            point == OL_POINT_DOWN_INPUT || point == OL_POINT_DOWN_OUTPUT ||
            point == OL_POINT_RESIDUAL_OUT);
}

static void *new (const struct ol_observer_context *context)
{
    const struct ol_spec *spec = context->what.spec;
    const int64_t n_rows = context->what.n_rows;
    struct contributions *w = ol_xcalloc(1, sizeof *w);
    w->c = *context;
    w->spec = spec;
    w->b = context->backend;
    w->n_rows = n_rows;
    w->most_slots = most(spec, slots_of);
    w->components = ol_xcalloc((size_t)most(spec, ol_contributions_components),
                               sizeof *w->components);
    const size_t n = (size_t)n_rows, n_slots = n * (size_t)w->most_slots;
    w->candidates = ol_xcalloc(n * CANDIDATES, sizeof *w->candidates);
    w->attention = ol_xcalloc(n * CANDIDATES, sizeof *w->attention);
    w->at_candidates = ol_xcalloc(n_slots * CANDIDATES, sizeof *w->at_candidates);
    w->own_columns = ol_xcalloc(n_slots * OWN, sizeof *w->own_columns);
    w->own_values = ol_xcalloc(n_slots * OWN, sizeof *w->own_values);
    return w;
}

static void free_all(void *self)
{
    struct contributions *w = self;
    free(w->values);
    free(w->columns);
    free(w->own_values);
    free(w->own_columns);
    free(w->at_candidates);
    free(w->attention);
    free(w->candidates);
    free(w->components);
    free(w);
}

static void make_room(struct contributions *w, int64_t n)
{
    if (n <= w->room)
        return;
    w->room = n;
    w->columns =
        ol_xrealloc_array(w->columns, (size_t)n * CANDIDATES, sizeof *w->columns);
    w->values = ol_xrealloc_array(w->values, (size_t)n * CANDIDATES, sizeof *w->values);
}

/* ---- one layer ---- */

static int begin_layer(void *self, int layer, struct ol_error *err)
{
    (void)err;
    struct contributions *w = self;
    w->n_slots = slots_of(w->spec, layer);
    w->n_components = ol_contributions_components(w->spec, layer);
    for (int i = 0; i < w->n_components; i++)
        w->components[i] =
            (struct component){.input = {.row = -1}, .output = {.row = -1}};
    return 0;
}

static int see_attention(struct contributions *w, const struct ol_view *view,
                         struct ol_error *err)
{
    uint16_t *candidates = w->candidates + view->first * CANDIDATES;
    make_room(w, view->x.n_rows);
    if (w->b->op->largest(w->b, view->stream, CANDIDATES, candidates, w->values, err) !=
        0)
        return -1;
    return w->b->op->pick(w->b, view->x, CANDIDATES, candidates,
                          w->attention + view->first * CANDIDATES, err);
}

static bool exceeds(float a, float b)
{
    return fabsf(a) > fabsf(b) || (isnan(a) && !isnan(b));
}

/* Rows of a component rise, so that the first of equals is kept. */
static void keep(struct largest *l, float value, uint16_t column, int64_t row)
{
    if (l->row < 0 || exceeds(value, l->value))
        *l = (struct largest){value, column, row};
}

static int see_inputs(struct contributions *w, const struct ol_component_rows *group,
                      struct ol_tensor x, struct ol_error *err)
{
    make_room(w, x.n_rows);
    if (w->b->op->largest(w->b, x, 1, w->columns, w->values, err) != 0)
        return -1;
    for (int i = 0; i < group->n; i++)
        for (int64_t k = group->firsts[i]; k < group->ends[i]; k++)
            keep(&w->components[group->components[i]].input, w->values[k], w->columns[k],
                 group->rows[k]);
    return 0;
}

static int64_t place_of(const struct contributions *w, const struct ol_component_rows *g,
                        int64_t k)
{
    const int slot = g->slots != NULL ? g->slots[k] : w->n_slots - 1;
    return g->rows[k] * (int64_t)w->most_slots + slot;
}

static float scale_of(const struct ol_component_rows *g, int64_t k)
{
    return g->scales_outputs && g->gates != NULL ? g->gates[k] : 1;
}

static int keep_own(struct contributions *w, const struct ol_component_rows *group,
                    struct ol_tensor y, struct ol_error *err)
{
    if (w->b->op->largest(w->b, y, OWN, w->columns, w->values, err) != 0)
        return -1;
    for (int i = 0; i < group->n; i++) {
        struct component *component = &w->components[group->components[i]];
        for (int64_t k = group->firsts[i]; k < group->ends[i]; k++) {
            const int64_t at = place_of(w, group, k) * OWN;
            const float scale = scale_of(group, k);
            keep(&component->output, w->values[k * OWN], w->columns[k * OWN],
                 group->rows[k]);
            component->n_tokens++;
            for (int c = 0; c < OWN; c++) {
                w->own_columns[at + c] = w->columns[k * OWN + c];
                w->own_values[at + c] = scale * w->values[k * OWN + c];
            }
        }
    }
    return 0;
}

static int keep_at_candidates(struct contributions *w,
                              const struct ol_component_rows *group, struct ol_tensor y,
                              struct ol_error *err)
{
    memset(w->columns, 0xff, (size_t)y.n_rows * CANDIDATES * sizeof *w->columns);
    for (int i = 0; i < group->n; i++)
        for (int64_t k = group->firsts[i]; k < group->ends[i]; k++)
            memcpy(w->columns + k * CANDIDATES,
                   w->candidates + (int64_t)group->rows[k] * CANDIDATES,
                   CANDIDATES * sizeof *w->columns);
    if (w->b->op->pick(w->b, y, CANDIDATES, w->columns, w->values, err) != 0)
        return -1;
    for (int i = 0; i < group->n; i++)
        for (int64_t k = group->firsts[i]; k < group->ends[i]; k++) {
            float *at = w->at_candidates + place_of(w, group, k) * CANDIDATES;
            for (int c = 0; c < CANDIDATES; c++)
                at[c] = scale_of(group, k) * w->values[k * CANDIDATES + c];
        }
    return 0;
}

static int see_outputs(struct contributions *w, const struct ol_component_rows *group,
                       struct ol_tensor y, struct ol_error *err)
{
    make_room(w, y.n_rows);
    if (keep_own(w, group, y, err) != 0)
        return -1;
    return keep_at_candidates(w, group, y, err);
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

static int take_units(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    const int n = job->what;
    ol_unit_table_add(&s->components, job->first == 0, job->data, n);
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

static int take_writes(void *shared, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    const struct ol_recording *r = ((struct shared *)shared)->recording;
    const int64_t width = (int64_t)OL_TOP_FEATURES * (OL_WRITES_PER_TOP + job->what);
    const uint16_t *features = job->data;
    const float *writes = job->more;
    struct ol_row_span s = {0};
    while (ol_recording_next_span(r, job, &s)) {
        const struct ol_activation_rows rows = {s.sequence, s.token, s.n};
        if (ol_activation_put(r->file, OL_TABLE_TOP_FEATURES, job->layer, &rows,
                              features + s.row * OL_TOP_FEATURES, err) != 0 ||
            ol_activation_put(r->file, OL_TABLE_WRITES, job->layer, &rows,
                              writes + s.row * width, err) != 0)
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
    return ol_writer_put(w->c.writer, &job, err);
}

static int find(const uint16_t *columns, int n, uint16_t column)
{
    for (int i = 0; i < n; i++)
        if (columns[i] == column)
            return i;
    return -1;
}

/* What attention and components wrote to one dimension of one token. */
static void describe(const struct contributions *w, int64_t row, uint16_t column,
                     float value, float *writes)
{
    const int candidate = find(w->candidates + row * CANDIDATES, CANDIDATES, column);
    writes[0] = value;
    writes[1] = candidate >= 0 ? w->attention[row * CANDIDATES + candidate] : NAN;
    for (int p = 0; p < w->n_slots; p++) {
        const int64_t at = row * w->most_slots + p;
        const int own = find(w->own_columns + at * OWN, OWN, column);
        writes[OL_WRITES_PER_TOP + p] =
            candidate >= 0 ? w->at_candidates[at * CANDIDATES + candidate]
            : own >= 0     ? w->own_values[at * OWN + own]
                           : NAN;
    }
}

/* Rows first .. first + n - 1 of the tables. */
static int describe_rows(const struct contributions *w, struct ol_tensor hidden,
                         int64_t first, int64_t n, uint16_t *features, float *writes,
                         struct ol_error *err)
{
    const int64_t width = OL_WRITES_PER_TOP + w->n_slots;
    features += first * OL_TOP_FEATURES;
    if (w->b->op->largest(w->b, ol_tensor_rows(hidden, first, n), OL_TOP_FEATURES,
                          features, w->values, err) != 0)
        return -1;
    for (int64_t i = 0; i < n * OL_TOP_FEATURES; i++)
        describe(w, first + i / OL_TOP_FEATURES, features[i], w->values[i],
                 writes + (first * OL_TOP_FEATURES + i) * width);
    return 0;
}

/* Among the rows of all passes. */
static int64_t row_of(const struct contributions *w, int64_t row)
{
    return row < 0 ? -1 : w->c.first_row + row;
}

static int hand_over_components(const struct contributions *w, int layer,
                                struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&w->c, layer, OL_STAGE_COMPONENTS, 0, w->n_rows);
    struct ol_unit *units = ol_xcalloc((size_t)w->n_components, sizeof *units);
    for (int i = 0; i < w->n_components; i++) {
        const struct component *c = &w->components[i];
        units[i] = (struct ol_unit){
            .n_tokens = c->n_tokens,
            .input = c->input.value,
            .input_column = c->input.column,
            .input_row = row_of(w, c->input.row),
            .output = c->output.value,
            .output_column = c->output.column,
            .output_row = row_of(w, c->output.row),
        };
    }
    job.take = take_units;
    job.shared = ol_recording_shared(w->c.recording, &ol_observe_contributions);
    job.what = w->n_components;
    job.data = units;
    return ol_writer_put(w->c.writer, &job, err);
}

/* Make the tables and hand them over. */
static int see_output(struct contributions *w, const struct ol_view *view,
                      struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(&w->c, view->layer, OL_STAGE_COMPONENTS, 0, w->n_rows);
    const size_t n = (size_t)w->n_rows * OL_TOP_FEATURES;
    const size_t writes_bytes =
        n * (size_t)(OL_WRITES_PER_TOP + w->n_slots) * sizeof(float);
    float *writes = ol_observer_room(&w->c, writes_bytes, err);
    if (writes == NULL)
        return -1;
    uint16_t *features = ol_xcalloc(n, sizeof *features);
    make_room(w, BLOCK);
    for (int64_t first = 0; first < w->n_rows; first += BLOCK) {
        const int64_t left = w->n_rows - first;
        if (describe_rows(w, view->x, first, left < BLOCK ? left : BLOCK, features,
                          writes, err) != 0) {
            free(features);
            free(writes);
            return -1;
        }
    }
    job.take = take_writes;
    job.shared = ol_recording_shared(w->c.recording, &ol_observe_contributions);
    job.what = w->n_slots;
    job.data = features;
    job.more = writes;
    job.bytes = writes_bytes;
    if (ol_writer_put(w->c.writer, &job, err) != 0)
        return -1;
    return hand_over_components(w, view->layer, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct contributions *w = self;
    switch (view->point) {
    case OL_POINT_ATTENTION:
        return see_attention(w, view, err);
    case OL_POINT_ROUTER:
        return see_router(w, view, err);
    case OL_POINT_DOWN_INPUT:
        return see_inputs(w, view->components, view->x, err);
    case OL_POINT_DOWN_OUTPUT:
        return see_outputs(w, view->components, view->x, err);
    default:
        return see_output(w, view, err);
    }
}

const struct ol_observer ol_observe_contributions = {
    .name = "contributions",
    .wants = wants,
    .bytes = bytes,
    .new = new,
    .free = free_all,
    .begin_layer = begin_layer,
    .see = see,
    .share = share,
    .unshare = unshare,
};
