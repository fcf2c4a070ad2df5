/* From a massive dimension of the stream to where the norms make an outlier feature of it
 * and to the part of the model that writes it. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/massive.h"
#include "analyze/units.h"
#include "analyze/writers.h"

/* Massive features whose writers are looked for: the largest. */
enum { MAX_WRITTEN = 32 };

/* The ln site where a dimension is largest. */
struct largest {
    int i_layer; /* -1: none */
    enum ol_summary_site site;
    double magnitude, gain; /* gain: of the norm there */
};

struct links {
    const struct ol_parts *parts;
    struct ol_massive massive;
    bool has_features;
    struct ol_features features;
    struct ol_units units;
    struct ol_super_experts super;
    struct ol_writers writers; /* of the first massive features */
    struct largest *largest;   /* [d_model] */
};

static void look_at_site(struct links *k, int i_layer, enum ol_summary_site site,
                         double *columns)
{
    const int64_t d = ol_parts_layout(k->parts)->d_model;
    for (int i = 0; i < k->parts->n_files; i++) {
        const struct ol_activation_summary summary = {.columns = columns};
        ol_activation_read_summary(k->parts->files[i], i_layer, site, &summary);
        for (int64_t f = 0; f < d; f++) {
            const double max = columns[OL_COLUMN_MAX * d + f],
                         min = columns[OL_COLUMN_MIN * d + f];
            const double magnitude = max > -min ? max : -min;
            /* A dimension that is always NaN has its maximum below its minimum. */
            if (max >= min &&
                (k->largest[f].i_layer < 0 || magnitude > k->largest[f].magnitude))
                k->largest[f] = (struct largest){i_layer, site, magnitude,
                                                 columns[OL_COLUMN_GAIN * d + f]};
        }
    }
}

static void find_largest(struct links *k)
{
    const struct ol_activation_layout *layout = ol_parts_layout(k->parts);
    const size_t d = (size_t)layout->d_model;
    double *columns = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *columns);
    k->largest = ol_xcalloc(d, sizeof *k->largest);
    for (size_t f = 0; f < d; f++)
        k->largest[f].i_layer = -1;
    for (int l = 0; l < layout->n_layers; l++)
        for (int site = OL_SUMMARY_LN_ATTN; site <= OL_SUMMARY_LN_MLP; site++)
            if (layout->layers[l].summary_sites[site])
                look_at_site(k, l, (enum ol_summary_site)site, columns);
    free(columns);
}

static void find_writers(struct links *k)
{
    int features[MAX_WRITTEN], n = 0;
    for (; n < k->massive.n_features && n < MAX_WRITTEN; n++)
        features[n] = k->massive.features[n].feature;
    ol_writers_find(k->parts, features, n, &k->writers);
}

static struct ol_json *describe_site(const struct links *k, const struct largest *l)
{
    if (l->i_layer < 0)
        return ol_json_new_null();
    struct ol_json *site = ol_json_new_object();
    ol_json_set(site, "layer",
                ol_json_new_int(ol_parts_layout(k->parts)->layers[l->i_layer].number));
    ol_json_set(site, "site", ol_json_new_string(ol_summary_site_name(l->site)));
    ol_json_set(site, "max_magnitude", ol_json_new_real(l->magnitude));
    return site;
}

static bool is_super(const struct links *k, const struct ol_writer_sum *w)
{
    for (int64_t i = 0; i < k->super.n; i++)
        if (k->super.experts[i]->i_layer == w->i_layer &&
            k->super.experts[i]->number == w->unit)
            return true;
    return false;
}

static void describe_writer(struct ol_json *entry, const struct links *k,
                            const struct ol_writer_sum *w)
{
    if (w == NULL) {
        ol_json_set(entry, "writer", ol_json_new_null());
        ol_json_set(entry, "is_super_expert", ol_json_new_null());
        return;
    }
    struct ol_json *writer = ol_json_new_object();
    ol_json_set(writer, "layer",
                ol_json_new_int(ol_parts_layout(k->parts)->layers[w->i_layer].number));
    ol_describe_unit(writer, k->parts, w->i_layer, w->unit);
    ol_json_set(entry, "writer", writer);
    ol_json_set(entry, "is_super_expert", ol_json_new_bool(is_super(k, w)));
}

static bool is_outlier(const struct ol_features *f, int feature)
{
    for (int i = 0; i < f->n_outliers; i++)
        if (f->outliers[i] == feature)
            return true;
    return false;
}

static struct ol_json *describe_link(const struct links *k, int i)
{
    const struct ol_massive_feature *f = &k->massive.features[i];
    const struct ol_written *written =
        i < k->writers.n_features ? &k->writers.features[i] : NULL;
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "feature", ol_json_new_int(f->feature));
    ol_json_set(entry, "max_magnitude", ol_json_new_real(f->max));
    ol_json_set(entry, "onset_layer", ol_json_new_int(f->first_layer));
    const struct largest *at = &k->largest[f->feature];
    ol_json_set(entry, "norm_gain",
                at->i_layer >= 0 && isfinite(at->gain) ? ol_json_new_real(at->gain)
                                                       : ol_json_new_null());
    ol_json_set(entry, "ln_site", describe_site(k, &k->largest[f->feature]));
    ol_json_set(entry, "is_outlier_feature",
                k->has_features ? ol_json_new_bool(is_outlier(&k->features, f->feature))
                                : ol_json_new_null());
    describe_writer(entry, k,
                    written != NULL && written->n_writers > 0 ? &written->writers[0]
                                                              : NULL);
    return entry;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct links k = {.parts = a->parts};
    if (!ol_massive_find(a->parts, &ol_massive_default, &k.massive))
        return ol_json_new_null();
    struct ol_json *list = ol_json_new_array();
    if (k.massive.n_features > 0) {
        k.has_features = ol_features_find(a, &k.features);
        ol_units_read(a->parts, &k.units);
        ol_units_super(a->parts, &k.units, &ol_super_default, &k.super);
        find_largest(&k);
        find_writers(&k);
        for (int i = 0; i < k.massive.n_features; i++)
            ol_json_append(list, describe_link(&k, i));
    }
    ol_features_clear(&k.features);
    ol_units_super_clear(&k.super);
    ol_units_clear(&k.units);
    ol_writers_clear(&k.writers);
    ol_massive_clear(&k.massive);
    free(k.largest);
    return list;
}

const struct ol_statistic ol_links_statistic = {.name = "links", .results = results};
