/* The head: likelihoods of the tokens, nll = head(norm(hidden)). */
#include "extract/forward/pass.h"

#include <stdlib.h>

/* targets [n_rows]: the token after each; -1 after the last of a sequence. */
static void find_targets(const struct ol_pass *p, int32_t *targets)
{
    for (int64_t s = 0, row = 0; s < p->in->n_sequences; row += p->in->lengths[s++]) {
        const int64_t last = row + p->in->lengths[s] - 1;
        for (int64_t i = row; i < last; i++)
            targets[i] = p->in->ids[i + 1];
        targets[last] = -1;
    }
}

/* A row predicts the token after it; the last row's NaN becomes the first token's. */
static void shift(const struct ol_pass *p, float *nll)
{
    for (int64_t s = 0, row = 0; s < p->in->n_sequences; row += p->in->lengths[s++]) {
        const int32_t length = p->in->lengths[s];
        const float none = nll[row + length - 1];
        memmove(nll + row + 1, nll + row, (size_t)(length - 1) * sizeof *nll);
        nll[row] = none;
    }
}

int ol_pass_head(struct ol_pass *p, struct ol_error *err)
{
    int32_t *targets = ol_xmalloc((size_t)p->n_rows * sizeof *targets);
    float *nll = ol_xmalloc((size_t)p->n_rows * sizeof *nll);
    const struct ol_block all = {.n_sequences = p->in->n_sequences, .n = p->n_rows};
    int status = -1;
    find_targets(p, targets);
    if (ol_pass_wait(p, OL_ROLE_FINAL_NORM, OL_ROLE_LM_HEAD, 0, err) != 0 ||
        ol_pass_take(p, OL_ROLE_HEAD_CONNECTION, &all, err) != 0 ||
        ol_pass_norm(p, OL_ROLE_FINAL_NORM, &all, err) != 0 ||
        p->op->nll(p->b, p->normed, ol_pass_weight(p, OL_ROLE_LM_HEAD, 0),
                   p->spec->logit_cap, targets, nll, err) != 0)
        goto out;
    ol_pass_progress(p, p->spec->n_layers, ol_cost_head(p->spec, &p->tokens));
    shift(p, nll);
    status = 0;
    for (int arm = 0; arm <= p->in->arms->n && status == 0; arm++) {
        const struct ol_block rows = ol_pass_arm(p, p->spec->n_layers, arm);
        struct ol_view view = ol_pass_view(p, OL_POINT_LIKELIHOOD, &rows);
        view.values = nll + rows.first;
        status = ol_tap(p->taps, &view, err);
    }
out:
    free(nll);
    free(targets);
    return status;
}
