/* The stream before the first layer: hidden = embedding[ids], or what a run that was
 * interrupted had kept of it. */
#include "extract/forward/pass.h"

#include <stdlib.h>

/* Each row's place in its sequence; owned. */
static int32_t *positions_of(const struct ol_pass *p)
{
    int32_t *positions = ol_xmalloc((size_t)p->n_rows * sizeof *positions);
    for (int64_t s = 0, row = 0; s < p->in->n_sequences; row += p->in->lengths[s++])
        for (int32_t i = 0; i < p->in->lengths[s]; i++)
            positions[row + i] = i;
    return positions;
}

/* Rows of tables are looked up where they are: most of them are never touched. What the
 * first layer needs is queued behind them. A run that goes on has the stream already, and
 * makes layers' inputs anew. */
static int look_up(const struct ol_pass *p, struct ol_error *err)
{
    struct ol_stream *s = p->stored.stream;
    const bool begins = p->in->done < 0, inputs = p->spec->d_input != 0;
    int32_t *positions = p->spec->n_positions > 0 ? positions_of(p) : NULL;
    const struct {
        enum ol_role role;
        const int32_t *rows; /* [n_rows] */
        bool wanted;
    } tables[] = {{OL_ROLE_EMBEDDING, p->in->ids, begins || inputs},
                  {OL_ROLE_POSITIONS, positions, begins && positions != NULL},
                  {OL_ROLE_INPUT_TABLE, p->in->ids, inputs}};
    enum { TABLES = sizeof tables / sizeof tables[0] };
    int status = 0;
    for (int i = 0; i < TABLES; i++) {
        const struct ol_weight table = ol_pass_weight(p, tables[i].role, 0);
        if (tables[i].wanted)
            ol_stream_expect_rows(s, &table, tables[i].rows, p->n_rows);
    }
    ol_layer_weights_prefetch(&p->stored, OL_ROLE_INPUT_PROJECTION, OL_ROLE_INPUT_NORM, 0,
                              0);
    ol_pass_prefetch(p, p->in->done + 1);
    for (int i = 0; i < TABLES && status == 0; i++) {
        const struct ol_weight table = ol_pass_weight(p, tables[i].role, 0);
        if (tables[i].wanted &&
            (ol_stream_look_up(s, &table, tables[i].rows, p->n_rows, err) != 0 ||
             ol_weights_see(p->stored.weights, tables[i].role, 0, 0, err) != 0))
            status = -1;
    }
    free(positions);
    return status;
}

/* Each token's position has an embedding too. `normed` is still free. */
static int add_positions(struct ol_pass *p, struct ol_error *err)
{
    if (p->spec->n_positions == 0)
        return 0;
    int32_t *positions = positions_of(p);
    int status = p->op->embed(p->b, positions, ol_pass_weight(p, OL_ROLE_POSITIONS, 0),
                              p->normed, err);
    if (status == 0)
        status = p->op->add(p->b, p->hidden, p->normed, err);
    free(positions);
    return status;
}

/* All of several streams begin as the embedding. */
static int fill_streams(struct ol_pass *p, struct ol_error *err)
{
    const int64_t d = p->hidden.n_cols;
    const struct ol_columns from = {p->hidden, 0, 0}, to = {p->streams, 0, d};
    return p->streams.data == NULL
               ? 0
               : p->op->copy_columns(p->b, from, to, d, p->spec->connection.n_streams,
                                     err);
}

/* The stream before the first layer that is left to do. */
static int start_stream(struct ol_pass *p, struct ol_error *err)
{
    if (p->in->done >= 0)
        return p->op->upload(p->b, ol_pass_states(p), p->in->states, err);
    if (ol_pass_embed_ids(p, p->in->ids, p->hidden, err) != 0 ||
        add_positions(p, err) != 0 || fill_streams(p, err) != 0)
        return -1;
    return ol_pass_intervene(p, err);
}

int ol_pass_embed(struct ol_pass *p, struct ol_error *err)
{
    return look_up(p, err) == 0 && ol_pass_make_inputs(p, err) == 0 ? start_stream(p, err)
                                                                    : -1;
}
