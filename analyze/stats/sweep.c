/* How the counts of LLM.int8() features depend on its three numbers: magnitude, share of
 * sites, share of positions. Every sequence is a batch of its own; a feature that
 * qualifies for a cell of the table qualifies for all that ask for less, so that each
 * (sequence, feature, threshold) is one corner of a staircase. Needs tensors.
 *
 * Thresholds are whole numbers below 256, whose bits as a float end in 16 zeros: values
 * are compared by their upper 16 bits, which loses nothing. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/statistics.h"
#include "common/magnitude.h"
#include "common/results/sweep.h"

enum { FIRST_THRESHOLD = 3, N_THRESHOLDS = 18, N_LAYER_STEPS = 20 };

static const double position_fractions[] = {0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08,
                                            0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50};
enum { N_POSITION_STEPS = sizeof position_fractions / sizeof position_fractions[0] };

struct sweep {
    const struct ol_analysis *a;
    size_t d_model;
    uint16_t least[N_THRESHOLDS]; /* upper bits of each threshold */
    uint16_t **largest; /* [threads][OL_STRETCH_POSITIONS][d_model]: over the sites of the
                           sequence at hand */
    uint16_t **column;  /* [threads][d_model]: over the positions of a site */
    /* Of all threads: they add to it whole numbers and maxima, in any order, one at a
     * time. */
    pthread_mutex_t mutex;
    uint16_t *maxima;    /* [n_sequences][n_sites][d_model] */
    uint32_t *positions; /* [n_sequences][N_THRESHOLDS][d_model]: distinct positions */
};

static void *begin(const struct ol_analysis *a)
{
    const size_t d = (size_t)ol_parts_layout(a->parts)->d_model;
    const size_t n = (size_t)a->parts->n_sequences, n_threads = (size_t)a->n_threads;
    struct sweep *s = ol_xcalloc(1, sizeof *s);
    s->a = a;
    s->d_model = d;
    pthread_mutex_init(&s->mutex, NULL);
    if (a->from_summaries)
        return s;
    for (int t = 0; t < N_THRESHOLDS; t++)
        s->least[t] = (uint16_t)ol_least_bf16(FIRST_THRESHOLD + t);
    s->largest = ol_xcalloc(n_threads, sizeof *s->largest);
    s->column = ol_xcalloc(n_threads, sizeof *s->column);
    for (size_t i = 0; i < n_threads; i++) {
        s->largest[i] = ol_xcalloc(OL_STRETCH_POSITIONS * d, sizeof **s->largest);
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
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* ---- gathering ---- */

/* Upper bits of the magnitudes of n rows into the maxima so far, NaN left out, which few
 * blocks have. Several rows at a time, so that `column` is loaded and stored less often.
 */
static inline void take_bf16(const uint16_t *restrict x, size_t d, size_t n, bool any_nan,
                             uint16_t *restrict largest, uint16_t *restrict column)
{
    for (size_t c = 0; c < d; c++) {
        uint16_t top = column[c];
        for (size_t row = 0; row < n; row++) {
            uint16_t *so_far = &largest[row * d + c];
            uint16_t bits = x[row * d + c] & OL_BF16_MAGNITUDE;
            bits = any_nan && bits > OL_BF16_INFINITY ? 0 : bits;
            *so_far = bits > *so_far ? bits : *so_far;
            top = bits > top ? bits : top;
        }
        column[c] = top;
    }
}

static inline void take_f32(const uint32_t *restrict x, size_t d, size_t n, bool any_nan,
                            uint16_t *restrict largest, uint16_t *restrict column)
{
    for (size_t c = 0; c < d; c++) {
        uint16_t top = column[c];
        for (size_t row = 0; row < n; row++) {
            uint16_t *so_far = &largest[row * d + c];
            const uint32_t magnitude = x[row * d + c] & OL_F32_MAGNITUDE;
            const uint16_t bits =
                (uint16_t)(any_nan && magnitude > OL_F32_INFINITY ? 0 : magnitude >> 16);
            *so_far = bits > *so_far ? bits : *so_far;
            top = bits > top ? bits : top;
        }
        column[c] = top;
    }
}

/* n rows of a block from `row` on; n and any_nan are constants where it is called. */
static inline void take(const struct ol_block *b, size_t d, size_t row, size_t n,
                        bool any_nan, uint16_t *largest, uint16_t *column)
{
    if (b->dtype == OL_DTYPE_BF16)
        take_bf16((const uint16_t *)b->rows + row * d, d, n, any_nan, largest + row * d,
                  column);
    else
        take_f32((const uint32_t *)b->rows + row * d, d, n, any_nan, largest + row * d,
                 column);
}

/* largest [n_rows, d]. */
static void take_rows(const struct ol_block *b, size_t d, uint16_t *largest,
                      uint16_t *column)
{
    const size_t n = (size_t)b->n_rows;
    size_t row = 0;
    if (b->found->n_nan > 0)
        for (; row < n; row++)
            take(b, d, row, 1, true, largest, column);
    for (; row + 4 <= n; row += 4)
        take(b, d, row, 4, false, largest, column);
    for (; row < n; row++)
        take(b, d, row, 1, false, largest, column);
}

static void keep_maxima(struct sweep *s, const struct ol_block *b,
                        const uint16_t *restrict column)
{
    uint16_t *restrict maxima =
        s->maxima +
        ((size_t)b->sequence * (size_t)s->a->n_sites + (size_t)b->site) * s->d_model;
    pthread_mutex_lock(&s->mutex);
    for (size_t f = 0; f < s->d_model; f++)
        maxima[f] = column[f] > maxima[f] ? column[f] : maxima[f];
    pthread_mutex_unlock(&s->mutex);
}

/* So many features are counted together: their maxima stay in the nearest cache. */
enum { GROUP = 64 };

struct group {
    uint16_t rows[OL_STRETCH_POSITIONS][GROUP];
    uint16_t counts[N_THRESHOLDS][GROUP];
};

/* How many of the rows reach each threshold, feature by feature; returns how many of the
 * thresholds are reached at all: where nothing reaches one, nothing reaches a larger. */
static int count_rows(const struct sweep *s, struct group *g, int64_t n_rows)
{
    uint16_t any = 1;
    int t = 0;
    for (; t < N_THRESHOLDS && any != 0; t++) {
        uint16_t counts[GROUP] = {0};
        for (int64_t row = 0; row < n_rows; row++)
            for (int c = 0; c < GROUP; c++)
                counts[c] = (uint16_t)(counts[c] + (g->rows[row][c] >= s->least[t]));
        any = 0;
        for (int c = 0; c < GROUP; c++)
            any |= counts[c];
        memcpy(g->counts[t], counts, sizeof counts);
    }
    return t;
}

static void keep_positions(struct sweep *s, const struct ol_block *b,
                           const uint16_t *largest)
{
    const size_t d = s->d_model;
    uint32_t *positions = s->positions + (size_t)b->sequence * N_THRESHOLDS * d;
    struct group g = {{{0}}, {{0}}};
    for (size_t first = 0; first < d; first += GROUP) {
        const size_t n = d - first < GROUP ? d - first : GROUP;
        if (n < GROUP)
            memset(g.rows, 0, sizeof g.rows);
        for (int64_t row = 0; row < b->n_positions; row++)
            memcpy(g.rows[row], largest + (size_t)row * d + first, n * sizeof *largest);
        const int n_reached = count_rows(s, &g, b->n_positions);
        pthread_mutex_lock(&s->mutex);
        for (int t = 0; t < n_reached; t++)
            for (size_t c = 0; c < n; c++)
                positions[(size_t)t * d + first + c] += g.counts[t][c];
        pthread_mutex_unlock(&s->mutex);
    }
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct sweep *s = state;
    const size_t d = s->d_model;
    uint16_t *largest = s->largest[thread], *column = s->column[thread];
    if (b->first_row == 0)
        memset(column, 0, d * sizeof *column);
    if (b->first_row == 0 && b->site == 0)
        memset(largest, 0, OL_STRETCH_POSITIONS * d * sizeof *largest);
    take_rows(b, d, largest + (size_t)b->first_row * d, column);
    if (b->last_of_site)
        keep_maxima(s, b, column);
    if (b->last_of_sequence)
        keep_positions(s, b, largest);
}

/* ---- the table ---- */

static double layer_fraction(int step)
{
    return (double)(step + 1) / N_LAYER_STEPS;
}

/* How many sites of a sequence have a value that reaches each threshold. */
static void count_sites(const struct sweep *s, int64_t sequence, size_t f,
                        int sites[N_THRESHOLDS])
{
    const size_t n_sites = (size_t)s->a->n_sites;
    const uint16_t *maxima = s->maxima + (size_t)sequence * n_sites * s->d_model + f;
    for (int t = 0; t < N_THRESHOLDS; t++)
        sites[t] = 0;
    for (size_t site = 0; site < n_sites; site++)
        for (int t = 0; t < N_THRESHOLDS; t++)
            sites[t] += maxima[site * s->d_model] >= s->least[t];
}

/* How many of the steps such a share reaches. */
static int layer_steps(const struct sweep *s, int n_sites)
{
    int step = 0;
    while (step < N_LAYER_STEPS &&
           (double)n_sites / (double)s->a->n_sites >= layer_fraction(step))
        step++;
    return step;
}

static int position_steps(const struct sweep *s, int64_t sequence, uint32_t positions)
{
    const double fraction = (double)positions / (double)s->a->parts->lengths[sequence];
    int step = 0;
    while (step < N_POSITION_STEPS && fraction >= position_fractions[step])
        step++;
    return step;
}

struct table {
    int64_t pairs[N_LAYER_STEPS][N_POSITION_STEPS];
    int64_t unique[N_LAYER_STEPS][N_POSITION_STEPS];
};

/* A feature, into the tables of all thresholds. */
static void add_feature(const struct sweep *s, size_t f, struct table *tables)
{
    int reached[N_THRESHOLDS][N_LAYER_STEPS] = {{0}}; /* steps, in some sequence */
    for (int64_t i = 0; i < s->a->parts->n_sequences; i++) {
        const uint32_t *n_positions =
            s->positions + (size_t)i * N_THRESHOLDS * s->d_model + f;
        int n_sites[N_THRESHOLDS];
        if (n_positions[0] == 0)
            continue;
        count_sites(s, i, f, n_sites);
        for (int t = 0; t < N_THRESHOLDS && n_sites[t] > 0; t++) {
            const int positions =
                          position_steps(s, i, n_positions[(size_t)t * s->d_model]),
                      layers = positions > 0 ? layer_steps(s, n_sites[t]) : 0;
            for (int l = 0; l < layers; l++) {
                for (int p = 0; p < positions; p++)
                    tables[t].pairs[l][p]++;
                reached[t][l] = positions > reached[t][l] ? positions : reached[t][l];
            }
        }
    }
    for (int t = 0; t < N_THRESHOLDS; t++)
        for (int l = 0; l < N_LAYER_STEPS; l++)
            for (int p = 0; p < reached[t][l]; p++)
                tables[t].unique[l][p]++;
}

struct tables {
    const struct sweep *s;
    struct table (*of_thread)[N_THRESHOLDS];
};

static void add_group(void *arg, int64_t i, int thread)
{
    struct tables *t = arg;
    const size_t first = (size_t)i * GROUP, left = t->s->d_model - first;
    for (size_t f = first; f < first + (left < GROUP ? left : GROUP); f++)
        add_feature(t->s, f, t->of_thread[thread]);
}

/* Into those of the first thread. */
static struct table *add_up(struct tables *t)
{
    struct table *sums = t->of_thread[0];
    for (int thread = 1; thread < t->s->a->n_threads; thread++)
        for (int i = 0; i < N_THRESHOLDS; i++)
            for (int l = 0; l < N_LAYER_STEPS; l++)
                for (int p = 0; p < N_POSITION_STEPS; p++) {
                    sums[i].pairs[l][p] += t->of_thread[thread][i].pairs[l][p];
                    sums[i].unique[l][p] += t->of_thread[thread][i].unique[l][p];
                }
    return sums;
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct sweep *s = state;
    struct ol_sweep *to = block;
    enum { N_CELLS = N_LAYER_STEPS * N_POSITION_STEPS };
    if (a->from_summaries || a->n_sites == 0)
        return false;
    struct tables all = {s, ol_xcalloc((size_t)a->n_threads, sizeof *all.of_thread)};
    ol_pool_run(a->pool, (int64_t)((s->d_model + GROUP - 1) / GROUP), add_group, &all);
    const struct table *tables = add_up(&all);
    double *thresholds = ol_reals_new(&to->thresholds, N_THRESHOLDS, arena),
           *layers = ol_reals_new(&to->layer_fractions, N_LAYER_STEPS, arena),
           *positions = ol_reals_new(&to->position_fractions, N_POSITION_STEPS, arena),
           *pairs = ol_reals_new(&to->pairs, N_THRESHOLDS * N_CELLS, arena),
           *unique = ol_reals_new(&to->unique, N_THRESHOLDS * N_CELLS, arena);
    for (int t = 0; t < N_THRESHOLDS; t++)
        thresholds[t] = FIRST_THRESHOLD + t;
    for (int l = 0; l < N_LAYER_STEPS; l++)
        layers[l] = layer_fraction(l);
    for (int p = 0; p < N_POSITION_STEPS; p++)
        positions[p] = position_fractions[p];
    for (int i = 0; i < N_THRESHOLDS * N_CELLS; i++) {
        const struct table *t = &tables[i / N_CELLS];
        const int l = i % N_CELLS / N_POSITION_STEPS, p = i % N_POSITION_STEPS;
        pairs[i] = (double)t->pairs[l][p];
        unique[i] = (double)t->unique[l][p];
    }
    to->pairs.inner[0] = to->unique.inner[0] = N_LAYER_STEPS;
    to->pairs.inner[1] = to->unique.inner[1] = N_POSITION_STEPS;
    free(all.of_thread);
    return true;
}

const struct ol_statistic ol_sweep_statistic = {
    .name = "sweep", .begin = begin, .block = block, .end = end, .results = results};
