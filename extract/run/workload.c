#include "extract/run/workload.h"

#include <stdlib.h>

#include "extract/model/cost.h"
#include "extract/model/modules.h"

static int64_t weight_bytes(const struct ol_model *model,
                            const struct ol_modules *modules,
                            const struct ol_role_tensor *t)
{
    if (model->weights == NULL)
        return ol_modules_bytes(modules, t);
    const struct ol_weight w =
        ol_weights_get(model->weights, t->role, t->layer, t->expert);
    return ol_weight_bytes(&w);
}

int64_t ol_workload_passes(const struct ol_plan_request *r)
{
    return r->layout->n_arms + 1;
}

/* As many bytes of a weight as a run of so many tokens reads at most. */
static int64_t read_bytes(const struct ol_plan_request *r, const struct ol_role_tensor *t,
                          int64_t bytes)
{
    const struct ol_spec *spec = &r->model->spec;
    const int last = r->perplexity ? spec->n_layers - 1 : r->last_recorded;
    const int64_t tokens = r->n_sequences * r->length;
    const enum ol_role_kind kind = ol_role_kind(t->role);
    if (t->role == OL_ROLE_EMBEDDING) {
        const int64_t rows = tokens < spec->vocab_size ? tokens : spec->vocab_size;
        const bool whole = r->perplexity && ol_spec_shares_table(spec);
        return whole ? bytes : bytes / spec->vocab_size * rows;
    }
    if (t->role == OL_ROLE_POSITIONS)
        return bytes / spec->n_positions *
               (r->length < spec->n_positions ? r->length : spec->n_positions);
    if (t->role == OL_ROLE_INPUT_TABLE)
        return bytes / spec->n_input_rows *
               (tokens < spec->n_input_rows ? tokens : spec->n_input_rows);
    if (t->role == OL_ROLE_INPUT_PROJECTION || t->role == OL_ROLE_INPUT_NORM)
        return bytes;
    if (!ol_role_has_layer(t->role))
        return r->perplexity ? bytes : 0;
    const bool index = t->role >= OL_ROLE_INDEX_Q && t->role <= OL_ROLE_INDEX_WEIGHTS;
    if (t->layer > last || (index && !ol_spec_chooses(spec, r->length)))
        return 0;
    /* Nothing behind the last recorded router is computed unless it is summed up. */
    const bool mlp = kind == OL_WEIGHTS_DENSE || kind == OL_WEIGHTS_SHARED ||
                     kind == OL_WEIGHTS_ROUTED;
    return mlp && t->layer == last && !r->perplexity && !r->summary ? 0 : bytes;
}

/* Of the device's memory: a weight is written when it comes and read, the rows of a
 * product are read, and written. */
static double passing_bytes(const struct ol_plan_request *r,
                            const struct ol_role_tensor *t, double bytes)
{
    const struct ol_router_spec *router = &r->model->spec.router;
    const double rows =
        (double)(r->n_sequences * r->length * ol_workload_passes(r)) *
        (ol_role_has_expert(t->role) ? (double)router->top_k / router->n_experts : 1);
    const double row = t->vector || ol_role_kind(t->role) == OL_WEIGHTS_EMBEDDING
                           ? 0
                           : (double)(t->n_rows + t->n_cols);
    return 2 * bytes + rows * row * (double)ol_dtype_size(r->dtype);
}

static void count_work(const struct ol_plan_request *r, const struct ol_role_tensor *t,
                       int64_t bytes, struct ol_workload *w)
{
    const int n = r->model->spec.n_layers;
    struct ol_roofline_work *work = &w->work[ol_role_has_layer(t->role) ? t->layer : n];
    w->read_bytes += bytes;
    work->read_bytes += (double)bytes;
    if (bytes > 0)
        work->memory_bytes += passing_bytes(r, t, (double)bytes);
}

static void count_weights(const struct ol_plan_request *r, struct ol_workload *w)
{
    struct ol_modules *modules = ol_modules_new(&r->model->spec);
    struct ol_role_tensor t = {.spec = &r->model->spec};
    while (ol_role_next(&t)) {
        const enum ol_role_kind kind = ol_role_kind(t.role);
        const int64_t bytes = weight_bytes(r->model, modules, &t),
                      n = ol_role_parameters(&t);
        w->bytes[kind] += bytes;
        w->all_bytes += bytes;
        count_work(r, &t, read_bytes(r, &t, bytes), w);
        w->parameters[kind] += n;
        w->all_parameters += n;
        if (!ol_role_has_expert(t.role) || t.expert < r->model->spec.router.top_k)
            w->active_parameters += n;
    }
    ol_modules_free(modules);
}

/* Of one sequence, as many times as there are sequences, in each layer and, last, in the
 * head. */
static double count_operations(const struct ol_plan_request *r,
                               struct ol_roofline_work *work)
{
    const struct ol_spec *spec = &r->model->spec;
    const int32_t length = (int32_t)r->length;
    const struct ol_cost_tokens tokens = {1, &length};
    const int last = r->perplexity ? spec->n_layers - 1 : r->last_recorded;
    const double times = (double)(r->n_sequences * ol_workload_passes(r));
    double sum = 0;
    for (int l = 0; l <= spec->n_layers; l++) {
        double n = 0;
        if (l == spec->n_layers)
            n = r->perplexity ? ol_cost_head(spec, &tokens) : 0;
        else if (l <= last)
            n = ol_cost_mixer(spec, l, &tokens) + ol_cost_router(spec, l, &tokens);
        if (l < spec->n_layers &&
            (l < last || (l == last && (r->perplexity || r->summary))))
            n += ol_cost_mlp(spec, l, &tokens);
        work[l].operations = n * times;
        sum += n;
    }
    return sum * times;
}

/* Rows that are stored. */
static void count_back(const struct ol_plan_request *r, struct ol_roofline_work *work)
{
    const struct ol_activation_layout *layout = r->layout;
    const double site = (double)(r->n_sequences * r->length * layout->d_model) *
                        (double)ol_dtype_size(r->dtype);
    for (int i = 0; i < layout->n_layers; i++)
        for (int s = 0; s < OL_N_SITES; s++)
            work[layout->layers[i].number].back_bytes +=
                layout->layers[i].sites[s] ? site : 0;
}

void ol_workload_count(const struct ol_plan_request *r, struct ol_workload *w)
{
    *w = (struct ol_workload){
        .work = ol_xcalloc((size_t)r->model->spec.n_layers + 1, sizeof *w->work)};
    count_weights(r, w);
    w->operations = count_operations(r, w->work);
    count_back(r, w->work);
}

void ol_workload_clear(struct ol_workload *w)
{
    free(w->work);
    *w = (struct ol_workload){0};
}
