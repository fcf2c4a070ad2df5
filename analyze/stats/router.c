/* How the routers share out the tokens: per layer the (token, slot) pairs of each expert
 * and the entropy of their distribution, in bits; log2(n_experts) is an even load. */
#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

#include "analyze/statistics.h"

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

static struct ol_json *describe(const struct load *load, int layer, int64_t n_experts)
{
    struct ol_json *entry = ol_json_new_object(), *tokens = ol_json_new_array(),
                   *weights = ol_json_new_array(), *never = ol_json_new_array();
    int64_t most = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        ol_json_append(tokens, ol_json_new_int(load->tokens[e]));
        ol_json_append(weights,
                       load->tokens[e] > 0
                           ? ol_json_new_real(load->weights[e] / (double)load->tokens[e])
                           : ol_json_new_null());
        if (load->tokens[e] == 0)
            ol_json_append(never, ol_json_new_int(e));
        most = load->tokens[e] > most ? load->tokens[e] : most;
    }
    ol_json_set(entry, "layer", ol_json_new_int(layer));
    ol_json_set(entry, "n_pairs", ol_json_new_int(load->n_pairs));
    ol_json_set(entry, "entropy", ol_json_new_real(entropy(load, n_experts)));
    ol_json_set(
        entry, "max_load",
        ol_json_new_real((double)most * (double)n_experts / (double)load->n_pairs));
    ol_json_set(entry, "n_outside", ol_json_new_int(load->n_outside));
    ol_json_set(entry, "never_chosen", never);
    ol_json_set(entry, "tokens", tokens);
    ol_json_set(entry, "mean_weight", weights);
    return entry;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    const struct ol_activation_info *info = ol_parts_info(a->parts);
    const int64_t n_experts = info->model.n_experts;
    struct ol_json *layers = ol_json_new_array();
    for (int l = 0; l < layout->n_layers; l++) {
        if (layout->layers[l].top_k == 0)
            continue;
        struct load load = {.tokens = ol_xcalloc((size_t)n_experts, sizeof(int64_t)),
                            .weights = ol_xcalloc((size_t)n_experts, sizeof(double))};
        count(a, l, &load);
        ol_json_append(layers, describe(&load, layout->layers[l].number, n_experts));
        free(load.weights);
        free(load.tokens);
    }
    if (ol_json_length(layers) == 0) {
        ol_json_free(layers);
        return ol_json_new_null();
    }
    struct ol_json *router = ol_json_new_object();
    ol_json_set(router, "n_experts", ol_json_new_int(n_experts));
    ol_json_set(router, "top_k", ol_json_new_int(info->model.top_k));
    ol_json_set(router, "layers", layers);
    return router;
}

const struct ol_statistic ol_router_statistic = {.name = "router", .results = results};
