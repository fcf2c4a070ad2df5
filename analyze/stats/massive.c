/* Massive activations: layer by layer, dimension by dimension through its whole life, and
 * the tokens they are on; near misses apart. */
#include "analyze/massive.h"

#include <math.h>

#include "analyze/describe.h"
#include "analyze/statistics.h"

enum { MAX_TOKENS = 20, MAX_TOKENS_OF_NEAR = 8 };

static struct ol_json *means(const double *sums, const int64_t *n)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < OL_TOP_FEATURES; i++)
        ol_json_append(list, ol_json_new_real(sums[i] / (double)n[i]));
    return list;
}

static struct ol_json *describe_layer(const struct ol_parts *parts,
                                      const struct ol_massive_layer *layer)
{
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "layer", ol_json_new_int(layer->number));
    ol_json_set(entry, "median_magnitude", ol_json_new_real(layer->median));
    ol_json_set(entry, "max_magnitude",
                ol_json_new_real(layer->feature >= 0 ? layer->max : (double)NAN));
    ol_json_set(entry, "feature", ol_describe_index(layer->feature));
    ol_describe_place(entry, parts, layer->sequence, layer->position);
    ol_json_set(entry, "n_values", ol_json_new_int(layer->n_values));
    ol_json_set(entry, "n_tokens", ol_json_new_int(layer->n_tokens));
    ol_json_set(entry, "mean_top", means(layer->token_sums, layer->n_in_token_sums));
    ol_json_set(entry, "mean_top_published",
                means(layer->sequence_sums, layer->n_in_sequence_sums));
    return entry;
}

static struct ol_json *describe_life(const struct ol_massive *m,
                                     const struct ol_massive_feature *f)
{
    struct ol_json *list = ol_json_new_array();
    for (int l = 0; l < m->stream.n_layers; l++) {
        const struct ol_massive_at *at = &f->layers[l];
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(entry, "layer", ol_json_new_int(m->layers[l].number));
        ol_json_set(entry, "max_magnitude", ol_json_new_real(at->max));
        ol_json_set(entry, "ratio", ol_json_new_real(at->max / m->layers[l].median));
        ol_json_set(entry, "n_massive", ol_json_new_int(at->n_massive));
        ol_json_set(entry, "n_above", ol_json_new_int(at->n_above));
        ol_json_set(entry, "n_unknown", ol_json_new_int(at->n_unknown));
        ol_json_append(list, entry);
    }
    return list;
}

/* What massive dimensions and near misses have in common. */
static struct ol_json *describe_values(const struct ol_massive_feature *f)
{
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "feature", ol_json_new_int(f->feature));
    ol_json_set(entry, "max_magnitude", ol_json_new_real(f->max));
    ol_json_set(entry, "max_layer", ol_describe_index(f->max_layer));
    ol_json_set(entry, "max_ratio", ol_json_new_real(f->max_ratio));
    ol_json_set(entry, "n_values", ol_json_new_int(f->n_values));
    ol_json_set(entry, "n_tokens", ol_json_new_int(f->n_tokens));
    ol_json_set(entry, "at_first_token", ol_json_new_int(f->at_first_token));
    ol_json_set(entry, "n_layers", ol_json_new_int(f->n_layers));
    ol_json_set(entry, "first_layer", ol_json_new_int(f->first_layer));
    ol_json_set(entry, "last_layer", ol_json_new_int(f->last_layer));
    return entry;
}

static struct ol_json *describe_features(const struct ol_massive *m)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < m->n_features; i++) {
        struct ol_json *entry = describe_values(&m->features[i]);
        ol_json_set(entry, "above_until", ol_describe_index(m->features[i].above_until));
        ol_json_set(entry, "above_until_at_most",
                    ol_describe_index(m->features[i].above_until_at_most));
        ol_json_set(entry, "layers", describe_life(m, &m->features[i]));
        ol_json_append(list, entry);
    }
    return list;
}

static struct ol_json *describe_near(const struct ol_parts *parts,
                                     const struct ol_massive *m)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < m->n_near; i++) {
        struct ol_json *entry = describe_values(&m->near[i]);
        ol_json_set(entry, "tokens",
                    ol_describe_tokens(parts, &m->near[i].tokens, MAX_TOKENS_OF_NEAR));
        ol_json_append(list, entry);
    }
    return list;
}

static struct ol_json *describe_tokens(const struct ol_parts *parts,
                                       const struct ol_massive *m)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < m->n_ids && i < MAX_TOKENS; i++) {
        const struct ol_massive_token *t = &m->tokens[i];
        struct ol_json *entry = ol_json_new_object();
        ol_describe_token(entry, parts, t->id);
        ol_json_set(entry, "at_first", ol_json_new_int(t->at_first));
        ol_json_set(entry, "elsewhere", ol_json_new_int(t->elsewhere));
        ol_json_set(entry, "text_at_first", ol_json_new_int(t->text_at_first));
        ol_json_set(entry, "text_elsewhere", ol_json_new_int(t->text_elsewhere));
        ol_json_append(list, entry);
    }
    return list;
}

static struct ol_json *describe(const struct ol_parts *parts, const struct ol_massive *m)
{
    struct ol_json *block = ol_json_new_object(), *criterion = ol_json_new_object(),
                   *layers = ol_json_new_array();
    int onset = -1, offset = -1;
    ol_json_set(criterion, "min_magnitude", ol_json_new_real(m->criterion.min_magnitude));
    ol_json_set(criterion, "min_ratio", ol_json_new_real(m->criterion.min_ratio));
    ol_json_set(criterion, "near_ratio", ol_json_new_real(m->criterion.near_ratio));
    for (int l = 0; l < m->stream.n_layers; l++) {
        ol_json_append(layers, describe_layer(parts, &m->layers[l]));
        if (m->layers[l].n_values == 0)
            continue;
        onset = onset < 0 ? m->layers[l].number : onset;
        offset = m->layers[l].number;
    }
    ol_json_set(block, "criterion", criterion);
    ol_json_set(block, "layers", layers);
    ol_json_set(block, "features", describe_features(m));
    ol_json_set(block, "near", describe_near(parts, m));
    ol_json_set(block, "tokens", describe_tokens(parts, m));
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
