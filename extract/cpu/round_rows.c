/* round_rows: rows rounded to every format of common/round_row.h, a task a row. */
#include "common/round_row.h"
#include "extract/cpu/cpu.h"

#include <stdlib.h>

struct job {
    struct ol_tensor x, out;
    const int32_t *places;
};

static void round_some(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const int64_t d = j->x.n_cols, n_places = j->out.n_rows / OL_N_ROW_FORMATS;
    float *x = ol_xcalloc(3 * (size_t)d, sizeof *x), *scratch = x + d, *q = scratch + d;
    for (int64_t i = first; i < end; i++) {
        ol_to_f32(j->x.dtype, ol_cpu_row(j->x, i), x, (size_t)d);
        for (int f = 0; f < OL_N_ROW_FORMATS; f++) {
            ol_round_row((enum ol_row_format)f, x, d, scratch, q);
            ol_from_f32(j->out.dtype, q, ol_cpu_row(j->out, f * n_places + j->places[i]),
                        (size_t)d);
        }
    }
    free(x);
}

int ol_cpu_round_rows(struct ol_backend *b, struct ol_tensor x, const int32_t *places,
                      struct ol_tensor out, struct ol_error *err)
{
    (void)err;
    struct job job = {x, out, places};
    ol_cpu_rows(ol_cpu_of(b), x.n_rows, 16 * OL_N_ROW_FORMATS * x.n_cols, round_some,
                &job);
    return 0;
}
