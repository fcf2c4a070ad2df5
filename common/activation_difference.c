/* In what two descriptions of a file differ. */
#include <string.h>

#include "common/activation_content.h"

static bool stores_tensors(const struct ol_activation_layout *a)
{
    for (int l = 0; l < a->n_layers; l++)
        for (int site = 0; site < OL_N_SITES; site++)
            if (a->layers[l].sites[site])
                return true;
    return false;
}

static bool same_pieces(const struct ol_activation_input *a,
                        const struct ol_activation_input *b)
{
    bool same = a->n_pieces == b->n_pieces;
    for (int64_t i = 0; same && i < a->n_pieces; i++)
        same =
            a->piece_ids[i] == b->piece_ids[i] && strcmp(a->pieces[i], b->pieces[i]) == 0;
    return same;
}

const char *ol_activation_run_difference(const struct ol_activation_content *c,
                                         const struct ol_activation_info *info,
                                         const struct ol_activation_layout *layout,
                                         const struct ol_activation_input *input)
{
    const struct ol_activation_layout *have = &c->layout;
    const char *attribute = ol_activation_info_difference(&c->info, info);
    if (attribute != NULL)
        return attribute;
    if (have->n_sequences != layout->n_sequences || have->n_tokens != layout->n_tokens)
        return "number of tokens";
    if (have->nll != layout->nll)
        return "choice of --perplexity";
    if (stores_tensors(have) && have->dtype != layout->dtype)
        return "type of the tensors (--store)";
    if (have->summary != layout->summary || have->threshold != layout->threshold)
        return "choice of summaries or their threshold";
    if (!ol_activation_same_layers(have, layout))
        return "choice of layers or sites";
    const size_t n = (size_t)(layout->n_sequences * layout->n_tokens);
    if (memcmp(c->input.token_ids, input->token_ids, n * sizeof(int32_t)) != 0)
        return "tokens";
    if (memcmp(c->input.lengths, input->lengths,
               (size_t)layout->n_sequences * sizeof(int32_t)) != 0)
        return "lengths of sequences";
    return same_pieces(&c->input, input) ? NULL : "text of the tokens";
}

static bool same_offsets(const struct ol_activation_content *a,
                         const struct ol_activation_content *b)
{
    const size_t n = (size_t)a->layout.n_sequences;
    bool same = true;
    for (int i = 0; same && i < a->layout.n_layers * OL_N_TABLES; i++)
        if (a->offsets[i] != NULL)
            same = memcmp(a->offsets[i], b->offsets[i],
                          (i % OL_N_TABLES < OL_TABLE_WHOLE ? n : 1) *
                              sizeof(uint64_t)) == 0;
    if (same && a->nll_offsets != NULL)
        same = memcmp(a->nll_offsets, b->nll_offsets, n * sizeof(uint64_t)) == 0;
    return same;
}

static bool same_outliers(const struct ol_activation_content *a,
                          const struct ol_activation_content *b)
{
    const struct ol_activation_outliers *x = &a->outliers, *y = &b->outliers;
    const size_t n = (size_t)x->n_values,
                 positions = (size_t)(a->layout.n_sequences * a->layout.d_model *
                                      ol_activation_position_bytes(&a->layout));
    if (x->positions == NULL || y->positions == NULL)
        return x->positions == y->positions;
    return x->n_values == y->n_values &&
           memcmp(x->positions, y->positions, positions) == 0 &&
           memcmp(x->features, y->features, n * sizeof *x->features) == 0 &&
           memcmp(x->codes, y->codes, n * sizeof *x->codes) == 0 &&
           memcmp(x->counts, y->counts, n * sizeof *x->counts) == 0;
}

const char *ol_activation_difference(const struct ol_activation_content *a,
                                     const struct ol_activation_content *b)
{
    const char *what = ol_activation_run_difference(a, &b->info, &b->layout, &b->input);
    if (what != NULL)
        return what;
    if (strcmp(a->info.created, b->info.created) != 0 ||
        strcmp(a->info.command_line, b->info.command_line) != 0)
        return "command line or date";
    if (!same_offsets(a, b))
        return "place of the tables";
    if (a->list.n_checksums != b->list.n_checksums ||
        memcmp((const void *)a->list.checksums, (const void *)b->list.checksums,
               (size_t)a->list.n_checksums * sizeof(uint32_t)) != 0)
        return "list of checksums";
    if (!same_outliers(a, b))
        return "table of outliers";
    if (memcmp(&a->receipt, &b->receipt, sizeof a->receipt) != 0)
        return "receipt";
    return a->complete == b->complete ? NULL : "attribute complete";
}
