/* layer_norm: out = round((x - mean) / sqrt(variance + eps) * weight + bias) of rows. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

struct job {
    struct ol_cpu *cpu;
    double eps;
    struct ol_tensor x, out;
    const float *weight, *bias;
};

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < n; c++)
            mean += (double)row[c];
        mean /= (double)n;
        for (int64_t c = 0; c < n; c++)
            variance += ((double)row[c] - mean) * ((double)row[c] - mean);
        const double r = 1 / sqrt(variance / (double)n + j->eps);
        for (int64_t c = 0; c < n; c++)
            row[c] = (float)(((double)row[c] - mean) * r) * j->weight[c] + j->bias[c];
        ol_from_f32(j->out.dtype, row, ol_cpu_row(j->out, i), (size_t)n);
    }
}

int ol_cpu_layer_norm(struct ol_backend *b, double eps, struct ol_tensor x,
                      struct ol_weight weight, struct ol_weight bias,
                      struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    float *w = ol_xmalloc(2 * (size_t)x.n_cols * sizeof *w), *shift = w + x.n_cols;
    ol_cpu_decode_rounded(&weight, b->dtype, 0, 1, w);
    ol_cpu_decode_rounded(&bias, b->dtype, 0, 1, shift);
    struct job job = {ol_cpu_of(b), eps, x, out, w, shift};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    free(w);
    return 0;
}
