/* In what two descriptions of a file differ. */
#include <string.h>

#include "common/activation_content.h"

static bool same_arms(const struct ol_activation_layout *a,
                      const struct ol_activation_layout *b)
{
    bool same = a->n_arms == b->n_arms;
    for (int i = 0; same && i < a->n_arms; i++)
        same = strcmp(a->arms[i], b->arms[i]) == 0 && a->left_out[i] == b->left_out[i];
    return same;
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
    if (have->n_sequences != layout->n_sequences)
        return "number of sequences";
    if (have->n_tokens != layout->n_tokens)
        return "length of the sequences";
    /* Arms have perplexities and summaries by themselves. */
    if (!same_arms(have, layout))
        return "choice of --ablate";
    if (have->nll != layout->nll)
        return "choice of --perplexity";
    if (have->summary != layout->summary)
        return "choice of summaries";
    if (have->threshold != layout->threshold)
        return "--threshold";
    const char *what = ol_activation_layers_difference(have, layout);
    if (what != NULL)
        return what;
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
    for (struct ol_table_place p = {0}; ol_tables_next(a, &p);)
        if (a->offsets[p.index] != NULL &&
            memcmp(a->offsets[p.index], b->offsets[p.index],
                   (size_t)ol_table_n_chunks(a, p.table) * sizeof(uint64_t)) != 0)
            return false;
    return true;
}

/* Those that are written when the file is sealed. */
static bool same_sealed(const struct ol_activation_content *a,
                        const struct ol_activation_content *b)
{
    if (a->outliers.n_values != b->outliers.n_values)
        return false;
    for (struct ol_table_place p = {0}; ol_tables_next(a, &p);) {
        if (ol_table_storage(p.table) != OL_STORED_SEALED)
            continue;
        const void *x = *ol_table_memory(a, p.table), *y = *ol_table_memory(b, p.table);
        if ((x == NULL) != (y == NULL) ||
            (x != NULL && memcmp(x, y, ol_table_memory_bytes(a, p.table)) != 0))
            return false;
    }
    return true;
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
    if (!same_sealed(a, b))
        return "table of outliers or arms";
    if (memcmp(&a->receipt, &b->receipt, sizeof a->receipt) != 0)
        return "receipt";
    return a->complete == b->complete ? NULL : "attribute complete";
}
