#include "analyze/outlying.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/features.h"

const uint8_t *ol_outlying_bits(const struct ol_analysis *a, int64_t sequence, size_t f,
                                int64_t *bytes)
{
    const struct ol_activation_file *file = a->parts->files[a->parts->file_of[sequence]];
    const struct ol_activation_layout *layout = ol_activation_layout(file);
    *bytes = ol_activation_position_bytes(layout);
    return ol_activation_outliers(file)->positions +
           (a->parts->number_of[sequence] * layout->d_model + (int64_t)f) * *bytes;
}

bool ol_outlying_find(const struct ol_analysis *a, struct ol_outlying *o)
{
    const struct ol_parts *parts = a->parts;
    struct ol_features features;
    *o = (struct ol_outlying){.a = a};
    if (!ol_features_find(a, &features))
        return false;
    o->counts = ol_xcalloc((size_t)parts->n_sequences, sizeof *o->counts);
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        o->counts[s] = ol_xcalloc((size_t)parts->lengths[s], sizeof **o->counts);
        for (int i = 0; i < features.n_outliers; i++) {
            int64_t bytes;
            const uint8_t *bits =
                ol_outlying_bits(a, s, (size_t)features.outliers[i], &bytes);
            for (int64_t p = 0; p < parts->lengths[s]; p++)
                o->counts[s][p] += bits[p / 8] >> p % 8 & 1;
        }
    }
    ol_features_clear(&features);
    return true;
}

void ol_outlying_clear(struct ol_outlying *o)
{
    for (int64_t s = 0; o->counts != NULL && s < o->a->parts->n_sequences; s++)
        free(o->counts[s]);
    free(o->counts);
    *o = (struct ol_outlying){0};
}

/* ---- without some tokens ---- */

struct without {
    const struct ol_analysis *a;
    const uint8_t *const *skip;
    size_t d_model, n_sites;
    int32_t *counts; /* [d_model]: at one site of one sequence */
    float *maxima;
    struct ol_found found;
    /* [d_model] */
    uint8_t *at_site;       /* [n_sites][d_model]: left in the batch */
    uint8_t *ever_at_site;  /* [n_sites][d_model]: in any */
    uint8_t *ever;          /* qualified in a batch */
    int64_t *positions;     /* left in the batch, distinct (position) */
    int64_t *all_positions; /* left in all, distinct (sequence, position) */
};

/* Take the occurrences of a sequence's marked tokens away from a site's counts. */
static void take_away(struct without *w, int64_t sequence, size_t site)
{
    const struct ol_parts *parts = w->a->parts;
    const struct ol_site_of_run *at = &w->a->sites[site];
    const uint16_t *rows = ol_activation_get(parts->files[parts->file_of[sequence]],
                                             ol_table_of_site(at->site), at->i_layer,
                                             parts->number_of[sequence]);
    for (int64_t p = 0; p < parts->lengths[sequence]; p++) {
        if (!w->skip[sequence][p])
            continue;
        const struct ol_searched row = {OL_DTYPE_BF16, rows + (size_t)p * w->d_model, 0,
                                        1, (uint32_t)w->d_model};
        ol_find(&row, w->a->criterion.threshold, NULL, &w->found);
        for (size_t i = 0; i < w->found.n; i++)
            w->counts[w->found.occurrences[i].feature]--;
    }
}

static void add_sequence(struct without *w, int64_t sequence)
{
    const struct ol_parts *parts = w->a->parts;
    for (size_t site = 0; site < w->n_sites; site++) {
        const struct ol_site_of_run *at = &w->a->sites[site];
        ol_activation_read_occurrences(parts->files[parts->file_of[sequence]],
                                       at->i_layer, ol_summary_site_of(at->site),
                                       parts->number_of[sequence], w->counts, w->maxima);
        take_away(w, sequence, site);
        for (size_t f = 0; f < w->d_model; f++)
            if (w->counts[f] > 0)
                w->at_site[site * w->d_model + f] =
                    w->ever_at_site[site * w->d_model + f] = 1;
    }
}

/* Bits of a sequence's positions that are left. */
static uint8_t *bits_left(const struct without *w, int64_t sequence)
{
    const int64_t length = w->a->parts->lengths[sequence];
    uint8_t *bits = ol_xcalloc((size_t)(length + 7) / 8, 1);
    for (int64_t p = 0; p < length; p++)
        bits[p / 8] |= (uint8_t)(!w->skip[sequence][p] << p % 8);
    return bits;
}

static int64_t popcount(const uint8_t *bits, int64_t bytes)
{
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++)
        n += __builtin_popcount(bits[i]);
    return n;
}

/* Positions of a batch's sequence, into all and, as bits, into any [d_model][stride];
 * returns how many tokens are left. */
static int64_t add_positions(struct without *w, int64_t sequence, uint8_t *any,
                             int64_t stride)
{
    const int64_t bytes = (w->a->parts->lengths[sequence] + 7) / 8;
    uint8_t *left = bits_left(w, sequence);
    for (size_t f = 0; f < w->d_model; f++) {
        int64_t stored;
        const uint8_t *bits = ol_outlying_bits(w->a, sequence, f, &stored);
        uint8_t *to = any + (int64_t)f * stride;
        for (int64_t i = 0; i < bytes; i++) {
            const uint8_t here = bits[i] & left[i];
            w->all_positions[f] += __builtin_popcount(here);
            to[i] |= here;
        }
    }
    const int64_t n = popcount(left, bytes);
    free(left);
    return n;
}

/* Distinct positions of a batch; returns the tokens that are left in its longest
 * sequence. */
static int64_t count_positions(struct without *w, int64_t first, int64_t end)
{
    int64_t stride = 0, longest = 0;
    for (int64_t s = first; s < end; s++) {
        const int64_t bytes = (w->a->parts->lengths[s] + 7) / 8;
        stride = bytes > stride ? bytes : stride;
    }
    uint8_t *any = ol_xcalloc(w->d_model, (size_t)stride);
    for (int64_t s = first; s < end; s++) {
        const int64_t n = add_positions(w, s, any, stride);
        longest = n > longest ? n : longest;
    }
    for (size_t f = 0; f < w->d_model; f++)
        w->positions[f] = popcount(any + (int64_t)f * stride, stride);
    free(any);
    return longest;
}

static double share_of_sites(const struct without *w, const uint8_t *at_site, size_t f)
{
    int64_t n = 0;
    for (size_t site = 0; site < w->n_sites; site++)
        n += at_site[site * w->d_model + f];
    return (double)n / (double)w->n_sites;
}

static void count_batch(struct without *w, int64_t batch, struct ol_counts_without *c)
{
    const struct ol_criterion *criterion = &w->a->criterion;
    const int64_t first = batch * criterion->batch_size;
    const int64_t left = w->a->parts->n_sequences - first;
    const int64_t end =
        first + (left < criterion->batch_size ? left : criterion->batch_size);
    memset(w->at_site, 0, w->n_sites * w->d_model);
    for (int64_t s = first; s < end; s++)
        add_sequence(w, s);
    const int64_t longest = count_positions(w, first, end);
    for (size_t f = 0; f < w->d_model && longest > 0; f++) {
        if ((double)w->positions[f] / (double)longest < criterion->min_positions ||
            share_of_sites(w, w->at_site, f) < criterion->min_layers)
            continue;
        c->pairs++;
        c->unique += !w->ever[f];
        w->ever[f] = 1;
    }
}

/* The summaries must be of the values that the tensors hold. */
static bool can_be_done(const struct ol_analysis *a)
{
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    if (a->from_summaries || !layout->summary || layout->dtype != OL_DTYPE_BF16 ||
        layout->threshold != a->criterion.threshold)
        return false;
    for (int i = 0; i < a->n_sites; i++)
        if (!layout->layers[a->sites[i].i_layer]
                 .summary_sites[ol_summary_site_of(a->sites[i].site)])
            return false;
    return a->n_sites > 0;
}

bool ol_outlying_without(const struct ol_analysis *a, const uint8_t *const *skip,
                         struct ol_counts_without *counts)
{
    *counts = (struct ol_counts_without){0};
    if (!can_be_done(a))
        return false;
    const size_t d = (size_t)ol_parts_layout(a->parts)->d_model;
    const size_t n_sites = (size_t)a->n_sites;
    struct without w = {
        .a = a,
        .skip = skip,
        .d_model = d,
        .n_sites = n_sites,
        .counts = ol_xcalloc(d, sizeof *w.counts),
        .maxima = ol_xcalloc(d, sizeof *w.maxima),
        .at_site = ol_xcalloc(n_sites * d, 1),
        .ever_at_site = ol_xcalloc(n_sites * d, 1),
        .ever = ol_xcalloc(d, 1),
        .positions = ol_xcalloc(d, sizeof *w.positions),
        .all_positions = ol_xcalloc(d, sizeof *w.all_positions),
    };
    int64_t n_tokens = 0;
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        for (int64_t p = 0; p < a->parts->lengths[s]; p++)
            n_tokens += !skip[s][p];
    for (int64_t batch = 0; batch < a->n_batches; batch++)
        count_batch(&w, batch, counts);
    for (size_t f = 0; f < d && n_tokens > 0; f++)
        counts->pooled +=
            (double)w.all_positions[f] / (double)n_tokens >= a->criterion.min_positions &&
            share_of_sites(&w, w.ever_at_site, f) >= a->criterion.min_layers;
    free(w.all_positions);
    free(w.positions);
    free(w.ever);
    free(w.ever_at_site);
    free(w.at_site);
    free(w.maxima);
    free(w.counts);
    ol_found_clear(&w.found);
    return true;
}
