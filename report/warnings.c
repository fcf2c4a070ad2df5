#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/format.h"

enum {
    FEW_TOKENS = 8192,   /* below this, rare features are missed */
    SHORT_SEQUENCE = 256 /* 6 % of fewer positions are a handful */
};

static char *not_finite(const struct ol_report_results *r)
{
    const struct ol_site_values *sites = r->blocks.sites.items;
    double n_nan = 0, n_inf = 0; /* sums of many large counts too */
    for (int64_t i = 0; i < r->blocks.sites.n; i++) {
        n_nan += (double)sites[i].n_nan;
        n_inf += (double)sites[i].n_inf;
    }
    if (n_nan + n_inf == 0)
        return NULL;
    return ol_xasprintf("%.0f values are NaN and %.0f infinite: the model or its weights "
                        "are not in order, or the "
                        "precision is too small for it.",
                        n_nan, n_inf);
}

static char *few_tokens(const struct ol_report_results *r)
{
    if (r->n_tokens >= FEW_TOKENS)
        return NULL;
    return ol_xasprintf(
        "Few tokens: %" PRId64
        ". Published counts rest on 16 sequences of 2048; with fewer than "
        "%d they depend on the text.",
        r->n_tokens, FEW_TOKENS);
}

static char *short_sequences(const struct ol_report_results *r)
{
    const double length = (double)r->n_tokens / (double)r->n_sequences;
    if (length >= SHORT_SEQUENCE)
        return NULL;
    return ol_xasprintf("Short sequences: %.0f tokens on average. The first tokens of a "
                        "sequence, which often carry the largest values, weigh more than "
                        "in published counts.",
                        length);
}

static char *missing_sites(const struct ol_report_results *r)
{
    if (r->n_sites == ol_report_all_sites(r) || !r->has_outliers)
        return NULL;
    return ol_xasprintf("%" PRId64 " of %" PRId64
                        " sites were recorded; layer fractions refer to these.",
                        r->n_sites, ol_report_all_sites(r));
}

static char *implausible_perplexity(const struct ol_report_results *r)
{
    if (r->has_perplexity && isnan(r->perplexity))
        return ol_xstrdup("The perplexity is not known: the model gave a token a "
                          "probability that is not a number.");
    if (!r->has_perplexity ||
        (isfinite(r->perplexity) && r->perplexity < (double)r->model->vocab_size / 2))
        return NULL;
    return ol_xasprintf("Perplexity %.4g is that of a model that has learnt nothing: are "
                        "these its weights and its tokenizer?",
                        r->perplexity);
}

static char *not_counted(const struct ol_report_results *r)
{
    return r->has_outliers || !ol_report_computed(r, "llm_int8")
               ? NULL
               : ol_xstrdup("Outlier features cannot be counted: that takes recorded "
                            "tensors of ln_attn or ln_mlp, or summaries made with the "
                            "threshold of this analysis.");
}

/* Add the name of a statistic that was left out to a list, which is taken. */
static char *add_left_out(const struct ol_report_results *r, char *list, const char *name)
{
    if (ol_report_computed(r, name))
        return list;
    char *longer = list == NULL ? ol_xstrdup(name) : ol_xasprintf("%s, %s", list, name);
    free(list);
    return longer;
}

/* Of ol-analyze --statistics. */
static char *left_out(const struct ol_report_results *r)
{
    char *list = NULL;
    for (const struct ol_field *f = ol_blocks_struct()->fields; f->key != NULL; f++)
        list = add_left_out(r, list, f->key);
    if (list == NULL)
        return NULL;
    char *text = ol_xasprintf("Not among the statistics of this analysis (ol-analyze "
                              "--statistics): %s.",
                              list);
    free(list);
    return text;
}

char *ol_report_warning(const struct ol_report_results *r, int *state)
{
    static char *(*const checks[])(const struct ol_report_results *) = {
        left_out,      not_counted,           not_finite, few_tokens, short_sequences,
        missing_sites, implausible_perplexity};
    char *text = NULL;
    while (text == NULL && *state < (int)(sizeof checks / sizeof checks[0]))
        text = checks[(*state)++](r);
    return text;
}
