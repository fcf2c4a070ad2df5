/* How the counts of LLM.int8() features depend on its three numbers: magnitude, share of
 * sites, share of positions. Every sequence is a batch of its own; a feature that
 * qualifies for a cell of the table qualifies for all that ask for less, so that each
 * (sequence, feature, threshold) is one corner of a staircase. Needs tensors.
 *
 * Thresholds are whole numbers below 256, whose bits as a float end in 16 zeros: values
 * are compared by their upper 16 bits, which loses nothing. */
#include <stdlib.h>
#include <string.h>

#include "analyze/statistics.h"
#include "common/magnitude.h"

enum { FIRST_THRESHOLD = 3, N_THRESHOLDS = 18, N_LAYER_STEPS = 20 };

static const double position_fractions[] = {0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08,
                                            0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50};
enum { N_POSITION_STEPS = sizeof position_fractions / sizeof position_fractions[0] };

struct sweep {
    const struct ol_analysis *a;
    size_t d_model;
    uint16_t least[N_THRESHOLDS]; /* upper bits of each threshold */
    uint16_t **largest;           /* [threads][stretches of d_model][OL_BLOCK_POSITIONS]
                                     [OL_STRETCH]: over the sites of the sequence at hand */
    uint16_t **column;            /* [threads][d_model]: of a site's stretch */
    /* Of all threads: they add to it whole numbers and maxima, in any order. */
    uint16_t *maxima;    /* [n_sequences][n_sites][d_model] */
    uint32_t *positions; /* [n_sequences][N_THRESHOLDS][d_model]: distinct positions */
};

/* A stretch of columns by the positions of a block. */
enum { PIECE = OL_BLOCK_POSITIONS * OL_STRETCH };

static size_t stretches(size_t d)
{
    return (d + OL_STRETCH - 1) / OL_STRETCH;
}

static void *begin(const struct ol_analysis *a)
{
    const size_t d = (size_t)ol_parts_layout(a->parts)->d_model;
    const size_t n = (size_t)a->parts->n_sequences, n_threads = (size_t)a->n_threads;
    struct sweep *s = ol_xcalloc(1, sizeof *s);
    s->a = a;
    s->d_model = d;
    if (a->from_summaries)
        return s;
    for (int t = 0; t < N_THRESHOLDS; t++)
        s->least[t] = (uint16_t)ol_least_bf16(FIRST_THRESHOLD + t);
    s->largest = ol_xcalloc(n_threads, sizeof *s->largest);
    s->column = ol_xcalloc(n_threads, sizeof *s->column);
    for (size_t i = 0; i < n_threads; i++) {
        s->largest[i] = ol_xcalloc(stretches(d) * PIECE, sizeof **s->largest);
        s->column[i] = ol_xcalloc(d, sizeof **s->column);
    }
    s->maxima = ol_xcalloc(n * (size_t)a->n_sites * d, sizeof *s->maxima);
    s->positions = ol_xcalloc(n * N_THRESHOLDS * d, sizeof *s->positions);
    return s;
}

static void end(void *state)
{
    struct sweep *s = state;
    for (int i = 0; s->largest != NULL && i < s->a->n_threads; i++) {
        free(s->largest[i]);
        free(s->column[i]);
    }
    free(s->largest);
    free(s->column);
    free(s->maxima);
    free(s->positions);
    free(s);
}

/* ---- gathering ---- */

/* Magnitudes of a row's stretch into the maxima so far, NaN left out. */
static inline void take_bf16(const uint16_t *restrict x, size_t n,
                             uint16_t *restrict largest, uint16_t *restrict column)
{
    for (size_t c = 0; c < n; c++) {
        uint16_t bits = x[c] & OL_BF16_MAGNITUDE;
        bits = bits > OL_BF16_INFINITY ? 0 : bits;
        largest[c] = bits > largest[c] ? bits : largest[c];
        column[c] = bits > column[c] ? bits : column[c];
    }
}

static inline void take_f32(const uint32_t *restrict x, size_t n,
                            uint16_t *restrict largest, uint16_t *restrict column)
{
    for (size_t c = 0; c < n; c++) {
        const uint32_t magnitude = x[c] & OL_F32_MAGNITUDE;
        const uint16_t bits =
            (uint16_t)(magnitude > OL_F32_INFINITY ? 0 : magnitude >> 16);
        largest[c] = bits > largest[c] ? bits : largest[c];
        column[c] = bits > column[c] ? bits : column[c];
    }
}

/* Columns [c, c + n) of a block; n is a constant where most calls are. Rows below every
 * threshold leave all as it is. */
static inline void take_stretch(const struct ol_block *b, size_t d, size_t c, size_t n,
                                uint16_t least, uint16_t *largest, uint16_t *column)
{
    const uint16_t *reached = b->found->stretches + c / OL_STRETCH;
    for (size_t row = 0; row < (size_t)b->n_rows; row++, largest += OL_STRETCH) {
        const size_t at = row * d + c;
        if (reached[row * b->found->n_stretches] < least)
            continue;
        if (b->dtype == OL_DTYPE_BF16)
            take_bf16((const uint16_t *)b->rows + at, n, largest, column);
        else
            take_f32((const uint32_t *)b->rows + at, n, largest, column);
    }
}

static void keep_maxima(struct sweep *s, const struct ol_block *b, const uint16_t *column)
{
    uint16_t *maxima =
        s->maxima +
        ((size_t)b->sequence * (size_t)s->a->n_sites + (size_t)b->site) * s->d_model;
    for (size_t f = 0; f < s->d_model; f++) {
        uint16_t before = __atomic_load_n(&maxima[f], __ATOMIC_RELAXED);
        while (column[f] > before &&
               !__atomic_compare_exchange_n(&maxima[f], &before, column[f], true,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        }
    }
}

/* How many of the rows [n_rows][OL_STRETCH] reach a threshold, column by column; whether
 * any does. reached [n_rows]: the largest of each row. */
static bool count_rows(const uint16_t *rows, const uint16_t *reached, int64_t n_rows,
                       uint16_t least, uint16_t counts[OL_STRETCH])
{
    bool any = false;
    memset(counts, 0, OL_STRETCH * sizeof *counts);
    for (int64_t row = 0; row < n_rows; row++, rows += OL_STRETCH) {
        if (reached[row] < least)
            continue;
        any = true;
        for (int c = 0; c < OL_STRETCH; c++)
            counts[c] = (uint16_t)(counts[c] + (rows[c] >= least));
    }
    return any;
}

static uint16_t largest_of(const uint16_t row[OL_STRETCH])
{
    uint16_t most = 0;
    for (int c = 0; c < OL_STRETCH; c++)
        most = row[c] > most ? row[c] : most;
    return most;
}

static void keep_positions(struct sweep *s, const struct ol_block *b,
                           const uint16_t *largest)
{
    const size_t d = s->d_model;
    uint32_t *positions = s->positions + (size_t)b->sequence * N_THRESHOLDS * d;
    for (size_t first = 0; first < d; first += OL_STRETCH, largest += PIECE) {
        uint16_t reached[OL_BLOCK_POSITIONS], counts[OL_STRETCH];
        for (int64_t row = 0; row < b->n_rows; row++)
            reached[row] = largest_of(largest + row * OL_STRETCH);
        /* Where nothing reaches a threshold, nothing reaches a larger one. */
        for (int t = 0; t < N_THRESHOLDS &&
                        count_rows(largest, reached, b->n_rows, s->least[t], counts);
             t++)
            for (size_t c = 0; c < OL_STRETCH && first + c < d; c++)
                if (counts[c] > 0)
                    __atomic_fetch_add(&positions[(size_t)t * d + first + c], counts[c],
                                       __ATOMIC_RELAXED);
    }
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct sweep *s = state;
    const size_t d = s->d_model;
    uint16_t *largest = s->largest[thread], *column = s->column[thread];
    memset(column, 0, d * sizeof *column);
    if (b->site == 0)
        memset(largest, 0, stretches(d) * PIECE * sizeof *largest);
    for (size_t c = 0; c < d; c += OL_STRETCH) {
        uint16_t *piece = largest + c / OL_STRETCH * PIECE;
        if (d - c >= OL_STRETCH)
            take_stretch(b, d, c, OL_STRETCH, s->least[0], piece, column + c);
        else
            take_stretch(b, d, c, d - c, s->least[0], piece, column + c);
    }
    keep_maxima(s, b, column);
    if (b->last_of_sequence)
        keep_positions(s, b, largest);
}

/* ---- the table ---- */

static double layer_fraction(int step)
{
    return (double)(step + 1) / N_LAYER_STEPS;
}

/* How many of the steps a (sequence, feature) reaches. */
static int layer_steps(const struct sweep *s, int64_t sequence, int threshold, size_t f)
{
    const uint16_t *maxima =
        s->maxima + (size_t)sequence * (size_t)s->a->n_sites * s->d_model + f;
    int n = 0, step = 0;
    for (int site = 0; site < s->a->n_sites; site++)
        n += maxima[(size_t)site * s->d_model] >= s->least[threshold];
    while (step < N_LAYER_STEPS &&
           (double)n / (double)s->a->n_sites >= layer_fraction(step))
        step++;
    return step;
}

static int position_steps(const struct sweep *s, int64_t sequence, int threshold,
                          size_t f)
{
    const uint32_t n =
        s->positions[((size_t)sequence * N_THRESHOLDS + (size_t)threshold) * s->d_model +
                     f];
    const double fraction = (double)n / (double)s->a->parts->lengths[sequence];
    int step = 0;
    while (step < N_POSITION_STEPS && fraction >= position_fractions[step])
        step++;
    return step;
}

struct table {
    int64_t pairs[N_LAYER_STEPS][N_POSITION_STEPS];
    int64_t unique[N_LAYER_STEPS][N_POSITION_STEPS];
};

static void add_feature(const struct sweep *s, int threshold, size_t f,
                        struct table *table)
{
    int reached[N_LAYER_STEPS] = {0}; /* position steps, in some sequence */
    for (int64_t i = 0; i < s->a->parts->n_sequences; i++) {
        const int positions = position_steps(s, i, threshold, f);
        const int layers = positions > 0 ? layer_steps(s, i, threshold, f) : 0;
        for (int l = 0; l < layers; l++) {
            for (int p = 0; p < positions; p++)
                table->pairs[l][p]++;
            reached[l] = positions > reached[l] ? positions : reached[l];
        }
    }
    for (int l = 0; l < N_LAYER_STEPS; l++)
        for (int p = 0; p < reached[l]; p++)
            table->unique[l][p]++;
}

static struct ol_json *describe(int64_t counts[N_LAYER_STEPS][N_POSITION_STEPS])
{
    struct ol_json *rows = ol_json_new_array();
    for (int l = 0; l < N_LAYER_STEPS; l++) {
        struct ol_json *row = ol_json_new_array();
        for (int p = 0; p < N_POSITION_STEPS; p++)
            ol_json_append(row, ol_json_new_int(counts[l][p]));
        ol_json_append(rows, row);
    }
    return rows;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    const struct sweep *s = state;
    if (a->from_summaries || a->n_sites == 0)
        return ol_json_new_null();
    struct ol_json *sweep = ol_json_new_object(), *thresholds = ol_json_new_array(),
                   *layers = ol_json_new_array(), *positions = ol_json_new_array(),
                   *pairs = ol_json_new_array(), *unique = ol_json_new_array();
    for (int t = 0; t < N_THRESHOLDS; t++) {
        struct table table = {0};
        for (size_t f = 0; f < s->d_model; f++)
            add_feature(s, t, f, &table);
        ol_json_append(thresholds, ol_json_new_int(FIRST_THRESHOLD + t));
        ol_json_append(pairs, describe(table.pairs));
        ol_json_append(unique, describe(table.unique));
    }
    for (int l = 0; l < N_LAYER_STEPS; l++)
        ol_json_append(layers, ol_json_new_real(layer_fraction(l)));
    for (int p = 0; p < N_POSITION_STEPS; p++)
        ol_json_append(positions, ol_json_new_real(position_fractions[p]));
    ol_json_set(sweep, "thresholds", thresholds);
    ol_json_set(sweep, "layer_fractions", layers);
    ol_json_set(sweep, "position_fractions", positions);
    ol_json_set(sweep, "pairs", pairs);
    ol_json_set(sweep, "unique", unique);
    return sweep;
}

const struct ol_statistic ol_sweep_statistic = {
    .name = "sweep", .begin = begin, .block = block, .end = end, .results = results};
