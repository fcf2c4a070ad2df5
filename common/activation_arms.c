/* What is recorded of the arms of an ablation, in memory. */
#include <math.h>
#include <stdlib.h>

#include "common/activation_content.h"

int64_t ol_activation_site_bytes(const struct ol_activation_layout *layout)
{
    int64_t n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n += layout->layers[l].summary_sites[OL_SUMMARY_LN_ATTN] +
             layout->layers[l].summary_sites[OL_SUMMARY_LN_MLP];
    return (n + 7) / 8;
}

void ol_activation_arms_init(struct ol_activation_arms *a,
                             const struct ol_activation_layout *layout)
{
    const size_t n = (size_t)layout->n_arms * (size_t)layout->n_sequences,
                 rows = n * (size_t)layout->d_model,
                 n_tokens = n * (size_t)layout->n_tokens;
    a->sites = ol_xcalloc(rows, (size_t)ol_activation_site_bytes(layout));
    a->positions = ol_xcalloc(rows, (size_t)ol_activation_position_bytes(layout));
    a->occurrences = ol_xcalloc(rows, sizeof *a->occurrences);
    a->maxima = ol_xcalloc(rows, sizeof *a->maxima);
    a->nll = ol_xcalloc(n_tokens, sizeof *a->nll);
    for (size_t i = 0; i < n_tokens; i++)
        a->nll[i] = NAN;
}

void ol_activation_arms_clear(struct ol_activation_arms *a)
{
    free(a->sites);
    free(a->positions);
    free(a->occurrences);
    free(a->maxima);
    free(a->nll);
    *a = (struct ol_activation_arms){0};
}
