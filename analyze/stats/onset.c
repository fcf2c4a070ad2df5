/* Where outlier features set in and end, and what sets them in: the sites at which enough
 * tokens have an occurrence of each, what the norm multiplies the dimension by there, and
 * what the stream holds. */
#include <math.h>
#include <stdlib.h>

#include "analyze/features.h"

/* Of all tokens: a few occurrences are no onset. */
static const double min_share = 0.01;

/* A dimension at a site; NaN: not known. */
struct at {
    double share;      /* of tokens with an occurrence */
    double gain;       /* of the norm */
    double normed_rms; /* of its output */
    double mean, rms;  /* of the stream before the layer, which is its input at ln_attn */
};

struct onset {
    const struct ol_parts *parts;
    const struct ol_features *f;
    struct at *at; /* [n_outliers][n_sites] */
};

static bool sets_in(const struct at *at)
{
    return at->share >= min_share;
}

/* Sums of a site's columns over all files, gains of the first; [OL_N_COLUMN_ROWS,
 * d_model]. The caller frees. */
static double *read_columns(const struct ol_parts *parts, int i_layer,
                            enum ol_summary_site site)
{
    const size_t d = (size_t)ol_parts_layout(parts)->d_model;
    double *sums = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *sums),
           *columns = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *columns);
    const struct ol_activation_summary summary = {.columns = columns};
    for (int i = 0; i < parts->n_files; i++) {
        ol_activation_read_summary(parts->files[i], i_layer, site, &summary);
        for (size_t k = OL_COLUMN_SUM * d; k < (OL_COLUMN_SUM_SQUARES + 1) * d; k++)
            sums[k] += columns[k];
        for (size_t k = OL_COLUMN_GAIN * d; i == 0 && k < (OL_COLUMN_GAIN + 1) * d; k++)
            sums[k] = columns[k];
    }
    free(columns);
    return sums;
}

/* The layer of the layout whose output the layer reads; -1: not recorded. */
static int layer_before(const struct ol_activation_layout *layout, int i_layer)
{
    return i_layer > 0 &&
                   layout->layers[i_layer - 1].number + 1 ==
                       layout->layers[i_layer].number &&
                   layout->layers[i_layer - 1].summary_sites[OL_SUMMARY_OUTPUT]
               ? i_layer - 1
               : -1;
}

static void look_at_site(struct onset *o, int site)
{
    const struct ol_features *f = o->f;
    const struct ol_features_site *where = &f->sites[site];
    const double n = (double)o->parts->n_tokens;
    const int before = layer_before(ol_parts_layout(o->parts), where->i_layer);
    double *normed = read_columns(o->parts, where->i_layer, where->site),
           *stream = before >= 0 && where->site == OL_SUMMARY_LN_ATTN
                         ? read_columns(o->parts, before, OL_SUMMARY_OUTPUT)
                         : NULL;
    for (int i = 0; i < f->n_outliers; i++) {
        const int64_t c = f->outliers[i], d = f->d_model;
        o->at[i * f->n_sites + site] = (struct at){
            .share = (double)f->at_site[site * d + c] / n,
            .gain = normed[OL_COLUMN_GAIN * d + c],
            .normed_rms = sqrt(normed[OL_COLUMN_SUM_SQUARES * d + c] / n),
            .mean = stream != NULL ? stream[OL_COLUMN_SUM * d + c] / n : (double)NAN,
            .rms = stream != NULL ? sqrt(stream[OL_COLUMN_SUM_SQUARES * d + c] / n)
                                  : (double)NAN,
        };
    }
    free(stream);
    free(normed);
}

/* ---- what is said ---- */

/* The last site of the same kind at which the normed value was at most half as large; -1:
 * none. The layer before an onset may hold it just below the threshold: what has grown
 * since then is an accident of that, not what made the feature. */
static int site_before(const struct ol_features *f, const struct at *at, int site)
{
    for (int i = site - 1; i >= 0; i--)
        if (f->sites[i].site == f->sites[site].site &&
            2 * at[i].normed_rms <= at[site].normed_rms)
            return i;
    return -1;
}

/* What has grown since then: the norm's gain, or the dimension's part of the stream,
 * which is the rest of what the normed value has grown by. */
static struct ol_json *describe_cause(const struct ol_features *f, const struct at *at,
                                      int site)
{
    const int before = site_before(f, at, site);
    if (before < 0)
        return ol_json_new_null();
    const double normed = at[site].normed_rms / at[before].normed_rms,
                 gain = fabs(at[site].gain / at[before].gain), stream = normed / gain;
    struct ol_json *cause = ol_json_new_object();
    ol_json_set(cause, "since_layer", ol_json_new_int(f->sites[before].layer));
    ol_json_set(cause, "normed_growth", ol_json_new_real(normed));
    ol_json_set(cause, "gain_growth", ol_json_new_real(gain));
    ol_json_set(cause, "stream_growth", ol_json_new_real(stream));
    ol_json_set(cause, "by",
                isfinite(gain) && isfinite(stream)
                    ? ol_json_new_string(gain >= stream ? "gain" : "stream")
                    : ol_json_new_null());
    return cause;
}

static struct ol_json *describe_sites(const struct ol_features *f, const struct at *at)
{
    struct ol_json *list = ol_json_new_array();
    for (int i = 0; i < f->n_sites; i++) {
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(entry, "layer", ol_json_new_int(f->sites[i].layer));
        ol_json_set(entry, "site",
                    ol_json_new_string(ol_summary_site_name(f->sites[i].site)));
        ol_json_set(entry, "share", ol_json_new_real(at[i].share));
        ol_json_set(entry, "gain", ol_json_new_real(at[i].gain));
        ol_json_set(entry, "normed_rms", ol_json_new_real(at[i].normed_rms));
        ol_json_set(entry, "stream_mean", ol_json_new_real(at[i].mean));
        ol_json_set(entry, "stream_rms", ol_json_new_real(at[i].rms));
        ol_json_append(list, entry);
    }
    return list;
}

static struct ol_json *describe_feature(const struct onset *o, int i)
{
    const struct ol_features *f = o->f;
    const struct at *at = o->at + i * f->n_sites;
    int first = -1, last = -1, n = 0;
    for (int site = 0; site < f->n_sites; site++) {
        if (!sets_in(&at[site]))
            continue;
        first = first < 0 ? site : first;
        last = site;
        n++;
    }
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "feature", ol_json_new_int(f->outliers[i]));
    ol_json_set(entry, "first_layer",
                first >= 0 ? ol_json_new_int(f->sites[first].layer) : ol_json_new_null());
    ol_json_set(entry, "first_site",
                first >= 0
                    ? ol_json_new_string(ol_summary_site_name(f->sites[first].site))
                    : ol_json_new_null());
    ol_json_set(entry, "last_layer",
                last >= 0 ? ol_json_new_int(f->sites[last].layer) : ol_json_new_null());
    ol_json_set(entry, "n_sites", ol_json_new_int(n));
    ol_json_set(entry, "cause",
                first >= 0 ? describe_cause(f, at, first) : ol_json_new_null());
    ol_json_set(entry, "sites", describe_sites(f, at));
    return entry;
}

static struct ol_json *describe_site(const struct onset *o, int site)
{
    const struct ol_features *f = o->f;
    int64_t n_features = 0, occurrences = 0;
    for (int i = 0; i < f->n_outliers; i++) {
        n_features += sets_in(&o->at[i * f->n_sites + site]);
        occurrences += f->at_site[site * f->d_model + f->outliers[i]];
    }
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "layer", ol_json_new_int(f->sites[site].layer));
    ol_json_set(entry, "site",
                ol_json_new_string(ol_summary_site_name(f->sites[site].site)));
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
    struct onset o = {
        .parts = a->parts,
        .f = &f,
        .at = ol_xcalloc((size_t)(f.n_outliers * f.n_sites) + 1, sizeof *o.at)};
    struct ol_json *block = ol_json_new_object(), *features = ol_json_new_array(),
                   *sites = ol_json_new_array();
    for (int i = 0; i < f.n_sites; i++)
        look_at_site(&o, i);
    for (int i = 0; i < f.n_outliers; i++)
        ol_json_append(features, describe_feature(&o, i));
    for (int i = 0; i < f.n_sites; i++)
        ol_json_append(sites, describe_site(&o, i));
    ol_json_set(block, "min_share", ol_json_new_real(min_share));
    ol_json_set(block, "features", features);
    ol_json_set(block, "by_site", sites);
    free(o.at);
    ol_features_clear(&f);
    return block;
}

const struct ol_statistic ol_onset_statistic = {.name = "onset", .results = results};
