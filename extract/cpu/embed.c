/* embed: rows of the table by token id, widened and rounded to the activation type. */
#include "extract/cpu/cpu.h"

struct job {
    struct ol_cpu *cpu;
    const int32_t *ids;
    struct ol_weight table;
    struct ol_tensor out;
};

static void rows(void *arg, int64_t first, int64_t end, int thread)
{
    const struct job *j = arg;
    float *row = ol_cpu_scratch(j->cpu, thread, (size_t)j->out.n_cols);
    for (int64_t i = first; i < end; i++) {
        ol_cpu_decode(&j->table, j->ids[i], 1, row);
        ol_from_f32(j->out.dtype, row, ol_cpu_row(j->out, i), (size_t)j->out.n_cols);
    }
}

int ol_cpu_embed(struct ol_backend *b, const int32_t *ids, struct ol_weight table,
                 struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    struct job job = {ol_cpu_of(b), ids, table, out};
    ol_cpu_rows(job.cpu, out.n_rows, out.n_cols, rows, &job);
    return 0;
}
