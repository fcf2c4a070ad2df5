/* What the arms of an ablation come to, the baseline first. */
#include "report/section.h"

static const struct ol_column columns[] = {
    {"arm", "arm", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"perplexity", "perplexity", OL_COLUMN_MAGNITUDE},
    {"mean_nll_difference", "nats more per token", OL_COLUMN_MAGNITUDE},
    {"pairs", "pairs", OL_COLUMN_COUNT},
    {"unique", "unique", OL_COLUMN_COUNT},
    {"pooled", "pooled", OL_COLUMN_COUNT},
    {"strict", "strict", OL_COLUMN_COUNT},
    {0}};

static void add(struct ol_grid *g, const struct ol_ablation_run *run)
{
    ol_grid_text(g, run->arm != NULL ? run->arm : "baseline");
    ol_grid_int(g, run->n_tokens);
    ol_grid_real(g, run->perplexity);
    ol_grid_real(g, run->mean_nll_difference);
    ol_grid_int(g, run->pairs);
    ol_grid_int(g, run->unique);
    ol_grid_int(g, run->pooled);
    ol_grid_int(g, run->strict);
}

static struct ol_grid *make(const struct ol_report_results *r)
{
    const struct ol_ablation *block = r->blocks.ablation;
    if (block == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(columns);
    if (block->baseline != NULL)
        add(g, block->baseline);
    const struct ol_ablation_run *arms = block->arms.items;
    for (int64_t i = 0; i < block->arms.n; i++)
        add(g, &arms[i]);
    return g;
}

static const struct ol_table_source table = {
    .name = "ablation",
    .title = "Ablation: the run with a change, beside the baseline",
    .make = make};

static bool has(const struct ol_report_results *r)
{
    return r->blocks.ablation != NULL;
}

static void write(const struct ol_report_results *r, struct ol_section_out *to)
{
    ol_section_say(
        to, "%s",
        has(r) ? "The same sequences once more, each time with a change: dimensions of "
                 "the stream held at 0 or at their mean, experts left out, or no first "
                 "tokens. Likelihoods are compared on the tokens that have one in both."
               : "Nothing was changed: this needs arms of ol-extract --ablate.");
    ol_section_table(to, &table);
}

static const struct ol_table_source *const tables[] = {&table, NULL};
static const struct ol_figure *const figures[] = {NULL};

const struct ol_section ol_ablation_section = {"ablation", "Ablation", tables,
                                               figures,    has,        write};
