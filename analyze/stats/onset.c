/* Where outlier features set in and end, and what sets them in: the sites at which enough
 * tokens have an occurrence of each, what the norm multiplies the dimension by there, and
 * what the stream holds. */
#include <math.h>
#include <stdlib.h>

#include "analyze/features.h"
#include "common/results/onset.h"

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
    const struct ol_activation_layout *layout = ol_parts_layout(o->parts);
    const int before = layer_before(layout, where->i_layer);
    const enum ol_summary_site first =
        ol_activation_first_site(&layout->layers[where->i_layer]);
    double *normed = read_columns(o->parts, where->i_layer, where->site),
           *stream = before >= 0 && where->site == first
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

/* What has grown since then: the norm's gain, or the dimension's share of the stream,
 * which is the rest of what the normed value has grown by. */
static struct ol_onset_cause *describe_cause(const struct ol_features *f,
                                             const struct at *at, int site,
                                             struct ol_arena *arena)
{
    const int before = site_before(f, at, site);
    if (before < 0)
        return NULL;
    const double normed = at[site].normed_rms / at[before].normed_rms,
                 gain = fabs(at[site].gain / at[before].gain), stream = normed / gain;
    struct ol_onset_cause *cause = ol_arena_calloc(arena, 1, sizeof *cause);
    *cause = (struct ol_onset_cause){.since_layer = f->sites[before].layer,
                                     .normed_growth = normed,
                                     .gain_growth = gain,
                                     .stream_growth = stream,
                                     .by = !isfinite(gain) || !isfinite(stream) ? NULL
                                           : gain >= stream                     ? "gain"
                                                            : "stream"};
    return cause;
}

static void describe_feature(const struct onset *o, int i, struct ol_onset_feature *to,
                             struct ol_arena *arena)
{
    const struct ol_features *f = o->f;
    const struct at *at = o->at + i * f->n_sites;
    struct ol_onset_at *sites = ol_list_new(&to->sites, f->n_sites, sizeof *sites, arena);
    int first = -1;
    to->feature = f->outliers[i];
    to->first_layer = to->last_layer = OL_ABSENT;
    for (int site = 0; site < f->n_sites; site++) {
        sites[site] =
            (struct ol_onset_at){.layer = f->sites[site].layer,
                                 .site = ol_summary_site_name(f->sites[site].site),
                                 .share = at[site].share,
                                 .gain = at[site].gain,
                                 .normed_rms = at[site].normed_rms,
                                 .stream_mean = at[site].mean,
                                 .stream_rms = at[site].rms};
        if (!sets_in(&at[site]))
            continue;
        first = first < 0 ? site : first;
        to->last_layer = sites[site].layer;
        to->n_sites++;
    }
    if (first < 0)
        return;
    to->first_layer = sites[first].layer;
    to->first_site = sites[first].site;
    to->cause = describe_cause(f, at, first, arena);
}

static void describe_site(const struct onset *o, int site, struct ol_onset_site *to)
{
    const struct ol_features *f = o->f;
    *to = (struct ol_onset_site){.layer = f->sites[site].layer,
                                 .site = ol_summary_site_name(f->sites[site].site)};
    for (int i = 0; i < f->n_outliers; i++) {
        to->n_features += sets_in(&o->at[i * f->n_sites + site]);
        to->occurrences += f->at_site[site * f->d_model + f->outliers[i]];
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_features f;
    struct ol_onset *to = block;
    if (!ol_features_find(a, &f))
        return false;
    struct onset o = {
        .parts = a->parts,
        .f = &f,
        .at = ol_arena_calloc(arena, (size_t)(f.n_outliers * f.n_sites), sizeof *o.at)};
    struct ol_onset_feature *features =
        ol_list_new(&to->features, f.n_outliers, sizeof *features, arena);
    struct ol_onset_site *sites =
        ol_list_new(&to->by_site, f.n_sites, sizeof *sites, arena);
    to->min_share = min_share;
    for (int i = 0; i < f.n_sites; i++) {
        look_at_site(&o, i);
        describe_site(&o, i, &sites[i]);
    }
    for (int i = 0; i < f.n_outliers; i++)
        describe_feature(&o, i, &features[i], arena);
    ol_features_clear(&f);
    return true;
}

const struct ol_statistic ol_onset_statistic = {.name = "onset", .results = results};
