/* Products of bfloat16 matrices: which code runs them. */
#include "extract/cpu/gemm_bf16.h"

/* The best first; each fills in its part when the build has the instructions. */
static const struct ol_gemm_bf16_kind *const kinds[] = {&ol_gemm_bf16_amx,
                                                        &ol_gemm_bf16_avx512};

const struct ol_gemm_bf16_kind *ol_gemm_bf16_kind(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i]->run != NULL && kinds[i]->is_usable())
            return kinds[i];
    return NULL;
}

int64_t ol_gemm_bf16_columns(int64_t k)
{
    /* Packed ones take half of a common second cache. */
    enum { PACKED_BYTES = 640 << 10, UNIT = 32, MOST = 192 };
    const int64_t n = PACKED_BYTES / 2 / (k > 0 ? k : 1) / UNIT * UNIT;
    return n < UNIT ? UNIT : n > MOST ? MOST : n;
}

size_t ol_gemm_bf16_scratch(int64_t n, int64_t k)
{
    const struct ol_gemm_bf16_kind *kind = ol_gemm_bf16_kind();
    return kind != NULL ? kind->scratch(n, k) : 0;
}

int64_t ol_gemm_bf16_distance(int64_t n, int64_t k)
{
    return ol_gemm_bf16_kind()->distance(n, k);
}

void ol_gemm_bf16_run(const struct ol_gemm_bf16 *g)
{
    ol_gemm_bf16_kind()->run(g);
}
