/* exp of the mean negative log-likelihood over all tokens that have one: all but the
 * first of each sequence. */
#include <math.h>

#include "common/real_math.h"

#include "analyze/statistics.h"

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    const struct ol_parts *parts = a->parts;
    if (!ol_parts_layout(parts)->nll)
        return ol_json_new_null();
    double sum = 0;
    int64_t n = 0;
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        const float *nll = ol_activation_get(parts->files[parts->file_of[s]],
                                             OL_TABLE_NLL, 0, parts->number_of[s]);
        for (int32_t t = 1; t < parts->lengths[s]; t++, n++)
            sum += (double)nll[t];
    }
    if (n == 0)
        return ol_json_new_null();
    struct ol_json *entry = ol_json_new_object();
    ol_json_set(entry, "value", ol_json_new_real(ol_real_exp(sum / (double)n)));
    ol_json_set(entry, "mean_nll", ol_json_new_real(sum / (double)n));
    ol_json_set(entry, "n_tokens", ol_json_new_int(n));
    return entry;
}

const struct ol_statistic ol_perplexity_statistic = {.name = "perplexity",
                                                     .results = results};
