/* Products in float with AVX-512. */
#include "extract/cpu/gemm.h"

#if defined(__AVX512F__) && defined(__AVX2__) && defined(__FMA__)

#include "extract/cpu/gemm_turn16.h"

#define MOST_ROWS 14
enum { LANES = 16, ROWS = MOST_ROWS }; /* 28 registers of sums, 2 of b, 1 of a */
typedef __m512 vector;
#define LOAD                _mm512_loadu_ps
#define LOAD_AS             load_as
#define STORE               _mm512_storeu_ps
#define ALL                 _mm512_set1_ps
#define FMA(a, b, c, exact) ((void)(exact), _mm512_fmadd_ps(a, b, c))
#define EXACT_IS_FASTER     false
/* Keeps b in a register: the compiler would rather load it again for every row. */
#define STAY(x) __asm__("" : "+x"(x))

static inline vector load_as(const void *x, enum ol_dtype dtype)
{
    if (dtype == OL_DTYPE_F32)
        return LOAD(x);
    const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

#include "extract/cpu/gemm_kernel.h"

const struct ol_gemm_kind ol_gemm_avx512 = {"avx512", run};

#else

const struct ol_gemm_kind ol_gemm_avx512 = {"avx512", NULL};

#endif
