/* On which tokens the outlier features (features.h) have their occurrences, beside how
 * often these tokens are in the text: the first of a sequence, delimiters, which texts;
 * and what the LLM.int8() counts are without the first tokens and without tokens with a
 * massive activation, which many models give values of their own. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/outlying.h"
#include "analyze/findings.h"
#include "common/results/tokens.h"

enum {
    MOST_PIECES = 40,
    MIN_TOKENS = 10, /* of a piece in the text: of fewer a rate says little */
};

/* ---- by text ---- */

struct piece {
    int32_t id;
    int64_t n_tokens, n_outliers;
};

static double per_token(const struct piece *p)
{
    return (double)p->n_outliers / (double)p->n_tokens;
}

static int by_rate(const void *x, const void *y)
{
    const struct piece *a = x, *b = y;
    if (per_token(a) != per_token(b))
        return per_token(a) > per_token(b) ? -1 : 1;
    if (a->n_outliers != b->n_outliers)
        return a->n_outliers > b->n_outliers ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Nothing but punctuation and space, of ASCII; not empty. */
static bool is_delimiter(const char *piece)
{
    for (const char *c = piece; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80 ||
            !(ispunct((unsigned char)*c) || isspace((unsigned char)*c)))
            return false;
    return piece[0] != '\0';
}

/* Counts by id; [*n], the most outliers per token first. The caller frees. */
static struct piece *count_pieces(const struct ol_outlying *o, size_t *n)
{
    const struct ol_parts *parts = o->a->parts;
    struct ol_tally tokens = {0}, outliers = {0};
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++) {
            const uint64_t id = (uint64_t)ol_describe_token_id(parts, s, p);
            ol_tally_add(&tokens, id, 1);
            if (o->counts[s][p] > 0)
                ol_tally_add(&outliers, id, o->counts[s][p]);
        }
    struct ol_counted *all = ol_tally_sorted(&tokens), *out = ol_tally_sorted(&outliers);
    struct piece *pieces = ol_xcalloc(tokens.n, sizeof *pieces);
    for (size_t i = 0, k = 0; i < tokens.n; i++) {
        pieces[i] = (struct piece){(int32_t)all[i].key, all[i].n, 0};
        if (k < outliers.n && out[k].key == all[i].key)
            pieces[i].n_outliers = out[k++].n;
    }
    *n = tokens.n;
    if (*n > 0)
        qsort(pieces, *n, sizeof *pieces, by_rate);
    free(out);
    free(all);
    ol_tally_clear(&outliers);
    ol_tally_clear(&tokens);
    return pieces;
}

/* Of the whole text. */
struct totals {
    int64_t n_tokens, n_outliers;
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : (double)NAN;
}

/* Their share of the outliers, of the tokens, and the one by the other. */
static void describe_lift(int64_t n_outliers, int64_t n_tokens, const struct totals *all,
                          struct ol_token_lift *to)
{
    to->share = ratio((double)n_outliers, (double)all->n_outliers);
    to->base_rate = ratio((double)n_tokens, (double)all->n_tokens);
    to->lift = ratio(to->share, to->base_rate);
}

static void describe_pieces(const struct ol_parts *parts, const struct piece *pieces,
                            size_t n, const struct totals *all, struct ol_tokens *block,
                            struct ol_arena *arena)
{
    struct ol_token_piece *to =
        ol_list_new(&block->pieces, MOST_PIECES, sizeof *to, arena);
    int64_t listed = 0;
    for (size_t i = 0; i < n && listed < MOST_PIECES; i++) {
        if (pieces[i].n_outliers == 0 || pieces[i].n_tokens < MIN_TOKENS)
            continue;
        to[listed] =
            (struct ol_token_piece){.token = ol_describe_token(parts, pieces[i].id),
                                    .n_tokens = pieces[i].n_tokens,
                                    .n_outliers = pieces[i].n_outliers,
                                    .per_token = per_token(&pieces[i])};
        describe_lift(pieces[i].n_outliers, pieces[i].n_tokens, all, &to[listed++].lift);
    }
    block->min_tokens = MIN_TOKENS;
    block->pieces.n = listed;
}

static struct ol_token_share *share(int64_t n_outliers, int64_t n_tokens,
                                    const struct totals *all, struct ol_arena *arena)
{
    struct ol_token_share *share = ol_arena_calloc(arena, 1, sizeof *share);
    *share = (struct ol_token_share){.n = n_outliers, .n_tokens = n_tokens};
    describe_lift(n_outliers, n_tokens, all, &share->lift);
    return share;
}

static struct ol_token_share *delimiters(const struct ol_parts *parts,
                                         const struct piece *pieces, size_t n,
                                         const struct totals *all, struct ol_arena *arena)
{
    int64_t outliers = 0, tokens = 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = ol_describe_token(parts, pieces[i].id).piece;
        if (text == NULL)
            return NULL; /* ids without a tokenizer */
        if (!is_delimiter(text))
            continue;
        outliers += pieces[i].n_outliers;
        tokens += pieces[i].n_tokens;
    }
    return share(outliers, tokens, all, arena);
}

/* ---- without some tokens ---- */

/* n_tokens: how many are marked. */
static struct ol_token_counts *counts_without(const struct ol_analysis *a,
                                              const uint8_t *const *skip,
                                              int64_t n_tokens, struct ol_arena *arena)
{
    struct ol_counts_without c;
    if (!ol_outlying_without(a, skip, &c))
        return NULL;
    struct ol_token_counts *counts = ol_arena_calloc(arena, 1, sizeof *counts);
    *counts = (struct ol_token_counts){c.pairs, c.unique, c.pooled, n_tokens};
    return counts;
}

static uint8_t **new_marks(const struct ol_parts *parts)
{
    uint8_t **marks = ol_xcalloc((size_t)parts->n_sequences, sizeof *marks);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        marks[s] = ol_xcalloc((size_t)parts->lengths[s], 1);
    return marks;
}

static void free_marks(const struct ol_parts *parts, uint8_t **marks)
{
    for (int64_t s = 0; s < parts->n_sequences; s++)
        free(marks[s]);
    free(marks);
}

static struct ol_token_counts *without_first(const struct ol_analysis *a,
                                             struct ol_arena *arena)
{
    uint8_t **marks = new_marks(a->parts);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        marks[s][0] = 1;
    struct ol_token_counts *counts =
        counts_without(a, (const uint8_t *const *)marks, a->parts->n_sequences, arena);
    free_marks(a->parts, marks);
    return counts;
}

static struct ol_token_counts *without_massive(const struct ol_analysis *a,
                                               struct ol_arena *arena)
{
    const struct ol_massive *m = ol_findings_massive(a);
    if (m == NULL)
        return NULL;
    uint8_t **marks = new_marks(a->parts);
    int64_t n = 0;
    ol_massive_mark(m, marks);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        for (int64_t p = 0; p < a->parts->lengths[s]; p++)
            n += marks[s][p];
    struct ol_token_counts *counts =
        counts_without(a, (const uint8_t *const *)marks, n, arena);
    free_marks(a->parts, marks);
    return counts;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_outlying o;
    struct ol_tokens *to = block;
    if (!ol_outlying_find(a, &o))
        return false;
    struct totals all = {.n_tokens = a->parts->n_tokens};
    int64_t first = 0;
    for (int64_t s = 0; s < a->parts->n_sequences; s++) {
        first += o.counts[s][0];
        for (int64_t p = 0; p < a->parts->lengths[s]; p++) {
            all.n_outliers += o.counts[s][p];
            to->n_positions += o.counts[s][p] > 0;
        }
    }
    size_t n;
    struct piece *pieces = count_pieces(&o, &n);
    to->n_tokens = all.n_tokens;
    to->n_outliers = all.n_outliers;
    to->first_token = share(first, a->parts->n_sequences, &all, arena);
    to->delimiters = delimiters(a->parts, pieces, n, &all, arena);
    describe_pieces(a->parts, pieces, n, &all, to, arena);
    to->without_first = without_first(a, arena);
    to->without_massive = without_massive(a, arena);
    free(pieces);
    ol_outlying_clear(&o);
    return true;
}

const struct ol_statistic ol_tokens_statistic = {.name = "tokens", .results = results};
