/* What number formats would do to each site, and to what goes into the down projections.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/heatmap.h"
#include "report/section.h"

static double error_at(const struct ol_reals *values, int64_t i)
{
    return i < values->n ? values->items[i] : NAN;
}

/* The sites with the largest errors by a method, at most `most`, into order; how many. */
static int find_worst(const struct ol_quantisation *q, int64_t method, int most,
                      int64_t *order)
{
    const struct ol_quantised_site *sites = q->sites.items;
    int n = 0;
    for (int64_t i = 0; i < q->sites.n; i++) {
        const double error = error_at(&sites[i].error, method);
        if (isnan(error))
            continue;
        int k = n < most ? n++ : most;
        while (k > 0 && error > error_at(&sites[order[k - 1]].error, method)) {
            if (k < most)
                order[k] = order[k - 1];
            k--;
        }
        if (k < most)
            order[k] = i;
    }
    return n;
}

/* ---- tables ---- */

static const struct ol_column quantisation_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"method=methods", "method", OL_COLUMN_TEXT},
    {"error", "error", OL_COLUMN_MAGNITUDE},
    {"error_without_dims", "without the worst dimensions", OL_COLUMN_MAGNITUDE},
    {"error_without_tokens", "without the worst tokens", OL_COLUMN_MAGNITUDE},
    {"token_median", "median token's", OL_COLUMN_MAGNITUDE},
    {"zeroed", "rounded to 0, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source quantisation_table = {
    "quantisation", "Relative error by site and number format", quantisation_columns,
    "quantisation.sites.error", NULL};

static const struct ol_column quantisation_ranking_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"site", "site", OL_COLUMN_TEXT},
    {"error", "relative error, %", OL_COLUMN_PERCENT},
    {0}};

static const struct ol_table_source quantisation_ranking_table = {
    "quantisation_ranking", "Sites by number format, the worst first",
    quantisation_ranking_columns, "quantisation.ranking", NULL};

static const struct ol_column down_inputs_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"largest", "largest |x|", OL_COLUMN_MAGNITUDE},
    {"column", "column", OL_COLUMN_LABEL},
    {"share_of_median", "times median", OL_COLUMN_MAGNITUDE},
    {"rms", "RMS", OL_COLUMN_MAGNITUDE},
    {"energy_share", "energy, %", OL_COLUMN_PERCENT},
    {"energy_column", "in column", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {0}};

static const struct ol_table_source down_inputs_table = {
    "down_inputs", "Largest inputs of the down projections", down_inputs_columns,
    "quantisation.down", NULL};

static const struct ol_column down_errors_columns[] = {
    {"method", "method", OL_COLUMN_TEXT},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"error", "error, %", OL_COLUMN_PERCENT},
    {"sampled", "rows looked at", OL_COLUMN_COUNT},
    {0}};

/* Units by falling error of a method, what has none left out; returns their number. */
static int64_t order_units(const struct ol_quantisation *q, int64_t method,
                           int64_t *order)
{
    const struct ol_down_input *inputs = q->down.items;
    int64_t n = 0;
    for (int64_t i = 0; i < q->down.n; i++) {
        const double error = error_at(&inputs[i].error, method);
        int64_t at = n;
        if (isnan(error))
            continue;
        for (; at > 0 && error_at(&inputs[order[at - 1]].error, method) < error; at--)
            order[at] = order[at - 1];
        order[at] = i;
        n++;
    }
    return n;
}

static struct ol_grid *errors_grid(const struct ol_quantisation *q, int64_t most)
{
    struct ol_grid *g = ol_grid_new(down_errors_columns);
    const struct ol_down_input *inputs = q->down.items;
    int64_t *order = ol_xcalloc((size_t)q->down.n, sizeof *order);
    for (int64_t m = 0; m < q->methods.n; m++) {
        const int64_t n = order_units(q, m, order);
        for (int64_t k = 0; k < n && k < most; k++) {
            const struct ol_down_input *d = &inputs[order[k]];
            char *name = ol_table_unit(d->who.kind, d->who.expert);
            ol_grid_text(g, ((const char *const *)q->methods.items)[m]);
            ol_grid_int(g, d->who.layer);
            ol_grid_text(g, name);
            ol_grid_real(g, error_at(&d->error, m));
            ol_grid_int(g, d->sampled);
            free(name);
        }
    }
    free(order);
    return g;
}

static struct ol_grid *make_down_errors(const struct ol_report_results *r)
{
    const struct ol_quantisation *q = r->blocks.quantisation;
    return q != NULL && q->down.n > 0 ? errors_grid(q, INT64_MAX) : NULL;
}

static const struct ol_table_source down_errors_table = {
    .name = "down_errors",
    .title = "Relative error of the inputs of the down projections",
    .make = make_down_errors};

/* ---- figure ---- */

static bool has_quantisation(const struct ol_report_results *r)
{
    const struct ol_quantisation *q = r->blocks.quantisation;
    return q != NULL && q->sites.n > 0 && q->methods.n > 0;
}

/* The errors of one variant: as they are, dimensions kept apart, tokens kept apart. */
enum { N_VARIANTS = 3 };
static const struct ol_reals *variant_of(const struct ol_quantised_site *s, int variant)
{
    return variant == 0   ? &s->error
           : variant == 1 ? &s->error_without_dims
                          : &s->error_without_tokens;
}

static void fill(const struct ol_quantisation *q, const char *site, int variant,
                 int64_t columns, double *values)
{
    const struct ol_quantised_site *sites = q->sites.items;
    ol_heatmap_blank(values, q->methods.n * columns);
    for (int64_t i = 0; i < q->sites.n; i++) {
        const struct ol_quantised_site *s = &sites[i];
        const struct ol_reals *errors = variant_of(s, variant);
        if (s->site == NULL || strcmp(s->site, site) != 0 || s->layer < 0 ||
            s->layer >= columns)
            continue;
        for (int64_t m = 0; m < errors->n; m++)
            values[m * columns + s->layer] = 100 * errors->items[m];
    }
}

static void range(const struct ol_quantisation *q, double *low, double *high)
{
    const struct ol_quantised_site *sites = q->sites.items;
    struct ol_axis all = {.low = INFINITY, .high = -INFINITY, .log = true};
    for (int64_t i = 0; i < q->sites.n; i++)
        for (int v = 0; v < N_VARIANTS; v++)
            ol_axis_include(&all, variant_of(&sites[i], v)->items,
                            variant_of(&sites[i], v)->n);
    *low = 100 * all.low;
    *high = 100 * all.high;
}

static void name_variant(const struct ol_quantisation *q, const char *site, int variant,
                         char title[96])
{
    const bool massive = q->kept_tokens != NULL && strcmp(q->kept_tokens, "massive") == 0;
    if (variant == 0)
        snprintf(title, 96, "relative error of %s, %%", site);
    else if (variant == 1)
        snprintf(title, 96, "the same, %" PRId64 " worst dimensions kept apart",
                 q->k_dims);
    else
        snprintf(title, 96, "the same, the %" PRId64 " %s kept apart", q->k_tokens,
                 massive ? "tokens with a massive value" : "worst tokens");
}

static void draw_quantisation(const struct ol_report_results *r,
                              const struct ol_canvas *c)
{
    static const char *const sites[] = {"ln_attn", "ln_mlp"};
    const struct ol_quantisation *q = r->blocks.quantisation;
    const int64_t columns = ol_report_layers(r);
    double *values = ol_heatmap_values(q->methods.n, columns);
    struct ol_heatmap map = {.n_columns = columns,
                             .n_rows = q->methods.n,
                             .values = values,
                             .row_names = q->methods.items,
                             .x_title = "layer",
                             .y_title = "",
                             .suffix = " %",
                             .missing = "not computed",
                             .log = true,
                             .row_height = 15,
                             .row_every = 1};
    range(q, &map.low, &map.high);
    const double height = ol_heatmap_height(&map);
    ol_svg_open(c, OL_FIGURE_WIDTH, 2 * N_VARIANTS * height);
    for (int i = 0; i < 2 * N_VARIANTS; i++) {
        char title[96];
        name_variant(q, sites[i / N_VARIANTS], i % N_VARIANTS, title);
        map.scale_title = title;
        fill(q, sites[i / N_VARIANTS], i % N_VARIANTS, columns, values);
        ol_heatmap_put(c->out, &map, i * height);
    }
    ol_svg_close(c);
    free(values);
}

static const struct ol_figure quantisation_figure = {
    "quantisation",
    "Error of number formats by layer",
    "Relative error (RMS of the error over RMS of the values) if a site's activations "
    "were stored in each number format, at ln_attn and at ln_mlp; again with "
    "the worst dimensions kept in bf16, and with the worst tokens. Where the second map "
    "is much paler, a few outlier dimensions are to blame; where the third is, a few "
    "tokens, whose values set the scale of all others.",
    OL_NEEDS_TENSORS,
    has_quantisation,
    draw_quantisation};

/* ---- where there are no figures ---- */

/* The worst few by each method, and what else is known of them. */
static void print_worst(const struct ol_quantisation *q, FILE *out)
{
    enum { MOST = 3 };
    static const struct ol_column columns[] = {
        {"method", "method", OL_COLUMN_TEXT},
        {"layer", "layer", OL_COLUMN_LABEL},
        {"site", "site", OL_COLUMN_TEXT},
        {"error", "error, %", OL_COLUMN_MAGNITUDE},
        {"token_median", "median token", OL_COLUMN_MAGNITUDE},
        {"without_dims", "less dims", OL_COLUMN_MAGNITUDE},
        {"without_tokens", "less tokens", OL_COLUMN_MAGNITUDE},
        {"zeroed", "to 0, %", OL_COLUMN_PERCENT},
        {0}};
    struct ol_grid *g = ol_grid_new(columns);
    for (int64_t m = 0; m < q->methods.n; m++) {
        int64_t order[MOST];
        const int n = find_worst(q, m, MOST, order);
        for (int k = 0; k < n; k++) {
            const struct ol_quantised_site *s =
                &((const struct ol_quantised_site *)q->sites.items)[order[k]];
            ol_grid_text(g, ((const char *const *)q->methods.items)[m]);
            ol_grid_int(g, s->layer);
            ol_grid_text(g, s->site);
            ol_grid_real(g, 100 * error_at(&s->error, m));
            ol_grid_real(g, 100 * error_at(&s->token_median, m));
            ol_grid_real(g, 100 * error_at(&s->error_without_dims, m));
            ol_grid_real(g, 100 * error_at(&s->error_without_tokens, m));
            ol_grid_real(g, error_at(&s->zeroed, m));
        }
    }
    fputc('\n', out);
    ol_grid_markdown(g, INT64_MAX, out);
    ol_grid_free(g);
}

/* The worst few by each method. */
static void print_down_errors(const struct ol_quantisation *q, FILE *out)
{
    enum { MOST = 2 };
    struct ol_grid *errors = errors_grid(q, MOST);
    if (ol_grid_rows(errors) > 0) {
        fputs("\nRelative error (RMS) of rounding these: the worst by each method.\n\n",
              out);
        ol_grid_markdown(errors, INT64_MAX, out);
    }
    ol_grid_free(errors);
}

/* ---- section ---- */

/* Which tokens were looked at and kept apart, and what the formats are. The caller frees.
 */
static char *describe_sample(const struct ol_quantisation *q)
{
    char *sample =
        q->sample_tokens != OL_ABSENT
            ? ol_xasprintf("Computed over %" PRId64 " tokens", q->sample_tokens)
            : ol_xstrdup("Computed over a sample");
    char *kept = ol_xstrdup("");
    if (q->kept_tokens != NULL && q->k_tokens != OL_ABSENT) {
        free(kept);
        kept = ol_xasprintf(" \"Less tokens\" (error_without_tokens) keeps the %" PRId64
                            " %s as they are, \"less "
                            "dims\" the worst dimensions.",
                            q->k_tokens,
                            strcmp(q->kept_tokens, "massive") == 0
                                ? "tokens with a massive activation"
                                : "tokens with the site's largest values (1 of 1000)");
    }
    char *first = q->sample_first != OL_ABSENT
                      ? ol_xasprintf(", drawn at random with a fixed seed; %" PRId64
                                     " are first tokens, weighted by their share of the "
                                     "text. Scales that tokens share are those of all "
                                     "tokens",
                                     q->sample_first)
                      : ol_xstrdup("");
    char *divisor = q->int8_divisor != OL_ABSENT
                        ? ol_xasprintf(" INT8 divides the largest magnitude by %" PRId64
                                       " (compressed-tensors by 127.5); mxfp4 rounds its "
                                       "scale down (floor) or as compressed-tensors and "
                                       "torchao's EVEN do (even).",
                                       q->int8_divisor)
                        : ol_xstrdup("");
    char *text = ol_xasprintf("%s%s.%s%s", sample, first, kept, divisor);
    free(divisor);
    free(first);
    free(kept);
    free(sample);
    return text;
}

static bool has(const struct ol_report_results *r)
{
    return r->blocks.quantisation != NULL;
}

static void write_sites(const struct ol_quantisation *q, struct ol_section_out *to)
{
    FILE *text = ol_section_text(to);
    if (q->sites.n == 0) {
        if (text != NULL)
            ol_section_say(to,
                           "What number formats would do to the sites is not known: it "
                           "needs tensors (ol-extract --store bf16).");
        return;
    }
    char *about = describe_sample(q);
    if (text != NULL)
        ol_section_say(to,
                       "Relative error (RMS) if a site's activations were stored in a "
                       "number format: the worst sites by each.");
    ol_section_say(to, "%s", about);
    if (text != NULL)
        print_worst(q, text);
    free(about);
}

/* Of any unit: they all have it, but those with an input that is not finite. */
static bool knows_energy(const struct ol_quantisation *q)
{
    const struct ol_down_input *inputs = q->down.items;
    for (int64_t i = 0; i < q->down.n; i++)
        if (!isnan(inputs[i].energy_share))
            return true;
    return false;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    enum { MOST_DOWN = 5 };
    const struct ol_quantisation *q = r->blocks.quantisation;
    ol_section_figure(to, &quantisation_figure, NULL);
    if (q != NULL)
        write_sites(q, to);
    ol_section_long(to, &quantisation_ranking_table);
    ol_section_long(to, &quantisation_table);
    if (q != NULL && q->down.n > 0) {
        ol_section_heading(to, "Inputs of the down projections");
        ol_section_say(
            to,
            "Into the down projections go the products of gate and up, where an "
            "outlier of a layer may sit that no norm's output shows. These are the "
            "units with the largest. %s Errors of rounding them are of a few rows of "
            "each unit, drawn at random, with scales of all of its tokens.",
            knows_energy(q)
                ? "Energy is the share of the sum of squares that one column has."
                : "Their RMS, and how much of the energy (the sum of squares) one column "
                  "has, are not known: only ol-extract --imatrix records them.");
    }
    ol_section_rows(to, &down_inputs_table, MOST_DOWN);
    ol_section_long(to, &down_errors_table);
    if (q != NULL && q->down.n > 0 && ol_section_text(to) != NULL)
        print_down_errors(q, ol_section_text(to));
}

static const struct ol_table_source *const tables[] = {
    &quantisation_table, &quantisation_ranking_table, &down_inputs_table,
    &down_errors_table, NULL};
static const struct ol_figure *const figures[] = {&quantisation_figure, NULL};

const struct ol_section ol_quantisation_section = {
    "quantisation", "Quantisation", tables, figures, has, write};
