/* gate_rows: x[i] = round(round(sigmoid(gate[i])) * x[i]), row by row. */
#include "extract/cpu/cpu.h"

#include "extract/cpu/vector_math.h"

struct job {
    struct ol_cpu *cpu;
    struct ol_tensor x, gate;
};

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    const int64_t n = j->x.n_cols;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)n);
    for (int64_t i = first; i < end; i++) {
        float gate;
        ol_to_f32(j->gate.dtype, ol_cpu_row(j->gate, i), &gate, 1);
        const float factor = ol_cpu_round(j->x.dtype, ol_sigmoid(gate));
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), row, (size_t)n);
        for (int64_t c = 0; c < n; c++)
            row[c] *= factor;
        ol_from_f32(j->x.dtype, row, ol_cpu_row(j->x, i), (size_t)n);
    }
}

int ol_cpu_gate_rows(struct ol_backend *b, struct ol_tensor x, struct ol_tensor gate,
                     struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), x, gate};
    ol_cpu_rows(job.cpu, x.n_rows, x.n_cols, rows, &job);
    return 0;
}
