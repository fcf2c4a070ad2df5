#include "report/figures.h"

#include <string.h>

const struct ol_figure *const ol_figures[] = {
    &ol_features_figure,       &ol_onset_figure,        &ol_magnitudes_figure,
    &ol_stream_figure,         &ol_positions_figure,    &ol_feature_positions_figure,
    &ol_site_positions_figure, &ol_histograms_figure,   &ol_kurtosis_figure,
    &ol_experts_figure,        &ol_attribution_figure,  &ol_writes_figure,
    &ol_sweep_figure,          &ol_thresholds_figure,   &ol_uncertainty_figure,
    &ol_consistency_figure,    &ol_quantisation_figure, &ol_expert_quantisation_figure,
    &ol_load_figure,           &ol_entropy_figure,      NULL};

const struct ol_figure *ol_figure_find(const char *name)
{
    for (int i = 0; ol_figures[i] != NULL; i++)
        if (strcmp(ol_figures[i]->name, name) == 0)
            return ol_figures[i];
    return NULL;
}
