/* The blocks of a results file beyond the counts of LLM.int8: what ol-results(5) calls
 * massive, super_experts and so on, with the names of the file. A block that is null or
 * missing is NULL, an absent integer OL_ABSENT, an absent number NAN, a text NULL. */
#ifndef OL_REPORT_BLOCKS_H
#define OL_REPORT_BLOCKS_H

#include "report/fields.h"

/* ---- distributions of values, massive activations ---- */

struct ol_distribution {
    int64_t layer, n, n_nan, n_inf, n_zero;
    const char *site;             /* "ln_attn", "ln_mlp", "output" */
    double mean, std, kurtosis;   /* of all values together, which grows with length, */
    double kurtosis_token_median; /* and of each token's values, half of them below */
    struct ol_reals magnitudes;   /* at each quantile level */
    struct ol_reals log2_counts;  /* of 2^e <= |x| < 2^(e+1), e = first_exponent + i */
};
struct ol_distributions {
    int64_t first_exponent, kurtosis_tokens;
    struct ol_reals quantile_levels;
    struct ol_list sites; /* struct ol_distribution */
};

struct ol_massive_criterion {
    double min_magnitude, min_ratio, near_ratio;
};
struct ol_massive_layer {
    int64_t layer, feature, sequence, position, token_id, n_values, n_tokens;
    double median_magnitude, max_magnitude;
    const char *piece;
    struct ol_reals mean_top;           /* of the tokens' 1st..4th largest magnitudes */
    struct ol_reals mean_top_published; /* of the sequences' */
};
struct ol_massive_life {
    int64_t layer, n_massive, n_above, n_unknown;
    double max_magnitude, ratio;
};
struct ol_counted_token {
    int64_t token_id, n_tokens;
    const char *piece;
};
struct ol_massive_feature {
    int64_t feature, n_values, n_tokens, at_first_token, n_layers, first_layer,
        last_layer, max_layer, above_until, above_until_at_most;
    double max_magnitude, max_ratio;
    struct ol_list layers; /* struct ol_massive_life; of massive dimensions */
    struct ol_list tokens; /* struct ol_counted_token; of near misses */
};
struct ol_massive_token {
    int64_t token_id, at_first, elsewhere, text_at_first, text_elsewhere;
    const char *piece;
};
struct ol_massive {
    struct ol_massive_criterion *criterion;
    struct ol_list layers;   /* struct ol_massive_layer */
    struct ol_list features; /* struct ol_massive_feature */
    struct ol_list near;     /* struct ol_massive_feature */
    struct ol_list tokens;   /* struct ol_massive_token */
    int64_t onset_layer, offset_layer;
};

/* ---- experts, and who writes into the stream ---- */

struct ol_super_criterion {
    double percentile, min_share, first_layers;
};
struct ol_super_expert {
    int64_t layer, expert, feature, sequence, position, token_id, input_column, n_tokens;
    const char *kind, *piece; /* kind: "expert", "shared", "mlp", "attention" */
    double output, input, gate_mean, share_of_max, share_of_median, z;
};
struct ol_super_robust {
    double min_z, median, mad;
    struct ol_list experts; /* struct ol_super_expert: layer, kind, expert, output, z */
};
struct ol_unit {
    int64_t expert, n_tokens;
    const char *kind;
    double gate_mean, input, output;
};
struct ol_super_layer {
    int64_t layer;
    struct ol_list units; /* struct ol_unit */
};
/* What the published rule would list among so many experts by chance alone. */
struct ol_super_noise {
    int64_t n_experts, n_above;
    double expected, probability;
    bool meaningful; /* false: the largest output is always listed */
};
struct ol_super_experts {
    struct ol_super_criterion *criterion;
    double limit, max_output, median_output;
    struct ol_list experts; /* struct ol_super_expert */
    struct ol_super_noise *noise;
    struct ol_super_robust *robust;
    struct ol_list layers; /* struct ol_super_layer */
};

struct ol_writer {
    int64_t layer, expert, n_tokens;
    const char *kind;
    double sum, share;
};
struct ol_layer_tokens {
    int64_t layer, n_tokens;
};
/* Writers that a list leaves out. */
struct ol_other_writers {
    int64_t n_writers;
    double sum, share;
};
struct ol_others {
    struct ol_other_writers *made_by, *counteracted_by, *erased_by;
};
struct ol_attributed_feature {
    int64_t feature, n_tokens, at_first_token, n_values, n_unknown_values;
    const char *event, *sign;
    double max_magnitude, magnitude, embedding, unknown;
    struct ol_list peak_layers, onset_layers;           /* struct ol_layer_tokens */
    struct ol_list made_by, counteracted_by, erased_by; /* struct ol_writer, the largest
                                                           share first */
    struct ol_others *others;
    struct ol_list tokens; /* struct ol_counted_token, the most first */
};
struct ol_attribution_layer {
    int64_t feature, layer;
    const char *event;
    double attention, mlp;
};
struct ol_attribution {
    struct ol_list features; /* struct ol_attributed_feature */
    struct ol_list layers;   /* struct ol_attribution_layer */
};

struct ol_link_site {
    int64_t layer;
    const char *site;
};
struct ol_link {
    int64_t feature, onset_layer, event_tokens;
    double max_magnitude, norm_gain, normed_median, normed_max, share_with_occurrence;
    struct ol_link_site *ln_site;
    struct ol_writer *writer; /* layer, kind, expert, share */
    bool is_outlier_feature, is_super_expert;
};

struct ol_router_loads {
    int64_t layer, n_pairs;
    struct ol_reals tokens, mean_weight; /* [n_experts] */
};
struct ol_routing {
    int64_t n_experts;
    struct ol_list layers; /* struct ol_router_loads */
};

/* ---- where and on which tokens ---- */

struct ol_token_share {
    int64_t n, n_tokens;
    double share, base_rate, lift;
};
struct ol_token_piece {
    int64_t token_id, n_tokens, n_outliers;
    const char *piece;
    double per_token, share, base_rate, lift;
};
struct ol_token_counts {
    int64_t pairs, unique, pooled, n_tokens;
};
struct ol_tokens {
    int64_t n_tokens, n_positions, min_tokens;
    struct ol_token_share *first_token, *delimiters;
    struct ol_list pieces; /* struct ol_token_piece */
    struct ol_token_counts *without_first, *without_massive;
};

struct ol_positions {
    double bin_width; /* positions in an element of per_position */
    struct ol_reals bucket_edges, n_positions, outliers_per_token, per_position;
};

struct ol_position_feature {
    int64_t feature;
    struct ol_reals n_outliers; /* by bucket */
};
struct ol_position_site {
    int64_t layer;
    const char *site;
    struct ol_reals occurrences; /* by bucket */
};
struct ol_position_map {
    struct ol_reals bucket_edges, n_tokens; /* by bucket */
    struct ol_list features;                /* struct ol_position_feature */
    struct ol_list sites;                   /* struct ol_position_site */
};

struct ol_onset_cause {
    double normed_growth, gain_growth, stream_growth;
    const char *by; /* "gain" or "stream" */
};
struct ol_onset_at {
    int64_t layer;
    const char *site;
    double share, gain, normed_rms, stream_mean, stream_rms;
};
struct ol_onset_feature {
    int64_t feature, first_layer, last_layer, n_sites;
    const char *first_site;
    struct ol_onset_cause *cause;
    struct ol_list sites; /* struct ol_onset_at */
};
struct ol_onset_site {
    int64_t layer, n_features, occurrences;
    const char *site;
};
struct ol_onset {
    double min_share;
    struct ol_list features; /* struct ol_onset_feature */
    struct ol_list by_site;  /* struct ol_onset_site */
};

/* ---- how sure, and what if ---- */

struct ol_sweep {
    struct ol_reals thresholds, layer_fractions, position_fractions;
    struct ol_reals pairs, unique; /* [thresholds][layer_fractions][position_fractions] */
};

struct ol_interval {
    double value, low, high;
};
struct ol_split_half {
    int64_t unique_a, unique_b, both;
    double jaccard;
};
struct ol_consistency {
    int64_t batches, n_features;
};
struct ol_margin_count {
    const char *change; /* "2 % lower" */
    double threshold;
    int64_t pairs;
};
struct ol_margin {
    struct ol_list counts; /* struct ol_margin_count */
    int64_t least_sites, pairs_at_least_sites, pairs_at_least_positions;
};
struct ol_uncertainty {
    int64_t resamples, seed;
    double level;
    struct ol_interval *pairs, *unique, *pooled, *mean_layer_fraction,
        *mean_position_fraction;
    struct ol_split_half *split_half;
    struct ol_list consistency; /* struct ol_consistency */
    struct ol_margin *margin;
};

struct ol_phase_shift {
    double min_layers, min_positions;
    const char *text;
    int64_t n_features, n_features_by_layers;
    struct ol_reals features, features_by_layers;
    bool reached;
};

struct ol_quantised_site {
    int64_t layer;
    const char *site;
    struct ol_reals error, error_without_dims, error_without_tokens; /* [methods] */
    struct ol_reals token_median, zeroed;                            /* [methods] */
};
struct ol_quantised_rank {
    int64_t layer;
    const char *site, *method;
    double error;
};
/* What goes into a unit's down projection. */
struct ol_down_input {
    int64_t layer, expert, n_tokens, column, energy_column;
    const char *kind;
    double largest, share_of_median, rms, energy_share;
};
struct ol_quantisation {
    int64_t sample_tokens, sample_first, k_dims, k_tokens, int8_divisor;
    const char *kept_tokens; /* "massive", "worst": which k_tokens are kept apart */
    struct ol_list methods;  /* const char * */
    struct ol_list sites;    /* struct ol_quantised_site */
    struct ol_list down;     /* struct ol_down_input, the largest first */
    struct ol_list ranking;  /* struct ol_quantised_rank: by method, the worst first */
};

struct ol_quantised_experts {
    int64_t layer;
    struct ol_reals n_tokens; /* [n_experts]: in the sample */
    struct ol_reals error;    /* [methods][n_experts] */
};
struct ol_expert_rank {
    int64_t layer, expert, n_tokens;
    const char *method;
    double error;
};
struct ol_expert_quantisation {
    int64_t most_tokens, n_experts;
    struct ol_list methods; /* const char * */
    struct ol_list layers;  /* struct ol_quantised_experts */
    struct ol_list ranking; /* struct ol_expert_rank: by method, the worst first */
};

struct ol_blocks {
    struct ol_distributions *distributions;
    struct ol_massive *massive;
    struct ol_super_experts *super_experts;
    struct ol_attribution *attribution;
    struct ol_list links; /* struct ol_link */
    struct ol_routing *router;
    struct ol_tokens *tokens;
    struct ol_positions *positions;
    struct ol_position_map *position_map;
    struct ol_onset *onset;
    struct ol_sweep *sweep;
    struct ol_uncertainty *uncertainty;
    struct ol_phase_shift *phase_shift;
    struct ol_quantisation *quantisation;
    struct ol_expert_quantisation *expert_quantisation;
};

/* Read the blocks of a results file's top object, and check that arrays which belong
 * together have the lengths they need. Everything belongs to the arena and the JSON. */
int ol_blocks_read(struct ol_blocks *blocks, struct ol_json_section top,
                   struct ol_arena *arena, struct ol_error *err);

/* The second half of that, for blocks that were read from file. */
int ol_blocks_check(const struct ol_blocks *blocks, const char *file,
                    struct ol_error *err);

#endif
