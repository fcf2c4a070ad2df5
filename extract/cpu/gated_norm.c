/* gated_norm: y = x silu(gate) in float; each of n_groups pieces of a row divided by its
 * root mean square, times the weight, rounded once. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    double eps;
    int64_t group; /* values */
    struct ol_tensor x, gate, out;
    const float *weight;
};

static void normalise(const struct job *j, float *y, const float *weight)
{
    double sum = 0;
    for (int64_t c = 0; c < j->group; c++)
        sum += (double)y[c] * (double)y[c];
    const float mean = (float)(sum / (double)j->group);
    const float r = 1.0f / sqrtf(mean + (float)j->eps);
    for (int64_t c = 0; c < j->group; c++)
        y[c] = weight[c] * (y[c] * r);
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *y = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n)), *gate = y + n;
    for (int64_t i = first; i < end; i++) {
        const float *x = ol_cpu_row(j->x, i);
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), gate, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            y[c] = x[c] * ol_silu(gate[c]);
        for (int64_t c = 0; c < n; c += j->group)
            normalise(j, y + c, j->weight + c);
        ol_from_f32(j->out.dtype, y, ol_cpu_row(j->out, i), (size_t)n);
    }
}

int ol_cpu_gated_norm(struct ol_backend *b, int n_groups, double eps, struct ol_tensor x,
                      struct ol_tensor gate, struct ol_weight weight,
                      struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    float *w = ol_xmalloc((size_t)x.n_cols * sizeof *w);
    ol_cpu_decode_rounded(&weight, b->dtype, 0, 1, w);
    struct job job = {ol_cpu_of(b), eps, x.n_cols / n_groups, x, gate, out, w};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    free(w);
    return 0;
}
