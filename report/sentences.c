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

char *ol_text_margin_range(const struct ol_report_results *r)
{
    const struct ol_margin *m =
        r->blocks.uncertainty != NULL ? r->blocks.uncertainty->margin : NULL;
    const struct ol_margin_count *c = m != NULL ? m->counts.items : NULL;
    int64_t least = r->pairs->count, most = least, n = 0;
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; m != NULL && i < m->counts.n; i++) {
        if (c[i].pairs == OL_ABSENT || isnan(c[i].threshold))
            continue;
        least = c[i].pairs < least ? c[i].pairs : least;
        most = c[i].pairs > most ? c[i].pairs : most;
        low = fmin(low, c[i].threshold);
        high = fmax(high, c[i].threshold);
        n++;
    }
    return n == 0 || least == OL_ABSENT
               ? NULL
               : ol_xasprintf("%" PRId64 " to %" PRId64 " at thresholds from %g to %g",
                              least, most, low, high);
}

/* ---- quantisation ---- */
