/* From a massive dimension of the stream to what the norms make of it on the same tokens,
 * and to the component that makes it. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/findings.h"
#include "analyze/outlying.h"
#include "analyze/units.h"
#include "common/results/links.h"

/* What a massive dimension is behind the norms, on its own tokens. */
struct normed {
    size_t n;         /* tokens whose normed values are known, */
    double *largest;  /* [n]: the largest magnitude of each over the sites */
    int64_t n_tokens; /* of all its tokens, */
    int64_t n_with;   /* and with an occurrence of it; -1: not known */
    int site;         /* of the analysis, with the largest of all; -1: not known */
    double max;
};

struct links {
    const struct ol_analysis *a;
    const struct ol_massive *massive;
    bool has_features;
    struct ol_features features;
    struct ol_units units;
    struct ol_super_experts super;
    int n_written;
    const struct ol_written *written; /* [n_written]: of the first massive features */
};

/* ---- behind the norms ---- */

static bool has_massive(const struct links *k, int64_t sequence, int64_t position,
                        int feature)
{
    for (int l = 0; l < k->massive->stream.n_layers; l++) {
        const float *row =
            k->massive->layers[l].n_values > 0
                ? ol_stream_row(&k->massive->stream, l, sequence, position, feature)
                : NULL;
        if (row != NULL && ol_massive_is(k->massive, l, fabs((double)row[0])))
            return true;
    }
    return false;
}

static double value_at(const struct links *k, int site, int64_t sequence,
                       int64_t position, int feature)
{
    const struct ol_site_of_run *at = &k->a->sites[site];
    const struct ol_activation_file *f =
        k->a->parts->files[k->a->parts->file_of[sequence]];
    const struct ol_activation_layout *layout = ol_activation_layout(f);
    const void *rows = ol_activation_get(f, ol_table_of_site(at->site), at->i_layer,
                                         k->a->parts->number_of[sequence]);
    const int64_t i = position * layout->d_model + feature;
    return layout->dtype == OL_DTYPE_BF16
               ? (double)ol_bf16_to_f32(((const uint16_t *)rows)[i])
               : (double)((const float *)rows)[i];
}

/* NaN: no value of the token is known. */
static double largest_of(const struct links *k, int64_t sequence, int64_t position,
                         int feature, struct normed *normed)
{
    double largest = (double)NAN;
    for (int site = 0; site < k->a->n_sites; site++) {
        const double magnitude = fabs(value_at(k, site, sequence, position, feature));
        largest = fmax(largest, magnitude);
        if (!isnan(magnitude) && (normed->site < 0 || magnitude > normed->max)) {
            normed->site = site;
            normed->max = magnitude;
        }
    }
    return largest;
}

static void add_token(const struct links *k, int64_t sequence, int64_t position,
                      int feature, struct normed *normed)
{
    normed->n_tokens++;
    if (k->has_features) {
        int64_t bytes;
        const uint8_t *bits = ol_outlying_bits(k->a, sequence, (size_t)feature, &bytes);
        normed->n_with += bits[position / 8] >> position % 8 & 1;
    }
    if (k->a->from_summaries)
        return;
    const double largest = largest_of(k, sequence, position, feature, normed);
    if (isnan(largest))
        return;
    if (!k->has_features)
        normed->n_with += largest >= k->a->criterion.threshold;
    normed->largest = ol_xrealloc_array(normed->largest, normed->n + 1, sizeof(double));
    normed->largest[normed->n++] = largest;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void find_normed(const struct links *k, int feature, struct normed *normed)
{
    const struct ol_parts *parts = k->a->parts;
    *normed = (struct normed){.site = -1};
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            if (has_massive(k, s, p, feature))
                add_token(k, s, p, feature, normed);
    if (!k->has_features && (k->a->from_summaries || k->a->n_sites == 0))
        normed->n_with = -1;
    if (normed->n > 0)
        qsort(normed->largest, normed->n, sizeof *normed->largest, by_value);
}

static double median(const struct normed *normed)
{
    return normed->n > 0
               ? (normed->largest[(normed->n - 1) / 2] + normed->largest[normed->n / 2]) /
                     2
               : (double)NAN;
}

/* What the site's norm multiplies the dimension by. */
static double gain(const struct links *k, int site, int feature)
{
    const struct ol_site_of_run *at = &k->a->sites[site];
    const struct ol_activation_layout *layout = ol_parts_layout(k->a->parts);
    if (!layout->layers[at->i_layer].summary_sites[ol_summary_site_of(at->site)])
        return (double)NAN;
    double *columns =
        ol_xcalloc(OL_N_COLUMN_ROWS * (size_t)layout->d_model, sizeof *columns);
    const struct ol_activation_summary summary = {.columns = columns};
    ol_activation_read_summary(k->a->parts->files[0], at->i_layer,
                               ol_summary_site_of(at->site), &summary);
    const double value = columns[OL_COLUMN_GAIN * layout->d_model + feature];
    free(columns);
    return value;
}

static void describe_normed(const struct links *k, struct ol_link *to,
                            struct ol_arena *arena)
{
    struct normed normed;
    const int feature = (int)to->feature;
    find_normed(k, feature, &normed);
    to->event_tokens = normed.n_tokens;
    to->normed_median = median(&normed);
    to->normed_max = to->norm_gain = (double)NAN;
    to->share_with_occurrence = normed.n_with >= 0
                                    ? (double)normed.n_with / (double)normed.n_tokens
                                    : (double)NAN;
    if (normed.site >= 0) {
        const struct ol_site_of_run *at = &k->a->sites[normed.site];
        to->normed_max = normed.max;
        to->norm_gain = gain(k, normed.site, feature);
        to->ln_site = ol_arena_calloc(arena, 1, sizeof *to->ln_site);
        *to->ln_site = (struct ol_link_site){at->layer, ol_site_name(at->site)};
    }
    free(normed.largest);
}

/* ---- the chain ---- */

static bool is_super(const struct links *k, const struct ol_writer_sum *w)
{
    for (int64_t i = 0; i < k->super.n; i++)
        if (k->super.experts[i]->i_layer == w->i_layer &&
            k->super.experts[i]->number == w->unit)
            return true;
    return false;
}

static bool is_outlier(const struct ol_features *f, int feature)
{
    for (int i = 0; i < f->n_outliers; i++)
        if (f->outliers[i] == feature)
            return true;
    return false;
}

static enum ol_maybe yes_or_no(bool yes)
{
    return yes ? OL_YES : OL_NO;
}

static void describe_link(const struct links *k, int i, struct ol_link *to,
                          struct ol_arena *arena)
{
    const struct ol_massive_feature *f = &k->massive->features[i];
    *to = (struct ol_link){
        .feature = f->feature, .max_magnitude = f->max, .onset_layer = f->first_layer};
    describe_normed(k, to, arena);
    if (k->has_features)
        to->is_outlier_feature = yes_or_no(is_outlier(&k->features, f->feature));
    if (i >= k->n_written || k->written[i].made_by.n == 0)
        return;
    const struct ol_writer_sum *w = &k->written[i].made_by.writers[0];
    to->writer = ol_arena_calloc(arena, 1, sizeof *to->writer);
    to->writer->who = ol_describe_component(k->a->parts, w->i_layer, w->unit);
    to->writer->share = w->share;
    to->is_super_expert = yes_or_no(is_super(k, w));
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct links *k = ol_xcalloc(1, sizeof *k);
    k->a = a;
    k->massive = ol_findings_massive(a);
    const bool known = k->massive != NULL;
    if (known) {
        struct ol_link *links =
            ol_list_new(block, k->massive->n_features, sizeof *links, arena);
        k->has_features = ol_features_find(a, &k->features);
        ol_units_read(a->parts, &k->units);
        ol_units_super(a->parts, &k->units, &ol_super_default, &k->super);
        k->written = ol_findings_written(a, &k->n_written);
        if (k->n_written > OL_FINDINGS_TOLD)
            k->n_written = OL_FINDINGS_TOLD;
        for (int i = 0; i < k->massive->n_features; i++)
            describe_link(k, i, &links[i], arena);
    }
    ol_features_clear(&k->features);
    ol_units_super_clear(&k->super);
    ol_units_clear(&k->units);
    free(k);
    return known;
}

const struct ol_statistic ol_links_statistic = {.name = "links", .results = results};
