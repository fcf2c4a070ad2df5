/* Which parts of the model write the stream's largest dimensions: the massive features',
 * the outlier features' as far as they are among a token's largest, and those that are
 * most often the largest near the end. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/massive.h"
#include "analyze/statistics.h"
#include "analyze/writers.h"

enum {
    MAX_MASSIVE = 32,
    MAX_OUTLIERS = 48, /* with the massive ones */
    MAX_FEATURES = 64, /* with those that are the largest */
    MAX_WRITERS = 16,
    MAX_TOKENS = 8,
};

/* Which part of the recorded layers counts as the end. */
enum { LAST_PARTS = 4 };

struct count {
    int feature;
    bool among_largest; /* of some token, after some layer */
    int64_t n;          /* how often the largest near the end */
};

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

/* Near the end: in the last quarter of the layers. */
static void count_tops(const struct ol_parts *parts, const struct ol_massive *m,
                       struct count *counts)
{
    const int64_t d_model = ol_parts_layout(parts)->d_model;
    const int first = m->n_layers - (m->n_layers + LAST_PARTS - 1) / LAST_PARTS;
    for (int l = 0; l < m->n_layers; l++)
        for (int64_t k = 0; k < parts->n_sequences; k++) {
            const uint16_t *features =
                ol_activation_top_features(parts->files[parts->file_of[k]],
                                           m->layers[l].i_layer, parts->number_of[k]);
            for (int64_t i = 0; i < parts->lengths[k] * OL_TOP_FEATURES; i++) {
                if (features[i] >= d_model)
                    continue;
                counts[features[i]].among_largest = true;
                counts[features[i]].n += l >= first && i % OL_TOP_FEATURES == 0;
            }
        }
}

/* Those that are not taken yet, until there are MAX_OUTLIERS. */
static int add_outliers(const struct ol_analysis *a, struct count *counts, int *chosen,
                        int n)
{
    struct ol_features features;
    if (!ol_features_find(a, &features))
        return n;
    for (int i = 0; i < features.n_outliers && n < MAX_OUTLIERS; i++) {
        struct count *c = &counts[features.outliers[i]];
        if (!c->among_largest)
            continue;
        chosen[n++] = c->feature;
        c->n = 0;
    }
    ol_features_clear(&features);
    return n;
}

static int choose(const struct ol_analysis *a, const struct ol_massive *m, int *features)
{
    const struct ol_parts *parts = a->parts;
    const int64_t d_model = ol_parts_layout(parts)->d_model;
    struct count *counts = ol_xcalloc((size_t)d_model, sizeof *counts);
    int n = 0;
    for (int64_t f = 0; f < d_model; f++)
        counts[f].feature = (int)f;
    count_tops(parts, m, counts);
    for (; n < m->n_features && n < MAX_MASSIVE; n++) {
        features[n] = m->features[n].feature;
        counts[features[n]].among_largest = false;
        counts[features[n]].n = 0;
    }
    n = add_outliers(a, counts, features, n);
    qsort(counts, (size_t)d_model, sizeof *counts, by_count);
    for (int64_t i = 0; i < d_model && n < MAX_FEATURES && counts[i].n > 0; i++)
        features[n++] = counts[i].feature;
    free(counts);
    return n;
}

static int by_magnitude(const void *a, const void *b)
{
    const struct ol_written *x = a, *y = b;
    const double p = isnan(x->max_magnitude) ? -1 : x->max_magnitude,
                 q = isnan(y->max_magnitude) ? -1 : y->max_magnitude;
    if (p != q)
        return p > q ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

static struct ol_json *describe_feature(const struct ol_parts *parts,
                                        const struct ol_written *f)
{
    struct ol_json *entry = ol_json_new_object(), *writers = ol_json_new_array();
    for (int i = 0; i < f->n_writers && i < MAX_WRITERS; i++) {
        const struct ol_writer_sum *w = &f->writers[i];
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "layer",
                    ol_json_new_int(ol_parts_layout(parts)->layers[w->i_layer].number));
        ol_describe_unit(one, parts, w->i_layer, w->unit);
        ol_json_set(one, "n_values", ol_json_new_int(w->n));
        ol_json_set(one, "sum", ol_json_new_real(w->sum));
        ol_json_set(one, "mean", ol_json_new_real(w->sum / (double)w->n));
        ol_json_set(one, "share", ol_json_new_real(w->share));
        ol_json_append(writers, one);
    }
    ol_json_set(entry, "feature", ol_json_new_int(f->feature));
    ol_json_set(entry, "max_magnitude", ol_json_new_real(f->max_magnitude));
    ol_json_set(entry, "n_values", ol_json_new_int(f->n_values));
    ol_json_set(entry, "writers", writers);
    ol_json_set(entry, "tokens", ol_describe_tokens(parts, &f->tokens, MAX_TOKENS));
    return entry;
}

static struct ol_json *describe(const struct ol_parts *parts, struct ol_writers *w)
{
    struct ol_json *block = ol_json_new_object(), *features = ol_json_new_array(),
                   *layers = ol_json_new_array();
    qsort(w->features, (size_t)w->n_features, sizeof *w->features, by_magnitude);
    for (int i = 0; i < w->n_features; i++)
        ol_json_append(features, describe_feature(parts, &w->features[i]));
    for (int i = 0; i < w->n_layers; i++) {
        const struct ol_writers_layer *layer = &w->layers[i];
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(
            entry, "layer",
            ol_json_new_int(ol_parts_layout(parts)->layers[layer->i_layer].number));
        ol_json_set(entry, "attention", ol_json_new_real(layer->attention));
        ol_json_set(entry, "mlp", ol_json_new_real(layer->mlp));
        ol_json_append(layers, entry);
    }
    ol_json_set(block, "features", features);
    ol_json_set(block, "layers", layers);
    ol_json_set(block, "unknown_share",
                ol_json_new_real((double)w->n_unknown / (double)w->n_writes));
    return block;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_massive m;
    struct ol_writers w;
    int features[MAX_FEATURES];
    if (!ol_massive_find(a->parts, &ol_massive_default, &m))
        return ol_json_new_null();
    const int n = choose(a, &m, features);
    ol_writers_find(a->parts, features, n, &w);
    struct ol_json *block = describe(a->parts, &w);
    ol_writers_clear(&w);
    ol_massive_clear(&m);
    return block;
}

const struct ol_statistic ol_attribution_statistic = {.name = "attribution",
                                                      .results = results};
