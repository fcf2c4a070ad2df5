/* Reading blocks; arrays that belong together must have the lengths they need. */
#include "report/blocks.h"

#include <inttypes.h>

static int check_distributions(const struct ol_distributions *d, const char *file,
                               struct ol_error *err)
{
    const struct ol_distribution *sites = d->sites.items;
    for (int64_t i = 0; i < d->sites.n; i++) {
        if (sites[i].magnitudes.n != d->quantile_levels.n)
            return ol_fail(err,
                           "%s: key \"distributions.sites[%" PRId64
                           "].magnitudes\": %" PRId64 " values for %" PRId64
                           " quantile levels",
                           file, i, sites[i].magnitudes.n, d->quantile_levels.n);
        if (sites[i].log2_counts.n != sites[0].log2_counts.n)
            return ol_fail(err,
                           "%s: key \"distributions.sites[%" PRId64
                           "].log2_counts\": %" PRId64
                           " values, expected as many as the first site has, %" PRId64,
                           file, i, sites[i].log2_counts.n, sites[0].log2_counts.n);
    }
    return 0;
}

static int check_sweep(const struct ol_sweep *s, const char *file, struct ol_error *err)
{
    const int64_t n = s->thresholds.n * s->layer_fractions.n * s->position_fractions.n;
    const struct ol_reals *const counts[] = {&s->pairs, &s->unique};
    static const char *const keys[] = {"pairs", "unique"};
    for (int i = 0; i < 2; i++)
        if (counts[i]->items != NULL && counts[i]->n != n)
            return ol_fail(err,
                           "%s: key \"sweep.%s\": %" PRId64 " values, expected %" PRId64
                           " (thresholds x layer fractions x position fractions)",
                           file, keys[i], counts[i]->n, n);
    return 0;
}

static int check_quantisation(const struct ol_quantisation *q, const char *file,
                              struct ol_error *err)
{
    const struct ol_quantised_site *sites = q->sites.items;
    static const char *const keys[] = {"error", "error_without_dims",
                                       "error_without_tokens", "token_median", "zeroed"};
    for (int64_t i = 0; i < q->sites.n; i++) {
        const struct ol_reals *const errors[] = {
            &sites[i].error, &sites[i].error_without_dims, &sites[i].error_without_tokens,
            &sites[i].token_median, &sites[i].zeroed};
        for (int k = 0; k < 5; k++)
            if (errors[k]->items != NULL && errors[k]->n != q->methods.n)
                return ol_fail(err,
                               "%s: key \"quantisation.sites[%" PRId64 "].%s\": %" PRId64
                               " values for %" PRId64 " methods",
                               file, i, keys[k], errors[k]->n, q->methods.n);
    }
    const struct ol_down_input *down = q->down.items;
    for (int64_t i = 0; i < q->down.n; i++)
        if (down[i].error.items != NULL && down[i].error.n != q->methods.n)
            return ol_fail(err,
                           "%s: key \"quantisation.down[%" PRId64 "].error\": %" PRId64
                           " values for %" PRId64 " methods",
                           file, i, down[i].error.n, q->methods.n);
    return 0;
}

static int check_router(const struct ol_routing *router, const char *file,
                        struct ol_error *err)
{
    const struct ol_router_loads *layers = router->layers.items;
    for (int64_t i = 0; i < router->layers.n; i++)
        if (layers[i].tokens.items != NULL && layers[i].tokens.n != router->n_experts)
            return ol_fail(err,
                           "%s: key \"router.layers[%" PRId64 "].tokens\": %" PRId64
                           " values for %" PRId64 " experts",
                           file, i, layers[i].tokens.n, router->n_experts);
    return 0;
}

/* So many values as buckets. */
static int check_buckets(const struct ol_reals *values, int64_t n, const char *file,
                         const char *key, int64_t i, struct ol_error *err)
{
    if (values->n == n)
        return 0;
    return ol_fail(err,
                   "%s: key \"position_map.%s[%" PRId64 "]\": %" PRId64
                   " values for %" PRId64 " buckets",
                   file, key, i, values->n, n);
}

static int check_position_map(const struct ol_position_map *map, const char *file,
                              struct ol_error *err)
{
    const int64_t n = map->bucket_edges.n;
    const struct ol_position_feature *features = map->features.items;
    const struct ol_position_site *sites = map->sites.items;
    if (map->n_tokens.n != n)
        return ol_fail(err,
                       "%s: key \"position_map.n_tokens\": %" PRId64
                       " values for %" PRId64 " buckets",
                       file, map->n_tokens.n, n);
    for (int64_t i = 0; i < map->features.n; i++)
        if (check_buckets(&features[i].n_outliers, n, file, "features", i, err) != 0)
            return -1;
    for (int64_t i = 0; i < map->sites.n; i++)
        if (check_buckets(&sites[i].occurrences, n, file, "sites", i, err) != 0)
            return -1;
    return 0;
}

static int check_experts(const struct ol_expert_quantisation *q, const char *file,
                         struct ol_error *err)
{
    const struct ol_quantised_experts *layers = q->layers.items;
    for (int64_t i = 0; i < q->layers.n; i++) {
        if (layers[i].n_tokens.n != q->n_experts)
            return ol_fail(err,
                           "%s: key \"expert_quantisation.layers[%" PRId64
                           "].n_tokens\": %" PRId64 " values for %" PRId64 " experts",
                           file, i, layers[i].n_tokens.n, q->n_experts);
        if (layers[i].error.n != q->methods.n * q->n_experts)
            return ol_fail(err,
                           "%s: key \"expert_quantisation.layers[%" PRId64
                           "].error\": %" PRId64 " values, expected %" PRId64
                           " (methods x experts)",
                           file, i, layers[i].error.n, q->methods.n * q->n_experts);
    }
    return 0;
}

static int check(const struct ol_blocks *blocks, const char *file, struct ol_error *err)
{
    if (blocks->distributions != NULL &&
        check_distributions(blocks->distributions, file, err) != 0)
        return -1;
    if (blocks->sweep != NULL && check_sweep(blocks->sweep, file, err) != 0)
        return -1;
    if (blocks->router != NULL && check_router(blocks->router, file, err) != 0)
        return -1;
    if (blocks->position_map != NULL &&
        check_position_map(blocks->position_map, file, err) != 0)
        return -1;
    if (blocks->expert_quantisation != NULL &&
        check_experts(blocks->expert_quantisation, file, err) != 0)
        return -1;
    return blocks->quantisation != NULL
               ? check_quantisation(blocks->quantisation, file, err)
               : 0;
}

int ol_blocks_read(struct ol_blocks *blocks, struct ol_json_section top,
                   struct ol_arena *arena, struct ol_error *err)
{
    if (ol_fields_read(ol_blocks_struct(), top, blocks, arena, err) != 0)
        return -1;
    return check(blocks, top.file, err);
}
