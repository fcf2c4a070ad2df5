/* exp of the mean negative log-likelihood over all tokens that have one: all but the
 * first of each sequence. */
#include <math.h>

#include "common/real_math.h"

#include "analyze/statistics.h"
#include "common/results/perplexity.h"

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    (void)arena;
    const struct ol_parts *parts = a->parts;
    if (!ol_parts_layout(parts)->nll)
        return false;
    double sum = 0;
    int64_t n = 0;
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        const float *nll = ol_activation_get(parts->files[parts->file_of[s]],
                                             OL_TABLE_NLL, 0, parts->number_of[s]);
        for (int32_t t = 1; t < parts->lengths[s]; t++, n++)
            sum += (double)nll[t];
    }
    *(struct ol_perplexity *)block =
        (struct ol_perplexity){.value = ol_real_exp(sum / (double)n),
                               .mean_nll = sum / (double)n,
                               .n_tokens = n};
    return n > 0;
}

const struct ol_statistic ol_perplexity_statistic = {.name = "perplexity",
                                                     .results = results};
