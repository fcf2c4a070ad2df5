/* Outlier features from the summaries alone: how often, at which sites and positions each
 * feature has an occurrence, and which features qualify when all sequences form one set
 * (`pooled` in ol-results.5). */
#ifndef OL_ANALYZE_FEATURES_H
#define OL_ANALYZE_FEATURES_H

#include "analyze/statistics.h"

/* An ln_attn or ln_mlp that has a summary. */
struct ol_features_site {
    int i_layer; /* index into the layout's layers */
    int layer;   /* number in the model */
    enum ol_summary_site site;
};

struct ol_feature {
    int feature;
    int64_t occurrences;
    int64_t positions;         /* distinct (sequence, position) with an occurrence */
    int n_sites;               /* with an occurrence, */
    int first_site, last_site; /* of these; -1: none */
    double max_magnitude;      /* of the occurrences; 0: none */
    double layer_fraction;     /* n_sites of all sites */
    double position_fraction;  /* positions of all tokens */
};

struct ol_features {
    int64_t d_model;
    int n_sites;
    struct ol_features_site *sites; /* [n_sites], layer by layer */
    struct ol_feature *features;    /* [d_model], by number */
    int64_t *at_site;               /* [n_sites, d_model]: occurrences */
    int n_outliers;
    int *outliers; /* [n_outliers]: features that qualify, by falling max_magnitude, then
                      by number */
};

/* False, with *f cleared: there are no summaries of ln sites, or their occurrences were
 * counted by another threshold than the criterion's. */
bool ol_features_find(const struct ol_analysis *a, struct ol_features *f);
void ol_features_clear(struct ol_features *f);

/* Features with at least these fractions, into list [d_model], in the order of outliers;
 * how many. */
int ol_features_list(const struct ol_features *f, double min_layers, double min_positions,
                     int *list);

#endif
