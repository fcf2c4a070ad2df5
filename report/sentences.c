#include "report/sentences.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* ---- super experts ---- */

char *ol_text_super_experts(const struct ol_super_block *s)
{
    char *robust = s->robust != NULL
                       ? ol_xasprintf(", %" PRId64 " with z \xe2\x89\xa5 %g",
                                      s->robust->experts.n, s->robust->min_z)
                       : ol_xstrdup("");
    const bool empty = s->noise != NULL && !s->noise->meaningful;
    char *text = ol_xasprintf("%" PRId64 " by the published rule%s%s", s->experts.n,
                              robust, empty ? " (too few experts for the rule)" : "");
    free(robust);
    return text;
}

char *ol_text_super_noise(const struct ol_super_block *s)
{
    const struct ol_super_noise *n = s->noise;
    if (n == NULL || isnan(n->expected))
        return NULL;
    if (!n->meaningful)
        return ol_xasprintf(
            "With %" PRId64 " experts the published rule cannot be meaningful: above the "
            "percentile is always the largest output alone, however small. By chance "
            "alone it would list one in %.0f %% of such models. What tells is how many "
            "times the median an output is.",
            n->n_experts, 100 * n->probability);
    return ol_xasprintf("Noise passes the published rule too: of %" PRId64
                        " experts whose outputs differ by chance alone it would list "
                        "%.1f on average. What tells is how many times the median an "
                        "output is.",
                        n->n_experts, n->expected);
}

/* ---- margins ---- */

char *ol_text_margin(const struct ol_report_results *r)
{
    const struct ol_margin *m =
        r->blocks.uncertainty != NULL ? r->blocks.uncertainty->margin : NULL;
    if (m == NULL || m->pairs_at_least_sites == OL_ABSENT ||
        m->pairs_at_least_positions == OL_ABSENT || m->least_sites == OL_ABSENT)
        return NULL;
    char *counts = ol_xstrdup("");
    const struct ol_margin_count *c = m->counts.items;
    for (int64_t i = 0; i < m->counts.n; i++) {
        if (c[i].pairs == OL_ABSENT || isnan(c[i].threshold))
            continue;
        char *longer =
            ol_xasprintf("%s%s%" PRId64 " at %g", counts, *counts != '\0' ? ", " : "",
                         c[i].pairs, c[i].threshold);
        free(counts);
        counts = longer;
    }
    char *text = ol_xasprintf(
        "The margin of the count: %" PRId64 " pair%s at the threshold of %g%s%s. Pairs "
        "with exactly the least number of sites (%" PRId64 " of %" PRId64 "): %" PRId64
        ", with exactly that of positions: %" PRId64 ".",
        r->pairs->count, r->pairs->count == 1 ? "" : "s", r->criterion->threshold,
        *counts != '\0' ? ", " : "", counts, m->least_sites, r->n_sites,
        m->pairs_at_least_sites, m->pairs_at_least_positions);
    free(counts);
    return text;
}

/* ---- quantisation ---- */

char *ol_text_quantisation(const struct ol_quantisation *q)
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

const char ol_text_no_quantised_sites[] =
    "What number formats would do to the sites is not known: it needs tensors "
    "(ol-extract --store bf16).";

const char ol_text_down_inputs[] =
    "Into the down projections go the products of gate and up, where an outlier of a "
    "layer may sit that no norm's output shows. These are the units with the largest; "
    "with ol-extract --imatrix it is known how much of the energy (the sum of squares) "
    "one column has. Errors of rounding them are of a few rows of each unit, drawn at "
    "random, with scales of all of its tokens.";

double ol_quantised_at(const struct ol_reals *values, int64_t i)
{
    return i < values->n ? values->items[i] : NAN;
}

int ol_quantised_worst(const struct ol_quantisation *q, int64_t method, int most,
                       int64_t *order)
{
    const struct ol_quantised_site *sites = q->sites.items;
    int n = 0;
    for (int64_t i = 0; i < q->sites.n; i++) {
        const double error = ol_quantised_at(&sites[i].error, method);
        if (isnan(error))
            continue;
        int k = n < most ? n++ : most;
        while (k > 0 && error > ol_quantised_at(&sites[order[k - 1]].error, method)) {
            if (k < most)
                order[k] = order[k - 1];
            k--;
        }
        if (k < most)
            order[k] = i;
    }
    return n;
}
