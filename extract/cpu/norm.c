/* norm: root mean square normalisation of rows, r = 1 / sqrt(mean(x^2) + eps).
 * RMS: out = round(w * round(x * r)), as LlamaRMSNorm. RMS_ONCE and RMS_OFFSET, whose
 * weight is w or 1 + w: out = round(w * x * r), as GptOssRMSNorm and Qwen3NextRMSNorm;
 * RMS_STORED likewise, of a w that is not rounded, as DeepseekV4RMSNorm. */
#include "extract/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

enum { LANES = 8 };

struct job {
    struct ol_cpu *cpu;
    enum ol_norm_kind kind;
    double eps;
    struct ol_tensor x, out;
    const float *weight;
};

/* In double and in a fixed order of lanes: exact enough that no order of the reference is
 * nearer. */
static double sum_of_squares(const float *x, int64_t n)
{
    double lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += (double)x[i + l] * (double)x[i + l];
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        const float mean = (float)(sum_of_squares(row, n) / (double)n);
        const float r = 1.0f / sqrtf(mean + (float)j->eps);
        if (j->x.dtype == OL_DTYPE_BF16 && j->kind == OL_NORM_RMS)
            for (int64_t c = 0; c < n; c++)
                row[c] = j->weight[c] * ol_bf16_round(row[c] * r);
        else
            for (int64_t c = 0; c < n; c++)
                row[c] = j->weight[c] * (row[c] * r);
        ol_from_f32(j->out.dtype, row, ol_cpu_row(j->out, i), (size_t)n);
    }
}

int ol_cpu_norm(struct ol_backend *b, enum ol_norm_kind kind, double eps,
                struct ol_tensor x, struct ol_weight weight, struct ol_tensor out,
                struct ol_error *err)
{
    (void)err;
    float *w = ol_xmalloc((size_t)x.n_cols * sizeof *w);
    if (weight.data != NULL)
        ol_cpu_decode_rounded(
            &weight, kind == OL_NORM_RMS_STORED ? OL_DTYPE_F32 : b->dtype, 0, 1, w);
    for (int64_t c = 0; c < x.n_cols; c++)
        w[c] = weight.data == NULL ? 1 : kind == OL_NORM_RMS_OFFSET ? 1 + w[c] : w[c];
    struct job job = {ol_cpu_of(b), kind, eps, x, out, w};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    free(w);
    return 0;
}
