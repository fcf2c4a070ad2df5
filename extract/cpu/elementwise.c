/* clip, add, add_sum, scale_rows and copy_columns: one pass over the rows. */
#include "extract/cpu/cpu.h"

#include <string.h>

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x, y;
    float limit;
};

static void clip_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t c = 0; c < n; c++) {
            row[c] = row[c] > j->limit ? j->limit : row[c];
            row[c] = row[c] < -j->limit ? -j->limit : row[c];
        }
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_clip(struct ol_backend *b, struct ol_tensor x, double limit,
                struct ol_error *err)
{
    (void)err;
    /* The reference clamps to the limit in the activation type. */
    struct job job = {ol_cpu_of(b), x, x, ol_cpu_round(b->dtype, (float)limit)};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, clip_rows, &job);
    return 0;
}

/* x = round(x + round(y)): rounding a y that is an activation already changes nothing. */
static void add_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *x = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n));
    float *y = x + n;
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), x, (size_t)n);
        ol_to_f32(j->y.dtype, ol_cpu_row(j->y, i), y, (size_t)n);
        if (j->x.dtype == OL_DTYPE_BF16)
            for (int64_t c = 0; c < n; c++)
                x[c] += ol_bf16_round(y[c]);
        else
            for (int64_t c = 0; c < n; c++)
                x[c] += y[c];
        ol_from_f32(j->x.dtype, x, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_add(struct ol_backend *b, struct ol_tensor x, struct ol_tensor y,
               struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), x, y, 0};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, add_rows, &job);
    return 0;
}

int ol_cpu_add_sum(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sum,
                   struct ol_error *err)
{
    return ol_cpu_add(b, x, sum, err);
}

/* ---- scale_rows ---- */

struct scale_job {
    struct ol_cpu *cpu;
    struct ol_tensor x;
    const float *scales;
};

static void scale_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct scale_job *j = arg;
    const int64_t n = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            row[c] *= j->scales[i];
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_scale_rows(struct ol_backend *b, struct ol_tensor x, const float *scales,
                      struct ol_error *err)
{
    (void)err;
    struct scale_job job = {ol_cpu_of(b), x, scales};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, scale_rows, &job);
    return 0;
}

/* ---- copy_columns ---- */

struct copy_job {
    struct ol_columns from, to;
    size_t bytes; /* of a piece */
    int n;
};

static void copy_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct copy_job *j = arg;
    const size_t size = ol_dtype_size(j->from.t.dtype);
    for (int64_t i = first; i < end; i++) {
        const char *from = (const char *)ol_cpu_row(j->from.t, i);
        char *to = ol_cpu_row(j->to.t, i);
        for (int p = 0; p < j->n; p++)
            memcpy(to + (size_t)(j->to.first + p * j->to.step) * size,
                   from + (size_t)(j->from.first + p * j->from.step) * size, j->bytes);
    }
}

int ol_cpu_copy_columns(struct ol_backend *b, struct ol_columns from,
                        struct ol_columns to, int64_t width, int n, struct ol_error *err)
{
    (void)err;
    struct copy_job job = {from, to, (size_t)width * ol_dtype_size(from.t.dtype), n};
    ol_cpu_rows(ol_cpu_of(b), from.t.n_rows, width * n, copy_rows, &job);
    return 0;
}
