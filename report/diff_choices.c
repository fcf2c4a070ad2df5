#include "report/diff_choices.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Share of the tokens from which on more than a rounding here and there is at work. */
static const double noticeable = 0.01;

static bool same_tokens(const struct ol_choices *a, const struct ol_choices *b)
{
    const struct ol_choice_token *x = a->tokens.items, *y = b->tokens.items;
    if (a->tokens.n != b->tokens.n || a->seed != b->seed)
        return false;
    for (int64_t i = 0; i < a->tokens.n; i++)
        if (x[i].sequence != y[i].sequence || x[i].position != y[i].position ||
            x[i].token_id != y[i].token_id)
            return false;
    return a->tokens.n > 0;
}

static const struct ol_choice_layer *find_layer(const struct ol_choices *c, int64_t layer,
                                                int64_t top_k)
{
    const struct ol_choice_layer *layers = c->layers.items;
    for (int64_t i = 0; i < c->layers.n; i++)
        if (layers[i].layer == layer && layers[i].top_k == top_k)
            return &layers[i];
    return NULL;
}

/* No expert is like no other, itself excepted. */
static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool is_among(double expert, const double *experts, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        if (same(experts[k], expert))
            return true;
    return false;
}

static struct ol_diff_flips compare(const struct ol_choices *c,
                                    const struct ol_choice_layer *a,
                                    const struct ol_choice_layer *b)
{
    const struct ol_choice_token *tokens = c->tokens.items;
    const int64_t k = a->top_k;
    struct ol_diff_flips flips = {.layer = a->layer, .top_k = k};
    double all = 0;
    for (int64_t t = 0; t < c->tokens.n; t++) {
        const double *x = a->experts.items + t * k, *y = b->experts.items + t * k,
                     weight = (double)tokens[t].weight;
        int64_t n_slots = 0, n_gone = 0;
        for (int64_t i = 0; i < k; i++) {
            n_slots += !same(x[i], y[i]);
            n_gone += !is_among(x[i], y, k);
        }
        all += weight;
        flips.slots += weight * (double)n_slots / (double)k;
        flips.choices += weight * (double)n_gone / (double)k;
        flips.sets += n_gone > 0 ? weight : 0;
    }
    flips.slots /= all;
    flips.choices /= all;
    flips.sets /= all;
    return flips;
}

char *ol_diff_flips(const struct ol_report_results *a, const struct ol_report_results *b,
                    struct ol_diff_flips *flips, int64_t *n)
{
    const struct ol_choices *x = a->blocks.choices, *y = b->blocks.choices;
    *n = 0;
    if (x == NULL || y == NULL)
        return ol_xstrdup("One of the results has no choices of routers.");
    if (x->n_experts != y->n_experts)
        return ol_xasprintf("Choices cannot be compared: %" PRId64
                            " experts in A, %" PRId64 " in B.",
                            x->n_experts, y->n_experts);
    if (!same_tokens(x, y))
        return ol_xstrdup("Choices cannot be compared: A and B are over other tokens.");
    const struct ol_choice_layer *layers = x->layers.items;
    for (int64_t i = 0; i < x->layers.n; i++) {
        const struct ol_choice_layer *other =
            find_layer(y, layers[i].layer, layers[i].top_k);
        if (other != NULL)
            flips[(*n)++] = compare(x, &layers[i], other);
    }
    return *n > 0 ? NULL
                  : ol_xstrdup("Choices cannot be compared: A and B have no layer with "
                               "as many choices in common.");
}

static struct ol_diff_flips *new_flips(const struct ol_report_results *a)
{
    const struct ol_choices *c = a->blocks.choices;
    return ol_xcalloc((size_t)(c != NULL ? c->layers.n : 0) + 1,
                      sizeof(struct ol_diff_flips));
}

/* " from layer 3 on (1.6 % of the tokens there)", of the first layer that reaches a
 * share; the caller frees. */
static char *from_layer(const struct ol_diff_flips *flips, int64_t n, double share)
{
    for (int64_t i = 0; i < n; i++)
        if (flips[i].sets > 0 && flips[i].sets >= share)
            return ol_xasprintf("layer %" PRId64 " (%.3g %% of the tokens)",
                                flips[i].layer, 100 * flips[i].sets);
    return ol_xstrdup("no layer");
}

static char *describe(const struct ol_report_results *a,
                      const struct ol_diff_flips *flips, int64_t n)
{
    double slots = 0, choices = 0, sets = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        slots += flips[i].slots / (double)n;
        choices += flips[i].choices / (double)n;
        sets += flips[i].sets / (double)n;
        worst = flips[i].sets > flips[worst].sets ? i : worst;
    }
    if (sets == 0)
        return ol_xasprintf(
            "All choices are the same%s, of %" PRId64 " tokens at %" PRId64 " layers.",
            slots > 0 ? " but for their order" : "", a->blocks.choices->tokens.n, n);
    char *
        first = from_layer(flips, n, 0),
       *begin = from_layer(flips, n, noticeable),
       *text = ol_xasprintf(
           "Of %" PRId64 " tokens, over %" PRId64
           " layers: %.3g %% of the choices are of an expert that B does not choose, "
           "%.3g %% of the slots hold another one, and %.3g %% of the tokens have "
           "another "
           "set of experts. The first that have stand at %s; 1 %% or more at %s; most at "
           "layer %" PRId64 " (%.3g %%).",
           a->blocks.choices->tokens.n, n, 100 * choices, 100 * slots, 100 * sets, first,
           begin, flips[worst].layer, 100 * flips[worst].sets);
    free(begin);
    free(first);
    return text;
}

char *ol_diff_flips_sentence(const struct ol_report_results *a,
                             const struct ol_report_results *b)
{
    struct ol_diff_flips *flips = new_flips(a);
    int64_t n;
    char *text = ol_diff_flips(a, b, flips, &n);
    if (text == NULL)
        text = describe(a, flips, n);
    free(flips);
    return text;
}

static const struct ol_column columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"choices", "choices gone, %", OL_COLUMN_PERCENT},
    {"slots", "slots that hold another, %", OL_COLUMN_PERCENT},
    {"sets", "tokens with another set, %", OL_COLUMN_PERCENT},
    {0}};

struct ol_grid *ol_diff_flips_grid(const struct ol_report_results *a,
                                   const struct ol_report_results *b)
{
    struct ol_diff_flips *flips = new_flips(a);
    struct ol_grid *g = ol_grid_new(columns);
    int64_t n;
    free(ol_diff_flips(a, b, flips, &n));
    for (int64_t i = 0; i < n; i++) {
        ol_grid_int(g, flips[i].layer);
        ol_grid_real(g, flips[i].choices);
        ol_grid_real(g, flips[i].slots);
        ol_grid_real(g, flips[i].sets);
    }
    free(flips);
    return g;
}
