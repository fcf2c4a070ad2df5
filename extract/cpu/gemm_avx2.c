/* Products in float with AVX2 and FMA. */
#include "extract/cpu/gemm.h"

#if defined(__AVX2__) && defined(__FMA__)

#include "extract/cpu/gemm_turn8.h"

#define MOST_ROWS 6
enum { LANES = 8, ROWS = MOST_ROWS }; /* 12 registers of sums, 2 of b, 1 of a */
typedef __m256 vector;
#define LOAD                _mm256_loadu_ps
#define LOAD_AS             load8
#define STORE               _mm256_storeu_ps
#define ALL                 _mm256_set1_ps
#define FMA(a, b, c, exact) ((void)(exact), _mm256_fmadd_ps(a, b, c))
#define EXACT_IS_FASTER     false
/* Keeps b in a register: the compiler would rather load it again for every row. */
#define STAY(x) __asm__("" : "+x"(x))

#include "extract/cpu/gemm_kernel.h"

const struct ol_gemm_kind ol_gemm_avx2 = {"avx2", run};

#else

const struct ol_gemm_kind ol_gemm_avx2 = {"avx2", NULL};

#endif
