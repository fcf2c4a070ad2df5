/* compress: entries that stand for `rate` keys each, weighed channel by channel by a
 * softmax over them, and where they overlap over those before them too. The contract is
 * in backend.h. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    const struct ol_compress_args *args;
    const float *bias; /* [rate, width] */
};

/* One place of an entry: its row, the first of its columns, and of its bias. */
struct place {
    int64_t row, column, slot;
};

static int64_t n_places(const struct ol_compress_args *a, int64_t entry)
{
    return a->overlaps && entry > 0 ? 2 * (int64_t)a->rate : a->rate;
}

/* Behind those of its own window, whose second columns count where entries overlap, come
 * the first columns of the window before. */
static struct place place_of(const struct ol_compress_args *a, int64_t entry, int64_t i)
{
    const int64_t slot = i % a->rate, d = a->out.n_cols;
    const bool before = i >= a->rate;
    return (struct place){(entry - before) * a->rate + slot,
                          a->overlaps && !before ? d : 0, slot};
}

static void entries(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const struct ol_compress_args *a = j->args;
    const int64_t d = a->out.n_cols, width = a->values.n_cols, most = 2 * a->rate;
    const enum ol_dtype dtype = a->values.dtype;
    float *gate = ol_cpu_scratch(j->cpu, thread, (size_t)((most + 2) * d + 2 * width)),
          *top = gate + most * d, *sum = top + d, *row = sum + d;
    for (int64_t e = first; e < end; e++) {
        const int64_t n = n_places(a, e);
        for (int64_t i = 0; i < n; i++) {
            const struct place at = place_of(a, e, i);
            const float *bias = j->bias + at.slot * width + at.column;
            float *to = gate + i * d;
            ol_to_f32(dtype, ol_cpu_row(a->gates, at.row), row, (size_t)width);
            for (int64_t c = 0; c < d; c++) {
                to[c] = row[at.column + c] + bias[c];
                top[c] = i == 0 || to[c] > top[c] ? to[c] : top[c];
            }
        }
        for (int64_t c = 0; c < d; c++)
            sum[c] = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t c = 0; c < d; c++)
                sum[c] += gate[i * d + c] = ol_exp(gate[i * d + c] - top[c]);
        for (int64_t c = 0; c < d; c++) {
            top[c] = sum[c];
            sum[c] = 0;
        }
        for (int64_t i = 0; i < n; i++) {
            const struct place at = place_of(a, e, i);
            ol_to_f32(dtype, ol_cpu_row(a->values, at.row), row, (size_t)width);
            for (int64_t c = 0; c < d; c++)
                sum[c] +=
                    ol_cpu_round(dtype, ol_cpu_round(dtype, gate[i * d + c] / top[c]) *
                                            row[at.column + c]);
        }
        ol_from_f32(a->out.dtype, sum, ol_cpu_row(a->out, e), (size_t)d);
    }
}

int ol_cpu_compress(struct ol_backend *b, const struct ol_compress_args *args,
                    struct ol_error *err)
{
    (void)err;
    const struct ol_weight *w = &args->bias;
    float *bias = ol_xcalloc((size_t)(w->n_rows * w->n_cols), sizeof *bias);
    ol_cpu_decode(w, 0, w->n_rows, bias);
    struct job job = {ol_cpu_of(b), args, bias};
    ol_cpu_rows(job.cpu, args->out.n_rows, args->rate * args->values.n_cols, entries,
                &job);
    free(bias);
    return 0;
}
