/* head_moments, head_columns: of every head of every row its sum of squares and its
 * extremes, and where these are. */
#include "extract/cpu/cpu.h"

#include <math.h>

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x, moments;
};

/* So many values apart from each other, which need not wait for one another. */
enum { LANES = 16 };
struct lanes {
    float squares[LANES], most[LANES], least[LANES];
};

/* NaN is no extreme. */
static inline void add(struct lanes *l, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        l->squares[i] += x[i] * x[i];
        l->most[i] = x[i] > l->most[i] ? x[i] : l->most[i];
        l->least[i] = x[i] < l->least[i] ? x[i] : l->least[i];
    }
}

static void of_head(const float *x, int64_t d, float *to)
{
    struct lanes l;
    int64_t c = 0;
    for (int i = 0; i < LANES; i++) {
        l.squares[i] = 0;
        l.most[i] = -INFINITY;
        l.least[i] = INFINITY;
    }
    for (; c + LANES <= d; c += LANES)
        add(&l, x + c, LANES);
    add(&l, x + c, d - c);
    for (int i = 1; i < LANES; i++) {
        l.squares[0] += l.squares[i];
        l.most[0] = l.most[i] > l.most[0] ? l.most[i] : l.most[0];
        l.least[0] = l.least[i] < l.least[0] ? l.least[i] : l.least[0];
    }
    to[OL_MOMENT_SQUARES] = l.squares[0];
    to[OL_MOMENT_LARGEST] = l.most[0];
    to[OL_MOMENT_SMALLEST] = l.least[0];
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n_heads = j->moments.n_cols / OL_N_HEAD_MOMENTS,
                  d = j->x.n_cols / n_heads;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->x.n_cols);
    for (int64_t i = first; i < end; i++) {
        float *to = ol_cpu_row(j->moments, i);
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)j->x.n_cols);
        for (int64_t h = 0; h < n_heads; h++)
            of_head(row + h * d, d, to + h * OL_N_HEAD_MOMENTS);
    }
}

int ol_cpu_head_moments(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), x, moments};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    return 0;
}

/* ---- where extremes are ---- */

struct columns_job {
    struct ol_cpu *cpu;
    struct ol_tensor x, moments, columns;
};

static int32_t find(const float *x, int64_t d, float extreme)
{
    for (int64_t c = 0; c < d; c++)
        if (x[c] == extreme)
            return (int32_t)c;
    return -1;
}

/* Of no number the extremes are infinities that no value has to be. */
static void find_both(const float *x, int64_t d, const float *moments, int32_t *to)
{
    const float most = moments[OL_MOMENT_LARGEST], least = moments[OL_MOMENT_SMALLEST];
    to[OL_EXTREME_LARGEST] = most > -INFINITY ? find(x, d, most) : -1;
    to[OL_EXTREME_SMALLEST] = least < INFINITY ? find(x, d, least) : -1;
}

static void columns_of_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct columns_job *j = arg;
    const int64_t n_heads = j->columns.n_cols / OL_N_HEAD_EXTREMES,
                  d = j->x.n_cols / n_heads;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->x.n_cols);
    for (int64_t i = first; i < end; i++) {
        const float *moments = ol_cpu_row(j->moments, i);
        int32_t *to = ol_cpu_row(j->columns, i);
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)j->x.n_cols);
        for (int64_t h = 0; h < n_heads; h++)
            find_both(row + h * d, d, moments + h * OL_N_HEAD_MOMENTS,
                      to + h * OL_N_HEAD_EXTREMES);
    }
}

int ol_cpu_head_columns(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_tensor columns,
                        struct ol_error *err)
{
    (void)err;
    struct columns_job job = {ol_cpu_of(b), x, moments, columns};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, columns_of_rows, &job);
    return 0;
}
