/* The phase shift of LLM.int8() (arXiv 2208.07339, section 4.2): outlier features that
 * the whole model agrees upon, in all layers and in most positions. */
#include "analyze/features.h"
#include "common/results/phase_shift.h"

static const struct {
    double min_layers, min_positions;
} criterion = {1, 0.75};

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

/* The features, of which there is room for all; by layers, as the paper speaks of them,
 * or by sites. */
static int64_t list_features(const struct ol_features *f, bool by_layers,
                             struct ol_reals *list, struct ol_arena *arena)
{
    double *to = ol_reals_new(list, f->d_model, arena);
    int *found = ol_arena_calloc(arena, (size_t)f->d_model, sizeof *found);
    const int n = ol_features_list(f, by_layers ? 0 : criterion.min_layers,
                                   criterion.min_positions, found);
    list->n = 0;
    for (int i = 0; i < n; i++)
        if (!by_layers || in_all_layers(f, found[i]))
            to[list->n++] = found[i];
    return list->n;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_features f;
    struct ol_phase_shift *to = block;
    if (!ol_features_find(a, &f))
        return false;
    to->min_layers = criterion.min_layers;
    to->min_positions = criterion.min_positions;
    to->text = ol_arena_take(
        arena, ol_xasprintf(
                   "features with |x| \xe2\x89\xa5 %g in %g %% of the sites and at %g %% "
                   "of the positions at least",
                   a->criterion.threshold, 100 * criterion.min_layers,
                   100 * criterion.min_positions));
    to->n_features = list_features(&f, false, &to->features, arena);
    to->reached = to->n_features > 0;
    to->n_features_by_layers = list_features(&f, true, &to->features_by_layers, arena);
    ol_features_clear(&f);
    return true;
}

const struct ol_statistic ol_phase_shift_statistic = {.name = "phase_shift",
                                                      .results = results};
