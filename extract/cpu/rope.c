/* rope: rotary position embedding in place. HALF and HALF_ONCE rotate the pairs (j, j +
 * rotary_dim/2), PAIRS and PAIRS_ONCE (2j, 2j + 1). In the activation type every product
 * and the sum are rounded, as elementwise operations of the reference are; the kinds ONCE
 * compute in float. */
#include "extract/cpu/cpu.h"

struct job {
    struct ol_cpu *cpu;
    const struct ol_rope_args *args;
    struct ol_tensor x; /* of a sequence */
};

/* x[j * step] and x[j * step + apart] for every j. */
static void rotate(float *x, const float *cos, const float *sin, int half, int step,
                   int apart, enum ol_dtype dtype)
{
    for (int j = 0; j < half; j++) {
        float *p = x + j * step, *q = p + apart;
        const float a = *p, b = *q;
        const float c = ol_cpu_round(dtype, cos[j]), s = ol_cpu_round(dtype, sin[j]);
        *p = ol_cpu_round(dtype, a * c) + ol_cpu_round(dtype, -b * s);
        *q = ol_cpu_round(dtype, b * c) + ol_cpu_round(dtype, a * s);
    }
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const struct ol_rope_args *a = j->args;
    const int64_t n = j->x.n_cols, step = ol_rope_step(a->table);
    const int half = a->table->rotary_dim / 2;
    const bool neighbours = ol_rope_pairs_neighbours(a->kind);
    const enum ol_dtype rounding =
        ol_rope_rounds_once(a->kind) ? OL_DTYPE_F32 : j->x.dtype;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        const float *cos = ol_cpu_row(a->table->cos, i * step);
        const float *sin = ol_cpu_row(a->table->sin, i * step);
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t head = a->first; head < n; head += a->head_dim)
            rotate(row + head, cos, sin, half, neighbours ? 2 : 1, neighbours ? 1 : half,
                   rounding);
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_rope(struct ol_backend *b, const struct ol_rope_args *args, struct ol_tensor x,
                struct ol_error *err)
{
    const struct ol_sequences *s = &args->sequences;
    struct job job = {ol_cpu_of(b), args, x};
    for (int64_t i = 0, at = 0, n; i < ol_sequences_number(s); i++, at += n) {
        n = ol_sequences_rows(s, i, x.n_rows);
        const int64_t n_positions = ol_rope_reach(args->table, n);
        if (n_positions > args->table->n_positions)
            return ol_fail(err, "cpu: rope: %lld positions, but the table holds %lld",
                           (long long)n_positions, (long long)args->table->n_positions);
        job.x = ol_tensor_rows(x, at, n);
        ol_cpu_rows(job.cpu, n, x.n_cols, rows, &job);
    }
    return 0;
}
