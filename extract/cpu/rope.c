/* rope: rotary position embedding in place. HALF and HALF_ONCE rotate the pairs (j, j +
 * rotary_dim/2), PAIRS and PAIRS_ONCE (2j, 2j + 1). In the activation type every product
 * and the sum are rounded, as elementwise operations of the reference are; the kinds ONCE
 * compute in float. */
#include "extract/cpu/cpu.h"

struct job {
    struct ol_cpu *cpu;
    enum ol_rope_kind kind;
    const struct ol_rope_table *table;
    int head_dim, first;
    struct ol_tensor x;
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
    const int64_t n = j->x.n_cols;
    const int half = j->table->rotary_dim / 2;
    const bool neighbours = ol_rope_pairs_neighbours(j->kind);
    const enum ol_dtype rounding =
        ol_rope_rounds_once(j->kind) ? OL_DTYPE_F32 : j->x.dtype;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        const float *cos = ol_cpu_row(j->table->cos, i);
        const float *sin = ol_cpu_row(j->table->sin, i);
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t head = j->first; head < n; head += j->head_dim)
            rotate(row + head, cos, sin, half, neighbours ? 2 : 1, neighbours ? 1 : half,
                   rounding);
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_rope(struct ol_backend *b, enum ol_rope_kind kind,
                const struct ol_rope_table *table, int head_dim, int first,
                struct ol_tensor x, struct ol_error *err)
{
    if (x.n_rows > table->n_positions)
        return ol_fail(err, "cpu: rope: %lld positions, but the table holds %lld",
                       (long long)x.n_rows, (long long)table->n_positions);
    struct job job = {ol_cpu_of(b), kind, table, head_dim, first, x};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    return 0;
}
