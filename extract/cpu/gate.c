/* gate: x = round(x * g), g = round(sigmoid(gate)) or silu(gate) in float, value by value
 * or one for a row. */
#include "extract/cpu/cpu.h"

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    enum ol_gate_function function;
    struct ol_tensor x, gate;
};

static void factors(const struct job *j, float *gate, int64_t n)
{
    if (j->function == OL_GATE_SILU)
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_silu(gate[c]);
    else
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_cpu_round(j->x.dtype, ol_sigmoid(gate[c]));
}

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols, n_gates = j->gate.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)(2 * n)), *gate = row + n;
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), gate, (size_t)n_gates);
        factors(j, gate, n_gates);
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            row[c] *= gate[n_gates == 1 ? 0 : c];
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_gate(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                struct ol_tensor gate, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), function, x, gate};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    return 0;
}
