/* The backend has the sums of a layer until it is done; then it leaves them. */
#include "extract/observe/input_squares.h"

#include <assert.h>
#include <stdlib.h>

struct input_squares {
    struct ol_observer_context c;
    int layer;
    struct ol_tensor sums; /* [1, n]: of one input of the layer behind the other */
};

/* What goes into the mixer's output projection. */
static int64_t mixed_width(const struct ol_spec *spec, int layer)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    switch (spec->layers[layer].attention) {
    case OL_ATTENTION_FULL:
    case OL_ATTENTION_SLIDING:
    case OL_ATTENTION_CHUNKED:
    case OL_ATTENTION_COMPRESSED:
        return (int64_t)a->n_heads * a->value_dim;
    case OL_ATTENTION_LINEAR:
        return (int64_t)spec->delta_net.n_value_heads * spec->delta_net.value_dim;
    case OL_ATTENTION_MAMBA:
        return (int64_t)spec->mamba.n_heads * spec->mamba.head_dim;
    case OL_ATTENTION_NONE:
        return 0;
    }
    return 0;
}

int64_t ol_input_squares_width(const struct ol_spec *spec, int layer, enum ol_input input)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const bool latent = ol_spec_attends(spec, layer) && a->kv_rank > 0;
    switch (input) {
    case OL_INPUT_MIXED:
        return mixed_width(spec, layer);
    case OL_INPUT_QUERY_LATENT:
        return ol_spec_attends(spec, layer) ? a->q_rank : 0;
    case OL_INPUT_KEY_LATENT:
        return latent ? a->kv_rank : 0;
    case OL_INPUT_QUERIES:
        return latent ? (int64_t)a->n_heads * (a->head_dim - a->rope.rotary_dim) : 0;
    case OL_INPUT_VALUES:
        return latent ? (int64_t)a->n_heads * a->kv_rank : 0;
    case OL_INPUT_MLP_DOWN:
        return ol_spec_d_ff(spec, layer);
    case OL_INPUT_SHARED_DOWN:
        return l->moe ? spec->d_shared : 0;
    case OL_INPUT_EXPERTS:
        return l->moe ? ol_spec_expert_io(spec) : 0;
    case OL_INPUT_EXPERTS_DOWN:
        return l->moe ? spec->d_expert : 0;
    case OL_INPUT_EXPERTS_SUM:
        return l->moe ? spec->d_latent : 0;
    case OL_INPUT_OUT_LATENT:
        return ol_spec_attends(spec, layer) ? (int64_t)a->out_groups * a->out_rank : 0;
    case OL_INPUT_LAYER_GATE:
        return spec->d_input > 0 ? spec->d_model : 0;
    case OL_INPUT_LAYER_OUT:
        return spec->d_input;
    case OL_N_INPUTS:
        break;
    }
    return 0;
}

/* Sums of an input. */
static int64_t size_of(const struct ol_spec *spec, int layer, enum ol_input input)
{
    return ol_activation_n_inputs(spec->router.n_experts, input) *
           ol_input_squares_width(spec, layer, input);
}

/* The same as the backend has them: of VALUES (tap.h) as many columns of every head as
 * are seen at a time, then the next. */
static int64_t room_of(const struct ol_spec *spec, int layer, enum ol_input input)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const int64_t n = size_of(spec, layer, input), step = a->value_dim;
    return input == OL_INPUT_VALUES && n > 0
               ? (a->kv_rank + step - 1) / step * a->n_heads * step
               : n;
}

/* Where they begin; of OL_N_INPUTS all end. */
static int64_t place_of(const struct ol_spec *spec, int layer, enum ol_input input)
{
    int64_t n = 0;
    for (int i = 0; i < (int)input; i++)
        n += room_of(spec, layer, (enum ol_input)i);
    return n;
}

static bool any_width(const struct ol_activation_layer *recorded)
{
    for (int i = 0; recorded != NULL && i < OL_N_INPUTS; i++)
        if (recorded->input_widths[i] > 0)
            return true;
    return false;
}

/* Of the layer that has the most. */
static int64_t most_sums(const struct ol_observed *what)
{
    int64_t most = 0;
    for (int l = 0; l < what->spec->n_layers; l++) {
        const int64_t n = any_width(ol_observed_layer(what, l))
                              ? place_of(what->spec, l, OL_N_INPUTS)
                              : 0;
        most = n > most ? n : most;
    }
    return most;
}

static int64_t backend_bytes(const struct ol_observed *what)
{
    return most_sums(what) * (int64_t)sizeof(double);
}

static int64_t result_bytes(const struct ol_observed *what)
{
    return backend_bytes(what) + OL_N_INPUTS * OL_RESULT_ALIGNMENT;
}

/* A layer's wait to be written while the next one's are gathered. */
static int64_t bytes(const struct ol_observed *what)
{
    return 2 * backend_bytes(what);
}

/* Where what is seen goes; OL_N_INPUTS: nowhere. */
static enum ol_input input_at(const struct ol_spec *spec, int layer, enum ol_point point,
                              int component)
{
    switch (point) {
    case OL_POINT_HEADS:
        return OL_INPUT_MIXED;
    case OL_POINT_QUERY_LATENT:
        return OL_INPUT_QUERY_LATENT;
    case OL_POINT_KEY_LATENT:
        return OL_INPUT_KEY_LATENT;
    case OL_POINT_QUERIES:
        return OL_INPUT_QUERIES;
    case OL_POINT_VALUES:
        return OL_INPUT_VALUES;
    case OL_POINT_EXPERT_INPUT:
        return OL_INPUT_EXPERTS;
    case OL_POINT_EXPERTS_SUM:
        return OL_INPUT_EXPERTS_SUM;
    case OL_POINT_OUT_LATENT:
        return OL_INPUT_OUT_LATENT;
    case OL_POINT_LAYER_GATE:
        return OL_INPUT_LAYER_GATE;
    case OL_POINT_LAYER_OUT:
        return OL_INPUT_LAYER_OUT;
    case OL_POINT_DOWN_INPUT:
        return !spec->layers[layer].moe              ? OL_INPUT_MLP_DOWN
               : component == spec->router.n_experts ? OL_INPUT_SHARED_DOWN
                                                     : OL_INPUT_EXPERTS_DOWN;
    default:
        return OL_N_INPUTS;
    }
}

/* At the end of the layer the sums are complete. */
static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    return any_width(recorded) &&
           (point == OL_POINT_RESIDUAL_OUT ||
            input_at(what->spec, recorded->number, point, 0) != OL_N_INPUTS);
}

static void *new (const struct ol_observer_context *context)
{
    struct input_squares *x = ol_xcalloc(1, sizeof *x);
    x->c = *context;
    return x;
}

static void free_all(void *self)
{
    struct input_squares *x = self;
    x->c.backend->op->tensor_free(x->c.backend, &x->sums);
    free(x);
}

static int begin_layer(void *self, int layer, struct ol_error *err)
{
    struct input_squares *x = self;
    struct ol_backend *b = x->c.backend;
    x->layer = layer;
    if (!any_width(ol_observed_layer(&x->c.what, layer)))
        return 0;
    return x->sums.data != NULL ? b->op->zero(b, x->sums, err)
                                : b->op->tensor_new(b, OL_DTYPE_F64, 1,
                                                    most_sums(&x->c.what), &x->sums, err);
}

/* n of the layer's sums from `first` on. */
static struct ol_tensor sums_from(const struct input_squares *x, int64_t first, int64_t n)
{
    assert(first + n <= x->sums.n_cols);
    return (struct ol_tensor){(double *)x->sums.data + first, OL_DTYPE_F64, 1, n};
}

/* Rows of an input; `expert` of those that each expert has, else 0. */
static int add(struct input_squares *x, enum ol_input input, int expert,
               struct ol_tensor rows, struct ol_error *err)
{
    const int64_t width = ol_input_squares_width(x->c.what.spec, x->layer, input),
                  at = place_of(x->c.what.spec, x->layer, input) + expert * width;
    assert(rows.n_cols == width);
    return x->c.backend->op->add_squares(x->c.backend, rows, sums_from(x, at, width),
                                         err);
}

static int add_pieces(struct input_squares *x, enum ol_input input,
                      const struct ol_pieces *p, struct ol_tensor rows,
                      struct ol_error *err)
{
    const int64_t step = rows.n_cols / p->n,
                  at = place_of(x->c.what.spec, x->layer, input) + p->first * p->n;
    assert(input == OL_INPUT_VALUES && p->width <= step && p->first % step == 0);
    return x->c.backend->op->add_squares(x->c.backend, rows,
                                         sums_from(x, at, rows.n_cols), err);
}

static int add_components(struct input_squares *x, const struct ol_view *view,
                          struct ol_error *err)
{
    const struct ol_component_rows *c = view->components;
    for (int i = 0; i < c->n; i++) {
        const enum ol_input input =
            input_at(x->c.what.spec, x->layer, view->point, c->components[i]);
        const bool routed = c->slots != NULL;
        if (c->ends[i] == c->firsts[i])
            continue;
        if (add(x, input, routed ? c->components[i] : 0,
                ol_tensor_rows(view->x, c->firsts[i], c->ends[i] - c->firsts[i]),
                err) != 0)
            return -1;
    }
    return 0;
}

/* From what the backend has to every head's columns side by side. */
static double *join_pieces(const struct ol_spec *spec, int layer, const double *sums)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const int64_t n = a->n_heads, step = a->value_dim, rank = a->kv_rank;
    double *joined = ol_xcalloc((size_t)(n * rank), sizeof *joined);
    for (int64_t h = 0; h < n; h++)
        for (int64_t c = 0; c < rank; c++)
            joined[h * rank + c] = sums[(c / step * n + h) * step + c % step];
    return joined;
}

/* Of a run on one device. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    const struct ol_recording *r = shared;
    const enum ol_input input = (enum ol_input)job->what;
    double *joined =
        input == OL_INPUT_VALUES ? join_pieces(r->to.spec, job->layer, job->data) : NULL;
    const int status =
        ol_activation_put(r->file, (enum ol_table)ol_table_of_input(input), job->layer,
                          NULL, joined != NULL ? joined : job->data, err);
    free(joined);
    return status;
}

static int hand_over(struct input_squares *x, struct ol_error *err)
{
    const struct ol_spec *spec = x->c.what.spec;
    struct ol_backend *b = x->c.backend;
    for (int i = 0; i < OL_N_INPUTS; i++) {
        const enum ol_input input = (enum ol_input)i;
        const int64_t n = room_of(spec, x->layer, input);
        struct ol_writer_job job =
            ol_observer_job(&x->c, x->layer, OL_STAGE_COMPONENTS, 0, x->c.what.n_rows);
        job.take = take;
        job.shared = x->c.recording;
        job.what = i;
        if (n == 0)
            continue;
        job.data = ol_xcalloc((size_t)n, sizeof(double));
        if (b->op->download_later(b, sums_from(x, place_of(spec, x->layer, input), n),
                                  job.data, err) != 0) {
            ol_writer_job_free(&job);
            return -1;
        }
        if (ol_observer_later(&x->c, &job, err) != 0)
            return -1;
    }
    return 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct input_squares *x = self;
    if (view->point == OL_POINT_RESIDUAL_OUT)
        return hand_over(x, err);
    if (view->components != NULL)
        return add_components(x, view, err);
    const enum ol_input input = input_at(x->c.what.spec, x->layer, view->point, 0);
    if (view->pieces != NULL)
        return add_pieces(x, input, view->pieces, view->x, err);
    return add(x, input, 0, view->x, err);
}

const struct ol_observer ol_observe_input_squares = {
    .name = "input squares",
    .wants = wants,
    .bytes = bytes,
    .backend_bytes = backend_bytes,
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .begin_layer = begin_layer,
    .see = see,
};
