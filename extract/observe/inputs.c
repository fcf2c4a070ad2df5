#include "extract/observe/inputs.h"

#include <assert.h>
#include <stdlib.h>

struct ol_inputs {
    const struct ol_spec *spec;
    struct ol_backend *b;
    int layer;
    bool wanted;
    double *sums[OL_N_INPUTS]; /* [rows, width] of the layer; NULL: none */
};

int64_t ol_inputs_width(const struct ol_spec *spec, int layer, enum ol_input input)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    const bool linear = l->attention == OL_ATTENTION_LINEAR;
    const bool latent = !linear && spec->attention.kv_rank > 0;
    switch (input) {
    case OL_INPUT_MIXED:
        return linear ? (int64_t)spec->delta_net.n_value_heads * spec->delta_net.value_dim
                      : (int64_t)spec->attention.n_heads * spec->attention.value_dim;
    case OL_INPUT_QUERY_LATENT:
        return latent ? spec->attention.q_rank : 0;
    case OL_INPUT_KEY_LATENT:
        return latent ? spec->attention.kv_rank : 0;
    case OL_INPUT_QUERIES:
        return latent ? (int64_t)spec->attention.n_heads *
                            (spec->attention.head_dim - spec->attention.rope.rotary_dim)
                      : 0;
    case OL_INPUT_VALUES:
        return latent ? (int64_t)spec->attention.n_heads * spec->attention.kv_rank : 0;
    case OL_INPUT_MLP_DOWN:
        return l->moe ? 0 : spec->d_ff;
    case OL_INPUT_SHARED_DOWN:
        return l->moe ? spec->d_shared : 0;
    case OL_INPUT_EXPERTS:
        return l->moe ? spec->d_model : 0;
    case OL_INPUT_EXPERTS_DOWN:
        return l->moe ? spec->d_expert : 0;
    case OL_N_INPUTS:
        break;
    }
    return 0;
}

static size_t size_of(const struct ol_spec *spec, int layer, enum ol_input input)
{
    return (size_t)(ol_activation_n_inputs(spec->router.n_experts, input) *
                    ol_inputs_width(spec, layer, input));
}

int64_t ol_inputs_bytes(const struct ol_spec *spec)
{
    size_t most = 0;
    for (int l = 0; l < spec->n_layers; l++) {
        size_t n = 0;
        for (int i = 0; i < OL_N_INPUTS; i++)
            n += size_of(spec, l, (enum ol_input)i);
        most = n > most ? n : most;
    }
    /* A layer's wait to be written while the next one's are gathered. */
    return 2 * (int64_t)(most * sizeof(double));
}

struct ol_inputs *ol_inputs_new(const struct ol_spec *spec, struct ol_backend *b)
{
    struct ol_inputs *x = ol_xcalloc(1, sizeof *x);
    x->spec = spec;
    x->b = b;
    return x;
}

void ol_inputs_free(struct ol_inputs *x)
{
    if (x == NULL)
        return;
    for (int i = 0; i < OL_N_INPUTS; i++)
        free(x->sums[i]);
    free(x);
}

void ol_inputs_begin(struct ol_inputs *x, int layer, bool wanted)
{
    if (x == NULL)
        return;
    x->layer = layer;
    x->wanted = wanted;
    for (int i = 0; i < OL_N_INPUTS; i++) {
        const size_t n = wanted ? size_of(x->spec, layer, (enum ol_input)i) : 0;
        free(x->sums[i]);
        x->sums[i] = n > 0 ? ol_xcalloc(n, sizeof(double)) : NULL;
    }
}

bool ol_inputs_wanted(const struct ol_inputs *x)
{
    return x != NULL && x->wanted;
}

int ol_inputs_add(struct ol_inputs *x, enum ol_input input, int expert,
                  struct ol_tensor rows, struct ol_error *err)
{
    if (!ol_inputs_wanted(x))
        return 0;
    const int64_t width = ol_inputs_width(x->spec, x->layer, input);
    assert(rows.n_cols == width);
    return x->b->op->add_squares(x->b, rows, x->sums[input] + expert * width, err);
}

int ol_inputs_add_part(struct ol_inputs *x, enum ol_input input, int n, int64_t first,
                       struct ol_tensor rows, int64_t width, struct ol_error *err)
{
    if (!ol_inputs_wanted(x))
        return 0;
    const int64_t whole = ol_inputs_width(x->spec, x->layer, input) / n,
                  step = rows.n_cols / n;
    assert(width <= step && first + width <= whole);
    double *some = ol_xcalloc((size_t)rows.n_cols, sizeof *some);
    const int status = x->b->op->add_squares(x->b, rows, some, err);
    for (int64_t i = 0; status == 0 && i < n * width; i++)
        x->sums[input][i / width * whole + first + i % width] +=
            some[i / width * step + i % width];
    free(some);
    return status;
}

int ol_inputs_end(struct ol_inputs *x, const struct ol_writer_rows *at,
                  struct ol_writer *writer, struct ol_error *err)
{
    for (int i = 0; x != NULL && i < OL_N_INPUTS; i++) {
        double *sums = x->sums[i];
        x->sums[i] = NULL;
        if (sums != NULL &&
            ol_writer_take_squares(writer, at, (enum ol_input)i, sums, err) != 0)
            return -1;
    }
    return 0;
}
