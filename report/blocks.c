/* The field tables of blocks.h. S is the struct that a table describes. */
#include "report/blocks.h"

/* clang-format off */
#define FIELD(f, kind, e) {#f, kind, offsetof(S, f), e}
/* clang-format on */
#define INT(f)       FIELD(f, OL_FIELD_INT, NULL)
#define COUNT(f)     FIELD(f, OL_FIELD_COUNT, NULL)
#define REAL(f)      FIELD(f, OL_FIELD_REAL, NULL)
#define TEXT(f)      FIELD(f, OL_FIELD_TEXT, NULL)
#define TEXTS(f)     FIELD(f, OL_FIELD_TEXTS, NULL)
#define BOOL(f)      FIELD(f, OL_FIELD_BOOL, NULL)
#define REALS(f)     FIELD(f, OL_FIELD_REALS, NULL)
#define OBJECT(f, e) FIELD(f, OL_FIELD_OBJECT, &(e))
#define LIST(f, e)   FIELD(f, OL_FIELD_LIST, &(e))

#define S struct ol_distribution
static const struct ol_field distribution_fields[] = {COUNT(layer),
                                                      COUNT(n),
                                                      COUNT(n_nan),
                                                      COUNT(n_inf),
                                                      COUNT(n_zero),
                                                      TEXT(site),
                                                      REAL(mean),
                                                      REAL(std),
                                                      REAL(kurtosis),
                                                      REAL(kurtosis_token_median),
                                                      REALS(magnitudes),
                                                      REALS(log2_counts),
                                                      {0}};
#undef S
static const struct ol_struct distribution_struct = {sizeof(struct ol_distribution),
                                                     distribution_fields};

#define S struct ol_distributions
static const struct ol_field distributions_fields[] = {INT(first_exponent),
                                                       COUNT(kurtosis_tokens),
                                                       REALS(quantile_levels),
                                                       LIST(sites, distribution_struct),
                                                       {0}};
#undef S
static const struct ol_struct distributions_struct = {sizeof(struct ol_distributions),
                                                      distributions_fields};

#define S struct ol_massive_criterion
static const struct ol_field massive_criterion_fields[] = {
    REAL(min_magnitude), REAL(min_ratio), REAL(near_ratio), {0}};
#undef S
static const struct ol_struct massive_criterion_struct = {
    sizeof(struct ol_massive_criterion), massive_criterion_fields};

#define S struct ol_massive_layer
static const struct ol_field massive_layer_fields[] = {COUNT(layer),
                                                       COUNT(feature),
                                                       COUNT(sequence),
                                                       COUNT(position),
                                                       COUNT(token_id),
                                                       COUNT(n_values),
                                                       COUNT(n_tokens),
                                                       REAL(median_magnitude),
                                                       REAL(max_magnitude),
                                                       TEXT(piece),
                                                       REALS(mean_top),
                                                       REALS(mean_top_published),
                                                       {0}};
#undef S
static const struct ol_struct massive_layer_struct = {sizeof(struct ol_massive_layer),
                                                      massive_layer_fields};

#define S struct ol_massive_life
static const struct ol_field massive_life_fields[] = {COUNT(layer),
                                                      COUNT(n_massive),
                                                      COUNT(n_above),
                                                      COUNT(n_unknown),
                                                      REAL(max_magnitude),
                                                      REAL(ratio),
                                                      {0}};
#undef S
static const struct ol_struct massive_life_struct = {sizeof(struct ol_massive_life),
                                                     massive_life_fields};

#define S struct ol_counted_token
static const struct ol_field counted_token_fields[] = {
    COUNT(token_id), COUNT(n_tokens), TEXT(piece), {0}};
#undef S
static const struct ol_struct counted_token_struct = {sizeof(struct ol_counted_token),
                                                      counted_token_fields};

#define S struct ol_massive_feature
static const struct ol_field massive_feature_fields[] = {
    COUNT(feature),
    COUNT(n_values),
    COUNT(n_tokens),
    COUNT(at_first_token),
    COUNT(n_layers),
    COUNT(first_layer),
    COUNT(last_layer),
    COUNT(max_layer),
    COUNT(above_until),
    COUNT(above_until_at_most),
    REAL(max_magnitude),
    REAL(max_ratio),
    LIST(layers, massive_life_struct),
    LIST(tokens, counted_token_struct),
    {0}};
#undef S
static const struct ol_struct massive_feature_struct = {sizeof(struct ol_massive_feature),
                                                        massive_feature_fields};

#define S struct ol_massive_token
static const struct ol_field massive_token_fields[] = {COUNT(token_id),
                                                       COUNT(at_first),
                                                       COUNT(elsewhere),
                                                       COUNT(text_at_first),
                                                       COUNT(text_elsewhere),
                                                       TEXT(piece),
                                                       {0}};
#undef S
static const struct ol_struct massive_token_struct = {sizeof(struct ol_massive_token),
                                                      massive_token_fields};

#define S struct ol_massive
static const struct ol_field massive_fields[] = {
    OBJECT(criterion, massive_criterion_struct),
    LIST(layers, massive_layer_struct),
    LIST(features, massive_feature_struct),
    LIST(near, massive_feature_struct),
    LIST(tokens, massive_token_struct),
    COUNT(onset_layer),
    COUNT(offset_layer),
    {0}};
#undef S
static const struct ol_struct massive_struct = {sizeof(struct ol_massive),
                                                massive_fields};

#define S struct ol_super_criterion
static const struct ol_field super_criterion_fields[] = {
    REAL(percentile), REAL(min_share), REAL(first_layers), {0}};
#undef S
static const struct ol_struct super_criterion_struct = {sizeof(struct ol_super_criterion),
                                                        super_criterion_fields};

#define S struct ol_super_expert
static const struct ol_field super_expert_fields[] = {COUNT(layer),
                                                      COUNT(expert),
                                                      COUNT(feature),
                                                      COUNT(sequence),
                                                      COUNT(position),
                                                      COUNT(token_id),
                                                      COUNT(input_column),
                                                      COUNT(n_tokens),
                                                      TEXT(kind),
                                                      TEXT(piece),
                                                      REAL(output),
                                                      REAL(input),
                                                      REAL(gate_mean),
                                                      REAL(share_of_max),
                                                      REAL(share_of_median),
                                                      REAL(z),
                                                      {0}};
#undef S
static const struct ol_struct super_expert_struct = {sizeof(struct ol_super_expert),
                                                     super_expert_fields};

#define S struct ol_super_robust
static const struct ol_field super_robust_fields[] = {
    REAL(min_z), REAL(median), REAL(mad), LIST(experts, super_expert_struct), {0}};
#undef S
static const struct ol_struct super_robust_struct = {sizeof(struct ol_super_robust),
                                                     super_robust_fields};

#define S struct ol_unit
static const struct ol_field unit_fields[] = {
    COUNT(expert), COUNT(n_tokens), TEXT(kind), REAL(gate_mean),
    REAL(input),   REAL(output),    {0}};
#undef S
static const struct ol_struct unit_struct = {sizeof(struct ol_unit), unit_fields};

#define S struct ol_super_layer
static const struct ol_field super_layer_fields[] = {
    COUNT(layer), LIST(units, unit_struct), {0}};
#undef S
static const struct ol_struct super_layer_struct = {sizeof(struct ol_super_layer),
                                                    super_layer_fields};

#define S struct ol_super_noise
static const struct ol_field super_noise_fields[] = {COUNT(n_experts), COUNT(n_above),
                                                     REAL(expected),   REAL(probability),
                                                     BOOL(meaningful), {0}};
#undef S
static const struct ol_struct super_noise_struct = {sizeof(struct ol_super_noise),
                                                    super_noise_fields};

#define S struct ol_super_experts
static const struct ol_field super_experts_fields[] = {
    OBJECT(criterion, super_criterion_struct),
    REAL(limit),
    REAL(max_output),
    REAL(median_output),
    LIST(experts, super_expert_struct),
    OBJECT(noise, super_noise_struct),
    OBJECT(robust, super_robust_struct),
    LIST(layers, super_layer_struct),
    {0}};
#undef S
static const struct ol_struct super_experts_struct = {sizeof(struct ol_super_experts),
                                                      super_experts_fields};

#define S struct ol_writer
static const struct ol_field writer_fields[] = {
    COUNT(layer), COUNT(expert), COUNT(n_tokens), TEXT(kind), REAL(sum), REAL(share),
    {0}};
#undef S
static const struct ol_struct writer_struct = {sizeof(struct ol_writer), writer_fields};

#define S struct ol_layer_tokens
static const struct ol_field layer_tokens_fields[] = {COUNT(layer), COUNT(n_tokens), {0}};
#undef S
static const struct ol_struct layer_tokens_struct = {sizeof(struct ol_layer_tokens),
                                                     layer_tokens_fields};

#define S struct ol_other_writers
static const struct ol_field other_writers_fields[] = {
    COUNT(n_writers), REAL(sum), REAL(share), {0}};
#undef S
static const struct ol_struct other_writers_struct = {sizeof(struct ol_other_writers),
                                                      other_writers_fields};

#define S struct ol_others
static const struct ol_field others_fields[] = {
    OBJECT(made_by, other_writers_struct),
    OBJECT(counteracted_by, other_writers_struct),
    OBJECT(erased_by, other_writers_struct),
    {0}};
#undef S
static const struct ol_struct others_struct = {sizeof(struct ol_others), others_fields};

#define S struct ol_attributed_feature
static const struct ol_field attributed_feature_fields[] = {
    COUNT(feature),
    COUNT(n_tokens),
    COUNT(at_first_token),
    COUNT(n_values),
    COUNT(n_unknown_values),
    TEXT(event),
    TEXT(sign),
    REAL(max_magnitude),
    REAL(magnitude),
    REAL(embedding),
    REAL(unknown),
    LIST(peak_layers, layer_tokens_struct),
    LIST(onset_layers, layer_tokens_struct),
    LIST(made_by, writer_struct),
    LIST(counteracted_by, writer_struct),
    LIST(erased_by, writer_struct),
    OBJECT(others, others_struct),
    LIST(tokens, counted_token_struct),
    {0}};
#undef S
static const struct ol_struct attributed_feature_struct = {
    sizeof(struct ol_attributed_feature), attributed_feature_fields};

#define S struct ol_attribution_layer
static const struct ol_field attribution_layer_fields[] = {
    COUNT(feature), COUNT(layer), TEXT(event), REAL(attention), REAL(mlp), {0}};
#undef S
static const struct ol_struct attribution_layer_struct = {
    sizeof(struct ol_attribution_layer), attribution_layer_fields};

#define S struct ol_attribution
static const struct ol_field attribution_fields[] = {
    LIST(features, attributed_feature_struct),
    LIST(layers, attribution_layer_struct),
    {0}};
#undef S
static const struct ol_struct attribution_struct = {sizeof(struct ol_attribution),
                                                    attribution_fields};

#define S struct ol_link_site
static const struct ol_field link_site_fields[] = {COUNT(layer), TEXT(site), {0}};
#undef S
static const struct ol_struct link_site_struct = {sizeof(struct ol_link_site),
                                                  link_site_fields};

#define S struct ol_link
static const struct ol_field link_fields[] = {COUNT(feature),
                                              COUNT(onset_layer),
                                              COUNT(event_tokens),
                                              REAL(max_magnitude),
                                              REAL(norm_gain),
                                              REAL(normed_median),
                                              REAL(normed_max),
                                              REAL(share_with_occurrence),
                                              OBJECT(ln_site, link_site_struct),
                                              OBJECT(writer, writer_struct),
                                              BOOL(is_outlier_feature),
                                              BOOL(is_super_expert),
                                              {0}};
#undef S
static const struct ol_struct link_struct = {sizeof(struct ol_link), link_fields};

#define S struct ol_router_loads
static const struct ol_field router_loads_fields[] = {
    COUNT(layer), COUNT(n_pairs), REALS(tokens), REALS(mean_weight), {0}};
#undef S
static const struct ol_struct router_loads_struct = {sizeof(struct ol_router_loads),
                                                     router_loads_fields};

#define S struct ol_routing
static const struct ol_field routing_fields[] = {
    COUNT(n_experts), LIST(layers, router_loads_struct), {0}};
#undef S
static const struct ol_struct routing_struct = {sizeof(struct ol_routing),
                                                routing_fields};

#define S struct ol_token_share
static const struct ol_field token_share_fields[] = {
    COUNT(n), COUNT(n_tokens), REAL(share), REAL(base_rate), REAL(lift), {0}};
#undef S
static const struct ol_struct token_share_struct = {sizeof(struct ol_token_share),
                                                    token_share_fields};

#define S struct ol_token_piece
static const struct ol_field token_piece_fields[] = {
    COUNT(token_id), COUNT(n_tokens), COUNT(n_outliers), TEXT(piece), REAL(per_token),
    REAL(share),     REAL(base_rate), REAL(lift),        {0}};
#undef S
static const struct ol_struct token_piece_struct = {sizeof(struct ol_token_piece),
                                                    token_piece_fields};

#define S struct ol_token_counts
static const struct ol_field token_counts_fields[] = {
    COUNT(pairs), COUNT(unique), COUNT(pooled), COUNT(n_tokens), {0}};
#undef S
static const struct ol_struct token_counts_struct = {sizeof(struct ol_token_counts),
                                                     token_counts_fields};

#define S struct ol_tokens
static const struct ol_field tokens_fields[] = {
    COUNT(n_tokens),
    COUNT(n_positions),
    COUNT(min_tokens),
    OBJECT(first_token, token_share_struct),
    OBJECT(delimiters, token_share_struct),
    LIST(pieces, token_piece_struct),
    OBJECT(without_first, token_counts_struct),
    OBJECT(without_massive, token_counts_struct),
    {0}};
#undef S
static const struct ol_struct tokens_struct = {sizeof(struct ol_tokens), tokens_fields};

#define S struct ol_positions
static const struct ol_field positions_fields[] = {
    REAL(bin_width),           REALS(bucket_edges), REALS(n_positions),
    REALS(outliers_per_token), REALS(per_position), {0}};
#undef S
static const struct ol_struct positions_struct = {sizeof(struct ol_positions),
                                                  positions_fields};

#define S struct ol_position_feature
static const struct ol_field position_feature_fields[] = {
    COUNT(feature), REALS(n_outliers), {0}};
#undef S
static const struct ol_struct position_feature_struct = {
    sizeof(struct ol_position_feature), position_feature_fields};

#define S struct ol_position_site
static const struct ol_field position_site_fields[] = {
    COUNT(layer), TEXT(site), REALS(occurrences), {0}};
#undef S
static const struct ol_struct position_site_struct = {sizeof(struct ol_position_site),
                                                      position_site_fields};

#define S struct ol_position_map
static const struct ol_field position_map_fields[] = {
    REALS(bucket_edges),
    REALS(n_tokens),
    LIST(features, position_feature_struct),
    LIST(sites, position_site_struct),
    {0}};
#undef S
static const struct ol_struct position_map_struct = {sizeof(struct ol_position_map),
                                                     position_map_fields};

#define S struct ol_onset_cause
static const struct ol_field onset_cause_fields[] = {
    REAL(normed_growth), REAL(gain_growth), REAL(stream_growth), TEXT(by), {0}};
#undef S
static const struct ol_struct onset_cause_struct = {sizeof(struct ol_onset_cause),
                                                    onset_cause_fields};

#define S struct ol_onset_at
static const struct ol_field onset_at_fields[] = {
    COUNT(layer),     TEXT(site),        REAL(share),      REAL(gain),
    REAL(normed_rms), REAL(stream_mean), REAL(stream_rms), {0}};
#undef S
static const struct ol_struct onset_at_struct = {sizeof(struct ol_onset_at),
                                                 onset_at_fields};

#define S struct ol_onset_feature
static const struct ol_field onset_feature_fields[] = {COUNT(feature),
                                                       COUNT(first_layer),
                                                       COUNT(last_layer),
                                                       COUNT(n_sites),
                                                       TEXT(first_site),
                                                       OBJECT(cause, onset_cause_struct),
                                                       LIST(sites, onset_at_struct),
                                                       {0}};
#undef S
static const struct ol_struct onset_feature_struct = {sizeof(struct ol_onset_feature),
                                                      onset_feature_fields};

#define S struct ol_onset_site
static const struct ol_field onset_site_fields[] = {
    COUNT(layer), COUNT(n_features), COUNT(occurrences), TEXT(site), {0}};
#undef S
static const struct ol_struct onset_site_struct = {sizeof(struct ol_onset_site),
                                                   onset_site_fields};

#define S struct ol_onset
static const struct ol_field onset_fields[] = {REAL(min_share),
                                               LIST(features, onset_feature_struct),
                                               LIST(by_site, onset_site_struct),
                                               {0}};
#undef S
static const struct ol_struct onset_struct = {sizeof(struct ol_onset), onset_fields};

#define S struct ol_sweep
static const struct ol_field sweep_fields[] = {
    REALS(thresholds), REALS(layer_fractions), REALS(position_fractions),
    REALS(pairs),      REALS(unique),          {0}};
#undef S
static const struct ol_struct sweep_struct = {sizeof(struct ol_sweep), sweep_fields};

#define S struct ol_interval
static const struct ol_field interval_fields[] = {
    REAL(value), REAL(low), REAL(high), {0}};
#undef S
static const struct ol_struct interval_struct = {sizeof(struct ol_interval),
                                                 interval_fields};

#define S struct ol_split_half
static const struct ol_field split_half_fields[] = {
    COUNT(unique_a), COUNT(unique_b), COUNT(both), REAL(jaccard), {0}};
#undef S
static const struct ol_struct split_half_struct = {sizeof(struct ol_split_half),
                                                   split_half_fields};

#define S struct ol_consistency
static const struct ol_field consistency_fields[] = {
    COUNT(batches), COUNT(n_features), {0}};
#undef S
static const struct ol_struct consistency_struct = {sizeof(struct ol_consistency),
                                                    consistency_fields};

#define S struct ol_margin_count
static const struct ol_field margin_count_fields[] = {
    TEXT(change), REAL(threshold), COUNT(pairs), {0}};
#undef S
static const struct ol_struct margin_count_struct = {sizeof(struct ol_margin_count),
                                                     margin_count_fields};

#define S struct ol_margin
static const struct ol_field margin_fields[] = {LIST(counts, margin_count_struct),
                                                COUNT(least_sites),
                                                COUNT(pairs_at_least_sites),
                                                COUNT(pairs_at_least_positions),
                                                {0}};
#undef S
static const struct ol_struct margin_struct = {sizeof(struct ol_margin), margin_fields};

#define S struct ol_uncertainty
static const struct ol_field uncertainty_fields[] = {
    COUNT(resamples),
    INT(seed),
    REAL(level),
    OBJECT(pairs, interval_struct),
    OBJECT(unique, interval_struct),
    OBJECT(pooled, interval_struct),
    OBJECT(mean_layer_fraction, interval_struct),
    OBJECT(mean_position_fraction, interval_struct),
    OBJECT(split_half, split_half_struct),
    LIST(consistency, consistency_struct),
    OBJECT(margin, margin_struct),
    {0}};
#undef S
static const struct ol_struct uncertainty_struct = {sizeof(struct ol_uncertainty),
                                                    uncertainty_fields};

#define S struct ol_phase_shift
static const struct ol_field phase_shift_fields[] = {REAL(min_layers),
                                                     REAL(min_positions),
                                                     TEXT(text),
                                                     COUNT(n_features),
                                                     COUNT(n_features_by_layers),
                                                     REALS(features),
                                                     REALS(features_by_layers),
                                                     BOOL(reached),
                                                     {0}};
#undef S
static const struct ol_struct phase_shift_struct = {sizeof(struct ol_phase_shift),
                                                    phase_shift_fields};

#define S struct ol_quantised_site
static const struct ol_field quantised_site_fields[] = {COUNT(layer),
                                                        TEXT(site),
                                                        REALS(error),
                                                        REALS(error_without_dims),
                                                        REALS(error_without_tokens),
                                                        REALS(token_median),
                                                        REALS(zeroed),
                                                        {0}};
#undef S
static const struct ol_struct quantised_site_struct = {sizeof(struct ol_quantised_site),
                                                       quantised_site_fields};

#define S struct ol_quantised_rank
static const struct ol_field quantised_rank_fields[] = {
    COUNT(layer), TEXT(site), TEXT(method), REAL(error), {0}};
#undef S
static const struct ol_struct quantised_rank_struct = {sizeof(struct ol_quantised_rank),
                                                       quantised_rank_fields};

#define S struct ol_down_input
static const struct ol_field down_input_fields[] = {COUNT(layer),
                                                    COUNT(expert),
                                                    COUNT(n_tokens),
                                                    COUNT(column),
                                                    COUNT(energy_column),
                                                    TEXT(kind),
                                                    REAL(largest),
                                                    REAL(share_of_median),
                                                    REAL(rms),
                                                    REAL(energy_share),
                                                    {0}};
#undef S
static const struct ol_struct down_input_struct = {sizeof(struct ol_down_input),
                                                   down_input_fields};

#define S struct ol_quantisation
static const struct ol_field quantisation_fields[] = {
    COUNT(sample_tokens),
    COUNT(sample_first),
    COUNT(k_dims),
    COUNT(k_tokens),
    COUNT(int8_divisor),
    TEXT(kept_tokens),
    TEXTS(methods),
    LIST(sites, quantised_site_struct),
    LIST(ranking, quantised_rank_struct),
    LIST(down, down_input_struct),
    {0}};
#undef S
static const struct ol_struct quantisation_struct = {sizeof(struct ol_quantisation),
                                                     quantisation_fields};

#define S struct ol_quantised_experts
static const struct ol_field quantised_experts_fields[] = {
    COUNT(layer), REALS(n_tokens), REALS(error), {0}};
#undef S
static const struct ol_struct quantised_experts_struct = {
    sizeof(struct ol_quantised_experts), quantised_experts_fields};

#define S struct ol_expert_rank
static const struct ol_field expert_rank_fields[] = {
    COUNT(layer), COUNT(expert), COUNT(n_tokens), TEXT(method), REAL(error), {0}};
#undef S
static const struct ol_struct expert_rank_struct = {sizeof(struct ol_expert_rank),
                                                    expert_rank_fields};

#define S struct ol_expert_quantisation
static const struct ol_field expert_quantisation_fields[] = {
    COUNT(most_tokens),
    COUNT(n_experts),
    TEXTS(methods),
    LIST(layers, quantised_experts_struct),
    LIST(ranking, expert_rank_struct),
    {0}};
#undef S
static const struct ol_struct expert_quantisation_struct = {
    sizeof(struct ol_expert_quantisation), expert_quantisation_fields};

#define S struct ol_blocks
static const struct ol_field blocks_fields[] = {
    OBJECT(distributions, distributions_struct),
    OBJECT(massive, massive_struct),
    OBJECT(super_experts, super_experts_struct),
    OBJECT(attribution, attribution_struct),
    LIST(links, link_struct),
    OBJECT(router, routing_struct),
    OBJECT(tokens, tokens_struct),
    OBJECT(positions, positions_struct),
    OBJECT(position_map, position_map_struct),
    OBJECT(onset, onset_struct),
    OBJECT(sweep, sweep_struct),
    OBJECT(uncertainty, uncertainty_struct),
    OBJECT(phase_shift, phase_shift_struct),
    OBJECT(quantisation, quantisation_struct),
    OBJECT(expert_quantisation, expert_quantisation_struct),
    {0}};
#undef S
static const struct ol_struct blocks_struct = {sizeof(struct ol_blocks), blocks_fields};

int ol_blocks_read(struct ol_blocks *blocks, struct ol_json_section top,
                   struct ol_arena *arena, struct ol_error *err)
{
    if (ol_fields_read(&blocks_struct, top, blocks, arena, err) != 0)
        return -1;
    return ol_blocks_check(blocks, top.file, err);
}
