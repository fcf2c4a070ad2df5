/* Every table of a report: made of a results file, for any format. */
#ifndef OL_REPORT_TABLES_H
#define OL_REPORT_TABLES_H

#include "report/grid.h"
#include "report/results.h"

struct ol_table_source {
    const char *name; /* for --table */
    const char *title;
    const struct ol_column *columns;
    /* A list of the blocks, as "massive.features": a row for each of its structs; or for
     * each of a list in each of them, or of an array of numbers, as
     * "router.layers.tokens". */
    const char *rows;
    /* Instead, where rows are more than that; NULL: the results have not what it needs.
     * The caller frees. */
    struct ol_grid *(*make)(const struct ol_report_results *r);
};

/* NULL: the results have not what it needs. The caller frees. */
struct ol_grid *ol_table_make(const struct ol_table_source *t,
                              const struct ol_report_results *r);

/* The i-th of all, those of sections last; NULL: there are not so many. */
const struct ol_table_source *ol_table_at(int i);
/* NULL: there is none of that name. */
const struct ol_table_source *ol_table_find(const char *name);

/* Defined in tables/, a file per group. */
extern const struct ol_table_source ol_counts_table, ol_published_table,
    ol_features_table, ol_sites_table, ol_onset_table, ol_onset_life_table,
    ol_onset_sites_table, ol_consistency_table, ol_distributions_table,
    ol_massive_layers_table, ol_massive_features_table, ol_massive_tokens_table,
    ol_massive_life_table, ol_massive_near_table, ol_super_experts_table,
    ol_robust_experts_table, ol_units_table, ol_attribution_table,
    ol_attribution_tokens_table, ol_attribution_events_table, ol_writes_table,
    ol_links_table, ol_router_table, ol_loads_table, ol_tokens_table,
    ol_token_counts_table, ol_token_shares_table, ol_positions_table, ol_sweep_table,
    ol_uncertainty_table, ol_margin_table, ol_quantisation_table,
    ol_quantisation_ranking_table, ol_down_inputs_table, ol_down_errors_table,
    ol_expert_quantisation_table, ol_expert_ranking_table, ol_feature_positions_table,
    ol_site_positions_table;

/* "expert 12", "shared expert", "MLP", "attention". The caller frees. */
char *ol_table_unit(const char *kind, int64_t expert);
/* What an event of the attribution is, in words. */
const char *ol_table_event(const char *event);

/* Errors of the inputs of down projections: of each method the `most` largest. Never
 * NULL; free it. */
struct ol_grid *ol_down_errors_grid(const struct ol_quantisation *q, int64_t most);

#endif
