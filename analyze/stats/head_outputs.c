/* What heads of mixers put out, before the output projection: RMS and extremes of each
 * head over all tokens, from the table of mixed heads. */
#include "common/results/head_outputs.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/moments.h"
#include "analyze/sample.h"
#include "analyze/statistics.h"

enum { MOST_EXTREMES = 32 };

/* One head, over all files. */
struct head {
    int layer, head;
    struct ol_moments m;
};

struct heads {
    const struct ol_parts *parts;
    struct head *all; /* [n] layer by layer */
    int64_t n;
};

static double rms_of(const struct heads *s, const struct ol_moments *m, int64_t n_heads)
{
    return ol_moments_rms(m, n_heads, s->parts->n_tokens);
}

static void read_layer(struct heads *s, int i_layer)
{
    const struct ol_activation_layer *layer = &ol_parts_layout(s->parts)->layers[i_layer];
    const size_t n = (size_t)layer->n_mixed;
    double *rows = ol_xcalloc(n * OL_N_MIXED_COLUMNS, sizeof *rows);
    struct head *to = s->all + s->n;
    for (int h = 0; h < layer->n_mixed; h++)
        to[h] = (struct head){layer->number, h, ol_moments_new()};
    for (int64_t file = 0, sequence = 0; file < s->parts->n_files; file++) {
        ol_activation_copy(s->parts->files[file], OL_TABLE_MIXED_HEADS, i_layer, rows);
        for (size_t h = 0; h < n; h++)
            ol_moments_join(&to[h].m, rows + h * OL_N_MIXED_COLUMNS, OL_N_MIXED_COLUMNS,
                            sequence);
        sequence += ol_activation_layout(s->parts->files[file])->n_sequences;
    }
    s->n += layer->n_mixed;
    free(rows);
}

static void describe_layer(const struct heads *s, const struct head *all,
                           const struct ol_activation_layer *layer,
                           struct ol_head_output_layer *to, struct ol_arena *arena)
{
    struct ol_head_output *heads =
        ol_list_new(&to->heads, layer->n_mixed, sizeof *heads, arena);
    struct ol_moments sum = {.width = all->m.width};
    to->layer = layer->number;
    to->attention = layer->attention;
    to->width = (int64_t)all->m.width;
    to->largest = (double)NAN;
    for (int h = 0; h < layer->n_mixed; h++) {
        const struct ol_moments *m = &all[h].m;
        heads[h] = (struct ol_head_output){h, rms_of(s, m, 1), ol_moments_largest(m),
                                           ol_moments_max(m), ol_moments_min(m)};
        to->largest = fmax(to->largest, heads[h].largest);
        sum.squares += m->squares;
    }
    to->rms = rms_of(s, &sum, layer->n_mixed);
}

/* By falling magnitude, of equal ones in the order of layers and heads. */
static int compare(const void *x, const void *y)
{
    const struct head *a = x, *b = y;
    const double p = ol_moments_magnitude(&a->m), q = ol_moments_magnitude(&b->m);
    if (p != q)
        return p > q ? -1 : 1;
    return a->layer != b->layer ? (a->layer > b->layer) - (a->layer < b->layer)
                                : (a->head > b->head) - (a->head < b->head);
}

static void describe_extremes(const struct heads *s, struct ol_head_outputs *block,
                              struct ol_arena *arena)
{
    const int64_t n = s->n < MOST_EXTREMES ? s->n : (int64_t)MOST_EXTREMES;
    struct ol_head_extreme *to = ol_list_new(&block->extremes, n, sizeof *to, arena);
    block->extremes.n = 0;
    qsort(s->all, (size_t)s->n, sizeof *s->all, compare);
    for (int64_t i = 0; i < n; i++) {
        const struct head *h = &s->all[i];
        const struct ol_moments *m = &h->m;
        const bool up = m->max >= -m->min;
        const int64_t sequence = up ? m->max_sequence : m->min_sequence,
                      position = up ? m->max_position : m->min_position;
        if (sequence < 0)
            continue;
        to[block->extremes.n++] =
            (struct ol_head_extreme){h->layer,
                                     h->head,
                                     up ? ol_moments_max(m) : ol_moments_min(m),
                                     ol_moments_largest(m) / block->median_largest,
                                     ol_moments_largest(m) / rms_of(s, m, 1),
                                     ol_describe_place(s->parts, sequence, position)};
    }
}

static double median_of(const struct heads *s, bool of_rms)
{
    double *values = ol_xcalloc((size_t)s->n + 1, sizeof *values);
    for (int64_t i = 0; i < s->n; i++)
        values[i] =
            of_rms ? rms_of(s, &s->all[i].m, 1) : ol_moments_largest(&s->all[i].m);
    const double median = ol_weighted_median(values, NULL, s->n);
    free(values);
    return median;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_head_outputs *to = block;
    struct ol_head_output_layer *layers =
        ol_list_new(&to->layers, layout->n_layers, sizeof *layers, arena);
    struct heads s = {.parts = a->parts};
    size_t n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n += (size_t)layout->layers[l].n_mixed;
    s.all = ol_xcalloc(n + 1, sizeof *s.all);
    to->layers.n = 0;
    for (int l = 0; l < layout->n_layers; l++) {
        const struct head *all = s.all + s.n;
        if (layout->layers[l].n_mixed == 0)
            continue;
        read_layer(&s, l);
        if (all->m.width > 0)
            describe_layer(&s, all, &layout->layers[l], &layers[to->layers.n++], arena);
        else
            s.n -= layout->layers[l].n_mixed;
    }
    to->n_heads = s.n;
    to->median_rms = median_of(&s, true);
    to->median_largest = median_of(&s, false);
    describe_extremes(&s, to, arena);
    free(s.all);
    return to->layers.n > 0;
}

const struct ol_statistic ol_head_outputs_statistic = {.name = "head_outputs",
                                                       .results = results};
