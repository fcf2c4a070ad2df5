/* dnnl_sgemm has the same signature in oneDNN 2.x and 3.x. The library parallelises with
 * OpenMP; each of our threads sets its own team size to one, because we share out tiles
 * ourselves. */
#include "extract/cpu/gemm.h"

#include <stdio.h>
#include <stdlib.h>

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "common/error.h"

void ol_gemm_run(const struct ol_gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return;
    omp_set_num_threads(1);
    const dnnl_status_t status =
        dnnl_sgemm('N', g->b_plain ? 'N' : 'T', g->m, g->n, g->k, 1, g->a, g->lda, g->b,
                   g->ldb, g->beta, g->c, g->ldc);
    if (status != dnnl_success) {
        /* Bad arguments would be our bug; what is left is memory for its packing buffers.
         */
        ol_warn("the matrix library failed (status %d), most likely out of memory",
                (int)status);
        exit(1);
    }
}

const char *ol_gemm_library(void)
{
    static char text[64];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
