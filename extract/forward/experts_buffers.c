/* Buffers of the experts, made once for all layers. */
#include "extract/forward/experts_private.h"

#include <stdlib.h>

enum {
    /* Rows that pass the shared expert at a time: enough for full tiles of a product. */
    SHARED_ROWS = 2048,
    /* Of experts that are waited for together, where they come by a line: the others come
     * while these are computed. */
    STREAMED_MIB = 64,
};

static int64_t shared_rows_of(const struct ol_spec *spec, int64_t group_rows,
                              int64_t n_rows)
{
    const int64_t rows = n_rows < SHARED_ROWS ? n_rows : SHARED_ROWS;
    return spec->d_shared == 0 ? 0 : rows < group_rows ? rows : group_rows;
}

/* Rows that a router sees as float at a time; 0: it sees them as they are. */
static int64_t float_rows_of(const struct ol_spec *spec, int64_t n_rows, int64_t size)
{
    const int64_t rows = n_rows < OL_PRODUCT_ROWS ? n_rows : OL_PRODUCT_ROWS;
    return spec->router.float_weight && size < (int64_t)sizeof(float) ? rows : 0;
}

int64_t ol_experts_buffer_bytes(const struct ol_spec *spec, int64_t group_rows,
                                int64_t n_rows, int64_t size)
{
    const int64_t shared_rows = shared_rows_of(spec, group_rows, n_rows);
    const int64_t io = ol_spec_expert_io(spec), latent = spec->d_latent;
    const int64_t ups = spec->glu.alone ? 1 : 2;
    const int64_t down = latent > 0 ? shared_rows : group_rows;
    return size * (group_rows * (io + ups * spec->d_expert + latent) +
                   down * (int64_t)spec->d_model + n_rows * latent +
                   shared_rows * (ups * (int64_t)spec->d_shared + 1)) +
           (n_rows * latent + float_rows_of(spec, n_rows, size) * spec->d_model) *
               (int64_t)sizeof(float);
}

int64_t ol_experts_result_bytes(const struct ol_spec *spec, int64_t n_rows)
{
    const int64_t pair = sizeof(uint16_t) + sizeof(float) + 2 * sizeof(int32_t),
                  n_experts = spec->router.n_experts;
    return n_experts == 0 ? 0
                          : ol_result_bytes(n_rows * spec->router.top_k * pair +
                                            (n_experts + 1) * (int64_t)sizeof(int64_t));
}

static int allocate(struct ol_experts *x, struct ol_error *err)
{
    const struct ol_spec *spec = x->c.spec;
    struct ol_backend *b = x->c.backend;
    const int64_t shared_rows = shared_rows_of(spec, x->c.group_rows, x->c.n_rows);
    const int64_t n_rows = x->c.n_rows, group = x->c.group_rows;
    const bool latent = spec->d_latent > 0, alone = spec->glu.alone;
    const struct {
        struct ol_tensor *tensor;
        enum ol_dtype dtype;
        int64_t n_rows, n_cols;
    } wanted[] = {
        {&x->sum, OL_DTYPE_F32, x->c.n_rows, spec->d_model},
        {&x->gathered, b->dtype, group, ol_spec_expert_io(spec)},
        {&x->gate, b->dtype, group, spec->d_expert},
        {&x->up, b->dtype, alone ? 0 : group, spec->d_expert},
        {&x->down, b->dtype, latent ? shared_rows : group, spec->d_model},
        {&x->latent_down, b->dtype, latent ? group : 0, spec->d_latent},
        {&x->latent_sum, OL_DTYPE_F32, latent ? n_rows : 0, spec->d_latent},
        {&x->latent, b->dtype, latent ? n_rows : 0, spec->d_latent},
        {&x->as_float, OL_DTYPE_F32,
         float_rows_of(spec, n_rows, (int64_t)ol_dtype_size(b->dtype)), spec->d_model},
        {&x->shared_gate, b->dtype, shared_rows, spec->d_shared},
        {&x->shared_up, b->dtype, alone ? 0 : shared_rows, spec->d_shared},
        {&x->shared_switch, b->dtype, shared_rows, 1},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (wanted[i].n_rows > 0 &&
            x->op->tensor_new(b, wanted[i].dtype, wanted[i].n_rows, wanted[i].n_cols,
                              wanted[i].tensor, err) != 0)
            return -1;
    return 0;
}

/* How many experts' weights may be waited for together. */
static int most_experts(const struct ol_experts_context *c)
{
    const struct ol_spec *spec = c->spec;
    int layer = 0;
    while (layer < spec->n_layers - 1 && !spec->layers[layer].moe)
        layer++;
    int64_t bytes = 0;
    for (enum ol_role role = OL_ROLE_EXPERT_GATE; role <= OL_ROLE_EXPERT_DOWN_BIAS;
         role++) {
        const struct ol_weight w = ol_weights_get(c->weights.weights, role, layer, 0);
        bytes += ol_weight_bytes(&w);
    }
    int64_t most = c->weight_bytes;
    if (ol_stream_spares(c->weights.stream) && most > (int64_t)STREAMED_MIB << 20)
        most = (int64_t)STREAMED_MIB << 20;
    const int64_t n = bytes > 0 ? most / bytes : 1;
    return n < 1 ? 1 : n < spec->router.n_experts ? (int)n : spec->router.n_experts;
}

struct ol_experts *ol_experts_new(const struct ol_experts_context *context,
                                  struct ol_error *err)
{
    const struct ol_router_spec *router = &context->spec->router;
    const size_t n_experts = (size_t)router->n_experts;
    const size_t n_pairs = (size_t)context->n_rows * (size_t)router->top_k;
    struct ol_experts *x = ol_xcalloc(1, sizeof *x);
    x->c = *context;
    x->op = context->backend->op;
    x->group.most_rows = context->group_rows;
    x->group.most_experts = most_experts(context);
    x->expected = ol_xcalloc((size_t)context->spec->n_layers, sizeof *x->expected);
    x->ids = ol_xcalloc(n_pairs, sizeof *x->ids);
    x->weights = ol_xcalloc(n_pairs, sizeof *x->weights);
    x->permutation.n_experts = router->n_experts;
    x->permutation.offsets = ol_xcalloc(n_experts + 1, sizeof *x->permutation.offsets);
    x->permutation.rows = ol_xcalloc(n_pairs, sizeof *x->permutation.rows);
    x->permutation.slots = ol_xcalloc(n_pairs, sizeof *x->permutation.slots);
    x->scales = ol_xcalloc((size_t)x->c.group_rows, sizeof *x->scales);
    x->all_rows = ol_xcalloc((size_t)context->n_rows, sizeof *x->all_rows);
    for (int64_t i = 0; i < context->n_rows; i++)
        x->all_rows[i] = (int32_t)i;
    x->products = ol_xcalloc(2 * n_experts, sizeof *x->products);
    ol_expert_group_make(&x->group, router->n_experts);
    if (allocate(x, err) == 0)
        return x;
    ol_experts_free(x);
    return NULL;
}

void ol_experts_free(struct ol_experts *x)
{
    if (x == NULL)
        return;
    struct ol_tensor *const tensors[] = {
        &x->sum,         &x->gathered,    &x->gate,      &x->up,
        &x->down,        &x->shared_gate, &x->shared_up, &x->shared_switch,
        &x->latent_down, &x->latent_sum,  &x->latent,    &x->as_float};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        x->op->tensor_free(x->c.backend, tensors[i]);
    free(x->expected);
    ol_expert_group_clear(&x->group);
    free(x->products);
    free(x->all_rows);
    free(x->scales);
    free(x->permutation.slots);
    free(x->permutation.rows);
    free(x->permutation.offsets);
    free(x->weights);
    free(x->ids);
    free(x);
}
