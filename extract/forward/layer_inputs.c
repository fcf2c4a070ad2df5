/* What every layer gets besides the stream (Gemma 4's "per-layer inputs"): d_input values
 * that follow from the token's id,
 *
 *     input[l] = (norm(x Wp)[l] / sqrt(d_model) + table[id][l] sqrt(d_input)) / sqrt(2)
 *
 * where x is the token's embedding, and the norm is over the d_input values of a layer.
 * They are made once, for every id that occurs, and kept layer by layer: [n_layers * ids,
 * d_input]. After its MLP a layer takes of its own
 *
 *     hidden += norm(Wo (gelu(Wg hidden) * input[l])) */
#include "extract/forward/pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ids that are looked up at a time. */
enum { IDS = 256 };

static int64_t most_ids(const struct ol_spec *spec, int64_t n_rows)
{
    return n_rows < spec->vocab_size ? n_rows : spec->vocab_size;
}

int64_t ol_forward_input_bytes(const struct ol_spec *spec, int64_t n_rows,
                               int64_t block_rows, int64_t size)
{
    const int64_t width = (int64_t)spec->n_layers * spec->d_input;
    return spec->d_input == 0
               ? 0
               : size * (most_ids(spec, n_rows) * width + 2 * block_rows * spec->d_input +
                         IDS * (2 * width + spec->d_model));
}

static int compare_ids(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The ids that occur, rising; owned. And of every row which of them it has. */
static int32_t *find_ids(struct ol_pass *p, int64_t *n_ids)
{
    int32_t *ids = ol_xcalloc((size_t)p->n_rows, sizeof *ids);
    memcpy(ids, p->in->ids, (size_t)p->n_rows * sizeof *ids);
    qsort(ids, (size_t)p->n_rows, sizeof *ids, compare_ids);
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_rows; i++)
        if (n == 0 || ids[i] != ids[n - 1])
            ids[n++] = ids[i];
    p->input_rows = ol_xcalloc((size_t)p->n_rows, sizeof *p->input_rows);
    for (int64_t i = 0; i < p->n_rows; i++) {
        const int32_t *found =
            bsearch(&p->in->ids[i], ids, (size_t)n, sizeof *ids, compare_ids);
        p->input_rows[i] = (int32_t)(found - ids);
    }
    *n_ids = n;
    return ids;
}

/* Room for ids that are looked up together. */
struct room {
    struct ol_tensor embedded;         /* [IDS, d_model] */
    struct ol_tensor table, projected; /* [IDS, n_layers * d_input] */
};

/* projected = the inputs of all layers for n ids. */
static int make_some(struct ol_pass *p, const struct room *room, const int32_t *ids,
                     int64_t n, struct ol_error *err)
{
    const struct ol_spec *spec = p->spec;
    const struct ol_weight none = {0};
    const struct ol_tensor x = ol_tensor_rows(room->embedded, 0, n),
                           table = ol_tensor_rows(room->table, 0, n),
                           made = ol_tensor_rows(room->projected, 0, n),
                           parts = ol_tensor_split(made, spec->d_input);
    const struct ol_matmul product = {x, ol_pass_weight(p, OL_ROLE_INPUT_PROJECTION, 0),
                                      none, .out = made};
    if (ol_pass_embed_ids(p, ids, x, err) != 0 ||
        p->op->embed(p->b, ids, ol_pass_weight(p, OL_ROLE_INPUT_TABLE, 0), table, err) !=
            0 ||
        ol_pass_scale(p, table, ol_pass_rounded(p, sqrt((double)spec->d_input)), err) !=
            0 ||
        p->op->matmul(p->b, &product, 1, err) != 0 ||
        ol_pass_scale(p, made, 1 / sqrt((double)spec->d_model), err) != 0 ||
        p->op->norm(p->b, spec->norm, spec->norm_eps, parts,
                    ol_pass_weight(p, OL_ROLE_INPUT_NORM, 0), parts, err) != 0 ||
        p->op->add(p->b, made, table, err) != 0)
        return -1;
    return ol_pass_scale(p, made, sqrt(0.5), err);
}

static int make_all(struct ol_pass *p, const struct room *room, const int32_t *ids,
                    struct ol_error *err)
{
    const int d = p->spec->d_input;
    for (int64_t first = 0, n; first < p->n_input_ids; first += n) {
        n = p->n_input_ids - first < IDS ? p->n_input_ids - first : IDS;
        if (make_some(p, room, ids + first, n, err) != 0)
            return -1;
        for (int l = 0; l < p->spec->n_layers; l++) {
            const struct ol_columns from = {ol_tensor_rows(room->projected, 0, n),
                                            (int64_t)l * d, 0},
                                    to = {ol_tensor_rows(p->inputs,
                                                         l * p->n_input_ids + first, n),
                                          0, 0};
            if (p->op->copy_columns(p->b, from, to, d, 1, err) != 0)
                return -1;
        }
    }
    return 0;
}

int ol_pass_make_inputs(struct ol_pass *p, struct ol_error *err)
{
    const int64_t d = p->spec->d_input, width = d * p->spec->n_layers,
                  block_rows = p->in->buffers->block_rows;
    struct room room = {0};
    if (d == 0)
        return 0;
    int32_t *ids = find_ids(p, &p->n_input_ids);
    const struct {
        struct ol_tensor *tensor;
        int64_t n_rows, n_cols;
    } wanted[] = {
        {&p->inputs, p->spec->n_layers * p->n_input_ids, d},
        {&p->input_gate, block_rows, d},
        {&p->input_taken, block_rows, d},
        {&room.embedded, IDS, p->spec->d_model},
        {&room.table, IDS, width},
        {&room.projected, IDS, width},
    };
    int status = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && status == 0; i++)
        status = p->op->tensor_new(p->b, p->b->dtype, wanted[i].n_rows, wanted[i].n_cols,
                                   wanted[i].tensor, err);
    if (status == 0)
        status =
            ol_pass_wait(p, OL_ROLE_INPUT_PROJECTION, OL_ROLE_INPUT_NORM, 0, err) == 0
                ? make_all(p, &room, ids, err)
                : -1;
    ol_layer_weights_release(&p->stored, p->b, OL_ROLE_INPUT_PROJECTION,
                             OL_ROLE_INPUT_NORM, 0, 0);
    p->op->tensor_free(p->b, &room.embedded);
    p->op->tensor_free(p->b, &room.table);
    p->op->tensor_free(p->b, &room.projected);
    free(ids);
    return status;
}

/* Rows from `first` on, as far as they are the baseline's. */
static int see(struct ol_pass *p, enum ol_point point, int layer, int64_t first,
               struct ol_tensor x, struct ol_error *err)
{
    const int64_t baseline = p->arm_starts[1] - first;
    const struct ol_view view = {
        .point = point,
        .layer = layer,
        .x = ol_tensor_rows(x, 0, baseline < x.n_rows ? baseline : x.n_rows)};
    return baseline > 0 ? ol_tap(p->taps, &view, err) : 0;
}

static int take_rows(struct ol_pass *p, int layer, int64_t first, int64_t n,
                     struct ol_error *err)
{
    const struct ol_weight none = {0};
    const struct ol_tensor x = ol_tensor_rows(p->hidden, first, n),
                           gate = ol_tensor_rows(p->input_gate, 0, n),
                           taken = ol_tensor_rows(p->input_taken, 0, n),
                           out = ol_tensor_rows(p->mixed, 0, n);
    const struct ol_matmul in = {x, ol_pass_weight(p, OL_ROLE_INPUT_GATE, layer), none,
                                 .out = gate},
                           back = {gate, ol_pass_weight(p, OL_ROLE_INPUT_OUT, layer),
                                   none, .out = out};
    const struct ol_tensor own =
        ol_tensor_rows(p->inputs, layer * p->n_input_ids, p->n_input_ids);
    if (see(p, OL_POINT_LAYER_GATE, layer, first, x, err) != 0 ||
        p->op->matmul(p->b, &in, 1, err) != 0 ||
        p->op->gather(p->b, own, p->input_rows + first, NULL, taken, err) != 0 ||
        p->op->glu(p->b, &p->spec->glu, gate, taken, err) != 0 ||
        see(p, OL_POINT_LAYER_OUT, layer, first, gate, err) != 0 ||
        p->op->matmul(p->b, &back, 1, err) != 0 ||
        ol_pass_norm_after(p, OL_ROLE_INPUT_POST_NORM, layer, out, err) != 0)
        return -1;
    return ol_pass_join(p, first, out, err);
}

int ol_pass_take_input(struct ol_pass *p, int layer, struct ol_error *err)
{
    const int64_t most = p->mixed.n_rows;
    for (int64_t first = 0, n; p->spec->d_input > 0 && first < p->n_rows; first += n) {
        n = p->n_rows - first < most ? p->n_rows - first : most;
        if (take_rows(p, layer, first, n, err) != 0)
            return -1;
    }
    return 0;
}
