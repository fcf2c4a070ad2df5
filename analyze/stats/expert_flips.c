/* Which choices of routers change when the router's input is rounded to fewer bits, from
 * what was chosen for a sample of rows as they are and in each format (ol-activations.5).
 * Both come out of one product, so that nothing but the rounding differs. */
#include "common/results/expert_flips.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/kept_rows.h"
#include "analyze/statistics.h"
#include "common/round_row.h"

/* All but the row as it is. */
enum { N_METHODS = OL_N_ROW_FORMATS - 1 };
/* Share of the tokens from which on more than a rounding here and there is at work. */
static const double noticeable = 0.01;

struct flips {
    double choices[N_METHODS], slots[N_METHODS], sets[N_METHODS], weight;
};

static bool is_among(uint16_t expert, const uint16_t *experts, int n)
{
    for (int k = 0; k < n; k++)
        if (experts[k] == expert)
            return true;
    return false;
}

/* choices [OL_N_ROW_FORMATS, top_k] of one row. */
static void add_row(const uint16_t *choices, int top_k, double weight, struct flips *to)
{
    to->weight += weight;
    for (int m = 0; m < N_METHODS; m++) {
        const uint16_t *rounded = choices + (size_t)(m + 1) * (size_t)top_k;
        int n_slots = 0, n_gone = 0;
        for (int k = 0; k < top_k; k++) {
            n_slots += rounded[k] != choices[k];
            n_gone += !is_among(choices[k], rounded, top_k);
        }
        to->slots[m] += weight * n_slots / top_k;
        to->choices[m] += weight * n_gone / top_k;
        to->sets[m] += n_gone > 0 ? weight : 0;
    }
}

/* A row's choices in the file. */
static void read_row(const struct ol_parts *parts, int i_layer,
                     const struct ol_kept_row *row, size_t n, uint16_t *choices)
{
    const char *from =
        ol_activation_get(parts->files[row->file], OL_TABLE_ROUNDED_CHOICES, i_layer, 0);
    memcpy(choices, from + (size_t)row->slot * n * sizeof *choices, n * sizeof *choices);
}

/* Tokens of each kind, of all sequences. */
static void count_tokens(const struct ol_parts *parts, double tokens[OL_N_KEPT_KINDS])
{
    for (int64_t s = 0; s < parts->n_sequences; s++)
        tokens[OL_KEPT_FIRST] += parts->lengths[s] > 0;
    tokens[OL_KEPT_OTHERS] = (double)parts->n_tokens - tokens[OL_KEPT_FIRST];
}

static double share_of(double sum, double all)
{
    return all > 0 ? fmin(sum / all, 1) : (double)NAN;
}

static void describe_layer(const struct ol_parts *parts, int i_layer,
                           struct ol_expert_flips *block, struct ol_flip_layer *to,
                           struct ol_arena *arena)
{
    const struct ol_activation_layer *layer = &ol_parts_layout(parts)->layers[i_layer];
    const struct ol_kept_rows of = {parts, OL_TABLE_ROUNDED_SAMPLE, i_layer, 0,
                                    (size_t)layer->n_rounded};
    const size_t n_choices = OL_N_ROW_FORMATS * (size_t)layer->top_k,
                 room = of.n_sampled * (size_t)parts->n_files;
    struct ol_kept_row *list = ol_xcalloc(room, sizeof *list);
    const size_t n = ol_kept_rows_list(&of, list);
    int64_t *weights = ol_xcalloc(n + 1, sizeof *weights);
    uint16_t *choices = ol_xcalloc(n_choices, sizeof *choices);
    double tokens[OL_N_KEPT_KINDS] = {0, 0};
    struct flips flips = {{0}, {0}, {0}, 0};
    count_tokens(parts, tokens);
    ol_kept_rows_weigh(list, n, tokens, weights);
    int64_t n_first = 0;
    for (size_t i = 0; i < n; i++) {
        n_first += ol_kept_row_kind(&list[i]) == OL_KEPT_FIRST;
        read_row(parts, i_layer, &list[i], n_choices, choices);
        add_row(choices, layer->top_k, (double)weights[i], &flips);
    }
    if ((int64_t)n > block->sample_tokens) {
        block->sample_tokens = (int64_t)n;
        block->sample_first = n_first;
    }
    to->layer = layer->number;
    to->top_k = layer->top_k;
    double *all[] = {ol_reals_new(&to->choices, N_METHODS, arena),
                     ol_reals_new(&to->slots, N_METHODS, arena),
                     ol_reals_new(&to->sets, N_METHODS, arena)};
    for (int m = 0; m < N_METHODS; m++) {
        all[0][m] = share_of(flips.choices[m], flips.weight);
        all[1][m] = share_of(flips.slots[m], flips.weight);
        all[2][m] = share_of(flips.sets[m], flips.weight);
    }
    free(choices);
    free(weights);
    free(list);
}

/* Of one method over all layers. */
static void describe_method(const struct ol_expert_flips *block, int m,
                            struct ol_flip_method *to)
{
    const struct ol_flip_layer *layers = block->layers.items;
    double choices = 0, slots = 0, sets = 0, n = 0;
    *to =
        (struct ol_flip_method){.format = ol_row_format_name((enum ol_row_format)(m + 1)),
                                .first_layer = OL_ABSENT,
                                .begin_layer = OL_ABSENT,
                                .worst_layer = OL_ABSENT,
                                .worst = (double)NAN};
    for (int64_t l = 0; l < block->layers.n; l++) {
        const double share = layers[l].sets.items[m];
        if (isnan(share))
            continue;
        n++;
        choices += layers[l].choices.items[m];
        slots += layers[l].slots.items[m];
        sets += share;
        if (to->first_layer == OL_ABSENT && share > 0)
            to->first_layer = layers[l].layer;
        if (to->begin_layer == OL_ABSENT && share >= noticeable)
            to->begin_layer = layers[l].layer;
        if (isnan(to->worst) || share > to->worst) {
            to->worst = share;
            to->worst_layer = share > 0 ? layers[l].layer : OL_ABSENT;
        }
    }
    to->choices = share_of(choices, n);
    to->slots = share_of(slots, n);
    to->sets = share_of(sets, n);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_expert_flips *to = block;
    struct ol_flip_layer *layers =
        ol_list_new(&to->layers, layout->n_layers, sizeof *layers, arena);
    struct ol_flip_method *methods =
        ol_list_new(&to->methods, N_METHODS, sizeof *methods, arena);
    to->min_share = noticeable;
    to->layers.n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        if (layout->layers[l].n_rounded > 0)
            describe_layer(a->parts, l, to, &layers[to->layers.n++], arena);
    for (int m = 0; m < N_METHODS; m++)
        describe_method(to, m, &methods[m]);
    return to->layers.n > 0;
}

const struct ol_statistic ol_expert_flips_statistic = {.name = "expert_flips",
                                                       .results = results};
