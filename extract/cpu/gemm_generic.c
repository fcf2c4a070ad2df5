/* Products in float with what the compiler makes of vectors of four. */
#include "extract/cpu/gemm.h"

#include "extract/cpu/fma.h"

#define MOST_ROWS 6
enum { LANES = 4, ROWS = MOST_ROWS };
typedef float vector __attribute__((vector_size(16)));

static inline vector LOAD(const float *x)
{
    vector v;
    __builtin_memcpy(&v, x, sizeof v);
    return v;
}

static inline vector LOAD_AS(const void *x, enum ol_dtype dtype)
{
    float values[LANES];
    ol_to_f32(dtype, x, values, LANES);
    return LOAD(values);
}

static inline void STORE(float *x, vector v)
{
    __builtin_memcpy(x, &v, sizeof v);
}

static inline vector ALL(float x)
{
    return (vector){x, x, x, x};
}

static inline vector FMA(vector a, vector b, vector c, bool exact)
{
    if (exact)
        return a * b + c;
    vector v = c;
    for (int l = 0; l < LANES; l++)
        v[l] = ol_fma(a[l], b[l], c[l]);
    return v;
}

#define EXACT_IS_FASTER OL_FMA_IS_SLOW
#define STAY(x)         ((void)0)

#include "extract/cpu/gemm_kernel.h"

const struct ol_gemm_kind ol_gemm_generic = {"generic", run};
