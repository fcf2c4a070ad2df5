/* What number formats would do to the activations: maps of layers by formats and of
 * layers by experts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/figures.h"
#include "report/heatmap.h"

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
    for (int64_t i = 0; i < q->methods.n * columns; i++)
        values[i] = NAN;
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
    const int64_t columns = r->model->n_layers > 0 ? r->model->n_layers : 1;
    double *values = ol_xcalloc((size_t)(q->methods.n * columns), sizeof *values);
    struct ol_heatmap map = {.n_columns = columns,
                             .n_rows = q->methods.n,
                             .values = values,
                             .row_names = q->methods.items,
                             .x_title = "layer",
                             .y_title = "",
                             .unit = " %",
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

const struct ol_figure ol_quantisation_figure = {
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

/* ---- expert by expert ---- */

/* A scale per token does not depend on how many tokens an expert has. */
static const char *const drawn_method = "int8_token";

static int64_t find_method(const struct ol_list *methods)
{
    const char *const *names = methods->items;
    for (int64_t m = 0; m < methods->n; m++)
        if (names[m] != NULL && strcmp(names[m], drawn_method) == 0)
            return m;
    return -1;
}

static bool has_expert_quantisation(const struct ol_report_results *r)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    return q != NULL && q->layers.n > 0 && q->n_experts > 0 &&
           find_method(&q->methods) >= 0;
}

static void draw_expert_quantisation(const struct ol_report_results *r,
                                     const struct ol_canvas *c)
{
    const struct ol_expert_quantisation *q = r->blocks.expert_quantisation;
    const struct ol_quantised_experts *layers = q->layers.items;
    const int64_t columns = r->model->n_layers > 0 ? r->model->n_layers : 1,
                  method = find_method(&q->methods);
    double *values = ol_xcalloc((size_t)(q->n_experts * columns), sizeof *values);
    for (int64_t i = 0; i < q->n_experts * columns; i++)
        values[i] = NAN;
    for (int64_t i = 0; i < q->layers.n; i++)
        for (int64_t e = 0;
             e < q->n_experts && layers[i].layer >= 0 && layers[i].layer < columns; e++)
            values[e * columns + layers[i].layer] =
                100 * layers[i].error.items[method * q->n_experts + e];
    const struct ol_heatmap map = {.n_columns = columns,
                                   .n_rows = q->n_experts,
                                   .values = values,
                                   .x_title = "layer",
                                   .y_title = "expert",
                                   .scale_title =
                                       "relative error of INT8 with a scale per token, %",
                                   .unit = " %",
                                   .missing = "no tokens, or no experts",
                                   .log = true};
    ol_heatmap_draw(c, &map);
    free(values);
}

const struct ol_figure ol_expert_quantisation_figure = {
    "expert_quantisation",
    "Error of quantising each expert's input",
    "One cell per expert and layer: the relative error if what goes into the expert were "
    "stored in 8-bit integers with a scale per token (int8_token), over a sample of the "
    "tokens that were routed to it. An expert that stands out from its layer gets "
    "the tokens with outliers. The tables have the other formats.",
    "It needs a Mixture-of-Experts model and recorded tensors of ln_mlp: run ol-extract "
    "with --store bf16 (the default), then ol-analyze.",
    has_expert_quantisation,
    draw_expert_quantisation};
