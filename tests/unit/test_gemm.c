/* Products in float against a loop in double precision, at sizes that end inside blocks
 * of rows, columns and depth; and the same bytes for an element whatever is beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "extract/cpu/fma.h"
#include "extract/cpu/gemm.h"

enum { PADDING = 3, CANARY = 12345 };

static uint64_t seed;

static float uniform(void) /* [-1, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int64_t)(seed >> 11) * 0x1p-52 - 1);
}

/* n random values as dtype, and as float in *values. */
static void *random_values(enum ol_dtype dtype, int64_t n, float **values)
{
    void *data = ol_xcalloc((size_t)n + 1, sizeof(float));
    *values = ol_xcalloc((size_t)n + 1, sizeof(float));
    for (int64_t i = 0; i < n; i++)
        (*values)[i] = uniform();
    ol_from_f32(dtype, *values, data, (size_t)n);
    ol_to_f32(dtype, data, *values, (size_t)n);
    return data;
}

struct shape {
    int64_t m, n, k;
};

static void check(struct shape s, enum ol_dtype a_dtype, enum ol_dtype b_dtype,
                  bool b_plain, float beta)
{
    const int64_t lda = s.k + PADDING, ldb = (b_plain ? s.n : s.k) + PADDING;
    const int64_t ldc = s.n + PADDING;
    float *a, *b, *before;
    void *a_data = random_values(a_dtype, s.m * lda, &a);
    void *b_data = random_values(b_dtype, (b_plain ? s.k : s.n) * ldb, &b);
    float *c = random_values(OL_DTYPE_F32, s.m * ldc, &before);
    float *scratch = aligned_alloc(64, ol_gemm_scratch(s.n, s.k) * sizeof *scratch);
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = s.n; j < ldc; j++)
            c[i * ldc + j] = CANARY;
        for (int64_t j = 0; beta == 0 && j < s.n; j++)
            c[i * ldc + j] = NAN; /* not to be read */
    }
    const struct ol_gemm g = {.m = s.m,
                              .n = s.n,
                              .k = s.k,
                              .a_dtype = a_dtype,
                              .b_dtype = b_dtype,
                              .a = a_data,
                              .lda = lda,
                              .b = b_data,
                              .ldb = ldb,
                              .b_plain = b_plain,
                              .beta = beta,
                              .c = c,
                              .ldc = ldc,
                              .scratch = scratch};
    ol_gemm_run(&g);
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = 0; j < s.n; j++) {
            double sum = beta == 0 ? 0 : (double)beta * (double)before[i * ldc + j];
            double size = fabs(sum) + 1e-30;
            for (int64_t k = 0; k < s.k; k++) {
                const float y = b[b_plain ? k * ldb + j : j * ldb + k];
                sum += (double)a[i * lda + k] * (double)y;
                size += fabs((double)a[i * lda + k] * (double)y);
            }
            assert_true(fabs((double)c[i * ldc + j] - sum) <= 4e-6 * size);
        }
        for (int64_t j = s.n; j < ldc; j++)
            assert_true(c[i * ldc + j] == CANARY);
    }
    free(scratch);
    free(before), free(c);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void products_are_right(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {1, 1, 1},      {5, 3, 0},
        {0, 4, 7},      {6, 16, 8},
        {7, 33, 257},   {13, 31, 300},
        {2, 261, 40},   {OL_GEMM_ROWS + 5, OL_GEMM_COLUMNS + 9, 2 * OL_GEMM_DEPTH + 1},
        {17, 35, 2046}, /* rows that would meet in the first cache */
    };
    static const float betas[] = {0, 1, 0.5F};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int form = 0; form < 8; form++)
            for (size_t k = 0; k < sizeof betas / sizeof betas[0]; k++)
                check(shapes[i], form & 1 ? OL_DTYPE_BF16 : OL_DTYPE_F32,
                      form & 2 ? OL_DTYPE_BF16 : OL_DTYPE_F32, form & 4, betas[k]);
}

/* Every part of the result, alone, has the bytes that it has in the whole. */
static void neighbours_do_not_show(void **state)
{
    (void)state;
    enum { M = OL_GEMM_ROWS + 7, N = OL_GEMM_COLUMNS + 21, K = OL_GEMM_DEPTH + 5 };
    static const int64_t sizes[] = {1, 2, 5, 11, 40, 129};
    static float whole[M * N], part[M * N];
    float *a, *b, *scratch = aligned_alloc(64, ol_gemm_scratch(N, K) * sizeof *scratch);
    void *a_data = random_values(OL_DTYPE_F32, M * K, &a);
    void *b_data = random_values(OL_DTYPE_F32, N * K, &b);
    struct ol_gemm g = {.m = M,
                        .n = N,
                        .k = K,
                        .a = a_data,
                        .lda = K,
                        .b = b_data,
                        .ldb = K,
                        .c = whole,
                        .ldc = N,
                        .scratch = scratch};
    ol_gemm_run(&g);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t rows = sizes[s],
                      cols = sizes[sizeof sizes / sizeof sizes[0] - 1 - s];
        for (int64_t row = 0; row < M; row += rows)
            for (int64_t col = 0; col < N; col += cols) {
                g.m = M - row < rows ? M - row : rows;
                g.n = N - col < cols ? N - col : cols;
                g.a = a + row * K;
                g.b = b + col * K;
                g.c = part + row * N + col;
                ol_gemm_run(&g);
            }
        assert_memory_equal(part, whole, sizeof whole);
    }
    free(scratch);
    free(b), free(b_data);
    free(a), free(a_data);
}

/* A product by the kind of processor that is always there, and by the others that are. */
static void check_kinds(struct shape s, enum ol_dtype a_dtype, enum ol_dtype b_dtype,
                        bool b_plain, float beta)
{
    static const struct ol_gemm_kind *const kinds[] = {&ol_gemm_generic, &ol_gemm_avx2,
                                                       &ol_gemm_avx512};
    const size_t n = (size_t)(s.m * s.n);
    float *a, *b, *before, *c[3];
    void *a_data = random_values(a_dtype, s.m * s.k, &a);
    void *b_data = random_values(b_dtype, s.k * s.n, &b);
    void *start = random_values(OL_DTYPE_F32, s.m * s.n, &before);
    float *scratch = aligned_alloc(64, ol_gemm_scratch(s.n, s.k) * sizeof *scratch);
    for (int i = 0; i < 3; i++) {
        c[i] = ol_xcalloc(n + 1, sizeof **c);
        memcpy(c[i], before, n * sizeof **c);
        const struct ol_gemm g = {.m = s.m,
                                  .n = s.n,
                                  .k = s.k,
                                  .a_dtype = a_dtype,
                                  .b_dtype = b_dtype,
                                  .a = a_data,
                                  .lda = s.k,
                                  .b = b_data,
                                  .ldb = b_plain ? s.n : s.k,
                                  .b_plain = b_plain,
                                  .beta = beta,
                                  .c = c[i],
                                  .ldc = s.n,
                                  .scratch = scratch};
        if (kinds[i]->run == NULL)
            continue;
        kinds[i]->run(&g);
        assert_memory_equal(c[i], c[0], n * sizeof **c);
    }
    for (int i = 0; i < 3; i++)
        free(c[i]);
    free(scratch);
    free(start), free(before);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void kinds_of_processors_agree(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {1, 1, 1},
        {5, 3, 0},
        {7, 33, 257},
        {13, 31, 300},
        {43, 390, 2 * OL_GEMM_DEPTH + 7},
    };
    static const float betas[] = {0, 1, 0.3F};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int form = 0; form < 8; form++)
            for (size_t k = 0; k < sizeof betas / sizeof betas[0]; k++)
                check_kinds(shapes[i], form & 1 ? OL_DTYPE_BF16 : OL_DTYPE_F32,
                            form & 2 ? OL_DTYPE_BF16 : OL_DTYPE_F32, form & 4, betas[k]);
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t random_bits(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* The library's function is exact where the processor has none. */
static void sums_of_products_round_once(void **state)
{
    (void)state;
    static const float special[] = {0,        -0.0F,           1,         -1,
                                    INFINITY, -INFINITY,       NAN,       0x1p-149F,
                                    0x1p127F, 0x1.fffffep127F, 0x1p-126F, -0x1p-149F,
                                    3,        0x1p-75F};
    enum { N = sizeof special / sizeof special[0] };
    for (int i = 0; i < 3000000; i++) {
        float a = float_of(random_bits()), b = float_of(random_bits());
        float c = float_of(random_bits());
        if (i < N * N * N) {
            a = special[i % N], b = special[i / N % N], c = special[i / N / N];
        } else if (i % 3 == 0) {
            /* Sums that nearly cancel, and halves of a last place. */
            a = uniform(), b = uniform();
            c = -(a * b) * (1 + (float)(i % 5) * 0x1p-23F);
        } else if (i % 3 == 1) {
            a = 1 + (float)(i % 1024) * 0x1p-23F, b = 1 + (float)(i % 31) * 0x1p-12F;
            c = ldexpf(uniform(), i % 60 - 40);
        }
        const float want = fmaf(a, b, c), found = ol_fma_by_doubles(a, b, c);
        if (isnan(want) ? !isnan(found) : memcmp(&want, &found, sizeof want) != 0)
            fail_msg("%a x %a + %a is %a, expected %a", (double)a, (double)b, (double)c,
                     (double)found, (double)want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(neighbours_do_not_show),
        cmocka_unit_test(kinds_of_processors_agree),
        cmocka_unit_test(sums_of_products_round_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
