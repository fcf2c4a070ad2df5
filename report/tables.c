#include "report/tables.h"

#include <inttypes.h>
#include <string.h>

#include "common/error.h"
#include "report/section.h"

static const struct ol_table_source *const sources[] = {&ol_counts_table,
                                                        &ol_published_table,
                                                        &ol_features_table,
                                                        &ol_sites_table,
                                                        &ol_onset_table,
                                                        &ol_onset_life_table,
                                                        &ol_onset_sites_table,
                                                        &ol_consistency_table,
                                                        &ol_uncertainty_table,
                                                        &ol_margin_table,
                                                        &ol_distributions_table,
                                                        &ol_massive_layers_table,
                                                        &ol_massive_features_table,
                                                        &ol_massive_life_table,
                                                        &ol_massive_near_table,
                                                        &ol_massive_tokens_table,
                                                        &ol_super_experts_table,
                                                        &ol_robust_experts_table,
                                                        &ol_units_table,
                                                        &ol_attribution_events_table,
                                                        &ol_attribution_table,
                                                        &ol_attribution_tokens_table,
                                                        &ol_writes_table,
                                                        &ol_links_table,
                                                        &ol_tokens_table,
                                                        &ol_token_shares_table,
                                                        &ol_token_counts_table,
                                                        &ol_positions_table,
                                                        &ol_feature_positions_table,
                                                        &ol_site_positions_table,
                                                        &ol_sweep_table,
                                                        &ol_quantisation_table,
                                                        &ol_quantisation_ranking_table,
                                                        &ol_down_inputs_table,
                                                        &ol_down_errors_table,
                                                        &ol_expert_quantisation_table,
                                                        &ol_expert_ranking_table,
                                                        &ol_router_table,
                                                        &ol_loads_table,
                                                        NULL};

const struct ol_table_source *ol_table_at(int i)
{
    const int n = (int)(sizeof sources / sizeof sources[0]) - 1;
    if (i < n)
        return sources[i];
    i -= n;
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++)
        for (int k = 0; (*s)->tables[k] != NULL; k++)
            if (i-- == 0)
                return (*s)->tables[k];
    return NULL;
}

const struct ol_table_source *ol_table_find(const char *name)
{
    int i = 0;
    while (ol_table_at(i) != NULL && strcmp(ol_table_at(i)->name, name) != 0)
        i++;
    return ol_table_at(i);
}

char *ol_table_unit(const char *kind, int64_t expert)
{
    if (kind == NULL)
        return ol_xstrdup("unknown");
    if (strcmp(kind, "expert") == 0 && expert != OL_ABSENT)
        return ol_xasprintf("expert %" PRId64, expert);
    if (strcmp(kind, "shared") == 0)
        return expert != OL_ABSENT ? ol_xasprintf("shared expert %" PRId64, expert)
                                   : ol_xstrdup("shared expert");
    return ol_xstrdup(strcmp(kind, "mlp") == 0 ? "MLP" : kind);
}
