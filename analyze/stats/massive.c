/* Massive activations, layer by layer, feature by feature, and the tokens they are on. */
#include "analyze/massive.h"

#include <math.h>

#include "analyze/describe.h"
#include "analyze/statistics.h"

enum { MAX_TOKENS = 20 };

static struct ol_json *describe_layer(const struct ol_parts *parts,
                                      const struct ol_massive_layer *layer)
{
    struct ol_json *entry = ol_json_new_object(), *means = ol_json_new_array();
    for (int i = 0; i < OL_TOP_FEATURES; i++)
        ol_json_append(means,
                       ol_json_new_real(layer->sums[i] / (double)layer->n_summed[i]));
    ol_json_set(entry, "layer", ol_json_new_int(layer->number));
    ol_json_set(entry, "median_magnitude", ol_json_new_real(layer->median));
    ol_json_set(entry, "max_magnitude",
                ol_json_new_real(layer->feature >= 0 ? layer->max : (double)NAN));
    ol_json_set(entry, "feature", ol_describe_index(layer->feature));
    ol_describe_place(entry, parts, layer->sequence, layer->position);
    ol_json_set(entry, "n_values", ol_json_new_int(layer->n_values));
    ol_json_set(entry, "n_tokens", ol_json_new_int(layer->n_tokens));
    ol_json_set(entry, "mean_top", means);
    return entry;
}

static struct ol_json *describe_feature(const struct ol_massive_feature *f)
{
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "feature", ol_json_new_int(f->feature));
    ol_json_set(entry, "n_values", ol_json_new_int(f->n_values));
    ol_json_set(entry, "n_layers", ol_json_new_int(f->n_layers));
    ol_json_set(entry, "first_layer", ol_json_new_int(f->first_layer));
    ol_json_set(entry, "last_layer", ol_json_new_int(f->last_layer));
    ol_json_set(entry, "max_magnitude", ol_json_new_real(f->max));
    ol_json_set(entry, "at_first_token", ol_json_new_int(f->at_first_token));
    return entry;
}

static struct ol_json *describe(const struct ol_parts *parts, const struct ol_massive *m)
{
    struct ol_json *block = ol_json_new_object(), *criterion = ol_json_new_object(),
                   *layers = ol_json_new_array(), *features = ol_json_new_array();
    int onset = -1, offset = -1;
    ol_json_set(criterion, "min_magnitude", ol_json_new_real(m->criterion.min_magnitude));
    ol_json_set(criterion, "min_ratio", ol_json_new_real(m->criterion.min_ratio));
    for (int l = 0; l < m->n_layers; l++) {
        ol_json_append(layers, describe_layer(parts, &m->layers[l]));
        if (m->layers[l].n_values == 0)
            continue;
        onset = onset < 0 ? m->layers[l].number : onset;
        offset = m->layers[l].number;
    }
    for (int i = 0; i < m->n_features; i++)
        ol_json_append(features, describe_feature(&m->features[i]));
    ol_json_set(block, "criterion", criterion);
    ol_json_set(block, "layers", layers);
    ol_json_set(block, "features", features);
    ol_json_set(block, "tokens", ol_describe_tokens(parts, &m->tokens, MAX_TOKENS));
    ol_json_set(block, "onset_layer", ol_describe_index(onset));
    ol_json_set(block, "offset_layer", ol_describe_index(offset));
    return block;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_massive m;
    if (!ol_massive_find(a->parts, &ol_massive_default, &m))
        return ol_json_new_null();
    struct ol_json *block = describe(a->parts, &m);
    ol_massive_clear(&m);
    return block;
}

const struct ol_statistic ol_massive_statistic = {.name = "massive", .results = results};
