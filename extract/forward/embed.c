/* The stream before the first layer: hidden = embedding[ids], or what a run that was
 * interrupted had kept of it. */
#include "extract/forward/pass.h"

#include <stdlib.h>

/* Rows of the embedding are looked up where they are: most of it is never touched. What
 * the first layer needs is queued behind them. */
static int look_up(const struct ol_pass *p, struct ol_error *err)
{
    struct ol_stream *s = p->stored.stream;
    const struct ol_weight table = ol_pass_weight(p, OL_ROLE_EMBEDDING, 0);
    const bool first = p->in->done < 0;
    if (first)
        ol_stream_expect_rows(s, &table, p->in->ids, p->n_rows);
    ol_pass_prefetch(p, p->in->done + 1);
    if (!first)
        return 0;
    return ol_stream_look_up(s, &table, p->in->ids, p->n_rows, err) == 0
               ? ol_weights_see(p->stored.weights, OL_ROLE_EMBEDDING, 0, 0, err)
               : -1;
}

/* Each token's position has an embedding too. `normed` is still free. */
static int add_positions(struct ol_pass *p, struct ol_error *err)
{
    if (p->spec->n_positions == 0)
        return 0;
    int32_t *positions = ol_xmalloc((size_t)p->n_rows * sizeof *positions);
    for (int64_t s = 0, row = 0; s < p->in->n_sequences; row += p->in->lengths[s++])
        for (int32_t i = 0; i < p->in->lengths[s]; i++)
            positions[row + i] = i;
    int status = p->op->embed(p->b, positions, ol_pass_weight(p, OL_ROLE_POSITIONS, 0),
                              p->normed, err);
    if (status == 0)
        status = p->op->add(p->b, p->hidden, p->normed, err);
    free(positions);
    return status;
}

/* The stream before the first layer that is left to do. */
static int start_stream(struct ol_pass *p, struct ol_error *err)
{
    if (p->in->done >= 0)
        return p->op->upload(p->b, p->hidden, p->in->states, err);
    if (p->op->embed(p->b, p->in->ids, ol_pass_weight(p, OL_ROLE_EMBEDDING, 0), p->hidden,
                     err) != 0 ||
        (p->spec->embedding_scale > 0 &&
         ol_pass_scale(p, p->hidden, ol_pass_rounded(p, p->spec->embedding_scale), err) !=
             0) ||
        add_positions(p, err) != 0)
        return -1;
    return ol_pass_intervene(p, err);
}

int ol_pass_embed(struct ol_pass *p, struct ol_error *err)
{
    return look_up(p, err) == 0 ? start_stream(p, err) : -1;
}
