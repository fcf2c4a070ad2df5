/* Products: which code runs them. */
#include "extract/cpu/gemm.h"

#include "extract/cpu/gemm_bf16.h"

/* The best first; each fills in its part when the build has the instructions. */
static const struct ol_gemm_kind *const kinds[] = {&ol_gemm_avx512, &ol_gemm_avx2,
                                                   &ol_gemm_generic};

const struct ol_gemm_kind *ol_gemm_kind(void)
{
    int i = 0;
    while (kinds[i]->run == NULL)
        i++;
    return kinds[i];
}

size_t ol_gemm_scratch(int64_t n, int64_t k)
{
    const size_t floats = (OL_GEMM_ROWS + OL_GEMM_COLUMNS) * OL_GEMM_STRIDE;
    const size_t halves = ol_gemm_bf16_scratch(n, k) / sizeof(float) + 15;
    return floats > halves ? floats : halves / 16 * 16;
}

static bool is_bf16(const struct ol_gemm *g)
{
    return g->a_dtype == OL_DTYPE_BF16 && g->b_dtype == OL_DTYPE_BF16 &&
           (g->beta == 0 || g->beta == 1) && ol_gemm_bf16_kind() != NULL;
}

static void run_bf16(const struct ol_gemm *g)
{
    const struct ol_gemm_bf16 halves = {.m = g->m,
                                        .n = g->n,
                                        .k = g->k,
                                        .a = g->a,
                                        .lda = g->lda,
                                        .b = g->b,
                                        .ldb = g->ldb,
                                        .b_plain = g->b_plain,
                                        .sum = g->c,
                                        .accumulate = g->beta != 0,
                                        .ldc = g->ldc,
                                        .scratch = g->scratch};
    ol_gemm_bf16_run(&halves);
}

void ol_gemm_run(const struct ol_gemm *g)
{
    if (is_bf16(g))
        run_bf16(g);
    else
        ol_gemm_kind()->run(g);
}
