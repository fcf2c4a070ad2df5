/* glu: the gated part of an MLP, in place. Roundings are where elementwise operations of
 * the reference have them. */
#include "extract/cpu/cpu.h"

#include <math.h>

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    const struct ol_glu_spec *glu;
    struct ol_tensor gate, up;
};

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

static void clamp_both(float limit, float *gate, float *up, int64_t n)
{
    for (int64_t c = 0; limit > 0 && c < n; c++) {
        gate[c] = clamp(gate[c], -INFINITY, limit);
        up[c] = clamp(up[c], -limit, limit);
    }
}

static void silu(float *gate, const float *up, int64_t n, enum ol_dtype dtype)
{
    if (dtype == OL_DTYPE_BF16)
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_bf16_round(ol_silu(gate[c])) * up[c];
    else
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_silu(gate[c]) * up[c];
}

static void gelu(float *gate, const float *up, int64_t n, enum ol_dtype dtype)
{
    if (dtype == OL_DTYPE_BF16)
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_bf16_round(ol_gelu(gate[c])) * up[c];
    else
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_gelu(gate[c]) * up[c];
}

static void relu2(float *gate, int64_t n)
{
    for (int64_t c = 0; c < n; c++)
        gate[c] = gate[c] < 0 ? 0 : gate[c] * gate[c]; /* NaN stays */
}

static void clamped(const struct ol_glu_spec *glu, float *gate, const float *up,
                    int64_t n, enum ol_dtype dtype)
{
    const float alpha = (float)glu->alpha, limit = (float)glu->limit;
    for (int64_t c = 0; c < n; c++) {
        const float g = clamp(gate[c], -INFINITY, limit);
        const float u = clamp(up[c], -limit, limit);
        const float s = ol_cpu_round(dtype, ol_sigmoid(ol_cpu_round(dtype, alpha * g)));
        gate[c] = ol_cpu_round(dtype, u + 1) * ol_cpu_round(dtype, g * s);
    }
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->gate.n_cols;
    float *gate = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n));
    float *up = gate + n;
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), gate, (size_t)n);
        for (int64_t c = 0; j->glu->alone && c < n; c++)
            up[c] = 1;
        if (!j->glu->alone)
            ol_to_f32(j->up.dtype, ol_cpu_row(j->up, i), up, (size_t)n);
        switch (j->glu->function) {
        case OL_GLU_CLAMPED:
            clamped(j->glu, gate, up, n, j->gate.dtype);
            break;
        case OL_GLU_GELU_TANH:
            gelu(gate, up, n, j->gate.dtype);
            break;
        case OL_GLU_RELU2:
            relu2(gate, n);
            break;
        case OL_GLU_SILU:
            clamp_both((float)j->glu->limit, gate, up, n);
            silu(gate, up, n, j->gate.dtype);
            break;
        }
        ol_from_f32(j->gate.dtype, gate, ol_cpu_row(j->gate, i), (size_t)n);
    }
}

int ol_cpu_glu(struct ol_backend *b, const struct ol_glu_spec *glu, struct ol_tensor gate,
               struct ol_tensor up, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), glu, gate, up};
    ol_cpu_rows(job.cpu, gate.n_rows, gate.n_cols, rows, &job);
    return 0;
}
