#include "analyze/describe.h"

#include <stdlib.h>
#include <string.h>

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

struct ol_json *ol_describe_index(int64_t value)
{
    return value >= 0 ? ol_json_new_int(value) : ol_json_new_null();
}

const char *ol_describe_piece(const struct ol_parts *parts, int32_t token_id)
{
    const char *piece = NULL;
    for (int i = 0; i < parts->n_files && piece == NULL; i++)
        piece = find_piece(ol_activation_input(parts->files[i]), token_id);
    return piece;
}

void ol_describe_token(struct ol_json *object, const struct ol_parts *parts,
                       int32_t token_id)
{
    const char *piece = ol_describe_piece(parts, token_id);
    ol_json_set(object, "token_id", ol_describe_index(token_id));
    ol_json_set(object, "piece",
                piece != NULL ? ol_json_new_string(piece) : ol_json_new_null());
}

void ol_describe_place(struct ol_json *object, const struct ol_parts *parts,
                       int64_t sequence, int64_t position)
{
    ol_json_set(object, "sequence", ol_describe_index(sequence));
    ol_json_set(object, "position", ol_describe_index(position));
    ol_describe_token(object, parts, ol_describe_token_id(parts, sequence, position));
}

const char *ol_describe_kind(const struct ol_parts *parts, int i_layer, int unit)
{
    if (unit == OL_UNIT_ATTENTION)
        return "attention";
    if (!ol_parts_layout(parts)->layers[i_layer].moe)
        return "mlp";
    return unit < ol_parts_info(parts)->model.n_experts ? "expert" : "shared";
}

void ol_describe_unit(struct ol_json *object, const struct ol_parts *parts, int i_layer,
                      int unit)
{
    const char *kind = ol_describe_kind(parts, i_layer, unit);
    ol_json_set(object, "kind", ol_json_new_string(kind));
    ol_json_set(object, "expert",
                ol_describe_index(strcmp(kind, "expert") == 0 ? unit : -1));
}

static int most_first(const void *a, const void *b)
{
    const struct ol_counted *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

struct ol_json *ol_describe_tokens(const struct ol_parts *parts,
                                   const struct ol_tally *tokens, size_t most)
{
    struct ol_json *list = ol_json_new_array();
    struct ol_counted *sorted = ol_tally_sorted(tokens);
    if (tokens->n > 0)
        qsort(sorted, tokens->n, sizeof *sorted, most_first);
    for (size_t i = 0; i < tokens->n && i < most; i++) {
        struct ol_json *entry = ol_json_new_object();
        ol_describe_token(entry, parts, (int32_t)sorted[i].key);
        ol_json_set(entry, "n_tokens", ol_json_new_int(sorted[i].n));
        ol_json_append(list, entry);
    }
    free(sorted);
    return list;
}
