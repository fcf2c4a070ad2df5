/* causal_conv: depthwise causal convolution of one sequence, then silu. */
#include "extract/cpu/cpu.h"

#include <stdlib.h>

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x, out;
    const float *weight; /* [kernel, channels] */
    const float *bias;   /* [channels] */
    int64_t kernel;
};

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *sum = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n)), *row = sum + n;
    for (int64_t t = first; t < end; t++) {
        for (int64_t c = 0; c < n; c++)
            sum[c] = 0;
        for (int64_t k = 0; k < j->kernel; k++) {
            const int64_t at = t - j->kernel + 1 + k;
            const float *weight = j->weight + k * n;
            if (at < 0)
                continue;
            ol_to_f32(j->x.dtype, ol_cpu_row(j->x, at), row, (size_t)n);
            for (int64_t c = 0; c < n; c++)
                sum[c] += weight[c] * row[c];
        }
        for (int64_t c = 0; c < n; c++)
            sum[c] = ol_silu(ol_cpu_round(j->x.dtype, sum[c] + j->bias[c]));
        ol_from_f32(j->out.dtype, sum, ol_cpu_row(j->out, t), (size_t)n);
    }
}

int ol_cpu_causal_conv(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                       struct ol_weight bias, struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    const int64_t n = weight.n_rows, kernel = weight.n_cols;
    float *stored = ol_xcalloc((size_t)(n * kernel), sizeof *stored);
    float *turned = ol_xcalloc((size_t)(n * kernel), sizeof *turned);
    float *added = ol_xcalloc((size_t)n, sizeof *added);
    ol_cpu_decode_rounded(&weight, b->dtype, 0, n, stored);
    if (bias.data != NULL)
        ol_cpu_decode_rounded(&bias, b->dtype, 0, 1, added);
    for (int64_t c = 0; c < n; c++)
        for (int64_t k = 0; k < kernel; k++)
            turned[k * n + c] = stored[c * kernel + k];
    struct job job = {ol_cpu_of(b), x, out, turned, added, kernel};
    ol_cpu_rows(job.cpu, x.n_rows, n, rows, &job);
    free(added);
    free(turned);
    free(stored);
    return 0;
}
