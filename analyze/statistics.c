#include "analyze/statistics.h"

#include <string.h>

extern const struct ol_statistic ol_perplexity_statistic, ol_llm_int8_statistic,
    ol_uncertainty_statistic, ol_sweep_statistic, ol_onset_statistic,
    ol_phase_shift_statistic, ol_tokens_statistic, ol_positions_statistic,
    ol_sites_statistic, ol_distributions_statistic, ol_quantisation_statistic,
    ol_expert_quantisation_statistic, ol_position_map_statistic, ol_massive_statistic,
    ol_super_experts_statistic, ol_attribution_statistic, ol_links_statistic,
    ol_router_statistic, ol_ablation_statistic, ol_co_activation_statistic,
    ol_generators_statistic, ol_fp4_statistic;

/* One line each. */
/* clang-format off */
const struct ol_statistic *const ol_statistics[] = {
    &ol_perplexity_statistic,
    &ol_llm_int8_statistic,
    &ol_uncertainty_statistic,
    &ol_sweep_statistic,
    &ol_onset_statistic,
    &ol_phase_shift_statistic,
    &ol_tokens_statistic,
    &ol_positions_statistic,
    &ol_position_map_statistic,
    &ol_sites_statistic,
    &ol_distributions_statistic,
    &ol_quantisation_statistic,
    &ol_expert_quantisation_statistic,
    &ol_massive_statistic,
    &ol_super_experts_statistic,
    &ol_attribution_statistic,
    &ol_links_statistic,
    &ol_router_statistic,
    &ol_ablation_statistic,
    &ol_co_activation_statistic,
    &ol_generators_statistic,
    &ol_fp4_statistic,
    NULL,
};
/* clang-format on */

_Static_assert(sizeof ol_statistics / sizeof ol_statistics[0] <= OL_MAX_STATISTICS + 1,
               "statistics have no room in ol_chosen");

static int refuse(const char *name, size_t n, struct ol_error *err)
{
    char all[512] = "";
    for (int i = 0; ol_statistics[i] != NULL; i++) {
        strncat(all, i > 0 ? ", " : "", sizeof all - strlen(all) - 1);
        strncat(all, ol_statistics[i]->name, sizeof all - strlen(all) - 1);
    }
    return ol_fail(err, "--statistics: there is no '%.*s'; there are %s", (int)n, name,
                   all);
}

int ol_statistics_choose(const char *names, struct ol_chosen *chosen,
                         struct ol_error *err)
{
    *chosen = (struct ol_chosen){{false}};
    for (int i = 0; names == NULL && ol_statistics[i] != NULL; i++)
        chosen->statistics[i] = true;
    while (names != NULL) {
        const char *comma = strchr(names, ',');
        const size_t n = comma != NULL ? (size_t)(comma - names) : strlen(names);
        int i = 0;
        while (ol_statistics[i] != NULL &&
               (strlen(ol_statistics[i]->name) != n ||
                memcmp(ol_statistics[i]->name, names, n) != 0))
            i++;
        if (ol_statistics[i] == NULL)
            return refuse(names, n, err);
        chosen->statistics[i] = true;
        names = comma != NULL ? comma + 1 : NULL;
    }
    return 0;
}
