/* gate: x = round(x * g), g = round(sigmoid(gate)) or silu(gate) in float, value by value
 * or one for a row. gate_means: the means of round(sigmoid(gate)) over heads. */
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

struct means_job {
    struct ol_cpu *cpu;
    struct ol_tensor gate, means;
};

static void mean_rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct means_job *j = arg;
    const int64_t n = j->gate.n_cols, d = n / j->means.n_cols;
    float *gate = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        float *to = ol_cpu_row(j->means, i);
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), gate, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            gate[c] = ol_cpu_round(j->gate.dtype, ol_sigmoid(gate[c]));
        for (int64_t h = 0; h < j->means.n_cols; h++) {
            float sum = 0;
            for (int64_t c = h * d; c < (h + 1) * d; c++)
                sum += gate[c];
            to[h] = sum / (float)d;
        }
    }
}

int ol_cpu_gate_means(struct ol_backend *b, struct ol_tensor gate, struct ol_tensor means,
                      struct ol_error *err)
{
    (void)err;
    struct means_job job = {ol_cpu_of(b), gate, means};
    ol_cpu_rows(job.cpu, gate.n_rows, gate.n_cols, mean_rows, &job);
    return 0;
}
