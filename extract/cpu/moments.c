/* row_moments, column_maxima and codes: what is looked at of the rows of components,
 * rounded to bf16. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "common/magnitude.h"

enum { LANES = 32, COLUMNS = 256, N_SUMS = OL_MOMENT_FOURTH + 1 };

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x;
    double *moments;
    int n_pieces;
    const int64_t *firsts, *ends;
    const int64_t *rows;
    uint16_t *codes;
};

/* Values first .. first + n - 1 of a row. */
static void load(struct ol_tensor x, int64_t row, int64_t first, int64_t n, float *values)
{
    ol_to_f32(x.dtype,
              (const char *)ol_cpu_row(x, row) + (size_t)first * ol_dtype_size(x.dtype),
              values, (size_t)n);
    for (int64_t c = 0; x.dtype != OL_DTYPE_BF16 && c < n; c++)
        values[c] = ol_bf16_round(values[c]);
}

/* ---- rows ---- */

struct lanes {
    double sums[N_SUMS][LANES];
    float largest[LANES], smallest[LANES];
};

static inline void add_lane(struct lanes *l, int i, float value)
{
    const double x = (double)value, square = x * x;
    l->sums[OL_MOMENT_FIRST][i] += x;
    l->sums[OL_MOMENT_SECOND][i] += square;
    l->sums[OL_MOMENT_THIRD][i] += square * x;
    l->sums[OL_MOMENT_FOURTH][i] += square * square;
    l->largest[i] = value > l->largest[i] ? value : l->largest[i];
    l->smallest[i] = value < l->smallest[i] ? value : l->smallest[i];
}

static void find_moments(const float *x, int64_t n, double *moments)
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
            for (int k = 0; k < N_SUMS; k++)
                l.sums[k][i] += l.sums[k][i + half];
            l.largest[i] = high > l.largest[i] ? high : l.largest[i];
            l.smallest[i] = low < l.smallest[i] ? low : l.smallest[i];
        }
    for (int k = 0; k < N_SUMS; k++)
        moments[k] = l.sums[k][0];
    moments[OL_MOMENT_LARGEST] = (double)l.largest[0];
    moments[OL_MOMENT_SMALLEST] = (double)l.smallest[0];
}

static void moments_of_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->x.n_cols);
    for (int64_t i = first; i < end; i++) {
        load(j->x, i, 0, j->x.n_cols, row);
        find_moments(row, j->x.n_cols, j->moments + i * OL_N_MOMENTS);
    }
}

int ol_cpu_row_moments(struct ol_backend *b, struct ol_tensor x, double *moments,
                       struct ol_error *err)
{
    (void)err;
    struct job job = {.cpu = ol_cpu_of(b), .x = x, .moments = moments};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, moments_of_rows, &job);
    return 0;
}

/* ---- columns ---- */

static int64_t column_tasks(const struct job *j)
{
    return (j->x.n_cols + COLUMNS - 1) / COLUMNS;
}

/* Some columns of one piece. */
static void maxima_of_columns(void *arg, int64_t task, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const int64_t piece = task / column_tasks(j),
                  first = task % column_tasks(j) * COLUMNS;
    const int64_t left = j->x.n_cols - first, n = left < COLUMNS ? left : COLUMNS;
    uint16_t most[COLUMNS] = {0};
    float values[COLUMNS];
    for (int64_t i = j->firsts[piece]; i < j->ends[piece]; i++) {
        load(j->x, i, first, n, values);
        for (int64_t c = 0; c < n; c++) {
            const uint16_t code = ol_bf16_from_f32(values[c]) & OL_BF16_MAGNITUDE;
            most[c] = code > most[c] ? code : most[c];
        }
    }
    memcpy(j->codes + piece * j->x.n_cols + first, most, (size_t)n * sizeof *most);
}

int ol_cpu_column_maxima(struct ol_backend *b, struct ol_tensor x, int n_pieces,
                         const int64_t *firsts, const int64_t *ends, uint16_t *maxima,
                         struct ol_error *err)
{
    (void)err;
    struct job job = {.cpu = ol_cpu_of(b),
                      .x = x,
                      .n_pieces = n_pieces,
                      .firsts = firsts,
                      .ends = ends,
                      .codes = maxima};
    ol_pool_run(job.cpu->pool, n_pieces * column_tasks(&job), maxima_of_columns, &job);
    return 0;
}

/* ---- codes ---- */

static void codes_of_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t d = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)d);
    for (int64_t i = first; i < end; i++) {
        load(j->x, j->rows[i], 0, d, row);
        ol_from_f32(OL_DTYPE_BF16, row, j->codes + i * d, (size_t)d);
    }
}

int ol_cpu_codes(struct ol_backend *b, struct ol_tensor x, int64_t n, const int64_t *rows,
                 uint16_t *codes, struct ol_error *err)
{
    (void)err;
    struct job job = {.cpu = ol_cpu_of(b), .x = x, .rows = rows, .codes = codes};
    ol_cpu_rows(job.cpu, n, x.n_cols, codes_of_rows, &job);
    return 0;
}
