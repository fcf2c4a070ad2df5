#include "analyze/describe.h"

#include <stdlib.h>

int32_t ol_describe_token_id(const struct ol_parts *parts, int64_t sequence,
                             int64_t position)
{
    if (sequence < 0 || sequence >= parts->n_sequences || position < 0 ||
        position >= parts->lengths[sequence])
        return -1;
    const struct ol_activation_file *f = parts->files[parts->file_of[sequence]];
    return ol_activation_input(f)
        ->token_ids[parts->number_of[sequence] * ol_activation_layout(f)->n_tokens +
                    position];
}

/* NULL: not in this file. */
static const char *find_piece(const struct ol_activation_input *input, int32_t token_id)
{
    int64_t low = 0, high = input->n_pieces;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (input->piece_ids[middle] < token_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < input->n_pieces && input->piece_ids[low] == token_id ? input->pieces[low]
                                                                      : NULL;
}

int64_t ol_describe_index(int64_t value)
{
    return value >= 0 ? value : OL_ABSENT;
}

struct ol_named_token ol_describe_token(const struct ol_parts *parts, int32_t token_id)
{
    struct ol_named_token token = {.token_id = ol_describe_index(token_id)};
    for (int i = 0; i < parts->n_files && token.piece == NULL; i++)
        token.piece = find_piece(ol_activation_input(parts->files[i]), token_id);
    return token;
}

struct ol_token_place ol_describe_place(const struct ol_parts *parts, int64_t sequence,
                                        int64_t position)
{
    const int32_t id = ol_describe_token_id(parts, sequence, position);
    return (struct ol_token_place){ol_describe_index(sequence),
                                   ol_describe_index(position),
                                   ol_describe_token(parts, id)};
}

struct ol_named_component ol_describe_component(const struct ol_parts *parts, int i_layer,
                                                int unit)
{
    const struct ol_activation_layer *layer = &ol_parts_layout(parts)->layers[i_layer];
    const bool attention = unit == OL_UNIT_ATTENTION,
               routed = !attention && layer->moe &&
                        unit < ol_parts_info(parts)->model.n_experts;
    return (struct ol_named_component){.layer = layer->number,
                                       .kind = attention     ? "attention"
                                               : !layer->moe ? "mlp"
                                               : routed      ? "expert"
                                                             : "shared",
                                       .expert = routed ? unit : OL_ABSENT};
}

static int most_first(const void *a, const void *b)
{
    const struct ol_counted *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

void ol_describe_tokens(const struct ol_parts *parts, const struct ol_tally *tokens,
                        size_t most, struct ol_list *list, struct ol_arena *arena)
{
    const size_t n = tokens->n < most ? tokens->n : most;
    struct ol_counted_token *to = ol_list_new(list, (int64_t)n, sizeof *to, arena);
    struct ol_counted *sorted = ol_tally_sorted(tokens);
    if (tokens->n > 0)
        qsort(sorted, tokens->n, sizeof *sorted, most_first);
    for (size_t i = 0; i < n; i++)
        to[i] = (struct ol_counted_token){
            ol_describe_token(parts, (int32_t)sorted[i].key), sorted[i].n};
    free(sorted);
}
