/* Where outlier features begin and end: the first and the last layer in which each has an
 * occurrence, and how many of them each site has. */
#include "analyze/features.h"

static struct ol_json *describe_features(const struct ol_features *f)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < f->n_outliers; i++) {
        const struct ol_feature *one = &f->features[f->outliers[i]];
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(entry, "feature", ol_json_new_int(one->feature));
        ol_json_set(entry, "first_layer",
                    ol_json_new_int(f->sites[one->first_site].layer));
        ol_json_set(entry, "last_layer", ol_json_new_int(f->sites[one->last_site].layer));
        ol_json_set(entry, "n_sites", ol_json_new_int(one->n_sites));
        ol_json_append(list, entry);
    }
    return list;
}

static struct ol_json *describe_site(const struct ol_features *f, int i)
{
    int64_t n_features = 0, occurrences = 0;
    for (int k = 0; k < f->n_outliers; k++) {
        const int64_t n = f->at_site[i * f->d_model + f->outliers[k]];
        n_features += n > 0;
        occurrences += n;
    }
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "layer", ol_json_new_int(f->sites[i].layer));
    ol_json_set(entry, "site",
                ol_json_new_string(ol_summary_site_name(f->sites[i].site)));
    ol_json_set(entry, "n_features", ol_json_new_int(n_features));
    ol_json_set(entry, "occurrences", ol_json_new_int(occurrences));
    return entry;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_features f;
    if (!ol_features_find(a, &f))
        return ol_json_new_null();
    struct ol_json *block = ol_json_new_object(), *sites = ol_json_new_array();
    for (int i = 0; i < f.n_sites; i++)
        ol_json_append(sites, describe_site(&f, i));
    ol_json_set(block, "features", describe_features(&f));
    ol_json_set(block, "by_site", sites);
    ol_features_clear(&f);
    return block;
}

const struct ol_statistic ol_onset_statistic = {.name = "onset", .results = results};
