/* Tables of what goes into down projections: exact sums of powers, extremes, the largest
 * magnitude of each column, and some rows; of values rounded to bf16. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/magnitude.h"

enum { LANES = 32, COLUMNS = 256 };

/* Of one row. */
struct row {
    double sums[OL_DOWN_POWERS];
    float largest, smallest;
};

struct ol_down_tables {
    struct ol_down_sizes sizes;
    struct ol_down_moments *moments; /* [n_components] */
    uint16_t *maxima;                /* [n_maxima] */
    uint16_t *codes;                 /* [n_codes] */
    int64_t room;
    struct row *rows; /* [room], of what is seen */
};

struct job {
    struct ol_cpu *cpu;
    struct ol_down_tables *t;
    const struct ol_down_seen *seen;
    struct ol_tensor x;
};

/* ---- life ---- */

struct ol_down_tables *ol_cpu_down_new(struct ol_backend *b,
                                       const struct ol_down_sizes *most,
                                       struct ol_error *err)
{
    (void)b, (void)err;
    struct ol_down_tables *t = ol_xcalloc(1, sizeof *t);
    t->sizes = *most;
    t->moments = ol_xcalloc((size_t)most->n_components, sizeof *t->moments);
    t->maxima = ol_xcalloc((size_t)most->n_maxima, sizeof *t->maxima);
    t->codes = ol_xcalloc((size_t)most->n_codes, sizeof *t->codes);
    return t;
}

void ol_cpu_down_free(struct ol_backend *b, struct ol_down_tables *t)
{
    (void)b;
    if (t == NULL)
        return;
    free(t->rows);
    free(t->codes);
    free(t->maxima);
    free(t->moments);
    free(t);
}

int ol_cpu_down_begin(struct ol_backend *b, struct ol_down_tables *t,
                      const struct ol_down_sizes *layer, struct ol_error *err)
{
    (void)b, (void)err;
    t->sizes = *layer;
    memset(t->moments, 0, (size_t)layer->n_components * sizeof *t->moments);
    memset(t->maxima, 0, (size_t)layer->n_maxima * sizeof *t->maxima);
    memset(t->codes, 0, (size_t)layer->n_codes * sizeof *t->codes);
    for (int i = 0; i < layer->n_components; i++) {
        t->moments[i].largest = -INFINITY;
        t->moments[i].smallest = INFINITY;
    }
    return 0;
}

/* ---- what is seen ---- */

/* Values first .. first + n - 1 of a row. */
static void load(struct ol_tensor x, int64_t row, int64_t first, int64_t n, float *values)
{
    ol_to_f32(x.dtype,
              (const char *)ol_cpu_row(x, row) + (size_t)first * ol_dtype_size(x.dtype),
              values, (size_t)n);
    for (int64_t c = 0; x.dtype != OL_DTYPE_BF16 && c < n; c++)
        values[c] = ol_bf16_round(values[c]);
}

struct lanes {
    double sums[OL_DOWN_POWERS][LANES];
    float largest[LANES], smallest[LANES];
};

static inline void add_lane(struct lanes *l, int i, float value)
{
    const double x = (double)value, square = x * x;
    l->sums[0][i] += x;
    l->sums[1][i] += square;
    l->sums[2][i] += square * x;
    l->sums[3][i] += square * square;
    l->largest[i] = value > l->largest[i] ? value : l->largest[i];
    l->smallest[i] = value < l->smallest[i] ? value : l->smallest[i];
}

static void look_at(const float *x, int64_t n, struct row *row)
{
    struct lanes l = {0};
    for (int i = 0; i < LANES; i++) {
        l.largest[i] = -INFINITY;
        l.smallest[i] = INFINITY;
    }
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        for (int i = 0; i < LANES; i++)
            add_lane(&l, i, x[c + i]);
    for (int i = 0; c + i < n; i++)
        add_lane(&l, i, x[c + i]);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) {
            const float high = l.largest[i + half], low = l.smallest[i + half];
            for (int k = 0; k < OL_DOWN_POWERS; k++)
                l.sums[k][i] += l.sums[k][i + half];
            l.largest[i] = high > l.largest[i] ? high : l.largest[i];
            l.smallest[i] = low < l.smallest[i] ? low : l.smallest[i];
        }
    for (int k = 0; k < OL_DOWN_POWERS; k++)
        row->sums[k] = l.sums[k][0];
    row->largest = l.largest[0];
    row->smallest = l.smallest[0];
}

static void look_at_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->x.n_cols);
    for (int64_t i = first; i < end; i++) {
        load(j->x, i, 0, j->x.n_cols, row);
        look_at(row, j->x.n_cols, &j->t->rows[i]);
    }
}

/* The rows of one component. */
static void add_rows(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const struct ol_component_rows *of = j->seen->of;
    struct ol_down_moments *m = &j->t->moments[of->components[piece]];
    for (int64_t i = of->firsts[piece]; i < of->ends[piece]; i++) {
        const struct row *row = &j->t->rows[i];
        for (int k = 0; k < OL_DOWN_POWERS; k++)
            ol_exact_sum_add(&m->sums[k], row->sums[k]);
        /* A zero of either sign is the same value. */
        if (row->largest > m->largest)
            m->largest = row->largest + 0.0f;
        if (row->smallest < m->smallest)
            m->smallest = row->smallest + 0.0f;
    }
}

static int64_t column_tasks(const struct job *j)
{
    return (j->x.n_cols + COLUMNS - 1) / COLUMNS;
}

/* Some columns of one component. */
static void add_columns(void *arg, int64_t task, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const struct ol_component_rows *of = j->seen->of;
    const int64_t piece = task / column_tasks(j),
                  first = task % column_tasks(j) * COLUMNS;
    const int64_t left = j->x.n_cols - first, n = left < COLUMNS ? left : COLUMNS;
    uint16_t *most = j->t->maxima + j->seen->maxima_at[piece] + first;
    float values[COLUMNS];
    for (int64_t i = of->firsts[piece]; i < of->ends[piece]; i++) {
        load(j->x, i, first, n, values);
        for (int64_t c = 0; c < n; c++) {
            const uint16_t code = ol_bf16_from_f32(values[c]) & OL_BF16_MAGNITUDE;
            most[c] = code > most[c] ? code : most[c];
        }
    }
}

static void keep_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->x.n_cols);
    for (int64_t i = first; i < end; i++) {
        load(j->x, j->seen->kept[i], 0, j->x.n_cols, row);
        ol_from_f32(OL_DTYPE_BF16, row, j->t->codes + j->seen->codes_at[i],
                    (size_t)j->x.n_cols);
    }
}

int ol_cpu_down_see(struct ol_backend *b, struct ol_down_tables *t,
                    const struct ol_down_seen *seen, struct ol_tensor x,
                    struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), t, seen, x};
    if (x.n_rows > t->room)
        t->rows = ol_xrealloc_array(t->rows, (size_t)x.n_rows, sizeof *t->rows);
    t->room = x.n_rows > t->room ? x.n_rows : t->room;
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, look_at_rows, &job);
    ol_pool_run(job.cpu->pool, seen->of->n, add_rows, &job);
    ol_pool_run(job.cpu->pool, seen->of->n * column_tasks(&job), add_columns, &job);
    ol_cpu_rows(job.cpu, seen->n_kept, x.n_cols, keep_rows, &job);
    return 0;
}

int ol_cpu_down_take(struct ol_backend *b, struct ol_down_tables *t,
                     const struct ol_down_made *made, struct ol_error *err)
{
    (void)b, (void)err;
    const struct ol_down_sizes *sizes = &t->sizes;
    memcpy(made->moments, t->moments, (size_t)sizes->n_components * sizeof *t->moments);
    memcpy(made->maxima, t->maxima, (size_t)sizes->n_maxima * sizeof *t->maxima);
    memcpy(made->codes, t->codes, (size_t)sizes->n_codes * sizeof *t->codes);
    return 0;
}
