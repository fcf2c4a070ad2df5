/* How the routers share out the tokens: per layer the (token, slot) pairs of each expert
 * and the entropy of their distribution, in bits; log2(n_experts) is an even load. */
#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

#include "analyze/statistics.h"
#include "common/results/router.h"

struct load {
    int64_t *tokens;            /* [n_experts] */
    double *weights;            /* [n_experts]: sums of the router weights */
    int64_t n_pairs, n_outside; /* ids that no expert has */
};

static void count(const struct ol_analysis *a, int i_layer, struct load *load)
{
    const struct ol_parts *parts = a->parts;
    const int64_t n_experts = ol_parts_info(parts)->model.n_experts;
    const int top_k = ol_parts_layout(parts)->layers[i_layer].top_k;
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        const struct ol_activation_file *f = parts->files[parts->file_of[s]];
        const uint16_t *ids =
            ol_activation_get(f, OL_TABLE_ROUTER_IDS, i_layer, parts->number_of[s]);
        const float *weights =
            ol_activation_get(f, OL_TABLE_ROUTER_WEIGHTS, i_layer, parts->number_of[s]);
        for (int64_t i = 0; i < (int64_t)parts->lengths[s] * top_k; i++) {
            if (ids[i] >= n_experts) {
                load->n_outside++;
                continue;
            }
            load->tokens[ids[i]]++;
            load->weights[ids[i]] += (double)weights[i];
            load->n_pairs++;
        }
    }
}

/* NaN: nothing was routed to an expert. */
static double entropy(const struct load *load, int64_t n_experts)
{
    double bits = load->n_pairs > 0 ? 0 : (double)NAN;
    for (int64_t e = 0; e < n_experts; e++) {
        const double p = (double)load->tokens[e] / (double)load->n_pairs;
        if (p > 0)
            bits -= p * ol_real_log2(p);
    }
    return bits;
}

static void describe(const struct load *load, int64_t n_experts, struct ol_arena *arena,
                     struct ol_router_loads *entry)
{
    int64_t most = 0;
    entry->n_pairs = load->n_pairs;
    entry->n_outside = load->n_outside;
    entry->entropy = entropy(load, n_experts);
    double *tokens = ol_reals_new(&entry->tokens, n_experts, arena),
           *weights = ol_reals_new(&entry->mean_weight, n_experts, arena),
           *never = ol_reals_new(&entry->never_chosen, n_experts, arena);
    entry->never_chosen.n = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        tokens[e] = (double)load->tokens[e];
        weights[e] = tokens[e] > 0 ? load->weights[e] / tokens[e] : (double)NAN;
        if (load->tokens[e] == 0)
            never[entry->never_chosen.n++] = (double)e;
        most = load->tokens[e] > most ? load->tokens[e] : most;
    }
    entry->max_load = (double)most * (double)n_experts / (double)load->n_pairs;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    const struct ol_activation_info *info = ol_parts_info(a->parts);
    const int64_t n_experts = info->model.n_experts;
    struct ol_routing *router = block;
    struct ol_router_loads *layers =
        ol_list_new(&router->layers, layout->n_layers, sizeof *layers, arena);
    router->n_experts = n_experts;
    router->top_k = info->model.top_k;
    router->layers.n = 0;
    for (int l = 0; l < layout->n_layers; l++) {
        if (layout->layers[l].top_k == 0)
            continue;
        struct load load = {.tokens = ol_xcalloc((size_t)n_experts, sizeof(int64_t)),
                            .weights = ol_xcalloc((size_t)n_experts, sizeof(double))};
        struct ol_router_loads *entry = &layers[router->layers.n++];
        count(a, l, &load);
        entry->layer = layout->layers[l].number;
        describe(&load, n_experts, arena, entry);
        free(load.weights);
        free(load.tokens);
    }
    return router->layers.n > 0;
}

const struct ol_statistic ol_router_statistic = {.name = "router", .results = results};
