#include "analyze/statistics.h"

extern const struct ol_statistic ol_perplexity_statistic, ol_llm_int8_statistic,
    ol_uncertainty_statistic, ol_sweep_statistic, ol_onset_statistic,
    ol_phase_shift_statistic, ol_tokens_statistic, ol_positions_statistic,
    ol_sites_statistic, ol_distributions_statistic, ol_quantisation_statistic,
    ol_expert_quantisation_statistic, ol_position_map_statistic, ol_massive_statistic,
    ol_super_experts_statistic, ol_attribution_statistic, ol_links_statistic,
    ol_router_statistic;

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
    NULL,
};
/* clang-format on */
