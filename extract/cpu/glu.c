/* glu: gate = round(round(silu(gate)) * up), in place. */
#include "extract/cpu/cpu.h"

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor gate, up;
};

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->gate.n_cols;
    float *gate = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n));
    float *up = gate + n;
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), gate, (size_t)n);
        ol_to_f32(j->up.dtype, ol_cpu_row(j->up, i), up, (size_t)n);
        if (j->gate.dtype == OL_DTYPE_BF16)
            for (int64_t c = 0; c < n; c++)
                gate[c] = ol_bf16_round(ol_silu(gate[c])) * up[c];
        else
            for (int64_t c = 0; c < n; c++)
                gate[c] = ol_silu(gate[c]) * up[c];
        ol_from_f32(j->gate.dtype, gate, ol_cpu_row(j->gate, i), (size_t)n);
    }
}

int ol_cpu_glu(struct ol_backend *b, enum ol_activation_function function,
               struct ol_tensor gate, struct ol_tensor up, struct ol_error *err)
{
    if (function != OL_GLU_SILU)
        return ol_fail(err, "cpu: activation function %d is not known", (int)function);
    struct job job = {ol_cpu_of(b), gate, up};
    ol_cpu_rows(job.cpu, gate.n_rows, gate.n_cols, rows, &job);
    return 0;
}
