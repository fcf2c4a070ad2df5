/* How the values of every site are distributed. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"
#include "report/text.h"

/* ---- tables ---- */

static const struct ol_column distributions_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"n", "values", OL_COLUMN_COUNT},
    {"n_nan", "NaN", OL_COLUMN_COUNT},
    {"n_inf", "infinite", OL_COLUMN_COUNT},
    {"n_zero", "zeros", OL_COLUMN_COUNT},
    {"mean", "mean", OL_COLUMN_MAGNITUDE},
    {"std", "std", OL_COLUMN_MAGNITUDE},
    {"kurtosis_token_median", "kurtosis, median token", OL_COLUMN_MAGNITUDE},
    {"kurtosis", "kurtosis, all values", OL_COLUMN_MAGNITUDE},
    {"median_magnitude", "median |x|", OL_COLUMN_MAGNITUDE},
    {"magnitude_99", "99 %", OL_COLUMN_MAGNITUDE},
    {"magnitude_999", "99.9 %", OL_COLUMN_MAGNITUDE},
    {"magnitude_9999", "99.99 %", OL_COLUMN_MAGNITUDE},
    {"max_magnitude", "maximum", OL_COLUMN_MAGNITUDE},
    {0}};

/* NAN: the file has no such level. */
static double quantile(const struct ol_distributions *d, const struct ol_distribution *s,
                       double level)
{
    for (int64_t i = 0; i < d->quantile_levels.n; i++)
        if (fabs(d->quantile_levels.items[i] - level) < 1e-9)
            return s->magnitudes.items[i];
    return NAN;
}

static struct ol_grid *make_distributions(const struct ol_report_results *r)
{
    const struct ol_distributions *d = r->blocks.distributions;
    if (d == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(distributions_columns);
    const struct ol_distribution *sites = d->sites.items;
    for (int64_t i = 0; i < d->sites.n; i++) {
        const struct ol_distribution *s = &sites[i];
        ol_grid_int(g, s->layer);
        ol_grid_text(g, s->site);
        ol_grid_int(g, s->n);
        ol_grid_int(g, s->n_nan);
        ol_grid_int(g, s->n_inf);
        ol_grid_int(g, s->n_zero);
        ol_grid_real(g, s->mean);
        ol_grid_real(g, s->std);
        ol_grid_real(g, s->kurtosis_token_median);
        ol_grid_real(g, s->kurtosis);
        ol_grid_real(g, quantile(d, s, 0.5));
        ol_grid_real(g, quantile(d, s, 0.99));
        ol_grid_real(g, quantile(d, s, 0.999));
        ol_grid_real(g, quantile(d, s, 0.9999));
        ol_grid_real(g, quantile(d, s, 1));
    }
    return g;
}

static const struct ol_table_source distributions_table = {
    .name = "distributions",
    .title = "Distribution of values by site",
    .make = make_distributions};

/* ---- figures ---- */

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
    ol_heatmap_blank(p->shares, p->n_bins * p->n_layers);
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
                             .suffix = " % of the values",
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
    struct panel p = {.n_layers = ol_report_layers(r)};
    find_range(d, &p);
    p.shares = ol_heatmap_values(p.n_bins, p.n_layers);
    p.names = ol_xcalloc((size_t)p.n_bins, NAME_BYTES);
    p.row_names = ol_xcalloc((size_t)p.n_bins, sizeof *p.row_names);
    name_rows(d, &p);
    draw_panels(d, &p, c);
    free(p.row_names);
    free(p.names);
    free(p.shares);
}

static const struct ol_figure histograms_figure = {
    "histograms",
    "Histograms of magnitudes",
    "Every value of the run, counted by its power of two: each column is a layer's "
    "histogram standing upright, colour is the share of values on a logarithmic scale. "
    "Rows far above the dark belly are outliers; the height of the gap is how far they "
    "stand out.",
    OL_NEEDS_SUMMARIES,
    has_distributions,
    draw_histograms};

static double last_layer(const struct ol_report_results *r)
{
    return (double)(r->model->n_layers > 1 ? r->model->n_layers - 1 : 1);
}

static bool has_kurtosis(const struct ol_report_results *r)
{
    return r->blocks.distributions != NULL && r->blocks.distributions->sites.n > 0;
}

/* The three sites by their median token or, where no token was looked at, by all values;
 * beside the first the stream by all values. */
enum { N_LINES = 4, POOLED = 3 };

static void draw_kurtosis(const struct ol_report_results *r, const struct ol_canvas *c)
{
    static const char *const sites[N_LINES] = {"ln_attn", "ln_mlp", "output", "output"};
    const struct ol_list *list = &r->blocks.distributions->sites;
    const struct ol_distribution *items = list->items;
    const bool by_token = r->blocks.distributions->kurtosis_tokens != OL_ABSENT;
    double *x = ol_xcalloc((size_t)(N_LINES * list->n), sizeof *x),
           *y = ol_xcalloc((size_t)(N_LINES * list->n), sizeof *y);
    struct ol_series series[N_LINES] = {{.name = "ln_attn"},
                                        {.name = "ln_mlp"},
                                        {.name = "output (residual stream)"},
                                        {.name = "output, all values together"}};
    for (int s = 0; s < N_LINES; s++) {
        series[s].x = x + s * list->n;
        series[s].y = y + s * list->n;
    }
    for (int64_t i = 0; i < list->n; i++)
        for (int s = 0; s < N_LINES; s++) {
            if (items[i].site == NULL || strcmp(items[i].site, sites[s]) != 0)
                continue;
            x[s * list->n + series[s].n] = (double)items[i].layer;
            y[s * list->n + series[s].n++] = by_token && s != POOLED
                                                 ? items[i].kurtosis_token_median
                                                 : items[i].kurtosis;
        }
    const struct ol_chart chart = {
        .series = series,
        .n_series = by_token ? N_LINES : POOLED,
        .x = {.title = "layer", .whole = true},
        .y = {.title = by_token ? "kurtosis of the median token (log scale)"
                                : "kurtosis of all values (log scale)",
              .log = true},
        .x_high = last_layer(r),
        .height = 260};
    ol_chart_draw(c, &chart);
    free(y);
    free(x);
}

static const struct ol_figure kurtosis_figure = {
    "kurtosis",
    "Kurtosis by layer",
    "Kurtosis tells how heavy the tails of the values are, without a threshold: a normal "
    "distribution has 3. It is that of each token's values, of which the median is "
    "shown. Of all values together it grows with the length of the sequences where the "
    "first token of each has a value like no other: then it measures that length. "
    "Without "
    "recorded tensors only that is known.",
    OL_NEEDS_SUMMARIES,
    has_kurtosis,
    draw_kurtosis};

/* ---- where there are no figures ---- */

static double at_level(const struct ol_distributions *d, const struct ol_distribution *s,
                       double level)
{
    for (int64_t i = 0; i < d->quantile_levels.n; i++)
        if (d->quantile_levels.items[i] == level)
            return s->magnitudes.items[i];
    return NAN;
}

/* Of the median token where it is known. */
static double kurtosis_of(const struct ol_distribution *d)
{
    return isnan(d->kurtosis_token_median) ? d->kurtosis : d->kurtosis_token_median;
}

/* Heavy tails first, what has no kurtosis last. */
static int by_kurtosis(const void *x, const void *y)
{
    const struct ol_distribution *a = *(const struct ol_distribution *const *)x,
                                 *b = *(const struct ol_distribution *const *)y;
    const double left = kurtosis_of(a), right = kurtosis_of(b);
    if (isnan(left) || isnan(right) || left == right) {
        if (isnan(left) != isnan(right))
            return isnan(left) ? 1 : -1;
        return a < b ? -1 : a > b;
    }
    return left > right ? -1 : 1;
}

/* The heaviest tails first. */
static void print_tails(const struct ol_report_results *r, int64_t top, FILE *out)
{
    static const struct ol_column columns[] = {
        {"layer", "layer", OL_COLUMN_LABEL},
        {"site", "site", OL_COLUMN_TEXT},
        {"std", "std", OL_COLUMN_MAGNITUDE},
        {"median", "median |x|", OL_COLUMN_MAGNITUDE},
        {"p999", "99.9 %", OL_COLUMN_MAGNITUDE},
        {"p99999", "99.999 %", OL_COLUMN_MAGNITUDE},
        {"max", "max", OL_COLUMN_MAGNITUDE},
        {"kurtosis_token_median", "kurtosis", OL_COLUMN_MAGNITUDE},
        {"kurtosis", "of all", OL_COLUMN_MAGNITUDE},
        {0}};
    const struct ol_distributions *d = r->blocks.distributions;
    if (d == NULL || d->sites.n == 0)
        return;
    const struct ol_distribution *sites = d->sites.items;
    const struct ol_distribution **order = ol_xcalloc((size_t)d->sites.n, sizeof *order);
    for (int64_t i = 0; i < d->sites.n; i++)
        order[i] = &sites[i];
    qsort(order, (size_t)d->sites.n, sizeof *order, by_kurtosis);
    struct ol_grid *g = ol_grid_new(columns);
    for (int64_t i = 0; i < d->sites.n; i++) {
        ol_grid_int(g, order[i]->layer);
        ol_grid_text(g, order[i]->site);
        ol_grid_real(g, order[i]->std);
        ol_grid_real(g, at_level(d, order[i], 0.5));
        ol_grid_real(g, at_level(d, order[i], 0.999));
        ol_grid_real(g, at_level(d, order[i], 0.99999));
        ol_grid_real(g, at_level(d, order[i], 1));
        ol_grid_real(g, order[i]->kurtosis_token_median);
        ol_grid_real(g, order[i]->kurtosis);
    }
    fprintf(
        out,
        "\nQuantiles of |x| at each site, the heaviest tails first; "
        "output is the residual stream\nafter the layer. The kurtosis of a normal "
        "distribution is 3. It is that of each token's\nvalues, of which the median is "
        "shown; that \"of all\" values together grows with the\nlength of the "
        "sequences.%s%s\n\n",
        d->kurtosis_tokens != OL_ABSENT
            ? ""
            : " That of tokens is not known: it needs tensors\n(ol-extract --store "
              "bf16).",
        d->sites.n > top ? " The rest is in HTML and CSV." : "");
    ol_grid_markdown(g, top, out);
    ol_grid_free(g);
    free(order);
}

/* ---- section ---- */

static bool has(const struct ol_report_results *r)
{
    return r->blocks.distributions != NULL && r->blocks.distributions->sites.n > 0;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_figure(to, &histograms_figure, NULL);
    ol_section_figure(to, &kurtosis_figure, NULL);
    ol_section_numbers(to, &distributions_table);
    if (ol_section_text(to) != NULL)
        print_tails(r, to->top, ol_section_text(to));
}

static const struct ol_table_source *const tables[] = {&distributions_table, NULL};
static const struct ol_figure *const figures[] = {&histograms_figure, &kurtosis_figure,
                                                  NULL};

const struct ol_section ol_distributions_section = {
    "distributions", "Distributions", tables, figures, has, write};
