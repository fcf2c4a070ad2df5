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
#include "analyze/massive.h"

enum {
    MOST_PIECES = 40,
    MIN_TOKENS = 10, /* of a piece in the text: of fewer a rate says little */
};

static struct ol_json *real_or_null(double x)
{
    return isfinite(x) ? ol_json_new_real(x) : ol_json_new_null();
}

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
static void describe_lift(struct ol_json *entry, int64_t n_outliers, int64_t n_tokens,
                          const struct totals *all)
{
    const double share = ratio((double)n_outliers, (double)all->n_outliers),
                 base = ratio((double)n_tokens, (double)all->n_tokens);
    ol_json_set(entry, "share", real_or_null(share));
    ol_json_set(entry, "base_rate", real_or_null(base));
    ol_json_set(entry, "lift", real_or_null(ratio(share, base)));
}

static struct ol_json *describe_pieces(const struct ol_parts *parts,
                                       const struct piece *pieces, size_t n,
                                       const struct totals *all)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < n && ol_json_length(list) < MOST_PIECES; i++) {
        if (pieces[i].n_outliers == 0 || pieces[i].n_tokens < MIN_TOKENS)
            continue;
        struct ol_json *one = ol_json_new_object();
        ol_describe_token(one, parts, pieces[i].id);
        ol_json_set(one, "n_tokens", ol_json_new_int(pieces[i].n_tokens));
        ol_json_set(one, "n_outliers", ol_json_new_int(pieces[i].n_outliers));
        ol_json_set(one, "per_token", ol_json_new_real(per_token(&pieces[i])));
        describe_lift(one, pieces[i].n_outliers, pieces[i].n_tokens, all);
        ol_json_append(list, one);
    }
    return list;
}

static struct ol_json *share(int64_t n_outliers, int64_t n_tokens,
                             const struct totals *all)
{
    struct ol_json *one = ol_json_new_object();
    ol_json_set(one, "n", ol_json_new_int(n_outliers));
    ol_json_set(one, "n_tokens", ol_json_new_int(n_tokens));
    describe_lift(one, n_outliers, n_tokens, all);
    return one;
}

static struct ol_json *delimiters(const struct ol_parts *parts,
                                  const struct piece *pieces, size_t n,
                                  const struct totals *all)
{
    int64_t outliers = 0, tokens = 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = ol_describe_piece(parts, pieces[i].id);
        if (text == NULL)
            return ol_json_new_null(); /* ids without a tokenizer */
        if (!is_delimiter(text))
            continue;
        outliers += pieces[i].n_outliers;
        tokens += pieces[i].n_tokens;
    }
    return share(outliers, tokens, all);
}

/* ---- without some tokens ---- */

/* n_tokens: how many are marked. */
static struct ol_json *counts_without(const struct ol_analysis *a,
                                      const uint8_t *const *skip, int64_t n_tokens)
{
    struct ol_counts_without c;
    if (!ol_outlying_without(a, skip, &c))
        return ol_json_new_null();
    struct ol_json *one = ol_json_new_object();
    ol_json_set(one, "pairs", ol_json_new_int(c.pairs));
    ol_json_set(one, "unique", ol_json_new_int(c.unique));
    ol_json_set(one, "pooled", ol_json_new_int(c.pooled));
    ol_json_set(one, "n_tokens", ol_json_new_int(n_tokens));
    return one;
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

static struct ol_json *without_first(const struct ol_analysis *a)
{
    uint8_t **marks = new_marks(a->parts);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        marks[s][0] = 1;
    struct ol_json *one =
        counts_without(a, (const uint8_t *const *)marks, a->parts->n_sequences);
    free_marks(a->parts, marks);
    return one;
}

static struct ol_json *without_massive(const struct ol_analysis *a)
{
    struct ol_massive m;
    if (!ol_massive_find(a->parts, &ol_massive_default, &m))
        return ol_json_new_null();
    uint8_t **marks = new_marks(a->parts);
    int64_t n = 0;
    ol_massive_mark(&m, marks);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        for (int64_t p = 0; p < a->parts->lengths[s]; p++)
            n += marks[s][p];
    struct ol_json *one = counts_without(a, (const uint8_t *const *)marks, n);
    free_marks(a->parts, marks);
    ol_massive_clear(&m);
    return one;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    struct ol_outlying o;
    if (!ol_outlying_find(a, &o))
        return ol_json_new_null();
    struct totals all = {.n_tokens = a->parts->n_tokens};
    int64_t first = 0, places = 0;
    for (int64_t s = 0; s < a->parts->n_sequences; s++) {
        first += o.counts[s][0];
        for (int64_t p = 0; p < a->parts->lengths[s]; p++) {
            all.n_outliers += o.counts[s][p];
            places += o.counts[s][p] > 0;
        }
    }
    size_t n;
    struct piece *pieces = count_pieces(&o, &n);
    struct ol_json *block = ol_json_new_object();
    ol_json_set(block, "n_tokens", ol_json_new_int(all.n_tokens));
    ol_json_set(block, "n_positions", ol_json_new_int(places));
    ol_json_set(block, "n_outliers", ol_json_new_int(all.n_outliers));
    ol_json_set(block, "first_token", share(first, a->parts->n_sequences, &all));
    ol_json_set(block, "delimiters", delimiters(a->parts, pieces, n, &all));
    ol_json_set(block, "min_tokens", ol_json_new_int(MIN_TOKENS));
    ol_json_set(block, "pieces", describe_pieces(a->parts, pieces, n, &all));
    ol_json_set(block, "without_first", without_first(a));
    ol_json_set(block, "without_massive", without_massive(a));
    free(pieces);
    ol_outlying_clear(&o);
    return block;
}

const struct ol_statistic ol_tokens_statistic = {.name = "tokens", .results = results};
