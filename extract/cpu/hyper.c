/* collapse and expand: the ways in and out of a layer's part where the residual stream is
 * n streams of d values (hyper-connections, arXiv 2409.19606; their mixing kept doubly
 * stochastic, arXiv 2512.24880). The contracts are in backend.h. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"
#include "extract/cpu/gemm.h"

/* Rows of a task: those of one product. */
enum { ROWS = 16 };

struct job {
    struct ol_cpu *cpu;
    const struct ol_connection *c;
    struct ol_tensor streams, out, mixing;
    float *fn, *base, *scale; /* as float, whatever the activations are */
};

static double sigmoid(double x)
{
    return 1 / (1 + ol_real_exp(-x));
}

/* Divide every row (step 1 within it, n from row to row), or every column, by its sum. */
static void normalise(double *m, int n, int step, int next, double eps)
{
    for (int i = 0; i < n; i++) {
        double sum = eps;
        for (int k = 0; k < n; k++)
            sum += m[i * next + k * step];
        for (int k = 0; k < n; k++)
            m[i * next + k * step] /= sum;
    }
}

/* From products [n, n] to how much of stream i (row) stream j (column) takes over. */
static void find_exchange(const struct ol_connection *c, double *m)
{
    const int n = c->n_streams;
    for (int i = 0; i < n; i++) {
        double top = m[i * n], total = 0;
        for (int k = 1; k < n; k++)
            top = fmax(top, m[i * n + k]);
        for (int k = 0; k < n; k++)
            total += m[i * n + k] = ol_real_exp(m[i * n + k] - top);
        for (int k = 0; k < n; k++)
            m[i * n + k] = m[i * n + k] / total + c->eps;
    }
    normalise(m, n, n, 1, c->eps);
    for (int i = 1; i < c->n_iterations; i++) {
        normalise(m, n, 1, n, c->eps);
        normalise(m, n, n, 1, c->eps);
    }
}

/* A row's products become its weights: n of the collapse and, in mixing, n of the
 * expansion and n x n of the exchange. */
static void weigh(const struct job *j, const float *products, double length, float *own,
                  float *mixing)
{
    const int n = j->c->n_streams;
    double m[OL_MAX_STREAMS * OL_MAX_STREAMS];
    for (int i = 0; i < n; i++)
        own[i] = (float)(sigmoid((double)products[i] * length * (double)j->scale[0] +
                                 (double)j->base[i]) +
                         j->c->eps);
    if (mixing == NULL)
        return;
    products += n;
    for (int i = 0; i < n; i++)
        mixing[i] =
            (float)(2 * sigmoid((double)products[i] * length * (double)j->scale[1] +
                                (double)j->base[n + i]));
    products += n;
    for (int i = 0; i < n * n; i++)
        m[i] = (double)products[i] * length * (double)j->scale[2] +
               (double)j->base[2 * n + i];
    find_exchange(j->c, m);
    for (int i = 0; i < n * n; i++)
        mixing[n + i] = (float)m[i];
}

static void collapse_row(const struct job *j, const float *x, const float *own,
                         int64_t row, float *sum)
{
    const int64_t d = j->out.n_cols;
    for (int64_t c = 0; c < d; c++)
        sum[c] = own[0] * x[c];
    for (int s = 1; s < j->c->n_streams; s++)
        for (int64_t c = 0; c < d; c++)
            sum[c] += own[s] * x[s * d + c];
    ol_from_f32(j->out.dtype, sum, ol_cpu_row(j->out, row), (size_t)d);
}

static void collapse_task(void *arg, int64_t number, int thread)
{
    const struct job *j = arg;
    const int64_t width = j->streams.n_cols, d = j->out.n_cols, first = number * ROWS,
                  left = j->streams.n_rows - first, n = left < ROWS ? left : ROWS,
                  outs = j->c->fn.n_rows;
    float *x = ol_cpu_scratch(j->cpu, thread,
                              (size_t)(ROWS * (width + outs) + d + OL_MAX_STREAMS + 64) +
                                  ol_gemm_scratch(outs, width));
    float *products = x + ROWS * width, *sum = products + ROWS * outs, *own = sum + d;
    /* On a cache line again. */
    float *scratch = x + (ROWS * (width + outs) + d + OL_MAX_STREAMS + 15) / 16 * 16;
    ol_to_f32(j->streams.dtype, ol_cpu_row(j->streams, first), x, (size_t)(n * width));
    const struct ol_gemm g = {.m = n,
                              .n = outs,
                              .k = width,
                              .a_dtype = OL_DTYPE_F32,
                              .a = x,
                              .lda = width,
                              .b_dtype = OL_DTYPE_F32,
                              .b = j->fn,
                              .ldb = width,
                              .c = products,
                              .ldc = outs,
                              .scratch = scratch};
    ol_gemm_run(&g);
    for (int64_t i = 0; i < n; i++) {
        double squares = 0;
        for (int64_t c = 0; c < width; c++)
            squares += (double)x[i * width + c] * (double)x[i * width + c];
        weigh(j, products + i * outs, 1 / sqrt(squares / (double)width + j->c->norm_eps),
              own, j->mixing.data != NULL ? ol_cpu_row(j->mixing, first + i) : NULL);
        collapse_row(j, x + i * width, own, first + i, sum);
    }
}

static float *values_of(const struct ol_weight *w)
{
    float *values = ol_xcalloc((size_t)(w->n_rows * w->n_cols), sizeof *values);
    ol_cpu_decode(w, 0, w->n_rows, values);
    return values;
}

int ol_cpu_collapse(struct ol_backend *b, const struct ol_connection *c,
                    struct ol_tensor streams, struct ol_tensor out,
                    struct ol_tensor mixing, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b),
                      c,
                      streams,
                      out,
                      mixing,
                      values_of(&c->fn),
                      values_of(&c->base),
                      values_of(&c->scale)};
    ol_pool_run(job.cpu->pool, (streams.n_rows + ROWS - 1) / ROWS, collapse_task, &job);
    free(job.fn);
    free(job.base);
    free(job.scale);
    return 0;
}

/* ---- expand ---- */

struct expand_job {
    struct ol_cpu *cpu;
    struct ol_tensor streams, y, mixing, mean;
};

static void expand_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct expand_job *j = arg;
    const enum ol_dtype dtype = j->streams.dtype;
    const int64_t width = j->streams.n_cols, d = j->y.n_cols, n = width / d;
    float *x = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * width + d)), *to = x + width,
          *y = to + width;
    for (int64_t row = first; row < end; row++) {
        const float *mixing = ol_cpu_row(j->mixing, row);
        ol_to_f32(dtype, ol_cpu_row(j->streams, row), x, (size_t)width);
        ol_to_f32(j->y.dtype, ol_cpu_row(j->y, row), y, (size_t)d);
        for (int64_t s = 0; s < n; s++) {
            const float own = ol_cpu_round(dtype, mixing[s]);
            float share[OL_MAX_STREAMS];
            for (int64_t i = 0; i < n; i++)
                share[i] = ol_cpu_round(dtype, mixing[n + i * n + s]);
            for (int64_t c = 0; c < d; c++) {
                float kept = 0;
                for (int64_t i = 0; i < n; i++)
                    kept += share[i] * x[i * d + c];
                to[s * d + c] = ol_cpu_round(dtype, own * ol_cpu_round(dtype, y[c])) +
                                ol_cpu_round(dtype, kept);
            }
        }
        ol_from_f32(dtype, to, ol_cpu_row(j->streams, row), (size_t)width);
        for (int64_t c = 0; c < d; c++) {
            y[c] = 0;
            for (int64_t s = 0; s < n; s++)
                y[c] += ol_cpu_round(dtype, to[s * d + c]);
            y[c] /= (float)n;
        }
        ol_from_f32(dtype, y, ol_cpu_row(j->mean, row), (size_t)d);
    }
}

int ol_cpu_expand(struct ol_backend *b, struct ol_tensor streams, struct ol_tensor y,
                  struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err)
{
    (void)err;
    struct expand_job job = {ol_cpu_of(b), streams, y, mixing, mean};
    ol_cpu_rows(job.cpu, streams.n_rows, streams.n_cols, expand_rows, &job);
    return 0;
}
