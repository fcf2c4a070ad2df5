/* The phase shift of LLM.int8() (arXiv 2208.07339, section 4.2): outlier features that
 * the whole model agrees upon, in all layers and in most positions. */
#include <stdlib.h>

#include "analyze/features.h"

static const struct {
    double min_layers, min_positions;
} criterion = {1, 0.75};

static struct ol_json *list_features(const struct ol_features *f)
{
    struct ol_json *json = ol_json_new_array();
    int *list = ol_xcalloc((size_t)f->d_model, sizeof *list);
    const int n =
        ol_features_list(f, criterion.min_layers, criterion.min_positions, list);
    for (int i = 0; i < n; i++)
        ol_json_append(json, ol_json_new_int(list[i]));
    free(list);
    return json;
}

/* Whether every layer that has a site has an occurrence at one of them. */
static bool in_all_layers(const struct ol_features *f, int feature)
{
    for (int i = 0; i < f->n_sites;) {
        bool with = false;
        const int layer = f->sites[i].i_layer;
        for (; i < f->n_sites && f->sites[i].i_layer == layer; i++)
            with = with || f->at_site[i * f->d_model + feature] > 0;
        if (!with)
            return false;
    }
    return true;
}

/* By layers, as the paper speaks of them, not by sites. */
static struct ol_json *list_by_layers(const struct ol_features *f)
{
    struct ol_json *json = ol_json_new_array();
    int *list = ol_xcalloc((size_t)f->d_model, sizeof *list);
    const int n = ol_features_list(f, 0, criterion.min_positions, list);
    for (int i = 0; i < n; i++)
        if (in_all_layers(f, list[i]))
            ol_json_append(json, ol_json_new_int(list[i]));
    free(list);
    return json;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_features f;
    if (!ol_features_find(a, &f))
        return ol_json_new_null();
    struct ol_json *block = ol_json_new_object(), *list = list_features(&f),
                   *by_layers = list_by_layers(&f);
    const int64_t n = (int64_t)ol_json_length(list);
    char *text = ol_xasprintf(
        "features with |x| \xe2\x89\xa5 %g in %g %% of the sites and at %g %% "
        "of the positions at least",
        a->criterion.threshold, 100 * criterion.min_layers,
        100 * criterion.min_positions);
    ol_json_set(block, "min_layers", ol_json_new_real(criterion.min_layers));
    ol_json_set(block, "min_positions", ol_json_new_real(criterion.min_positions));
    ol_json_set(block, "text", ol_json_new_string(text));
    ol_json_set(block, "n_features", ol_json_new_int(n));
    ol_json_set(block, "features", list);
    ol_json_set(block, "reached", ol_json_new_bool(n > 0));
    ol_json_set(block, "n_features_by_layers",
                ol_json_new_int((int64_t)ol_json_length(by_layers)));
    ol_json_set(block, "features_by_layers", by_layers);
    free(text);
    ol_features_clear(&f);
    return block;
}

const struct ol_statistic ol_phase_shift_statistic = {.name = "phase_shift",
                                                      .results = results};
