#include "analyze/features.h"

#include <stdlib.h>
#include <string.h>

/* Whether every file's occurrences are those of the criterion. */
static bool same_threshold(const struct ol_analysis *a)
{
    for (int i = 0; i < a->parts->n_files; i++) {
        const struct ol_activation_layout *layout =
            ol_activation_layout(a->parts->files[i]);
        if (!layout->summary || layout->threshold != a->criterion.threshold)
            return false;
    }
    return true;
}

static void list_sites(const struct ol_activation_layout *layout, struct ol_features *f)
{
    f->sites = ol_xcalloc((size_t)layout->n_layers * 2, sizeof *f->sites);
    for (int l = 0; l < layout->n_layers; l++)
        for (int site = OL_SUMMARY_LN_ATTN; site <= OL_SUMMARY_LN_MLP; site++)
            if (layout->layers[l].summary_sites[site])
                f->sites[f->n_sites++] = (struct ol_features_site){
                    l, layout->layers[l].number, (enum ol_summary_site)site};
}

/* Room for one site's tables of one file. */
struct tables {
    int32_t *counts;
    float *maxima;
};

static void add_site(struct ol_features *f, const struct ol_activation_file *file, int i,
                     const struct tables *tables)
{
    const int64_t n = ol_activation_layout(file)->n_sequences, d = f->d_model;
    const struct ol_activation_summary summary = {.counts = tables->counts,
                                                  .maxima = tables->maxima};
    int64_t *at_site = f->at_site + i * d;
    ol_activation_read_summary(file, f->sites[i].i_layer, f->sites[i].site, &summary);
    for (int64_t s = 0; s < n; s++)
        for (int64_t c = 0; c < d; c++) {
            const double max = (double)tables->maxima[s * d + c];
            at_site[c] += tables->counts[s * d + c];
            if (max > f->features[c].max_magnitude)
                f->features[c].max_magnitude = max;
        }
}

static void add_positions(struct ol_features *f, const struct ol_activation_file *file)
{
    const struct ol_activation_layout *layout = ol_activation_layout(file);
    const int64_t bytes = ol_activation_position_bytes(layout);
    const uint8_t *at = ol_activation_outliers(file)->positions;
    for (int64_t s = 0; s < layout->n_sequences; s++)
        for (int64_t c = 0; c < f->d_model; c++)
            for (int64_t i = 0; i < bytes; i++)
                f->features[c].positions += __builtin_popcount(*at++);
}

static void read_file(struct ol_features *f, const struct ol_activation_file *file)
{
    const size_t n = (size_t)(ol_activation_layout(file)->n_sequences * f->d_model);
    const struct tables tables = {.counts = ol_xcalloc(n, sizeof(int32_t)),
                                  .maxima = ol_xcalloc(n, sizeof(float))};
    for (int i = 0; i < f->n_sites; i++)
        add_site(f, file, i, &tables);
    add_positions(f, file);
    free(tables.counts);
    free(tables.maxima);
}

/* What the sums come to. */
static void finish(struct ol_features *f, const struct ol_analysis *a)
{
    for (int64_t c = 0; c < f->d_model; c++) {
        struct ol_feature *one = &f->features[c];
        one->feature = (int)c;
        one->first_site = one->last_site = -1;
        for (int i = 0; i < f->n_sites; i++) {
            const int64_t n = f->at_site[i * f->d_model + c];
            one->occurrences += n;
            one->n_sites += n > 0;
            if (n > 0 && one->first_site < 0)
                one->first_site = i;
            if (n > 0)
                one->last_site = i;
        }
        one->layer_fraction = (double)one->n_sites / f->n_sites;
        one->position_fraction = a->parts->n_tokens > 0
                                     ? (double)one->positions / (double)a->parts->n_tokens
                                     : 0;
    }
}

static int compare(const void *a, const void *b)
{
    const struct ol_feature *x = *(const struct ol_feature *const *)a,
                            *y = *(const struct ol_feature *const *)b;
    if (x->max_magnitude != y->max_magnitude)
        return x->max_magnitude > y->max_magnitude ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

int ol_features_list(const struct ol_features *f, double min_layers, double min_positions,
                     int *list)
{
    const struct ol_feature **found = ol_xcalloc((size_t)f->d_model, sizeof *found);
    int n = 0;
    for (int64_t c = 0; c < f->d_model; c++)
        if (f->features[c].layer_fraction >= min_layers &&
            f->features[c].position_fraction >= min_positions)
            found[n++] = &f->features[c];
    qsort(found, (size_t)n, sizeof *found, compare);
    for (int i = 0; i < n; i++)
        list[i] = found[i]->feature;
    free(found);
    return n;
}

bool ol_features_find(const struct ol_analysis *a, struct ol_features *f)
{
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    *f = (struct ol_features){.d_model = layout->d_model};
    if (!same_threshold(a))
        return false;
    list_sites(layout, f);
    if (f->n_sites == 0) {
        ol_features_clear(f);
        return false;
    }
    f->features = ol_xcalloc((size_t)f->d_model, sizeof *f->features);
    f->at_site = ol_xcalloc((size_t)(f->n_sites * f->d_model), sizeof *f->at_site);
    for (int i = 0; i < a->parts->n_files; i++)
        read_file(f, a->parts->files[i]);
    finish(f, a);
    f->outliers = ol_xcalloc((size_t)f->d_model, sizeof *f->outliers);
    f->n_outliers = ol_features_list(f, a->criterion.min_layers,
                                     a->criterion.min_positions, f->outliers);
    return true;
}

void ol_features_clear(struct ol_features *f)
{
    free(f->sites);
    free(f->features);
    free(f->at_site);
    free(f->outliers);
    *f = (struct ol_features){0};
}
