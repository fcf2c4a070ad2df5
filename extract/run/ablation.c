#include "extract/run/ablation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The sequences of one arm, behind what is there. */
static int append(struct ol_ablation *a, const char *text, int left_out,
                  const struct ol_ablation_baseline *baseline, struct ol_error *err)
{
    const int32_t *lengths = baseline->lengths, *ids = baseline->ids;
    for (int64_t s = 0; s < a->arms.n_sequences; ids += lengths[s++]) {
        const int32_t n = lengths[s] - left_out;
        if (n < 1)
            return ol_fail(err,
                           "--ablate %s: sequence %" PRId64 " has %d tokens, at least %d "
                           "are needed",
                           text, s, lengths[s], left_out + 1);
        a->lengths[a->n_sequences++] = n;
        memcpy(a->ids + a->n_rows, ids + left_out, (size_t)n * sizeof *ids);
        a->n_rows += n;
    }
    return 0;
}

int ol_ablation_init(struct ol_ablation *a, const struct ol_spec *spec,
                     const char *const *texts, int n,
                     const struct ol_ablation_baseline *baseline, struct ol_error *err)
{
    const int64_t n_sequences = baseline->n_sequences;
    int64_t n_rows = 0;
    *a = (struct ol_ablation){0};
    if (ol_arms_parse(texts, n, spec, &a->arms, err) != 0)
        return -1;
    for (int64_t s = 0; baseline->lengths != NULL && s < n_sequences; s++)
        n_rows += baseline->lengths[s];
    a->arms.n_sequences = n_sequences;
    a->lengths = ol_xcalloc((size_t)(n_sequences * (n + 1)), sizeof *a->lengths);
    a->ids = ol_xcalloc((size_t)(n_rows * (n + 1)), sizeof *a->ids);
    a->texts = ol_xcalloc((size_t)n, sizeof *a->texts);
    a->left_out = ol_xcalloc((size_t)n, sizeof *a->left_out);
    for (int i = 0; i < n; i++) {
        a->texts[i] = ol_arm_text(a->arms.arms[i]);
        a->left_out[i] = ol_arm_left_out(a->arms.arms[i]);
    }
    if (baseline->lengths == NULL)
        return 0;
    if (append(a, "", 0, baseline, err) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (append(a, texts[i], ol_arm_left_out(a->arms.arms[i]), baseline, err) != 0)
            return -1;
    return 0;
}

void ol_ablation_clear(struct ol_ablation *a)
{
    ol_arms_clear(&a->arms);
    free(a->texts);
    free(a->left_out);
    free(a->lengths);
    free(a->ids);
    *a = (struct ol_ablation){0};
}
