/* Exact histograms of magnitudes: a heat map of layers by powers of two for each site. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"
#include "report/text.h"

enum { NAME_BYTES = 24, N_SITES = 3 };

struct panel {
    double *shares;            /* [n_bins][n_layers]: log10 of the share of all values */
    const char **row_names;    /* [n_bins], the largest magnitudes on top */
    char (*names)[NAME_BYTES]; /* [n_bins] */
    int64_t first, n_bins, n_layers;
};

static bool has_distributions(const struct ol_report_results *r)
{
    return r->blocks.distributions != NULL && r->blocks.distributions->sites.n > 0;
}

/* The bins in which any site has values. */
static void find_range(const struct ol_distributions *d, struct panel *p)
{
    const struct ol_distribution *sites = d->sites.items;
    int64_t first = sites[0].log2_counts.n, last = 0;
    for (int64_t i = 0; i < d->sites.n; i++)
        for (int64_t b = 0; b < sites[i].log2_counts.n; b++)
            if (sites[i].log2_counts.items[b] > 0) {
                first = b < first ? b : first;
                last = b > last ? b : last;
            }
    p->first = first <= last ? first : 0;
    p->n_bins = first <= last ? last - first + 1 : 0;
}

static void name_rows(const struct ol_distributions *d, struct panel *p)
{
    for (int64_t b = 0; b < p->n_bins; b++) {
        const int64_t exponent = d->first_exponent + p->first + p->n_bins - 1 - b;
        if (exponent >= 0 && exponent < 40)
            snprintf(p->names[b], NAME_BYTES, "%" PRId64, (int64_t)1 << exponent);
        else
            snprintf(p->names[b], NAME_BYTES, "%.*s", NAME_BYTES - 1,
                     ol_text_power(2, (int)exponent).text);
        p->row_names[b] = p->names[b];
    }
}

static bool fill(const struct ol_distributions *d, const char *site, struct panel *p)
{
    const struct ol_distribution *sites = d->sites.items;
    bool found = false;
    for (int64_t i = 0; i < p->n_bins * p->n_layers; i++)
        p->shares[i] = NAN;
    for (int64_t i = 0; i < d->sites.n; i++) {
        const struct ol_distribution *s = &sites[i];
        if (s->site == NULL || strcmp(s->site, site) != 0 || s->layer < 0 ||
            s->layer >= p->n_layers || s->n <= 0)
            continue;
        found = true;
        for (int64_t b = 0; b < p->n_bins; b++) {
            const double n = s->log2_counts.items[p->first + p->n_bins - 1 - b];
            if (n > 0)
                p->shares[b * p->n_layers + s->layer] = 100 * n / (double)s->n;
        }
    }
    return found;
}

static void draw_panels(const struct ol_distributions *d, struct panel *p,
                        const struct ol_canvas *c)
{
    static const char *const sites[N_SITES] = {"ln_attn", "ln_mlp", "output"};
    static const char *const titles[N_SITES] = {"ln_attn: % of values",
                                                "ln_mlp: % of values",
                                                "output (residual stream): % of values"};
    struct ol_heatmap map = {.n_columns = p->n_layers,
                             .n_rows = p->n_bins,
                             .values = p->shares,
                             .row_names = p->row_names,
                             .x_title = "layer",
                             .y_title = "|x| from",
                             .unit = " % of the values",
                             .missing = "no value",
                             .log = true,
                             .low = 1e-6,
                             .high = 100,
                             .row_height = 8};
    const double height = ol_heatmap_height(&map);
    ol_svg_open(c, OL_FIGURE_WIDTH, N_SITES * height);
    double top = 0;
    for (int i = 0; i < N_SITES; i++) {
        map.scale_title = titles[i];
        if (fill(d, sites[i], p))
            ol_heatmap_put(c->out, &map, top);
        else
            ol_svg_text(c->out, OL_FIGURE_LEFT, top + 14, 's', "mu",
                        "%s: not in the results", sites[i]);
        top += height;
    }
    ol_svg_close(c);
}

static void draw_histograms(const struct ol_report_results *r, const struct ol_canvas *c)
{
    const struct ol_distributions *d = r->blocks.distributions;
    struct panel p = {.n_layers = r->model->n_layers > 0 ? r->model->n_layers : 1};
    find_range(d, &p);
    p.shares = ol_xcalloc((size_t)(p.n_bins * p.n_layers), sizeof *p.shares);
    p.names = ol_xcalloc((size_t)p.n_bins, NAME_BYTES);
    p.row_names = ol_xcalloc((size_t)p.n_bins, sizeof *p.row_names);
    name_rows(d, &p);
    draw_panels(d, &p, c);
    free(p.row_names);
    free(p.names);
    free(p.shares);
}

const struct ol_figure ol_histograms_figure = {
    "histograms",
    "Histograms of magnitudes",
    "Every value of the run, counted by its power of two: each column is a layer's "
    "histogram standing upright, colour is the share of values on a logarithmic scale. "
    "Rows far above the dark belly are outliers; the height of the gap is how far they "
    "stand out.",
    OL_NEEDS_SUMMARIES,
    has_distributions,
    draw_histograms};
